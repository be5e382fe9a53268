// SPDX-License-Identifier: MIT
#include <criterion/criterion.h>

#include "faultline/telemetry.h"
#include "support.h"

Test(hist, bucket_is_monotonic_and_holds_its_floor)
{
	for (unsigned b = 0; b < FL_HIST_BUCKETS; b++) {
		uint64_t floor = fl_hist_floor(b);

		cr_assert_eq(fl_hist_bucket(floor), b, "bucket %u", b);
		if (b)
			cr_assert_eq(fl_hist_bucket(floor - 1), b - 1, "below bucket %u", b);
	}
}

Test(hist, bucket_is_at_most_an_eighth_wide)
{
	for (unsigned b = FL_HIST_SUB; b + 1 < FL_HIST_BUCKETS; b++) {
		uint64_t floor = fl_hist_floor(b), next = fl_hist_floor(b + 1);

		cr_assert_gt(next, floor);
		cr_assert_leq((next - floor) * FL_HIST_SUB, floor, "bucket %u", b);
	}
}

Test(hist, extremes_stay_in_range)
{
	cr_expect_eq(fl_hist_bucket(0), 0);
	cr_expect_eq(fl_hist_bucket(UINT64_MAX), FL_HIST_BUCKETS - 1);
	cr_expect_lt(fl_hist_bucket(1ull << 39), FL_HIST_BUCKETS - 1);
}

Test(hist, random_values_lie_in_their_bucket)
{
	struct rng rng = rng_new("hist");

	for (int i = 0; i < 100000; i++) {
		uint64_t ns = (rng_next(&rng) >> 25) >> rng_below(&rng, 39);
		unsigned b = fl_hist_bucket(ns);

		cr_assert_leq(fl_hist_floor(b), ns);
		if (b + 1 < FL_HIST_BUCKETS)
			cr_assert_lt(ns, fl_hist_floor(b + 1));
	}
}
