// SPDX-License-Identifier: MIT
/* The rule by which the compressed tier's share of the budget moves, in a closed loop with a model
 * of a pager (frames by LRU, a tier that drops what came first, a disk) and programs. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>

#include "base/types.h"
#include "pager/share_plan.h"

#define BUDGET   2048u /* pages */
#define STEP     (BUDGET / SHARE_STEPS)
#define LARGEST  (24 * STEP)
#define MAX_PAGE (16 * BUDGET)
#define LOOK     25000000u
#define SECOND   1000000000ull
#define NONE     UINT32_MAX
#define ASKED    8u /* one refill for so many evictions */

static struct costs {
	uint32_t hit, disk, fault, refill; /* ns */
} costs = {.hit = 3000, .disk = 70000, .fault = 10000, .refill = 3000};

enum order { UNIFORM, ZIPF, LOOP, PHASES, SET };

struct program {
	enum order order;
	uint32_t nr_pages;
	uint32_t packed_bytes; /* PAGE_BYTES: does not compress */
	bool is_writing;
	double power;
};

struct list {
	uint32_t next[MAX_PAGE + 1], prev[MAX_PAGE + 1];
	uint32_t nr;
};

static struct sim {
	struct program prog;
	struct list frames, tier; /* oldest first; MAX_PAGE is their head */
	bool in_frame[MAX_PAGE], in_tier[MAX_PAGE], is_known[MAX_PAGE];
	uint8_t epoch[MAX_PAGE];
	uint32_t absent[64]; /* by epoch */
	uint64_t nr_evicted, nr_clean;
	uint64_t rng, i, now;
	uint32_t share;
	struct share_history h;
	uint64_t evictions_before, clean_before;
} s;

static void list_init(struct list *l)
{
	l->next[MAX_PAGE] = l->prev[MAX_PAGE] = MAX_PAGE;
	l->nr = 0;
}

static void list_add(struct list *l, uint32_t p)
{
	l->prev[p] = l->prev[MAX_PAGE];
	l->next[p] = MAX_PAGE;
	l->next[l->prev[p]] = l->prev[MAX_PAGE] = p;
	l->nr++;
}

static void list_del(struct list *l, uint32_t p)
{
	l->next[l->prev[p]] = l->next[p];
	l->prev[l->next[p]] = l->prev[p];
	l->nr--;
}

static double uniform(void)
{
	s.rng = s.rng * 6364136223846793005ull + 1442695040888963407ull;
	return (double)(s.rng >> 11) * 0x1p-53;
}

static uint32_t next_page(void)
{
	uint32_t n = s.prog.nr_pages;

	s.i++;
	switch (s.prog.order) {
	case LOOP:
		return (uint32_t)(s.i % n);
	case ZIPF: /* about 1/rank */
		return (uint32_t)(pow((double)n, uniform()) - 1) % n;
	case SET: /* touches of which one in 256 is outside */
		if (s.i % 256)
			n = 33 * BUDGET / 32;
		return (uint32_t)(uniform() * n);
	case PHASES:
		return (uint32_t)((s.i / n * (n / 4) + (uint64_t)(uniform() * n / 4)) % n);
	default:
		return (uint32_t)(uniform() * n);
	}
}

static uint32_t pages_of(uint32_t nr_entries)
{
	return (uint32_t)((uint64_t)nr_entries * s.prog.packed_bytes / PAGE_BYTES);
}

static void tier_drop(uint32_t p)
{
	list_del(&s.tier, p);
	s.in_tier[p] = false;
}

static void evict(void)
{
	uint32_t p = s.frames.next[MAX_PAGE];
	bool packs = s.prog.packed_bytes < PAGE_BYTES && s.share > SHARE_MIN;

	list_del(&s.frames, p);
	s.in_frame[p] = false;
	uint32_t epoch = (uint32_t)(s.nr_evicted++ / (BUDGET / 8) % 64);
	if (s.nr_evicted % (BUDGET / 8) == 1)
		s.absent[epoch] = 0;
	s.absent[epoch]++;
	s.epoch[p] = (uint8_t)epoch;
	s.now += costs.refill / ASKED;
	s.h.evictions += 256;
	s.h.refills += 256 / ASKED;
	s.nr_clean += s.is_known[p];
	s.is_known[p] = true; /* swap has its bytes */
	if (packs && !s.in_tier[p]) {
		list_add(&s.tier, p);
		s.in_tier[p] = true;
	}
}

