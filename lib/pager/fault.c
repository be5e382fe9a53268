// SPDX-License-Identifier: MIT
/*
 * Fault service: what happens between the touch of an absent page and its retry.
 *
 * Any number of threads at once. A fault looks at its region under the map lock (shared), then at
 * its PTE under the lock of the L1 table. What needs no I/O is done there and then. For a read the
 * PTE becomes READING, both locks are dropped, and whoever else touches the page waits for its
 * event; completion needs the L1 lock only, because nobody takes a READING page away.
 */
#include "pager/internal.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "base/ensure.h"
#include "base/say.h"
#include "base/sys.h"
#include "faultline/trace.h"
#include "telemetry/trace_ring.h"

#define MIN_READ_BUFS     8u
#define MAX_WRITTEN_ALONG 32u /* pages made writable by one first write; guess */
#define MIN_IN_PARTS      32u /* pages of a read that are mapped as they come in; guess */

enum step {
	STEP_WAIT, /* another thread is busy with the page: wait for it, then again */
	STEP_ROOM, /* no place or no buffer: reclaim, then again */
	STEP_BUSY, /* regions are being changed: look_try() */
	STEP_READ, /* the read described in struct fault is to be done, with no lock */
	STEP_DONE,
	STEP_INVALID,
	STEP_FOREIGN, /* in the window, but not managed */
	STEP_ERROR,
};

enum fault_kind {
	KIND_SPURIOUS, /* somebody else had served it already */
	KIND_ZERO,
	KIND_REFILL,
	KIND_WRITE,
	KIND_MAJOR,
};

struct fault {
	struct vpn vpn;
	uint16_t offset; /* of the touch, in its page */
	bool is_write, is_fetch;
	bool is_ahead;         /* no thread has touched the page: readahead */
	uint32_t nr_paged_out; /* ... wanted when that was the number */
	enum fault_kind kind;
	uint32_t places;      /* taken and not used yet */
	uint32_t ticket;      /* of the page's event, for STEP_WAIT */
	struct window window; /* to read at once; nr 0: not decided yet */
	bool is_in_stream;    /* STEP_WAIT: the page is read ahead, or about to be */
	uint16_t source;      /* the region's file, or 0 */
	bool from_file;       /* STEP_READ: from there, not from swap */
	uint32_t need;        /* places wanted, for STEP_ROOM */
	bool has_entry;       /* of the trap TLB, pinned */
	bool is_filled;       /* ... and filled by this fault */
	bool needs_frame;     /* for STEP_ROOM: all are taken (frame_credit_take()) */
	uint64_t aside_ns;    /* read, or waited for others and for room */

	/* STEP_READ: pages first, first + stride, ...; vpn is number `self` of them. */
	uint32_t nr_read, stride, self;
	struct vpn first;
	struct swap_reader reader;
	uint32_t nr_ready;
	uint64_t arrived[MAX_WINDOW / 64]; /* bits: read, or not to be read ... */
	uint64_t ready[MAX_WINDOW / 64];   /* ... and not present yet */
	uint8_t
	    distance[MAX_WINDOW]; /* of each page read: see share_note(); below SHARE_DISTANCES */
	struct swap_page page[MAX_WINDOW];
	struct frame_nr frame[MAX_WINDOW];
};

static bool allows(int prot, bool is_write)
{
	return is_write ? prot & PROT_WRITE : prot & (PROT_READ | PROT_WRITE | PROT_EXEC);
}

/* One page, now mapped with @frame. L1 lock held. */
static void page_mapped(
    struct fault *f, struct vpn vpn, uint64_t *pte, struct frame_nr frame, bool is_dirty)
{
	if (tlb_is_on())
		f->is_filled |= tlb_mapped(vpn);
	bool was_swapped =
	    pte_state(*pte) == PAGE_READING && !swap_ref_is_none(frame_of(&pg.frames, frame)->ref);
	uint32_t distance = was_swapped ? writeback_distance(*pte) : DISTANCE_NEVER;

	pte_set(pte, PAGE_MAPPED, frame.v, is_dirty ? PTE_DIRTY : 0);
	if (LIKELY(!(*pte & PTE_LOCKED)))
		policy_insert(frame, distance);
}

/*
 * How many pages to zero-fill at once: a program that walks through fresh memory will go on, so
 * the run grows with the number of neighbours below that it has touched already.
 */
static uint32_t zero_run(struct fault *f, struct pt_leaf leaf, const struct region *r)
{
	unsigned i = ptab_index(f->vpn, 1);
	uint32_t below = 0, run = 1;

	if (tlb_is_on() || pg.config.is_exact || r->marks & REGION_RANDOM)
		return 1; /* each page is to be missed by its own touch */
	while (below < MAX_AROUND && below < i && pte_state(leaf.pte[i - 1 - below]) != PAGE_NONE)
		below++;
	uint32_t max = MIN(MIN(below, MAX_AROUND), PTAB_ENTRIES - i);
	max = MIN(max, (r->end >> PAGE_SHIFT) - f->vpn.v);
	while (run < max && leaf.pte[i + run] == 0)
		run++;
	return run; /* as far as there are places: reclaim is not run for guesses */
}

