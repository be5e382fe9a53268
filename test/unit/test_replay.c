// SPDX-License-Identifier: MIT
/*
 * Memories under policies against published fault counts and against straightforward
 * implementations on random strings; stack distances against counting by hand.
 */
#include <criterion/criterion.h>
#include <string.h>

#include "replay/page_map.h"
#include "replay/sim.h"
#include "replay/stack.h"
#include "support.h"

#define MAX_REFS 4000u

/* Pages 0 .. 255 by digit; lower case is a read. */
struct string {
	uint32_t nr, nr_pages;
	uint32_t refs[MAX_REFS];
	uint64_t next_use[MAX_REFS];
};

static void string_finish(struct string *s)
{
	uint64_t next[256];

	for (int i = 0; i < 256; i++)
		next[i] = ACCESS_NEVER;
	for (uint32_t i = s->nr; i-- > 0;) {
		s->next_use[i] = next[s->refs[i] >> 1];
		next[s->refs[i] >> 1] = i;
	}
}

static void string_of(struct string *s, const char *pages)
{
	s->nr = (uint32_t)strlen(pages);
	s->nr_pages = 256;
	for (uint32_t i = 0; i < s->nr; i++)
		s->refs[i] = sim_ref((uint32_t)(pages[i] - '0'), false);
	string_finish(s);
}

/* Half of the references to a few pages, so that there is something to be learnt. */
static void string_random(struct string *s, struct rng *rng)
{
	uint32_t nr_pages = 2 + rng_below(rng, 60), nr_hot = 1 + rng_below(rng, nr_pages);

	s->nr = MAX_REFS;
	s->nr_pages = nr_pages;
	for (uint32_t i = 0; i < s->nr; i++)
		s->refs[i] = sim_ref(
		    rng_below(rng, rng_below(rng, 2) ? nr_pages : nr_hot), rng_below(rng, 4) == 0);
	string_finish(s);
}

static struct sim_counts run_of(
    const char *policy, const struct string *s, uint32_t nr_frames, uint32_t max_held)
{
	struct sim *sim = sim_open(sim_policy_find(policy), nr_frames, max_held);

	cr_assert_not_null(sim);
	cr_assert_eq(sim_run(sim, s->refs, s->nr, s->nr_pages, s->next_use, NULL), 0);
	struct sim_counts counts = *sim_counts(sim);
	cr_assert_eq(counts.refs, s->nr);
	sim_close(sim);
	return counts;
}

static uint64_t faults_of(
    const char *policy, const char *pages, uint32_t nr_frames, uint32_t max_held)
{
	struct string s;

	string_of(&s, pages);
	return run_of(policy, &s, nr_frames, max_held).faults;
}

/*
 * Reference strings with the counts that their books print:
 *  silberschatz: Operating System Concepts, 10th ed., section 10.4: FIFO 15, OPT 9, LRU 12 faults
 *                with three frames (figures 10.12, 10.14, 10.15)
 *  belady:       Belady, Nelson, Shedler, CACM 12(6), 1969: FIFO 9 with three, 10 with four
 *  stallings:    Operating Systems: Internals and Design Principles, section 8.2, figure 8.14 (9th
 *                ed. 8.15): 2 3 2 1 5 2 4 5 3 2 5 2 with three frames; the book counts faults after
 *                the frames were filled first: OPT 3, LRU 4, FIFO 6, CLOCK 5, so 3 more here
 */
static const char silberschatz[] = "70120304230321201701";
static const char belady[] = "123412512345";
static const char stallings[] = "232152453252";

Test(replay, textbook_strings)
{
	cr_expect_eq(faults_of("fifo", silberschatz, 3, 0), 15);
	cr_expect_eq(faults_of("opt", silberschatz, 3, 0), 9);
	cr_expect_eq(faults_of("lru", silberschatz, 3, 0), 12);
	cr_expect_eq(faults_of("fifo", belady, 3, 0), 9);
	cr_expect_eq(faults_of("fifo", belady, 4, 0), 10);
	cr_expect_eq(faults_of("lru", belady, 3, 0), 10);
	cr_expect_eq(faults_of("lru", belady, 4, 0), 8);
	cr_expect_eq(faults_of("opt", belady, 3, 0), 7);
	cr_expect_eq(faults_of("opt", belady, 4, 0), 6);
	cr_expect_eq(faults_of("opt", stallings, 3, 0), 3 + 3);
	cr_expect_eq(faults_of("lru", stallings, 3, 0), 3 + 4);
	cr_expect_eq(faults_of("fifo", stallings, 3, 0), 3 + 6);
	cr_expect_eq(faults_of("second-chance", stallings, 3, 3), 3 + 5);
}

