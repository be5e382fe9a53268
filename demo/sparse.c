// SPDX-License-Identifier: MIT
/* A 48-bit space sparsely used: what its tables cost, against a flat table. */
#include "machine.h"

#define NR_LONE 1000u

static void report(const struct fl_space *space, const char *what)
{
	struct fl_space_stats s;

	fl_space_stats(space, &s);
	double pages = (double)s.nr_pages[FL_PAGE_4K];
	printf("%-44s %8.0f %8llu %9llu KiB", what, pages, (unsigned long long)s.nr_tables,
	    (unsigned long long)(s.nr_tables * 4));
	if (pages > 0)
		printf(" %8.1f %%", 100.0 * (double)s.nr_tables / pages);
	putchar('\n');
}

/* Page @i of those scattered over the lower half. */
static uint64_t lone(uint64_t i)
{
	return (i * 0x9e3779b97f4a7c15ull >> 17) & ~0xfffull;
}

int main(void)
{
	const uint64_t flat = (1ull << 36) * 8;
	struct machine m = machine_new(200000, NULL);
	uint64_t compact, scattered;

	printf("%-44s %8s %8s %13s %10s\n", "", "pages", "tables", "table bytes", "overhead");
	report(m.space, "nothing mapped: the root");
	DEMO_ENSURE(tables_of(m.space) == 1);
	map_fresh(m.space, 0x400000, 2 * MIB, FL_PAGE_4K, FL_READ | FL_EXEC | FL_USER);
	map_fresh(m.space, 0x0000555500000000, 256 * MIB, FL_PAGE_4K, DEMO_RW);
	map_fresh(m.space, 0x00007ffffff00000, 64 * KIB, FL_PAGE_4K, DEMO_RW);
	compact = tables_of(m.space);
	report(m.space, "a program: 2 MiB code, 256 MiB heap, stack");
	fl_space_unmap(m.space, 0, 1ull << 47);

	for (uint64_t i = 1; i <= NR_LONE; i++)
		map_fresh(m.space, lone(i), 4096, FL_PAGE_4K, DEMO_RW);
	scattered = tables_of(m.space);
	report(m.space, "1000 lone pages, scattered over 128 TiB");
	DEMO_ENSURE(scattered > 2 * NR_LONE && scattered <= 1 + 3 * NR_LONE);
	DEMO_ENSURE(fl_space_unmap(m.space, 0, 1ull << 47) == NR_LONE);
	report(m.space, "all unmapped again");
	DEMO_ENSURE(tables_of(m.space) == 1);

	printf("\nA flat table of 2^36 entries of 8 bytes: %llu GiB for each process, whatever it "
	       "uses.\n",
	    (unsigned long long)(flat / GIB));
	printf("Conclusion: a tree pays for what is used: %llu KiB instead of %llu GiB for an "
	       "ordinary "
	       "program; at worst, pages far from each other, three tables a page.\n",
	    (unsigned long long)compact * 4, (unsigned long long)(flat / GIB));
	machine_end(&m);
	return demo_end();
}
