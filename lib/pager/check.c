// SPDX-License-Identifier: MIT
/* The consistency walk over the whole pager: every page, frame, place and buffer adds up. */
#include "base/ensure.h"
#include "base/sys.h"
#include "pager/internal.h"

struct tally {
	uint32_t mapped, held, swapped;
};

static void check_page(struct vpn vpn, uint64_t pte, struct tally *t)
{
	enum page_state state = pte_state(pte);

	ensure(state != PAGE_NONE && state != PAGE_READING && !(pte & PTE_BUSY));
	ensure(!!(pte & PTE_PRESENT) == (state == PAGE_MAPPED));
	ensure(region_find(&pg.regions, vpn_addr(vpn)));
	if (state == PAGE_SWAPPED) {
		t->swapped++;
		return;
	}
	struct frame *f = frame_of(&pg.frames, pte_frame(pte));
	ensure(pte_frame(pte).v < pg.frames.nr_frames);
	ensure(atomic_load(&f->vpn) == vpn.v);
	ensure(!(atomic_load(&f->flags) & (FRAME_WRITING | FRAME_ORPHAN)));
	ensure((f->buf == BUF_NONE) == (state == PAGE_MAPPED));
	/* A clean page's bytes are in swap, or in its file. */
	ensure(pte & PTE_DIRTY || !swap_ref_is_none(f->ref) || f->source);
	ensure(f->source == region_find(&pg.regions, vpn_addr(vpn))->source);
	t->mapped += state == PAGE_MAPPED;
	t->held += state == PAGE_HELD;
}

static void check_all(void)
{
	struct tally t = {0};
	struct vpn vpn = vpn_of(WINDOW_START), end = vpn_of(WINDOW_END);

	for (; (vpn = ptab_next(&pg.ptab, vpn, end)).v < end.v; vpn = leaf_end(vpn)) {
		struct pt_leaf leaf = ptab_walk(&pg.ptab, vpn);

		for (uint32_t i = 0; i < PTAB_ENTRIES; i++)
			if (leaf.pte[i])
				check_page((struct vpn){vpn.v + i}, leaf.pte[i], &t);
	}
	uint32_t lent = atomic_load(&pg.frames.nr_lent);
	ensure(t.mapped + share_pages() + atomic_load(&pg.withheld) ==
	       pg.frames.nr_places + lent - (uint32_t)atomic_load(&pg.frames.places_free));
	ensure(t.held == pg.frames.nr_bufs - lent - atomic_load(&pg.frames.bufs_free));
	ensure(t.mapped + t.held == atomic_load(&pg.frames.frames_used));
	swap_check(pg.swap);
	ensure(t.mapped + t.held + t.swapped == atomic_load(&pg.nr_populated));
}

void pager_check(void)
{
	if (!pg.running)
		return;
	uint64_t mask = sys_signals_block(false);
	pager_stop();
	/* It moves the tier's memory also while nothing is reclaimed. */
	threads_park();
	reclaim_stop();
	check_all();
	reclaim_go_on();
	threads_unpark();
	pager_go_on();
	sys_signals_restore(mask);
}
