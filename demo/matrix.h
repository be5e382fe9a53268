// SPDX-License-Identifier: MIT
/* A matrix of doubles, one row a 4 KiB page, summed by rows or by columns: tlb and hugepages. */
#ifndef FL_DEMO_MATRIX_H
#define FL_DEMO_MATRIX_H

#include "machine.h"

#define MATRIX       0x0000100000000000ull
#define NR_ROWS      2048u
#define NR_COLUMNS   512u
#define MATRIX_BYTES (NR_ROWS * NR_COLUMNS * 8ull)
#define NR_ELEMENTS  (NR_ROWS * NR_COLUMNS)
#define MATRIX_NR_4K (MATRIX_BYTES / 4096)

static inline double sum_matrix(struct machine *m, bool by_columns)
{
	double sum = 0;

	for (uint64_t i = 0; i < NR_ELEMENTS; i++) {
		uint64_t row = by_columns ? i % NR_ROWS : i / NR_COLUMNS;
		uint64_t column = by_columns ? i / NR_ROWS : i % NR_COLUMNS;
		double v = 0;

		DEMO_ENSURE(fl_load(m->mmu, MATRIX + (row * NR_COLUMNS + column) * 8, &v, 8) == 0);
		sum += v + 1;
	}
	return sum;
}

/* Sum the matrix in pages of size @page with a cold TLB, and print a line of counters. */
static inline struct fl_mmu_counts run_matrix(
    const struct fl_mmu_config *config, enum fl_page page, bool by_columns)
{
	struct machine m = machine_new(8192, config);
	struct fl_mmu_counts c;

	map_fresh(m.space, MATRIX, MATRIX_BYTES, page, DEMO_RW);
	DEMO_ENSURE(sum_matrix(&m, by_columns) == NR_ELEMENTS);
	c = counts_of(&m);
	printf("%-14s %-6s %9llu %9llu %9llu %9llu %11llu\n",
	    by_columns ? "column-major" : "row-major", page == FL_PAGE_4K ? "4 KiB" : "2 MiB",
	    (unsigned long long)c.accesses, (unsigned long long)c.level[0].misses,
	    (unsigned long long)c.level[1].hits, (unsigned long long)c.walks,
	    (unsigned long long)c.walk_reads);
	machine_end(&m);
	return c;
}

static inline void print_matrix_head(void)
{
	printf("%-14s %-6s %9s %9s %9s %9s %11s\n", "order", "pages", "accesses", "L1 misses",
	    "L2 hits", "walks", "walk reads");
}

#endif
