// SPDX-License-Identifier: MIT
/*
 * Unmapping: takes pages out of the program, many by one call; reclaim.c says which.
 *
 * Each page's PTE is marked BUSY, dirty ones are write-protected, bytes to keep are copied to the
 * pool, and all of them are dropped at once. Between the mark and its end no L1 lock is held, and a
 * thread that touches one of the pages waits. One batch at a time: the reclaim lock.
 *
 * Protecting a page that another CPU may have in its TLB costs 12-50 us, for one page or for many
 * neighbours. So where reclaim.c says so, pages of a block go together: a dirty page that goes
 * takes the old dirty ones of its block along, and they are protected by one call, together with
 * what lies between them, which afterwards gets its right to be written back.
 */
#include "base/ensure.h"
#include "pager/internal.h"

struct victim {
	struct vpn vpn;
	struct frame_nr frame;
	uint32_t buf;   /* BUF_NONE: nothing to keep */
	bool evict;     /* else hold */
	bool is_wanted; /* clean, and worth a place in the compressed tier */
	bool is_dirty, no_access;
	bool is_hidden;  /* by the trap TLB: the policy knows nothing of it */
	bool is_watched; /* likewise: for tlb_unmapped() */
};

#define BLOCK_PAGES 64u /* a power of two; guess */
#define MAX_SPANS   (MAX_BATCH / 2)

/* Too large for the stacks of fault handlers, and used by one thread at a time. */
static struct batch {
	bool does_blocks; /* see above */
	uint32_t nr_more; /* pages that may still be taken along */
	uint32_t nr;
	struct victim v[MAX_BATCH];
	uint32_t nr_spans; /* ranges that were protected together with pages that stay */
	struct span {
		struct vpn first;
		uint32_t nr;
	} span[MAX_SPANS];
	uint32_t bufs[MAX_BATCH];
	struct iovec runs[MAX_BATCH];
} batch; /* [reclaim lock] */

/* The page's bytes are in swap, or in its file. L1 lock held. */
static void evict_clean(struct vpn vpn, uint64_t *pte, struct frame_nr nr)
{
	struct swap_ref ref = frame_of(&pg.frames, nr)->ref;

	event_log(&pg.telemetry, EVENT_EVICT_CLEAN, vpn, ref.v);
	guess_note(vpn, false);
	writeback_leave(pte, nr, ref);
	COUNT(&pg.telemetry, evict_clean, 1);
}

/* The policy gives up a page that is HELD already. L1 lock held. Return: a frame was freed. */
static bool evict_held(uint64_t *pte, struct vpn vpn, struct frame_nr nr)
{
	struct frame *f = frame_of(&pg.frames, nr);

	if (tlb_is_on())
		tlb_forget(vpn);
	if (*pte & PTE_DIRTY || swap_wants(pg.swap, f->ref)) {
		writeback_queue(nr);
		return false;
	}
	evict_clean(vpn, pte, nr);
	return true;
}

static void add_victim(struct batch *b, struct vpn vpn, uint64_t *pte, bool evict)
{
	struct frame_nr frame = pte_frame(*pte);
	bool is_dirty = *pte & PTE_DIRTY;

	*pte |= PTE_BUSY;
	b->v[b->nr++] = (struct victim){
	    .vpn = vpn,
	    .frame = frame,
	    .buf = BUF_NONE,
	    .evict = evict,
	    .is_dirty = is_dirty,
	    .is_wanted =
	        !is_dirty && evict && swap_wants(pg.swap, frame_of(&pg.frames, frame)->ref),
	    .no_access = *pte & PTE_NO_ACCESS,
	};
}

/* A dirty page of @leaf's goes: what else of its block can go with it. L1 lock held. */
static void take_along(struct batch *b, struct pt_leaf leaf, struct vpn vpn)
{
	struct vpn page = {vpn.v & ~(uint64_t)(BLOCK_PAGES - 1)};

	for (uint32_t i = 0; i < BLOCK_PAGES && b->nr_more; i++, page.v++) {
		uint64_t *pte = leaf_pte(leaf, page);

		if (pte_state(*pte) != PAGE_MAPPED || !(*pte & PTE_DIRTY) ||
		    *pte & (PTE_BUSY | PTE_LOCKED | PTE_NO_ACCESS))
			continue;
		struct frame_nr frame = pte_frame(*pte);
		if (atomic_load(&frame_of(&pg.frames, frame)->flags) & FRAME_WRITING ||
		    !policy_choose_old(frame))
			continue;
		add_victim(b, page, pte, true);
		b->nr_more--;
	}
}

