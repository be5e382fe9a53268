// SPDX-License-Identifier: MIT
/*
 * The TLB of the software MMU: replacement against naive references on random strings, ASIDs,
 * global pages, invalidation, two levels, paging-structure caches; see faultline/mmu.h.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "faultline/mmu.h"
#include "support.h"

#define RW        (FL_READ | FL_WRITE | FL_USER)
#define BASE      0x10000000ull
#define NR_PAGES  256u
#define MIB       0x100000ull
#define GIB       0x40000000ull
#define ALL_SIZES 7u

struct machine {
	struct fl_phys *phys;
	struct fl_space *space;
	struct fl_mmu *mmu;
};

/* A machine with NR_PAGES pages from BASE on. */
static struct machine machine_new(const struct fl_mmu_config *config)
{
	struct machine m = {.phys = fl_phys_open(1 << 20)};

	m.space = fl_space_open(m.phys);
	cr_assert_eq(
	    fl_space_map(m.space, BASE, NR_PAGES * 4096, FL_PAGE_4K, FL_FRAME_NONE, RW), 0);
	cr_assert_eq(fl_mmu_open(m.phys, config, &m.mmu), 0);
	cr_assert_eq(fl_mmu_switch(m.mmu, m.space), 0);
	return m;
}

static void machine_end(struct machine *m)
{
	fl_mmu_close(m->mmu);
	fl_space_close(m->space);
	fl_phys_close(m->phys);
}

static struct fl_mmu_config one_level(uint32_t sets, uint32_t ways, enum fl_replacement replacement)
{
	return (struct fl_mmu_config){
	    .nr_levels = 1, .level = {{1, {{sets, ways, ALL_SIZES, replacement}}}}};
}

static struct fl_mmu_counts counts(const struct machine *m)
{
	struct fl_mmu_counts c;

	fl_mmu_counts(m->mmu, &c);
	return c;
}

static void touch(const struct machine *m, uint64_t va)
{
	uint64_t v;

	cr_assert_eq(fl_load(m->mmu, va, &v, sizeof(v)), 0);
}

/* Whether a touch of @va is found in level 1, in level 2 (2), or walks (0). */
static uint32_t where(const struct machine *m, uint64_t va)
{
	struct fl_translation t;

	cr_assert_eq(fl_mmu_translate(m->mmu, va, FL_ACCESS_READ, &t), 0);
	return t.hit_level;
}

/* ---- references ---- */

/* One set: LRU and FIFO as a queue of pages, oldest first; PLRU as a tree of arrows. */
struct ref_set {
	uint32_t nr;
	uint32_t page[64];
	bool arrow_up[128];
};

struct ref {
	uint32_t sets, ways;
	enum fl_replacement replacement;
	struct ref_set set[64];
};

static uint32_t half_of(uint32_t ways)
{
	uint32_t half = 1;

	while (half * 2 < ways)
		half *= 2;
	return half;
}

/* The tree over @ways ways: a lower part that is a full power of two, and the rest above it; below
 * that, missing ways are never pointed to. */
static void arrows_away(struct ref_set *s, uint32_t node, uint32_t width, uint32_t way)
{
	if (width == 1)
		return;
	bool is_up = way >= width / 2;
	s->arrow_up[node] = !is_up;
	arrows_away(s, node * 2 + is_up, width / 2, is_up ? way - width / 2 : way);
}

static uint32_t follow_arrows(
    const struct ref_set *s, uint32_t node, uint32_t width, uint32_t first, uint32_t ways)
{
	if (width == 1)
		return first;
	bool is_up = s->arrow_up[node] && first + width / 2 < ways;
	return follow_arrows(s, node * 2 + is_up, width / 2, first + (is_up ? width / 2 : 0), ways);
}

static void move_to_end(struct ref_set *s, uint32_t i)
{
	uint32_t page = s->page[i];

	memmove(&s->page[i], &s->page[i + 1], (s->nr - 1 - i) * sizeof(s->page[0]));
	s->page[s->nr - 1] = page;
}

