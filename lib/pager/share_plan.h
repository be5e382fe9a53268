// SPDX-License-Identifier: MIT
/*
 * How much of the budget the compressed tier should get, from how long after their eviction pages
 * came back: the rule, without what it is fed from (share.c).
 *
 * A page that comes back while d that were evicted after it are absent would have been in its frame
 * still with d frames more: its place, in LRU order, is d below the F frames. It is found in the
 * tier if that has room for those d. So one histogram of places says what any division of the
 * budget would have cost:
 *
 *     0            F                        F + R(T)
 *     |-- frames --|-- tier: a fault and an expansion --|-- disk: a fault and a read ...
 *
 * with F frames for the program, T = budget - F for the tier, and R(T) pages that these hold. What
 * fewer frames than now would cost is told by the nearest places, continued with 1/x; what R is, by
 * the tier's hits. Without a tier pages go to disk as they are, from where streams of them are read
 * by fewer transfers.
 */
#ifndef FL_PAGER_SHARE_PLAN_H
#define FL_PAGER_SHARE_PLAN_H

#include <stdint.h>

/* With a smaller budget, in pages, nothing is compressed. */
#define SHARE_MIN_FRAMES 256u
/* The least share, which stands for none: pages go to disk as they are. */
#define SHARE_MIN 32u
/* Places are counted in 32nds of the budget: those of frames, and eight budgets below them. */
#define SHARE_PER_BUDGET  32u
#define SHARE_DISTANCES   (8 * SHARE_PER_BUDGET)
#define SHARE_PLACES      (SHARE_DISTANCES + SHARE_PER_BUDGET)
#define SHARE_STEPS       32u /* the budget is so many steps */
#define SHARE_COUNT_SHIFT 8   /* counts of pages are kept in 1/256: they decay */

/* Of the last fraction of a second, the older the less. */
struct share_history {
	/* Pages read back, by place; of what compresses, and of the rest; in 1/256. */
	uint64_t packed[SHARE_PLACES], others[SHARE_PLACES];
	uint64_t hits;              /* of `packed`: were in the tier; in 1/256 */
	uint64_t hit_ns, fault_ns;  /* of a page: from the tier, and beside any read */
	uint64_t packed_ns, raw_ns; /* ... from disk, compressed, and as it is */
	/* A page in use was unmapped to see: how often, beside how many evictions, in 1/256; and
	 * what one such refill costs. */
	uint64_t refills, evictions, refill_ns;
	uint32_t footprint;    /* pages that have bytes */
	uint32_t packable;     /* of the pages written, in 1/256 */
	uint32_t packed_bytes; /* what a page that compresses comes to, on average */
	uint32_t clean;        /* evictions of pages with a copy, in 1/256 of all */
};

/*
 * The share after a look, towards what would have cost least. @share: what it was; @taken: what the
 * tier really has; @budget, @max: at most; all in pages. Pure.
 */
uint32_t share_next(
    const struct share_history *h, uint32_t share, uint32_t taken, uint32_t budget, uint32_t max);

#endif
