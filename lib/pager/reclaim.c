// SPDX-License-Identifier: MIT
/*
 * Reclaim: takes frames away, in two stages.
 *
 *     MAPPED --(1)--> HELD --(2)--> SWAPPED or NONE
 *        |    hold          write
 *        `------(3)--> SWAPPED       clean, evicted at once
 *
 * (1) and (3), reclaim_batch(): the policy chooses a batch, each page's PTE is marked BUSY, dirty
 * ones are write-protected, bytes to keep are copied to the pool, and all of them are unmapped by
 * one call. A thread that touches a BUSY page waits. Then the places are free.
 *
 * (2), writeback.c: dirty HELD pages that the policy gave up are written from the pool, many in
 * one transfer, while they can still be rescued: a touch maps them again, and the writer, which
 * believes nothing but the PTE, then only gives the buffer back.
 *
 * The pager thread writes, and unmaps too where that was chosen; a faulting thread unmaps when
 * there is no place left. Victims are policy/'s choice.
 */
#include "pager/internal.h"

#include <errno.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "base/ensure.h"
#include "base/meta.h"
#include "base/say.h"
#include "base/sys.h"
#include "base/thread.h"

#define TLB_RESERVE  16u   /* see hold_reserve: reads and writes want a few at a time; guess */
#define MAX_IN_WRITE 1024u /* buffers that held pages leave for writes: four batches; guess */

static void clear_chosen(struct frame_nr nr)
{
	atomic_fetch_and(&frame_of(&pg.frames, nr)->flags,
	    (uint8_t) ~(FRAME_CHOSEN | FRAME_WATCHED | FRAME_COLD));
}

static bool is_chosen(struct frame_nr nr)
{
	return atomic_load(&frame_of(&pg.frames, nr)->flags) & FRAME_CHOSEN;
}

void policy_insert(struct frame_nr nr, uint32_t distance)
{
	lock_acquire(&pg.policy_lock);
	clear_chosen(nr);
	pg.policy_ops->insert(pg.policy, nr, distance);
	lock_release(&pg.policy_lock);
}

void policy_touched(struct frame_nr nr)
{
	lock_acquire(&pg.policy_lock);
	/* Rescued after the policy had given it up: to the policy it comes back at once. */
	if (is_chosen(nr))
		pg.policy_ops->insert(pg.policy, nr, 0);
	else
		pg.policy_ops->touched(pg.policy, nr);
	clear_chosen(nr);
	lock_release(&pg.policy_lock);
}

void policy_removed(struct frame_nr nr)
{
	lock_acquire(&pg.policy_lock);
	clear_chosen(nr);
	pg.policy_ops->removed(pg.policy, nr);
	lock_release(&pg.policy_lock);
}

static void policy_held(struct frame_nr nr)
{
	lock_acquire(&pg.policy_lock);
	clear_chosen(nr);
	atomic_fetch_or(&frame_of(&pg.frames, nr)->flags, FRAME_WATCHED);
	pg.policy_ops->held(pg.policy, nr);
	lock_release(&pg.policy_lock);
}

/* To the policy, the pages of @choices are gone. [policy lock] */
static void choose_ourselves(const struct choice *choices, uint32_t nr)
{
	for (uint32_t i = 0; i < nr; i++) {
		pg.policy_ops->removed(pg.policy, choices[i].frame);
		clear_chosen(choices[i].frame);
		atomic_fetch_or(&frame_of(&pg.frames, choices[i].frame)->flags, FRAME_CHOSEN);
	}
}

/* Pages that the program has called cold: one round over the frames finds all of them. [policy
 * lock] */
static uint32_t choose_cold(struct choice *ret_choices, uint32_t max)
{
	uint32_t nr = 0;

	for (; pg.nr_cold_left && nr < max; pg.nr_cold_left--) {
		struct frame_nr frame = {pg.cold_hand};

		pg.cold_hand = (pg.cold_hand + 1) % pg.frames.nr_frames;
		if (atomic_load(&frame_of(&pg.frames, frame)->flags) & FRAME_COLD)
			ret_choices[nr++] = (struct choice){.frame = frame, .what = CHOICE_EVICT};
	}
	choose_ourselves(ret_choices, nr);
	return nr;
}

