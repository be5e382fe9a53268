// SPDX-License-Identifier: MIT
/*
 * How RAM is divided between places and the pool. Where nearly all pages are in use, those that
 * must be watched for want of a place go round, and the pool lends its buffers; where watched pages
 * turn out to be unused it has them back. What is kept for bursts is lent, too, while pages are
 * evicted slowly.
 *
 *     pool ENGINE RECLAIM [PAGES OF RAM]
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "alone.h"
#include "check.h"

#define NR_TOUCHES 600000u
#define COLD_EVERY 1000u /* touches */

static uint32_t ram = 8192, nr_hot, nr_cold; /* pages */
static char *hot, *cold;

static void touch(char *area, uint32_t page)
{
	volatile uint64_t *word = (uint64_t *)(area + page * PAGE_BYTES);

	if (*word && *word != page + 1)
		__builtin_trap();
	*word = page + 1;
}

static uint64_t refills(void)
{
	pager_refresh_counters();
	return pg.telemetry.p->minor_refill;
}

/* Return: refills. */
static uint64_t work(void)
{
	uint64_t before = refills();

	for (uint32_t i = 0; i < NR_TOUCHES; i++) {
		touch(hot, (uint32_t)random_below(nr_hot));
		if (i % COLD_EVERY == 0)
			touch(cold, (uint32_t)random_below(nr_cold));
	}
	return refills() - before;
}

int main(int argc, char **argv)
{
	if (argc > 3)
		ram = (uint32_t)atoi(argv[3]);

	if (argc < 3 || !start_alone(argv[1], argv[2], ram, "gclock", "off"))
		return 2;
	pg.touch_ns = 1500; /* whatever machine this is: where faults are dear, batches stay long */
	nr_hot = ram / 10 * 9;
	nr_cold = 2 * ram;
	hot = map_alone(nr_hot * PAGE_BYTES);
	cold = map_alone(nr_cold * PAGE_BYTES);

	uint64_t first = work(), second = work();
	uint32_t lent = pg.lend_target, slack = pg.frames.nr_bufs - pg.max_held;
	pager_check();
	/* What was once so is so, whenever it was: a stall of the machine's may be judged last. */
	uint32_t slow = 8, lent_slowly = 0, fast = 0, left = UINT32_MAX;
	for (int i = 0; i < 1500; i++) {
		touch(cold, (uint32_t)random_below(nr_cold));
		usleep(1000);
		slow = MIN(slow, atomic_load(&pg.pace.eighths));
		uint32_t now = atomic_load(&pg.frames.nr_lent), target = pg.lend_target;
		if (i >= 1000 && now > target && now - target <= slack)
			lent_slowly = MAX(lent_slowly, now - target);
	}
	pager_check();
	for (int round = 0; round < 8; round++)
		for (uint32_t i = 0; i < nr_cold; i++) {
			touch(cold, i);
			fast = MAX(fast, atomic_load(&pg.pace.eighths));
			if (round == 7)
				left = MIN(left, atomic_load(&pg.frames.nr_lent));
		}
	pager_check();
	work();
	pager_check();

	bool is_good =
	    second < NR_TOUCHES / 50 && lent >= pg.max_held / 4 && left <= pg.max_held / 16;
	if (pg.frames.nr_bufs >= MIN_PACED)
		is_good = is_good && slow <= 2 && lent_slowly >= slack / 2 && fast == 8;
	else
		is_good = is_good && slow == 8;
	printf(
	    "%s: %llu refills, then %llu for %u touches of a hot set; of %u buffers to watch with, "
	    "%u lent, after scans %u; of %u for bursts, %u lent at a batch of %u/8, then one of "
	    "%u/8\n",
	    is_good ? "good" : "bad", (unsigned long long)first, (unsigned long long)second,
	    NR_TOUCHES, pg.max_held, lent, left, slack, lent_slowly, slow, fast);
	return !is_good;
}
