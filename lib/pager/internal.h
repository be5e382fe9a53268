// SPDX-License-Identifier: MIT
/*
 * The pager's state and what its files share. There is one pager per process.
 *
 *     fault.c      serves faults                mapping.c   mmap, munmap
 *     fault_read.c ... and reads pages          region.c    what is mapped where
 *     fault_ahead.c ... before they are touched readahead.c how much, and where
 *     reclaim.c    which frames to take away    remap.c     mremap
 *     unmap.c      ... takes their pages out    protect.c   mprotect; leaving management
 *     writeback.c  ... and writes what is dirty
 *     pager.c      start, counters              advise.c    madvise, mincore, msync
 *     check.c      does it all add up           mlock.c     mlock and its like
 *     fork.c       two pagers out of one       sample.c    memory outside
 *     vfork.c      who borrows our memory      resident.c  the end of paging
 *     share.c      how much is compressed      source.c    files behind regions
 *     threads.c    the pager's own              budget.c    more or less RAM
 *     trap_tlb.c   fewer pages mapped           guess.c     what will become of it
 *     machine.c    what faults cost here
 */
#ifndef FL_PAGER_INTERNAL_H
#define FL_PAGER_INTERNAL_H

#include "base/lock.h"
#include "fault/engine.h"
#include "frame/frame.h"
#include "frame/transport.h"
#include "mmu/ptab.h"
#include "pager/pager.h"
#include "pager/region.h"
#include "pager/source.h"
#include "pager/trap_tlb.h"
#include "policy/policy.h"
#include "swap/store.h"
#include "telemetry/telemetry.h"

#define NR_PAGE_EVENTS 64u
/* Choices of the policy at once: where it holds pages, half are holds, half evictions of pages that
 * are held already. */
#define MAX_BATCH   2048u
#define MAX_WINDOW  256u /* pages read by one fault */
#define MAX_AROUND  64u  /* pages zero-filled by one fault */
#define LONG_WINDOW 32u  /* pages; such a read is mapped as it comes in; guess */
#define MIN_PACED   256u /* buffers; with fewer, a quarter of what is kept is too little; guess */

/* Writes under way at a time: with one, filling memory waits for the ends of writes. */
#define NR_PAGER_THREADS 3u

/* How fast places become free. */
struct pace {
	_Atomic uint32_t eighths; /* [reclaim_lock to write] of the longest batch */
	_Atomic bool has_waited;  /* a fault, for a write or for room for a long window */
	uint32_t nr_freed;        /* [reclaim_lock] places and buffers, ... */
	uint64_t since_ns;        /* [reclaim_lock] ... since then */
};

struct pager {
	bool running;                /* [const] once set */
	struct pager_config config;  /* [const] */
	uint64_t touch_ns;           /* [const] machine_touch_ns() */
	_Atomic uint32_t *fork_mark; /* 1; the kernel wipes it to 0 in the child of a fork */

	/* Every way in counts itself here; fork closes the gate and waits until nobody is inside.
	 */
	_Atomic uint32_t nr_inside;
	_Atomic uint32_t gate_closed; /* thread id of who is forking, or 0 */
	struct event gate_opened;
	int pid;                     /* [const between forks] */
	_Atomic bool stays_resident; /* nothing more is managed: resident.c */
	_Atomic uint32_t nr_vforks;  /* processes that may be running on this memory */
	uint64_t fork_mask;          /* [owner: who closed the gate] its signal mask */

	struct rwlock map_lock; /* rank LOCK_MAP */
	struct region_map regions;
	_Atomic uint32_t lock_future; /* MCL_FUTURE, MCL_ONFAULT of the last mlockall */

	struct ptab ptab;
	struct frames frames;
	struct transport transport;
	struct swap *swap;
	const struct engine_ops *engine;
	struct event page_event[NR_PAGE_EVENTS]; /* by vpn: a BUSY or READING page changed */
	_Atomic uint64_t nr_populated;           /* pages that are not NONE */