/* Map @nr zero pages. Return: how many are mapped now. L1 lock held. */
static uint32_t map_zeros(struct vpn vpn, uint32_t nr)
{
	uint32_t done = 0;

	if (!transport_map(&pg.transport, vpn, pg.zeros, nr, false))
		return nr;
	/* One by one, since how far it came is not known. -EEXIST: mapped by that, or a page that
	 * the pager did not map; then its bytes are the program's. */
	for (; done < nr; done++) {
		struct vpn page = {vpn.v + done};
		int err = transport_map(&pg.transport, page, pg.zeros, 1, false);

		if (err && err != -EEXIST)
			break;
	}
	return done;
}

static bool credit_take(struct fault *f)
{
	f->needs_frame = !frame_credit_take(&pg.frames);
	return !f->needs_frame;
}

/* A unit of 2 MiB is an L1 table. */
static bool is_unit_empty(struct pt_leaf leaf)
{
	for (uint32_t i = 0; i < PTAB_ENTRIES; i++)
		if (leaf.pte[i])
			return false;
	return true;
}

static enum step serve_none(struct fault *f, struct pt_leaf leaf, const struct region *r)
{
	uint64_t *pte = leaf_pte(leaf, f->vpn);
	uint32_t run = zero_run(f, leaf, r);

	if (!credit_take(f))
		return STEP_ROOM;
	if (tlb_is_on() && pg.tlb.shift && is_unit_empty(leaf))
		COUNT(&pg.telemetry, tlb_units, 1);

	run = 1 + places_take(&pg.frames, run - 1);
	f->places += run - 1;
	run = map_zeros(f->vpn, run);
	if (!run) {
		frame_credit_give(&pg.frames);
		return STEP_ERROR;
	}
	for (uint32_t i = 0; i < run; i++) {
		struct vpn vpn = {f->vpn.v + i};

		if (UNLIKELY(r->marks & REGION_LOCKED))
			pte[i] |= PTE_LOCKED;
		page_mapped(f, vpn, pte + i, frame_take(&pg.frames, vpn), true);
	}
	f->places -= run;
	atomic_fetch_add_explicit(&pg.nr_populated, run, memory_order_relaxed);
	event_log(&pg.telemetry, EVENT_ZERO_FILL, f->vpn, UINT32_MAX);
	f->kind = KIND_ZERO;
	return STEP_DONE;
}

/* Only what has a copy in swap can turn out not to have been written. */
static bool may_guess(const struct frame *fr)
{
	return !swap_ref_is_none(fr->ref) && !fr->source;
}

/*
 * A page that was clean is dirty from now on. A compressed copy in RAM would take up room for
 * nothing, until the page is evicted (one on disk may yet spare a write).
 */
static void page_dirtied(struct frame *fr, bool is_guessed)
{
	bool is_kept = atomic_load(&fr->flags) & FRAME_WRITING || fr->source ||
	               (is_guessed && guess_is_judged());

	if (!is_kept && swap_forget_memory(pg.swap, fr->ref))
		fr->ref = SWAP_REF_NONE;
	else if (is_guessed)
		atomic_fetch_or(&fr->flags, FRAME_GUESSED);
}

static enum step serve_held(struct fault *f, uint64_t *pte)
{
	struct frame_nr nr = pte_frame(*pte);
	struct frame *fr = frame_of(&pg.frames, nr);
	bool was_dirty = *pte & PTE_DIRTY, is_dirty = was_dirty || f->is_write;
	bool is_guessed = !is_dirty && may_guess(fr) && guess_is_written(f->vpn);
	is_dirty |= is_guessed;
	int err = transport_map(&pg.transport, f->vpn, buf_addr(&pg.frames, fr->buf), 1, !is_dirty);

	if (err)
		return STEP_ERROR;
	f->places--;
	/* A buffer under a write belongs to the writer, who will find the page gone from HELD. */
	if (!(atomic_load(&fr->flags) & FRAME_WRITING)) {
		buf_give(&pg.frames, fr->buf);
		fr->buf = BUF_NONE;
	}
	pte_set(pte, PAGE_MAPPED, nr.v, is_dirty ? PTE_DIRTY : 0);
	if (is_dirty && !was_dirty)
		page_dirtied(fr, is_guessed);
	if (tlb_is_on())
		f->is_filled |= tlb_mapped(f->vpn);
	if (LIKELY(!(*pte & PTE_LOCKED)))
		policy_touched(nr);
	event_log(&pg.telemetry, EVENT_REFILL, f->vpn, fr->ref.v);
	f->kind = KIND_REFILL;
	return STEP_DONE;
}

/* Whether a clean page beside one that is written first may be written without a fault of its own.
 */
static bool is_written_along(struct pt_leaf leaf, struct vpn vpn)
{
	uint64_t pte = *leaf_pte(leaf, vpn);

	if (pte_state(pte) != PAGE_MAPPED || pte & (PTE_DIRTY | PTE_BUSY | PTE_NO_ACCESS))
		return false;
	struct frame *fr = frame_of(&pg.frames, pte_frame(pte));
	return may_guess(fr) && !(atomic_load(&fr->flags) & FRAME_WRITING);
}

/*
 * Pages to make writable at the first write to f->vpn: where it is foreseen that what is read will
 * be written, those beside it too that were mapped before that was known (a window of a stream), in
 * one L1 table and region. Return: how many; the first is *ret_first.
 */
