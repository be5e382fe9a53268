// SPDX-License-Identifier: MIT
/*
 * Fault service: what happens between the touch of an absent page and its retry.
 *
 * Any number of threads at once. A fault looks at its region under the map lock (shared), then at
 * its PTE under the lock of the L1 table. What needs no I/O is done there and then. For a read the
 * PTE becomes READING, both locks are dropped, and whoever else touches the page waits for its
 * event; completion needs the L1 lock only, because nobody takes a READING page away.
 *
 * What a read is, is in fault_read.c; what is read before it is touched, in fault_ahead.c.
 */
#include "pager/fault.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "base/sys.h"
#include "faultline/trace.h"
#include "telemetry/trace_ring.h"

#define MAX_WRITTEN_ALONG 32u /* pages made writable by one first write; guess */
#define MAX_BESIDE        4u  /* pages on either side of one that was touched; guess */

static bool allows(int prot, bool is_write)
{
	return is_write ? prot & PROT_WRITE : prot & (PROT_READ | PROT_WRITE | PROT_EXEC);
}

void fault_page_mapped(
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

bool fault_credit_take(struct fault *f)
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

	if (!fault_credit_take(f))
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
		fault_page_mapped(f, vpn, pte + i, frame_take(&pg.frames, vpn), true);
	}
	f->places -= run;
	atomic_fetch_add_explicit(&pg.nr_populated, run, memory_order_relaxed);
	event_log(&pg.telemetry, EVENT_ZERO_FILL, f->vpn, UINT32_MAX);
	f->kind = KIND_ZERO;
	return STEP_DONE;
}

void fault_page_dirtied(struct frame *fr, bool is_guessed)
{
	bool is_kept = atomic_load(&fr->flags) & FRAME_WRITING || fr->source ||
	               (is_guessed && guess_is_judged());

	if (!is_kept && swap_forget_memory(pg.swap, fr->ref))
		fr->ref = SWAP_REF_NONE;
	else if (is_guessed)
		atomic_fetch_or(&fr->flags, FRAME_GUESSED);
}

/* A page that is watched, and could be mapped as it is. */
static bool is_watched(uint64_t pte)
{
	if (pte_state(pte) != PAGE_HELD || pte & (PTE_BUSY | PTE_NO_ACCESS | PTE_LOCKED))
		return false;
	uint8_t flags = atomic_load(&frame_of(&pg.frames, pte_frame(pte))->flags);
	return flags & FRAME_WATCHED && !(flags & (FRAME_CHOSEN | FRAME_WRITING | FRAME_COLD));
}

/* Map a HELD page that nobody has touched as it is, on a place of the caller's. Return: done. L1
 * lock held. */
static bool map_untouched(struct vpn vpn, uint64_t *pte)
{
	struct frame_nr nr = pte_frame(*pte);
	struct frame *fr = frame_of(&pg.frames, nr);
	uint64_t flags = *pte & PTE_DIRTY;

	if (transport_map(&pg.transport, vpn, buf_addr(&pg.frames, fr->buf), 1, !flags))
		return false;
	buf_give(&pg.frames, fr->buf);
	fr->buf = BUF_NONE;
	pte_set(pte, PAGE_MAPPED, nr.v, flags);
	event_log(&pg.telemetry, EVENT_REFILL, vpn, fr->ref.v);
	return true;
}

/* Map a page that is watched, unasked. */
static void refill_along(struct vpn vpn, uint64_t *pte)
{
	if (!places_take(&pg.frames, 1))
		return;
	if (!map_untouched(vpn, pte)) {
		places_give(&pg.frames, 1);
		return;
	}
	/* In use, as far as the policy and the pool are concerned. */
	policy_touched(pte_frame(*pte));
	COUNT(&pg.telemetry, refilled_along, 1);
}

/* Pages that are watched beside f->vpn, which was watched and is touched: those that are in use in
 * all likelihood are mapped along; else it is seen what becomes of them. */
static void see_to_beside(struct fault *f, struct pt_leaf leaf, const struct region *r)
{
	uint64_t vpn = f->vpn.v;
	uint64_t first = MAX(vpn - MIN(ptab_index(f->vpn, 1), MAX_BESIDE), r->start >> PAGE_SHIFT);
	uint64_t end = MIN(MIN(vpn + MAX_BESIDE + 1, leaf_end(f->vpn).v), r->end >> PAGE_SHIFT);
	bool is_along = guess_is_used_beside(f->vpn);
	uint64_t watched = guess_watch_distance(is_along, MAX_BESIDE);

	for (struct vpn at = {first}; at.v < end; at.v++) {
		uint64_t *pte = leaf_pte(leaf, at);

		if (at.v == vpn || !is_watched(*pte))
			continue;
		_Atomic uint8_t *flags = &frame_of(&pg.frames, pte_frame(*pte))->flags;
		if (MAX(at.v, vpn) - MIN(at.v, vpn) == watched)
			atomic_fetch_or(flags, FRAME_BESIDE);
		else if (is_along && !(atomic_load(flags) & FRAME_BESIDE))
			refill_along(at, pte);
	}
}