/* --- straightforward implementations: O(frames) for each reference --- */

struct naive {
	uint32_t nr_frames, nr_used, hand;
	struct {
		uint32_t page;
		uint64_t came, used, count;
		bool bit;
	} at[64];
};

typedef uint32_t naive_victim_fn(struct naive *n, const struct string *s, uint32_t now);

static uint32_t naive_first(struct naive *n, uint64_t (*key)(struct naive *, uint32_t))
{
	uint32_t best = 0;

	for (uint32_t i = 1; i < n->nr_frames; i++)
		if (key(n, i) < key(n, best))
			best = i;
	return best;
}

static uint64_t key_came(struct naive *n, uint32_t i)
{
	return n->at[i].came;
}

static uint64_t key_used(struct naive *n, uint32_t i)
{
	return n->at[i].used;
}

static uint64_t key_not_used(struct naive *n, uint32_t i)
{
	return ~n->at[i].used;
}

static uint64_t key_count(struct naive *n, uint32_t i)
{
	return n->at[i].count << 32 | n->at[i].used;
}

static uint32_t victim_fifo(struct naive *n, const struct string *s, uint32_t now)
{
	return naive_first(n, key_came);
}

static uint32_t victim_lru(struct naive *n, const struct string *s, uint32_t now)
{
	return naive_first(n, key_used);
}

static uint32_t victim_mru(struct naive *n, const struct string *s, uint32_t now)
{
	return naive_first(n, key_not_used);
}

static uint32_t victim_lfu(struct naive *n, const struct string *s, uint32_t now)
{
	return naive_first(n, key_count);
}

/* By looking ahead. */
static uint32_t victim_opt(struct naive *n, const struct string *s, uint32_t now)
{
	uint32_t best = 0, best_at = 0;

	for (uint32_t i = 0; i < n->nr_frames; i++) {
		uint32_t j = now;

		while (j < s->nr && s->refs[j] >> 1 != n->at[i].page)
			j++;
		if (j > best_at) {
			best = i;
			best_at = j;
		}
	}
	return best;
}

static uint32_t victim_clock(struct naive *n, const struct string *s, uint32_t now)
{
	for (;; n->hand = (n->hand + 1) % n->nr_frames) {
		if (!n->at[n->hand].bit)
			break;
		n->at[n->hand].bit = false;
	}
	uint32_t victim = n->hand;
	n->hand = (n->hand + 1) % n->nr_frames;
	return victim;
}

static uint64_t naive_faults(const struct string *s, uint32_t nr_frames, naive_victim_fn *victim)
{
	struct naive n = {.nr_frames = nr_frames};
	uint64_t faults = 0;

	for (uint32_t now = 0; now < s->nr; now++) {
		uint32_t page = s->refs[now] >> 1, i = 0;

		while (i < n.nr_used && n.at[i].page != page)
			i++;
		if (i == n.nr_used) {
			faults++;
			if (n.nr_used < nr_frames)
				n.nr_used++;
			else
				i = victim(&n, s, now);
			n.at[i].page = page;
			n.at[i].came = now;
			n.at[i].count = 0;
		}
		n.at[i].used = now;
		n.at[i].bit = true;
		n.at[i].count++;
	}
	return faults;
}

Test(replay, policies_equal_straightforward_ones)
{
	static const struct {
		const char *name;
		naive_victim_fn *victim;
	} table[] = {
	    {"fifo", victim_fifo},
	    {"lru", victim_lru},
	    {"mru", victim_mru},
	    {"lfu", victim_lfu},
	    {"opt", victim_opt},
	    {"second-chance", victim_clock},
	};
	struct rng rng = rng_new("replay");
	struct string s;

	for (int round = 0; round < 60; round++) {
		uint32_t nr_frames = 1 + rng_below(&rng, 40);

		string_random(&s, &rng);
		for (size_t i = 0; i < ARRAY_LEN(table); i++)
			cr_expect_eq(run_of(table[i].name, &s, nr_frames, nr_frames).faults,
			    naive_faults(&s, nr_frames, table[i].victim), "%s, %u frames",
			    table[i].name, nr_frames);
	}
}

