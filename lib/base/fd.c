// SPDX-License-Identifier: MIT
/* Opening beside closing; see fd.h. */
#include "base/fd.h"

#include <stdatomic.h>
#include <sys/syscall.h>

#include "base/lock.h"
#include "base/sys.h"

#define NEVER_BACK_NS 1000000000u
#define TRY_NS        1000000u
#define LOOK_NS       1000000u

static _Atomic uint32_t nr_opening;
static _Atomic int32_t nr_closing;
static _Atomic uint64_t refused_since; /* openers have seen somebody closing ever since; 0: not */

bool fd_open_try(void)
{
	/* Pairs with fd_close_begin(): one of the two sees the other. */
	atomic_fetch_add(&nr_opening, 1);
	if (atomic_load(&nr_closing) <= 0) {
		atomic_store(&refused_since, 0);
		return true;
	}
	/* In this order: another opener may be setting it to what is later than our `now`. */
	uint64_t since = atomic_load(&refused_since), now = now_ns();
	if (since && now > since + NEVER_BACK_NS)
		return true;
	if (!since)
		atomic_store(&refused_since, now);
	fd_open_end();
	return false;
}

void fd_open_begin(void)
{
	uint64_t until = now_ns() + TRY_NS;

	while (!fd_open_try()) {
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
	if (atomic_fetch_sub(&nr_opening, 1) == 1 && UNLIKELY(atomic_load(&nr_closing) > 0))
		futex_wake(&nr_opening, INT32_MAX);
}

void fd_close_begin(void)
{
	uint32_t n;

	atomic_fetch_add(&nr_closing, 1);
	/* New openers give up from now on. */
	while (UNLIKELY(n = atomic_load(&nr_opening)))
		futex_wait(&nr_opening, n, LOOK_NS);
}

void fd_close_end(void)
{
	atomic_fetch_sub(&nr_closing, 1);
}

void fd_after_fork(void)
{
	atomic_store(&nr_closing, 0);
	atomic_store(&nr_opening, 0);
	atomic_store(&refused_since, 0);
}
