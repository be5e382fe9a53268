// SPDX-License-Identifier: MIT
/*
 * Memory four times as large as RAM, of which an eighth is hot: hot HOW NUMBER touches it so often
 * at random, all but one time in fifty where it is hot; one touch in sixteen is a write. HOW is
 * "blocks" (eight pages that lie together are hot, and touched together, or none of them) or
 * "pages" (one of eight). What it counts as faults is the caller's to look at; that every value is
 * right is looked at here.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/types.h"
#include "check.h"

#define NR_PAGES  4096u
#define BYTES     (NR_PAGES * PAGE_BYTES)
#define PER_BLOCK 8u

static char *area;
static uint64_t expected[NR_PAGES]; /* not managed */

static void put(uint64_t page, uint64_t value)
{
	expected[page] = value;
	memcpy(area + page * PAGE_BYTES, &value, sizeof(value));
}

static void look_at(uint64_t page)
{
	uint64_t value;

	memcpy(&value, area + page * PAGE_BYTES, sizeof(value));
	CHECK(value == expected[page]);
	if (random_below(16) == 0)
		put(page, value + 1);
}

int main(int argc, char **argv)
{
	CHECK(argc == 3);
	bool in_blocks = !strcmp(argv[1], "blocks");
	uint64_t nr = strtoul(argv[2], NULL, 10), nr_blocks = NR_PAGES / PER_BLOCK;

	area = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(area != MAP_FAILED);
	for (uint64_t page = 0; page < NR_PAGES; page++)
		put(page, page * 31);
	for (uint64_t i = 0; i < nr; i++) {
		uint64_t hot = random_below(nr_blocks);

		if (random_below(50) == 0)
			look_at(random_below(NR_PAGES));
		else if (in_blocks) /* one block in eight, all of it */
			for (uint64_t k = 0; k < PER_BLOCK; k++)
				look_at(hot / PER_BLOCK * PER_BLOCK * PER_BLOCK + k);
		else /* of each block one page */
			look_at(hot * PER_BLOCK + hot * 5 % PER_BLOCK);
	}
	return 0;
}
