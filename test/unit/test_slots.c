// SPDX-License-Identifier: MIT
#include <criterion/criterion.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>

#include "support.h"
#include "swap/slots.h"

#define NR_SLOTS 700u /* not a multiple of a word */
#define NR_FORKS 5u

static struct slot_map map;

Test(slots, hands_out_every_slot_once)
{
	bool seen[NR_SLOTS] = {false};
	uint32_t total = 0, nr;
	struct slot first;

	cr_assert_eq(slot_map_init(&map, NR_SLOTS), 0);
	while ((nr = slot_alloc(&map, 37, &first)))
		for (uint32_t i = 0; i < nr; i++, total++) {
			cr_assert_lt(first.v + i, NR_SLOTS);
			cr_assert_not(seen[first.v + i]);
			seen[first.v + i] = true;
		}
	cr_expect_eq(total, NR_SLOTS);
	slot_map_check(&map);
	slot_map_fini(&map);
}

Test(slots, finds_the_run_that_fits)
{
	struct slot first;

	cr_assert_eq(slot_map_init(&map, 512), 0);
	cr_assert_eq(slot_alloc(&map, 512, &first), 512);
	slot_free(&map, (struct slot){3});
	for (uint32_t i = 60; i < 70; i++) /* across a word's end */
		slot_free(&map, (struct slot){i});
	for (uint32_t i = 200; i < 205; i++)
		slot_free(&map, (struct slot){i});
	cr_expect_eq(slot_alloc(&map, 10, &first), 10);
	cr_expect_eq(first.v, 60);
	cr_expect_eq(slot_alloc(&map, 9, &first), 5); /* none as long: the longest */
	cr_expect_eq(first.v, 200);
	cr_expect_eq(slot_alloc(&map, 9, &first), 1); /* behind the cursor */
	cr_expect_eq(first.v, 3);
	cr_expect_eq(slot_alloc(&map, 1, &first), 0);
	slot_map_check(&map);
}

Test(slots, small_use_stays_a_small_file)
{
	struct slot held[64], first;
	uint32_t highest = 0;

	cr_assert_eq(slot_map_init(&map, 1u << 24), 0);
	for (uint32_t i = 0; i < 100000; i++) {
		if (i >= 64)
			slot_free(&map, held[i % 64]);
		cr_assert_eq(slot_alloc(&map, 1, &first), 1);
		held[i % 64] = first;
		highest = MAX(highest, first.v);
	}
	cr_expect_lt(highest, 32768);
}

Test(slots, limit_confines_and_lifts)
{
	struct slot first;

	cr_assert_eq(slot_map_init(&map, NR_SLOTS), 0);
	slot_limit(&map, 100);
	cr_expect_eq(slot_alloc(&map, 200, &first), 100);
	cr_expect_eq(first.v, 0);
	cr_expect_eq(slot_alloc(&map, 1, &first), 0);
	slot_limit(&map, UINT32_MAX);
	cr_expect_eq(slot_alloc(&map, 200, &first), 200);
	cr_expect_eq(first.v, 100);
}

Test(slots, freeing_twice_is_caught, .signal = SIGABRT)
{
	struct slot first;

	slot_map_init(&map, NR_SLOTS);
	slot_alloc(&map, 1, &first);
	slot_free(&map, first);
	slot_free(&map, first);
}

Test(slots, retired_is_never_seen_again)
{
	struct slot first, bad;

	cr_assert_eq(slot_map_init(&map, 64), 0);
	cr_assert_eq(slot_alloc(&map, 64, &first), 64);
	bad = (struct slot){17};
	slot_retire(&map, bad);
	for (uint32_t i = 0; i < 64; i++)
		if (i != bad.v)
			slot_free(&map, (struct slot){i});
	struct slot_share *share = slot_share_begin(&map);
	slot_share_end(&map, share);
	for (uint32_t i = 0; i < 63; i++) {
		cr_assert_eq(slot_alloc(&map, 1, &first), 1);
		cr_assert_neq(first.v, bad.v);
	}
	cr_expect_eq(slot_alloc(&map, 1, &first), 0);
	slot_map_check(&map);
}

/* The naive model: for each slot its state, and for each fork what was live at it. */
struct model {
	enum {
		FREE,
		LIVE,
		GIVEN_UP, /* freed while a fork had it */
		RETIRED,
	} state[NR_SLOTS];
	bool was_live[NR_FORKS][NR_SLOTS];
	struct slot_share *share[NR_FORKS];
};

static bool model_is_shared(const struct model *m, uint32_t slot)
{
	for (uint32_t f = 0; f < NR_FORKS; f++)
		if (m->share[f] && m->was_live[f][slot])
			return true;
	return false;
}

static uint32_t model_count(const struct model *m, int state)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < NR_SLOTS; i++)
		n += (int)m->state[i] == state;
	return n;
}

static uint32_t model_longest_run(const struct model *m)
{
	uint32_t longest = 0, run = 0;

	for (uint32_t i = 0; i < NR_SLOTS; i++) {
		run = m->state[i] == FREE ? run + 1 : 0;
		longest = MAX(longest, run);
	}
	return longest;
}

static void step_alloc(struct model *m, struct rng *rng)
{
	uint32_t want = 1 + rng_below(rng, 80), longest = model_longest_run(m);
	struct slot first;
	uint32_t nr = slot_alloc(&map, want, &first);

	cr_assert_leq(nr, want);
	if (longest == 0)
		cr_assert_eq(nr, 0);
	else
		cr_assert_gt(nr, 0);
	/* A run that lies across the cursor is found in two halves. */
	cr_assert_geq(nr, MIN(want, (longest + 1) / 2));
	for (uint32_t i = 0; i < nr; i++) {
		cr_assert_eq(m->state[first.v + i], FREE);
		m->state[first.v + i] = LIVE;
	}
}

