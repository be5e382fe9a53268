// SPDX-License-Identifier: MIT
/* The policies that policy.c lists. */
#ifndef FL_POLICY_POLICIES_H
#define FL_POLICY_POLICIES_H

#include "policy/policy.h"

extern const struct policy_ops policy_clock; /* clock.c */
extern const struct policy_ops policy_fifo;  /* fifo.c */

#endif
