// SPDX-License-Identifier: MIT
/*
 * Write-back: dirty HELD pages that the policy has given up are written from the pool, many in one
 * transfer, and leave their frames.
 *
 *     HELD --queue--> HELD + WRITING --(1)--> SWAPPED, or NONE if all zero or in its file
 *                          `-----------(2)--> MAPPED: rescued by a touch, its frame kept
 *                          `-----------(3)--> gone: discarded by the program (ORPHAN)
 *
 * Both ends are made under the L1 lock, the write between them under none, so its end believes
 * nothing but the PTE and the frame's flags: after (2) and (3) it only gives back the buffer and
 * the new slot. FRAME_WRITING keeps the buffer, and the bytes in it, as they are.
 */
#include <errno.h>

#include "base/ensure.h"
#include "pager/internal.h"
#include "pager/share_plan.h"
#include "swap/checksum.h"

#define MAX_WRITE 128u /* pages written by one swap_write(): 512 KiB */

void writeback_queue(struct frame_nr nr)
{
	struct frame *f = frame_of(&pg.frames, nr);

	atomic_fetch_or(&f->flags, FRAME_WRITING);
	lock_acquire(&pg.frames.lock);
	f->next = pg.write_head;
	pg.write_head = nr.v;
	lock_release(&pg.frames.lock);
	atomic_fetch_add(&pg.nr_writes, 1);
}

/*
 * Refaults: evictions are counted in epochs of an eighth of the budget, and a page's epoch is kept
 * in its PTE. One that is read back within a budget's worth of evictions would have been there
 * still with twice the RAM: as Linux's refault distance (mm/workingset.c), only coarser. How many
 * pages of an epoch are absent still is counted, too: the sum over the epochs since a page's own is
 * its place below the frames in LRU order, which evictions, some of the same page, overstate.
 */
static uint32_t epoch_pages(void)
{
	return MAX(frames_budget() / EPOCHS_PER_BUDGET, 1u);
}

static uint32_t epoch_at(uint64_t nr_evicted)
{
	return (uint32_t)(nr_evicted / epoch_pages()) % PTE_EPOCHS;
}

static uint32_t epoch_now(void)
{
	return epoch_at(atomic_load(&pg.nr_evicted));
}

/* Count an eviction. Return: its epoch. */
static uint32_t epoch_next(void)
{
	uint64_t nr = atomic_fetch_add_explicit(&pg.nr_evicted, 1, memory_order_relaxed);
	uint32_t epoch = epoch_at(nr);

	/* What is left of the epoch that had this number before is forgotten. */
	if (nr && epoch_at(nr - 1) != epoch)
		atomic_store_explicit(&pg.nr_absent[epoch], 0, memory_order_relaxed);
	return epoch;
}

void writeback_forget(uint64_t pte)
{
	_Atomic uint32_t *count = &pg.nr_absent[pte_epoch(pte)];
	uint32_t nr = atomic_load_explicit(count, memory_order_relaxed);

	while (nr && !atomic_compare_exchange_weak_explicit(
	                 count, &nr, nr - 1, memory_order_relaxed, memory_order_relaxed))
		;
}

_Static_assert(SHARE_DISTANCES <= 256, "a fault keeps distances in bytes");

uint32_t writeback_absent_since(uint64_t pte)
{
	uint32_t now = epoch_now(), epoch = pte_epoch(pte);
	/* Of its own epoch half. */
	uint64_t nr = atomic_load_explicit(&pg.nr_absent[epoch], memory_order_relaxed) / 2;

	while (epoch != now) {
		epoch = (epoch + 1) % PTE_EPOCHS;
		nr += atomic_load_explicit(&pg.nr_absent[epoch], memory_order_relaxed);
	}
	return (uint32_t)MIN(nr * SHARE_PER_BUDGET / MAX(frames_budget(), 1u), SHARE_DISTANCES - 1);
}

static uint32_t epochs_since(uint64_t pte)
{
	return (uint32_t)((epoch_now() - pte_epoch(pte)) % PTE_EPOCHS);
}

bool writeback_is_refault(uint64_t pte)
{
	return epochs_since(pte) <= EPOCHS_PER_BUDGET;
}

uint32_t writeback_distance(uint64_t pte)
{
	return (uint32_t)MIN(
	    (uint64_t)epochs_since(pte) * frames_budget() / EPOCHS_PER_BUDGET, DISTANCE_NEVER - 1);
}