static void step_free(struct model *m, struct rng *rng)
{
	uint32_t from = rng_below(rng, NR_SLOTS), nr = 1 + rng_below(rng, 100);

	for (uint32_t i = from; i < MIN(from + nr, NR_SLOTS); i++) {
		if (m->state[i] != LIVE)
			continue;
		slot_free(&map, (struct slot){i});
		m->state[i] = model_is_shared(m, i) ? GIVEN_UP : FREE;
	}
}

static void step_fork(struct model *m, struct rng *rng)
{
	uint32_t f = rng_below(rng, NR_FORKS);

	if (!m->share[f]) {
		m->share[f] = slot_share_begin(&map);
		cr_assert(m->share[f]);
		for (uint32_t i = 0; i < NR_SLOTS; i++)
			m->was_live[f][i] = m->state[i] == LIVE;
	} else if (rng_below(rng, 2)) {
		slot_share_extend(&map, m->share[f]);
		for (uint32_t i = 0; i < NR_SLOTS; i++)
			m->was_live[f][i] |= m->state[i] == LIVE;
	} else {
		slot_share_end(&map, m->share[f]);
		m->share[f] = NULL;
		for (uint32_t i = 0; i < NR_SLOTS; i++)
			if (m->state[i] == GIVEN_UP && !model_is_shared(m, i))
				m->state[i] = FREE;
	}
	for (uint32_t i = 0; m->share[f] && i < NR_SLOTS; i++)
		cr_assert_eq(slot_share_has(m->share[f], (struct slot){i}), m->was_live[f][i]);
}

Test(slots, random_operations_equal_the_model)
{
	struct rng rng = rng_new("slots");
	static struct model m;
	uint32_t nr_retired = 0;

	cr_assert_eq(slot_map_init(&map, NR_SLOTS), 0);
	for (int step = 0; step < 20000; step++) {
		uint32_t dice = rng_below(&rng, 100), i = rng_below(&rng, NR_SLOTS);

		if (dice < 45) {
			step_alloc(&m, &rng);
		} else if (dice < 85) {
			step_free(&m, &rng);
		} else if (dice < 99) {
			step_fork(&m, &rng);
		} else if (m.state[i] == LIVE && !model_is_shared(&m, i) && nr_retired < 50) {
			slot_retire(&map, (struct slot){i});
			m.state[i] = RETIRED;
			nr_retired++;
		}
		cr_assert_eq(map.nr_used, model_count(&m, LIVE), "step %d", step);
		if (step % 64 == 0)
			slot_map_check(&map);
	}
	for (uint32_t i = 0; i < NR_SLOTS; i++)
		cr_assert_eq(slot_is_live(&map, (struct slot){i}), m.state[i] == LIVE);
	slot_map_check(&map);
	slot_map_fini(&map);
}

Test(slots, detached_share_counts_down)
{
	struct slot first;
	uint32_t *checksum;

	cr_assert_eq(slot_map_init(&map, NR_SLOTS), 0);
	cr_assert_eq(slot_alloc(&map, 100, &first), 100);
	map.checksum[99] = 42;
	struct slot_share *share = slot_share_begin(&map);
	slot_map_detach(&map, share, &checksum);
	cr_expect_eq(checksum[99], 42);
	for (uint32_t i = 0; i < 100; i++) {
		struct slot slot = {(i * 37) % 100};

		cr_expect(slot_share_has(share, slot));
		cr_expect_eq(slot_share_drop(share, slot), i == 99);
		cr_expect_not(slot_share_has(share, slot));
	}
	slot_detached_free(share, checksum, NR_SLOTS);
}

static _Atomic uint32_t owner[NR_SLOTS];

static void *alloc_and_free(void *arg)
{
	uint32_t me = 1 + (uint32_t)(uintptr_t)arg;
	struct rng rng = {me};
	struct slot first;

	for (int i = 0; i < 5000; i++) {
		uint32_t nr = slot_alloc(&map, 1 + rng_below(&rng, 60), &first);

		for (uint32_t j = 0; j < nr; j++)
			if (atomic_exchange(&owner[first.v + j], me) != 0)
				abort();
		/* By one thread: ThreadSanitizer does not see raw munmap and mmap, and would take
		 * the next thread's share at the same address for the old one. */
		if (me == 1 && i % 10 == 0)
			slot_share_end(&map, slot_share_begin(&map));
		for (uint32_t j = 0; j < nr; j++) {
			if (atomic_exchange(&owner[first.v + j], 0) != me)
				abort();
			slot_free(&map, (struct slot){first.v + j});
		}
	}
	return NULL;
}

Test(slots, threads_never_share_a_slot, .timeout = 60)
{
	pthread_t t[4];

	cr_assert_eq(slot_map_init(&map, NR_SLOTS), 0);
	for (uintptr_t i = 0; i < ARRAY_LEN(t); i++)
		cr_assert_eq(pthread_create(&t[i], NULL, alloc_and_free, (void *)i), 0);
	for (uint32_t i = 0; i < ARRAY_LEN(t); i++)
		pthread_join(t[i], NULL);
	slot_map_check(&map);
	cr_expect_eq(map.nr_used, 0);
}