/* --- 2Q, S3-FIFO and ARC as their papers' pseudocode has them, on arrays --- */

struct queue {
	uint32_t nr;
	uint32_t page[300];
};

static bool queue_has(const struct queue *q, uint32_t page)
{
	for (uint32_t i = 0; i < q->nr; i++)
		if (q->page[i] == page)
			return true;
	return false;
}

static void queue_put(struct queue *q, uint32_t page)
{
	q->page[q->nr++] = page;
}

static void queue_drop(struct queue *q, uint32_t page)
{
	uint32_t to = 0;

	for (uint32_t i = 0; i < q->nr; i++)
		if (q->page[i] != page)
			q->page[to++] = q->page[i];
	q->nr = to;
}

struct naive_arc {
	uint32_t c, p;
	struct queue t1, t2, b1, b2;
};

static void arc_replace(struct naive_arc *a, bool in_b2)
{
	bool t1 = a->t1.nr && (a->t1.nr > a->p || (in_b2 && a->t1.nr == a->p));
	struct queue *from = t1 || !a->t2.nr ? &a->t1 : &a->t2;
	uint32_t page = from->page[0];

	queue_drop(from, page);
	queue_put(from == &a->t1 ? &a->b1 : &a->b2, page);
}

static bool arc_hit(struct naive_arc *a, uint32_t x)
{
	bool is_hit = queue_has(&a->t1, x) || queue_has(&a->t2, x);
	bool in_b1 = queue_has(&a->b1, x), in_b2 = queue_has(&a->b2, x);

	if (in_b1)
		a->p = MIN(a->c, a->p + MAX(a->b2.nr / a->b1.nr, 1u));
	if (in_b2)
		a->p -= MIN(a->p, MAX(a->b1.nr / a->b2.nr, 1u));
	if (in_b1 || in_b2)
		arc_replace(a, in_b2);
	if (is_hit || in_b1 || in_b2) {
		queue_drop(&a->t1, x);
		queue_drop(&a->t2, x);
		queue_drop(&a->b1, x);
		queue_drop(&a->b2, x);
		queue_put(&a->t2, x);
		return is_hit;
	}
	if (a->t1.nr + a->b1.nr == a->c) {
		if (a->t1.nr < a->c) {
			queue_drop(&a->b1, a->b1.page[0]);
			arc_replace(a, false);
		} else {
			queue_drop(&a->t1, a->t1.page[0]);
		}
	} else if (a->t1.nr + a->t2.nr + a->b1.nr + a->b2.nr >= a->c) {
		if (a->t1.nr + a->t2.nr + a->b1.nr + a->b2.nr == 2 * a->c)
			queue_drop(&a->b2, a->b2.page[0]);
		arc_replace(a, false);
	}
	queue_put(&a->t1, x);
	return false;
}

Test(replay, arc_equals_its_paper)
{
	struct rng rng = rng_new("arc");
	struct string s;

	for (int round = 0; round < 40; round++) {
		struct naive_arc a = {.c = 1 + rng_below(&rng, 40)};
		uint64_t faults = 0;

		string_random(&s, &rng);
		for (uint32_t i = 0; i < s.nr; i++)
			faults += !arc_hit(&a, s.refs[i] >> 1);
		cr_expect_eq(run_of("arc", &s, a.c, 0).faults, faults, "%u frames", a.c);
	}
}

/* LIRS by its definition: stack and queue as arrays, searched through. */
struct naive_lirs {
	uint32_t max_lir, max_hir;
	struct queue s, q, lir; /* bottom, next out and any order first */
};

static void lirs_prune(struct naive_lirs *l)
{
	while (l->s.nr && !queue_has(&l->lir, l->s.page[0]))
		queue_drop(&l->s, l->s.page[0]);
}