static uint32_t write_run(
    const struct fault *f, struct pt_leaf leaf, const struct region *r, struct vpn *ret_first)
{
	uint64_t first = f->vpn.v, end = first + 1;
	uint64_t start = MAX(first - ptab_index(f->vpn, 1), r->start >> PAGE_SHIFT);
	uint64_t stop = MIN(leaf_end(f->vpn).v, r->end >> PAGE_SHIFT);

	if (guess_is_written(f->vpn)) {
		while (end < stop && end - first < MAX_WRITTEN_ALONG &&
		       is_written_along(leaf, (struct vpn){end}))
			end++;
		while (first > start && end - first < MAX_WRITTEN_ALONG &&
		       is_written_along(leaf, (struct vpn){first - 1}))
			first--;
	}
	ret_first->v = first;
	return (uint32_t)(end - first);
}

/* The first write to a clean page. */
static enum step serve_write(struct fault *f, struct pt_leaf leaf, const struct region *r)
{
	struct vpn vpn;
	uint32_t nr = write_run(f, leaf, r, &vpn);

	/* Dirty before they can be written: of a call that fails a part may be done. */
	for (uint32_t i = 0; i < nr; i++) {
		struct vpn page = {vpn.v + i};
		uint64_t *pte = leaf_pte(leaf, page);

		pte_set(pte, PAGE_MAPPED, pte_payload(*pte), PTE_DIRTY);
		page_dirtied(frame_of(&pg.frames, pte_frame(*pte)), page.v != f->vpn.v);
		event_log(&pg.telemetry, EVENT_DIRTY, page, UINT32_MAX);
	}
	if (transport_protect(&pg.transport, vpn, nr, false, FL_SHOOTDOWN_WRITE))
		return STEP_ERROR;
	guess_note(f->vpn, true);
	f->kind = KIND_WRITE;
	return STEP_DONE;
}

static enum step serve_mapped(struct fault *f, struct pt_leaf leaf, const struct region *r)
{
	uint64_t *pte = leaf_pte(leaf, f->vpn);

	if (*pte & PTE_BUSY) {
		f->ticket = event_begin(page_event(f->vpn));
		return STEP_WAIT;
	}
	if (!f->is_write)
		return STEP_DONE;
	if (!(*pte & PTE_DIRTY))
		return serve_write(f, leaf, r);
	/* Another thread may have made it so since this one faulted, and a page that mremap moved
	 * may still be protected. */
	bool has_failed = transport_protect(&pg.transport, f->vpn, 1, false, FL_SHOOTDOWN_FAULT);
	return has_failed ? STEP_ERROR : STEP_DONE;
}

static struct vpn read_vpn(const struct fault *f, uint32_t i)
{
	return (struct vpn){f->first.v + (uint64_t)i * f->stride};
}

/* Pages of the window that are where the first one is, in swap or in the file, and in the same L1
 * table and region, without a gap. */
static uint32_t window_pages(
    const struct fault *f, struct window window, struct pt_leaf leaf, const struct region *r)
{
	enum page_state state = f->from_file ? PAGE_NONE : PAGE_SWAPPED;
	uint32_t nr = 1;

	while (nr < window.nr) {
		uint64_t vpn = f->vpn.v + (uint64_t)((int64_t)nr * window.delta);

		if (vpn / PTAB_ENTRIES != f->vpn.v / PTAB_ENTRIES || vpn < r->start >> PAGE_SHIFT ||
		    vpn >= r->end >> PAGE_SHIFT || pte_state(leaf.pte[vpn % PTAB_ENTRIES]) != state)
			break;
		nr++;
	}
	return nr;
}

/* Which neighbours could be read along with the page, if it is worth that: one more from the
 * compressed tier would cost half of a fault. */
static unsigned near_pages(const struct fault *f, struct pt_leaf leaf, const struct region *r)
{
	const struct swap_ref ref = {pte_payload(*leaf_pte(leaf, f->vpn))};
	unsigned near = 0;

	if (f->from_file || tlb_is_on() || swap_is_in_memory(pg.swap, ref))
		return 0;
	for (int above = 0; above < 2; above++) {
		struct window both = {.nr = 2, .delta = above ? 1 : -1};

		if (window_pages(f, both, leaf, r) == 2)
			near |= above ? NEAR_ABOVE : NEAR_BELOW;
	}
	return near;
}

/* Page @i of the read becomes READING, into pool buffer @buf. L1 lock held. */
static void begin_read(struct fault *f, uint32_t i, struct pt_leaf leaf, uint32_t buf)
{
	struct vpn vpn = read_vpn(f, i);
	uint64_t *pte = leaf_pte(leaf, vpn);
	struct swap_ref ref = f->from_file ? SWAP_REF_NONE : (struct swap_ref){pte_payload(*pte)};
	struct frame_nr frame = frame_take(&pg.frames, vpn);

	if (!f->from_file) {
		f->distance[i] = share_is_on() ? (uint8_t)writeback_absent_since(*pte) : 0;
		writeback_forget(*pte);
	}
	frame_of(&pg.frames, frame)->buf = buf;
	frame_of(&pg.frames, frame)->ref = ref;
	frame_of(&pg.frames, frame)->source = f->source;
	pte_set(pte, PAGE_READING, frame.v, *pte & PTE_EPOCH_MASK);
	f->frame[i] = frame;
	f->page[i] = (struct swap_page){.buf = buf_addr(&pg.frames, buf), .ref = ref};
}

/* Whether the page will be read ahead in a moment: two threads that read one stream are in each
 * other's way. Where several wait for pages, each reads its own. */
static bool is_in_hands(struct fault *f)
{
	if (tlb_is_on() || stall_nr_active())
		return false;
	f->ticket = event_begin(page_event(f->vpn));
	f->is_in_stream = readahead_is_asked(f->vpn);
	if (f->is_in_stream)
		return true;
	event_cancel(page_event(f->vpn));
	return false;
}

