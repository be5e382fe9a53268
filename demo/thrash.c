// SPDX-License-Identifier: MIT
/* The working set swept past the budget: over the cliff. */
#include "load.h"

#define RAM_MIB 16u

int main(void)
{
	static const unsigned sizes[] = {4, 8, 12, 14, 16, 18, 20, 24, 32, 48};
	double fits = 0, twice = 0;
	const unsigned nr = sizeof(sizes) / sizeof(*sizes);

	live_open(RAM_MIB * MIB, NULL);
	void *at = live_map(sizes[nr - 1] * MIB);

	printf("A program that touches its pages at random, in %u MiB of RAM.\n\n", RAM_MIB);
	print_pace_head("working set");
	for (unsigned i = 0; i < nr; i++) {
		uint64_t nr_pages = pages(sizes[i] * MIB);
		char what[32];

		write_pages(at, nr_pages, 1); /* all of them exist */
		run_load(at, nr_pages, 0.1);  /* and those in RAM are a random choice */
		struct pace p = run_load(at, nr_pages, 0.4);
		snprintf(
		    what, sizeof(what), "%3u MiB (%3u %%)", sizes[i], sizes[i] * 100 / RAM_MIB);
		print_pace(what, &p);
		if (sizes[i] == RAM_MIB / 2)
			fits = touches_per_second(&p);
		if (sizes[i] == 2 * RAM_MIB)
			twice = touches_per_second(&p);
	}
	struct fl_stats s = live_stats();
	printf("\n%llu major faults, of them %llu on pages evicted shortly before.\n",
	    (unsigned long long)s.major, (unsigned long long)s.refaults);
	DEMO_ENSURE(fits > twice && s.peak_bytes <= s.ram_bytes);
	printf(
	    "Conclusion: nothing happens until the working set exceeds RAM, and then everything: "
	    "at twice RAM the program runs %.0f times slower, waiting for pages that it gave up a "
	    "moment ago.\n",
	    fits / twice);
	return demo_end();
}
