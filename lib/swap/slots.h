// SPDX-License-Identifier: MIT
/*
 * Slot map: which places in swap are in use, what their pages' checksums are, and which of them a
 * forked child still reads.
 */
#ifndef FL_SWAP_SLOTS_H
#define FL_SWAP_SLOTS_H

#include "base/lock.h"
#include "base/types.h"

/*
 * The slots that a forked child may read: those live at the fork. In the process that forked it
 * keeps them from being handed out; in the child the same (inherited) object says which of its
 * ancestor's slots the child still has a use for.
 */
struct slot_share;

struct slot_map {
	uint32_t nr_slots; /* [const] capacity, in pages */

	struct lock lock;   /* rank LOCK_SLOT */
	uint64_t *used;     /* [lock] one bit per slot, 1 = not to be handed out */
	uint64_t *given_up; /* [lock] subset of `used`: freed while a share held it, or retired
	                     * (then it is in no share, so that no share's end ever frees it) */
	uint32_t *checksum; /* [owner: whoever holds the slot] of its page, half of it */
	uint32_t cursor;    /* [lock] slot to try first */
	uint32_t limit;     /* [lock] slots from here on are not handed out for now */
	uint32_t high;      /* [lock] slots from here on were never handed out */
	struct slot_share *shares; /* [lock] */
	uint32_t nr_busy;          /* [lock] bits set in `used` */

	_Atomic uint32_t nr_used; /* [atomic, relaxed] used and not given up */
};

/* @nr_slots: capacity; memory for the tables is reserved, not touched. Return: 0 or -ENOMEM. */
int slot_map_init(struct slot_map *m, uint32_t nr_slots);
/* Shares not ended are freed too. */
void slot_map_fini(struct slot_map *m);

/*
 * Allocate up to @want contiguous slots: the first run at or after the cursor that is as long,
 * else the longest one seen, never none while one is free. Slots never used before are touched only
 * as far as keeps the file within a small multiple of what is in use.
 * Return: how many, 0 when swap is full; *ret_first is set unless 0. Context: fault.
 */
uint32_t slot_alloc(struct slot_map *m, uint32_t want, struct slot *ret_first);

/*
 * Hand out only slots below @limit from now on, starting again at slot 0: the disk is full, and
 * these are the places that exist. UINT32_MAX: no limit. Context: fault.
 */
void slot_limit(struct slot_map *m, uint32_t limit);

/* Give @slot back. It stays unavailable while a share holds it. Context: fault. */
void slot_free(struct slot_map *m, struct slot slot);

/* A write to @slot failed: never hand it out again. Context: fault. */
void slot_retire(struct slot_map *m, struct slot slot);

/* Whether slot_free() may be called for @slot. Context: any. */
bool slot_is_live(struct slot_map *m, struct slot slot);

/*
 * Fork: keep every slot now in use until slot_share_end(). Return: the share (metadata memory), or
 * NULL for lack of memory; if no slot is in use it is an empty one. Context: thread.
 */
struct slot_share *slot_share_begin(struct slot_map *m);
/* Another fork under the same share: it keeps the slots in use now as well.
 * Context: thread. */
void slot_share_extend(struct slot_map *m, struct slot_share *share);
/* All processes that could read through @share are gone. Frees it. Context: fault. */
void slot_share_end(struct slot_map *m, struct slot_share *share);

/*
 * In a forked child: take @keep (may be NULL) and the checksums out of the inherited map and free
 * the rest of it. @m is uninitialised afterwards. *ret_checksum goes to slot_detached_free()
 * together with @keep and @m's nr_slots. Context: fault.
 */
void slot_map_detach(struct slot_map *m, struct slot_share *keep, uint32_t **ret_checksum);
void slot_detached_free(struct slot_share *share, uint32_t *checksum, uint32_t nr_slots);

bool slot_share_has(struct slot_share *share, struct slot slot);
/* Take @slot, which is in it, out of a detached share. Return: whether it was the last one. Any
 * number of threads. */
bool slot_share_drop(struct slot_share *share, struct slot slot);

/* Consistency: counters against the bitmaps, shares against `used`. ensure()s. For tests. */
void slot_map_check(struct slot_map *m);

#endif