/* Return: how many of @want. */
static uint32_t take_read_bufs(const struct fault *f, uint32_t *bufs, uint32_t want)
{
	/* What nobody waits for leaves a buffer to what somebody does. */
	uint32_t reserve = f->is_ahead ? MIN_READ_BUFS : 0;

	return want < MIN_IN_PARTS ? bufs_take(&pg.frames, bufs, want, reserve)
	                           : bufs_take_runs(&pg.frames, bufs, want, reserve);
}

/* Turn the page, which is in swap or in its file, and those of its stream as far as they are there
 * too, into READING. */
static enum step serve_absent(struct fault *f, struct pt_leaf leaf, const struct region *r)
{
	uint32_t bufs[MAX_WINDOW];

	f->from_file = pte_state(*leaf_pte(leaf, f->vpn)) == PAGE_NONE;
	if (pg.config.is_exact)
		f->window = (struct window){.nr = 1, .delta = 1};
	if (!f->window.nr && r->marks & REGION_RANDOM)
		f->window = (struct window){.nr = 1, .delta = 1};
	if (!f->window.nr && is_in_hands(f))
		return STEP_WAIT;
	if (!f->window.nr) {
		unsigned near = near_pages(f, leaf, r);
		const struct touch touch = {f->vpn, f->offset, f->is_write};

		f->window = readahead_window(&touch, r->marks & REGION_SEQUENTIAL, near);
	}
	uint32_t want = window_pages(f, f->window, leaf, r);
	/* A stream is worth a batch of reclaim, once: short windows would end it. */
	if (want > 1 && f->need == 1 && !tlb_is_on() &&
	    atomic_load(&pg.frames.places_free) < (int32_t)want - 1) {
		f->need = want;
		return STEP_ROOM;
	}
	/* With a trap TLB what is read ahead is not mapped. */
	if (!tlb_is_on()) {
		want = 1 + places_take(&pg.frames, want - 1);
		f->places += want - 1;
	}
	if (!credit_take(f))
		return STEP_ROOM;
	uint32_t nr = take_read_bufs(f, bufs, want);
	if (!nr) {
		frame_credit_give(&pg.frames);
		return STEP_ROOM;
	}
	if (!f->is_ahead && !f->from_file && writeback_is_refault(*leaf_pte(leaf, f->vpn)))
		COUNT(&pg.telemetry, refaults, 1);
	bool is_down = f->window.delta < 0;
	f->nr_read = nr;
	f->nr_ready = 0;
	memset(f->arrived, 0, sizeof(f->arrived));
	memset(f->ready, 0, sizeof(f->ready));
	f->stride = (uint32_t)(is_down ? -f->window.delta : f->window.delta);
	f->self = is_down ? nr - 1 : 0;
	f->first.v = f->vpn.v - (uint64_t)f->self * f->stride;
	if (UNLIKELY(f->from_file)) {
		atomic_fetch_add_explicit(&pg.nr_populated, nr, memory_order_relaxed);
		if (r->marks & REGION_LOCKED)
			for (uint32_t i = 0; i < nr; i++)
				*leaf_pte(leaf, read_vpn(f, i)) |= PTE_LOCKED;
	}
	for (uint32_t i = 0; i < nr; i++)
		begin_read(f, i, leaf, bufs[i]);
	if (!f->is_ahead && !f->window.is_pair)
		readahead_note(f->vpn, nr);
	event_log(&pg.telemetry, EVENT_READ_BEGIN, f->vpn, f->page[f->self].ref.v);
	f->kind = KIND_MAJOR;
	return STEP_READ;
}

static enum step serve_pte(struct fault *f, struct pt_leaf leaf, const struct region *r)
{
	uint64_t *pte = leaf_pte(leaf, f->vpn);
	enum page_state state = pte_state(*pte);
	bool is_in_file = state == PAGE_NONE && r->source;

	f->source = r->source;
	if (f->is_ahead && state != PAGE_SWAPPED && !is_in_file)
		return STEP_DONE;
	/* Evicted on request, and by now not touched again. */
	if (f->is_ahead && atomic_load(&pg.nr_paged_out) != f->nr_paged_out)
		return STEP_DONE;
	/* Where each touch counts. Its thread is woken, and faults again if it must. */
	if (UNLIKELY(pg.transport.is_silent) && !f->is_ahead && engine_is_stale())
		return STEP_DONE;
	if (state == PAGE_MAPPED)
		return serve_mapped(f, leaf, r);
	if ((state == PAGE_READING || state == PAGE_HELD) && !pg.config.is_exact)
		f->is_in_stream |= readahead_touched(f->vpn);
	if (state == PAGE_READING) {
		f->kind = KIND_MAJOR; /* it waits for the disk, whoever asked for the page */
		f->ticket = event_begin(page_event(f->vpn));
		return STEP_WAIT;
	}
	/* Before a trap TLB's entry is taken: the page that goes may leave one. As replay has it.
	 */
	if (UNLIKELY(pg.frames.has_credits) && state != PAGE_HELD &&
	    atomic_load(&pg.frames.credits_free) <= 0) {
		f->needs_frame = true;
		return STEP_ROOM;
	}
	if (!f->places && !(tlb_is_on() && f->is_ahead))
		return STEP_ROOM;
	if (state == PAGE_NONE && LIKELY(!is_in_file))
		return serve_none(f, leaf, r);
	return state == PAGE_HELD ? serve_held(f, pte) : serve_absent(f, leaf, r);
}

