// SPDX-License-Identifier: MIT
/*
 * A hole that the program has made among its mappings stays one: the program may fill it without
 * asking (MAP_FIXED), so nothing of the pager's own may come to lie there, however much its tables
 * grow, its threads start and its calls are copied.
 */
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include "prog.h"

#define PAGE       4096ul
#define HOLE_BYTES (128ul << 20)
#define TABLE_SPAN (2ul << 20) /* one page of the page table */
#define NR_TABLES  700ul
#define CALL_BYTES (8ul << 20)

static void is_hole(char *hole)
{
	unsigned char vec;

	for (size_t at = 0; at < HOLE_BYTES; at += PAGE)
		CHECK(mincore(hole + at, PAGE, &vec) == -1 && errno == ENOMEM);
}

static void grow_tables(void)
{
	char *p = mmap(NULL, NR_TABLES * TABLE_SPAN, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	CHECK(p != MAP_FAILED);
	for (size_t i = 0; i < NR_TABLES; i++)
		p[i * TABLE_SPAN] = (char)i;
	for (size_t i = 0; i < NR_TABLES; i++)
		CHECK(p[i * TABLE_SPAN] == (char)i);
	CHECK(!munmap(p, NR_TABLES * TABLE_SPAN));
}

static void large_calls(void)
{
	char *from = managed_pages(CALL_BYTES);
	int zero = open("/dev/zero", O_RDONLY | O_CLOEXEC);
	stack_t alt = {.ss_sp = managed_pages(1 << 20), .ss_size = 1 << 20};

	CHECK(zero >= 0);
	memset(from, 1, CALL_BYTES);
	CHECK(read(zero, from, CALL_BYTES) == (ssize_t)CALL_BYTES);
	for (size_t i = 0; i < CALL_BYTES; i += PAGE)
		CHECK(!from[i]);
	CHECK(!sigaltstack(&alt, NULL));
	alt.ss_flags = SS_DISABLE;
	CHECK(!sigaltstack(&alt, NULL));
	CHECK(!munmap(alt.ss_sp, alt.ss_size) && !munmap(from, CALL_BYTES));
	close(zero);
}

int main(void)
{
	/* Nobody manages what is shared. */
	char *all = mmap(
	    NULL, 3 * HOLE_BYTES, PROT_NONE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	char *hole = all + HOLE_BYTES;

	CHECK(all != MAP_FAILED);
	CHECK(!munmap(hole, HOLE_BYTES));
	is_hole(hole);
	grow_tables();
	for (int round = 0; round < 3; round++)
		large_calls();
	is_hole(hole);
	printf("ok\n");
	return 0;
}
