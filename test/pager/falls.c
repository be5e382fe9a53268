// SPDX-License-Identifier: MIT
/*
 * What the compressed tier has of RAM falls to nothing when what is evicted does not compress, and
 * is a quarter of RAM again when it does. Two areas of twice RAM are worked on at random in turn,
 * one of either kind. How long that took, the best of three rounds, is printed and not judged: that
 * it is within a second is shown on a clock of its own in test/unit/test_share.c.
 *
 *     falls ENGINE
 */
#include <stdio.h>
#include <sys/mman.h>

#include "alone.h"
#include "check.h"

#define RAM_PAGES 8192u
#define NR_PAGES  (2 * RAM_PAGES)
#define WORDS     (PAGE_BYTES / sizeof(uint64_t))
#define SECOND    1000000000ull
#define LIMIT     (30 * SECOND) /* it never will */

static uint64_t (*packable)[WORDS], (*other)[WORDS];

/* Read a page; one in four is written, whole. */
static void touch(uint64_t (*area)[WORDS])
{
	uint64_t *page = area[random_below(NR_PAGES)];
	uint32_t nr_random = area == other ? WORDS : WORDS / 5;

	if (page[1] != page[0] * 31)
		__builtin_trap();
	if (random_below(4))
		return;
	for (uint32_t i = 2; i < nr_random; i++)
		page[i] = random_below(UINT64_MAX);
	page[0]++;
	page[1] = page[0] * 31;
}

static struct swap_stats stats(void)
{
	struct swap_stats s;

	swap_stats(pg.swap, &s);
	return s;
}

static bool has_fallen(void)
{
	return !stats().tier_bytes;
}

static bool has_risen(void)
{
	return stats().tier_bytes >= RAM_PAGES / 4 * PAGE_BYTES;
}

/* Work on @area until @is_done. Return: ns from when @nr_seen grew, NULL: from the start. */
static uint64_t work(uint64_t (*area)[WORDS], uint64_t (*nr_seen)(void), bool (*is_done)(void))
{
	uint64_t began = now_ns(), before = nr_seen ? nr_seen() : 0, first = 0, now;

	do {
		for (int i = 0; i < 16; i++)
			touch(area);
		now = now_ns();
		if (!first && (!nr_seen || nr_seen() != before))
			first = nr_seen ? now : began;
	} while (!is_done() && now - began < LIMIT);
	return is_done() && first ? now - first : LIMIT;
}

static uint64_t nr_incompressible(void)
{
	return stats().unpacked_pages;
}

int main(int argc, char **argv)
{
	if (argc < 2 || !start_alone(argv[1], "auto", RAM_PAGES, "gclock", "auto"))
		return 2;
	packable = map_alone(NR_PAGES * PAGE_BYTES);
	other = map_alone(NR_PAGES * PAGE_BYTES);
	work(packable, NULL, has_risen);
	uint64_t fall = LIMIT, rise = LIMIT;
	for (int round = 0; round < 3; round++) {
		uint64_t ns = work(other, nr_incompressible, has_fallen);
		fall = MIN(fall, ns);
		ns = work(packable, NULL, has_risen);
		rise = MIN(rise, ns);
	}
	pager_check();
	bool is_good = fall < LIMIT && rise < LIMIT;
	printf("%s: to nothing in %llu ms, back in %llu\n", is_good ? "good" : "bad",
	    (unsigned long long)fall / 1000000, (unsigned long long)rise / 1000000);
	return !is_good;
}