/* Return: whether @page was there; it is afterwards. */
static bool ref_touch(struct ref *r, uint32_t page)
{
	struct ref_set *s = &r->set[page % r->sets];
	uint32_t i, width = r->ways == 1 ? 1 : 2 * half_of(r->ways);
	bool is_hit;

	for (i = 0; i < s->nr && s->page[i] != page; i++)
		;
	is_hit = i < s->nr;
	if (r->replacement == FL_PLRU) {
		if (!is_hit)
			i = s->nr < r->ways ? s->nr++ : follow_arrows(s, 1, width, 0, r->ways);
		s->page[i] = page;
		arrows_away(s, 1, width, i);
	} else if (is_hit) {
		if (r->replacement == FL_LRU)
			move_to_end(s, i);
	} else if (s->nr < r->ways) {
		s->page[s->nr++] = page;
	} else {
		s->page[0] = page;
		move_to_end(s, 0);
	}
	return is_hit;
}

/* A string with locality: mostly near a place that wanders. */
static uint32_t next_page(struct rng *rng, uint32_t *place)
{
	if (rng_below(rng, 50) == 0)
		*place = rng_below(rng, NR_PAGES);
	return rng_below(rng, 6) ? (*place + rng_below(rng, 12)) % NR_PAGES
	                         : rng_below(rng, NR_PAGES);
}

/* Touch page @page somehow: read or written, at once or through the inline functions. */
static void touch_somehow(struct machine *m, struct rng *rng, uint32_t page)
{
	uint64_t va = BASE + page * 4096ull + rng_below(rng, 512) * 8, v = page;

	switch (rng_below(rng, 4)) {
	case 0:
		where(m, va);
		break;
	case 1:
		cr_assert_eq(fl_store(m->mmu, va, &v, 4), 0);
		break;
	default:
		touch(m, va);
	}
}

static void compare_one(uint32_t sets, uint32_t ways, enum fl_replacement replacement)
{
	struct fl_mmu_config config = one_level(sets, ways, replacement);
	struct rng rng = rng_new("tlb replacement");
	struct machine m = machine_new(&config);
	struct ref r = {sets, ways, replacement, {{0}}};
	uint64_t misses = 0;
	uint32_t place = 0;

	for (int i = 0; i < 40000; i++) {
		uint32_t page = next_page(&rng, &place);

		misses += !ref_touch(&r, page);
		touch_somehow(&m, &rng, page);
		cr_assert_eq(counts(&m).level[0].misses, misses, "%ux%u policy %d, access %d", sets,
		    ways, replacement, i);
	}
	cr_expect_eq(counts(&m).accesses, 40000);
	cr_expect_eq(counts(&m).level[0].hits, 40000 - misses);
	cr_expect_gt(misses, 1000);
	machine_end(&m);
}

static void compare_all(enum fl_replacement replacement)
{
	compare_one(16, 4, replacement);
	compare_one(1, 64, replacement);
	compare_one(4, 12, replacement);
	compare_one(1, 5, replacement);
	compare_one(2, 2, replacement);
	compare_one(32, 1, replacement);
}

Test(tlb, lru_equals_its_reference)
{
	compare_all(FL_LRU);
}

Test(tlb, fifo_equals_its_reference)
{
	compare_all(FL_FIFO);
}

Test(tlb, plru_equals_its_reference)
{
	compare_all(FL_PLRU);
}

