// SPDX-License-Identifier: MIT
/* One address in two spaces: two frames, two contents. */
#include <string.h>

#include "machine.h"

#define VA 0x0000555555554000ull

static uint64_t physical(struct fl_space *space)
{
	struct fl_walk walk;

	DEMO_ENSURE(fl_space_walk(space, VA, FL_ACCESS_READ, FL_MODE_USER, &walk) == 0);
	print_walk(&walk);
	return walk.pa;
}

static void write_text(struct machine *m, struct fl_space *space, const char *text)
{
	DEMO_ENSURE(fl_mmu_switch(m->mmu, space) == 0);
	DEMO_ENSURE(fl_store(m->mmu, VA, text, strlen(text) + 1) == 0);
}

static void read_text(struct machine *m, struct fl_space *space, char text[16])
{
	DEMO_ENSURE(fl_mmu_switch(m->mmu, space) == 0);
	DEMO_ENSURE(fl_load(m->mmu, VA, text, 16) == 0);
}

int main(void)
{
	struct machine m = machine_new(64, NULL);
	struct fl_space *other = fl_space_open(m.phys);
	struct fl_space_stats a, b;
	char first[16], second[16];
	uint64_t pa_first, pa_second;

	DEMO_ENSURE(other);
	map_fresh(m.space, VA, 4096, FL_PAGE_4K, DEMO_RW);
	map_fresh(other, VA, 4096, FL_PAGE_4K, DEMO_RW);
	write_text(&m, m.space, "first's");
	write_text(&m, other, "second's");
	read_text(&m, m.space, first);
	read_text(&m, other, second);
	fl_space_stats(m.space, &a);
	fl_space_stats(other, &b);

	printf("Space 1, CR3 = 0x%llx:\n", (unsigned long long)a.root);
	pa_first = physical(m.space);
	printf("  holds \"%s\"\n\nSpace 2, CR3 = 0x%llx:\n", first, (unsigned long long)b.root);
	pa_second = physical(other);
	printf("  holds \"%s\"\n\n", second);
	DEMO_ENSURE(pa_first != pa_second && !strcmp(first, "first's"));
	DEMO_ENSURE(!strcmp(second, "second's"));
	printf("1 address, 2 spaces, 2 frames: 0x%llx and 0x%llx\n",
	    (unsigned long long)(pa_first >> 12), (unsigned long long)(pa_second >> 12));
	puts("Conclusion: an address means nothing without a page table; neither space has any "
	     "entry "
	     "that leads to the other's frame, so neither can even name it.");
	fl_space_close(other);
	machine_end(&m);
	return demo_end();
}
