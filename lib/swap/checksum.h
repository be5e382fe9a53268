// SPDX-License-Identifier: MIT
/*
 * Page checksums: XXH3 with a seed that is random in every process, so that no program can be
 * built to collide. A forked child keeps its parent's seed: it reads its parent's slots.
 */
#ifndef FL_SWAP_CHECKSUM_H
#define FL_SWAP_CHECKSUM_H

#include "base/types.h"

void checksum_seed(void); /* once, at start-up. Context: any */
uint64_t page_checksum(const void *page);
uint64_t pages_checksum(const void *pages, uint32_t nr); /* of @nr as one */
bool page_is_zero(const void *page);

/* What swap remembers of a page's checksum while the page is there: enough to tell a damaged page.
 * Whether a page is what swap has already is decided by all of it (frame.h). */
static inline uint32_t checksum_half(uint64_t checksum)
{
	return (uint32_t)checksum;
}

#endif
