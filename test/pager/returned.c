// SPDX-License-Identifier: MIT
/*
 * What a program gives back is given back at once, frames and slots: returned HOW, with 1 MiB of
 * RAM and a swap file of 12 MiB, fills 8 MiB 12 times, and gives them back in between. Were slots
 * kept, the swap file would be full in the second round.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/types.h"
#include "check.h"

#define NR_PAGES 2048u
#define BYTES    (NR_PAGES * PAGE_BYTES)
#define ROUNDS   12

static char *map(void *at, int flags)
{
	char *p =
	    mmap(at, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);

	CHECK(p != MAP_FAILED && (!at || p == at));
	return p;
}

static char *by_munmap(char *p)
{
	CHECK(munmap(p, BYTES) == 0);
	return map(NULL, 0);
}

static char *by_dontneed(char *p)
{
	CHECK(madvise(p, BYTES, MADV_DONTNEED) == 0);
	return p;
}

static char *by_free(char *p)
{
	CHECK(madvise(p, BYTES, MADV_FREE) == 0);
	return p;
}

static char *by_fixed(char *p)
{
	return map(p, MAP_FIXED);
}

static char *by_mremap(char *p)
{
	CHECK(mremap(p, BYTES, PAGE_BYTES, 0) == p);
	p = mremap(p, PAGE_BYTES, BYTES, MREMAP_MAYMOVE);
	CHECK(p != MAP_FAILED);
	return p;
}

static const struct {
	const char *name;
	char *(*give_back)(char *p);
} ways[] = {
    {"munmap", by_munmap},
    {"dontneed", by_dontneed},
    {"free", by_free},
    {"fixed", by_fixed},
    {"mremap", by_mremap},
};

static void fill_and_check(char *p, uint64_t seed)
{
	for (int pass = 0; pass < 2; pass++)
		for (size_t i = 0; i < NR_PAGES; i++) {
			uint64_t *words = (uint64_t *)(p + i * PAGE_BYTES),
			         x = seed * NR_PAGES + i + 1;

			/* Nothing that compresses. */
			for (size_t k = 0; k < PAGE_BYTES / 8; k++) {
				x ^= x << 13, x ^= x >> 7, x ^= x << 17;
				if (!pass)
					words[k] = x;
				CHECK(words[k] == x);
			}
		}
}

int main(int argc, char **argv)
{
	char *(*give_back)(char *p) = NULL;

	for (size_t i = 0; i < sizeof(ways) / sizeof(*ways); i++)
		if (argc == 2 && !strcmp(argv[1], ways[i].name))
			give_back = ways[i].give_back;
	CHECK(give_back);
	char *p = map(NULL, 0);
	for (uint64_t round = 0; round < ROUNDS; round++) {
		fill_and_check(p, round);
		p = give_back(p);
	}
	return 0;
}
