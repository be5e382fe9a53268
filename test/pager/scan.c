// SPDX-License-Identifier: MIT
/*
 * A scan of four times RAM takes one fault a window: its pages are read ahead of it and mapped in
 * runs. So few more are allowed that a window taken in two would show. Of three scans that read,
 * and of three that write, the best counts: where the machine holds up who reads ahead, there are
 * more faults, and never fewer.
 *
 *     scan ENGINE
 */
#include <stdio.h>
#include <sys/mman.h>

#include "alone.h"
#include "check.h"

#define RAM_PAGES 8192u
#define NR_PAGES  (4 * RAM_PAGES)

static char *area;

/* Return: faults. */
static uint64_t scan(bool is_write)
{
	const struct fl_process *p = pg.telemetry.p;
	uint64_t before, after;

	pager_refresh_counters();
	before = p->minor_zero + p->minor_refill + p->minor_write + p->major;
	for (uint64_t i = 0; i < NR_PAGES; i++) {
		volatile uint64_t *word = (uint64_t *)(area + i * PAGE_BYTES);

		if (is_write)
			*word = i + 1;
		else
			CHECK(*word == i + 1);
	}
	pager_refresh_counters();
	after = p->minor_zero + p->minor_refill + p->minor_write + p->major;
	return after - before;
}

static uint64_t best_scan(bool is_write)
{
	uint64_t best = UINT64_MAX;

	scan(is_write); /* pages become clean, or expected to be written */
	for (int i = 0; i < 3; i++) {
		uint64_t nr = scan(is_write);

		best = MIN(best, nr);
	}
	return best;
}

int main(int argc, char **argv)
{
	if (argc < 2 || !start_alone(argv[1], "auto", RAM_PAGES, "gclock", "off"))
		return 2;
	area = map_alone(NR_PAGES * PAGE_BYTES);
	scan(true);
	uint64_t reading = best_scan(false), writing = best_scan(true);
	uint32_t nr_windows = NR_PAGES / readahead_max_window();
	bool is_good = reading <= nr_windows * 3 / 2 && writing <= nr_windows * 3 / 2;
	pager_check();
	printf("%s: %llu faults reading, %llu writing %u windows\n", is_good ? "good" : "bad",
	    (unsigned long long)reading, (unsigned long long)writing, nr_windows);
	return !is_good;
}
