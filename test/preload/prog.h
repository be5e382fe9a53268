// SPDX-License-Identifier: MIT
/*
 * For the test programs of the preload library: ordinary programs that check themselves, run plain
 * and under any pager. Everything that they hand to the kernel comes from managed(), whose pages
 * may go away at any time.
 */
#ifndef FL_TEST_PROG_H
#define FL_TEST_PROG_H

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define CHECK(cond)                                                                              \
	do {                                                                                     \
		if (!(cond)) {                                                                   \
			fprintf(stderr, "%s:%d: %s (errno %d: %s)\n", __FILE__, __LINE__, #cond, \
			    errno, strerror(errno));                                             \
			_Exit(1);                                                                \
		}                                                                                \
	} while (0)

static inline void *managed_pages(size_t bytes)
{
	void *p = mmap(NULL, bytes < 65536 ? 65536 : bytes, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(p != MAP_FAILED);
	return p;
}

/* Small pieces, each ending or beginning in the middle of a page now and then. */
static inline void *managed(size_t bytes)
{
	static char *at, *end;

	bytes = (bytes + 15) & ~(size_t)15;
	if (!at || (size_t)(end - at) < bytes) {
		size_t size = bytes + (1 << 20);

		at = managed_pages(size);
		end = at + size;
	}
	void *p = at;
	at += bytes;
	return p;
}

static inline void *managed_copy(const void *from, size_t bytes)
{
	return memcpy(managed(bytes), from, bytes);
}

static inline char *managed_string(const char *text)
{
	return managed_copy(text, strlen(text) + 1);
}

static inline uint64_t next_random(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

static inline void fill_random(void *mem, size_t bytes, uint64_t seed)
{
	unsigned char *p = mem;

	seed = seed * 2654435761u + 1;
	for (size_t i = 0; i < bytes; i++)
		p[i] = (unsigned char)(next_random(&seed) >> 16);
}

/* Seccomp filters in force: one is inherited, and no generation may add its own. */
static inline int nr_filters(void)
{
	char line[200];
	int nr = 0;
	FILE *f = fopen("/proc/self/status", "r");

	while (f && fgets(line, sizeof(line), f))
		sscanf(line, "Seccomp_filters: %d", &nr);
	if (f)
		fclose(f);
	return nr;
}

#endif