static void make_room(void)
{
	for (;;) {
		while (pages_of(s.tier.nr) > s.share)
			tier_drop(s.tier.next[MAX_PAGE]);
		if (s.frames.nr + pages_of(s.tier.nr) < BUDGET)
			return;
		evict();
	}
}

/* Pages that were evicted after @p and are still absent, as share_plan.h counts them. */
static uint32_t distance(uint32_t p)
{
	uint32_t now = (uint32_t)(s.nr_evicted / (BUDGET / 8) % 64), at = s.epoch[p];
	uint32_t nr = s.absent[at] / 2;

	if (s.absent[at])
		s.absent[at]--;
	for (; at != now; at = (at + 1) % 64)
		nr += s.absent[(at + 1) % 64];
	return MIN(nr * SHARE_PER_BUDGET / BUDGET, SHARE_DISTANCES - 1);
}

static void touch(uint32_t p)
{
	if (s.in_frame[p]) {
		list_del(&s.frames, p);
		s.now += 100;
	} else {
		bool is_hit = s.in_tier[p];
		s.now += costs.fault;
		if (s.is_known[p]) {
			uint32_t d = distance(p);

			s.now += is_hit ? costs.hit : costs.disk;
			d += (BUDGET - pages_of(s.tier.nr)) * SHARE_PER_BUDGET / BUDGET;
			if (s.prog.packed_bytes < PAGE_BYTES)
				s.h.packed[d] += 256;
			else
				s.h.others[d] += 256;
			s.h.hits += is_hit ? 256 : 0;
		}
		make_room();
		s.in_frame[p] = true;
	}
	list_add(&s.frames, p);
	if (s.prog.is_writing) {
		if (s.in_tier[p])
			tier_drop(p);
		s.is_known[p] = false;
	}
}

static void decay(uint64_t *count)
{
	*count -= (*count + 7) / 8;
}

static void look(bool is_fixed)
{
	uint64_t nr = s.nr_evicted - s.evictions_before;

	s.h.hit_ns = costs.hit, s.h.packed_ns = s.h.raw_ns = costs.disk;
	s.h.fault_ns = costs.fault, s.h.refill_ns = costs.refill;
	s.h.footprint = s.prog.nr_pages;
	s.h.packable = s.prog.packed_bytes < PAGE_BYTES ? 256 : 0;
	s.h.packed_bytes = s.prog.packed_bytes;
	s.h.clean = nr ? (uint32_t)((s.nr_clean - s.clean_before) * 256 / nr) : 0;
	s.evictions_before = s.nr_evicted;
	s.clean_before = s.nr_clean;
	if (!is_fixed)
		s.share = share_next(&s.h, s.share, pages_of(s.tier.nr), BUDGET, LARGEST);
	for (uint32_t d = 0; d < SHARE_PLACES; d++) {
		decay(&s.h.packed[d]);
		decay(&s.h.others[d]);
	}
	decay(&s.h.hits);
	s.h.evictions -= s.h.evictions / 32;
	s.h.refills -= s.h.refills / 32;
}

static void begin(const struct program *prog, uint32_t share)
{
	memset(&s, 0, sizeof(s));
	s.prog = *prog;
	s.share = share;
	s.rng = 1;
	list_init(&s.frames);
	list_init(&s.tier);
	s.prog.is_writing = true;
	for (uint32_t p = 0; p < prog->nr_pages; p++)
		touch(p);
	s.prog = *prog;
}

/* Touches that @ns took to make, at most. */
static uint64_t run(uint64_t ns, bool is_fixed)
{
	uint64_t end = s.now + ns, next = s.now + LOOK, nr;

	for (nr = 0; s.now < end; nr++) {
		touch(next_page());
		if (s.now < next)
			continue;
		look(is_fixed);
		next += LOOK;
	}
	return nr;
}

