// SPDX-License-Identifier: MIT
/*
 * For unit tests built with ThreadSanitizer: Criterion's sandbox maps its arena at a random
 * address, 0x200000000000 + (rand_r() & mask) * 16 MiB, most of which ThreadSanitizer keeps for
 * itself, so that it gives up at start. This rand_r, found before libc's, only names addresses
 * from 0x551000000000 on, which are the program's.
 */
#include <stdlib.h>

#define ARENA_BASE 0x200000000000ull
#define ARENA_UNIT (16ull << 20)
#define APP_START  0x551000000000ull

__attribute__((visibility("default"))) int rand_r(unsigned int *seed)
{
	*seed = *seed * 1103515245u + 12345u;
	return (int)((APP_START - ARENA_BASE) / ARENA_UNIT + (*seed >> 16) % 4096);
}
