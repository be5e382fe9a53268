// SPDX-License-Identifier: MIT
/*
 * The pager's own threads. All write what is queued; the first, the pager thread, also unmaps where
 * that was chosen, and sees to the compressed tier's share. The others are started and woken only
 * while those before them wait for the disk (doc/performance.md, "Several writes under way").
 *
 * Before a fork they are parked. Whoever needs room works beside them, or without them where no
 * thread is to be had.
 */
#include "base/thread.h"
#include "pager/internal.h"

/* Whether the pager thread is to unmap: it has been told to; or several threads wait for reads, so
 * that there is a CPU for it, and it has nothing to write meanwhile. */
static bool is_short(void)
{
	if (pg.config.is_exact || frames_room() >= (int32_t)pg.places_low)
		return false;
	return !pg.inline_threads ||
	       (stall_nr_reading() > pg.inline_threads && !atomic_load(&pg.nr_writes));
}

/* Bring the free places up to the high watermark. Return: anything was done. */
static bool refill_places(void)
{
	bool any = false;

	if (!is_short())
		return false;
	while (frames_room() < (int32_t)pg.places_high) {
		bool freed = reclaim_batch() > 0;

		any |= freed;
		any |= writeback_run() > 0;
		if (!freed || atomic_load(&pg.park_wanted))
			break;
	}
	return any;
}

static void park(struct pager_thread *me)
{
	atomic_store(&me->state, THREAD_PARKED);
	event_signal(&pg.parked);
	while (atomic_load(&pg.park_wanted)) {
		uint32_t ticket = event_begin(&me->kick);

		event_wait_unless(&me->kick, ticket, !atomic_load(&pg.park_wanted));
	}
	atomic_store(&me->state, THREAD_RUNNING);
}

/* Write all that is queued. Return: anything was done. */
static bool write_queued(bool is_first)
{
	for (bool any = false;; any = true) {
		if (is_first)
			share_feed();
		if (!writeback_run())
			return any;
	}
}

static void pager_thread(void *arg)
{
	struct pager_thread *me = arg;
	bool is_first = me == pg.threads;

	for (;;) {
		/* First: threads_park() may have found this thread parked, or not there. */
		while (atomic_load(&pg.park_wanted))
			park(me);
		bool any = is_first && refill_places();

		if (write_queued(is_first) || any)
			continue;
		/* Announced first, then looked once more: threads_kick() wakes only who waits. */
		uint32_t ticket = event_begin(&me->kick);
		event_wait_unless(
		    &me->kick, ticket, pg.write_head != UINT32_MAX || atomic_load(&pg.park_wanted));
	}
}

/* @t is not there, and marked as running already. */
static void start(struct pager_thread *t)
{
	bool is_first = t == pg.threads, is_parking = atomic_load(&pg.park_wanted);

	if (!is_parking &&
	    thread_start(pager_thread, t, is_first ? "faultline-pager" : "faultline-write") >= 0)
		return;
	/* No thread to be had (RLIMIT_NPROC): whoever needs room writes. */
	atomic_store(&t->state, is_parking || is_first ? THREAD_NONE : THREAD_REFUSED);
	event_signal(&pg.parked);
}

/* Return: false: it is busy, or not to be had. */
static bool wake(struct pager_thread *t)
{
	uint32_t none = THREAD_NONE;

	if (atomic_compare_exchange_strong(&t->state, &none, THREAD_RUNNING)) {
		start(t);
		return true;
	}
	if (!atomic_load(&t->kick.nr_waiting))
		return false;
	event_signal(&t->kick);
	return true;
}

void threads_kick(void)
{
	if ((!atomic_load(&pg.nr_writes) && !is_short()) || wake(&pg.threads[0]))
		return;
	for (uint32_t i = 1; i < NR_PAGER_THREADS && pg.write_head != UINT32_MAX; i++)
		if (swap_nr_writing(pg.swap) < i || wake(&pg.threads[i]))
			return;
}

/* Let all of them see it. */
static void set_park_wanted(uint32_t is_wanted)
{
	atomic_store(&pg.park_wanted, is_wanted);
	for (uint32_t i = 0; i < NR_PAGER_THREADS; i++)
		event_signal(&pg.threads[i].kick);
}

void threads_park(void)
{
	set_park_wanted(1);
	for (uint32_t i = 0; i < NR_PAGER_THREADS; i++) {
		_Atomic uint32_t *state = &pg.threads[i].state;

		while (atomic_load(state) == THREAD_RUNNING) {
			uint32_t ticket = event_begin(&pg.parked);

			event_wait_unless(&pg.parked, ticket, atomic_load(state) != THREAD_RUNNING);
		}
	}
}

void threads_unpark(void)
{
	set_park_wanted(0);
}

void threads_after_fork(void)
{
	for (uint32_t i = 0; i < NR_PAGER_THREADS; i++) {
		atomic_store(&pg.threads[i].state, THREAD_NONE);
		atomic_store(&pg.threads[i].kick.nr_waiting, 0);
	}
	atomic_store(&pg.park_wanted, 0);
	atomic_store(&pg.parked.nr_waiting, 0);
}
