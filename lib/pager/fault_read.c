// SPDX-License-Identifier: MIT
/*
 * Reading pages from swap or from their file: which, into which buffers, and how they are mapped:
 * of a long read each part as soon as it has come in.
 */
#include "pager/fault.h"

#include <errno.h>
#include <string.h>

#include "base/say.h"
#include "base/sys.h"

#define MIN_READ_BUFS 8u

static void part_done(struct swap_reader *r, uint32_t from, uint32_t to);

static void parts_begin(struct fault *f)
{
	f->reader.done = part_done;
	f->nr_ready = 0;
	memset(f->arrived, 0, sizeof(f->arrived));
	memset(f->ready, 0, sizeof(f->ready));
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

/* Whether the page will be read ahead in a moment: two threads that read one stream from disk are
 * in each other's way. What is to be unpacked they do side by side, and where several threads wait
 * for pages, each reads its own. */
static bool is_in_hands(struct fault *f, struct swap_ref ref)
{
	if (tlb_is_on() || stall_nr_active() > 1 || f->from_file || swap_is_in_memory(pg.swap, ref))
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

	return want < LONG_WINDOW ? bufs_take(&pg.frames, bufs, want, reserve)
	                          : bufs_take_runs(&pg.frames, bufs, want, reserve);
}

enum step fault_serve_absent(struct fault *f, struct pt_leaf leaf, const struct region *r)
{
	uint32_t bufs[MAX_WINDOW];

	f->from_file = pte_state(*leaf_pte(leaf, f->vpn)) == PAGE_NONE;
	if (pg.config.is_exact)
		f->window = (struct window){.nr = 1, .delta = 1};
	if (!f->window.nr && r->marks & REGION_RANDOM)
		f->window = (struct window){.nr = 1, .delta = 1};
	if (!f->window.nr &&
	    is_in_hands(f, (struct swap_ref){pte_payload(*leaf_pte(leaf, f->vpn))}))
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
	if (!fault_credit_take(f))
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
	parts_begin(f);
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
	bool is_guessed = !is_dirty && fault_may_guess(frame_of(&pg.frames, f->frame[from])) &&
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
		fault_page_mapped(
		    f, read_vpn(f, i), leaf_pte(leaf, read_vpn(f, i)), f->frame[i], is_dirty);
		if (is_dirty)
			fault_page_dirtied(fr, is_guessed);
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
		fault_map_unit(f, leaf);
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
		if (has_bit(f->arrived, i))
			continue;
		set_bit(f->arrived, i);
		set_bit(f->ready, i);
		f->nr_ready++;
		frame_of(&pg.frames, f->frame[i])->checksum = f->page[i].checksum;
	}
}

/* Not page by page, where they lie apart in swap: who waits would be woken as often. */
static void part_done(struct swap_reader *r, uint32_t from, uint32_t to)
{
	struct fault *f = container_of(r, struct fault, reader);

	mark_ready(f, from, to);
	if (f->nr_ready >= LONG_WINDOW)
		finish_ready(f);
}

void fault_read_finish(struct fault *f)
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
void fault_read_note(struct fault *f, uint64_t ns)
{
	struct share_fact fact = {.ns = ns, .nr_read = f->nr_read};

	if (f->from_file || !share_is_on())
		return;
	fact.is_writable = f->is_write || guess_is_written(f->vpn);
	for (uint32_t i = 0; i < f->nr_read; i++)
		fact.nr_hits += f->page[i].from == SWAP_FROM_TIER;
	for (uint32_t i = 0; i < f->nr_read; i++) {
		fact.distance = f->distance[i];
		share_note(&f->page[i], &fact);
	}
}

void fault_read_window(struct fault *f, enum swap_wait wait)
{
	if (f->from_file)
		source_read(f->source, f->first, f->stride, f->page, f->nr_read);
	else
		swap_read_rest(pg.swap, f->page, f->nr_read, wait,
		    f->nr_read < LONG_WINDOW || tlb_is_on() ? NULL : &f->reader);
}

enum step fault_read(struct fault *f)
{
	uint64_t began = now_ns();

	if (f->from_file || swap_read_memory(pg.swap, f->page, f->nr_read)) {
		fault_waiting_begins(began, STALL_READ);
		/* The only thread that waits for pages: waking it from an idle CPU would cost more
		 * than the CPU time does. */
		fault_read_window(f, stall_nr_active() > 1 ? SWAP_SLEEP : SWAP_SPIN);
		fault_waiting_ends(now_ns(), STALL_READ);
	}
	fault_read_note(f, now_ns() - began);
	f->aside_ns += now_ns() - began;
	if (f->window.is_pair)
		COUNT(&pg.telemetry, neighbours, f->nr_read - 1);
	else
		COUNT(&pg.telemetry, readahead_pages, f->nr_read - 1);
	fault_read_finish(f);
	if (!f->page[f->self].result)
		return STEP_DONE;
	report_lost(f);
	return STEP_ERROR;
}