static bool lirs_hit(struct naive_lirs *l, uint32_t x)
{
	bool is_lir = queue_has(&l->lir, x), is_hit = is_lir || queue_has(&l->q, x);
	bool was_in_s = queue_has(&l->s, x);

	if (!is_hit && l->lir.nr + l->q.nr == l->max_lir + l->max_hir)
		queue_drop(&l->q, l->q.page[0]);
	queue_drop(&l->s, x);
	queue_put(&l->s, x);
	if (!is_lir && (was_in_s || (!is_hit && l->lir.nr < l->max_lir))) {
		queue_drop(&l->q, x);
		queue_put(&l->lir, x);
		lirs_prune(l);
		if (l->lir.nr > l->max_lir) {
			uint32_t bottom = l->s.page[0];

			queue_drop(&l->s, bottom);
			queue_drop(&l->lir, bottom);
			queue_put(&l->q, bottom);
		}
	} else if (!is_lir) {
		queue_drop(&l->q, x);
		queue_put(&l->q, x);
	}
	lirs_prune(l);
	return is_hit;
}

Test(replay, lirs_equals_its_definition)
{
	struct rng rng = rng_new("lirs");
	struct string s;

	for (int round = 0; round < 40; round++) {
		uint32_t nr_frames = 1 + rng_below(&rng, 40);
		struct naive_lirs l = {.max_lir = nr_frames - 1, .max_hir = 1};
		uint64_t faults = 0;

		string_random(&s, &rng);
		for (uint32_t i = 0; i < s.nr; i++)
			faults += !lirs_hit(&l, s.refs[i] >> 1);
		cr_expect_eq(
		    run_of("lirs", &s, nr_frames, 0).faults, faults, "%u frames", nr_frames);
	}
}

/* --- what holds for all of them --- */

Test(replay, no_policy_beats_opt)
{
	struct rng rng = rng_new("opt");
	struct string s;

	for (int round = 0; round < 30; round++) {
		uint32_t nr_frames = 1 + rng_below(&rng, 40);

		string_random(&s, &rng);
		uint64_t opt = run_of("opt", &s, nr_frames, 0).faults;
		for (size_t i = 0; sim_policy_at(i).live || sim_policy_at(i).accesses; i++) {
			const char *name = sim_policy_name(sim_policy_at(i));
			struct sim_counts c = run_of(name, &s, nr_frames, rng_below(&rng, 41));

			cr_expect_geq(c.faults, opt, "%s", name);
			cr_expect_leq(c.writebacks, c.faults);
			cr_expect_leq(c.first, s.nr_pages);
		}
	}
}

Test(replay, all_that_fits_stays)
{
	struct rng rng = rng_new("fits");
	struct string s;

	string_random(&s, &rng);
	for (size_t i = 0; sim_policy_at(i).live || sim_policy_at(i).accesses; i++) {
		struct sim_counts c =
		    run_of(sim_policy_name(sim_policy_at(i)), &s, s.nr_pages, s.nr_pages / 4);

		cr_expect_eq(c.faults, c.first, "%s", sim_policy_name(sim_policy_at(i)));
		cr_expect_eq(c.writebacks, 0);
	}
}

/* What N frames hold, N + 1 frames hold too. */
Test(replay, lru_inclusion)
{
	struct rng rng = rng_new("inclusion");
	struct sim *small, *large;
	struct string s;

	string_random(&s, &rng);
	for (uint32_t frames = 1; frames < 30; frames++) {
		small = sim_open(sim_policy_find("lru"), frames, 0);
		large = sim_open(sim_policy_find("lru"), frames + 1, 0);
		for (uint32_t i = 0; i < s.nr; i++) {
			struct sim_step a, b;

			sim_run(small, &s.refs[i], 1, s.nr_pages, NULL, &a);
			sim_run(large, &s.refs[i], 1, s.nr_pages, NULL, &b);
			cr_assert(a.is_fault || !b.is_fault);
		}
		sim_close(small);
		sim_close(large);
	}
}

