// SPDX-License-Identifier: MIT
#include <criterion/criterion.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>

#include "frame/frame.h"

static struct frames fs;

/* The pool has a fixed address, which under ThreadSanitizer is its shadow memory. */
#ifdef __SANITIZE_THREAD__
#define SKIP_UNDER_TSAN .disabled = true
#else
#define SKIP_UNDER_TSAN .disabled = false
#endif

Test(frame, budget_is_split_and_never_exceeded, SKIP_UNDER_TSAN)
{
	for (uint32_t budget = 64; budget <= 1u << 20; budget *= 4) {
		struct frames f;

		memset(&f, 0, sizeof(f));
		/* One pool per process: only the arithmetic is looked at for the others. */
		int err = frames_init(&f, budget, 0);
		cr_assert(budget == 64 ? err == 0 : err == 0 || err == -17);
		cr_expect_eq(f.nr_bufs + f.nr_places, budget);
		cr_expect_geq(f.nr_bufs, 16);
		cr_expect_geq(f.nr_places, budget / 2);
	}
}

Test(frame, places_run_out_exactly, SKIP_UNDER_TSAN)
{
	cr_assert_eq(frames_init(&fs, 64, 0), 0);
	uint32_t n = fs.nr_places;
	cr_expect_eq(places_take(&fs, n - 1), n - 1);
	cr_expect_eq(places_take(&fs, 5), 1);
	cr_expect_eq(places_take(&fs, 1), 0);
	places_give(&fs, 3);
	cr_expect_eq(places_take(&fs, 10), 3);
}

Test(frame, buffers_lowest_first_with_a_reserve, SKIP_UNDER_TSAN)
{
	uint32_t bufs[64];

	cr_assert_eq(frames_init(&fs, 128, 0), 0);
	cr_assert_eq(fs.nr_bufs, 16);
	cr_expect_eq(bufs_take(&fs, bufs, 64, 4), 12);
	cr_expect_eq(bufs_take(&fs, bufs + 12, 64, 4), 0);
	for (uint32_t i = 0; i < 12; i++)
		cr_expect_eq(bufs[i], i);
	buf_give(&fs, 3);
	buf_give(&fs, 1);
	cr_expect_eq(atomic_load(&fs.bufs_free), 6);
	cr_expect_eq(bufs_take(&fs, bufs, 1, 0), 1);
	cr_expect_eq(bufs[0], 1);
	cr_expect_eq(atomic_load(&fs.bufs_touched), 12, "a buffer given back is used first");
}

Test(frame, runs_are_neighbours, SKIP_UNDER_TSAN)
{
	static uint32_t bufs[2048], run[512];

	cr_assert_eq(frames_init(&fs, 16384, 0), 0);
	cr_assert_eq(fs.nr_bufs, 2048);
	cr_assert_eq(fs.first_run, 2048 - 512);
	cr_expect_eq((uintptr_t)buf_addr(&fs, fs.first_run) % (2u << 20), 0, "where 2 MiB begin");
	cr_expect_eq(bufs_take(&fs, bufs, 100, 0), 100);
	cr_expect_eq(bufs_resident(&fs), 100);
	cr_expect_eq(bufs_take_runs(&fs, run, 100, 0), 100);
	for (uint32_t i = 0; i < 100; i++)
		cr_expect_eq(run[i], fs.first_run + i);
	cr_expect_eq(bufs_resident(&fs), 100 + 512, "a page of 2 MiB is there as a whole");
	cr_expect_eq(bufs_take_runs(&fs, run + 100, 400, 0), 400);
	for (uint32_t i = 100; i < 100 + 384; i++)
		cr_expect_eq(run[i], fs.first_run + 128 + i - 100, "the word begun is left");
	for (uint32_t i = 484; i < 500; i++)
		cr_expect_eq(run[i], 100 + i - 484, "no run is left");
	cr_expect_eq(bufs_take(&fs, bufs, 2048, 8), 2048 - 600 - 8, "also what is left of runs");
	cr_expect_eq(bufs_take_runs(&fs, bufs, 64, 8), 0);
	cr_expect_eq(bufs_take_runs(&fs, bufs, 64, 4), 4);
	for (uint32_t i = 64; i < 100; i++)
		buf_give(&fs, run[i]);
	cr_expect_eq(bufs_take_runs(&fs, bufs, 36, 0), 36, "neighbours or not");
}

Test(frame, runs_are_not_lent, SKIP_UNDER_TSAN)
{
	cr_assert_eq(frames_init(&fs, 16384, 0), 0);
	uint32_t nr = 0, more;

	while ((more = bufs_lend(&fs, MAX_LEND, 0)))
		nr += more;
	cr_expect_eq(nr, 2048 - 512);
	cr_expect_eq(bufs_take_back(&fs, 2048), nr);
}

