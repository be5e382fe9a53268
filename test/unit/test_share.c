// SPDX-License-Identifier: MIT
/* The rule by which the compressed tier's share of the budget moves, alone and in a closed loop
 * with a model of a program that touches pages at random. */
#include <criterion/criterion.h>

#include "base/types.h"
#include "pager/share.h"

#define STEP           1024u /* pages; the budget is 32 of them */
#define BUDGET         (32 * STEP)
#define LARGEST        (24 * STEP)
#define HIT            3000u /* ns */
#define DISK           70000u
#define FAULT          6000u
#define LOOKS_A_SECOND 40

Test(share, falls_to_nothing_within_a_second)
{
	/* Nothing compresses: what is lost would have been kept by frames only. */
	const struct share_earnings e = {.frames = 1000000};
	uint32_t share = LARGEST;
	int nr_looks = 0;

	for (; share > SHARE_MIN && nr_looks <= LOOKS_A_SECOND; nr_looks++)
		share = share_next(&e, share, share, STEP, LARGEST);
	cr_expect_eq(share, SHARE_MIN);
	cr_expect_leq(nr_looks, LOOKS_A_SECOND);
	/* Soon, where not even what is there earns anything. */
	cr_expect_leq(nr_looks, 8);
	/* And at once where there is a share but nothing in it. */
	cr_expect_eq(share_next(&e, LARGEST, 0, STEP, LARGEST), SHARE_MIN);
}

Test(share, rises_again_within_a_second)
{
	const struct share_earnings e = {.more = 1000000};
	uint32_t share = SHARE_MIN;

	for (int i = 0; i < LOOKS_A_SECOND; i++) {
		uint32_t next = share_next(&e, share, share, STEP, LARGEST);

		cr_expect(next == LARGEST || next >= share + STEP);
		share = next;
	}
	cr_expect_eq(share, LARGEST);
}

Test(share, rests_in_between)
{
	struct share_earnings e = {.more = 0, .less = 500, .frames = NEAR_STEPS * 500};

	cr_expect_eq(share_next(&e, 4 * STEP, 4 * STEP, STEP, LARGEST), 4 * STEP);
	e.more = 550; /* not yet a margin of an eighth */
	cr_expect_eq(share_next(&e, 4 * STEP, 4 * STEP, STEP, LARGEST), 4 * STEP);
	e.more = 600;
	cr_expect_eq(share_next(&e, 4 * STEP, 4 * STEP, STEP, LARGEST), 5 * STEP);
	e = (struct share_earnings){0};
	cr_expect_eq(share_next(&e, 4 * STEP, 4 * STEP, STEP, LARGEST), 4 * STEP);
}

Test(share, refills_count_for_frames)
{
	/* So few frames are left that those in use are asked for it over and over. */
	struct share_earnings e = {.less = 500, .frames = NEAR_STEPS * 100, .refills = 300};

	cr_expect_eq(share_next(&e, 4 * STEP, 4 * STEP, STEP, LARGEST), 4 * STEP);
	e.refills = 600;
	cr_expect_lt(share_next(&e, 4 * STEP, 4 * STEP, STEP, LARGEST), 4 * STEP);
	e.more = 700; /* not a margin of an eighth over both */
	cr_expect_leq(share_next(&e, 4 * STEP, 4 * STEP, STEP, LARGEST), 4 * STEP);
}

Test(share, goes_where_all_of_it_would_fit_without)
{
	/* Each step looks worth keeping, and the whole is not. */
	struct share_earnings e = {.more = 900, .less = 800, .frames = NEAR_STEPS * 100};
	uint32_t share = 16 * STEP;
	int nr_looks = 0;

	e.without = 5000, e.with = 4000;
	for (; share > SHARE_MIN && nr_looks <= LOOKS_A_SECOND; nr_looks++)
		share = share_next(&e, share, share, STEP, LARGEST);
	cr_expect_eq(share, SHARE_MIN);
	cr_expect_leq(nr_looks, 8);
	e.with = 4900; /* not by a margin of an eighth */
	cr_expect_gt(share_next(&e, 4 * STEP, 4 * STEP, STEP, LARGEST), 4 * STEP);
}

/* A page of the tier holds @packed of the program's; a look sees @touches of @nr_pages at random.
 */
static struct share_earnings run(
    uint32_t share, uint32_t nr_pages, uint32_t packed, uint32_t touches)
{
	uint64_t frames = BUDGET - share, in_tier = (uint64_t)share * packed;
	uint64_t absent = nr_pages - MIN(frames, nr_pages);
	bool is_all_there = in_tier >= absent;
	uint64_t near = NEAR_STEPS * STEP;

	return (struct share_earnings){
	    .more = is_all_there ? 0 : (uint64_t)touches * STEP * packed / nr_pages * (DISK - HIT),
	    /* A quarter of the tier, all of which is disk reads without it. */
	    .less = MIN(in_tier, absent) / 4 * touches / nr_pages * (DISK - HIT),
	    .frames = touches * near / nr_pages * (HIT + FAULT),
	};
}

/* Run from @share to rest. Return: the share; *ret_swing: how far it moved in the last second. */
static uint32_t settle(uint32_t share, uint32_t nr_pages, uint32_t packed, uint32_t *ret_swing)
{
	uint32_t low = UINT32_MAX, high = 0;

	for (int i = 0; i < 5 * LOOKS_A_SECOND; i++) {
		struct share_earnings e = run(share, nr_pages, packed, 4000);
		uint32_t absent = nr_pages - (BUDGET - share);
		uint32_t taken = MIN(share, (absent + packed - 1) / packed);

		share = share_next(&e, share, taken, STEP, LARGEST);
		if (i < 4 * LOOKS_A_SECOND)
			continue;
		low = MIN(low, share);
		high = MAX(high, share);
	}
	*ret_swing = high - low;
	return share;
}

Test(share, comes_to_rest_where_everything_fits)
{
	const uint32_t nr_pages = 2 * BUDGET;

	for (uint32_t start = SHARE_MIN; start <= LARGEST; start += 5 * STEP) {
		uint32_t swing, share = settle(start, nr_pages, 4, &swing);

		/* (2N - (N - s)) / 4 = s: a third of the budget. */
		cr_expect_geq(share, BUDGET / 3 - STEP, "from %u: %u", start, share);
		cr_expect_leq(swing, 2 * STEP, "from %u: swings by %u", start, swing);
	}
}

Test(share, takes_all_it_may_where_that_is_not_enough)
{
	for (uint32_t start = SHARE_MIN; start <= LARGEST; start += 5 * STEP) {
		uint32_t swing, share = settle(start, 16 * BUDGET, 4, &swing);

		cr_expect_geq(share, LARGEST - STEP, "from %u: %u", start, share);
		cr_expect_leq(swing, 2 * STEP, "from %u: swings by %u", start, swing);
	}
}