/* A hot set that fits, beside a scan that does not: the scan-resistant ones keep it. */
Test(replay, scans_do_not_flush_the_hot_set)
{
	static const char *const resistant[] = {"clock", "gclock", "second-chance", "active",
	    "aging", "2q", "wsclock", "clock-pro", "sieve", "s3-fifo", "lru", "lfu", "arc", "lirs"};
	struct page_map map;
	uint32_t *refs = malloc(20000 * sizeof(*refs));

	cr_assert_eq(page_map_init(&map), 0);
	for (uint64_t i = 0; i < 20000; i++) {
		uint64_t page = i % 4 == 3 ? 100 + i : i % 16;

		page_map_number(&map, &page, 1, &refs[i]);
		refs[i] = sim_ref(refs[i], false);
	}
	for (size_t i = 0; i < ARRAY_LEN(resistant); i++) {
		struct sim *sim = sim_open(sim_policy_find(resistant[i]), 40, 10);

		sim_run(sim, refs, 20000, map.nr, NULL, NULL);
		/* 5,000 are scan, each a fault under any policy. */
		cr_expect_lt(sim_counts(sim)->faults, 5200, "%s: %llu", resistant[i],
		    (unsigned long long)sim_counts(sim)->faults);
		sim_close(sim);
	}
	page_map_fini(&map);
	free(refs);
}

/* --- numbering and stack distances --- */

Test(replay, pages_are_numbered_in_order)
{
	struct rng rng = rng_new("page map");
	struct page_map map;
	uint32_t nr = 0, id;

	cr_assert_eq(page_map_init(&map), 0);
	for (int i = 0; i < 50000; i++) {
		uint64_t page = rng_below(&rng, 30000) * 0x100000001ull;

		cr_assert_eq(page_map_number(&map, &page, 1, &id), 0);
		cr_assert(id < nr || (id == nr && id + 1 == map.nr));
		cr_assert_eq(map.page_of[id], page);
		nr = map.nr;
	}
	page_map_fini(&map);
}

Test(replay, stack_distances_equal_lru_at_every_size)
{
	struct rng rng = rng_new("stack");
	struct string s;

	for (int round = 0; round < 20; round++) {
		uint64_t faults[70];
		uint32_t ids[MAX_REFS];
		struct page_map map;
		struct stack stack;

		string_random(&s, &rng);
		cr_assert_eq(page_map_init(&map), 0);
		cr_assert_eq(stack_init(&stack), 0);
		for (uint32_t i = 0; i < s.nr; i++) {
			uint64_t page = s.refs[i] >> 1;

			page_map_number(&map, &page, 1, &ids[i]);
			cr_assert_eq(stack_access(&stack, &ids[i], 1, map.nr), 0);
		}
		stack_faults(&stack, 69, faults);
		cr_expect_eq(faults[0], s.nr);
		for (uint32_t frames = 1; frames < 64; frames++)
			cr_expect_eq(faults[frames], naive_faults(&s, frames, victim_lru));
		stack_fini(&stack);
		page_map_fini(&map);
	}
}

/* Many pages: the tree grows and is compacted again and again. */
Test(replay, stack_distances_of_many_pages)
{
	enum { PAGES = 20000, REFS = 400000 };
	struct rng rng = rng_new("stack, many pages");
	uint32_t *ids = malloc(REFS * sizeof(*ids)), nr_pages = 0;
	uint64_t *faults = malloc((PAGES + 1) * sizeof(*faults));
	struct stack stack;

	cr_assert_eq(stack_init(&stack), 0);
	for (uint32_t i = 0; i < REFS; i++) {
		ids[i] = MIN(rng_below(&rng, 1 + rng_below(&rng, PAGES)), nr_pages);
		nr_pages = MAX(nr_pages, ids[i] + 1);
		cr_assert_eq(stack_access(&stack, &ids[i], 1, nr_pages), 0);
	}
	stack_faults(&stack, PAGES, faults);
	for (uint32_t frames = 1; frames <= PAGES; frames = frames * 3 + 1) {
		struct sim *sim = sim_open(sim_policy_find("lru"), frames, 0);

		for (uint32_t i = 0; i < REFS; i++) {
			uint32_t ref = sim_ref(ids[i], false);

			sim_run(sim, &ref, 1, nr_pages, NULL, NULL);
		}
		cr_expect_eq(sim_counts(sim)->faults, faults[frames], "%u frames", frames);
		sim_close(sim);
	}
	stack_fini(&stack);
	free(faults);
	free(ids);
}
