// SPDX-License-Identifier: MIT
/* Regions against a naive model: one byte of state for each page of a small window. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "pager/region.h"

#define PAGES    256u
#define UNMAPPED 0xff

static uint8_t model[PAGES];

static uintptr_t addr_of(uint32_t page)
{
	return WINDOW_START + (uintptr_t)page * PAGE_BYTES;
}

static void compare(struct region_map *m)
{
	for (uint32_t i = 0; i < PAGES; i++) {
		const struct region *r = region_find(m, addr_of(i));

		cr_assert_eq(r != NULL, model[i] != UNMAPPED, "page %u", i);
		if (r)
			cr_assert_eq(r->prot | (r->is_foreign ? 8 : 0), model[i], "page %u", i);
	}
	for (uint32_t i = 0; i + 1 < m->nr; i++) {
		cr_assert_leq(m->r[i].end, m->r[i + 1].start);
		cr_assert(!(m->r[i].end == m->r[i + 1].start && m->r[i].prot == m->r[i + 1].prot &&
		              m->r[i].is_foreign == m->r[i + 1].is_foreign),
		    "unmerged neighbours");
	}
}

Test(region, marks_split_and_merge)
{
	struct region_map m;
	struct region r = {.start = addr_of(0), .end = addr_of(16), .prot = PROT_READ};

	cr_assert_eq(region_map_init(&m), 0);
	cr_assert_eq(region_add(&m, r), 0);
	cr_assert_eq(region_mark(&m, addr_of(4), addr_of(8), REGION_LOCKED, 0), 0);
	cr_assert_eq(m.nr, 3);
	cr_assert_eq(region_find(&m, addr_of(4))->marks, REGION_LOCKED);
	cr_assert_eq(region_mark(&m, addr_of(0), addr_of(16), REGION_DONTFORK, 0), 0);
	cr_assert_eq(m.nr, 3);
	cr_assert_eq(region_find(&m, addr_of(5))->marks, REGION_LOCKED | REGION_DONTFORK);
	cr_assert_eq(region_mark(&m, addr_of(2), addr_of(10), 0, REGION_LOCKED), 0);
	cr_assert_eq(m.nr, 1);
	cr_assert_eq(region_find(&m, addr_of(5))->marks, REGION_DONTFORK);
	/* What leaves management has the kernel's marks only. */
	cr_assert_eq(region_protect(&m, addr_of(0), addr_of(1), PROT_READ, true), 0);
	cr_assert_eq(region_find(&m, addr_of(0))->marks, REGION_RELEASED);
	cr_assert_eq(region_mark(&m, addr_of(0), addr_of(16), REGION_LOCKED, 0), 0);
	cr_assert_eq(region_find(&m, addr_of(0))->marks, REGION_RELEASED);
	cr_assert_eq(m.nr, 2);
}

Test(region, random_operations_equal_the_model)
{
	struct region_map m;
	const char *env = getenv("FL_SEED");
	unsigned seed = env ? (unsigned)atoi(env) : 12345;

	printf("FL_SEED=%u\n", seed);
	srandom(seed);
	cr_assert_eq(region_map_init(&m), 0);
	memset(model, UNMAPPED, sizeof(model));
	for (int step = 0; step < 20000; step++) {
		uint32_t from = (uint32_t)random() % PAGES;
		uint32_t to = from + 1 + (uint32_t)random() % MIN(PAGES - from, 40u);
		int prot = (int)(random() % 4);
		uintptr_t start = addr_of(from), end = addr_of(to);
		bool any = false, all = true;

		for (uint32_t i = from; i < to; i++) {
			any |= model[i] != UNMAPPED;
			all &= model[i] != UNMAPPED;
		}
		cr_assert_eq(region_overlaps(&m, start, end), any);
		cr_assert_eq(region_hole(&m, start, end) == end, all);
		switch (random() % 3) {
		case 0:
			if (any)
				break;
			cr_assert_eq(region_add(&m, (struct region){start, end, prot, false}), 0);
			memset(model + from, prot, to - from);
			break;
		case 1:
			cr_assert_eq(region_remove(&m, start, end), 0);
			memset(model + from, UNMAPPED, to - from);
			break;
		default: {
			bool foreign = random() % 8 == 0;

			cr_assert_eq(region_protect(&m, start, end, prot, foreign), 0);
			for (uint32_t i = from; i < to; i++)
				if (model[i] != UNMAPPED)
					model[i] =
					    (uint8_t)(prot | (model[i] & 8) | (foreign ? 8 : 0));
		}
		}
		compare(&m);
	}
}

Test(region, free_ranges_are_free_aligned_and_reused)
{
	struct region_map m;

	cr_assert_eq(region_map_init(&m), 0);
	uintptr_t a = region_find_free(&m, 1u << 20);
	cr_assert_eq(a, WINDOW_START);
	region_add(&m, (struct region){a, a + (1u << 20), PROT_READ, false});
	uintptr_t b = region_find_free(&m, 64u << 20);
	cr_assert_eq(b % (32u << 20), 0);
	cr_assert(!region_overlaps(&m, b, b + (64u << 20)));
	region_add(&m, (struct region){b, b + (64u << 20), PROT_READ, false});
	region_remove(&m, a, a + (1u << 20));
	cr_expect_eq(region_find_free(&m, 1u << 20), a, "low addresses are used again");
	cr_expect_eq(region_find_free(&m, WINDOW_END - WINDOW_START + PAGE_BYTES), 0);
	cr_expect_eq(region_find_free(&m, WINDOW_END - WINDOW_START), 0);
}