/*
 * One choice of the policy: mark its page BUSY and add it to the batch, or settle it at once.
 * Return: a buffer was freed.
 */
static bool take_choice(struct batch *b, struct choice c)
{
	struct frame *f = frame_of(&pg.frames, c.frame);
	struct vpn vpn;
	bool freed = false;
	struct pt_leaf leaf = lock_page_of(f, &vpn);

	if (!leaf.pte)
		return false; /* discarded meanwhile: its frame is free */
	uint64_t *pte = leaf_pte(leaf, vpn);
	enum page_state state = pte_state(*pte);
	bool is_ours = policy_has_chosen(c.frame) && (state == PAGE_MAPPED || state == PAGE_HELD) &&
	               pte_frame(*pte).v == c.frame.v && !(*pte & (PTE_BUSY | PTE_LOCKED));

	if (!is_ours) {
		/* Discarded, and perhaps used again since: the policy was told then. */
	} else if (atomic_load(&f->flags) & FRAME_WRITING) {
		/* Rescued from a write that still needs its buffer; else it is the writer's, who
		 * tells the policy what becomes of it. */
		if (state == PAGE_MAPPED)
			policy_insert(c.frame, 0);
	} else if (state == PAGE_MAPPED) {
		add_victim(b, vpn, pte, c.what == CHOICE_EVICT);
		if (b->does_blocks && *pte & PTE_DIRTY)
			take_along(b, leaf, vpn);
	} else if (c.what == CHOICE_EVICT) {
		freed = evict_held(pte, vpn, c.frame);
	} else {
		policy_held(c.frame);
		/* Unmapped by the trap TLB already. Nothing is freed, but the policy has got on. */
		freed = tlb_is_on();
	}
	lock_release(leaf.lock);
	return freed;
}

static void sort_by_vpn(struct batch *b)
{
	/* Gaps not of powers of two, which two interleaved runs of addresses make quadratic. */
	for (uint32_t gap = b->nr / 2; gap; gap = gap == 2 ? 1 : gap * 5 / 11)
		for (uint32_t i = gap; i < b->nr; i++) {
			struct victim v = b->v[i];
			uint32_t j = i;

			for (; j >= gap && b->v[j - gap].vpn.v > v.vpn.v; j -= gap)
				b->v[j] = b->v[j - gap];
			b->v[j] = v;
		}
}

/* The page stays where it is. */
static void put_back(struct victim *v)
{
	struct pt_leaf leaf = ptab_walk(&pg.ptab, v->vpn);

	lock_acquire(leaf.lock);
	*leaf_pte(leaf, v->vpn) &= ~PTE_BUSY;
	if (!v->is_hidden)
		policy_insert(v->frame, DISTANCE_NEVER);
	lock_release(leaf.lock);
	event_signal(page_event(v->vpn));
}

/* Give every page whose bytes must be kept a buffer; those that get none are put back. */
static void assign_buffers(struct batch *b)
{
	uint32_t want = 0, got, kept = 0, used = 0;
	/* The last buffers are for reads: a page that waits for one must not wait for a write. */
	uint32_t reserve = reclaim_read_reserve();

	if (b->nr && b->v[0].is_hidden)
		reserve = pg.hold_reserve;
	for (uint32_t i = 0; i < b->nr; i++)
		want += !b->v[i].evict || b->v[i].is_dirty || b->v[i].is_wanted;
	got = want ? bufs_take(&pg.frames, b->bufs, want, reserve) : 0;
	for (uint32_t i = 0; i < b->nr; i++) {
		struct victim v = b->v[i];

		if (!v.evict || v.is_dirty || v.is_wanted) {
			if (used == got && !v.is_dirty && !v.is_hidden) {
				v.evict = true; /* clean: no buffer, no second chance */
			} else if (used == got) {
				put_back(&v);
				pg.nr_put_back++;
				continue;
			} else {
				v.buf = b->bufs[used++];
			}
		}
		b->v[kept++] = v;
	}
	b->nr = kept;
	while (used < got)
		buf_give(&pg.frames, b->bufs[used++]);
}

/* Drop the victims whose frame is FRAME_NONE from the batch. */
static void compact(struct batch *b)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < b->nr; i++)
		if (b->v[i].frame.v != FRAME_NONE.v)
			b->v[kept++] = b->v[i];
	b->nr = kept;
}