/* Touches a second at rest, with the share as the rule has it, or at @share. */
static uint64_t at_rest(const struct program *prog, uint32_t start, bool is_fixed)
{
	begin(prog, start);
	run(3 * SECOND, is_fixed);
	return run(2 * SECOND, is_fixed) / 2;
}

/* From wherever it starts, it comes to rest where no other share would be much better: it does
 * @percent of what the best does. */
static void expect_near(struct program prog, uint32_t percent)
{
	uint64_t best = 0;
	uint32_t best_steps = 0;

	for (uint32_t steps = 0; steps <= 24; steps += 2) {
		uint64_t nr = at_rest(&prog, MAX(steps * STEP, SHARE_MIN), true);

		if (nr > best)
			best = nr, best_steps = steps;
	}
	for (uint32_t steps = 0; steps <= 24; steps += 8) {
		uint64_t nr = at_rest(&prog, MAX(steps * STEP, SHARE_MIN), false);

		cr_expect(nr * 100 >= best * percent,
		    "from %u: %lu a second with %u steps; %lu with %u", steps, nr, s.share / STEP,
		    best, best_steps);
	}
}

static void expect_near_best(struct program prog)
{
	expect_near(prog, 94);
}

Test(share, uniform)
{
	expect_near_best((struct program){UNIFORM, 2 * BUDGET, 1024, false});
	expect_near_best((struct program){UNIFORM, 2 * BUDGET, 1024, true});
	expect_near_best((struct program){UNIFORM, 2 * BUDGET, 2048, false});
	expect_near_best((struct program){UNIFORM, 2 * BUDGET, 2048, true});
	expect_near_best((struct program){UNIFORM, 8 * BUDGET, 1024, false});
}

Test(share, zipf)
{
	expect_near_best((struct program){ZIPF, 2 * BUDGET, 1024, false});
	expect_near_best((struct program){ZIPF, 2 * BUDGET, 1024, true});
	expect_near_best((struct program){ZIPF, 2 * BUDGET, 2048, false});
	expect_near_best((struct program){ZIPF, 2 * BUDGET, 2048, true});
	expect_near_best((struct program){ZIPF, 4 * BUDGET, 2048, true});
}

/* A part that is in use all the time, and just does not fit, and pages that are not: what the tier
 * has are frames that would keep the former. */
Test(share, almost_fits)
{
	costs.fault = 15000;
	/* What is only read is kept twice by the tier for a while. That, and that places are known
	 * to an eighth of the budget only, hides how much a little less would do. */
	expect_near((struct program){SET, 2 * BUDGET, 1800, false}, 45);
	expect_near_best((struct program){SET, 2 * BUDGET, 1800, true});
}

/* LRU loses all of a loop that does not fit, and the tier keeps all of it or nothing. */
Test(share, loops)
{
	expect_near_best((struct program){LOOP, 2 * BUDGET, 1024, false});
	expect_near_best((struct program){LOOP, 9 * BUDGET / 8, 2048, true});
	expect_near_best((struct program){LOOP, 6 * BUDGET, 2048, true});
}

Test(share, phases)
{
	expect_near_best((struct program){PHASES, 2 * BUDGET, 1024, false});
	expect_near_best((struct program){PHASES, 8 * BUDGET, 2048, true});
}

/* A hit costs 43 us of the 130 of a read from disk. */
Test(share, faults_are_dear)
{
	costs = (struct costs){.hit = 3000, .disk = 90000, .fault = 40000, .refill = 35000};
	expect_near((struct program){UNIFORM, 2 * BUDGET, 1024, false}, 90);
	expect_near((struct program){UNIFORM, 2 * BUDGET, 1024, true}, 90);
	expect_near((struct program){UNIFORM, 2 * BUDGET, 2048, true}, 90);
	expect_near((struct program){ZIPF, 2 * BUDGET, 1024, false}, 90);
	expect_near((struct program){ZIPF, 2 * BUDGET, 1024, true}, 90);
	expect_near((struct program){ZIPF, 2 * BUDGET, 2048, true}, 90);
}