/*
 * The entry of a larger page shows all of it: map what else of it is in frames. Its pages are not
 * known to be touched, so the policy is not told, and those it watches stay away. L1 lock held.
 */
static void map_unit(struct fault *f, struct pt_leaf leaf)
{
	struct vpn vpn = {f->vpn.v >> pg.tlb.shift << pg.tlb.shift};

	for (uint32_t i = 0; f->is_filled && i < 1u << pg.tlb.shift; i++, vpn.v++) {
		uint64_t *pte = leaf_pte(leaf, vpn);
		struct frame_nr nr = pte_frame(*pte);
		struct frame *fr = frame_of(&pg.frames, nr);
		uint64_t flags = *pte & PTE_DIRTY;

		if (pte_state(*pte) != PAGE_HELD || *pte & (PTE_BUSY | PTE_NO_ACCESS) ||
		    atomic_load(&fr->flags) & (FRAME_WRITING | FRAME_WATCHED))
			continue;
		if (!places_take(&pg.frames, 1))
			break;
		if (transport_map(&pg.transport, vpn, buf_addr(&pg.frames, fr->buf), 1, !flags)) {
			places_give(&pg.frames, 1);
			continue;
		}
		buf_give(&pg.frames, fr->buf);
		fr->buf = BUF_NONE;
		pte_set(pte, PAGE_MAPPED, nr.v, flags);
		tlb_mapped(vpn);
		event_log(&pg.telemetry, EVENT_REFILL, vpn, fr->ref.v);
	}
	f->is_filled = false;
}

/* Map lock held (shared): the region @r stays as it is. */
static enum step look_at_page(struct fault *f, const struct region *r)
{
	struct pt_leaf leaf = ptab_walk_create(&pg.ptab, f->vpn);

	if (!leaf.pte)
		return STEP_ERROR;
	lock_acquire(leaf.lock);
	enum step step = serve_pte(f, leaf, r);
	if (tlb_is_on())
		map_unit(f, leaf);
	lock_release(leaf.lock);
	return step;
}

/* Absent when it was touched, it left management, and is present now. */
static bool was_released(const struct region *r, bool is_write)
{
	return r->marks & REGION_RELEASED && r->prot & PROT_EXEC && allows(r->prot, is_write);
}

/* Map lock held (shared), given back. */
static enum step look_locked(struct fault *f)
{
	enum step step = STEP_INVALID;

	const struct region *r = region_find(&pg.regions, vpn_addr(f->vpn));
	if (r && r->is_foreign)
		step = was_released(r, f->is_write) ? STEP_DONE : STEP_FOREIGN;
	else if (r && allows(r->prot, f->is_write) && !f->is_fetch)
		step = look_at_page(f, r);
	rwlock_read_done(&pg.map_lock);
	return step;
}

static enum step look(struct fault *f)
{
	rwlock_read(&pg.map_lock);
	return look_locked(f);
}

/* Without waiting. */
static enum step look_try(struct fault *f)
{
	return rwlock_read_try(&pg.map_lock) ? look_locked(f) : STEP_BUSY;
}

/* The page could not be read: it stays where it is, its frame is given back. L1 lock held. */
static void read_failed(struct fault *f, uint32_t i, struct pt_leaf leaf)
{
	struct frame *fr = frame_of(&pg.frames, f->frame[i]);
	struct vpn vpn = read_vpn(f, i);

	event_log(&pg.telemetry, EVENT_READ_ERROR, vpn, fr->ref.v);
	if (f->from_file) {
		pte_set(leaf_pte(leaf, vpn), PAGE_NONE, 0, 0);
		atomic_fetch_sub_explicit(&pg.nr_populated, 1, memory_order_relaxed);
	} else {
		pte_set(leaf_pte(leaf, vpn), PAGE_SWAPPED, fr->ref.v, 0);
	}
	buf_give(&pg.frames, fr->buf);
	fr->buf = BUF_NONE;
	frame_give(&pg.frames, f->frame[i]);
}

/* Read along with the page that was touched; what is done to that one says nothing of this one. */
static bool is_neighbour(const struct fault *f, uint32_t i)
{
	return f->window.is_pair && i != f->self;
}

/* Map pages @from .. @to - 1 of the read: neighbours, as are their buffers. L1 lock held. */
static void map_read_run(struct fault *f, struct pt_leaf leaf, uint32_t from, uint32_t to)
{
	/* A writing stream will write to what is read ahead for it: a protection fault for each
	 * page would cost more than finding out at eviction that one did not change, or than
	 * compressing it once more. */
	bool is_dirty = f->is_write && (!f->from_file || f->nr_read == 1) && !is_neighbour(f, from);
	bool is_guessed = !is_dirty && may_guess(frame_of(&pg.frames, f->frame[from])) &&
	                  guess_is_written(read_vpn(f, from));
	is_dirty |= is_guessed;

	int err = transport_map(
	    &pg.transport, read_vpn(f, from), f->page[from].buf, to - from, !is_dirty);
	/* Beyond the end of its file at an earlier touch, and made to fail then. */
	if (UNLIKELY(err == -EEXIST && f->from_file)) {
		struct iovec run = {.iov_base = (void *)vpn_addr(read_vpn(f, from)),
		    .iov_len = (to - from) * PAGE_BYTES};

		err = transport_drop(&pg.transport, &run, 1, FL_SHOOTDOWN_FAULT);
		if (!err)
			err = transport_map(&pg.transport, read_vpn(f, from), f->page[from].buf,
			    to - from, !is_dirty);
	}
	for (uint32_t i = from; i < to; i++) {
		struct frame *fr = frame_of(&pg.frames, f->frame[i]);

		if (err) {
			f->page[i].result = err;
			read_failed(f, i, leaf);
			continue;
		}
		buf_give(&pg.frames, fr->buf);
		fr->buf = BUF_NONE;
		page_mapped(
		    f, read_vpn(f, i), leaf_pte(leaf, read_vpn(f, i)), f->frame[i], is_dirty);
		if (is_dirty)
			page_dirtied(fr, is_guessed);
		f->places--;
	}
}

