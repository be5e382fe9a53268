// SPDX-License-Identifier: MIT
/* Out of thrashing: by a smaller working set, or by more RAM. */
#include "load.h"

#define RAM   (8 * MIB)
#define MORE  (24 * MIB)
#define SMALL pages(4 * MIB)
#define LARGE pages(16 * MIB)
#define SLICE 0.1

static bool has_faults(const struct pace *p)
{
	return p->to.major != p->from.major;
}

/* For @nr_slices, or, if that is 0, until one passes without a page being read. */
static double run_phase(const char *what, void *at, uint64_t nr_pages, int nr_slices)
{
	struct pace p = {.seconds = 1};
	bool goes_on = true;

	for (int i = 0; goes_on; i++) {
		p = run_load(at, nr_pages, SLICE);
		print_pace(i ? "" : what, &p);
		goes_on = nr_slices ? i + 1 < nr_slices : has_faults(&p);
	}
	return touches_per_second(&p);
}

int main(void)
{
	live_open_max(RAM, MORE, NULL);
	void *at = live_map(LARGE * DEMO_PAGE);

	printf("A working set of 4 MiB, then 16, then 4 again, in 8 MiB of RAM; a line every %.0f "
	       "ms.\n\n",
	    SLICE * 1000);
	print_pace_head("working set");
	write_pages(at, SMALL, 1);
	double before = run_phase("4 MiB", at, SMALL, 2);
	write_pages(at, LARGE, 1);
	double thrashing = run_phase("16 MiB: it thrashes", at, LARGE, 3);
	struct fl_stats from = live_stats();
	double shrunk = run_phase("4 MiB again", at, SMALL, 0);
	struct fl_stats to = live_stats();
	printf("\nBack to speed it read %llu pages, of a working set of %llu: those that had been "
	       "evicted, and a few twice, which it had not used again when their time was up.\n",
	    (unsigned long long)(to.major - from.major), (unsigned long long)SMALL);
	DEMO_ENSURE(to.major - from.major <= SMALL + SMALL / 8);
	DEMO_ENSURE(shrunk > thrashing && before > thrashing);

	printf("\nOnce more, and now RAM is raised to 24 MiB while the program runs.\n\n");
	print_pace_head("working set, RAM");
	run_phase("16 MiB, RAM 8 MiB", at, LARGE, 2);
	DEMO_ENSURE(!fl_set_ram(MORE));
	double raised = run_phase("16 MiB, RAM 24 MiB", at, LARGE, 0);
	DEMO_ENSURE(raised > thrashing && live_stats().ram_bytes == MORE);
	printf(
	    "\nConclusion: thrashing leaves no damage: once what the program uses fits, because it "
	    "uses less or because there is more RAM, its pages are read back, and it runs "
	    "%.0f and %.0f times as fast as while it thrashed.\n",
	    shrunk / thrashing, raised / thrashing);
	return demo_end();
}