Test(tlb, two_levels_equal_their_references)
{
	struct fl_mmu_config config = {
	    .nr_levels = 2,
	    .level = {{1, {{4, 2, ALL_SIZES, FL_LRU}}}, {1, {{8, 6, ALL_SIZES, FL_PLRU}}}},
	};
	struct rng rng = rng_new("tlb two levels");
	struct machine m = machine_new(&config);
	struct ref first = {4, 2, FL_LRU, {{0}}}, second = {8, 6, FL_PLRU, {{0}}};
	uint64_t nr_second = 0, nr_walks = 0;
	uint32_t place = 0;

	for (int i = 0; i < 60000; i++) {
		uint32_t page = next_page(&rng, &place);

		if (!ref_touch(&first, page)) {
			if (ref_touch(&second, page))
				nr_second++;
			else
				nr_walks++;
		}
		touch(&m, BASE + page * 4096ull);
		cr_assert_eq(counts(&m).level[1].hits, nr_second);
		cr_assert_eq(counts(&m).walks, nr_walks);
	}
	cr_expect_eq(counts(&m).level[1].misses, nr_walks);
	cr_expect_eq(counts(&m).walk_reads, 4 * nr_walks);
	cr_expect_eq(counts(&m).level[1].evictions, nr_walks - 48);
	cr_expect_gt(nr_second, 1000);
	machine_end(&m);
}

static uint64_t random_misses(uint64_t seed)
{
	struct fl_mmu_config config = one_level(1, 8, FL_RANDOM);
	struct machine m;
	uint64_t misses;

	config.seed = seed;
	m = machine_new(&config);
	/* One page more than entries, in a circle: LRU and FIFO would miss each time. */
	for (int i = 0; i < 9000; i++)
		touch(&m, BASE + i % 9 * 4096ull);
	misses = counts(&m).level[0].misses;
	cr_expect_eq(counts(&m).level[0].evictions, misses - 8);
	machine_end(&m);
	return misses;
}

Test(tlb, random_replacement_follows_its_seed)
{
	uint64_t first = random_misses(1);

	cr_expect_eq(random_misses(1), first);
	cr_expect_neq(random_misses(2), first);
	/* In a circle of n + 1 pages random hits by far most of the time, but misses often. */
	cr_expect(first > 1000 && first < 5000, "%llu", (unsigned long long)first);
}

Test(tlb, no_tlb_walks_each_time)
{
	struct fl_mmu_config config = {.nr_levels = 0};
	struct machine m = machine_new(&config);

	for (int i = 0; i < 10; i++)
		touch(&m, BASE);
	cr_expect_eq(counts(&m).accesses, 10);
	cr_expect_eq(counts(&m).walks, 10);
	cr_expect_eq(counts(&m).walk_reads, 40);
	machine_end(&m);
}

/* ---- invalidation, spaces ---- */

Test(tlb, a_stale_translation_lives_until_it_is_invalidated)
{
	struct machine m = machine_new(NULL);
	uint64_t v = 1;

	touch(&m, BASE);
	touch(&m, BASE + 4096);
	cr_assert_eq(fl_space_unmap(m.space, BASE, 8192), 2);
	cr_expect_eq(fl_load(m.mmu, BASE, &v, 8), 0);
	fl_mmu_invalidate(m.mmu, m.space, BASE + 123);
	cr_expect_eq(fl_load(m.mmu, BASE, &v, 8), -EFAULT);
	cr_expect_eq(fl_load(m.mmu, BASE + 4096, &v, 8), 0); /* only one page was named */
	cr_expect_eq(counts(&m).level[0].invalidated, 1);
	fl_mmu_invalidate_space(m.mmu, m.space);
	cr_expect_eq(fl_load(m.mmu, BASE + 4096, &v, 8), -EFAULT);
	cr_expect_eq(counts(&m).flushes, 2); /* the switch at the start, and this */
	machine_end(&m);
}

Test(tlb, fewer_rights_need_invalidation_more_do_not)
{
	struct machine m = machine_new(NULL);
	uint64_t v = 1;

	cr_assert_eq(fl_store(m.mmu, BASE, &v, 8), 0);
	fl_space_protect(m.space, BASE, 4096, FL_READ | FL_USER);
	cr_expect_eq(fl_store(m.mmu, BASE, &v, 8), 0);
	fl_mmu_invalidate(m.mmu, m.space, BASE);
	cr_expect_eq(fl_store(m.mmu, BASE, &v, 8), -EFAULT);
	touch(&m, BASE);
	fl_space_protect(m.space, BASE, 4096, RW);
	cr_expect_eq(fl_store(m.mmu, BASE, &v, 8), 0);
	machine_end(&m);
}

