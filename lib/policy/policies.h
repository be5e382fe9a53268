// SPDX-License-Identifier: MIT
/* The policies that policy.c lists. */
#ifndef FL_POLICY_POLICIES_H
#define FL_POLICY_POLICIES_H

#include "policy/policy.h"

extern const struct policy_ops policy_active;        /* active.c */
extern const struct policy_ops policy_aging;         /* aging.c */
extern const struct policy_ops policy_clock;         /* clock.c */
extern const struct policy_ops policy_clock_pro;     /* clock_pro.c */
extern const struct policy_ops policy_fifo;          /* fifo.c */
extern const struct policy_ops policy_gclock;        /* clock.c */
extern const struct policy_ops policy_random;        /* random.c */
extern const struct policy_ops policy_s3_fifo;       /* s3_fifo.c */
extern const struct policy_ops policy_second_chance; /* second_chance.c */
extern const struct policy_ops policy_sieve;         /* sieve.c */
extern const struct policy_ops policy_twoq;          /* twoq.c */
extern const struct policy_ops policy_wsclock;       /* wsclock.c */

#endif