	struct lock reclaim_lock; /* rank LOCK_RECLAIM */
	struct lock policy_lock;  /* rank LOCK_POLICY */
	const struct policy_ops *policy_ops;
	uint32_t cold_hand,
	    nr_cold_left;      /* [policy_lock] frames still to be looked at for FRAME_COLD */
	struct policy *policy; /* [policy_lock] */
	uint32_t nr_stamps;    /* [policy_lock] see struct frame */
	_Atomic uint32_t places_low, places_high; /* watermarks of frames_room() */
	_Atomic uint32_t withheld;      /* places kept back: RAM that may be raised (budget.c) */
	uint32_t nr_answers, nr_unused; /* [policy_lock] of pages that were watched: lately */
	uint32_t max_held; /* [const] most that the policy may watch, if no buffer is lent */
	struct pace pace;
	uint64_t nr_put_back;  /* [reclaim_lock] times that a chosen page found no buffer */
	uint32_t held_bound;   /* [reclaim_lock] most that the policy may watch now */
	uint32_t lend_target;  /* [reclaim_lock] buffers that should be places */
	uint32_t hold_reserve; /* [const] buffers that the trap TLB leaves to others */
	/* [const] With more threads that wait for reads, the pager thread unmaps; with more that
	 * fault, dirty pages of a block go together: unmap.c. */
	uint32_t inline_threads, block_threads;

	_Atomic uint32_t
	    write_head; /* [frames.lock] to write; frames queued for writing, by frame.next */
	_Atomic uint64_t nr_evicted; /* the clock of evictions */
	_Atomic uint32_t
	    nr_paged_out; /* calls that evict; what was to be read ahead before is not */
	_Atomic uint32_t
	    nr_absent[PTE_EPOCHS];  /* [atomic, relaxed] of them, by epoch: there still */
	_Atomic uint32_t nr_writes; /* queued or under way */
	_Atomic uint32_t
	    nospace_streak; /* writes refused, by a full swap or else, since anything was freed */
	_Atomic int write_error; /* the last of them */

	struct pager_thread {           /* threads.c */
		struct event kick;      /* wakes it */
		_Atomic uint32_t state; /* enum thread_state */
	} threads[NR_PAGER_THREADS];
	_Atomic uint32_t park_wanted;
	struct event parked;

	struct trap_tlb tlb;
	struct telemetry telemetry;
	const void *zeros; /* MAX_AROUND pages */
};

enum thread_state {
	THREAD_NONE,
	THREAD_RUNNING,
	THREAD_PARKED,
	THREAD_REFUSED, /* could not be started: not tried again */
};

extern struct pager pg;

/* --- pager.c --- */

/* Count this thread in, or wait while a fork is going on; in a forked child, build its pager
 * first (the process ends if that fails). */
void pager_enter(void);
bool pager_enter_try(void); /* not while a fork is going on */
void pager_leave(void);

/* Whether every fault is to be counted before its thread goes on: engine `uffd`. */
bool pager_is_silent(void);

struct event *page_event(struct vpn vpn);
/* Copy gauges into the counters that others see. */
void pager_publish(bool with_swap);

/* Lock the L1 table of the page that @f belongs to. */
struct pt_leaf lock_page_of(struct frame *f, struct vpn *ret_vpn);

/* Set a PTE, keeping PTE_NO_ACCESS and PTE_LOCKED. L1 lock held. */
void pte_set(uint64_t *pte, enum page_state state, uint64_t payload, uint64_t flags);

static inline void ref_free(struct swap_ref ref)
{
	if (!swap_ref_is_none(ref))
		swap_free(pg.swap, ref);
}

/* One in @every of counted events, @n the count: by a multiple of the golden ratio, in step with no
 * loop of the program's. */
static inline bool is_sample(uint32_t n, uint32_t every)
{
	return n * 2654435769u < UINT32_MAX / every;
}

/* Without the L1 lock: it may be another at any moment. NONE where there is no table. */
static inline enum page_state page_state_now(struct vpn vpn)
{
	struct pt_leaf leaf = ptab_walk(&pg.ptab, vpn);

	return leaf.pte ? pte_state(__atomic_load_n(leaf_pte(leaf, vpn), __ATOMIC_RELAXED))
	                : PAGE_NONE;
}

