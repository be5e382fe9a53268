// SPDX-License-Identifier: MIT
/* How much of the budget the compressed tier gets: the rule, without what it is fed from (share.c).
 */
#ifndef FL_PAGER_SHARE_H
#define FL_PAGER_SHARE_H

#include <stdint.h>

/* With a smaller budget, in pages, nothing is compressed. */
#define SHARE_MIN_FRAMES 256u
/* Pages that the tier may have whatever it earns. */
#define SHARE_MIN 32u
/* Pages "near" left their frame within so many steps' worth of evictions: refault distances of up
 * to an epoch, that is 1.5/8 of the budget on average. */
#define NEAR_STEPS 6u

/* Nanoseconds of the last looks, the older ones counting half each. */
struct share_earnings {
	uint64_t more;   /* would have been saved with a step more */
	uint64_t less;   /* were saved by the oldest quarter of the tier */
	uint64_t frames; /* would have been saved with NEAR_STEPS more of the program's */
	uint64_t
	    without;   /* would have been saved with all that the tier has given to the program */
	uint64_t with; /* ... and would have been lost */
	uint64_t refills; /* ... and of refills with one */
};

/* The share after a look. @share: what it was; @taken: what the tier really has; @step: at a time;
 * @max: at most; all in pages. Pure. */
uint32_t share_next(
    const struct share_earnings *e, uint32_t share, uint32_t taken, uint32_t step, uint32_t max);

#endif
