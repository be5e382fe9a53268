// SPDX-License-Identifier: MIT
/* The matrix of demo tlb in 2 MiB pages; and what large pages waste. */
#include "matrix.h"

#define NR_BUFFERS   100u
#define BUFFER_BYTES (10 * KIB)

/* Frames that @NR_BUFFERS buffers far from each other take in pages of size @page. */
static uint64_t waste(enum fl_page page)
{
	struct machine m = machine_new(262144, NULL);
	uint64_t unit = fl_page_bytes(page), bytes = (BUFFER_BYTES + unit - 1) / unit * unit;
	struct fl_phys_stats stats;

	for (uint64_t i = 0; i < NR_BUFFERS; i++)
		map_fresh(m.space, MATRIX + i * 16 * MIB, bytes, page, DEMO_RW);
	fl_phys_stats(m.phys, &stats);
	printf("%-8s %10llu KiB %10llu KiB %8llu\n", page == FL_PAGE_4K ? "4 KiB" : "2 MiB",
	    (unsigned long long)(NR_BUFFERS * BUFFER_BYTES / KIB),
	    (unsigned long long)(stats.nr_data * 4), (unsigned long long)stats.nr_tables);
	machine_end(&m);
	return stats.nr_data;
}

int main(void)
{
	const struct fl_mmu_config *config = fl_mmu_preset_find("intel-skylake");
	struct fl_mmu_counts small, large;
	uint64_t small_frames, large_frames;

	printf("Level 1 of %s reaches %llu KiB in 4 KiB pages, %llu MiB in 2 MiB pages.\n\n",
	    config->name, (unsigned long long)(fl_mmu_reach(config, 0, FL_PAGE_4K) / KIB),
	    (unsigned long long)(fl_mmu_reach(config, 0, FL_PAGE_2M) / MIB));
	print_matrix_head();
	small = run_matrix(config, FL_PAGE_4K, true);
	large = run_matrix(config, FL_PAGE_2M, true);
	DEMO_ENSURE(large.walks == MATRIX_BYTES / (2 * MIB) && small.walks > 1000 * large.walks);

	printf("\n%u buffers of %llu KiB, far from each other:\n", NR_BUFFERS, BUFFER_BYTES / KIB);
	printf("%-8s %14s %14s %8s\n", "pages", "used", "taken", "tables");
	small_frames = waste(FL_PAGE_4K);
	large_frames = waste(FL_PAGE_2M);
	DEMO_ENSURE(small_frames == NR_BUFFERS * 3 && large_frames == NR_BUFFERS * 512);
	printf("\nConclusion: %llu large pages replace %llu small ones, and %llu walks become "
	       "%llu; but what "
	       "is not dense then takes %llu times the memory.\n",
	    (unsigned long long)(MATRIX_BYTES / (2 * MIB)), (unsigned long long)MATRIX_NR_4K,
	    (unsigned long long)small.walks, (unsigned long long)large.walks,
	    (unsigned long long)(large_frames / small_frames));
	return demo_end();
}
