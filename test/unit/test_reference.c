// SPDX-License-Identifier: MIT
/*
 * Live policies against straightforward implementations on random strings, driven with one victim
 * at a time: CLOCK and its relatives, and random. test_reference_lists.c has those with more than
 * one list, test_replay.c those that see every reference.
 */
#include "reference.h"

/*
 * Two hands: the first holds the oldest page, the second evicts the one held longest, with at most
 * max_held between them; a held page that is touched starts again as the youngest. Of note[]
 * rounds, one for each time in a row that a page was found in use, up to @max_rounds, time[] are
 * left in which the first hand passes it; no more than 64 pages at a time.
 */
static uint32_t naive_hands(struct naive *m, uint32_t page, uint32_t max_rounds)
{
	struct row *queue = &m->list[0], *held = &m->held;
	uint32_t victim = NAIVE_FREE;

	if (row_has(held, page)) {
		m->nr_refills++;
		m->note[page] = MIN(m->note[page] + 1, max_rounds);
		m->time[page] = m->note[page];
		row_drop(held, page);
		row_put(queue, page);
		return NAIVE_HIT;
	}
	if (row_has(queue, page))
		return NAIVE_HIT;
	if (queue->nr + held->nr == m->nr_frames) {
		while (queue->nr && held->nr < m->max_held) {
			for (uint32_t i = 0; i < 64 && m->time[queue->page[0]]; i++) {
				m->time[queue->page[0]]--;
				row_put(queue, row_take(queue, 0));
			}
			row_put(held, row_take(queue, 0));
		}
		victim = row_take(held->nr ? held : queue, 0);
	}
	m->note[page] = m->time[page] = 0;
	row_put(queue, page);
	return victim;
}

static uint32_t naive_clock(struct naive *m, uint32_t page)
{
	return naive_hands(m, page, 0);
}

Test(reference, clock)
{
	reference_compare("clock", naive_clock, false);
}

static uint32_t naive_gclock(struct naive *m, uint32_t page)
{
	return naive_hands(m, page, 2);
}

Test(reference, gclock)
{
	reference_compare("gclock", naive_gclock, false);
}

static uint32_t naive_fifo(struct naive *m, uint32_t page)
{
	struct row *queue = &m->list[0];

	if (row_has(queue, page))
		return NAIVE_HIT;
	uint32_t victim = queue->nr == m->nr_frames ? row_take(queue, 0) : NAIVE_FREE;
	row_put(queue, page);
	return victim;
}

Test(reference, fifo)
{
	reference_compare("fifo", naive_fifo, false);
}

/*
 * The textbooks' second chance: the oldest page goes to the end of the queue if its bit is set.
 * note[]: the bit, set by every reference. A refill is a reference that sets it again.
 */
static uint32_t naive_second_chance(struct naive *m, uint32_t page)
{
	struct row *queue = &m->list[0];
	uint32_t victim = NAIVE_FREE;

	if (row_has(queue, page)) {
		m->nr_refills += !m->note[page];
		m->note[page] = 1;
		return NAIVE_HIT;
	}
	if (queue->nr == m->nr_frames) {
		while (m->note[queue->page[0]]) {
			m->note[queue->page[0]] = 0;
			row_put(queue, row_take(queue, 0));
		}
		victim = row_take(queue, 0);
	}
	row_put(queue, page);
	m->note[page] = 1;
	return victim;
}

Test(reference, second_chance)
{
	reference_compare("second-chance", naive_second_chance, true);
}

/*
 * SIEVE as in its paper's algorithm 1: one queue, a visited bit each, and a hand that goes from old
 * to new, clears bits, and evicts the first page without. A new page's bit is clear; but references
 * to it before the next eviction are the one that brought it (sieve.c), and while memory fills it
 * is set. now: index of the hand; target: the page that came last.
 */
static uint32_t naive_sieve(struct naive *m, uint32_t page)
{
	struct row *queue = &m->list[0]; /* oldest first */
	uint32_t victim = NAIVE_FREE;

	if (row_has(queue, page)) {
		m->nr_refills += !m->note[page];
		m->note[page] = 1;
		return NAIVE_HIT;
	}
	bool was_beyond = m->now >= queue->nr;
	if (queue->nr == m->nr_frames) {
		if (m->nr_evicted)
			m->note[m->target] = 0;
		m->now = was_beyond ? 0 : m->now;
		while (m->note[queue->page[m->now]]) {
			m->note[queue->page[m->now]] = 0;
			m->now = (m->now + 1) % queue->nr;
		}
		victim = naive_evicts(m, row_take(queue, m->now));
		was_beyond = m->now == queue->nr;
	}
	row_put(queue, page);
	if (was_beyond) /* what comes in now is not what a hand beyond the newest was at */
		m->now = 0;
	m->note[page] = 1;
	m->target = page;
	return victim;
}

Test(reference, sieve)
{
	reference_compare("sieve", naive_sieve, true);
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
