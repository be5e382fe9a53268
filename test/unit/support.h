// SPDX-License-Identifier: MIT
/* For unit tests: seeded random numbers, failing the n-th system call, a place for swap files. */
#ifndef FL_TEST_SUPPORT_H
#define FL_TEST_SUPPORT_H

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

#include "base/sys.h"
#include "base/types.h"

struct rng {
	uint64_t state;
};

/* Seeded by FL_SEED, else by the clock; the seed is printed, so that a failure can be repeated. */
static inline struct rng rng_new(const char *test)
{
	const char *given = getenv("FL_SEED");
	uint64_t seed = given ? strtoull(given, NULL, 0) : now_ns() % 1000000007u;

	fprintf(stderr, "%s: FL_SEED=%llu\n", test, (unsigned long long)seed);
	return (struct rng){seed};
}

static inline uint64_t rng_next(struct rng *r)
{
	uint64_t z = r->state += 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

/* 0 .. @n - 1 */
static inline uint32_t rng_below(struct rng *r, uint32_t n)
{
	return (uint32_t)(rng_next(r) % n);
}

/* Page-aligned, zeroed memory for @nr pages. */
static inline char *pages_new(size_t nr)
{
	void *p =
	    mmap(NULL, nr * PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		abort();
	return p;
}

/* Fill the page at @buf with content that only @stamp has. */
static inline void page_stamp(void *buf, uint64_t stamp)
{
	uint64_t *word = buf;

	for (size_t i = 0; i < PAGE_BYTES / sizeof(*word); i++)
		word[i] = (stamp + 1) * 0x9e3779b97f4a7c15ull ^ i;
}

static inline bool page_has_stamp(const void *buf, uint64_t stamp)
{
	const uint64_t *word = buf;

	for (size_t i = 0; i < PAGE_BYTES / sizeof(*word); i++)
		if (word[i] != ((stamp + 1) * 0x9e3779b97f4a7c15ull ^ i))
			return false;
	return true;
}

/* A directory on a disk. */
static inline const char *scratch_dir(void)
{
	const char *dir = getenv("FL_TEST_DIR");

	return dir ? dir : "/var/tmp";
}

/* Fault injection: the call number inject_at (counted from 0; of number inject_nr only, unless
 * that is -1) fails with inject_error. */
static _Atomic long inject_at, inject_error, inject_nr;
static _Atomic bool inject_fired;

static inline long inject_hook(long nr)
{
	long only = atomic_load(&inject_nr);

	if (only >= 0 && only != nr)
		return 0;
	if (atomic_fetch_sub(&inject_at, 1) != 0)
		return 0;
	atomic_store(&inject_fired, true);
	return atomic_load(&inject_error);
}

static inline void inject(long nr, long nth, long error)
{
	atomic_store(&inject_nr, nr);
	atomic_store(&inject_at, nth);
	atomic_store(&inject_error, error);
	atomic_store(&inject_fired, false);
	sys_inject = inject_hook;
}

static inline bool inject_stop(void)
{
	sys_inject = NULL;
	return atomic_load(&inject_fired);
}

#endif