static bool has_bit(const uint64_t *bits, uint32_t i)
{
	return bits[i / 64] >> i % 64 & 1;
}

static void set_bit(uint64_t *bits, uint32_t i)
{
	bits[i / 64] |= 1ull << i % 64;
}

/* Whether page @i of the read is to be mapped: the first of what was read ahead stays HELD, so
 * that its touch is seen; with a trap TLB all but the one that was touched. */
static bool is_to_map(const struct fault *f, uint32_t i)
{
	if (f->page[i].result)
		return false;
	return tlb_is_on() ? !f->is_ahead && i == f->self : !(f->is_ahead && i == f->self);
}

/* Pages from @i on that one call can map. */
static uint32_t map_run(const struct fault *f, uint32_t i)
{
	uint32_t nr = 1;

	while (f->stride == 1 && !(f->window.is_pair && f->is_write) && i + nr < f->nr_read &&
	       has_bit(f->ready, i + nr) && is_to_map(f, i + nr) &&
	       (char *)f->page[i + nr].buf == (char *)f->page[i].buf + nr * PAGE_BYTES)
		nr++;
	return nr;
}

/* The `ready` pages of the read are present, or could not be had. */
static void finish_ready(struct fault *f)
{
	struct pt_leaf leaf = ptab_walk(&pg.ptab, f->vpn);
	uint32_t run;

	lock_acquire(leaf.lock);
	for (uint32_t i = 0; i < f->nr_read; i += run) {
		run = 1;
		if (!has_bit(f->ready, i))
			continue;
		if (f->page[i].result) {
			read_failed(f, i, leaf);
		} else if (is_to_map(f, i)) {
			run = map_run(f, i);
			map_read_run(f, leaf, i, i + run);
		} else {
			uint64_t *pte = leaf_pte(leaf, read_vpn(f, i));

			pte_set(pte, PAGE_HELD, f->frame[i].v, 0);
			if (LIKELY(!(*pte & PTE_LOCKED)))
				policy_insert(f->frame[i], DISTANCE_NEVER);
		}
	}
	if (tlb_is_on())
		map_unit(f, leaf);
	lock_release(leaf.lock);
	/* Waiters of one window share few events; waking each event once would need a set. */
	for (uint32_t i = 0; i < f->nr_read; i++)
		if (has_bit(f->ready, i))
			event_signal(page_event(read_vpn(f, i)));
	memset(f->ready, 0, sizeof(f->ready));
	f->nr_ready = 0;
}

static void mark_ready(struct fault *f, uint32_t from, uint32_t to)
{
	for (uint32_t i = from; i < to; i++) {
		f->nr_ready += !has_bit(f->arrived, i);
		if (!has_bit(f->arrived, i))
			set_bit(f->ready, i);
		set_bit(f->arrived, i);
	}
}

/* Not page by page, where they lie apart in swap: who waits would be woken as often. */
static void part_done(struct swap_reader *r, uint32_t from, uint32_t to)
{
	struct fault *f = container_of(r, struct fault, reader);

	mark_ready(f, from, to);
	if (f->nr_ready >= MIN_IN_PARTS)
		finish_ready(f);
}

static void finish_read(struct fault *f)
{
	mark_ready(f, 0, f->nr_read);
	finish_ready(f);
	event_log(&pg.telemetry, EVENT_READ_DONE, f->vpn, f->page[f->self].ref.v);
}

static void report_lost(struct fault *f)
{
	struct say s = {0};

	const struct swap_page *lost = &f->page[f->self];

	/* Beyond the end of its file: the program's own affair. */
	if (lost->result == -ENXIO && f->from_file)
		return;
	say_str(&s, lost->result == -EBADMSG ? "checksum mismatch: the page at "
	            : f->from_file           ? "cannot read from its file: the page at "
	                                     : "cannot read from swap: the page at ");
	say_hex(&s, vpn_addr(f->vpn));
	if (!f->from_file) {
		say_str(&s, ", slot ");
		say_dec(&s, (uint32_t)lost->ref.v);
	}
	say_str(&s, " (error ");
	say_dec(&s, (uint64_t)-lost->result);
	say_str(&s, "); its thread gets SIGBUS");
	say_flush(&s);
}

/* All pages of a read from swap took @ns: tell who shares out the budget. */
static void note_read(struct fault *f, uint64_t ns)
{
	struct share_fact fact = {.ns = ns, .nr_read = f->nr_read};

	if (f->from_file || !share_is_on())
		return;
	fact.is_writable = f->is_write || guess_is_written(f->vpn);
	for (uint32_t i = 0; i < f->nr_read; i++) {
		fact.distance = f->distance[i];
		share_note(&f->page[i], &fact);
	}
}