void writeback_leave(uint64_t *pte, struct frame_nr nr, struct swap_ref ref)
{
	struct frame *f = frame_of(&pg.frames, nr);

	policy_removed(nr);
	uint32_t epoch = epoch_next();
	if (swap_ref_is_none(ref)) {
		pte_set(pte, PAGE_NONE, 0, 0);
		atomic_fetch_sub_explicit(&pg.nr_populated, 1, memory_order_relaxed);
	} else {
		atomic_fetch_add_explicit(&pg.nr_absent[epoch], 1, memory_order_relaxed);
		pte_set(pte, PAGE_SWAPPED, ref.v, (uint64_t)epoch << PTE_EPOCH_SHIFT);
	}
	if (f->buf != BUF_NONE)
		buf_give(&pg.frames, f->buf);
	f->buf = BUF_NONE;
	frame_give(&pg.frames, nr);
	atomic_store(&pg.nospace_streak, 0);
}

enum outcome {
	OUTCOME_ZERO,      /* nothing but zeros: needs no slot */
	OUTCOME_UNCHANGED, /* what its old slot has */
	OUTCOME_MOVED,     /* the same, and is in the compressed tier now */
	OUTCOME_WRITTEN,   /* to swap */
	OUTCOME_IN_FILE,   /* to the file that it is a shared page of */
	OUTCOME_FAILED,
};

/* The writer is done with @nr. @ref: where it is now, for OUTCOME_WRITTEN and OUTCOME_MOVED. */
static void write_done(struct frame_nr nr, enum outcome outcome, struct swap_ref ref)
{
	struct frame *f = frame_of(&pg.frames, nr);
	struct vpn vpn;
	struct pt_leaf leaf = lock_page_of(f, &vpn);
	uint64_t *pte = leaf_pte(leaf, vpn);
	bool is_orphan = atomic_load(&f->flags) & FRAME_ORPHAN;
	bool is_rescued = !is_orphan && pte_state(*pte) != PAGE_HELD;

	atomic_fetch_and(&f->flags, (uint8_t)~FRAME_WRITING);
	if (is_orphan) {
		ref_free(ref);
		ref_free(f->ref);
		buf_give(&pg.frames, f->buf);
		f->buf = BUF_NONE;
		frame_give(&pg.frames, nr);
	} else if (is_rescued) {
		ref_free(ref);
		buf_give(&pg.frames, f->buf);
		f->buf = BUF_NONE;
	} else if (outcome == OUTCOME_FAILED) {
		/* Stays in its frame. */
		if (!(*pte & PTE_LOCKED))
			policy_insert(nr, DISTANCE_NEVER);
	} else if (outcome == OUTCOME_ZERO) {
		ref_free(f->ref);
		event_log(&pg.telemetry, EVENT_EVICT_ZERO, vpn, UINT32_MAX);
		writeback_leave(pte, nr, SWAP_REF_NONE);
		COUNT(&pg.telemetry, evict_zero, 1);
	} else if (outcome == OUTCOME_UNCHANGED || outcome == OUTCOME_MOVED) {
		if (atomic_load(&f->flags) & FRAME_GUESSED || !(*pte & PTE_DIRTY))
			guess_note(vpn, false);
		else
			COUNT(&pg.telemetry, same_content, 1);
		if (outcome == OUTCOME_MOVED)
			ref_free(f->ref);
		else
			ref = f->ref;
		event_log(&pg.telemetry, EVENT_EVICT_CLEAN, vpn, ref.v);
		writeback_leave(pte, nr, ref);
		COUNT(&pg.telemetry, evict_clean, 1);
	} else { /* WRITTEN, or IN_FILE with no ref */
		if (atomic_load(&f->flags) & FRAME_GUESSED)
			guess_note(vpn, true);
		ref_free(f->ref);
		event_log(&pg.telemetry, EVENT_EVICT_DIRTY, vpn, ref.v);
		writeback_leave(pte, nr, ref);
		COUNT(&pg.telemetry, evict_dirty, 1);
	}
	lock_release(leaf.lock);
}

static uint32_t take_queued(struct frame_nr *ret_frames, uint32_t max)
{
	uint32_t nr = 0;

	lock_acquire(&pg.frames.lock);
	while (nr < max && pg.write_head != UINT32_MAX) {
		ret_frames[nr].v = pg.write_head;
		pg.write_head = pg.frames.frame[pg.write_head].next;
		nr++;
	}
	lock_release(&pg.frames.lock);
	return nr;
}

static void sort_frames(struct frame_nr *frames, uint32_t nr)
{
	for (uint32_t gap = nr / 2; gap; gap /= 2)
		for (uint32_t i = gap; i < nr; i++) {
			struct frame_nr f = frames[i];
			uint64_t vpn = atomic_load(&frame_of(&pg.frames, f)->vpn);
			uint32_t j = i;

			for (; j >= gap &&
			       atomic_load(&frame_of(&pg.frames, frames[j - gap])->vpn) > vpn;
			     j -= gap)
				frames[j] = frames[j - gap];
			frames[j] = f;
		}
}

struct write {
	uint32_t nr; /* to be written */
	struct frame_nr frame[MAX_WRITE];
	struct swap_page page[MAX_WRITE];

