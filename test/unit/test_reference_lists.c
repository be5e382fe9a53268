// SPDX-License-Identifier: MIT
/*
 * Live policies of more than one list, or with a history of each page, against straightforward
 * implementations on random strings, reference by reference.
 */
#include "reference.h"

/* The oldest pages of @from are watched as long as more may be. Return: the one to evict. */
static uint32_t watch_and_take(struct naive *m, struct row *from)
{
	while (from->nr && m->held.nr < m->max_held)
		row_put(&m->held, row_take(from, 0));
	return row_take(m->held.nr ? &m->held : from, 0);
}

/* Of the evicted pages in @ghosts only the last @max are remembered, and none for longer than
 * 2 * nr_frames evictions. */
static void naive_forget(struct naive *m, struct row *ghosts, uint32_t max)
{
	while (ghosts->nr > max ||
	       (ghosts->nr && m->nr_evicted - m->left_at[ghosts->page[0]] >= 2 * m->nr_frames))
		row_take(ghosts, 0);
}

static bool naive_is_back(struct row *ghosts, uint32_t page)
{
	if (!row_has(ghosts, page))
		return false;
	row_drop(ghosts, page);
	return true;
}

/*
 * 2Q, the paper's "full version". On a reference to X:
 *     in Am: move it to the head of Am; in A1in: nothing; in A1out: it comes in at the head of Am;
 *     elsewhere: at the head of A1in
 * and for a frame:
 *     |A1in| > Kin: the tail of A1in goes, and is remembered in A1out; else the tail of Am goes.
 * Here as twoq.c says: Am is a CLOCK. A1out is looked at after the eviction.
 */
static uint32_t naive_twoq(struct naive *m, uint32_t page)
{
	struct row *a1in = &m->list[0], *am = &m->list[1], *a1out = &m->list[2];
	uint32_t kin = m->nr_frames / 4, kout = MAX(m->nr_frames / 2, 1u);
	uint32_t victim = NAIVE_FREE;

	if (row_has(&m->held, page)) {
		m->nr_refills++;
		row_drop(&m->held, page);
		row_put(am, page);
		return NAIVE_HIT;
	}
	if (row_has(am, page) || row_has(a1in, page))
		return NAIVE_HIT;
	if (a1in->nr + am->nr + m->held.nr == m->nr_frames) {
		if (a1in->nr > kin || am->nr + m->held.nr == 0) {
			victim = row_take(a1in, 0);
			row_put(a1out, victim);
		} else {
			victim = watch_and_take(m, am);
		}
		naive_evicts(m, victim);
		naive_forget(m, a1out, kout);
	}
	row_put(naive_is_back(a1out, page) ? am : a1in, page);
	return victim;
}

Test(reference, twoq)
{
	reference_compare("2q", naive_twoq, false);
}

/*
 * Linux: while more pages are active than inactive, the oldest active one is deactivated. The
 * oldest inactive page is looked at: the first time it may stay, the second time it is activated if
 * it was used in between, and else reclaimed. What comes back within nr_frames evictions is active.
 */
static uint32_t naive_active(struct naive *m, uint32_t page)
{
	struct row *inactive = &m->list[0], *active = &m->list[1];
	uint32_t victim = NAIVE_FREE;

	if (row_has(&m->held, page)) {
		m->nr_refills++;
		row_drop(&m->held, page);
		row_put(active, page);
		return NAIVE_HIT;
	}
	if (row_has(active, page) || row_has(inactive, page))
		return NAIVE_HIT;
	bool is_refault = naive_distance(m, page) < m->nr_frames;
	if (active->nr + inactive->nr + m->held.nr == m->nr_frames) {
		while (active->nr > inactive->nr + m->held.nr)
			row_put(inactive, row_take(active, 0));
		victim = naive_evicts(m, watch_and_take(m, inactive));
	}
	row_put(is_refault ? active : inactive, page);
	return victim;
}

Test(reference, active)
{
	reference_compare("active", naive_active, false);
}

/*
 * Aging: eight bits a page. A page is looked at when it is the oldest that is not watched, and
 * then, while it is watched, at each turn of an eviction. Used in between: its counter is shifted
 * right and the reference bit comes in at its left; not used: it is shifted right. The lowest one
 * goes, at 0 at once; of equal ones the first.
 */
