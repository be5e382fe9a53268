// SPDX-License-Identifier: MIT
/*
 * Futex locks that live in metadata memory and know their rank. Not recursive. Signals that may
 * lead into the pager again must be blocked by whoever takes one: fault handlers run with all
 * signals blocked, mapping calls block them.
 */
#ifndef FL_BASE_LOCK_H
#define FL_BASE_LOCK_H

#include <stdatomic.h>

#include "base/lock_rank.h"
#include "base/types.h"

struct lock {
	_Atomic uint32_t state; /* 0 free, 1 held, 2 held and somebody may sleep */
	uint8_t rank;           /* [const] enum lock_rank */
};

void lock_init(struct lock *l, enum lock_rank rank);
void lock_acquire(struct lock *l);
bool lock_acquire_try(struct lock *l);
void lock_release(struct lock *l);
bool lock_is_held(struct lock *l); /* by anybody: for ensure() */

/* Shared/exclusive lock. Writers are preferred, so that a storm of faults cannot starve munmap. */
struct rwlock {
	_Atomic uint32_t state;   /* bit 31: writer inside; bits 0..30: readers inside */
	_Atomic uint32_t writers; /* writers inside or waiting: new readers stand back */
	uint8_t rank;             /* [const] */
};

void rwlock_init(struct rwlock *l, enum lock_rank rank);
void rwlock_read(struct rwlock *l);
bool rwlock_read_try(struct rwlock *l);
void rwlock_read_done(struct rwlock *l);
void rwlock_write(struct rwlock *l);
void rwlock_write_done(struct rwlock *l);

/*
 * Sleep while *@word == @expected, at most @timeout_ns (0 = for ever).
 * Return: 0, -EAGAIN, -EINTR or -ETIMEDOUT; the caller looks again whatever it is. Context: any.
 */
int futex_wait(_Atomic uint32_t *word, uint32_t expected, uint64_t timeout_ns);
void futex_wake(_Atomic uint32_t *word, int nr);

/* Event counter: read `seq`, check the condition, then event_wait(seq). No wake-up is lost. */
struct event {
	_Atomic uint32_t seq;
	_Atomic uint32_t nr_waiting;
};

uint32_t event_begin(struct event *e);             /* announces a waiter; returns the ticket */
void event_wait(struct event *e, uint32_t ticket); /* sleeps unless signalled since */
void event_cancel(struct event *e);                /* instead of event_wait */
/* The one or the other. */
void event_wait_unless(struct event *e, uint32_t ticket, bool is_met);
void event_signal(struct event *e); /* wakes all */

/* In checked builds: abort unless this thread holds no lock of @rank or above. */
void lock_check_none_above(enum lock_rank rank);

#endif
