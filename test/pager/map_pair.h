// SPDX-License-Identifier: MIT
/* Two arenas to which the same is done; see map_fuzz.c. */
#ifndef FL_TEST_MAP_PAIR_H
#define FL_TEST_MAP_PAIR_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif
#ifndef MADV_COLD
#define MADV_COLD    20
#define MADV_PAGEOUT 21
#endif

#define PAGE  4096ul
#define PAGES 256u

/* Addresses relative to an arena's start; OUTSIDE: to a place of its own that is never managed. */
#define OUTSIDE   (1l << 50)
#define AT(page)  ((long)(page) * (long)PAGE)
#define BYTES(nr) ((long)(nr) * (long)PAGE)

struct range {
	uint32_t first, nr;
};

extern int file; /* PAGES pages, not zero */

void pair_open(uint64_t seed);
void pair_report(uint32_t nr);
uint64_t random_next(void);
uint32_t random_below(uint32_t n);

/* What is being done, for the message when it goes wrong. */
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Make call @nr on both, the first argument relative to the arena; ends the program unless both
 * return the same. Return: that. */
long both(long nr, long at, long b, long c, long d, long e, long f);
#define BOTH both

/* mremap on both. Return: 0, or -errno of both; -EFAULT also when only the unmanaged one was tried.
 */
long both_remap(long old, long old_len, long new_len, int flags, long to);
#define BOTH_REMAP both_remap

/* Grow a range beyond the arena's size with MREMAP_MAYMOVE, compare, and bring it back. */
long both_grow_away(struct range r);

/* Write to a page, or take the same signal. */
void both_write(uint32_t page, uint64_t stamp);

/* Every page of the range is the same in both: the bytes, or the signal. */
void compare_range(struct range r);

/* A child compares everything, writes, and compares again. */
void both_fork(void);

#endif
