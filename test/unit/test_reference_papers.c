// SPDX-License-Identifier: MIT
/*
 * Live policies against their papers' own algorithms, which see every reference. They cannot be
 * equal: a live policy sees a use by unmapping only, at most one between two evictions. But where
 * all frames may be held, faults on strings of each shape must be close.
 */
#include "reference.h"

/* 2Q: Johnson, Shasha, 1994, "full version": Am in LRU order. */
static uint32_t paper_twoq(struct naive *m, uint32_t page)
{
	struct row *a1in = &m->list[0], *am = &m->list[1], *a1out = &m->list[2];
	uint32_t victim = NAIVE_FREE;

	if (row_has(am, page)) {
		row_drop(am, page);
		row_put(am, page);
		return NAIVE_HIT;
	}
	if (row_has(a1in, page))
		return NAIVE_HIT;
	bool is_back = row_has(a1out, page);
	if (is_back)
		row_drop(a1out, page);
	if (a1in->nr + am->nr == m->nr_frames) {
		if (a1in->nr > m->nr_frames / 4 || !am->nr) {
			victim = row_take(a1in, 0);
			row_put(a1out, victim);
			if (a1out->nr > MAX(m->nr_frames / 2, 1u))
				row_take(a1out, 0);
		} else {
			victim = row_take(am, 0);
		}
	}
	row_put(is_back ? am : a1in, page);
	return victim;
}

/* S3-FIFO: Yang et al., 2023, algorithm 1. note[]: the counter, at most 3. */
static uint32_t paper_s3_fifo(struct naive *m, uint32_t page)
{
	struct row *s = &m->list[0], *main = &m->list[1], *ghosts = &m->list[2];
	uint32_t target = MAX(m->nr_frames / 10, 1u), victim = NAIVE_FREE;

	if (row_has(s, page) || row_has(main, page)) {
		m->note[page] = MIN(m->note[page] + 1, 3u);
		return NAIVE_HIT;
	}
	while (s->nr + main->nr == m->nr_frames) {
		bool is_small = s->nr >= target || !main->nr;
		uint32_t tail = row_take(is_small ? s : main, 0);

		if (is_small && m->note[tail] > 1) {
			row_put(main, tail);
			m->note[tail] = 0;
		} else if (is_small) {
			row_put(ghosts, victim = tail);
			if (ghosts->nr > m->nr_frames - target)
				row_take(ghosts, 0);
		} else if (m->note[tail]) {
			m->note[tail]--;
			row_put(main, tail);
		} else {
			victim = tail;
		}
	}
	bool is_back = row_has(ghosts, page);
	if (is_back)
		row_drop(ghosts, page);
	row_put(is_back ? main : s, page);
	m->note[page] = 0;
	return victim;
}

/* SIEVE: Zhang et al., 2024, algorithm 1. note[]: visited; now: index of the hand. */
static uint32_t paper_sieve(struct naive *m, uint32_t page)
{
	struct row *queue = &m->list[0];
	uint32_t victim = NAIVE_FREE;

	if (row_has(queue, page)) {
		m->note[page] = 1;
		return NAIVE_HIT;
	}
	if (queue->nr == m->nr_frames) {
		m->now %= queue->nr;
		while (m->note[queue->page[m->now]]) {
			m->note[queue->page[m->now]] = 0;
			m->now = (m->now + 1) % queue->nr;
		}
		victim = row_take(queue, m->now);
	}
	bool was_beyond = m->now == queue->nr;
	row_put(queue, page);
	m->now = was_beyond ? 0 : m->now;
	m->note[page] = 0;
	return victim;
}

/*
 * Linux's inactive and active list: a page comes in with its accessed bit set. Found set at the
 * inactive list's end it is cleared and the page stays there for another round, found set again it
 * is active. note[]: bit 0 accessed, bit 1 was found so.
 */
