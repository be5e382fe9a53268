// SPDX-License-Identifier: MIT
/*
 * Reclaim: takes frames away, in two stages.
 *
 *     MAPPED --(1)--> HELD --(2)--> SWAPPED or NONE
 *        |    hold          write
 *        `------(3)--> SWAPPED       clean, evicted at once
 *
 * (1) and (3), reclaim_batch(): the policy chooses a batch, and unmap.c takes its pages out of the
 * program. Then the places are free.
 *
 * (2), writeback.c: dirty HELD pages that the policy gave up are written from the pool, many in
 * one transfer, while they can still be rescued: a touch maps them again, and the writer, which
 * believes nothing but the PTE, then only gives the buffer back.
 *
 * The pager's threads write (threads.c), and the first of them unmaps too where that was chosen; a
 * faulting thread unmaps when there is no place left. Victims are policy/'s choice.
 */
#include "pager/internal.h"

#include <errno.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "base/ensure.h"
#include "base/meta.h"
#include "base/say.h"
#include "base/sys.h"

#define TLB_RESERVE  16u   /* see hold_reserve: reads and writes want a few at a time; guess */
#define MAX_IN_WRITE 1024u /* buffers that held pages leave for writes; guess */
#define MIN_CHOICES  32u   /* clean pages need no buffer to leave; guess */
/* Where faults cost more than that, so does it to write to many page tables: see
 * doc/performance.md, "Two machines", whose first touches take 1.5 and 11 us. */
#define DEAR_TOUCH_NS 4000u

/* Guesses; the longer, the less a batch costs by the page, and the more idles. */
#define PACE_NS        4000000ull
#define PACE_PERIOD_NS 40000000ull

/* Too many for the stacks of fault handlers. */
static struct choice choices[MAX_BATCH]; /* [reclaim lock] */

static bool tables_are_dear(void)
{
	return pg.touch_ns > DEAR_TOUCH_NS;
}

static void clear_chosen(struct frame_nr nr)
{
	atomic_fetch_and(&frame_of(&pg.frames, nr)->flags,
	    (uint8_t) ~(FRAME_CHOSEN | FRAME_WATCHED | FRAME_COLD | FRAME_BESIDE));
}

bool policy_has_chosen(struct frame_nr nr)
{
	return atomic_load(&frame_of(&pg.frames, nr)->flags) & FRAME_CHOSEN;
}

void policy_insert(struct frame_nr nr, uint32_t distance)
{
	lock_acquire(&pg.policy_lock);
	clear_chosen(nr);
	frame_of(&pg.frames, nr)->stamp = ++pg.nr_stamps;
	pg.policy_ops->insert(pg.policy, nr, distance);
	lock_release(&pg.policy_lock);
}

/* A page that was unmapped to see was touched, or is given up for want of it. [policy lock] */
static void note_answer(struct frame_nr nr, bool is_used)
{
	struct frame *f = frame_of(&pg.frames, nr);

	if (atomic_load(&f->flags) & FRAME_WATCHED) {
		pg.nr_answers++;
		pg.nr_unused += !is_used;
		if (atomic_load(&f->flags) & FRAME_BESIDE)
			guess_note_beside((struct vpn){atomic_load(&f->vpn)}, is_used);
	}
}

void policy_touched(struct frame_nr nr)
{
	lock_acquire(&pg.policy_lock);
	note_answer(nr, true);
	/* Rescued after the policy had given it up: to the policy it comes back at once. */
	if (policy_has_chosen(nr))
		pg.policy_ops->insert(pg.policy, nr, 0);
	else
		pg.policy_ops->touched(pg.policy, nr);
	clear_chosen(nr);
	frame_of(&pg.frames, nr)->stamp = ++pg.nr_stamps;
	lock_release(&pg.policy_lock);
}

void policy_removed(struct frame_nr nr)
{
	lock_acquire(&pg.policy_lock);
	clear_chosen(nr);
	pg.policy_ops->removed(pg.policy, nr);
	lock_release(&pg.policy_lock);
}