static inline bool tlb_is_on(void)
{
	return UNLIKELY(pg.tlb.geometry.entries);
}

/* Pages that may be resident without the others' getting in each other's way: those mapped, but
 * with a trap TLB those that are not. */
static inline uint32_t frames_usable(void)
{
	return tlb_is_on() ? pg.frames.nr_bufs : pg.frames.nr_places - atomic_load(&pg.withheld);
}

/* RAM, in frames. */
static inline uint32_t frames_budget(void)
{
	return pg.frames.nr_frames - atomic_load(&pg.withheld);
}

/* Of them, free ones. */
static inline int32_t frames_room(void)
{
	return tlb_is_on() ? (int32_t)atomic_load(&pg.frames.bufs_free)
	                   : atomic_load(&pg.frames.places_free);
}

/* --- threads.c --- */

/* Look whether one of the pager's threads should run, and wake (start) it. */
void threads_kick(void);
/* Fork: let the pager's threads finish and stop; let them go on. */
void threads_park(void);
void threads_unpark(void);
/* In a forked child: no thread runs yet. */
void threads_after_fork(void);

/* --- reclaim.c --- */

int reclaim_init(void);
/* By RAM, which has changed. */
void reclaim_set_watermarks(void);
/* Buffers that what is unmapped leaves to reads. [reclaim lock] */
uint32_t reclaim_read_reserve(void);

/* Unmap up to MAX_BATCH pages by the policy's choice. Return: places freed. Context: fault. */
uint32_t reclaim_batch(void);
/* The same, or nothing while another thread does so, or has stopped reclaim. */
uint32_t reclaim_batch_try(void);

/* Evict these, at most MAX_BATCH, as if the policy had chosen them; one that has another page by
 * now, harmlessly too. Context: thread, nothing held. */
void reclaim_frames(const struct frame_nr *frames, uint32_t nr);

/* Evict these before what the policy would choose, when there is need. The caller holds what keeps
 * their pages in them. Context: thread, an L1 lock held. */
void reclaim_cold(const struct frame_nr *frames, uint32_t nr);

/* Return when @nr places and buffers may be had, or perhaps fewer, but one at least (0: only a
 * buffer): reclaims, or waits for whoever does. Ends the process if swap is full and nothing can be
 * evicted. Context: fault, nothing held. */
void reclaim_wait(uint32_t nr);

/* In exact mode, where all frames are taken: evict one page, written where it must be. Context: as
 * reclaim_wait(). */
void reclaim_one_frame(void);

/* The same after tlb_make_room() has failed. */
void reclaim_wait_entry(void);

/* No page is BUSY, queued or under a write until reclaim_go_on(). Context: no L1 lock held. */
void reclaim_stop(void);
void reclaim_go_on(void);

/* @distance: see policy.h */
void policy_insert(struct frame_nr frame, uint32_t distance);
void policy_touched(struct frame_nr frame);
void policy_removed(struct frame_nr frame);
/* It is unmapped, as the policy wanted. */
void policy_held(struct frame_nr frame);
/* Whether the policy waits for an answer. */
bool policy_has_chosen(struct frame_nr frame);
/* Choose @frame to be evicted, if it is among the quarter that was inserted or touched longest ago,
 * and not chosen or watched already. Return: whether it is chosen now. */
bool policy_choose_old(struct frame_nr frame);

/* --- unmap.c --- */

/* Take @choices, at most MAX_BATCH, out of the program, @with_others: and what is cheaper to take
 * along now than later. Return: places and buffers freed. Context: fault, reclaim lock held, and no
 * other. */
uint32_t unmap_choices(const struct choice *choices, uint32_t nr, bool with_others);

/* Unmap what is MAPPED of the @nr pages from @vpn on, in one L1 table; all of it stays in its
 * frames. @is_watched: for tlb_unmapped(). Return: whether none is MAPPED any more. Context: fault,
 * reclaim lock held, and no other. */
bool unmap_hide(struct vpn vpn, uint32_t nr, bool is_watched);

/* --- writeback.c --- */

