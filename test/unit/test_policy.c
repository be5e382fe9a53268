// SPDX-License-Identifier: MIT
#include <criterion/criterion.h>
#include <string.h>

#include "policy/policy.h"
#include "support.h"

#define NR_FRAMES 48u
#define NR_PAGES  20200

static struct policy *policy_new(const struct policy_ops *ops, uint32_t nr, uint32_t max_held)
{
	size_t bytes = ops->state_bytes(nr);
	struct policy *p = (struct policy *)pages_new(page_round_up(bytes) / PAGE_BYTES);

	ops->init(p, nr, max_held);
	return p;
}

Test(policy, found_by_name)
{
	cr_expect_eq(policy_find("fifo"), policies[2]);
	cr_expect_eq(policy_find("gclock"), policies[0]);
	cr_expect_null(policy_find("lru?"));
	for (size_t i = 0; policies[i]; i++)
		cr_expect_eq(policy_find(policies[i]->name), policies[i]);
}

/*
 * A memory of @nr_frames frames under @ops, as the pager would drive it: a held page that is
 * touched is a minor fault, a page in no frame a major one.
 */
struct memory {
	const struct policy_ops *ops;
	struct policy *p;
	uint32_t nr_frames, nr_major, nr_minor;
	int page_of[NR_FRAMES]; /* -1: free */
	bool is_held[NR_FRAMES];
	uint32_t nr_evicted, left_at[NR_PAGES]; /* by page; 0: never left */
};

static void memory_init(struct memory *m, const char *policy, uint32_t nr_frames, uint32_t max_held)
{
	memset(m, 0, sizeof(*m));
	m->ops = policy_find(policy);
	m->p = policy_new(m->ops, nr_frames, max_held);
	m->nr_frames = nr_frames;
	for (uint32_t i = 0; i < nr_frames; i++)
		m->page_of[i] = -1;
}

static uint32_t memory_free_one(struct memory *m)
{
	struct choice c;

	while (m->ops->choose(m->p, &c, 1) == 1) {
		if (c.what == CHOICE_HOLD) {
			m->is_held[c.frame.v] = true;
			m->ops->held(m->p, c.frame);
			continue;
		}
		m->is_held[c.frame.v] = false;
		m->left_at[m->page_of[c.frame.v]] = ++m->nr_evicted;
		m->page_of[c.frame.v] = -1;
		m->ops->removed(m->p, c.frame);
		return c.frame.v;
	}
	cr_assert_fail("nothing to evict");
	return 0;
}

static void memory_touch(struct memory *m, int page)
{
	uint32_t free = UINT32_MAX;

	for (uint32_t i = 0; i < m->nr_frames; i++) {
		if (m->page_of[i] == -1)
			free = i;
		if (m->page_of[i] != page)
			continue;
		if (m->is_held[i]) {
			m->nr_minor++;
			m->is_held[i] = false;
			m->ops->touched(m->p, (struct frame_nr){i});
		}
		return;
	}
	m->nr_major++;
	if (free == UINT32_MAX)
		free = memory_free_one(m);
	m->page_of[free] = page;
	m->ops->insert(m->p, (struct frame_nr){free},
	    m->left_at[page] ? m->nr_evicted - m->left_at[page] : DISTANCE_NEVER);
}

static uint32_t faults_of(
    const char *policy, uint32_t nr_frames, uint32_t max_held, const char *pages)
{
	struct memory m;

	memory_init(&m, policy, nr_frames, max_held);
	for (; *pages; pages++)
		memory_touch(&m, *pages);
	return m.nr_major;
}

/* Belady, Nelson and Shedler, 1969: with one frame more, FIFO faults once more. */
Test(policy, fifo_has_beladys_anomaly)
{
	cr_expect_eq(faults_of("fifo", 3, 0, "123412512345"), 9);
	cr_expect_eq(faults_of("fifo", 4, 0, "123412512345"), 10);
}

/* Silberschatz's reference string: 15 faults with three frames. */
Test(policy, fifo_textbook_string)
{
	cr_expect_eq(faults_of("fifo", 3, 0, "70120304230321201701"), 15);
}

Test(policy, clock_that_may_not_hold_is_fifo)
{
	struct rng rng = rng_new("clock as fifo");
	char pages[2001];

	for (int round = 0; round < 20; round++) {
		uint32_t nr = 1 + rng_below(&rng, NR_FRAMES - 1);

		for (int i = 0; i < 2000; i++)
			pages[i] = (char)(1 + rng_below(&rng, 90));
		pages[2000] = 0;
		cr_expect_eq(faults_of("clock", nr, 0, pages), faults_of("fifo", nr, 0, pages));
	}
}

/* A hot set that fits beside a scan that does not. */
Test(policy, clock_keeps_the_hot_set_and_fifo_does_not)
{
	struct memory clock, fifo;

	memory_init(&clock, "clock", 40, 10);
	memory_init(&fifo, "fifo", 40, 0);
	for (int i = 0; i < 20000; i++) {
		int page = i % 4 == 3 ? 100 + i : i % 16;

		memory_touch(&clock, page);
		memory_touch(&fifo, page);
	}
	/* Of 20,000 touches 5,000 are scan, each a fault under any policy. */
	cr_expect_lt(clock.nr_major, 5100, "%u", clock.nr_major);
	cr_expect_gt(fifo.nr_major, 6000, "%u", fifo.nr_major);
}

