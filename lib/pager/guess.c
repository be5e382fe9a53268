// SPDX-License-Identifier: MIT
/*
 * What will probably become of a page, by what became of the last ones of the same 2 MiB.
 *
 * Whether a page that is read will be written too. A page that arrives by a read is mapped
 * write-protected, so that its first write is a fault and a page without one is known to be clean.
 * Where nearly every page is written soon after it was read (objects that count their references),
 * that is a second fault for each: as dear as the first, but for the read. Such a page is mapped
 * writable at once, and counts as dirty; if it was not written after all, its checksum says so when
 * it is evicted, and nothing is written to swap.
 *
 * Whether a page is in use that lies beside one which is. Pages are unmapped to see whether they
 * are touched, and each that is costs a fault. Where those beside a page that was touched nearly
 * always turn out to be in use as well, they are taken to be.
 */
#include "pager/internal.h"

#define NR_PLACES 4096u /* 8 GiB without two of them sharing one */
#define MAX_SCORE 64

/* A fault saved is worth several evictions of a page that only looked dirty. */
#define WRITTEN     3
#define NOT_WRITTEN (-1)
#define SURE        24 /* eight pages written, and none not */
#define JUDGE_EVERY 8u /* pages with a copy in RAM; guess */

/* A page that stays for nothing takes a frame from another: a read, which is ten faults. */
#define USED        1
#define NOT_USED    (-7)
#define SURE_USED   16
#define WATCH_EVERY 8u /* pages touched: those at one distance stay watched, to see; guess */

/* [atomic, relaxed] a lost update is a lost vote */
static _Atomic int8_t written[NR_PLACES], used_beside[NR_PLACES];

static _Atomic int8_t *score_of(_Atomic int8_t *scores, struct vpn vpn)
{
	return &scores[vpn.v / PTAB_ENTRIES % NR_PLACES];
}

static void vote(_Atomic int8_t *score, int by)
{
	int now = atomic_load_explicit(score, memory_order_relaxed) + by;

	atomic_store_explicit(score, (int8_t)MAX(MIN(now, MAX_SCORE), 0), memory_order_relaxed);
}

bool guess_is_written(struct vpn vpn)
{
	/* Where faults are to be counted, or a TLB's entries, each write is one. */
	return atomic_load_explicit(score_of(written, vpn), memory_order_relaxed) >= SURE &&
	       !pg.config.is_exact && !tlb_is_on();
}

bool guess_is_judged(void)
{
	static _Atomic uint32_t nr;

	return is_sample(atomic_fetch_add_explicit(&nr, 1, memory_order_relaxed), JUDGE_EVERY);
}

void guess_note(struct vpn vpn, bool was_written)
{
	vote(score_of(written, vpn), was_written ? WRITTEN : NOT_WRITTEN);
}

bool guess_is_used_beside(struct vpn vpn)
{
	return atomic_load_explicit(score_of(used_beside, vpn), memory_order_relaxed) >= SURE_USED;
}

uint32_t guess_watch_distance(bool is_sure, uint32_t max)
{
	static _Atomic uint32_t nr;
	uint32_t n = atomic_fetch_add_explicit(&nr, 1, memory_order_relaxed);

	return is_sure && !is_sample(n, WATCH_EVERY) ? 0 : 1 + n % max;
}

void guess_note_beside(struct vpn vpn, bool was_used)
{
	vote(score_of(used_beside, vpn), was_used ? USED : NOT_USED);
}
