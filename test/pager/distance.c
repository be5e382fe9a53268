// SPDX-License-Identifier: MIT
/*
 * What the pager tells the policy of a page that comes back: distances of refaults, as seen by a
 * policy put in front of fifo, in a pager whose evictions the program determines.
 *
 *     distance ENGINE RECLAIM
 */
#include <stdio.h>
#include <sys/mman.h>

#include "alone.h"

#define RAM_PAGES  1024u
#define EPOCH      (RAM_PAGES / 8) /* distances are multiples of this */
#define MAX_ROUNDS 8

static struct policy_ops spy;
static const struct policy_ops *real;
/* Written by the handler. */
static volatile uint32_t nr_never, nr_known, shortest, longest;
static volatile uint64_t sum;

static void spy_insert(struct policy *p, struct frame_nr frame, uint32_t distance)
{
	if (distance == DISTANCE_NEVER) {
		nr_never++;
	} else {
		nr_known++;
		sum += distance;
		shortest = MIN(shortest, distance);
		longest = MAX(longest, distance);
	}
	real->insert(p, frame, distance);
}

/* Touch every @step-th of @nr pages, but not in order: no readahead. */
static void walk(volatile uint64_t *at, uint32_t nr, bool is_write)
{
	nr_never = nr_known = longest = 0;
	sum = 0;
	shortest = UINT32_MAX;
	for (uint32_t i = 0; i < nr; i++) {
		volatile uint64_t *word = &at[(uint64_t)i * 1031 % nr * 512];

		if (is_write)
			*word = i + 1;
		else if (!*word)
			__builtin_trap();
	}
	/* A thread of the uffd engine tells the policy of a page that is there already. */
	for (int i = 0; i < 200 && nr_never + nr_known < nr; i++)
		sys_sleep(1000000);
}

static int check(const char *what, bool is_good)
{
	printf("%s: %s, %u never, %u known, from %u to %u, mean %llu\n", what,
	    is_good ? "good" : "bad", nr_never, nr_known, shortest, longest,
	    (unsigned long long)(sum / MAX(nr_known, 1u)));
	return is_good ? 0 : 1;
}

int main(int argc, char **argv)
{
	uint32_t nr = 3 * RAM_PAGES;

	if (argc < 3)
		return 2;
	if (!start_alone(argv[1], argv[2], RAM_PAGES, "fifo", "auto"))
		return 1;
	real = pg.policy_ops;
	spy = *real;
	spy.insert = spy_insert;
	pg.policy_ops = &spy;

	uint64_t *at = map_alone(nr * PAGE_BYTES);
	walk(at, nr, true);
	int bad = check("first touches", nr_never >= nr && !nr_known);
	/* Dirty pages for which there is no buffer are put back, in front of the policy as new
	 * ones: at most those that the first round left in RAM. */
	walk(at, nr, false);
	bad |= check("one round later", nr_known >= nr - RAM_PAGES && longest <= nr + EPOCH);
	for (int i = 0; i < MAX_ROUNDS && nr_never; i++)
		walk(at, nr, false);
	/*
	 * Under fifo a page leaves about RAM_PAGES insertions after it came, and comes back 3 *
	 * RAM_PAGES after: 2 * RAM_PAGES evictions later. All are clean by now, and none was put
	 * back in the round before.
	 */
	walk(at, nr, false);
	bad |= check("and when all are clean", !nr_never && nr_known >= nr * 9 / 10 &&
	                                           shortest >= RAM_PAGES && longest <= nr + EPOCH &&
	                                           sum / nr_known >= 3 * RAM_PAGES / 2 &&
	                                           sum / nr_known <= 11 * RAM_PAGES / 4);
	pager_check();
	return bad;
}