static uint32_t paper_active(struct naive *m, uint32_t page)
{
	struct row *inactive = &m->list[0], *active = &m->list[1];
	uint32_t victim = NAIVE_FREE;

	if (row_has(inactive, page) || row_has(active, page)) {
		m->note[page] |= 1;
		return NAIVE_HIT;
	}
	while (inactive->nr + active->nr == m->nr_frames) {
		while (active->nr > inactive->nr)
			row_put(inactive, row_take(active, 0));
		uint32_t last = row_take(inactive, 0);
		uint32_t note = m->note[last];

		m->note[last] = note == 1 ? 2 : 0;
		if (note & 1)
			row_put(note & 2 ? active : inactive, last);
		else
			victim = naive_evicts(m, last);
	}
	row_put(naive_distance(m, page) <= m->nr_frames ? active : inactive, page);
	m->note[page] = 1;
	return victim;
}

/* WSClock: Carr, Hennessy, 1981. note[]: use bit; time[]: of last use; now: in references. */
static uint32_t paper_wsclock(struct naive *m, uint32_t page)
{
	struct row *circle = &m->list[0];
	uint32_t victim = NAIVE_FREE;

	m->now++;
	if (row_has(circle, page)) {
		m->note[page] = 1;
		return NAIVE_HIT;
	}
	for (uint32_t looked = 0; circle->nr == m->nr_frames; looked++) {
		uint32_t at = row_take(circle, 0); /* the hand stays, the circle turns */

		if (m->note[at]) {
			m->note[at] = 0;
			m->time[at] = m->now;
		} else if (m->now - m->time[at] > m->nr_frames || looked >= m->nr_frames) {
			victim = at;
			break;
		}
		row_put(circle, at);
	}
	row_put(circle, page);
	m->note[page] = 1;
	m->time[page] = m->now;
	return victim;
}

/*
 * CLOCK-Pro: Jiang, Chen, Zhang, 2005, sections 3.2 to 3.4: one circle of hot and cold pages, the
 * latter resident or not, and three hands. A page is placed just behind HAND_hot.
 */
enum {
	HOT = 1,
	RESIDENT = 2,
	IN_TEST = 4,
	USED = 8,
};

enum hand {
	HAND_HOT,
	HAND_COLD,
	HAND_TEST,
};

struct circle {
	uint32_t hand[3];
	uint32_t nr_hot, nr_resident, nr_gone, cold_target, nr_frames;
	struct row row;
	uint32_t note[MAX_PAGE];
};

static struct circle circle;

static void circle_remove(struct circle *c, uint32_t page)
{
	uint32_t at = row_find(&c->row, page);

	row_take(&c->row, at);
	for (int i = 0; i < 3; i++) {
		c->hand[i] -= c->hand[i] > at;
		if (c->hand[i] == c->row.nr)
			c->hand[i] = 0;
	}
}

static void circle_place(struct circle *c, uint32_t page, uint32_t note)
{
	uint32_t at = c->hand[HAND_HOT];

	memmove(&c->row.page[at + 1], &c->row.page[at], (c->row.nr - at) * sizeof(page));
	c->row.page[at] = page;
	c->row.nr++;
	for (int i = 0; i < 3 && c->row.nr > 1; i++)
		c->hand[i] += c->hand[i] >= at;
	c->note[page] = note;
}

static void circle_pass(struct circle *c, enum hand hand)
{
	c->hand[hand] = (c->hand[hand] + 1) % c->row.nr;
}

/* @hand, at a cold page, ends its test period, and passes it. */
static void circle_end_test(struct circle *c, enum hand hand)
{
	uint32_t page = c->row.page[c->hand[hand]];

	if (c->note[page] & IN_TEST)
		c->cold_target = MAX(c->cold_target - 1, 1u);
	c->note[page] &= ~IN_TEST;
	if (c->note[page] & RESIDENT) {
		circle_pass(c, hand);
	} else {
		c->nr_gone--;
		circle_remove(c, page);
	}
}

static void circle_run_hot(struct circle *c)
{
	while (c->nr_hot > c->nr_frames - c->cold_target) {
		uint32_t *note = &c->note[c->row.page[c->hand[HAND_HOT]]];

		if (!(*note & HOT)) {
			circle_end_test(c, HAND_HOT);
			continue;
		}
		if (!(*note & USED)) {
			*note = RESIDENT;
			c->nr_hot--;
		}
		*note &= ~USED;
		circle_pass(c, HAND_HOT);
	}
}