/* The victim stays mapped, after it was given a buffer and perhaps protected. */
static void spare(struct victim *v)
{
	if (v->buf != BUF_NONE)
		buf_give(&pg.frames, v->buf);
	if (v->is_dirty)
		transport_protect(&pg.transport, v->vpn, 1, false, FL_SHOOTDOWN_PROTECT);
	put_back(v);
	v->frame = FRAME_NONE;
}

/* Victims from @i on that are dirty neighbours; with blocks, dirty and in one block. */
static uint32_t dirty_run(const struct batch *b, uint32_t i, bool in_block)
{
	uint64_t block = b->v[i].vpn.v / BLOCK_PAGES;
	uint32_t run = 1;

	while (i + run < b->nr && b->v[i + run].is_dirty &&
	       (in_block ? b->v[i + run].vpn.v / BLOCK_PAGES == block
	                 : b->v[i + run].vpn.v == b->v[i].vpn.v + run))
		run++;
	return run;
}

/* Protect victims @i .. @i + @nr - 1, dirty and of one block, and what lies between them. Return:
 * whether they are. */
static bool protect_span(struct batch *b, uint32_t i, uint32_t nr)
{
	struct span span = {b->v[i].vpn, (uint32_t)(b->v[i + nr - 1].vpn.v - b->v[i].vpn.v + 1)};

	if (b->nr_spans == MAX_SPANS ||
	    transport_protect(&pg.transport, span.first, span.nr, true, FL_SHOOTDOWN_PROTECT))
		return false;
	b->span[b->nr_spans++] = span;
	return true;
}

/* Write-protect the dirty pages, so that a write from now on is seen: neighbours by one call. */
static void protect_dirty(struct batch *b)
{
	b->nr_spans = 0;
	for (uint32_t i = 0; i < b->nr;) {
		if (!b->v[i].is_dirty) {
			i++;
			continue;
		}
		uint32_t run = dirty_run(b, i, b->does_blocks);
		if (run > 2 && b->does_blocks && protect_span(b, i, run)) {
			i += run;
			continue;
		}
		run = dirty_run(b, i, false);
		int err =
		    transport_protect(&pg.transport, b->v[i].vpn, run, true, FL_SHOOTDOWN_PROTECT);
		for (; run; run--, i++)
			if (err)
				spare(&b->v[i]);
	}
	compact(b);
}

/*
 * Dirty pages between those of a span may be written again without a fault each. (One that is
 * written before that is made writable by its fault, and if there is a clean page among them, all
 * of them will be.)
 */
static void unprotect_between(const struct span *span)
{
	struct pt_leaf leaf = ptab_walk(&pg.ptab, span->first);
	bool any = false, is_clean = false;

	lock_acquire(leaf.lock);
	for (uint32_t i = 0; i < span->nr; i++) {
		uint64_t pte = *leaf_pte(leaf, (struct vpn){span->first.v + i});

		if (pte_state(pte) != PAGE_MAPPED || pte & PTE_BUSY)
			continue;
		any = true;
		is_clean |= !(pte & PTE_DIRTY);
	}
	if (any && !is_clean)
		transport_protect(
		    &pg.transport, span->first, span->nr, false, FL_SHOOTDOWN_PROTECT);
	lock_release(leaf.lock);
}

/* Copy what is to be kept; a page that cannot be read (PROT_NONE, no /proc) stays. */
static void save_bytes(struct batch *b)
{
	for (uint32_t i = 0; i < b->nr; i++) {
		struct victim *v = &b->v[i];

		if (v->buf != BUF_NONE && transport_read(&pg.transport, v->vpn,
		                              buf_addr(&pg.frames, v->buf), v->no_access))
			spare(v);
	}
	compact(b);
}

static void unmap_all(struct batch *b)
{
	struct iovec *runs = b->runs;
	uint32_t nr = 0;

	for (uint32_t i = 0; i < b->nr; i++) {
		char *addr = (char *)vpn_addr(b->v[i].vpn);

		if (nr && (char *)runs[nr - 1].iov_base + runs[nr - 1].iov_len == addr)
			runs[nr - 1].iov_len += PAGE_BYTES;
		else
			runs[nr++] = (struct iovec){.iov_base = addr, .iov_len = PAGE_BYTES};
	}
	/* Half done it could not be undone. It fails for mlocked memory only, and mlock is not
	 * passed on to the kernel. */
	if (nr)
		ensure(transport_drop(&pg.transport, runs, nr, FL_SHOOTDOWN_UNMAP) == 0);
}

