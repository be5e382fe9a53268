// SPDX-License-Identifier: MIT
/* The list of policies; see policy.h. */
#include "policy/policy.h"

#include <string.h>

#include "policy/policies.h"

const struct policy_ops *const policies[] = {
    &policy_gclock,
    &policy_clock,
    &policy_fifo,
    &policy_random,
    &policy_second_chance,
    &policy_active,
    &policy_aging,
    &policy_twoq,
    &policy_wsclock,
    &policy_clock_pro,
    &policy_sieve,
    &policy_s3_fifo,
    NULL,
};

const struct policy_ops *policy_find(const char *name)
{
	for (size_t i = 0; policies[i]; i++)
		if (strcmp(policies[i]->name, name) == 0)
			return policies[i];
	return NULL;
}
