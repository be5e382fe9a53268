// SPDX-License-Identifier: MIT
/* One address, split into indices and offset, and walked through four levels; then what the
 * permission bits refuse. */
#include "machine.h"

#define CODE  0x0000000000401000ull
#define CONST 0x0000000000402000ull
#define HEAP  0x00007f1234567000ull

static void print_split(uint64_t va)
{
	printf("The address 0x%016llx:\n", (unsigned long long)va);
	for (int level = 4; level >= 1; level--) {
		unsigned index = (unsigned)(va >> (12 + 9 * (level - 1))) & 511;

		printf("  bits %2d-%2d  L%d index  %3u  = ", 11 + 9 * level, 3 + 9 * level, level,
		    index);
		for (int bit = 8; bit >= 0; bit--)
			putchar('0' + (index >> bit & 1));
		putchar('\n');
	}
	printf("  bits 11- 0  offset  0x%03llx\n\n", (unsigned long long)va & 0xfff);
}

static void try(
    struct fl_space *space, const char *what, uint64_t va, enum fl_access access, enum fl_mode mode)
{
	struct fl_walk walk;

	fl_space_translate(space, va, access, mode, &walk);
	printf("%s:\n", what);
	print_walk(&walk);
	putchar('\n');
}

int main(void)
{
	struct machine m = machine_new(1024, NULL);
	struct fl_walk walk;

	map_fresh(m.space, CODE, 4096, FL_PAGE_4K, FL_READ | FL_EXEC | FL_USER);
	map_fresh(m.space, CONST, 4096, FL_PAGE_4K, FL_READ | FL_USER);
	map_fresh(m.space, HEAP, 4096, FL_PAGE_4K, DEMO_RW);
	map_fresh(m.space, 0xffff888000000000, 2 * MIB, FL_PAGE_2M, FL_READ | FL_WRITE);

	print_split(HEAP + 0xabc);
	puts(
	    "P present, W writable, U user, X executable, A accessed, D dirty, G global, C shared\n"
	    "copy-on-write. Entries are shown as they were before the access.\n");
	try(m.space, "A write to it walks four tables", HEAP + 0xabc, FL_ACCESS_WRITE,
	    FL_MODE_USER);
	DEMO_ENSURE(fl_space_walk(m.space, HEAP + 0xabc, FL_ACCESS_READ, FL_MODE_USER, &walk) == 0);
	DEMO_ENSURE(walk.nr_steps == 4 && walk.pa % 4096 == 0xabc);
	try(m.space, "A second read finds A and D set", HEAP + 0xabc, FL_ACCESS_READ, FL_MODE_USER);
	try(m.space, "A write to a constant", CONST + 8, FL_ACCESS_WRITE, FL_MODE_USER);
	try(m.space, "A jump into the heap", HEAP, FL_ACCESS_EXEC, FL_MODE_USER);
	try(m.space, "A user's look at the kernel, whose 2 MiB page ends the walk at level 2",
	    0xffff888000001000, FL_ACCESS_READ, FL_MODE_USER);
	try(m.space, "A null pointer", 0, FL_ACCESS_READ, FL_MODE_USER);
	try(m.space, "An address with a hole in it", 0x0000900000000000, FL_ACCESS_READ,
	    FL_MODE_USER);
	puts(
	    "Conclusion: an address is four indices and an offset; each index picks one entry, and "
	    "every access asks every entry on its way for permission.");
	machine_end(&m);
	return demo_end();
}
