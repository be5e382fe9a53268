// SPDX-License-Identifier: MIT
/* Futex locks; see lock.h. */
#include "base/lock.h"

#include <errno.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>

#include "base/ensure.h"
#include "base/sys.h"

/* Spins before sleeping: a lock is held for 0.1 - 5 us, a sleep and wake-up across CPUs costs
 * 50 us (measured on a virtual machine). */
#define SPINS 200

#ifdef FL_CHECKED
/* Ranks that this thread holds, as a bit mask; L1 locks are never held two at a time. */
static _Thread_local uint32_t held __attribute__((tls_model("initial-exec")));

static void rank_take(uint8_t rank)
{
	ensure(held >> rank == 0);
	held |= 1u << rank;
}

static void rank_drop(uint8_t rank)
{
	ensure(held & 1u << rank);
	held &= ~(1u << rank);
}

void lock_check_none_above(enum lock_rank rank)
{
	ensure(held >> rank == 0);
}
#else
static void rank_take(uint8_t rank)
{
	(void)rank;
}

static void rank_drop(uint8_t rank)
{
	(void)rank;
}

void lock_check_none_above(enum lock_rank rank)
{
	(void)rank;
}
#endif

int futex_wait(_Atomic uint32_t *word, uint32_t expected, uint64_t timeout_ns)
{
	struct timespec ts = {
	    .tv_sec = (time_t)(timeout_ns / 1000000000u),
	    .tv_nsec = (long)(timeout_ns % 1000000000u),
	};

	return (int)sys_call4(
	    SYS_futex, (long)word, FUTEX_WAIT_PRIVATE, expected, timeout_ns ? (long)&ts : 0);
}

void futex_wake(_Atomic uint32_t *word, int nr)
{
	sys_call3(SYS_futex, (long)word, FUTEX_WAKE_PRIVATE, nr);
}

void lock_init(struct lock *l, enum lock_rank rank)
{
	atomic_store(&l->state, 0);
	l->rank = (uint8_t)rank;
}

bool lock_acquire_try(struct lock *l)
{
	uint32_t expected = 0;

	if (!atomic_compare_exchange_strong(&l->state, &expected, 1))
		return false;
	rank_take(l->rank);
	return true;
}

void lock_acquire(struct lock *l)
{
	for (int i = 0; i < SPINS; i++) {
		if (lock_acquire_try(l))
			return;
		__builtin_ia32_pause();
	}
	while (atomic_exchange(&l->state, 2) != 0)
		futex_wait(&l->state, 2, 0);
	rank_take(l->rank);
}

void lock_release(struct lock *l)
{
	rank_drop(l->rank);
	if (atomic_exchange(&l->state, 0) == 2)
		futex_wake(&l->state, 1);
}

bool lock_is_held(struct lock *l)
{
	return atomic_load(&l->state) != 0;
}

#define RW_WRITER 0x80000000u

void rwlock_init(struct rwlock *l, enum lock_rank rank)
{
	atomic_store(&l->state, 0);
	atomic_store(&l->writers, 0);
	l->rank = (uint8_t)rank;
}

static bool read_try(struct rwlock *l)
{
	if (atomic_load(&l->writers))
		return false;
	uint32_t s = atomic_fetch_add(&l->state, 1);
	if (!(s & RW_WRITER))
		return true;
	/* A writer came between the two lines above: step back, and let it see that. */
	if ((atomic_fetch_sub(&l->state, 1) & ~RW_WRITER) == 1)
		futex_wake(&l->state, INT32_MAX);
	return false;
}

bool rwlock_read_try(struct rwlock *l)
{
	bool has = read_try(l);

	if (has)
		rank_take(l->rank);
	return has;
}

void rwlock_read(struct rwlock *l)
{
	for (int i = 0; !read_try(l); i++) {
		uint32_t w = atomic_load(&l->writers);

		if (i < SPINS)
			__builtin_ia32_pause();
		else if (w)
			futex_wait(&l->writers, w, 0);
	}
	rank_take(l->rank);
}

void rwlock_read_done(struct rwlock *l)
{
	rank_drop(l->rank);
	if (atomic_fetch_sub(&l->state, 1) == 1 && atomic_load(&l->writers))
		futex_wake(&l->state, INT32_MAX);
}

void rwlock_write(struct rwlock *l)
{
	atomic_fetch_add(&l->writers, 1);
	for (int i = 0;; i++) {
		uint32_t expected = 0;

		if (atomic_compare_exchange_strong(&l->state, &expected, RW_WRITER))
			break;
		if (i < SPINS)
			__builtin_ia32_pause();
		else
			futex_wait(&l->state, expected, 0);
	}
	rank_take(l->rank);
}

void rwlock_write_done(struct rwlock *l)
{
	rank_drop(l->rank);
	atomic_fetch_and(&l->state, ~RW_WRITER);
	futex_wake(&l->state, INT32_MAX);
	if (atomic_fetch_sub(&l->writers, 1) >= 1)
		futex_wake(&l->writers, INT32_MAX);
}

uint32_t event_begin(struct event *e)
{
	atomic_fetch_add(&e->nr_waiting, 1);
	return atomic_load(&e->seq);
}

void event_cancel(struct event *e)
{
	atomic_fetch_sub(&e->nr_waiting, 1);
}

void event_wait(struct event *e, uint32_t ticket)
{
	while (atomic_load(&e->seq) == ticket)
		futex_wait(&e->seq, ticket, 0);
	atomic_fetch_sub(&e->nr_waiting, 1);
}

void event_wait_unless(struct event *e, uint32_t ticket, bool is_met)
{
	if (is_met)
		event_cancel(e);
	else
		event_wait(e, ticket);
}

void event_signal(struct event *e)
{
	atomic_fetch_add(&e->seq, 1);
	if (atomic_load(&e->nr_waiting))
		futex_wake(&e->seq, INT32_MAX);
}
