// SPDX-License-Identifier: MIT
/* Two spaces taking turns: CR3 reloaded without and with ASIDs, and a global page of the kernel. */
#include "machine.h"

#define PROGRAM  0x0000555555554000ull
#define KERNEL   0xffffffff81000000ull
#define NR_PAGES 20u
#define NR_TURNS 1000u

static struct fl_mmu_counts run(const char *what, uint32_t nr_asids, bool is_global)
{
	struct fl_mmu_config config = *fl_mmu_preset_find("intel-skylake");
	struct fl_mmu_counts c;
	struct fl_space *space[2];
	struct machine m;
	uint64_t v;

	config.nr_asids = nr_asids;
	m = machine_new(4096, &config);
	space[0] = m.space;
	space[1] = fl_space_open(m.phys);
	DEMO_ENSURE(space[1]);
	map_fresh(space[0], KERNEL, 4096, FL_PAGE_4K, DEMO_RW | (is_global ? FL_GLOBAL : 0));
	DEMO_ENSURE(fl_space_share(space[1], KERNEL, space[0], KERNEL, false) == 0);
	for (int i = 0; i < 2; i++)
		map_fresh(space[i], PROGRAM, NR_PAGES * 4096, FL_PAGE_4K, DEMO_RW);
	fl_mmu_reset_counts(m.mmu);
	for (uint32_t turn = 0; turn < NR_TURNS; turn++) {
		DEMO_ENSURE(fl_mmu_switch(m.mmu, space[turn % 2]) == 0);
		DEMO_ENSURE(fl_load(m.mmu, KERNEL, &v, 8) == 0);
		for (uint64_t p = 0; p < NR_PAGES; p++)
			DEMO_ENSURE(fl_load(m.mmu, PROGRAM + p * 4096, &v, 8) == 0);
	}
	c = counts_of(&m);
	printf("%-32s %8llu %8llu %8llu %8llu %10llu\n", what, (unsigned long long)c.switches,
	    (unsigned long long)c.flushes, (unsigned long long)c.accesses,
	    (unsigned long long)c.walks, (unsigned long long)c.walk_reads);
	fl_space_close(space[1]);
	machine_end(&m);
	return c;
}

int main(void)
{
	struct fl_mmu_counts plain, global, tagged;

	printf("Two programs of %u pages each take turns, and enter the kernel (1 page) each "
	       "time.\n\n",
	    NR_PAGES);
	printf("%-32s %8s %8s %8s %8s %10s\n", "", "switches", "flushes", "accesses", "walks",
	    "walk reads");
	plain = run("no ASIDs", 0, false);
	global = run("no ASIDs, kernel page global", 0, true);
	tagged = run("ASIDs", 16, false);
	DEMO_ENSURE(plain.walks == NR_TURNS * (NR_PAGES + 1));
	DEMO_ENSURE(global.walks == NR_TURNS * NR_PAGES + 1);
	DEMO_ENSURE(tagged.walks == 2 * (NR_PAGES + 1) && tagged.flushes == 0);
	printf("\nConclusion: without ASIDs every switch throws the TLB away, global pages apart, "
	       "and costs "
	       "%llu walks; with them %llu walks are enough for all %u turns.\n",
	    (unsigned long long)(plain.walks / NR_TURNS), (unsigned long long)tagged.walks,
	    NR_TURNS);
	return demo_end();
}
