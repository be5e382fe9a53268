// SPDX-License-Identifier: MIT
/*
 * For straightforward implementations of policies, and their comparison with lib/policy, reference
 * by reference: pages in rows, searched through; random strings of several shapes.
 */
#ifndef FL_TEST_REFERENCE_H
#define FL_TEST_REFERENCE_H

#include <criterion/criterion.h>
#include <string.h>

#include "replay/sim.h"
#include "support.h"

#define NR_REFS  4000u
#define MAX_PAGE 96u

/* Pages in an order, the first one at [0]. */
struct row {
	uint32_t nr, page[2 * MAX_PAGE + 1];
};

static inline uint32_t row_find(const struct row *r, uint32_t page)
{
	uint32_t i = 0;

	while (i < r->nr && r->page[i] != page)
		i++;
	return i; /* nr: not there */
}

static inline bool row_has(const struct row *r, uint32_t page)
{
	return row_find(r, page) < r->nr;
}

static inline uint32_t row_take(struct row *r, uint32_t at)
{
	uint32_t page = r->page[at];

	memmove(&r->page[at], &r->page[at + 1], (r->nr - at - 1) * sizeof(r->page[0]));
	r->nr--;
	return page;
}

static inline void row_put(struct row *r, uint32_t page)
{
	r->page[r->nr++] = page;
}

static inline void row_drop(struct row *r, uint32_t page)
{
	row_take(r, row_find(r, page));
}

/* What a straightforward implementation answers, beside the victim. */
#define NAIVE_HIT  (UINT32_MAX - 1)
#define NAIVE_FREE ACCESS_NO_PAGE /* a fault, and there was a free frame */

/* A memory under one; each uses of it what it likes. */
struct naive {
	uint32_t nr_frames, max_held;
	struct row list[3], held; /* mapped; watched */
	uint32_t nr_refills;
	uint32_t nr_evicted, left_at[MAX_PAGE]; /* number of its last eviction, 0: none */
	uint32_t note[MAX_PAGE], time[MAX_PAGE], now, target;
	uint32_t hot_hand;
	bool in_test[MAX_PAGE];
};

typedef uint32_t naive_fn(struct naive *m, uint32_t page);

/* How many pages were evicted since @page was. */
static inline uint32_t naive_distance(const struct naive *m, uint32_t page)
{
	return m->left_at[page] ? m->nr_evicted - m->left_at[page] : DISTANCE_NEVER;
}

static inline uint32_t naive_evicts(struct naive *m, uint32_t page)
{
	m->left_at[page] = ++m->nr_evicted;
	return page;
}

#define NR_SHAPES 5u

/* Fill @refs with a string for a memory of @nr_frames frames. */
static inline void reference_string(
    struct rng *rng, uint32_t shape, uint32_t nr_frames, uint32_t refs[NR_REFS])
{
	uint32_t nr_pages = 2 + rng_below(rng, MAX_PAGE - 2), nr_hot = 1 + rng_below(rng, nr_pages);
	uint32_t loop = MIN(MAX_PAGE, nr_frames + 1 + rng_below(rng, nr_frames / 2 + 1));
	uint32_t page = 0, base = 0;

	for (uint32_t i = 0; i < NR_REFS; i++) {
		switch (shape) {
		case 0: /* half of the references to a few pages */
			page = rng_below(rng, rng_below(rng, 2) ? nr_pages : nr_hot);
			break;
		case 1: /* the lower the page, the oftener */
			page = rng_below(rng, 1 + rng_below(rng, 1 + rng_below(rng, MAX_PAGE)));
			break;
		case 2: /* a loop larger than memory, disturbed */
			page = rng_below(rng, 8) ? i % loop : rng_below(rng, MAX_PAGE);
			break;
		case 3: /* a few hot pages and a scan */
			page = rng_below(rng, 4) ? rng_below(rng, 1 + nr_frames / 2)
			                         : i / 2 % MAX_PAGE;
			break;
		default: /* one working set after the other */
			base = i % 500 ? base : rng_below(rng, MAX_PAGE);
			page = base + rng_below(rng, 1 + rng_below(rng, nr_frames * 5 / 4 + 1));
			page %= MAX_PAGE;
		}
		refs[i] = sim_ref(page, false);
	}
}

static inline void reference_compare_one(
    const char *policy, naive_fn *naive, struct naive m, const uint32_t refs[NR_REFS])
{
	struct sim *sim = sim_open(sim_policy_find(policy), m.nr_frames, m.max_held);

	cr_assert_not_null(sim);
	for (uint32_t i = 0; i < NR_REFS; i++) {
		struct sim_step step;

		cr_assert_eq(sim_run(sim, &refs[i], 1, MAX_PAGE, NULL, &step), 0);
		uint32_t got = step.is_fault ? step.victim : NAIVE_HIT;
		uint32_t want = naive(&m, refs[i] >> 1);

		cr_assert_eq(got, want, "%s, %u frames, %u held, reference %u: %d, not %d", policy,
		    m.nr_frames, m.max_held, i, (int)got, (int)want);
	}
	cr_assert_eq(sim_counts(sim)->refills, m.nr_refills, "%s, %u frames, %u held", policy,
	    m.nr_frames, m.max_held);
	sim_close(sim);
}

/* Every reference of strings of all shapes: the same victim under both. @only_all_held: the
 * straightforward one is for reference bits, that is, all frames may be held. */
static inline void reference_compare(const char *policy, naive_fn *naive, bool only_all_held)
{
	struct rng rng = rng_new(policy);
	uint32_t refs[NR_REFS];

	for (uint32_t round = 0; round < 12 * NR_SHAPES; round++) {
		uint32_t nr = 1 + rng_below(&rng, 48);
		uint32_t max_held[] = {nr, 0, MAX(nr / 8, 1u), rng_below(&rng, nr + 1)};

		reference_string(&rng, round % NR_SHAPES, nr, refs);
		for (size_t i = 0; i < (only_all_held ? 1 : ARRAY_LEN(max_held)); i++)
			reference_compare_one(policy, naive,
			    (struct naive){.nr_frames = nr, .max_held = max_held[i]}, refs);
	}
}

#endif