static void circle_run_test(struct circle *c)
{
	while (c->nr_gone > c->nr_frames) {
		if (c->note[c->row.page[c->hand[HAND_TEST]]] & HOT)
			circle_pass(c, HAND_TEST);
		else
			circle_end_test(c, HAND_TEST);
	}
}

/* A page comes into its frame, or is used in its test period. */
static void circle_come(struct circle *c, uint32_t page, bool is_hot)
{
	c->cold_target = MIN(c->cold_target + is_hot, c->nr_frames);
	c->nr_hot += is_hot;
	circle_place(c, page, RESIDENT | (is_hot ? HOT : IN_TEST));
	circle_run_hot(c);
}

static uint32_t circle_run_cold(struct circle *c)
{
	for (;;) {
		uint32_t page = c->row.page[c->hand[HAND_COLD]], note = c->note[page];

		if (note & HOT || !(note & RESIDENT)) {
			circle_pass(c, HAND_COLD);
		} else if (note & USED) {
			circle_remove(c, page);
			circle_come(c, page, note & IN_TEST);
		} else {
			c->nr_resident--;
			c->nr_gone++;
			c->note[page] &= ~RESIDENT;
			if (note & IN_TEST)
				circle_pass(c, HAND_COLD);
			else
				circle_end_test(c, HAND_COLD);
			circle_run_test(c);
			return page;
		}
	}
}

static uint32_t paper_clock_pro(struct naive *m, uint32_t page)
{
	struct circle *c = &circle;
	uint32_t victim = NAIVE_FREE;

	if (!m->now++)
		*c = (struct circle){
		    .nr_frames = m->nr_frames, .cold_target = MAX(m->nr_frames / 2, 1u)};
	if (c->note[page] & RESIDENT) {
		c->note[page] |= USED;
		return NAIVE_HIT;
	}
	if (c->nr_resident == c->nr_frames)
		victim = circle_run_cold(c);
	bool is_back = c->note[page] & IN_TEST;
	if (is_back) {
		circle_remove(c, page);
		c->nr_gone--;
	}
	c->nr_resident++;
	circle_come(c, page, is_back);
	return victim;
}

/* Over many strings of each shape, @policy's faults are at most @percent more or less. */
static void compare(const char *policy, naive_fn *paper, double percent)
{
	struct rng rng = rng_new(policy);
	uint32_t refs[NR_REFS];

	for (uint32_t shape = 0; shape < NR_SHAPES; shape++) {
		uint64_t got = 0, want = 0;

		for (int round = 0; round < 60; round++) {
			uint32_t nr = 8 + rng_below(&rng, 40);
			struct naive m = {.nr_frames = nr};
			struct sim *sim = sim_open(sim_policy_find(policy), nr, nr);

			reference_string(&rng, shape, nr, refs);
			cr_assert_eq(sim_run(sim, refs, NR_REFS, MAX_PAGE, NULL, NULL), 0);
			got += sim_counts(sim)->faults;
			sim_close(sim);
			for (uint32_t i = 0; i < NR_REFS; i++)
				want += paper(&m, refs[i] >> 1) != NAIVE_HIT;
		}
		double more = 100.0 * (double)got / (double)want - 100;
		cr_expect(more < percent && more > -percent,
		    "%s, shape %u: %llu faults, the paper's %llu: %+.1f %%", policy, shape,
		    (unsigned long long)got, (unsigned long long)want, more);
		if (getenv("FL_SHOW"))
			fprintf(stderr, "%s, shape %u: %+.1f %%\n", policy, shape, more);
	}
}

Test(papers, twoq)
{
	compare("2q", paper_twoq, 8);
}

Test(papers, s3_fifo)
{
	compare("s3-fifo", paper_s3_fifo, 15);
}

/* In a working set that moves, what is used twice at once counts as used in the paper. */
Test(papers, sieve)
{
	compare("sieve", paper_sieve, 35);
}

Test(papers, active)
{
	compare("active", paper_active, 20);
}

Test(papers, wsclock)
{
	compare("wsclock", paper_wsclock, 30);
}

Test(papers, clock_pro)
{
	compare("clock-pro", paper_clock_pro, 8);
}