/* The page is unmapped: it is HELD, or gone. */
static void settle(struct victim *v)
{
	struct pt_leaf leaf = ptab_walk(&pg.ptab, v->vpn);
	uint64_t *pte = leaf_pte(leaf, v->vpn);
	struct frame *f = frame_of(&pg.frames, v->frame);

	lock_acquire(leaf.lock);
	if (tlb_is_on())
		tlb_unmapped(v->vpn, v->is_watched);
	if (v->buf == BUF_NONE) {
		ensure(!swap_ref_is_none(f->ref) || f->source);
		evict_clean(v->vpn, pte, v->frame);
	} else {
		f->buf = v->buf;
		pte_set(pte, PAGE_HELD, v->frame.v, v->is_dirty ? PTE_DIRTY : 0);
		event_log(&pg.telemetry, EVENT_HOLD, v->vpn, f->ref.v);
		if (v->evict)
			writeback_queue(v->frame);
		else if (!v->is_hidden)
			policy_held(v->frame);
	}
	lock_release(leaf.lock);
	event_signal(page_event(v->vpn));
}

/* [reclaim lock] Calls made by this file, and by nobody else. */
static uint64_t nr_shootdowns(void)
{
	const struct fl_process *p = pg.telemetry.p;

	return p->shootdowns[FL_SHOOTDOWN_PROTECT] + p->shootdowns[FL_SHOOTDOWN_UNMAP];
}

/* Take the pages of the batch, all BUSY, out of the program, as far as there are buffers. */
static void unmap_batch(struct batch *b)
{
	uint64_t nr_before = nr_shootdowns();

	assign_buffers(b); /* in the policy's order, not by address */
	sort_by_vpn(b);
	protect_dirty(b);
	save_bytes(b);
	unmap_all(b);
	for (uint32_t i = 0; i < b->nr_spans; i++)
		unprotect_between(&b->span[i]);
	COUNT(&pg.telemetry, unmapped_pages, b->nr);
	if (fault_makes_room())
		COUNT(&pg.telemetry, shootdowns_waited, nr_shootdowns() - nr_before);
	bool is_hidden = b->nr && b->v[0].is_hidden;
	/* What stays in its frame has a buffer: its place goes before settle() lets go of the trap
	 * TLB's entry, so that who gets that finds a place. An evicted page's frame goes first. */
	if (is_hidden)
		places_give(&pg.frames, b->nr);
	for (uint32_t i = 0; i < b->nr; i++)
		settle(&b->v[i]);
	if (!is_hidden)
		places_give(&pg.frames, b->nr);
}

bool unmap_hide(struct vpn vpn, uint32_t nr, bool is_watched)
{
	struct pt_leaf leaf = ptab_walk(&pg.ptab, vpn);
	struct batch *b = &batch;
	uint32_t left = 0;

	b->nr = 0;
	b->does_blocks = false;
	if (!leaf.pte)
		return true;
	lock_acquire(leaf.lock);
	for (uint32_t i = 0; i < nr; i++) {
		struct vpn page = {vpn.v + i};
		uint64_t *pte = leaf_pte(leaf, page);
		struct frame_nr frame = pte_frame(*pte);

		if (pte_state(*pte) != PAGE_MAPPED)
			continue;
		/* Rescued from a write that still needs its buffer: later. */
		if (b->nr == MAX_BATCH || *pte & PTE_BUSY ||
		    atomic_load(&frame_of(&pg.frames, frame)->flags) & FRAME_WRITING) {
			left++;
			continue;
		}
		b->v[b->nr++] = (struct victim){
		    .vpn = page,
		    .frame = frame,
		    .buf = BUF_NONE,
		    .is_dirty = *pte & PTE_DIRTY,
		    .no_access = *pte & PTE_NO_ACCESS,
		    .is_hidden = true,
		    .is_watched = is_watched,
		};
		*pte |= PTE_BUSY;
	}
	lock_release(leaf.lock);
	uint32_t nr_taken = b->nr;
	unmap_batch(b);
	if (left && b->nr == MAX_BATCH)
		return unmap_hide(vpn, nr, is_watched);
	return !left && b->nr == nr_taken;
}

uint32_t unmap_choices(const struct choice *choices, uint32_t nr, bool with_others)
{
	struct batch *b = &batch;
	uint32_t freed = 0;

	b->nr = 0;
	b->does_blocks = with_others;
	b->nr_more = MIN(nr / 2, MAX_BATCH - nr);
	for (uint32_t i = 0; i < nr; i++)
		freed += take_choice(b, choices[i]);
	unmap_batch(b);
	return freed + b->nr;
}
