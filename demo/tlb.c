// SPDX-License-Identifier: MIT
/* The same sum by rows and by columns: the same accesses, another order, another TLB. */
#include "matrix.h"

int main(void)
{
	const struct fl_mmu_config *config = fl_mmu_preset_find("intel-skylake");
	struct fl_mmu_counts rows, columns;

	printf("A matrix of %u rows of 4 KiB, one row a page: %llu MiB. TLB: %s,\n", NR_ROWS,
	    MATRIX_BYTES / MIB, config->name);
	printf(
	    "which reaches %llu KiB with level 1 (64 entries), %llu KiB with level 2 (1536).\n\n",
	    (unsigned long long)(fl_mmu_reach(config, 0, FL_PAGE_4K) / KIB),
	    (unsigned long long)(fl_mmu_reach(config, 1, FL_PAGE_4K) / KIB));
	print_matrix_head();
	rows = run_matrix(config, FL_PAGE_4K, false);
	columns = run_matrix(config, FL_PAGE_4K, true);
	DEMO_ENSURE(rows.walks == NR_ROWS && columns.walks > 100 * rows.walks);
	DEMO_ENSURE(columns.level[0].misses == NR_ELEMENTS);
	printf("\nConclusion: by rows one miss serves %u accesses; by columns the next use of a "
	       "page comes "
	       "after %u others, more than the TLB reaches, and %llu times as many walks are "
	       "needed.\n",
	    NR_COLUMNS, NR_ROWS - 1, (unsigned long long)(columns.walks / rows.walks));
	return demo_end();
}