/* Queue a HELD, dirty page for the writer. L1 lock held. */
void writeback_queue(struct frame_nr nr);
/* Write what is queued, up to a limit. Return: pages settled, 0 when none was queued.
 * Context: fault, no lock held; sleeps. */
uint32_t writeback_run(void);
/* A page in no place any more leaves its frame too: SWAPPED at @ref, or NONE without one, its bytes
 * zeros or in its file. L1 lock held. */
void writeback_leave(uint64_t *pte, struct frame_nr nr, struct swap_ref ref);
/* Whether the page of this SWAPPED entry comes back soon after its eviction. */
bool writeback_is_refault(uint64_t pte);
#define EPOCHS_PER_BUDGET 8u
/* How many pages that were evicted after this one are absent still, as a distance of share_plan.h.
 * @pte: SWAPPED. */
uint32_t writeback_absent_since(uint64_t pte);
/* A SWAPPED page, as @pte, is absent no more. */
void writeback_forget(uint64_t pte);
/* Its refault distance in frames, rounded to an eighth of the budget. Right up to eight budgets of
 * evictions; an older page looks younger. @pte: SWAPPED, or READING with the epoch kept. */
uint32_t writeback_distance(uint64_t pte);

/* --- machine.c --- */

/* Return: ns that the kernel takes for the first touch of a page: a median of a few, tried now. */
uint64_t machine_touch_ns(void);

/* --- share.c --- */

/* What --compress @name stands for: a codec, "off", or NULL: nothing. */
const char *share_codec_find(const char *name);
/* Return: 0 or -ENOMEM. Once frames and swap are there. */
int share_init(void);
/* Whether there is a tier to share with. */
bool share_is_on(void);

/* What is known of a page that was read. */
struct share_fact {
	uint64_t ns;       /* of the read of this page and others */
	uint32_t nr_read;  /* so many, all in all */
	uint32_t nr_hits;  /* ... that the tier had in memory */
	uint32_t distance; /* writeback_absent_since() */
	bool is_writable;  /* for a write; or one is expected */
};

/* @page was read; while share_is_on(). */
void share_note(const struct swap_page *page, const struct share_fact *fact);

enum share_work {
	SHARE_MAJOR,  /* a fault that read pages from swap: all but the read and waiting */
	SHARE_REFILL, /* a fault for a page that was unmapped to see */
	SHARE_UNMAP,  /* a batch of evictions, and of pages unmapped to see */
	SHARE_NR_WORKS,
};
/* What the pager did for the program took @ns; while share_is_on(). */
void share_worked(enum share_work work, uint64_t ns);
/* Give back what the tier has beyond its share. Return: anything. Context: fault, no lock held. */
bool share_trim(void);
/* RAM is going to have @nr_frames: no more of it is the tier's than may be, once share_trim() has
 * nothing left to do. Context: thread. */
void share_fit(uint32_t nr_frames);
/* Room is short and nothing can be evicted: the tier must give way. As above. */
void share_yield(void);
/* A thread of the pager's: places for the tier to grow into. As above. */
void share_feed(void);
/* Frames that the tier has and that no page is mapped in, reading desks included. */
uint32_t share_pages(void);

/* --- sample.c --- */

/* In a new process, and in a forked child: sample memory outside from now on, if the configuration
 * says so. Return: 0 or -errno. */
int sample_start(void);
/* A thread that answers `faultline ram`, if RAM may change. Return: 0 or -errno. */
int request_start(void);
bool sample_owns_fd(int fd);

/* --- readahead.c --- */

/* @nr pages, @delta from one to the next (not 0; negative: downwards), beginning with the page
 * that is wanted now. */
struct window {
	uint32_t nr;
	int32_t delta;
	bool is_pair; /* no stream: a page and the neighbour that is likely to be touched with it */
};

#define NEAR_BELOW 1u
#define NEAR_ABOVE 2u

struct touch {
	struct vpn vpn;
	uint16_t offset; /* bytes, in the page; 0 also where that is not known */
	bool is_write;
};

/* A fault had to read the page of @t: what to read at once from there on. @is_scan: a stream is
 * announced. @near: the neighbours that could be read along, NEAR_*. */