static void read_window(struct fault *f, enum swap_wait wait)
{
	f->reader.done = part_done;
	if (f->from_file)
		source_read(f->source, f->first, f->stride, f->page, f->nr_read);
	else
		swap_read_rest(pg.swap, f->page, f->nr_read, wait,
		    f->nr_read < MIN_IN_PARTS ? NULL : &f->reader);
}

/* The thread that has faulted waits from now on, whoever serves it. */
static void waiting_begins(uint64_t now)
{
	stall_begin(&pg.telemetry, engine_faulting_thread(), now);
	engine_will_block();
}

static void waiting_ends(uint64_t now)
{
	stall_end(&pg.telemetry, engine_faulting_thread(), now);
}

static enum step read_pages(struct fault *f)
{
	uint64_t began = now_ns();

	if (f->from_file || swap_read_memory(pg.swap, f->page, f->nr_read)) {
		waiting_begins(began);
		/* The only thread that waits for pages: waking it from an idle CPU would cost more
		 * than the CPU time does. */
		read_window(f, stall_nr_active() > 1 ? SWAP_SLEEP : SWAP_SPIN);
		waiting_ends(now_ns());
	}
	note_read(f, now_ns() - began);
	f->aside_ns += now_ns() - began;
	if (f->window.is_pair)
		COUNT(&pg.telemetry, neighbours, f->nr_read - 1);
	else
		COUNT(&pg.telemetry, readahead_pages, f->nr_read - 1);
	finish_read(f);
	if (!f->page[f->self].result)
		return STEP_DONE;
	report_lost(f);
	return STEP_ERROR;
}

static _Thread_local bool makes_room __attribute__((tls_model("initial-exec")));

bool fault_makes_room(void)
{
	return makes_room;
}

/* This thread would only wait, and who reads ahead for it needs places: see to some. */
static void make_room_ahead(void)
{
	if (atomic_load(&pg.frames.places_free) >= 2 * (int32_t)readahead_max_window())
		return;
	makes_room = true;
	reclaim_batch_try();
	makes_room = false;
}

static void wait_for_page(struct fault *f)
{
	uint64_t began = now_ns();

	waiting_begins(began);
	if (f->is_in_stream)
		make_room_ahead();
	event_wait(page_event(f->vpn), f->ticket);
	uint64_t now = now_ns();
	waiting_ends(now);
	f->aside_ns += now - began;
}

/* @nr: places; 0: one frame, in exact mode. */
static void wait_for_room(struct fault *f, uint32_t nr)
{
	uint64_t began = now_ns();

	waiting_begins(began);
	makes_room = true;
	if (nr)
		reclaim_wait(nr);
	else
		reclaim_one_frame();
	makes_room = false;
	uint64_t now = now_ns();
	waiting_ends(now);
	f->aside_ns += now - began;
}

static void wait_for_entry(struct fault *f)
{
	makes_room = true;
	if (!tlb_make_room(f->vpn)) {
		waiting_begins(now_ns());
		reclaim_wait_entry();
		waiting_ends(now_ns());
	}
	makes_room = false;
}

/* With a trap TLB a place comes with an entry. Return: places taken. */
static uint32_t take_place(struct fault *f)
{
	if (tlb_is_on() && !f->has_entry)
		f->has_entry = tlb_pin(f->vpn);
	return tlb_is_on() && !f->has_entry ? 0 : places_take(&pg.frames, 1);
}

static void entry_return(struct fault *f)
{
	if (f->has_entry)
		tlb_unpin(f->vpn);
	f->has_entry = false;
}

/* Places not needed after all, or not for every page read ahead. */
static void places_return(struct fault *f)
{
	if (!f->places)
		return;
	places_give(&pg.frames, f->places);
	event_signal(&pg.frames.freed);
	f->places = 0;
}

static enum step serve(struct fault *f)
{
	for (;;) {
		if (!f->places)
			f->places = take_place(f);
		f->needs_frame = false;
		enum step step = look(f);
		bool had_entry = f->has_entry;

		if (step == STEP_READ)
			step = read_pages(f);
		places_return(f);
		entry_return(f);
		if (step == STEP_WAIT)
			wait_for_page(f);
		else if (step == STEP_ROOM && f->needs_frame)
			wait_for_room(f, 0);
		else if (step == STEP_ROOM && tlb_is_on() && !had_entry)
			wait_for_entry(f);
		else if (step == STEP_ROOM)
			wait_for_room(f, f->need);
		else
			return step;
	}
}

static void record(const struct fault *f, uint64_t began, uint64_t ns)
{
	static const uint8_t kinds[] = {[KIND_ZERO] = FL_TRACE_ZERO,
	    [KIND_REFILL] = FL_TRACE_REFILL,
	    [KIND_WRITE] = FL_TRACE_WRITE,
	    [KIND_MAJOR] = FL_TRACE_MAJOR};
	uint32_t thread = engine_faulting_thread();
	struct trace_event e = {
	    .time_ns = began,
	    .page = f->vpn.v,
	    .latency_ns = ns,
	    .thread = thread ? thread : (uint32_t)sys_call0(SYS_gettid),
	    .kind = kinds[f->kind],
	    .is_write = f->is_write,
	};

	trace_ring_put(pg.telemetry.ring, &e);
}

