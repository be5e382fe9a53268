// SPDX-License-Identifier: MIT
/*
 * malloc: blocks of all sizes that keep their bytes while others come and go, grow, and are given
 * back; zeros from calloc; several threads, forks beside them, and children that go on with what
 * they got; the break, which is the program's own.
 */
#include "prog.h"

#include <malloc.h>
#include <pthread.h>
#include <stdbool.h>
#include <sys/wait.h>
#include <unistd.h>

#define NR_BLOCKS  500u
#define NR_THREADS 4u
#define NR_ROUNDS  3u

struct block {
	unsigned char *p;
	size_t bytes;
	unsigned char what;
};

static uint32_t next(uint32_t *seed)
{
	*seed = *seed * 1664525u + 1013904223u;
	return *seed >> 8;
}

/* Mostly small, as programs have them. */
static size_t some_size(uint32_t *seed)
{
	uint32_t r = next(seed);

	return r % 100 == 0 ? 200000 + r % 400000 : r % 10 == 0 ? 1 + r % 20000 : 1 + r % 700;
}

static void fill(struct block *b, size_t from)
{
	memset(b->p + from, b->what, b->bytes - from);
}

static bool is_whole(const struct block *b)
{
	for (size_t i = 0; i < b->bytes; i++)
		if (b->p[i] != b->what)
			return false;
	return true;
}

static void change(struct block *b, uint32_t *seed)
{
	size_t old = b->bytes;

	if (!b->p || next(seed) % 3 == 0) {
		free(b->p);
		b->bytes = some_size(seed);
		b->what = (unsigned char)next(seed);
		b->p = next(seed) % 2 ? malloc(b->bytes) : calloc(1, b->bytes);
		CHECK(b->p);
		fill(b, 0);
		return;
	}
	b->bytes = some_size(seed);
	b->p = realloc(b->p, b->bytes);
	CHECK(b->p);
	if (b->bytes > old)
		fill(b, old);
}

static void churn(struct block *blocks, uint32_t nr, uint32_t *seed)
{
	for (uint32_t i = 0; i < nr; i++) {
		struct block *b = &blocks[next(seed) % nr];

		CHECK(!b->p || is_whole(b));
		change(b, seed);
	}
	for (uint32_t i = 0; i < nr; i++)
		CHECK(!blocks[i].p || is_whole(&blocks[i]));
}

static void free_all(struct block *blocks, uint32_t nr)
{
	for (uint32_t i = 0; i < nr; i++) {
		free(blocks[i].p);
		blocks[i].p = NULL;
		blocks[i].bytes = 0;
	}
}

/* What was given back and taken again is zero. */
static void check_zeros(void)
{
	for (int round = 0; round < 3; round++) {
		unsigned char *p[40];

		for (size_t i = 0; i < 40; i++) {
			p[i] = calloc(1, 100000);
			CHECK(p[i]);
			for (size_t k = 0; k < 100000; k += 97)
				CHECK(!p[i][k]);
			memset(p[i], 0xa5, 100000);
		}
		for (size_t i = 0; i < 40; i++)
			free(p[i]);
		if (round == 1)
			malloc_trim(0);
	}
}

/* By mremap, in place or not. */
static void check_large(void)
{
	struct block b = {.p = malloc(1 << 20), .bytes = 1 << 20, .what = 0x3c};

	CHECK(b.p);
	fill(&b, 0);
	for (size_t bytes = 2 << 20; bytes <= 16 << 20; bytes *= 2) {
		size_t old = b.bytes;

		b.p = realloc(b.p, b.bytes = bytes);
		CHECK(b.p);
		fill(&b, old);
	}
	CHECK(is_whole(&b));
	b.p = realloc(b.p, b.bytes = 3 << 20);
	CHECK(b.p && is_whole(&b));
	free(b.p);
}

static void check_break(void)
{
	char *start = sbrk(0), *p = sbrk(3 * 4096 + 5);

	CHECK(start != (void *)-1 && p == start && sbrk(0) == p + 3 * 4096 + 5);
	memset(p, 0x77, 3 * 4096 + 5);
	void *block = malloc(50000);
	CHECK(block);
	for (size_t i = 0; i < 3 * 4096 + 5; i++)
		CHECK(p[i] == 0x77);
	free(block);
	if (sbrk(0) == p + 3 * 4096 + 5) {
		CHECK(!brk(p));
		CHECK(sbrk(0) == p);
	}
}

/* Where malloc is libc's and paged, it is where paged memory is, large or small. */
static void check_place(void)
{
	const char *asked = getenv("FAULTLINE_MALLOC");
	void *large = malloc(8 << 20), *small[8];

	CHECK(large);
	for (int i = 0; i < 8; i++) /* the first ones where malloc was before, perhaps */
		CHECK((small[i] = malloc(60000)));
	if (asked && (!strcmp(asked, "libc") || !strcmp(asked, "auto"))) {
		CHECK((uintptr_t)small[7] >> 44 == 0x4);
		CHECK((uintptr_t)large >> 44 == 0x4);
	}
	for (int i = 0; i < 8; i++)
		free(small[i]);
	free(large);
}

static void *thread(void *arg)
{
	uint32_t seed = (uint32_t)(uintptr_t)arg;
	struct block *blocks = calloc(NR_BLOCKS / 4, sizeof(*blocks));

	CHECK(blocks);
	check_place();
	for (uint32_t i = 0; i < NR_ROUNDS / 2; i++)
		churn(blocks, NR_BLOCKS / 4, &seed);
	free_all(blocks, NR_BLOCKS / 4);
	free(blocks);
	return NULL;
}

static void fork_beside(struct block *blocks, uint32_t *seed)
{
	int status;
	pid_t pid = fork();

	CHECK(pid >= 0);
	if (!pid) {
		churn(blocks, NR_BLOCKS / 4, seed);
		free_all(blocks, NR_BLOCKS);
		check_zeros();
		_exit(0);
	}
	CHECK(waitpid(pid, &status, 0) == pid && status == 0);
}

int main(void)
{
	static struct block blocks[NR_BLOCKS];
	pthread_t threads[NR_THREADS];
	uint32_t seed = 42;

	check_place();
	check_break();
	for (uint32_t i = 0; i < NR_ROUNDS; i++)
		churn(blocks, NR_BLOCKS, &seed);
	check_large();
	check_zeros();
	for (uintptr_t i = 0; i < NR_THREADS; i++)
		CHECK(!pthread_create(&threads[i], NULL, thread, (void *)(i + 7)));
	for (int i = 0; i < 4; i++)
		fork_beside(blocks, &seed);
	for (uint32_t i = 0; i < NR_THREADS; i++)
		CHECK(!pthread_join(threads[i], NULL));
	churn(blocks, NR_BLOCKS, &seed);
	free_all(blocks, NR_BLOCKS);
	malloc_trim(0);
	check_zeros();
	puts("ok");
	return 0;
}
