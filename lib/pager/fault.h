// SPDX-License-Identifier: MIT
/* Shared by fault.c (service), fault_read.c (reading) and fault_ahead.c (reading ahead). */
#ifndef FL_PAGER_FAULT_H
#define FL_PAGER_FAULT_H

#include "pager/internal.h"

enum step {
	STEP_WAIT, /* another thread is busy with the page: wait for it, then again */
	STEP_ROOM, /* no place or no buffer: reclaim, then again */
	STEP_BUSY, /* regions are being changed: fault_look_try() */
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
	bool was_absent;      /* or may have been, when it was touched */
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

/* --- fault.c --- */

/* One look at the page: what is to be done next. */
enum step fault_look(struct fault *f);
/* The same without waiting for who changes regions: STEP_BUSY. */
enum step fault_look_try(struct fault *f);
bool fault_credit_take(struct fault *f);
/* Places not needed after all, or not for every page read ahead. */
void fault_places_return(struct fault *f);
/* One page, now mapped with @frame. L1 lock held. */
void fault_page_mapped(
    struct fault *f, struct vpn vpn, uint64_t *pte, struct frame_nr frame, bool is_dirty);
/*
 * A page that was clean is dirty from now on. A compressed copy in RAM would take up room for
 * nothing, until the page is evicted (one on disk may yet spare a write).
 */
void fault_page_dirtied(struct frame *fr, bool is_guessed);
/*
 * The entry of a larger page shows all of it: map what else of it is in frames. Its pages are not
 * known to be touched, so the policy is not told, and those it watches stay away. L1 lock held.
 */
void fault_map_unit(struct fault *f, struct pt_leaf leaf);
/* The thread that has faulted waits from now on, whoever serves it. */
void fault_waiting_begins(uint64_t now, enum stall_kind kind);
void fault_waiting_ends(uint64_t now, enum stall_kind kind);

/* Only what has a copy in swap can turn out not to have been written. */
static inline bool fault_may_guess(const struct frame *fr)
{
	return !swap_ref_is_none(fr->ref) && !fr->source;
}

/* --- fault_read.c --- */

/* Turn the page, which is in swap or in its file, and those of its stream as far as they are there
 * too, into READING. L1 lock held. */
enum step fault_serve_absent(struct fault *f, struct pt_leaf leaf, const struct region *r);
/* STEP_READ: read them for a thread that has touched one, and map them. */
enum step fault_read(struct fault *f);
/* In parts: read, and map what has come in; map the rest; say what it took, @ns. */
void fault_read_window(struct fault *f, enum swap_wait wait);
void fault_read_finish(struct fault *f);
void fault_read_note(struct fault *f, uint64_t ns);

#endif