static struct fl_space *second_space(struct machine *m)
{
	struct fl_space *s = fl_space_open(m->phys);

	cr_assert_eq(fl_space_map(s, BASE, NR_PAGES * 4096, FL_PAGE_4K, FL_FRAME_NONE, RW), 0);
	return s;
}

static uint64_t misses_of_turns(uint32_t nr_asids, int nr_spaces)
{
	struct fl_mmu_config config = one_level(16, 4, FL_LRU);
	struct fl_space *space[3];
	struct machine m;
	uint64_t before;

	config.nr_asids = nr_asids;
	m = machine_new(&config);
	space[0] = m.space;
	for (int i = 1; i < nr_spaces; i++)
		space[i] = second_space(&m);
	for (int turn = 0; turn < 20 * nr_spaces; turn++) {
		uint64_t want = (uint64_t)(turn % nr_spaces + 1), got = 0;

		fl_mmu_switch(m.mmu, space[turn % nr_spaces]);
		for (int p = 0; p < 10; p++) {
			uint64_t va = BASE + (uint64_t)p * 4096;

			/* One address, one frame in each space: never another's bytes. */
			if (turn < nr_spaces)
				cr_assert_eq(fl_store(m.mmu, va, &want, 8), 0);
			cr_assert_eq(fl_load(m.mmu, va, &got, 8), 0);
			cr_assert_eq(got, want);
		}
	}
	before = counts(&m).level[0].misses;
	for (int i = 1; i < nr_spaces; i++)
		fl_space_close(space[i]);
	machine_end(&m);
	return before;
}

Test(tlb, asids_keep_entries_over_a_switch)
{
	cr_expect_eq(misses_of_turns(0, 2), 400); /* 40 turns, 10 pages, each time anew */
	cr_expect_eq(misses_of_turns(1, 2), 400);
	cr_expect_eq(misses_of_turns(2, 2), 20);
	cr_expect_eq(misses_of_turns(16, 3), 30);
	cr_expect_eq(misses_of_turns(2, 3), 600); /* each takes the ASID of the one after next */
}

Test(tlb, invalidation_in_another_space)
{
	struct fl_mmu_config config = one_level(16, 4, FL_LRU);
	struct fl_space *other;
	struct machine m;

	config.nr_asids = 4;
	m = machine_new(&config);
	other = second_space(&m);
	touch(&m, BASE);
	touch(&m, BASE + 4096);
	fl_mmu_switch(m.mmu, other);
	touch(&m, BASE);
	fl_mmu_invalidate(m.mmu, m.space, BASE);
	cr_expect_eq(where(&m, BASE), 1);
	fl_mmu_switch(m.mmu, m.space);
	cr_expect_eq(where(&m, BASE + 4096), 1);
	cr_expect_eq(where(&m, BASE), 0);
	fl_mmu_invalidate_space(m.mmu, other);
	cr_expect_eq(where(&m, BASE), 1);
	fl_mmu_switch(m.mmu, other);
	cr_expect_eq(where(&m, BASE), 0);
	fl_mmu_invalidate_all(m.mmu);
	cr_expect_eq(where(&m, BASE), 0);
	fl_space_close(other);
	machine_end(&m);
}

static void check_global(uint32_t nr_asids)
{
	struct fl_mmu_config config = one_level(16, 4, FL_LRU);
	uint64_t kernel = 0xffff888000000000;
	struct fl_space *other;
	struct machine m;

	config.nr_asids = nr_asids;
	m = machine_new(&config);
	other = second_space(&m);
	cr_assert_eq(
	    fl_space_map(m.space, kernel, 4096, FL_PAGE_4K, FL_FRAME_NONE, RW | FL_GLOBAL), 0);
	cr_assert_eq(fl_space_share(other, kernel, m.space, kernel, false), 0);
	touch(&m, kernel);
	touch(&m, BASE);
	fl_mmu_switch(m.mmu, other);
	cr_expect_eq(where(&m, kernel), 1);
	cr_expect_eq(where(&m, BASE), 0);
	fl_mmu_invalidate_space(m.mmu, other);
	fl_mmu_invalidate_space(m.mmu, m.space);
	cr_expect_eq(where(&m, kernel), 1);
	fl_mmu_invalidate(m.mmu, other, kernel);
	cr_expect_eq(where(&m, kernel), 0);
	cr_expect_eq(where(&m, kernel), 1);
	fl_mmu_invalidate_all(m.mmu);
	cr_expect_eq(where(&m, kernel), 0);
	fl_space_close(other);
	machine_end(&m);
}

