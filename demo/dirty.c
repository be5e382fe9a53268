// SPDX-License-Identifier: MIT
/* Evicting clean and dirty pages: what is written, and what need not be. */
#include "live.h"

#define RAM      (16 * MIB)
#define NR_PAGES 8192ull /* 32 MiB: twice RAM */

static struct fl_stats before;

static struct fl_stats row(const char *what)
{
	struct fl_stats s = live_stats(),
	                d = {
	                    .evict_clean = s.evict_clean - before.evict_clean,
	                    .evict_dirty = s.evict_dirty - before.evict_dirty,
	                    .evict_zero = s.evict_zero - before.evict_zero,
	                    .same_content = s.same_content - before.same_content,
	                    .swap_written_bytes = s.swap_written_bytes - before.swap_written_bytes,
	                    .swap_read_bytes = s.swap_read_bytes - before.swap_read_bytes,
	                };

	printf("%-36s %7llu %7llu %7llu %9llu KiB %9llu KiB\n", what,
	    (unsigned long long)d.evict_clean, (unsigned long long)d.evict_dirty,
	    (unsigned long long)d.evict_zero, (unsigned long long)(d.swap_written_bytes / KIB),
	    (unsigned long long)(d.swap_read_bytes / KIB));
	before = s;
	return d;
}

int main(void)
{
	live_open(RAM, NULL);
	void *at = live_map(NR_PAGES * DEMO_PAGE);

	printf("%llu pages (32 MiB) in 16 MiB of RAM. Each pass ends with all of them evicted.\n\n",
	    NR_PAGES);
	printf("%-36s %7s %7s %7s %13s %13s\n", "", "clean", "dirty", "zero", "written", "read");

	write_pages(at, NR_PAGES, 1);
	fl_evict(at, NR_PAGES * DEMO_PAGE);
	struct fl_stats fresh = row("write every page");

	DEMO_ENSURE(read_pages(at, NR_PAGES) == sum_of_pages(NR_PAGES, 1));
	fl_evict(at, NR_PAGES * DEMO_PAGE);
	struct fl_stats read = row("read every page");

	write_pages(at, NR_PAGES, 1);
	fl_evict(at, NR_PAGES * DEMO_PAGE);
	struct fl_stats same = row("write what is there already");

	for (uint64_t i = 0; i < NR_PAGES; i += 4)
		*word_of(at, i) = 1000000 + i;
	fl_evict(at, NR_PAGES * DEMO_PAGE);
	struct fl_stats quarter = row("write every fourth page anew");

	memset(at, 0, NR_PAGES * DEMO_PAGE);
	fl_evict(at, NR_PAGES * DEMO_PAGE);
	struct fl_stats zero = row("zero every page");

	DEMO_ENSURE(fresh.evict_dirty == NR_PAGES);
	DEMO_ENSURE(read.evict_dirty == 0 && read.swap_written_bytes == 0);
	DEMO_ENSURE(same.evict_dirty == 0 && same.swap_written_bytes == 0);
	DEMO_ENSURE(quarter.evict_dirty == NR_PAGES / 4);
	DEMO_ENSURE(zero.evict_zero == NR_PAGES && zero.swap_written_bytes == 0);
	printf(
	    "\nOf the pages written over with the same bytes, %llu were found unchanged by their "
	    "checksum.\n",
	    (unsigned long long)same.same_content);
	printf("Conclusion: a clean page has its copy in swap and is dropped, a dirty one must be "
	       "written first: %llu KiB against none for the same %llu evictions.\n",
	    (unsigned long long)(fresh.swap_written_bytes / KIB), NR_PAGES);
	return demo_end();
}