Test(frame, lent_buffers_are_places, SKIP_UNDER_TSAN)
{
	uint32_t bufs[16];

	cr_assert_eq(frames_init(&fs, 128, 0), 0);
	cr_assert_eq(bufs_take(&fs, bufs, 4, 0), 4);
	memset(fs.pool, 1, 16 * PAGE_BYTES);
	cr_assert_eq(places_take(&fs, 200), 112);
	cr_expect_eq(bufs_lend(&fs, 64, 2), 10, "twelve are free, and two stay");
	cr_expect_eq(atomic_load(&fs.nr_lent), 10);
	cr_expect_eq(atomic_load(&fs.bufs_free), 2);
	for (uint32_t i = 0; i < 16; i++) {
		uint8_t is_resident;

		cr_assert_eq(mincore(buf_addr(&fs, i), PAGE_BYTES, &is_resident), 0);
		cr_expect_eq(is_resident & 1, i < 6, "buffer %u", i);
	}
	cr_expect_eq(bufs_take(&fs, bufs + 4, 12, 0), 2, "none that is lent is given out");
	cr_expect_eq(places_take(&fs, 8), 8);
	cr_expect_eq(bufs_take_back(&fs, 5), 2, "as many as there are free places");
	cr_expect_eq(bufs_take(&fs, bufs + 6, 12, 0), 2);
	places_give(&fs, 120);
	cr_expect_eq(bufs_take_back(&fs, 64), 8, "all that are lent");
	cr_expect_eq(atomic_load(&fs.places_free), 112);
	cr_expect_eq(bufs_take(&fs, bufs + 8, 12, 0), 8);
	for (uint32_t i = 0; i < 16; i++)
		for (uint32_t j = 0; j < i; j++)
			cr_expect_neq(bufs[i], bufs[j]);
}

Test(frame, a_locked_buffer_is_lent_too, SKIP_UNDER_TSAN)
{
	uint8_t is_resident[16];

	cr_assert_eq(frames_init(&fs, 128, 0), 0);
	memset(fs.pool, 1, 16 * PAGE_BYTES);
	cr_assert_eq(mlock(fs.pool, 16 * PAGE_BYTES), 0);
	cr_expect_eq(places_take(&fs, 200), 112);
	cr_expect_eq(bufs_lend(&fs, 64, 4), 12);
	cr_assert_eq(mincore(fs.pool, 16 * PAGE_BYTES, is_resident), 0);
	for (uint32_t i = 0; i < 16; i++)
		cr_expect_eq(is_resident[i] & 1, i < 4, "buffer %u", i);
	cr_expect_eq(atomic_load(&fs.places_free), 12);
}

Test(frame, what_is_not_given_up_is_not_lent, SKIP_UNDER_TSAN)
{
	cr_assert_eq(frames_init(&fs, 128, 0), 0);
	cr_expect_eq(places_take(&fs, 200), 112);
	cr_assert_eq(munmap(buf_addr(&fs, 12), PAGE_BYTES), 0);
	cr_expect_eq(bufs_lend(&fs, 64, 0), 0, "madvise() fails for the whole run");
	cr_expect_eq(atomic_load(&fs.bufs_free), 16);
	cr_expect_eq(atomic_load(&fs.nr_lent), 0);
	cr_expect_eq(atomic_load(&fs.places_free), 0);
}

Test(frame, giving_a_buffer_twice_is_caught, SKIP_UNDER_TSAN, .signal = SIGABRT)
{
	uint32_t buf;

	cr_assert_eq(frames_init(&fs, 64, 0), 0);
	bufs_take(&fs, &buf, 1, 0);
	buf_give(&fs, buf);
	buf_give(&fs, buf);
}

Test(frame, numbers_are_unique_and_peak_is_kept, SKIP_UNDER_TSAN)
{
	struct frame_nr nr[64];
	bool seen[64] = {false};

	cr_assert_eq(frames_init(&fs, 64, 0), 0);
	for (uint32_t i = 0; i < 64; i++) {
		nr[i] = frame_take(&fs, (struct vpn){100 + i});
		cr_assert_lt(nr[i].v, 64);
		cr_assert(!seen[nr[i].v]);
		seen[nr[i].v] = true;
		cr_expect_eq(atomic_load(&frame_of(&fs, nr[i])->vpn), 100 + i);
	}
	for (uint32_t i = 0; i < 10; i++)
		frame_give(&fs, nr[i]);
	cr_expect_eq(atomic_load(&fs.frames_used), 54);
	cr_expect_eq(atomic_load(&fs.frames_peak), 64);
}
