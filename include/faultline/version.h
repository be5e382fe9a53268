// SPDX-License-Identifier: MIT
#ifndef FAULTLINE_VERSION_H
#define FAULTLINE_VERSION_H

#define FL_VERSION "0.1.0"

#endif