static uint32_t naive_aging(struct naive *m, uint32_t page)
{
	struct row *queue = &m->list[0], *held = &m->held;
	uint32_t *counter = m->note, lowest = 0, nr_turns, victim = NAIVE_FREE;

	if (row_has(held, page)) {
		m->nr_refills++;
		row_drop(held, page);
		row_put(queue, page);
		counter[page] = 0x80 | counter[page] >> 1;
		return NAIVE_HIT;
	}
	if (row_has(queue, page))
		return NAIVE_HIT;
	if (queue->nr + held->nr == m->nr_frames) {
		while (queue->nr && held->nr < m->max_held)
			row_put(held, row_take(queue, 0));
		nr_turns = MIN(held->nr, 32u);
		for (uint32_t i = 1; i < nr_turns; i++)
			if (counter[held->page[i]] < counter[held->page[lowest]])
				lowest = i;
		victim = held->nr ? held->page[lowest] : row_take(queue, 0);
		for (uint32_t i = 0; i < nr_turns && counter[held->page[0]]; i++) {
			counter[held->page[0]] >>= 1;
			row_put(held, row_take(held, 0));
		}
		if (nr_turns)
			row_drop(held, victim);
	}
	row_put(queue, page);
	counter[page] = 0;
	return victim;
}

Test(reference, aging)
{
	reference_compare("aging", naive_aging, false);
}

/*
 * WSClock: the hand clears the bit of the oldest page and notes the time; a page whose bit is clear
 * goes when that is longer ago than tau, or when no more pages may be watched. Time is counted in
 * uses seen; tau is as many as pages may be watched.
 */
static uint32_t naive_wsclock(struct naive *m, uint32_t page)
{
	struct row *queue = &m->list[0], *held = &m->held;
	uint32_t tau = MAX(m->max_held, 1u), victim = NAIVE_FREE;

	if (row_has(held, page)) {
		m->nr_refills++;
		m->now++;
		row_drop(held, page);
		row_put(queue, page);
		return NAIVE_HIT;
	}
	if (row_has(queue, page))
		return NAIVE_HIT;
	if (queue->nr + held->nr == m->nr_frames) {
		while (!(held->nr && m->now - m->time[held->page[0]] > tau) && queue->nr &&
		       held->nr < m->max_held) {
			m->time[queue->page[0]] = m->now;
			row_put(held, row_take(queue, 0));
		}
		victim = row_take(held->nr ? held : queue, 0);
	}
	m->now++;
	row_put(queue, page);
	return victim;
}

Test(reference, wsclock)
{
	reference_compare("wsclock", naive_wsclock, false);
}

/* Of a page: its bit was not looked at yet; it was cleared; and is set again. */
enum {
	UNSEEN,
	CLEAR,
	SET,
};

static uint32_t nr_clear(const struct naive *m, const struct row *r)
{
	uint32_t nr = 0;

	for (uint32_t i = 0; i < r->nr; i++)
		nr += m->note[r->page[i]] == CLEAR;
	return nr;
}

/* Clear the bit of the oldest page of @queue that was not looked at yet, if as many bits may be
 * clear: in M not so many that none are left for S. */
static bool clear_one(struct naive *m, const struct row *queue, bool is_main)
{
	uint32_t small_share = MIN(MAX(m->nr_frames / 10, 1u), m->max_held / 2);
	uint32_t nr = nr_clear(m, &m->list[0]) + nr_clear(m, &m->list[1]);

	if (nr >= m->max_held)
		return false;
	if (is_main && m->note[queue->page[0]] == CLEAR &&
	    nr_clear(m, queue) >= m->max_held - small_share)
		return false;
	for (uint32_t i = 0; i < queue->nr; i++) {
		if (m->note[queue->page[i]] == UNSEEN) {
			m->note[queue->page[i]] = CLEAR;
			return true;
		}
	}
	return false;
}

/*
 * S3-FIFO, the paper's algorithm 1 with one bit for its counter:
 *     evict:   while |S| >= 10 %: the tail of S goes to M if it was used, else it goes, and is
 *              remembered in G; else the tail of M goes round if it was used, else it goes
 *     insert:  in G: at the head of M; else at the head of S
 * and G holds as many as M.
 */
static uint32_t naive_s3_fifo(struct naive *m, uint32_t page)
{
	struct row *s = &m->list[0], *main = &m->list[1], *ghosts = &m->list[2];
	uint32_t target = MAX(m->nr_frames / 10, 1u), victim = NAIVE_FREE;

	if (row_has(s, page) || row_has(main, page)) {
		m->nr_refills += m->note[page] == CLEAR;
		if (m->note[page] == CLEAR)
			m->note[page] = SET;
		return NAIVE_HIT;
	}
	while (victim == NAIVE_FREE && s->nr + main->nr == m->nr_frames) {
		struct row *from = s->nr >= target || !main->nr ? s : main;

		if (m->note[from->page[0]] == SET) {
			m->note[from->page[0]] = UNSEEN;
			row_put(main, row_take(from, 0));
		} else if (!clear_one(m, from, from == main)) {
			victim = naive_evicts(m, row_take(from, 0));
			if (from == s)
				row_put(ghosts, victim);
			naive_forget(m, ghosts, m->nr_frames - target);
		}
	}
	row_put(naive_is_back(ghosts, page) ? main : s, page);
	m->note[page] = UNSEEN;
	return victim;
}

