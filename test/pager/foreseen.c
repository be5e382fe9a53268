// SPDX-License-Identifier: MIT
/*
 * Pages that are read and then written, round after round, in an order that no readahead follows:
 * foreseen WRITING-ROUNDS READING-ROUNDS. What it counts as faults, and what is written to swap, is
 * the caller's to look at; that every value is right is looked at here.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "base/types.h"
#include "check.h"

#define NR_PAGES 2048u
#define BYTES    (NR_PAGES * PAGE_BYTES)
#define STEP     919u /* odd, so that every page has its turn */

static volatile uint64_t *word(char *area, uint32_t i)
{
	return (volatile uint64_t *)(area + (size_t)(i * STEP % NR_PAGES) * PAGE_BYTES);
}

int main(int argc, char **argv)
{
	CHECK(argc == 3);
	uint64_t nr_writing = strtoul(argv[1], NULL, 10), nr_reading = strtoul(argv[2], NULL, 10);
	char *area = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(area != MAP_FAILED);
	for (uint32_t i = 0; i < NR_PAGES; i++)
		*word(area, i) = i + 1;
	for (uint64_t round = 0; round < nr_writing + nr_reading; round++)
		for (uint32_t i = 0; i < NR_PAGES; i++) {
			volatile uint64_t *w = word(area, i);

			CHECK(*w == i + 1 + (round < nr_writing ? round : nr_writing));
			if (round < nr_writing)
				++*w;
		}
	return 0;
}