/* Nothing compresses any more: no share, soon. It does again: as soon. */
Test(share, falls_and_rises_within_a_second)
{
	struct program prog = {UNIFORM, 2 * BUDGET, 1024, true};

	begin(&prog, SHARE_MIN);
	run(3 * SECOND, false);
	cr_expect_geq(s.share, 11 * STEP);
	s.prog.packed_bytes = PAGE_BYTES;
	while (s.tier.nr)
		tier_drop(s.tier.next[MAX_PAGE]);
	run(SECOND, false);
	cr_expect_leq(s.share, SHARE_MIN);
	s.prog.packed_bytes = 1024;
	run(SECOND, false);
	cr_expect_geq(s.share, 11 * STEP, "%u steps", s.share / STEP);
}

Test(share, is_left_alone_while_nothing_comes_back)
{
	struct share_history h = {.hit_ns = costs.hit,
	    .packed_ns = costs.disk,
	    .raw_ns = costs.disk,
	    .fault_ns = costs.fault,
	    .footprint = 1};

	cr_expect_eq(share_next(&h, 5 * STEP, STEP, BUDGET, LARGEST), 5 * STEP);
}

/* Of a program of twice the budget; nothing has come back. */
static struct share_history history_4_to_1(void)
{
	return (struct share_history){.hit_ns = costs.hit,
	    .packed_ns = costs.disk,
	    .raw_ns = costs.disk,
	    .fault_ns = costs.fault,
	    .packed_bytes = 1024,
	    .packable = 256,
	    .footprint = 2 * BUDGET};
}

/* The tier had 12 steps, and what it had now is in frames. */
Test(share, knows_what_a_smaller_share_has_brought)
{
	struct share_history h = history_4_to_1();

	for (uint32_t at = 20; at < 32; at++)
		h.packed[at] = 1000 << SHARE_COUNT_SHIFT;
	h.hits = 12000 << SHARE_COUNT_SHIFT;
	cr_expect_eq(share_next(&h, SHARE_MIN, 0, BUDGET, LARGEST), SHARE_MIN);
	/* Beyond all frames: worth a tier. */
	h.packed[33] = 12000 << SHARE_COUNT_SHIFT;
	h.hits = 0;
	cr_expect_gt(share_next(&h, SHARE_MIN, 0, BUDGET, LARGEST), SHARE_MIN);
}

/* By the pages' sizes all that came back were in the tier, but a part of it is dead. */
Test(share, believes_the_hits)
{
	struct share_history h = history_4_to_1();
	uint32_t share = 12 * STEP;

	for (uint32_t at = 20; at < 64; at++)
		h.packed[at] = 1000 << SHARE_COUNT_SHIFT;
	h.hits = 44000 << SHARE_COUNT_SHIFT;
	cr_expect_eq(share_next(&h, share, share, BUDGET, LARGEST), share);
	h.hits = 39500 << SHARE_COUNT_SHIFT;
	cr_expect_gt(share_next(&h, share, share, BUDGET, LARGEST), share);
}

Test(share, is_none_where_the_budget_is_small)
{
	struct share_history h = {.packable = 256};

	h.packed[SHARE_PER_BUDGET] = 1000000;

	cr_expect_eq(share_next(&h, 100, 100, SHARE_MIN_FRAMES - 1, 0), SHARE_MIN);
	cr_expect_eq(share_next(&h, 100, 100, 1, 0), SHARE_MIN);
}

/* So few frames are left that those in use are asked for it over and over. */
Test(share, refills_count_for_frames)
{
	struct program prog = {UNIFORM, 2 * BUDGET, 1024, true};

	begin(&prog, SHARE_MIN);
	run(3 * SECOND, false);
	cr_expect_eq(share_next(&s.h, s.share, s.share, BUDGET, LARGEST), s.share);
	s.h.refills = 20 * s.h.evictions;
	cr_expect_lt(share_next(&s.h, s.share, s.share, BUDGET, LARGEST), s.share);
}
