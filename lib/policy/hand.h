// SPDX-License-Identifier: MIT
/*
 * What the policies share that send a hand along a queue and leave pages in their places.
 *
 *     head: oldest                       tail: newest
 *     [ . . . . . . . . . . . . . . . . . . . ]
 *           held, held, hand -->
 *
 * The hand looks at one frame after the other, oldest first, and wraps at the end. A mapped page it
 * holds (clears its bit) and leaves behind; a page that it finds still held was not used since: it
 * is evicted. A touch maps a held page again (sets its bit), in its place.
 *
 * That is the published form of CLOCK and SIEVE, with max_held = nr_frames. With less, a second
 * hand follows at a distance of max_held pages: while there is no room to hold, the oldest held
 * page is evicted. A page may also be held as soon as it has come in, before the hand is there
 * (hand_insert_clear()). Progress is bounded as in clock.c: after 4 * max_held holds without an
 * eviction, the hand evicts what it finds.
 */
#ifndef FL_POLICY_HAND_H
#define FL_POLICY_HAND_H

#include "policy/frame_list.h"
#include "policy/policy.h"

enum hand_where {
	HAND_OUT,
	HAND_QUEUED,
	HAND_NEW, /* queued, and to be held before the hand comes to it */
	HAND_CHOSEN_HOLD,
	HAND_CHOSEN_EVICT,
	HAND_HELD,
};

/* QUEUED, NEW, CHOSEN_HOLD and HELD frames are in `queue`, HELD and NEW ones in `held` and
 * `newest` as well. */
struct hand {
	uint32_t nr_frames, max_held;
	uint32_t nr_chosen_hold, nr_fruitless;
	uint32_t at; /* the next to look at; FRAME_LIST_END: the head */
	bool has_evicted, is_newests_turn;
	struct frame_list queue, held, newest;
	struct frame_link *links, *held_links; /* the latter of `held` and `newest` */
	uint8_t *where;                        /* enum hand_where, by frame */
};

size_t hand_state_bytes(size_t struct_bytes, uint32_t nr_frames);
void hand_init(struct hand *h, void *memory, uint32_t nr_frames, uint32_t max_held);

/* The `set_max_held` of a policy whose struct begins with its struct hand. */
void hand_set_max_held(struct policy *p, uint32_t max_held);

/* @before: put a new frame there (FRAME_LIST_END: at the tail); one that was chosen to be held
 * keeps its place. */
void hand_insert(struct hand *h, struct frame_nr frame, uint32_t before);
/* The same for a page whose bit is to be clear: it is held by the next choose(), if there is room.
 * While memory fills, when nothing was evicted yet, it is as hand_insert(). */
void hand_insert_clear(struct hand *h, struct frame_nr frame, uint32_t before);
void hand_touched(struct hand *h, struct frame_nr frame);
void hand_held(struct hand *h, struct frame_nr frame);
void hand_removed(struct hand *h, struct frame_nr frame);
uint32_t hand_choose(struct hand *h, struct choice *ret_choices, uint32_t nr);

#endif