/* Nothing is touched: the back hand follows the front hand at the full distance. */
Test(policy, clock_hands_keep_their_distance)
{
	const struct policy_ops *ops = policy_find("clock");
	struct policy *p = policy_new(ops, NR_FRAMES, 8);
	uint32_t held_at[NR_FRAMES], nr_holds = 0, nr_evicted = 0;
	struct choice c[6];

	for (uint32_t i = 0; i < NR_FRAMES; i++)
		ops->insert(p, (struct frame_nr){i}, DISTANCE_NEVER);
	while (nr_evicted < 20) {
		uint32_t nr = ops->choose(p, c, ARRAY_LEN(c));

		for (uint32_t i = 0; i < nr; i++) {
			uint32_t f = c[i].frame.v;

			if (c[i].what == CHOICE_HOLD) {
				held_at[f] = nr_holds++;
				ops->held(p, c[i].frame);
				continue;
			}
			cr_assert_eq(f, nr_evicted++, "oldest first");
			cr_assert_geq(nr_holds - held_at[f], 8);
			ops->removed(p, c[i].frame);
		}
	}
}

/* The bound that clock.c states, against a program that touches all that is ever held. */
Test(policy, clock_progresses_though_all_is_in_use)
{
	const struct policy_ops *ops = policy_find("clock");
	struct rng rng = rng_new("clock progress");

	for (uint32_t max_held = 0; max_held < 20; max_held++) {
		struct policy *p = policy_new(ops, NR_FRAMES, max_held);

		for (uint32_t i = 0; i < NR_FRAMES; i++)
			ops->insert(p, (struct frame_nr){i}, DISTANCE_NEVER);
		for (uint32_t calls = 0, total = 0; total < 3000; total++) {
			struct choice c[4];
			uint32_t nr = ops->choose(p, c, 1 + rng_below(&rng, 4));

			cr_assert_gt(nr, 0);
			cr_assert_leq(++calls, 4 * max_held + 1, "max_held %u", max_held);
			for (uint32_t i = 0; i < nr; i++) {
				if (c[i].what == CHOICE_EVICT) {
					calls = 0;
					ops->removed(p, c[i].frame);
					ops->insert(p, c[i].frame, DISTANCE_NEVER);
				} else {
					ops->held(p, c[i].frame);
					ops->touched(p, c[i].frame);
				}
			}
		}
	}
}

/* The naive model of what the interface promises: where each frame is. */
struct model {
	enum where {
		OUT,
		QUEUED,
		CHOSEN_HOLD,
		CHOSEN_EVICT,
		HELD,
	} where[NR_FRAMES];
};

static uint32_t model_count(const struct model *m, enum where where)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < NR_FRAMES; i++)
		n += m->where[i] == where;
	return n;
}

/* @max_held: most that may be held now. What is beyond it, after that was lowered, may stay. */
static void step_choose(const struct policy_ops *ops, struct policy *p, struct model *m,
    struct rng *rng, uint32_t max_held)
{
	uint32_t before = model_count(m, HELD) + model_count(m, CHOSEN_HOLD);
	struct choice c[NR_FRAMES];
	uint32_t want = 1 + rng_below(rng, 12);
	uint32_t available = model_count(m, QUEUED) + model_count(m, HELD);
	uint32_t nr = ops->choose(p, c, want);

	cr_assert_leq(nr, MIN(want, available));
	cr_assert((nr > 0) == (available > 0));
	for (uint32_t i = 0; i < nr; i++) {
		enum where *where = &m->where[c[i].frame.v];

		if (c[i].what == CHOICE_HOLD) {
			cr_assert_eq(*where, QUEUED);
			*where = CHOSEN_HOLD;
		} else {
			cr_assert(*where == QUEUED || *where == HELD);
			*where = CHOSEN_EVICT;
		}
		cr_assert_leq(
		    model_count(m, HELD) + model_count(m, CHOSEN_HOLD), MAX(max_held, before));
	}
}

static void step_frame(
    const struct policy_ops *ops, struct policy *p, struct model *m, struct rng *rng)
{
	struct frame_nr f = {rng_below(rng, NR_FRAMES)};
	enum where *where = &m->where[f.v];

	if (rng_below(rng, 8) == 0) {
		ops->removed(p, f);
		*where = OUT;
	} else if (*where == HELD) {
		ops->touched(p, f);
		*where = QUEUED;
	} else if (*where == CHOSEN_HOLD && rng_below(rng, 4)) {
		ops->held(p, f);
		*where = HELD;
	} else if (*where != QUEUED) {
		ops->insert(p, f, rng_below(rng, 2) ? DISTANCE_NEVER : rng_below(rng, 200));
		*where = QUEUED;
	}
}

Test(policy, random_operations_keep_the_promises)
{
	struct rng rng = rng_new("policy");

	for (size_t i = 0; policies[i]; i++) {
		for (uint32_t max_held = 0; max_held <= NR_FRAMES; max_held += 7) {
			struct policy *p = policy_new(policies[i], NR_FRAMES, max_held);
			struct model m = {{OUT}};

			uint32_t now = max_held;

			for (int step = 0; step < 20000; step++) {
				if (policies[i]->set_max_held && rng_below(&rng, 200) == 0) {
					now = rng_below(&rng, max_held + 1);
					policies[i]->set_max_held(p, now);
				}
				if (rng_below(&rng, 4) == 0)
					step_choose(policies[i], p, &m, &rng, now);
				else
					step_frame(policies[i], p, &m, &rng);
			}
			/* Everything can be got out again. */
			while (model_count(&m, QUEUED) + model_count(&m, HELD)) {
				step_choose(policies[i], p, &m, &rng, now);
				for (uint32_t f = 0; f < NR_FRAMES; f++) {
					if (m.where[f] == CHOSEN_HOLD) {
						policies[i]->held(p, (struct frame_nr){f});
						m.where[f] = HELD;
					} else if (m.where[f] == CHOSEN_EVICT) {
						policies[i]->removed(p, (struct frame_nr){f});
						m.where[f] = OUT;
					}
				}
			}
		}
	}
}
