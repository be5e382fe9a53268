// SPDX-License-Identifier: MIT
/* The engines' ops tables, for engine.c alone. */
#ifndef FL_FAULT_ENGINES_H
#define FL_FAULT_ENGINES_H

#include "fault/engine.h"

extern const struct engine_ops engine_sigbus, engine_uffd;

#endif
