// SPDX-License-Identifier: MIT
/* The shape of the page table, the pager's and the software MMU's alike: levels of 512 entries. */
#ifndef FL_MMU_LEVEL_H
#define FL_MMU_LEVEL_H

#include "base/types.h"

#define PTAB_ENTRIES    512u
#define PTAB_LEVEL_BITS 9

/* Index of @vpn in the table at level @level (1 to 4). */
static inline unsigned ptab_index(struct vpn vpn, int level)
{
	return (unsigned)(vpn.v >> (PTAB_LEVEL_BITS * (level - 1))) & (PTAB_ENTRIES - 1);
}

#endif