Test(tlb, global_pages_survive_a_switch)
{
	check_global(0);
	check_global(8);
}

Test(tlb, a_closed_space_leaves_no_trace_in_a_new_one)
{
	struct fl_mmu_config config = one_level(16, 4, FL_LRU);
	struct fl_space *other;
	struct machine m;
	uint64_t v;

	config.nr_asids = 2;
	m = machine_new(&config);
	other = second_space(&m);
	fl_mmu_switch(m.mmu, other);
	touch(&m, BASE);
	fl_space_close(other);
	other = fl_space_open(m.phys); /* perhaps at the same host address */
	fl_mmu_switch(m.mmu, other);
	cr_expect_eq(fl_load(m.mmu, BASE, &v, 8), -EFAULT);
	fl_space_close(other);
	machine_end(&m);
}

/* ---- sizes ---- */

Test(tlb, each_size_has_its_entries)
{
	struct fl_mmu_config config = {
	    .nr_levels = 1,
	    .level = {{3, {{1, 2, 1, FL_LRU}, {1, 1, 2, FL_LRU}, {1, 1, 4, FL_LRU}}}},
	};
	struct machine m = machine_new(&config);

	cr_assert_eq(fl_space_map(m.space, GIB, GIB, FL_PAGE_1G, FL_FRAME_NONE, RW), 0);
	cr_assert_eq(fl_space_map(m.space, 2 * GIB, 4 * MIB, FL_PAGE_2M, FL_FRAME_NONE, RW), 0);
	touch(&m, GIB);
	touch(&m, 2 * GIB);
	touch(&m, BASE);
	touch(&m, BASE + 4096);
	cr_expect_eq(where(&m, GIB + 123 * MIB), 1);
	cr_expect_eq(where(&m, 2 * GIB + MIB), 1);
	cr_expect_eq(where(&m, BASE), 1);
	cr_expect_eq(counts(&m).level[0].evictions, 0);
	touch(&m, 2 * GIB + 2 * MIB);
	cr_expect_eq(counts(&m).level[0].evictions, 1);
	cr_expect_eq(where(&m, 2 * GIB), 0);
	cr_expect_eq(where(&m, GIB), 1);
	machine_end(&m);
}

/* Several inline slots stand for one entry of a large page: all go when it goes. */
Test(tlb, a_large_entry_that_leaves_is_a_hit_no_more)
{
	struct fl_mmu_config config = one_level(1, 1, FL_LRU);
	struct machine m = machine_new(&config);

	cr_assert_eq(fl_space_map(m.space, 2 * GIB, 2 * MIB, FL_PAGE_2M, FL_FRAME_NONE, RW), 0);
	for (int i = 0; i < 256; i++)
		touch(&m, 2 * GIB + i * 4096ull);
	cr_expect_eq(counts(&m).level[0].misses, 1);
	touch(&m, BASE);
	touch(&m, 2 * GIB + 17 * 4096ull);
	touch(&m, BASE);
	cr_expect_eq(counts(&m).level[0].misses, 4);
	machine_end(&m);
}

