// SPDX-License-Identifier: MIT
/*
 * What the policies share that find out whether a page is used by unmapping it for a while.
 *
 *     list 0 .. n - 1: mapped              held 0 .. n - 1: watched
 *     tail <-- head --hold-->  tail <-- head --evict-->
 *      ^                          |
 *      '--------- touched --------'        (to whichever list the policy says)
 *
 * A policy says which list gives up a page next, and where a frame goes that was inserted or
 * touched; watch_choose() does the rest, under the bounds that clock.c argues for:
 *
 *  (a) A held frame is evicted when there is no more room to hold, or nothing is left to hold in
 *      its list: it was watched for as long as the budget of held frames allows.
 *  (b) max_held = 0, or all of it on its way or of other lists: the head of the list is evicted
 *      unseen.
 *  (c) After 4 * max_held holds without an eviction the oldest frame goes all the same.
 *
 * Each frame is in the list that its `where` and `list_of` say; nr_held + nr_chosen_hold <=
 * max_held, until that is lowered.
 */
#ifndef FL_POLICY_WATCH_H
#define FL_POLICY_WATCH_H

#include "policy/frame_list.h"
#include "policy/policy.h"

#define WATCH_LISTS 3u

enum watch_where {
	WATCH_OUT,
	WATCH_QUEUED,
	WATCH_CHOSEN_HOLD,
	WATCH_CHOSEN_EVICT,
	WATCH_HELD,
	WATCH_USED, /* was held, is mapped, and kept its place in held[] */
};

struct watch {
	uint32_t nr_frames, max_held;
	uint32_t nr_chosen_hold;
	uint32_t nr_fruitless; /* holds since an eviction was last chosen */
	uint32_t nr_held;      /* in all of held[], but those that are USED */
	uint32_t nr_held_of[WATCH_LISTS];
	struct frame_list list[WATCH_LISTS],
	    held[WATCH_LISTS]; /* held[] by the list it came from */
	struct frame_link *links;
	uint8_t *where;   /* enum watch_where, by frame */
	uint8_t *list_of; /* the list it is, or was last, in, or was held from */
};

/* What a policy wants done next: a page of @list is to go, and to be watched first, or not. */
struct watch_next {
	uint32_t list;     /* one with a page, mapped or held; WATCH_LISTS: there is none */
	bool evict_unseen; /* its head, which is mapped */
	bool evict_held;   /* its oldest held page was watched for long enough */
};

typedef struct watch_next watch_next_fn(struct policy *p);

/* Bytes behind the policy's own struct of @struct_bytes, that included. */
size_t watch_state_bytes(size_t struct_bytes, uint32_t nr_frames);
/* @memory: behind the policy's struct; zeroed. */
void watch_init(struct watch *w, void *memory, uint32_t nr_frames, uint32_t max_held);

/* The `set_max_held` of a policy whose struct begins with its struct watch. */
void watch_set_max_held(struct policy *p, uint32_t max_held);

/* -> queued at the tail of @list. */
void watch_put(struct watch *w, struct frame_nr frame, uint32_t list);
/* The `held` and `removed` of struct policy_ops. */
void watch_held(struct watch *w, struct frame_nr frame);
void watch_removed(struct watch *w, struct frame_nr frame);
/* Another answer to `touched` than watch_put(): the held @frame is mapped again, but keeps its
 * place in held[]. The policy moves it on with watch_put() before it lets held[] give up its head.
 */
void watch_use(struct watch *w, struct frame_nr frame);
/* Move the head of @from to the tail of @to; it stays mapped. @from is not empty. */
void watch_move(struct watch *w, uint32_t from, uint32_t to);
/* The same for held[]: its head is held, and remains so. */
void watch_move_held(struct watch *w, uint32_t from, uint32_t to);

static inline bool watch_is_held(const struct watch *w, struct frame_nr frame)
{
	return w->where[frame.v] == WATCH_HELD;
}

/* The oldest page of held[@list] was touched, and watch_use() was the answer. */
static inline bool watch_is_oldest_used(const struct watch *w, uint32_t list)
{
	return w->held[list].nr && w->where[w->held[list].head] == WATCH_USED;
}

/* Was given up, but is not gone: insert() means that it was rescued or could not be taken. */
static inline bool watch_is_chosen(const struct watch *w, struct frame_nr frame)
{
	return w->where[frame.v] == WATCH_CHOSEN_HOLD || w->where[frame.v] == WATCH_CHOSEN_EVICT;
}

/* removed() comes because it was chosen to be evicted. */
static inline bool watch_is_evicted(const struct watch *w, struct frame_nr frame)
{
	return w->where[frame.v] == WATCH_CHOSEN_EVICT;
}

/* Frames queued, held or chosen to be held. */
static inline uint32_t watch_nr(const struct watch *w)
{
	uint32_t nr = w->nr_held + w->nr_chosen_hold;

	for (uint32_t i = 0; i < WATCH_LISTS; i++)
		nr += w->list[i].nr;
	return nr;
}

/* Frames of @list, mapped or held. */
static inline uint32_t watch_nr_of(const struct watch *w, uint32_t list)
{
	return w->list[list].nr + w->held[list].nr;
}

uint32_t watch_choose(struct watch *w, struct policy *p, watch_next_fn *next,
    struct choice *ret_choices, uint32_t nr);

#endif
