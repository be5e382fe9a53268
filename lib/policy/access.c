// SPDX-License-Identifier: MIT
/* The list of policies that see every reference; see access.h. */
#include "policy/access.h"

#include <string.h>

const struct access_ops *const access_policies[] = {
    &access_opt,
    &access_lru,
    &access_mru,
    &access_lfu,
    &access_arc,
    &access_lirs,
    NULL,
};

const struct access_ops *access_find(const char *name)
{
	for (size_t i = 0; access_policies[i]; i++)
		if (strcmp(access_policies[i]->name, name) == 0)
			return access_policies[i];
	return NULL;
}
