// SPDX-License-Identifier: MIT
/*
 * What MADV_FREE and MADV_DONTNEED take is back when they return: no frame and no slot belongs to
 * those pages any more, and the kernel has none of them; the compressed tier has at most the chunk
 * that it is filling.
 *
 *     at_once ENGINE CODEC
 */
#include <stdio.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "alone.h"
#include "check.h"
#include "swap/room.h"

#define RAM_PAGES 2048u
#define NR_PAGES  (2 * RAM_PAGES)
#define WORDS     (PAGE_BYTES / sizeof(uint64_t))

static uint64_t (*area)[WORDS];

struct taken {
	uint32_t frames, resident, mapped; /* pages: in frames, as mincore has it, as the kernel */
	uint64_t swap_bytes, tier_bytes;
};

static uint32_t nr_set(const unsigned char *vec, uint32_t nr)
{
	uint32_t sum = 0;

	for (uint32_t i = 0; i < nr; i++)
		sum += vec[i] & 1;
	return sum;
}

/* All of the pager's, and of pages @first .. @end - 1. */
static struct taken look(uint32_t first, uint32_t end)
{
	static unsigned char vec[NR_PAGES];
	uintptr_t at = (uintptr_t)area[first];
	size_t bytes = (end - first) * PAGE_BYTES;
	struct swap_stats s;
	struct taken t = {.frames = atomic_load(&pg.frames.frames_used)};

	swap_stats(pg.swap, &s);
	t.swap_bytes = s.used_bytes;
	t.tier_bytes = s.tier_bytes;
	CHECK(pager_mincore(at, bytes, vec) == 0);
	t.resident = nr_set(vec, end - first);
	CHECK(sys_call3(SYS_mincore, (long)at, (long)bytes, (long)vec) == 0);
	t.mapped = nr_set(vec, end - first);
	return t;
}

/* Every other page compresses. */
static void fill(void)
{
	for (uint32_t i = 0; i < NR_PAGES; i++)
		for (uint32_t k = 0; k < WORDS; k++)
			area[i][k] = i % 2 ? i + 1 : random_below(UINT64_MAX) + 1;
}

/* Pages with a copy in swap as well, in an order that no readahead follows. */
static void read_some(void)
{
	for (uint32_t i = 0; i < NR_PAGES / 4; i++)
		CHECK(area[i * 1031 % NR_PAGES][0]);
}

static void give_back(uint32_t first, uint32_t end, int advice)
{
	CHECK(pager_madvise((uintptr_t)area[first], (end - first) * PAGE_BYTES, advice) == 0);
}

static void try(int advice)
{
	uint32_t half = NR_PAGES / 2;

	fill();
	read_some();
	settle_alone(); /* else some would be given back when it is written */
	struct taken all = look(0, NR_PAGES), rest = look(half, NR_PAGES);
	CHECK(all.frames == all.resident && all.frames > RAM_PAGES / 2);
	CHECK(all.swap_bytes > RAM_PAGES / 4 * PAGE_BYTES);

	give_back(0, half, advice);
	struct taken now = look(0, half);
	CHECK(now.resident == 0 && now.mapped == 0);
	CHECK(now.frames == rest.resident && now.swap_bytes < all.swap_bytes);

	give_back(half, NR_PAGES, advice);
	now = look(0, NR_PAGES);
	CHECK(now.resident == 0 && now.mapped == 0 && now.frames == 0);
	CHECK(now.swap_bytes == 0 && now.tier_bytes <= CHUNK_BYTES);
	pager_check();
	for (uint32_t i = 0; i < NR_PAGES; i += 5)
		CHECK(area[i][i % WORDS] == 0);
}

int main(int argc, char **argv)
{
	if (argc < 3)
		return 2;
	if (!start_alone(argv[1], "inline", RAM_PAGES, "gclock", argv[2]))
		return 2;
	area = map_alone(NR_PAGES * PAGE_BYTES);
	try(MADV_DONTNEED);
	try(MADV_FREE);
	return 0;
}