struct window readahead_window(const struct touch *t, bool is_scan, unsigned near);
/* @nr_read pages of that window are being read for it. May ask for what is behind them. */
void readahead_note(struct vpn vpn, uint32_t nr_read);
/* Whether @vpn is to be read by the thread that reads ahead, which has not begun: it will signal
 * the page's event when it has done so, or will not. */
bool readahead_is_asked(struct vpn vpn);
/* A fault met a page that is HELD, or READING and so waited for: perhaps the trigger of a stream.
 * Return: whether it was. */
bool readahead_touched(struct vpn vpn, bool is_waited_for);
/* [vpn, end) will be needed: what is in swap of it is read by a thread of the pager, as far as
 * there are frames to spare. Return: false: the caller should touch it. */
bool readahead_announce(struct vpn vpn, struct vpn end);
/* What is announced there is not needed after all, and of what a stream has asked for anywhere
 * nothing more is read (pg.nr_paged_out). Context of both: in the gate, signals blocked. */
void readahead_withdraw(struct vpn vpn, struct vpn end);
/* Pages that one read may bring at most; so many buffers are kept for reads. */
uint32_t readahead_max_window(void);
void readahead_after_fork(void);

/* --- fault.c, fault_ahead.c --- */

/*
 * Read @window from @vpn on, as far as its pages are in swap, in one L1 table, and there is room,
 * and map all but the first, which stays HELD. @nr_paged_out: pg's when that was wanted; if it has
 * changed, nothing is read. It may still be under way on return: then pager_ahead_wait() is to be
 * called. Context of both: the one thread that reads ahead.
 * Return: pages read, or being read.
 */
uint32_t pager_read_ahead(
    struct vpn vpn, struct window window, bool is_write, uint32_t nr_paged_out);
/* Wait until some of what is under way has been read. Return: false: nothing is. */
bool pager_ahead_wait(void);

/* Whether this thread serves a fault that has found no room, and makes some. Context: any. */
bool fault_makes_room(void);

/* --- guess.c --- */

/* Whether the page, which is read, is likely to be written before it is evicted. Context: any. */
bool guess_is_written(struct vpn vpn);
/* Whether this one of those that are likely to be keeps its copy in RAM, which tells whether it
 * was. Context: any. */
bool guess_is_judged(void);
/* A page that had been read is written, or was evicted without that. Context: any. */
void guess_note(struct vpn vpn, bool was_written);
/* Whether watched pages beside this one, which was watched and is touched, are likely to be in use
 * as well. Context: any. */
bool guess_is_used_beside(struct vpn vpn);
/* How far from it, up to @max, they stay watched all the same, to see; 0: none does. Context: any.
 */
uint32_t guess_watch_distance(bool is_sure, uint32_t max);
/* A page that was watched on beside such a one was touched, or was not. Context: any. */
void guess_note_beside(struct vpn vpn, bool was_used);

/* --- mapping.c --- */

/* Apply to every range of managed memory; for fork. */
int mapping_seal(void);   /* no access, and inherited by a forked child */
int mapping_unseal(void); /* the program's protections, not inherited */
int mapping_register_all(void);
/* In a forked child: what madvise kept from it goes, nothing is locked, and no mapped page is
 * write-protected any more, so none is known to be clean. */
void mapping_become_child(void);

/* --- fork.c --- */

/* First entry into the pager in a forked child: make everything its own. Ends the process, with a
 * clear message, if that cannot be done: never wrong data. */
void fork_become_child(void);
int fork_init(const struct engine_sink *sink);

/* --- vfork.c --- */

/* At the start, and in a forked child: no process shares this memory. */
void vfork_after_fork(void);
/* Whether this is a process that only borrows the pager's memory. Context: fault. */
bool vfork_is_child(void);
/* pager_fault() for such a process. Context: fault. */
enum fault_result vfork_ask(uintptr_t addr, enum access access);

/* --- fork.c, pager.c --- */

/* Close the gate and wait until nobody is inside the pager; open it. Context: not inside. */
void pager_stop(void);
void pager_go_on(void);

#endif