static void account(struct fault *f, enum step step, uint64_t began)
{
	struct telemetry *t = &pg.telemetry;

	if (step == STEP_INVALID)
		COUNT(t, invalid, 1);
	if (step != STEP_DONE || f->kind == KIND_SPURIOUS)
		return;
	uint64_t ns = now_ns() - began;
	if (UNLIKELY(t->ring))
		record(f, began, ns);
	if (f->kind == KIND_MAJOR) {
		COUNT(t, major, 1);
		hist_add(&t->p->major_hist, ns);
		if (share_is_on() && !f->from_file)
			share_worked(SHARE_MAJOR, ns - MIN(f->aside_ns, ns));
		return;
	}
	hist_add(&t->p->minor, ns);
	if (f->kind == KIND_ZERO)
		COUNT(t, minor_zero, 1);
	else if (f->kind == KIND_REFILL)
		COUNT(t, minor_refill, 1);
	else
		COUNT(t, minor_write, 1);
	if (f->kind == KIND_REFILL && share_is_on())
		share_worked(SHARE_REFILL, ns - MIN(f->aside_ns, ns));
}

/*
 * Windows under way for streams, oldest first; of the thread that reads ahead. It is in the gate
 * from the first to the last of them, and waits for nobody meanwhile who may wait for their pages:
 * neither for the map lock nor for the gate.
 */
static struct {
	struct fault f;
	struct swap_reading *reading;
	uint64_t began;
} ahead[SWAP_NR_READINGS];
static uint32_t first_ahead, nr_ahead;

static void ahead_done(struct fault *f, uint64_t began)
{
	note_read(f, now_ns() - began);
	finish_read(f);
	places_return(f);
}

/* Wait for a part of the oldest one. */
static void ahead_step(void)
{
	uint32_t i = first_ahead % SWAP_NR_READINGS;

	if (swap_read_wait(ahead[i].reading))
		return;
	ahead_done(&ahead[i].f, ahead[i].began);
	first_ahead++;
	nr_ahead--;
}

static void ahead_land(void)
{
	while (nr_ahead)
		ahead_step();
}

bool pager_ahead_wait(void)
{
	if (!nr_ahead)
		return false;
	ahead_step();
	if (!nr_ahead)
		pager_leave();
	return true;
}

/* Look whether and how the window of @f is to be read, with some reclaim. */
static enum step ahead_look(struct fault *f)
{
	enum step step;
	uint32_t nr_tries = 0;

	do {
		f->places = tlb_is_on() ? 0 : places_take(&pg.frames, 1);
		step = nr_ahead ? look_try(f) : look(f);
		if (step != STEP_READ)
			places_return(f);
		if (step == STEP_BUSY)
			ahead_land();
		/* A guess is worth little reclaim. */
	} while (step == STEP_BUSY || (step == STEP_ROOM && nr_tries++ < 2 && reclaim_batch()));
	return step;
}

uint32_t pager_read_ahead(
    struct vpn vpn, struct window window, bool is_write, uint32_t nr_paged_out)
{
	while (nr_ahead == SWAP_NR_READINGS)
		ahead_step();
	/* Who waits for these pages may be inside, and a fork for them: it does not wait. */
	if (nr_ahead ? atomic_load(&pg.gate_closed) : !pager_enter_try())
		return 0;
	uint32_t i = (first_ahead + nr_ahead) % SWAP_NR_READINGS, nr_read = 0;
	struct fault *f = &ahead[i].f;

	f->vpn = vpn;
	f->offset = 0;
	f->is_write = is_write;
	f->is_fetch = false;
	f->is_ahead = true;
	f->nr_paged_out = nr_paged_out;
	f->window = window;
	f->need = 1;
	f->aside_ns = 0;
	f->has_entry = f->is_filled = f->needs_frame = f->is_in_stream = false;
	f->reader.done = part_done;
	if (ahead_look(f) == STEP_READ) {
		nr_read = f->nr_read;
		COUNT(&pg.telemetry, readahead_pages, nr_read);
		ahead[i].began = now_ns();
		if (!f->from_file &&
		    swap_read_begin(pg.swap, f->page, nr_read, &f->reader, &ahead[i].reading)) {
			nr_ahead++;
			return nr_read;
		}
		ahead_land(); /* nobody waits longer for its pages than it must */
		read_window(f, SWAP_SLEEP);
		ahead_done(f, ahead[i].began);
	}
	if (!nr_ahead)
		pager_leave();
	return nr_read;
}

enum fault_result pager_fault(uintptr_t addr, enum access access)
{
	if (UNLIKELY(atomic_load_explicit(&pg.nr_vforks, memory_order_relaxed)) && vfork_is_child())
		return vfork_ask(addr, access);
	uint64_t began = now_ns();
	struct fault f;

	/* Not the whole of it: the arrays are filled in only for a read. */
	f.vpn = vpn_of(addr);
	f.offset = addr & PAGE_MASK;
	f.is_write = access == ACCESS_WRITE;
	f.is_fetch = access == ACCESS_FETCH;
	f.is_ahead = false;
	f.kind = KIND_SPURIOUS;
	f.places = 0;
	f.window.nr = 0;
	f.need = 1;
	f.aside_ns = 0;
	f.from_file = f.is_in_stream = false;
	f.has_entry = f.is_filled = f.needs_frame = false;
	pager_enter();
	enum step step = serve(&f);
	account(&f, step, began);
	pager_publish(f.kind == KIND_MAJOR);
	if (step == STEP_DONE && frames_room() < (int32_t)pg.places_low)
		reclaim_kick();
	pager_leave();
	if (step == STEP_INVALID)
		return FAULT_INVALID;
	if (step == STEP_FOREIGN)
		return FAULT_FOREIGN;
	return step == STEP_DONE ? FAULT_DONE : FAULT_IO_ERROR;
}
