// SPDX-License-Identifier: MIT
/*
 * Runs of pages, one behind the other, that begin at random places of memory four times as large as
 * RAM: runs LENGTH NUMBER [LENGTH NUMBER ...], one after the other; of length 0: the first quarter,
 * one page after the other, and NUMBER random ones before each. What it counts as faults
 * and reads is the caller's to look at; that every value is right is looked at here.
 */
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "base/types.h"
#include "check.h"

#define NR_PAGES 16384u
#define WORDS    (PAGE_BYTES / sizeof(uint64_t))

static uint64_t *area;

static void look_at(uint64_t page)
{
	CHECK(area[page * WORDS + page % WORDS] == page * 31 + 1);
}

static void run(uint64_t length)
{
	uint64_t first = random_below(NR_PAGES - length + 1);

	for (uint64_t page = first; page < first + length; page++)
		look_at(page);
}

static void slow_stream(uint64_t nr_between)
{
	for (uint64_t page = 0; page < NR_PAGES / 4; page++) {
		for (uint64_t i = 0; i < nr_between; i++)
			look_at(random_below(NR_PAGES));
		look_at(page);
	}
}

int main(int argc, char **argv)
{
	area = mmap(NULL, NR_PAGES * PAGE_BYTES, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(area != MAP_FAILED);
	for (uint64_t page = 0; page < NR_PAGES; page++)
		area[page * WORDS + page % WORDS] = page * 31 + 1;
	for (int i = 1; i + 1 < argc; i += 2) {
		uint64_t length = strtoul(argv[i], NULL, 10), nr = strtoul(argv[i + 1], NULL, 10);

		CHECK(length <= NR_PAGES);
		if (!length)
			slow_stream(nr);
		for (; length && nr > 0; nr--)
			run(length);
	}
	return 0;
}
