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

static _Atomic uint32_t nr_opening;
static _Atomic int32_t nr_closing;
static _Atomic uint32_t nr_ends; /* of closing: it changes before nr_closing falls */
/* Openers have been refused since when, because of how many, and nr_ends as it was then: while both
 * are the same, so are those who close. */
static _Atomic uint64_t refused;

static uint64_t refusal(uint32_t ends, int32_t closing, uint32_t ms)
{
	return (uint64_t)ends << 40 | (uint64_t)(uint16_t)closing << 24 | (ms & 0xffffff);
}

bool fd_open_try(void)
{
	/* Before looking for closers: what is noted of one that ends meanwhile is void. */
	uint32_t ends = atomic_load(&nr_ends);

	/* Pairs with fd_close_begin(): one of the two sees the other. */
	atomic_fetch_add(&nr_opening, 1);
	int32_t closing = atomic_load(&nr_closing);
	if (closing <= 0)
		return true;
	uint64_t was = atomic_load(&refused);
	uint32_t now_ms = (uint32_t)(now_ns() >> 20); /* read after what it is compared to */
	bool is_new = was >> 24 != refusal(ends, closing, 0) >> 24;

	if (is_new)
		atomic_store(&refused, refusal(ends, closing, now_ms));
	else if (((now_ms - was) & 0xffffff) > NEVER_BACK && atomic_load(&nr_ends) == ends)
		return true;
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
	atomic_fetch_add(&nr_ends, 1);
	atomic_fetch_sub(&nr_closing, 1);
}

void fd_after_fork(void)
{
	atomic_store(&nr_closing, 0);
	atomic_store(&nr_opening, 0);
	atomic_fetch_add(&nr_ends, 1);
}
