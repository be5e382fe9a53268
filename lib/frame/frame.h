// SPDX-License-Identifier: MIT
/*
 * Frames: the emulated RAM.
 *
 * The budget is nr_frames. It is split into the pool, nr_bufs page buffers that hold HELD pages and
 * pages in I/O, and nr_places, the number of pages that may be mapped in the program at a time. Of
 * the pool, free buffers may be lent: each is a place then, and not resident itself. What is
 * resident can thus never exceed
 *
 *     places taken + pool = (nr_places + nr_lent) + (nr_bufs - nr_lent) = nr_frames,
 *
 * whatever is being copied from one to the other: a page is mapped only with a place in hand, and
 * the place is given back only after the page was unmapped. A frame number names a page's frame
 * wherever its bytes are: MAPPED (it owns a place), HELD or READING (it owns a buffer).
 */
#ifndef FL_FRAME_FRAME_H
#define FL_FRAME_FRAME_H

#include "base/lock.h"
#include "base/types.h"
#include "swap/store.h"

/* The pool always lies here, or up to 2 MiB above, outside the window: whoever looks from outside
 * can find it. */
#define POOL_START 0x500000100000ull

#define BUF_NONE UINT32_MAX

enum frame_flag {
	FRAME_CHOSEN = 1, /* [policy lock] the policy has chosen it and waits for the answer */
	FRAME_WRITING =
	    2,           /* [L1 lock] its buffer is queued for or under a write: keep the buffer */
	FRAME_COLD = 16, /* [policy lock] to be chosen before what the policy would choose */
	FRAME_WATCHED = 8,  /* [policy lock] the policy holds it, to see whether it is touched */
	FRAME_GUESSED = 32, /* [L1 lock] dirty because it was guessed so: pager/guess.c */
	FRAME_BESIDE = 64,  /* watched on, to see, as one beside it was touched: pager/guess.c */
	FRAME_ORPHAN = 4,   /* [L1 lock] its page went away during the write: the writer frees it */
};

struct frame {
	_Atomic uint64_t vpn;  /* [L1 lock of that page] */
	struct swap_ref ref;   /* [L1 lock] the clean copy, or none ... */
	uint64_t checksum;     /* [owner: who reads it; then const] ... and its checksum */
	uint32_t buf;          /* [L1 lock] pool buffer, or BUF_NONE */
	uint32_t next;         /* [frame lock] free list, write queue */
	uint32_t stamp;        /* [policy lock] which insertion or touch was its last */
	_Atomic uint8_t flags; /* see enum frame_flag */
	uint16_t source;       /* [L1 lock] the file behind its page (pager/source.h), 0: none */
};

struct frames {
	uint32_t nr_frames, nr_bufs, nr_places; /* [const] */
	uint32_t first_run;                     /* [const] buffers from here on are for runs */
	struct frame *frame;                    /* [const] nr_frames of them */
	char *pool;                             /* [const] nr_bufs pages */

	_Atomic int32_t places_free;
	bool has_credits;             /* [const] frames_init_exact() */
	_Atomic int32_t credits_free; /* frames */

	struct lock lock;           /* rank LOCK_FRAME */
	uint32_t nr_fresh;          /* [lock] frames from here on were never used */
	uint32_t free_head;         /* [lock] */
	uint64_t *buf_free;         /* [lock] one bit per buffer, 1 = free */
	uint64_t *buf_lent;         /* [lock] one bit per buffer, 1 = lent, and not free */
	_Atomic uint32_t nr_lent;   /* [lock] to write */
	uint32_t buf_cursor;        /* [lock] no buffer is free in the words below this one */
	_Atomic uint32_t bufs_free; /* [lock] to write */
	/* [lock] to write; buffers from here on are not resident, but for those for runs ... */
	_Atomic uint32_t bufs_touched;
	_Atomic bool has_runs;        /* ... if that is set */
	_Atomic uint32_t frames_used; /* [lock] to write */
	_Atomic uint32_t frames_peak; /* [lock] to write */

	struct event freed; /* signalled when places or buffers come back */
};

/* @nr_frames: the budget. @nr_places: of them, those that may be mapped; 0: as many as
 * frames_pool_size() leaves. Return: 0 or -ENOMEM. */
int frames_init(struct frames *fs, uint32_t nr_frames, uint32_t nr_places);
/* Of frames that nobody has used. */
void frames_fini(struct frames *fs);
/* The same for a budget of @nr_frames that are taken one by one, whatever they are: pages that are
 * mapped, held or being read. @nr_places and @nr_bufs say only how many of them may be which, and
 * buffers that no frame owns come on top. */
int frames_init_exact(struct frames *fs, uint32_t nr_frames, uint32_t nr_places, uint32_t nr_bufs);
/* Take the right to one frame, which frame_give() returns. Return: false: all are taken; always
 * true where places and buffers are the budget. Context: any. */
bool frame_credit_take(struct frames *fs);
void frame_credit_give(struct frames *fs);
/* How many buffers a budget has where nothing else decides. */
uint32_t frames_pool_size(uint32_t nr_frames);
/* In a forked child: nobody waits any more. */
void frames_after_fork(struct frames *fs);

/* Take up to @want places. Return: how many. Context: any. */
uint32_t places_take(struct frames *fs, uint32_t want);
/* Give back places whose pages are unmapped. Does not signal. */
void places_give(struct frames *fs, uint32_t nr);

/* Take up to @want buffers, the lowest that are free, leaving @reserve free ones.
 * Return: how many. Context: any. */
uint32_t bufs_take(struct frames *fs, uint32_t *ret_bufs, uint32_t want, uint32_t reserve);
/* As bufs_take(), in runs of neighbours as far as there are any. Those lie in pages of 2 MiB where
 * there are so many: what is read from disk in large pieces comes 1.8 times as fast into one piece
 * of memory as into scattered pages (doc/performance.md). */
uint32_t bufs_take_runs(struct frames *fs, uint32_t *ret_bufs, uint32_t want, uint32_t reserve);
void buf_give(struct frames *fs, uint32_t buf);
/* Buffers that may be resident. */
uint32_t bufs_resident(struct frames *fs);

#define MAX_LEND 64u
/* Make places of up to @want free buffers, at most MAX_LEND, leaving @reserve free ones. Does not
 * signal. Return: how many. Context: any, one thread at a time. */
uint32_t bufs_lend(struct frames *fs, uint32_t want, uint32_t reserve);
/* Take up to @want free places, and make buffers of them again. As above. */
uint32_t bufs_take_back(struct frames *fs, uint32_t want);

/* Take a frame number for @vpn; never fails while the caller owns a place or a buffer for it. */
struct frame_nr frame_take(struct frames *fs, struct vpn vpn);
void frame_give(struct frames *fs, struct frame_nr nr);

static inline struct frame *frame_of(struct frames *fs, struct frame_nr nr)
{
	return &fs->frame[nr.v];
}

static inline void *buf_addr(struct frames *fs, uint32_t buf)
{
	return fs->pool + ((size_t)buf << PAGE_SHIFT);
}

#endif
