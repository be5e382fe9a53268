// SPDX-License-Identifier: MIT
/*
 * What free() gives back never goes to swap: freed HOW takes 16 MiB of nothing that compresses from
 * malloc, frees it, and then reads so much fresh memory that all else has to leave RAM. Pages of
 * zeros leave unwritten, so that what is written to swap, which is the caller's to look at, is what
 * was not given back. HOW:
 *
 *     large    blocks that malloc maps one by one
 *     small    ... that lie together in its heap, or
 *     thread   in the arena of another thread
 *     trimmed  ... in the heap, below one that stays, and then malloc_trim()
 *     kept     nothing is freed
 */
#include <malloc.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/types.h"
#include "check.h"

#define BYTES       (16u << 20)
#define OTHER_BYTES (64u << 20)
#define LARGE       (1u << 20)
#define SMALL       2000u
#define MAX_BLOCKS  (BYTES / SMALL)

static void *blocks[MAX_BLOCKS]; /* not managed */

static size_t take(size_t size)
{
	size_t nr = BYTES / size;

	for (size_t i = 0; i < nr; i++) {
		blocks[i] = malloc(size);
		CHECK(blocks[i]);
		for (size_t k = 0; k < size / 8; k++)
			((uint64_t *)blocks[i])[k] = random_below(UINT64_MAX);
	}
	return nr;
}

static void *give_back(void *how_)
{
	const char *how = how_;
	bool is_trimmed = !strcmp(how, "trimmed");
	size_t nr = take(strcmp(how, "large") ? SMALL : LARGE);
	void *above = malloc(SMALL);

	if (!is_trimmed)
		free(above);
	for (size_t i = 0; i < nr && strcmp(how, "kept"); i++)
		free(blocks[i]);
	if (is_trimmed)
		CHECK(malloc_trim(0));
	return NULL;
}

static void press(void)
{
	volatile char *other =
	    mmap(NULL, OTHER_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(other != MAP_FAILED);
	for (int round = 0; round < 2; round++)
		for (size_t i = 0; i < OTHER_BYTES; i += PAGE_BYTES)
			CHECK(other[i] == 0);
}

int main(int argc, char **argv)
{
	pthread_t thread;

	CHECK(argc == 2);
	if (!strcmp(argv[1], "thread")) {
		CHECK(pthread_create(&thread, NULL, give_back, argv[1]) == 0);
		CHECK(pthread_join(thread, NULL) == 0);
	} else {
		give_back(argv[1]);
	}
	press();
	return 0;
}
