// SPDX-License-Identifier: MIT
/*
 * What the compressed tier works with: segments, taken from the RAM budget and given back; desks,
 * into which compressed bytes are read from disk, taken from the budget once; states of the codec.
 * One for a process, whichever of its ancestors' stores is read.
 */
#ifndef FL_SWAP_ROOM_H
#define FL_SWAP_ROOM_H

#include "base/lock.h"
#include "swap/codec.h"
#include "swap/store.h"

#define CHUNK_PAGES 8u
#define CHUNK_BYTES (CHUNK_PAGES * PAGE_BYTES)
#define NR_STATES   4u
#define MAX_DESKS   16u

struct codec_state {
	struct lock lock; /* rank LOCK_CODEC */
	void *bytes;
	char out[PAGE_BYTES];
};

struct room {
	const struct codec *codec;      /* [const] */
	struct swap_tier_memory memory; /* [const] */
	char *area;                     /* [const] segments, then desks */
	uint32_t nr_segments;           /* [const] */
	uint32_t nr_desks;              /* [const] */
	struct codec_state *state;      /* [const] NR_STATES */
	size_t state_bytes;

	struct lock lock;            /* rank LOCK_ROOM */
	uint32_t free_segment;       /* [lock] */
	uint32_t nr_fresh;           /* [lock] segments from here on were never used */
	uint32_t *next_segment;      /* [lock] list of free ones */
	_Atomic uint32_t nr_taken;   /* [lock] to write; segments in use */
	_Atomic uint32_t share;      /* segments that the tier may have */
	_Atomic uint32_t busy_desks; /* bits */
	struct event desk_freed;

	_Atomic uint32_t tries, successes; /* [relaxed] of the last so many compressions */
	_Atomic uint32_t skipped;          /* [relaxed] pages not tried */
	_Atomic bool is_picky;             /* few clean pages are wanted */

	/* [atomic, relaxed] statistics */
	_Atomic uint64_t stored_pages, stored_bytes, offered, hits, disk_reads, rejected,
	    written_chunks, returns; /* returns: calls that gave memory back to the kernel */
	_Atomic uint64_t fitting_pages, fitting_bytes; /* tried and not rejected */
};

int room_open(const char *codec, const struct swap_tier_memory *memory, struct room **ret_room);
void room_close(struct room *r);
/* In a forked child: no segment is in use, nobody waits. Their memory is given up. */
void room_after_fork(struct room *r);

/* @may_wait: for more of a share that is used up, or of the budget. Return: a segment's number, or
 * UINT32_MAX: the share is used up, or the budget. */
uint32_t segment_take(struct room *r, bool may_wait);
void segment_give(struct room *r, uint32_t segment);
bool room_is_over(struct room *r); /* more segments than the share */

static inline char *segment_addr(const struct room *r, uint32_t segment)
{
	return r->area + segment * CHUNK_BYTES;
}

/* Up to @want desks of CHUNK_BYTES, one at least: waits for it. Return: how many. */
uint32_t desks_take(struct room *r, uint32_t want, char **ret_desks);
void desks_give(struct room *r, char *const *desks, uint32_t nr);

/* While none is kept compressed: whether to try a page all the same, to know. Context: fault. */
bool room_should_sample(struct room *r);
/* Whether pages compress at present; now and then true to find out. Context: fault. */
bool room_should_try(struct room *r);

/* @state: locked by state_take(). */
struct codec_state *state_take(struct room *r);
void state_give(struct codec_state *state);
uint32_t room_compress(struct room *r, struct codec_state *state, const void *page);
bool room_expand(struct room *r, const void *from, uint32_t bytes, void *page);

#endif
