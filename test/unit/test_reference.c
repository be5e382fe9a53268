// SPDX-License-Identifier: MIT
/*
 * Live policies against straightforward implementations on random strings, driven with one victim
 * at a time: those whose argument says exactly what they do (clock.c, sieve.c). The others of
 * test_replay.c are beside their papers' there.
 */
#include <criterion/criterion.h>
#include <string.h>

#include "replay/sim.h"
#include "support.h"

#define NR_REFS  4000u
#define MAX_PAGE 64u

static uint32_t refs[NR_REFS];

/* Half of the references to a few pages. Return: how many pages there are. */
static uint32_t random_string(struct rng *rng)
{
	uint32_t nr_pages = 2 + rng_below(rng, MAX_PAGE - 2), nr_hot = 1 + rng_below(rng, nr_pages);

	for (uint32_t i = 0; i < NR_REFS; i++)
		refs[i] = sim_ref(rng_below(rng, rng_below(rng, 2) ? nr_pages : nr_hot), false);
	return nr_pages;
}

static struct sim_counts run(
    const char *policy, uint32_t nr_pages, uint32_t nr_frames, uint32_t max_held)
{
	struct sim *sim = sim_open(sim_policy_find(policy), nr_frames, max_held);

	cr_assert_not_null(sim);
	cr_assert_eq(sim_run(sim, refs, NR_REFS, nr_pages, NULL, NULL), 0);
	struct sim_counts counts = *sim_counts(sim);
	sim_close(sim);
	return counts;
}

/* Pages in an order, the first one at [0]. */
struct row {
	uint32_t nr, page[MAX_PAGE + 1];
};

static uint32_t row_find(const struct row *r, uint32_t page)
{
	uint32_t i = 0;

	while (i < r->nr && r->page[i] != page)
		i++;
	return i; /* nr: not there */
}

static uint32_t row_take(struct row *r, uint32_t at)
{
	uint32_t page = r->page[at];

	memmove(&r->page[at], &r->page[at + 1], (r->nr - at - 1) * sizeof(r->page[0]));
	r->nr--;
	return page;
}

static void row_put(struct row *r, uint32_t page)
{
	r->page[r->nr++] = page;
}

/* Two hands: the first holds the oldest page, the second evicts the one held longest, with at most
 * @max_held between them; a held page that is touched starts again as the youngest. */
static struct sim_counts naive_clock(uint32_t nr_frames, uint32_t max_held)
{
	struct row queue = {0}, held = {0};
	struct sim_counts c = {0};

	for (uint32_t i = 0; i < NR_REFS; i++) {
		uint32_t page = refs[i] >> 1, at = row_find(&held, page);

		if (at < held.nr) {
			c.refills++;
			row_put(&queue, row_take(&held, at));
			continue;
		}
		if (row_find(&queue, page) < queue.nr)
			continue;
		c.faults++;
		if (queue.nr + held.nr == nr_frames) {
			while (queue.nr && held.nr < max_held)
				row_put(&held, row_take(&queue, 0));
			row_take(&held, 0);
		}
		row_put(&queue, page);
	}
	return c;
}

Test(reference, clock)
{
	struct rng rng = rng_new("reference clock");

	for (int round = 0; round < 60; round++) {
		uint32_t nr_pages = random_string(&rng), nr_frames = 1 + rng_below(&rng, 40);
		uint32_t max_held = 1 + rng_below(&rng, nr_frames);
		struct sim_counts got = run("clock", nr_pages, nr_frames, max_held);
		struct sim_counts want = naive_clock(nr_frames, max_held);

		cr_expect_eq(got.faults, want.faults, "%u frames, %u held: %llu, not %llu",
		    nr_frames, max_held, (unsigned long long)got.faults,
		    (unsigned long long)want.faults);
		cr_expect_eq(got.refills, want.refills, "%u frames, %u held", nr_frames, max_held);
	}
}

/*
 * SIEVE as in its paper's algorithm 1, but that a new page counts as visited: one queue, a visited
 * bit each, and a hand that goes from old to new, clears bits, and evicts the first page without.
 */
static uint64_t naive_sieve(uint32_t nr_frames)
{
	bool visited[MAX_PAGE] = {false};
	struct row queue = {0}; /* oldest first */
	uint32_t hand = 0;      /* index of a page; nr: beyond the newest */
	uint64_t faults = 0;

	for (uint32_t i = 0; i < NR_REFS; i++) {
		uint32_t page = refs[i] >> 1;

		if (row_find(&queue, page) == queue.nr) {
			bool was_beyond = hand >= queue.nr;

			faults++;
			if (queue.nr == nr_frames) {
				hand = was_beyond ? 0 : hand;
				while (visited[queue.page[hand]]) {
					visited[queue.page[hand]] = false;
					hand = (hand + 1) % queue.nr;
				}
				row_take(&queue, hand);
				was_beyond = hand == queue.nr;
			}
			row_put(&queue, page);
			/* What comes in now is not what a hand beyond the newest was at. */
			if (was_beyond)
				hand = 0;
		}
		visited[page] = true;
	}
	return faults;
}

Test(reference, sieve)
{
	struct rng rng = rng_new("reference sieve");

	for (int round = 0; round < 60; round++) {
		uint32_t nr_pages = random_string(&rng), nr_frames = 1 + rng_below(&rng, 40);
		uint64_t got = run("sieve", nr_pages, nr_frames, nr_frames).faults;
		uint64_t want = naive_sieve(nr_frames);

		cr_expect_eq(got, want, "%u frames: %llu, not %llu", nr_frames,
		    (unsigned long long)got, (unsigned long long)want);
	}
}

/* Whatever it draws, it evicts only when all frames are full, and each as often as another. */
Test(reference, random_is_even)
{
	struct sim *sim = sim_open(sim_policy_find("random"), 16, 0);
	uint32_t evicted[16] = {0};

	for (uint32_t i = 0; i < 16016; i++) {
		uint32_t ref = sim_ref(i, false);
		struct sim_step step;

		cr_assert_eq(sim_run(sim, &ref, 1, 16016, NULL, &step), 0);
		cr_expect_eq(step.victim == ACCESS_NO_PAGE, i < 16);
		if (i >= 16)
			evicted[step.frame]++;
	}
	for (uint32_t f = 0; f < 16; f++) /* 1000 each; six standard deviations are 184 */
		cr_expect(evicted[f] > 800 && evicted[f] < 1200, "frame %u: %u", f, evicted[f]);
	sim_close(sim);
}
