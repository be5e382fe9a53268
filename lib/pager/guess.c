// SPDX-License-Identifier: MIT
/*
 * Whether a page that is read will be written too.
 *
 * A page that arrives by a read is mapped write-protected, so that its first write is a fault and a
 * page without one is known to be clean. Where nearly every page is written soon after it was read
 * (objects that count their references), that is a second fault for each: as dear as the first, but
 * for the read. Such a page is mapped writable at once, and counts as dirty; if it was not written
 * after all, its checksum says so when it is evicted, and nothing is written to swap.
 *
 * Guessed by what became of the last pages of the same 2 MiB. A fault saved is worth several
 * evictions of a page that only looked dirty: WRITTEN against NOT_WRITTEN.
 */
#include "pager/internal.h"

#define NR_PLACES   4096u /* 8 GiB without two of them sharing one */
#define WRITTEN     3
#define NOT_WRITTEN (-1)
#define SURE        24 /* eight pages written, and none not */
#define MAX_SCORE   64
#define JUDGE_EVERY 8u /* pages with a copy in RAM; guess */

static _Atomic int8_t score[NR_PLACES]; /* [atomic, relaxed] a lost update is a lost vote */

static _Atomic int8_t *score_of(struct vpn vpn)
{
	return &score[vpn.v / PTAB_ENTRIES % NR_PLACES];
}

bool guess_is_written(struct vpn vpn)
{
	/* Where faults are to be counted, or a TLB's entries, each write is one. */
	return atomic_load_explicit(score_of(vpn), memory_order_relaxed) >= SURE &&
	       !pg.config.is_exact && !tlb_is_on();
}

bool guess_is_judged(void)
{
	static _Atomic uint32_t nr;

	return is_sample(atomic_fetch_add_explicit(&nr, 1, memory_order_relaxed), JUDGE_EVERY);
}

void guess_note(struct vpn vpn, bool was_written)
{
	_Atomic int8_t *s = score_of(vpn);
	int now =
	    atomic_load_explicit(s, memory_order_relaxed) + (was_written ? WRITTEN : NOT_WRITTEN);

	atomic_store_explicit(s, (int8_t)MAX(MIN(now, MAX_SCORE), 0), memory_order_relaxed);
}
