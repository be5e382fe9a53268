// SPDX-License-Identifier: MIT
/* Page checksums; see checksum.h. */
#include "swap/checksum.h"

#include <sys/syscall.h>
#include <unistd.h>

#include "base/sys.h"

/* Inlined: no call through the PLT, no allocation, and only SSE2, which every x86-64 has. */
#define XXH_INLINE_ALL
#include <xxhash.h>

/* XXH3 proper takes 192 bytes of key; made from a 64-bit seed it would be rebuilt on each call. */
static uint8_t key[XXH3_SECRET_DEFAULT_SIZE] __attribute__((aligned(64))); /* [const] once seeded */

static uint64_t splitmix(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

void checksum_seed(void)
{
	if (sys_call3(SYS_getrandom, (long)key, sizeof(key), 0) == (long)sizeof(key))
		return;
	/* No getrandom (an old sandbox): not secret then, but still another one in each process. */
	uint64_t state =
	    now_ns() ^ (uint64_t)(uintptr_t)&state ^ (uint64_t)sys_call0(SYS_getpid) << 40;
	for (size_t i = 0; i < sizeof(key); i += sizeof(state)) {
		uint64_t word = splitmix(&state);

		__builtin_memcpy(key + i, &word, sizeof(word));
	}
}

uint64_t pages_checksum(const void *pages, uint32_t nr)
{
	return XXH3_64bits_withSecret(pages, nr * PAGE_BYTES, key, sizeof(key));
}

uint64_t page_checksum(const void *page)
{
	return pages_checksum(page, 1);
}

bool page_is_zero(const void *page)
{
	const uint64_t *word = page;

	/* Line by line: most pages that are not zero show it in the first one. */
	for (size_t i = 0; i < PAGE_BYTES / sizeof(*word); i += 8) {
		uint64_t any = word[i] | word[i + 1] | word[i + 2] | word[i + 3] | word[i + 4] |
		               word[i + 5] | word[i + 6] | word[i + 7];

		if (any)
			return false;
	}
	return true;
}