Test(tlb, smashed_pages)
{
	struct fl_mmu_config config = *fl_mmu_preset_find("amd-jaguar");
	struct machine m = machine_new(&config);
	struct fl_translation t;

	cr_assert_eq(fl_space_map(m.space, GIB, GIB, FL_PAGE_1G, FL_FRAME_NONE, RW), 0);
	for (uint64_t i = 0; i < 6; i++)
		touch(&m, GIB + i * 2 * MIB);
	cr_expect_eq(counts(&m).walks, 6);
	cr_assert_eq(fl_mmu_translate(m.mmu, GIB + 3 * MIB + 5, FL_ACCESS_READ, &t), 0);
	cr_expect_eq(t.hit_level, 1);
	cr_expect_eq(t.page, FL_PAGE_1G);
	cr_expect_eq(t.pa % GIB, 3 * MIB + 5);
	/* One address names the whole page, all its pieces. */
	fl_mmu_invalidate(m.mmu, m.space, GIB + 700 * MIB);
	for (uint64_t i = 0; i < 6; i++)
		cr_expect_eq(where(&m, GIB + i * 2 * MIB), 0);
	machine_end(&m);
}

/* ---- paging-structure caches ---- */

Test(tlb, structure_caches_shorten_walks)
{
	struct fl_mmu_config config = {.nr_levels = 0, .psc = {4, 4, 2}};
	struct machine m = machine_new(&config);
	struct fl_translation t;
	uint64_t far = BASE + GIB, last = counts(&m).walk_reads;

	cr_assert_eq(fl_space_map(m.space, far, 4096, FL_PAGE_4K, FL_FRAME_NONE, RW), 0);
	cr_assert_eq(
	    fl_space_map(m.space, BASE + 64 * MIB, 4096, FL_PAGE_4K, FL_FRAME_NONE, RW), 0);
	cr_assert_eq(fl_mmu_translate(m.mmu, BASE, FL_ACCESS_READ, &t), 0);
	cr_expect(t.first_step == 4 && t.walk.nr_steps == 4);
	cr_assert_eq(fl_mmu_translate(m.mmu, BASE + 4096, FL_ACCESS_READ, &t), 0);
	cr_expect(t.first_step == 1 && t.walk.nr_steps == 1);
	cr_assert_eq(fl_mmu_translate(m.mmu, BASE + 64 * MIB, FL_ACCESS_READ, &t), 0);
	cr_expect(t.first_step == 2 && t.walk.nr_steps == 2);
	cr_assert_eq(fl_mmu_translate(m.mmu, far, FL_ACCESS_READ, &t), 0);
	cr_expect(t.first_step == 3 && t.walk.nr_steps == 3);
	/* Two entries for level 2: BASE's was the least recently used. */
	cr_assert_eq(fl_mmu_translate(m.mmu, BASE, FL_ACCESS_READ, &t), 0);
	cr_expect_eq(t.first_step, 2);
	cr_expect_eq(counts(&m).walk_reads - last, 12);
	cr_expect_eq(counts(&m).psc_hits[0], 1);
	cr_expect_eq(counts(&m).psc_hits[1], 2);
	cr_expect_eq(counts(&m).psc_hits[2], 1);
	machine_end(&m);
}

Test(tlb, structure_caches_go_stale_and_are_invalidated)
{
	struct fl_mmu_config config = {.nr_levels = 0, .psc = {4, 4, 4}};
	struct machine m = machine_new(&config);
	uint64_t v;

	touch(&m, BASE);
	/* All tables of the region are freed; their frames stay what they are until taken. */
	cr_assert_eq(fl_space_unmap(m.space, BASE, NR_PAGES * 4096), NR_PAGES);
	cr_assert_eq(fl_space_map(m.space, BASE, 2 * MIB, FL_PAGE_2M, FL_FRAME_NONE, RW), 0);
	fl_load(m.mmu, BASE, &v, 8);                        /* whatever: nothing may break */
	fl_mmu_invalidate(m.mmu, m.space, BASE + 64 * MIB); /* INVLPG drops them all */
	cr_expect_eq(fl_load(m.mmu, BASE, &v, 8), 0);
	fl_mmu_switch(m.mmu, m.space);
	fl_mmu_reset_counts(m.mmu);
	touch(&m, BASE);
	cr_expect_eq(counts(&m).walk_reads, 3);
	cr_expect_eq(counts(&m).psc_hits[0] + counts(&m).psc_hits[1], 0);
	machine_end(&m);
}