static uint32_t policy_choose(struct choice *ret_choices, uint32_t nr)
{
	lock_acquire(&pg.policy_lock);
	uint32_t nr_cold = choose_cold(ret_choices, nr);
	if (nr_cold) {
		nr = nr_cold;
	} else {
		nr = pg.policy_ops->choose(pg.policy, ret_choices, nr);
		for (uint32_t i = 0; i < nr; i++) {
			clear_chosen(ret_choices[i].frame);
			atomic_fetch_or(
			    &frame_of(&pg.frames, ret_choices[i].frame)->flags, FRAME_CHOSEN);
		}
	}
	lock_release(&pg.policy_lock);
	return nr;
}

void reclaim_cold(const struct frame_nr *frames, uint32_t nr)
{
	lock_acquire(&pg.policy_lock);
	for (uint32_t i = 0; i < nr; i++) {
		struct frame *f = frame_of(&pg.frames, frames[i]);

		if (!(atomic_load(&f->flags) & (FRAME_CHOSEN | FRAME_WRITING)))
			atomic_fetch_or(&f->flags, FRAME_COLD);
	}
	pg.nr_cold_left = pg.frames.nr_frames;
	lock_release(&pg.policy_lock);
}

/* --- stage 1: unmapping --- */

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

/* Too large for the stacks of fault handlers, and used by one thread at a time. */
static struct batch {
	uint32_t nr;
	struct victim v[MAX_BATCH];
	struct choice choices[MAX_BATCH];
	uint32_t bufs[MAX_BATCH];
	struct iovec runs[MAX_BATCH];
} batch; /* [reclaim lock] */

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
	event_log(&pg.telemetry, EVENT_EVICT_CLEAN, vpn, f->ref.v);
	writeback_leave(pte, nr, f->ref);
	COUNT(&pg.telemetry, evict_clean, 1);
	return true;
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
	bool is_ours = is_chosen(c.frame) && (state == PAGE_MAPPED || state == PAGE_HELD) &&
	               pte_frame(*pte).v == c.frame.v && !(*pte & (PTE_BUSY | PTE_LOCKED));

	if (!is_ours) {
		/* Discarded, and perhaps used again since: the policy was told then. */
	} else if (atomic_load(&f->flags) & FRAME_WRITING) {
		policy_insert(c.frame, 0); /* rescued from a write that still needs its buffer */
	} else if (state == PAGE_MAPPED) {
		*pte |= PTE_BUSY;
		b->v[b->nr++] = (struct victim){
		    .vpn = vpn,
		    .frame = c.frame,
		    .buf = BUF_NONE,
		    .evict = c.what == CHOICE_EVICT,
		    .is_dirty = *pte & PTE_DIRTY,
		    .is_wanted = !(*pte & PTE_DIRTY) && c.what == CHOICE_EVICT &&
		                 swap_wants(pg.swap, f->ref),
		    .no_access = *pte & PTE_NO_ACCESS,
		};
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
	for (uint32_t gap = b->nr / 2; gap; gap /= 2)
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
	uint32_t reserve = MIN(pg.frames.nr_bufs / 4, MAX_WINDOW);

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
		transport_protect(&pg.transport, v->vpn, 1, false);
	put_back(v);
	v->frame = FRAME_NONE;
}