	uint32_t
	    nr_offered; /* from MAX_WRITE - 1 downwards: in swap as they are, but not in memory */
};

/* What is to be done about each of @frames; some are settled at once. */
static void sort_out(const struct frame_nr *frames, uint32_t nr, struct write *w)
{
	w->nr = w->nr_offered = 0;
	for (uint32_t i = 0; i < nr; i++) {
		struct frame *f = frame_of(&pg.frames, frames[i]);
		/* FRAME_WRITING keeps the buffer and its bytes as they are. */
		void *bytes = buf_addr(&pg.frames, f->buf);
		struct swap_ref old = f->ref;

		/* Forgotten, a file's page would come back as the file has it. */
		if (!f->source && page_is_zero(bytes)) {
			write_done(frames[i], OUTCOME_ZERO, SWAP_REF_NONE);
			continue;
		}
		uint64_t sum = page_checksum(bytes);
		uint32_t to = w->nr;
		if (swap_ref_is_none(old) || f->checksum != sum) {
			w->nr++;
		} else if (swap_wants(pg.swap, old)) {
			to = MAX_WRITE - ++w->nr_offered;
		} else {
			write_done(frames[i], OUTCOME_UNCHANGED, SWAP_REF_NONE);
			continue;
		}
		w->frame[to] = frames[i];
		w->page[to] = (struct swap_page){.buf = bytes, .checksum = sum};
	}
}

static void write_failed(int err)
{
	atomic_fetch_add(&pg.nospace_streak, 1);
	atomic_store(&pg.write_error, err);
}

static void write_pages(struct write *w)
{
	swap_write(pg.swap, w->page, w->nr);
	for (uint32_t i = 0; i < w->nr; i++) {
		const struct swap_page *page = &w->page[i];

		if (!page->result) {
			write_done(w->frame[i], OUTCOME_WRITTEN, page->ref);
			continue;
		}
		write_failed(page->result);
		write_done(w->frame[i], OUTCOME_FAILED, SWAP_REF_NONE);
	}
}

static void offer_pages(struct write *w)
{
	uint32_t first = MAX_WRITE - w->nr_offered;

	swap_offer(pg.swap, &w->page[first], w->nr_offered);
	for (uint32_t i = first; i < MAX_WRITE; i++)
		if (w->page[i].result)
			write_done(w->frame[i], OUTCOME_UNCHANGED, SWAP_REF_NONE);
		else
			write_done(w->frame[i], OUTCOME_MOVED, w->page[i].ref);
}

/* Neighbours of one shared file from @frames on. */
static uint32_t file_run(const struct frame_nr *frames, uint32_t nr)
{
	struct frame *first = frame_of(&pg.frames, frames[0]);
	uint64_t vpn = atomic_load(&first->vpn);
	uint32_t run = 1;

	while (run < MIN(nr, SOURCE_MAX_RUN) &&
	       frame_of(&pg.frames, frames[run])->source == first->source &&
	       atomic_load(&frame_of(&pg.frames, frames[run])->vpn) == vpn + run)
		run++;
	return run;
}

/* Write and settle the shared pages of files, and drop them from @frames, which are sorted.
 * Return: how many are left. */
static uint32_t write_to_files(struct frame_nr *frames, uint32_t nr)
{
	uint32_t kept = 0, run;

	for (uint32_t i = 0; i < nr; i += run) {
		struct frame *f = frame_of(&pg.frames, frames[i]);
		struct vpn vpn = {atomic_load(&f->vpn)};
		void *bufs[SOURCE_MAX_RUN];

		run = 1;
		if (!source_is_shared(f->source)) {
			frames[kept++] = frames[i];
			continue;
		}
		run = file_run(frames + i, nr - i);
		for (uint32_t j = 0; j < run; j++)
			bufs[j] = buf_addr(&pg.frames, frame_of(&pg.frames, frames[i + j])->buf);
		int err = source_write(f->source, vpn, bufs, run);
		if (err)
			write_failed(err);
		for (uint32_t j = 0; j < run; j++)
			write_done(
			    frames[i + j], err ? OUTCOME_FAILED : OUTCOME_IN_FILE, SWAP_REF_NONE);
	}
	return kept;
}

uint32_t writeback_run(void)
{
	struct frame_nr frames[MAX_WRITE];
	struct write w;
	uint32_t nr = take_queued(frames, MAX_WRITE);

	if (!nr)
		return 0;
	sort_frames(frames, nr);
	sort_out(frames, write_to_files(frames, nr), &w);
	write_pages(&w);
	if (w.nr_offered)
		offer_pages(&w);
	atomic_fetch_sub(&pg.nr_writes, nr);
	event_signal(&pg.frames.freed);
	pager_publish(true);
	return nr;
}
