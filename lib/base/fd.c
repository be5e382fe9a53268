// SPDX-License-Identifier: MIT
/* Opening beside closing; see fd.h. */
#include "base/fd.h"

#include <stdatomic.h>
#include <sys/syscall.h>

#include "base/lock.h"
#include "base/sys.h"

#define NEVER_BACK 1000u /* milliseconds: of 2^20 ns */
#define TRY_NS     1000000u
#define LOOK_NS    1000000u

#define ONE_ENDED (1ull << 16)

static _Atomic uint32_t nr_opening;
/* How many are closing, in 16 bits, and above them how often one has ended: while it is the same
 * word, so are those who close. */
static _Atomic uint64_t closers;
/* Openers have been refused since when, in 24 bits, and above them the word as it was then. */
static _Atomic uint64_t refused;
static _Atomic bool is_split;

static int16_t nr_closing(uint64_t word)
{
	return (int16_t)word; /* -1 for a child forked inside a close */
}

static bool open_try(void)
{
	/* Pairs with fd_close_begin(): one of the two sees the other. */
	atomic_fetch_add(&nr_opening, 1);
	uint64_t word = atomic_load(&closers);
	if (nr_closing(word) <= 0)
		return true;
	uint64_t was = atomic_load(&refused);
	uint64_t now_ms = now_ns() >> 20; /* read after what it is compared to */

	if (was >> 24 != (word << 24) >> 24)
		atomic_store(&refused, word << 24 | (now_ms & 0xffffff));
	else if (((now_ms - was) & 0xffffff) > NEVER_BACK)
		return true;
	fd_open_end();
	return false;
}

bool fd_open_try(void)
{
	if (!open_try())
		return false;
	/* Looked at by who is counted: fd_split_begin() waits, or has said so before. */
	if (LIKELY(!fd_is_split()))
		return true;
	fd_open_end();
	return false;
}

void fd_open_begin(void)
{
	uint64_t until = now_ns() + TRY_NS;

	while (!open_try()) {
		if (now_ns() > until) {
			atomic_fetch_add(&nr_opening, 1);
			return;
		}
		sys_call0(SYS_sched_yield);
	}
}

void fd_open_end(void)
{
	/* Without closers nobody can be waiting: they count themselves in first. */
	if (atomic_fetch_sub(&nr_opening, 1) == 1 &&
	    UNLIKELY(nr_closing(atomic_load(&closers)) > 0))
		futex_wake(&nr_opening, INT32_MAX);
}

void fd_close_begin(void)
{
	uint32_t n;

	atomic_fetch_add(&closers, 1);
	/* New openers give up from now on. */
	while (UNLIKELY(n = atomic_load(&nr_opening)))
		futex_wait(&nr_opening, n, LOOK_NS);
}

void fd_close_end(void)
{
	atomic_fetch_add(&closers, ONE_ENDED - 1);
}

void fd_split_begin(void)
{
	atomic_store(&is_split, true);
	fd_close_begin();
}

bool fd_is_split(void)
{
	return atomic_load(&is_split);
}

void fd_after_fork(void)
{
	atomic_store(&is_split, false);
	atomic_store(&closers, (atomic_load(&closers) / ONE_ENDED + 1) * ONE_ENDED);
	atomic_store(&nr_opening, 0);
}