Test(reference, s3_fifo)
{
	reference_compare("s3-fifo", naive_s3_fifo, false);
}

/*
 * CLOCK-Pro, as clock_pro.c says: list[0] has the cold pages, list[1] the hot ones, in the order of
 * their places in the circle, oldest first; list[2] evicted pages in their test period. time[]: the
 * place; note[]: the bit.
 */
static void pro_place(struct naive *m, uint32_t page, bool is_hot)
{
	m->time[page] = ++m->now;
	m->note[page] = UNSEEN;
	m->in_test[page] = !is_hot;
	row_put(&m->list[is_hot], page);
}

static void pro_end_tests(struct naive *m, uint32_t max)
{
	struct row *gone = &m->list[2];

	while (gone->nr && (m->time[gone->page[0]] <= m->hot_hand ||
	                       m->nr_evicted - m->left_at[gone->page[0]] >= max)) {
		m->in_test[row_take(gone, 0)] = false;
		m->target = MAX(m->target - 1, 1u);
	}
}

static bool pro_in_test(struct naive *m, uint32_t page)
{
	if (m->in_test[page] && m->time[page] <= m->hot_hand) {
		m->in_test[page] = false;
		m->target = MAX(m->target - 1, 1u);
	}
	return m->in_test[page];
}

/* Into the cold list, behind what was looked at if it was, too. */
static void pro_cool(struct naive *m, uint32_t page)
{
	struct row later = {0}, *cold = &m->list[0];

	m->in_test[page] = false;
	while (m->note[page] == CLEAR && cold->nr && m->note[cold->page[cold->nr - 1]] == UNSEEN)
		row_put(&later, row_take(cold, cold->nr - 1));
	row_put(cold, page);
	while (later.nr)
		row_put(cold, row_take(&later, later.nr - 1));
}

static void pro_run_hot(struct naive *m)
{
	uint32_t page;

	for (;;) {
		page = row_take(&m->list[1], 0);
		m->hot_hand = m->time[page];
		if (m->note[page] != SET)
			break;
		pro_place(m, page, true);
	}
	pro_cool(m, page);
	pro_end_tests(m, m->nr_frames);
}

static void pro_fewer_hot(struct naive *m)
{
	while (m->list[1].nr > m->nr_frames - m->target)
		pro_run_hot(m);
}

static bool pro_clear_one(struct naive *m, bool of_hot)
{
	struct row *queue = &m->list[of_hot];
	uint32_t nr_hot = nr_clear(m, &m->list[1]), nr = nr_clear(m, &m->list[0]) + nr_hot;

	if (nr >= m->max_held ||
	    (of_hot && m->max_held < m->nr_frames && nr_hot >= m->max_held / 2))
		return false;
	for (uint32_t i = 0; i < queue->nr; i++) {
		if (m->note[queue->page[i]] == UNSEEN) {
			m->note[queue->page[i]] = CLEAR;
			return true;
		}
	}
	return false;
}

static uint32_t pro_evict(struct naive *m)
{
	struct row *cold = &m->list[0];
	uint32_t page;

	do {
		pro_fewer_hot(m);
		while (cold->nr && m->note[cold->page[0]] == SET) {
			page = row_take(cold, 0);
			bool is_hot = pro_in_test(m, page);

			m->target = MIN(m->target + is_hot, m->nr_frames);
			pro_place(m, page, is_hot);
			pro_fewer_hot(m);
		}
		if (!cold->nr && !pro_clear_one(m, true))
			pro_run_hot(m);
	} while (pro_clear_one(m, true) || pro_clear_one(m, false));
	page = row_take(cold, 0);
	bool in_test = pro_in_test(m, page);
	pro_end_tests(m, m->nr_frames - 1);
	naive_evicts(m, page);
	if (in_test)
		row_put(&m->list[2], page);
	return page;
}

static uint32_t naive_clock_pro(struct naive *m, uint32_t page)
{
	uint32_t victim = NAIVE_FREE;

	if (row_has(&m->list[0], page) || row_has(&m->list[1], page)) {
		m->nr_refills += m->note[page] == CLEAR;
		if (m->note[page] == CLEAR)
			m->note[page] = SET;
		return NAIVE_HIT;
	}
	m->target = m->now ? m->target : MAX(m->nr_frames / 2, 1u);
	if (m->list[0].nr + m->list[1].nr == m->nr_frames)
		victim = pro_evict(m);
	bool is_back = row_has(&m->list[2], page);
	if (is_back) {
		row_drop(&m->list[2], page);
		m->target = MIN(m->target + 1, m->nr_frames);
	}
	pro_place(m, page, is_back);
	return victim;
}

Test(reference, clock_pro)
{
	reference_compare("clock-pro", naive_clock_pro, false);
}