Test(tlb, structure_caches_remember_rights)
{
	struct fl_mmu_config config = {.nr_levels = 0, .psc = {4, 4, 4}};
	struct machine m = machine_new(&config);
	struct fl_translation t;

	cr_assert_eq(fl_space_restrict(m.space, BASE, 3, FL_USER), 0);
	touch(&m, BASE);
	/* From a cache the walk does not pass level 3 again, and must know all the same. */
	cr_expect_eq(fl_mmu_translate(m.mmu, BASE + 4096, FL_ACCESS_WRITE, &t), -EFAULT);
	cr_expect_eq(t.first_step, 1);
	cr_expect_eq(t.fault.kind, FL_FAULT_READ_ONLY);
	cr_expect_eq(t.fault.level, 2); /* as far as the cache can tell */
	/* That fault dropped what was used: the next sees the tables, as they are by now. */
	touch(&m, BASE);
	cr_assert_eq(fl_space_restrict(m.space, BASE, 3, FL_USER | FL_WRITE), 0);
	cr_expect_eq(fl_mmu_translate(m.mmu, BASE, FL_ACCESS_WRITE, &t), -EFAULT);
	cr_expect_eq(fl_mmu_translate(m.mmu, BASE, FL_ACCESS_WRITE, &t), 0);
	cr_expect_eq(t.first_step, 4);
	machine_end(&m);
}

/* ---- configurations ---- */

Test(tlb, bad_configurations_are_refused)
{
	struct fl_phys *phys = fl_phys_open(16);
	struct fl_mmu *mmu = NULL;
	struct fl_mmu_config bad[] = {
	    one_level(3, 4, FL_LRU),
	    one_level(0, 4, FL_LRU),
	    one_level(4, 0, FL_LRU),
	    one_level(1, 65, FL_PLRU),
	    one_level(65536, 2, FL_LRU),
	    one_level(4, 4, (enum fl_replacement)9),
	    {.nr_levels = 3},
	    {.nr_levels = 0, .nr_asids = 4097},
	    {.nr_levels = 0, .psc = {0, 0, 1025}},
	    {.nr_levels = 1, .level = {{4, {{0}}}}},
	    {.nr_levels = 1, .level = {{1, {{1, 1, 8, FL_LRU}}}}},
	    {.nr_levels = 1, .level = {{1, {{1, 1, 0, FL_LRU}}}}},
	    {.nr_levels = 1, .level = {{2, {{1, 1, 3, FL_LRU}, {1, 1, 2, FL_LRU}}}}},
	};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		cr_expect_eq(fl_mmu_open(phys, &bad[i], &mmu), -EINVAL, "configuration %zu", i);
	cr_expect_null(mmu);
	fl_mmu_close(NULL);
	fl_space_close(NULL);
	fl_phys_close(NULL);
	fl_phys_close(phys);
}

Test(tlb, presets)
{
	const struct fl_mmu_config *c;
	size_t i;

	for (i = 0; (c = fl_mmu_preset(i)); i++) {
		struct machine m = machine_new(c);

		cr_expect_eq(fl_mmu_preset_find(c->name), c);
		cr_expect_not_null(c->source);
		touch(&m, BASE);
		cr_expect_eq(counts(&m).walks, 1);
		machine_end(&m);
	}
	cr_expect_eq(i, 3);
	cr_expect_null(fl_mmu_preset_find("vax"));
	c = fl_mmu_preset_find("intel-skylake");
	cr_expect_eq(fl_mmu_reach(c, 0, FL_PAGE_4K), 64 * 4096);
	cr_expect_eq(fl_mmu_reach(c, 1, FL_PAGE_2M), 1536 * 2 * MIB);
	cr_expect_eq(fl_mmu_reach(c, 1, FL_PAGE_1G), 16 * GIB);
	cr_expect_eq(fl_mmu_reach(c, 2, FL_PAGE_4K), 0);
	c = fl_mmu_preset_find("amd-jaguar");
	cr_expect_eq(fl_mmu_reach(c, 0, FL_PAGE_1G), 16 * MIB); /* eight pieces */
}
