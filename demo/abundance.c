// SPDX-License-Identifier: MIT
/* 64 GiB of memory, used sparsely, in 64 MiB of frames. */
#include "live.h"

#define NR_ISLANDS  1024u
#define ISLAND      20u /* pages in use at each: 20480 in all, 80 MiB */
#define STEP        (64 * MIB)
#define NR_PAGES    (NR_ISLANDS * ISLAND)
#define FULL(bytes) (unsigned long long)(bytes)

static void row(const char *what, uint64_t bytes)
{
	printf("  %-44s %10.1f MiB %9llu pages\n", what, (double)bytes / (double)MIB,
	    FULL(pages(bytes)));
}

int main(void)
{
	live_open(64 * MIB, NULL);
	char *at = live_map(64 * GIB);

	printf("64 GiB in one piece, from %p on; %u islands of %u pages are used,\n"
	       "one every %llu MiB; RAM is 64 MiB.\n\n",
	    (void *)at, NR_ISLANDS, ISLAND, STEP / MIB);
	for (uint32_t i = 0; i < NR_ISLANDS; i++)
		write_pages(at + i * STEP, ISLAND, i * 1000 + 1);
	for (uint32_t i = 0; i < NR_ISLANDS; i++)
		DEMO_ENSURE(
		    read_pages(at + i * STEP, ISLAND) == sum_of_pages(ISLAND, i * 1000 + 1));
	DEMO_ENSURE(!*word_of(at, pages(64 * GIB) - 1)); /* never written: zero */

	struct fl_stats s = live_stats();
	row("asked for", 64 * GIB);
	row("touched", s.touched_bytes);
	row("in frames at most", s.peak_bytes);
	row("in swap now", s.swap_used_bytes);
	printf("  %-44s %10.1f MiB\n", "VmSize, as the kernel sees it",
	    (double)proc_number("/proc/self/status", "VmSize") / 1024);
	printf("  %-44s %10.1f MiB\n", "VmRSS: frames, program, page tables",
	    (double)proc_number("/proc/self/status", "VmRSS") / 1024);
	printf("\nfaults: %llu zero-filled, %llu read from swap; evictions: %llu written\n",
	    FULL(s.minor_zero), FULL(s.major), FULL(s.evict_dirty));
	/* Zeros mapped beyond what was touched, by fault-around, count until they are evicted. */
	DEMO_ENSURE(s.touched_bytes >= NR_PAGES * DEMO_PAGE);
	DEMO_ENSURE(s.peak_bytes <= 64 * MIB && s.major > 0);
	printf(
	    "Conclusion: an address costs nothing until it is touched, and a touched page needs a "
	    "frame only while it is used: %llu pages of 64 GiB lived in %llu frames, every byte "
	    "right.\n",
	    FULL(NR_PAGES), FULL(pages(s.ram_bytes)));
	return demo_end();
}