static enum step serve_held(struct fault *f, struct pt_leaf leaf, const struct region *r)
{
	uint64_t *pte = leaf_pte(leaf, f->vpn);
	struct frame_nr nr = pte_frame(*pte);
	struct frame *fr = frame_of(&pg.frames, nr);
	bool was_watched = atomic_load(&fr->flags) & FRAME_WATCHED;
	bool was_dirty = *pte & PTE_DIRTY, is_dirty = was_dirty || f->is_write;
	bool is_guessed = !is_dirty && fault_may_guess(fr) && guess_is_written(f->vpn);
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
		fault_page_dirtied(fr, is_guessed);
	if (tlb_is_on())
		f->is_filled |= tlb_mapped(f->vpn);
	if (LIKELY(!(*pte & PTE_LOCKED)))
		policy_touched(nr);
	event_log(&pg.telemetry, EVENT_REFILL, f->vpn, fr->ref.v);
	f->kind = KIND_REFILL;
	/* Where each touch counts, each is to be seen. */
	if (was_watched && !pg.config.is_exact && !tlb_is_on() && !(r->marks & REGION_RANDOM))
		see_to_beside(f, leaf, r);
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
	return fault_may_guess(fr) && !(atomic_load(&fr->flags) & FRAME_WRITING);
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
		fault_page_dirtied(frame_of(&pg.frames, pte_frame(*pte)), page.v != f->vpn.v);
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
	/* Mapped writable since this one faulted; if not, it will fault again. */
	if (f->was_absent)
		return STEP_DONE;
	/* Another thread may have made it so meanwhile, and a page that mremap moved may still be
	 * protected. */
	bool has_failed = transport_protect(&pg.transport, f->vpn, 1, false, FL_SHOOTDOWN_FAULT);
	return has_failed ? STEP_ERROR : STEP_DONE;
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
		f->is_in_stream |= readahead_touched(f->vpn, state == PAGE_READING);
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
	return state == PAGE_HELD ? serve_held(f, leaf, r) : fault_serve_absent(f, leaf, r);
}

void fault_map_unit(struct fault *f, struct pt_leaf leaf)
{
	struct vpn vpn = {f->vpn.v >> pg.tlb.shift << pg.tlb.shift};

	for (uint32_t i = 0; f->is_filled && i < 1u << pg.tlb.shift; i++, vpn.v++) {
		uint64_t *pte = leaf_pte(leaf, vpn);

		if (pte_state(*pte) != PAGE_HELD || *pte & (PTE_BUSY | PTE_NO_ACCESS) ||
		    atomic_load(&frame_of(&pg.frames, pte_frame(*pte))->flags) &
		        (FRAME_WRITING | FRAME_WATCHED))
			continue;
		if (!places_take(&pg.frames, 1))
			break;
		if (map_untouched(vpn, pte))
			tlb_mapped(vpn);
		else
			places_give(&pg.frames, 1);
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
		fault_map_unit(f, leaf);
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

enum step fault_look(struct fault *f)
{
	rwlock_read(&pg.map_lock);
	return look_locked(f);
}

enum step fault_look_try(struct fault *f)
{
	return rwlock_read_try(&pg.map_lock) ? look_locked(f) : STEP_BUSY;
}

void fault_waiting_begins(uint64_t now, enum stall_kind kind)
{
	stall_begin(&pg.telemetry, engine_faulting_thread(), now, kind);
	engine_will_block();
}

void fault_waiting_ends(uint64_t now, enum stall_kind kind)
{
	stall_end(&pg.telemetry, engine_faulting_thread(), now, kind);
}

static _Thread_local bool makes_room __attribute__((tls_model("initial-exec")));

bool fault_makes_room(void)
{
	return makes_room;
}

/* This thread would only wait, and who reads ahead for it needs places: see to some. */
static void make_room_ahead(void)
{
	if (tlb_is_on() ||
	    atomic_load(&pg.frames.places_free) >= 2 * (int32_t)readahead_max_window())
		return;
	makes_room = true;
	reclaim_batch_try();
	makes_room = false;
}

static void wait_for_page(struct fault *f)
{
	uint64_t began = now_ns();

	fault_waiting_begins(began, STALL_READ);
	if (f->is_in_stream)
		make_room_ahead();
	event_wait(page_event(f->vpn), f->ticket);
	f->was_absent = true;
	uint64_t now = now_ns();
	fault_waiting_ends(now, STALL_READ);
	f->aside_ns += now - began;
}

/* @nr: places; 0: one frame, in exact mode. */
static void wait_for_room(struct fault *f, uint32_t nr)
{
	uint64_t began = now_ns();

	fault_waiting_begins(began, STALL_ROOM);
	makes_room = true;
	if (nr)
		reclaim_wait(nr);
	else
		reclaim_one_frame();
	makes_room = false;
	uint64_t now = now_ns();
	fault_waiting_ends(now, STALL_ROOM);
	f->aside_ns += now - began;
}

static void wait_for_entry(struct fault *f)
{
	makes_room = true;
	if (!tlb_make_room(f->vpn)) {
		fault_waiting_begins(now_ns(), STALL_ROOM);
		reclaim_wait_entry();
		fault_waiting_ends(now_ns(), STALL_ROOM);
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

void fault_places_return(struct fault *f)
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
		enum step step = fault_look(f);
		bool had_entry = f->has_entry;

		if (step == STEP_READ)
			step = fault_read(f);
		fault_places_return(f);
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

enum fault_result pager_fault(uintptr_t addr, enum access access)
{
	if (UNLIKELY(atomic_load_explicit(&pg.nr_vforks, memory_order_relaxed)) && vfork_is_child())
		return vfork_ask(addr, access);
	uint64_t began = now_ns();
	struct fault f;

	/* Not the whole of it: the arrays are filled in only for a read. */
	f.vpn = vpn_of(addr);
	f.offset = addr & PAGE_MASK;
	f.is_write = access_is_write(access);
	f.was_absent = access == ACCESS_WRITE_ABSENT;
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
		threads_kick();
	pager_leave();
	if (step == STEP_INVALID)
		return FAULT_INVALID;
	if (step == STEP_FOREIGN)
		return FAULT_FOREIGN;
	return step == STEP_DONE ? FAULT_DONE : FAULT_IO_ERROR;
}