/* Write-protect the dirty pages, so that a write from now on is seen: neighbours by one call. */
static void protect_dirty(struct batch *b)
{
	for (uint32_t i = 0; i < b->nr;) {
		uint32_t run = 1;

		if (!b->v[i].is_dirty) {
			i++;
			continue;
		}
		while (i + run < b->nr && b->v[i + run].is_dirty &&
		       b->v[i + run].vpn.v == b->v[i].vpn.v + run)
			run++;
		int err = transport_protect(&pg.transport, b->v[i].vpn, run, true);
		for (; run; run--, i++)
			if (err)
				spare(&b->v[i]);
	}
	compact(b);
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
		ensure(transport_drop(&pg.transport, runs, nr) == 0);
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
		/* Clean: its bytes are in swap, or in its file. */
		ensure(!swap_ref_is_none(f->ref) || f->source);
		event_log(&pg.telemetry, EVENT_EVICT_CLEAN, v->vpn, f->ref.v);
		writeback_leave(pte, v->frame, f->ref);
		COUNT(&pg.telemetry, evict_clean, 1);
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

/* Take the pages of the batch, all BUSY, out of the program, as far as there are buffers. */
static void unmap_batch(struct batch *b)
{
	sort_by_vpn(b);
	assign_buffers(b);
	protect_dirty(b);
	save_bytes(b);
	unmap_all(b);
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

bool reclaim_hide(struct vpn vpn, uint32_t nr, bool is_watched)
{
	struct pt_leaf leaf = ptab_walk(&pg.ptab, vpn);
	struct batch *b = &batch;
	uint32_t left = 0;

	b->nr = 0;
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
		return reclaim_hide(vpn, nr, is_watched);
	return !left && b->nr == nr_taken;
}

/* Do the first @nr choices, and let go of the reclaim lock. Return: places and buffers freed. */
static uint32_t unmap_choices(uint32_t nr)
{
	struct batch *b = &batch;
	uint32_t freed = 0;

	b->nr = 0;
	for (uint32_t i = 0; i < nr; i++)
		freed += take_choice(b, b->choices[i]);
	unmap_batch(b);
	freed += b->nr;
	lock_release(&pg.reclaim_lock);
	if (freed)
		event_signal(&pg.frames.freed);
	if (atomic_load(&pg.nr_writes) && !pg.config.is_exact)
		reclaim_kick();
	return freed;
}

/* Lets go of the reclaim lock. */
static uint32_t batch_locked(void)
{
	uint32_t max = MAX(MIN(MAX_BATCH, frames_usable() / 8), 2u);

	return unmap_choices(policy_choose(batch.choices, pg.config.is_exact ? 1 : max));
}

uint32_t reclaim_batch(void)
{
	lock_acquire(&pg.reclaim_lock);
	return batch_locked();
}

uint32_t reclaim_batch_try(void)
{
	return lock_acquire_try(&pg.reclaim_lock) ? batch_locked() : 0;
}

/* Some of the writes that are queued or under way are done. */
static void wait_for_write(void)
{
	uint32_t ticket = event_begin(&pg.frames.freed);

	if (writeback_run() || !atomic_load(&pg.nr_writes))
		event_cancel(&pg.frames.freed);
	else
		event_wait(&pg.frames.freed, ticket);
}

void reclaim_frames(const struct frame_nr *frames, uint32_t nr)
{
	lock_acquire(&pg.reclaim_lock);
	lock_acquire(&pg.policy_lock);
	for (uint32_t i = 0; i < nr; i++)
		batch.choices[i] = (struct choice){.frame = frames[i], .what = CHOICE_EVICT};
	choose_ourselves(batch.choices, nr);
	lock_release(&pg.policy_lock);
	unmap_choices(nr);
	/* What others go on queueing meanwhile is not this one's business. */
	for (int i = 0; i < 16 && atomic_load(&pg.nr_writes); i++)
		wait_for_write();
}

/* --- waiting, and the thread --- */

/* Swap is not full, but nothing can be written to it, and RAM is full. */
static _Noreturn void swap_is_lost(int err)
{
	struct say s = {0};

	say_str(&s, "swap in ");
	say_str(&s, pg.config.swap_dir);
	say_str(&s, " cannot be written (error ");
	say_dec(&s, (uint64_t)-err);
	say_str(&s, err == -EMFILE   ? ": the program's limit on open files leaves no room for it"
	            : err == -EACCES ? ": not by the user that the program has become"
	            : err == -ENOSPC ? ": the program's limit on file sizes, RLIMIT_FSIZE"
	                             : "");
	say_str(&s, ") and all of RAM is full; the program is ended");
	say_flush(&s);
	for (;;)
		sys_call2(SYS_kill, sys_call0(SYS_getpid), 9);
}

static bool has_file_limit(void)
{
	struct rlimit limit;

	return !sys_call2(SYS_getrlimit, RLIMIT_FSIZE, (long)&limit) &&
	       limit.rlim_cur < atomic_load(&pg.nr_populated) << PAGE_SHIFT;
}

static _Noreturn void out_of_memory(void)
{
	struct say s = {0};
	struct swap_stats stats;
	int err = atomic_load(&pg.write_error);

	if (err != -ENOSPC || has_file_limit())
		swap_is_lost(err);
	swap_stats(pg.swap, &stats);
	say_str(&s, "out of memory: the program uses ");
	say_size(&s, atomic_load(&pg.nr_populated) << PAGE_SHIFT);
	say_str(&s, ", all ");
	say_size(&s, (uint64_t)frames_budget() << PAGE_SHIFT);
	say_str(&s, " of RAM and all ");
	say_size(&s, stats.used_bytes + swap_capacity_bytes(pg.swap));
	say_str(&s, " of swap in ");
	say_str(&s, pg.config.swap_dir);
	say_str(&s, " are full; raise --swap-size or --ram, or give --swap a larger disk");
	say_flush(&s);
	atomic_store(&pg.telemetry.p->is_out_of_memory, 1);
	pager_publish(true);
	for (;;)
		sys_call2(SYS_kill, sys_call0(SYS_getpid), 9);
}

/* With a trap TLB a fault needs buffers, for what it hides; its place comes with the entry. */
static bool may_go_on(uint32_t nr)
{
	if (tlb_is_on())
		return frames_room() > (int32_t)pg.hold_reserve &&
		       (!nr || atomic_load(&pg.frames.places_free) > 0);
	return atomic_load(&pg.frames.places_free) > 0 && atomic_load(&pg.frames.bufs_free) > 0;
}

/* reclaim_batch(), unless there is room by the time that it is this thread's turn. */
static uint32_t batch_if_short(uint32_t nr)
{
	lock_acquire(&pg.reclaim_lock);
	if (!may_go_on(nr))
		return batch_locked();
	lock_release(&pg.reclaim_lock);
	return 1;
}

void reclaim_wait(uint32_t nr)
{
	uint32_t ticket = event_begin(&pg.frames.freed);
	/* Room for a window; half of it is better than a wait. */
	for (uint32_t i = 0; i < 2 && nr > 1 && atomic_load(&pg.frames.places_free) < (int32_t)nr;
	     i++)
		if (!reclaim_batch())
			break;
	bool has_room = may_go_on(nr);

	/* Beside the pager thread's: while one waits for the disk, the other computes checksums. */
	if (has_room || share_trim() || batch_if_short(nr) || writeback_run()) {
		event_cancel(&pg.frames.freed);
		return;
	}
	if (may_go_on(nr)) {
		event_cancel(&pg.frames.freed);
		return;
	}
	share_yield();
	/* Every page was tried twice, swap refused each, and nothing was freed meanwhile. */
	if (atomic_load(&pg.nospace_streak) > 2 * pg.frames.nr_frames)
		out_of_memory();
	reclaim_kick();
	/* Bounded: what this thread waits for may also come from pages that become evictable
	 * without anything being freed. */
	if (atomic_load(&pg.frames.freed.seq) == ticket)
		futex_wait(&pg.frames.freed.seq, ticket, 2000000);
	event_cancel(&pg.frames.freed);
}

void reclaim_one_frame(void)
{
	/* One of the policy's choices at a time, as replay makes them; it may want several pages
	 * watched before it gives one up. */
	for (;;) {
		uint32_t before = atomic_load(&pg.nospace_streak);

		while (atomic_load(&pg.nr_writes))
			wait_for_write();
		if (atomic_load(&pg.frames.credits_free) > 0)
			return;
		bool any = reclaim_batch();
		if (before > 2 * pg.frames.nr_frames)
			out_of_memory();
		if (!any && !before)
			sys_call0(SYS_sched_yield); /* other threads' pages are on their way */
	}
}

void reclaim_wait_entry(void)
{
	uint32_t ticket = event_begin(&pg.frames.freed);

	if (!may_go_on(0)) {
		event_cancel(&pg.frames.freed);
		reclaim_wait(0);
		return;
	}
	/* Others are filling all entries of the set, or a victim is being written. Bounded: the
	 * one may have ended before the ticket was taken. */
	if (!writeback_run() && atomic_load(&pg.frames.freed.seq) == ticket)
		futex_wait(&pg.frames.freed.seq, ticket, 100000);
	event_cancel(&pg.frames.freed);
}

static bool is_short(void)
{
	return !pg.config.is_exact && frames_room() < (int32_t)pg.places_low &&
	       stall_nr_active() > pg.inline_threads;
}

/* Bring the free places up to the high watermark. Return: anything was done. */
static bool refill_places(void)
{
	bool any = false;

	if (!is_short())
		return false;
	while (frames_room() < (int32_t)pg.places_high) {
		bool freed = reclaim_batch() > 0;

		any |= freed;
		any |= writeback_run() > 0;
		if (!freed || atomic_load(&pg.park_wanted))
			break;
	}
	return any;
}

void reclaim_stop(void)
{
	lock_acquire(&pg.reclaim_lock);
	/* Only reclaim_batch() queues writes: they can but become fewer. The pager thread may be
	 * waiting for our lock, so what is queued is written here. */
	while (atomic_load(&pg.nr_writes))
		wait_for_write();
}

void reclaim_go_on(void)
{
	lock_release(&pg.reclaim_lock);
}

static void park(void)
{
	atomic_store(&pg.thread_state, THREAD_PARKED);
	event_signal(&pg.parked);
	while (atomic_load(&pg.park_wanted)) {
		uint32_t ticket = event_begin(&pg.kick);

		if (atomic_load(&pg.park_wanted))
			event_wait(&pg.kick, ticket);
		else
			event_cancel(&pg.kick);
	}
	atomic_store(&pg.thread_state, THREAD_RUNNING);
}

static void pager_thread(void *arg)
{
	(void)arg;
	for (;;) {
		bool any = refill_places();

		for (share_feed(); writeback_run(); share_feed())
			any = true;
		if (atomic_load(&pg.park_wanted)) {
			park();
			continue;
		}
		if (any)
			continue;
		/* Announced first, then looked once more: reclaim_kick() wakes only who waits. */
		uint32_t ticket = event_begin(&pg.kick);
		if (pg.write_head != UINT32_MAX || atomic_load(&pg.park_wanted))
			event_cancel(&pg.kick);
		else
			event_wait(&pg.kick, ticket);
	}
}

void reclaim_kick(void)
{
	uint32_t none = THREAD_NONE;

	if (!atomic_load(&pg.nr_writes) && !is_short())
		return;
	if (atomic_compare_exchange_strong(&pg.thread_state, &none, THREAD_RUNNING) &&
	    thread_start(pager_thread, NULL, "faultline-pager") < 0) {
		/* No thread to be had (RLIMIT_NPROC): whoever needs room writes. */
		atomic_store(&pg.thread_state, THREAD_NONE);
		return;
	}
	if (atomic_load(&pg.kick.nr_waiting))
		event_signal(&pg.kick);
}

void reclaim_park(void)
{
	while (atomic_load(&pg.thread_state) != THREAD_NONE) {
		uint32_t ticket = event_begin(&pg.parked);

		atomic_store(&pg.park_wanted, 1);
		event_signal(&pg.kick);
		if (atomic_load(&pg.thread_state) == THREAD_PARKED) {
			event_cancel(&pg.parked);
			return;
		}
		event_wait(&pg.parked, ticket);
	}
}

void reclaim_unpark(void)
{
	atomic_store(&pg.park_wanted, 0);
	event_signal(&pg.kick);
}

void reclaim_after_fork(void)
{
	atomic_store(&pg.thread_state, THREAD_NONE);
	atomic_store(&pg.park_wanted, 0);
	atomic_store(&pg.kick.nr_waiting, 0);
	atomic_store(&pg.parked.nr_waiting, 0);
	readahead_after_fork();
}

void reclaim_set_watermarks(void)
{
	uint32_t step = MIN(MAX(frames_usable() / 32, 4u), 256u);

	atomic_store(&pg.places_low, pg.hold_reserve + step);
	atomic_store(&pg.places_high, pg.hold_reserve + 2 * step);
}

int reclaim_init(void)
{
	uint32_t nr = pg.frames.nr_frames;
	/* With a trap TLB most frames are buffers, but policies watch as many as without. */
	uint32_t nr_bufs = MIN(pg.frames.nr_bufs, frames_pool_size(nr));
	uint32_t reserve = MIN(nr_bufs / 4, MAX_WINDOW);

	lock_init(&pg.reclaim_lock, LOCK_RECLAIM);
	lock_init(&pg.policy_lock, LOCK_POLICY);
	pg.write_head = UINT32_MAX;
	pg.hold_reserve = tlb_is_on() ? MIN(pg.frames.nr_bufs / 4, TLB_RESERVE) : 0;
	reclaim_set_watermarks();
	pg.policy = meta_map(page_round_up(pg.policy_ops->state_bytes(nr)));
	if (!pg.policy)
		return -ENOMEM;
	/* Held pages may fill the pool but for the reads' reserve and the writes under way: with
	 * too few buffers there, unmapping waits for the disk. */
	uint32_t slack = reserve + MIN(MAX_IN_WRITE, nr_bufs / 4);
	pg.policy_ops->init(
	    pg.policy, nr, pg.config.is_exact ? pager_exact_held(nr) : nr_bufs - slack);
	return 0;
}