void policy_held(struct frame_nr nr)
{
	lock_acquire(&pg.policy_lock);
	clear_chosen(nr);
	atomic_fetch_or(&frame_of(&pg.frames, nr)->flags, FRAME_WATCHED);
	pg.policy_ops->held(pg.policy, nr);
	lock_release(&pg.policy_lock);
}

/* To the policy, the pages of @choices are gone. [policy lock] */
static void choose_ourselves(const struct choice *chosen, uint32_t nr)
{
	for (uint32_t i = 0; i < nr; i++) {
		pg.policy_ops->removed(pg.policy, chosen[i].frame);
		clear_chosen(chosen[i].frame);
		atomic_fetch_or(&frame_of(&pg.frames, chosen[i].frame)->flags, FRAME_CHOSEN);
	}
}

bool policy_choose_old(struct frame_nr nr)
{
	struct choice old = {.frame = nr, .what = CHOICE_EVICT};
	struct frame *f = frame_of(&pg.frames, nr);

	lock_acquire(&pg.policy_lock);
	bool is_old = pg.nr_stamps - f->stamp > atomic_load(&pg.frames.frames_used) / 4 * 3 &&
	              !(atomic_load(&f->flags) & (FRAME_CHOSEN | FRAME_WATCHED));
	if (is_old)
		choose_ourselves(&old, 1);
	lock_release(&pg.policy_lock);
	return is_old;
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

/* *@ret_is_policys: the policy's choice, not the program's. */
static uint32_t policy_choose(struct choice *ret_choices, uint32_t nr, bool *ret_is_policys)
{
	lock_acquire(&pg.policy_lock);
	uint32_t nr_cold = choose_cold(ret_choices, nr);
	*ret_is_policys = !nr_cold;
	if (nr_cold) {
		nr = nr_cold;
	} else {
		nr = pg.policy_ops->choose(pg.policy, ret_choices, nr);
		for (uint32_t i = 0; i < nr; i++) {
			if (ret_choices[i].what == CHOICE_EVICT)
				note_answer(ret_choices[i].frame, false);
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

/* Whether buffers become places and come back. */
static bool pool_is_shared(void)
{
	return pg.policy_ops->set_max_held && !pg.config.is_exact && !tlb_is_on();
}

/*
 * Where hardly a watched page turns out to be unused, those that must be watched, because they have
 * a buffer and no place, go round: each that is touched needs a place, for which another must be
 * watched. Then less of RAM is pool, and more is places. [reclaim lock]
 */
static void judge_pool(void)
{
	uint32_t step = MAX(pg.max_held / 32, 1u), target = pg.lend_target;

	lock_acquire(&pg.policy_lock);
	if (pg.nr_answers >= MAX(pg.max_held / 8, 16u)) {
		if ((uint64_t)pg.nr_unused * 4 < pg.nr_answers)
			target = MIN(target + step, pg.max_held / 8 * 7);
		else if ((uint64_t)pg.nr_unused * 2 > pg.nr_answers)
			target -= MIN(target, step);
		pg.nr_answers = pg.nr_unused = 0;
		pg.lend_target = target;
	}
	lock_release(&pg.policy_lock);
}

/*
 * What is kept for bursts idles between them: half a batch, on average, and the buffers for long
 * windows and for what a long batch writes. So all of it is as long as the pace of eviction wants:
 * a batch is what is freed in PACE_NS, between an eighth of the longest and the longest. Where a
 * fault costs much, so does a batch, and it stays long. [reclaim lock]
 */
static void judge_pace(uint32_t longest, bool with_others)
{
	struct pace *pace = &pg.pace;
	uint64_t now, ns;

	if (tables_are_dear() || !pool_is_shared() || pg.frames.nr_bufs < MIN_PACED)
		return;
	now = now_ns();
	ns = now - pace->since_ns;
	if (ns < PACE_PERIOD_NS && pace->nr_freed < 8 * longest && !atomic_load(&pace->has_waited))
		return;
	uint64_t eighths = (uint64_t)pace->nr_freed * PACE_NS * 8 / (ns + 1) / longest + 1;
	/* What waits is slow, and not because there is little to do. */
	if (atomic_exchange(&pace->has_waited, false) || with_others)
		eighths = 8;
	atomic_store(&pace->eighths, (uint32_t)MIN(eighths, 8u));
	pace->nr_freed = 0;
	pace->since_ns = now;
}

/* Of @nr buffers for bursts, those that are kept now: a quarter at least. [reclaim lock] */
static uint32_t at_pace(uint32_t nr)
{
	uint32_t eighths = atomic_load(&pg.pace.eighths);

	return nr * MAX(eighths, 2u) / 8;
}

uint32_t reclaim_read_reserve(void)
{
	/* Not most of them: while many are lent, dirty pages must find a buffer to go on. */
	uint32_t there = pg.frames.nr_bufs - atomic_load(&pg.frames.nr_lent);

	return MIN(at_pace(readahead_max_window()), there / 4);
}

/* Towards @target buffers lent, of which up to @most come back and @kept stay free. Return: how
 * many places or buffers are free now that were not. [reclaim lock] */
static uint32_t shift_pool(uint32_t target, uint32_t kept, uint32_t most)
{
	uint32_t lent = atomic_load(&pg.frames.nr_lent), nr = 0, now;

	if (lent > target)
		return bufs_take_back(&pg.frames, MIN(lent - target, most));
	for (; lent + nr < target && nr < MAX_BATCH / 8; nr += now) {
		now = bufs_lend(&pg.frames, target - lent - nr, kept);
		if (!now)
			break;
	}
	return nr;
}

/* After a batch that has freed @freed places and buffers. Return: as above. [reclaim lock] */
static uint32_t balance_pool(uint32_t freed)
{
	if (!pool_is_shared())
		return 0;
	judge_pool();
	uint32_t slack = pg.frames.nr_bufs - pg.max_held, kept = at_pace(slack);
	pg.pace.nr_freed += freed;
	uint32_t nr = shift_pool(pg.lend_target + slack - kept, kept, MAX(freed / 2, 1u));
	/* The policy watches with what is there now, and leaves what is kept. */
	uint32_t there = pg.frames.nr_bufs - atomic_load(&pg.frames.nr_lent);
	uint32_t bound = MIN(pg.max_held - pg.lend_target, there > kept ? there - kept : 0);
	bound = MAX(bound, MAX(pg.max_held / 16, 1u));
	if (bound != pg.held_bound) {
		pg.held_bound = bound;
		lock_acquire(&pg.policy_lock);
		pg.policy_ops->set_max_held(pg.policy, bound);
		lock_release(&pg.policy_lock);
	}
	return nr;
}

/* Do the first @nr of `choices`, and let go of the reclaim lock. As unmap_choices(). */
static uint32_t do_choices(uint32_t nr, bool with_others)
{
	uint64_t began = share_is_on() ? now_ns() : 0;
	uint32_t freed = unmap_choices(choices, nr, with_others);

	freed += balance_pool(freed);
	lock_release(&pg.reclaim_lock);
	if (share_is_on())
		share_worked(SHARE_UNMAP, now_ns() - began);
	if (freed)
		event_signal(&pg.frames.freed);
	if (atomic_load(&pg.nr_writes) && !pg.config.is_exact)
		threads_kick();
	return freed;
}

/* Whether pages of a block go together: where several threads fault, so that a flush is dear. */
static bool does_blocks(void)
{
	return stall_nr_active() > pg.block_threads && !pg.config.is_exact && !tlb_is_on();
}

/* Dirty pages that find no buffer would only go back to the policy, as its youngest. While writes
 * will free some, no more pages are chosen to be watched than there are buffers, and as many to
 * leave. [reclaim lock] */
static uint32_t choices_wanted(void)
{
	if (!pool_is_shared() || !atomic_load(&pg.nr_writes))
		return MAX_BATCH;
	uint32_t there = atomic_load(&pg.frames.bufs_free), kept = reclaim_read_reserve();

	return MAX(there > kept ? 2 * (there - kept) : 0, MIN_CHOICES);
}

/* Lets go of the reclaim lock. */
static uint32_t batch_locked(void)
{
	/* A long batch is cheaper by the page, and half of what it frees idles, on average. Half of
	 * it goes to be written, and there are buffers for that: see `slack` in reclaim_init().
	 * With more, pages are given up that were not watched, as the next ones to watch find no
	 * buffer. */
	uint32_t max = tables_are_dear() ? MIN(MAX_BATCH, frames_usable() / 16)
	                                 : MIN(MAX_BATCH / 4, frames_usable() / 64);
	max = MAX(max, 2u);
	bool is_policys, with_others = does_blocks();

	judge_pace(max, with_others);
	max = MAX(max * pg.pace.eighths / 8, 2u);
	if (with_others) /* half as many may come along, and all of those are written */
		max = MAX(max / 2, 2u);
	max = MIN(max, choices_wanted());
	uint32_t nr = policy_choose(choices, pg.config.is_exact ? 1 : max, &is_policys);

	return do_choices(nr, with_others && is_policys);
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

	event_wait_unless(&pg.frames.freed, ticket, writeback_run() || !atomic_load(&pg.nr_writes));
}

void reclaim_frames(const struct frame_nr *frames, uint32_t nr)
{
	lock_acquire(&pg.reclaim_lock);
	lock_acquire(&pg.policy_lock);
	for (uint32_t i = 0; i < nr; i++)
		choices[i] = (struct choice){.frame = frames[i], .what = CHOICE_EVICT};
	choose_ourselves(choices, nr);
	lock_release(&pg.policy_lock);
	do_choices(nr, false);
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

	if (nr >= LONG_WINDOW)
		atomic_store(&pg.pace.has_waited, true);
	/* Room for a window; half of it is better than a wait. */
	for (uint32_t i = 0; i < 2 && nr > 1 && atomic_load(&pg.frames.places_free) < (int32_t)nr;
	     i++)
		if (!reclaim_batch())
			break;
	bool has_room = may_go_on(nr);

	/* Beside the pager's threads: while one waits for the disk, another computes checksums. */
	if (has_room || share_trim() || batch_if_short(nr) || writeback_run()) {
		event_cancel(&pg.frames.freed);
		return;
	}
	if (may_go_on(nr)) {
		event_cancel(&pg.frames.freed);
		return;
	}
	atomic_store(&pg.pace.has_waited, true);
	share_yield();
	/* Every page was tried twice, swap refused each, and nothing was freed meanwhile. */
	if (atomic_load(&pg.nospace_streak) > 2 * pg.frames.nr_frames)
		out_of_memory();
	threads_kick();
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

	lock_init(&pg.reclaim_lock, LOCK_RECLAIM);
	lock_init(&pg.policy_lock, LOCK_POLICY);
	pg.write_head = UINT32_MAX;
	pg.pace = (struct pace){.eighths = 8, .since_ns = now_ns()};
	pg.hold_reserve = tlb_is_on() ? MIN(pg.frames.nr_bufs / 4, TLB_RESERVE) : 0;
	reclaim_set_watermarks();
	pg.policy = meta_map(page_round_up(pg.policy_ops->state_bytes(nr)));
	if (!pg.policy)
		return -ENOMEM;
	/* Held pages may fill the pool but for the reads' reserve and the writes under way: with
	 * too few buffers there, unmapping waits for the disk. */
	uint32_t slack = MIN(readahead_max_window(), nr_bufs / 4) +
	                 MIN(MAX_IN_WRITE, nr_bufs / (tables_are_dear() ? 4 : 8));
	pg.max_held = pg.config.is_exact ? pager_exact_held(nr) : nr_bufs - slack;
	pg.held_bound = pg.max_held;
	pg.policy_ops->init(pg.policy, nr, pg.max_held);
	return 0;
}
