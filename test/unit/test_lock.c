// SPDX-License-Identifier: MIT
#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>

#include "base/lock.h"
#include "support.h"

#define NR_THREADS 4
#define NR_ROUNDS  20000

static struct lock lock;
static struct rwlock rwlock;
static uint64_t pair[2];
static _Atomic uint32_t nr_wrong;

static void run_threads(void *(*fn)(void *))
{
	pthread_t t[NR_THREADS];

	for (uintptr_t i = 0; i < NR_THREADS; i++)
		cr_assert_eq(pthread_create(&t[i], NULL, fn, (void *)i), 0);
	for (int i = 0; i < NR_THREADS; i++)
		pthread_join(t[i], NULL);
}

static void *add_under_lock(void *arg)
{
	for (uint32_t i = 0; i < NR_ROUNDS; i++) {
		if (i % 3) {
			lock_acquire(&lock);
		} else {
			while (!lock_acquire_try(&lock))
				sched_yield();
		}
		pair[0]++;
		if (i % 64 == 0)
			sched_yield(); /* let the others run into it, and sleep */
		pair[1]++;
		lock_release(&lock);
	}
	return NULL;
}

Test(lock, excludes)
{
	lock_init(&lock, LOCK_SLOT);
	run_threads(add_under_lock);
	cr_expect_eq(pair[0], NR_THREADS * NR_ROUNDS);
	cr_expect_eq(pair[1], NR_THREADS * NR_ROUNDS);
	cr_expect_not(lock_is_held(&lock));
}

Test(lock, try_fails_while_held)
{
	lock_init(&lock, LOCK_SLOT);
	cr_expect(lock_acquire_try(&lock));
	cr_expect(lock_is_held(&lock));
#ifndef FL_CHECKED /* where taking it twice would be a broken rank before it could fail */
	cr_expect_not(lock_acquire_try(&lock));
#endif
	lock_release(&lock);
	cr_expect(lock_acquire_try(&lock));
	lock_release(&lock);
}

static void *read_and_write(void *arg)
{
	for (uint32_t i = 0; i < NR_ROUNDS / 2; i++) {
		if (i % 8 == (uintptr_t)arg) {
			rwlock_write(&rwlock);
			pair[0]++;
			if (i % 64 < 8)
				sched_yield();
			pair[1]++;
			rwlock_write_done(&rwlock);
		} else {
			rwlock_read(&rwlock);
			if (pair[0] != pair[1])
				atomic_fetch_add(&nr_wrong, 1);
			rwlock_read_done(&rwlock);
		}
	}
	return NULL;
}

Test(lock, readers_never_see_a_writer_halfway, .timeout = 60)
{
	rwlock_init(&rwlock, LOCK_MAP);
	run_threads(read_and_write);
	cr_expect_eq(nr_wrong, 0);
	cr_expect_eq(pair[0], NR_THREADS * (NR_ROUNDS / 2 / 8));
}

static struct event event;
static _Atomic uint32_t turn;

static void *wait_for_turn(void *arg)
{
	uint32_t me = (uint32_t)(uintptr_t)arg;

	for (uint32_t i = 0; i < 2000; i++) {
		for (;;) {
			uint32_t ticket = event_begin(&event);

			if (atomic_load(&turn) % NR_THREADS == me) {
				event_cancel(&event);
				break;
			}
			event_wait(&event, ticket);
		}
		atomic_fetch_add(&turn, 1);
		event_signal(&event);
	}
	return NULL;
}

/* A lost wake-up shows as a time-out. */
Test(lock, event_loses_no_wakeup, .timeout = 60)
{
	run_threads(wait_for_turn);
	cr_expect_eq(turn, NR_THREADS * 2000);
	cr_expect_eq(event.nr_waiting, 0);
}

Test(lock, futex_wait_times_out_and_looks_first)
{
	_Atomic uint32_t word = 7;

	cr_expect_eq(futex_wait(&word, 8, 0), -EAGAIN);
	uint64_t before = now_ns();
	cr_expect_eq(futex_wait(&word, 7, 2000000), -ETIMEDOUT);
	cr_expect_geq(now_ns() - before, 2000000);
}

#ifdef FL_CHECKED
Test(lock, wrong_order_is_caught, .signal = SIGABRT)
{
	struct lock outer, inner;

	lock_init(&outer, LOCK_L1);
	lock_init(&inner, LOCK_SLOT);
	lock_acquire(&inner);
	lock_acquire(&outer);
}

Test(lock, right_order_passes)
{
	struct lock outer, inner;

	lock_init(&outer, LOCK_L1);
	lock_init(&inner, LOCK_SLOT);
	lock_acquire(&outer);
	lock_acquire(&inner);
	lock_release(&inner);
	lock_release(&outer);
	lock_check_none_above(LOCK_MAP);
}
#endif
