// SPDX-License-Identifier: MIT
/*
 * Doubly linked lists of frames by number: a frame is in at most one list of those that share
 * one array of links. Every operation is O(1). For policies only.
 */
#ifndef FL_POLICY_FRAME_LIST_H
#define FL_POLICY_FRAME_LIST_H

#include "base/types.h"

#define FRAME_LIST_END UINT32_MAX

struct frame_link {
	uint32_t prev, next;
};

struct frame_list {
	uint32_t head, tail; /* FRAME_LIST_END when empty */
	uint32_t nr;
};

static inline void frame_list_init(struct frame_list *l)
{
	*l = (struct frame_list){FRAME_LIST_END, FRAME_LIST_END, 0};
}

static inline void frame_list_append(struct frame_list *l, struct frame_link *links, uint32_t f)
{
	links[f] = (struct frame_link){l->tail, FRAME_LIST_END};
	if (l->tail == FRAME_LIST_END)
		l->head = f;
	else
		links[l->tail].next = f;
	l->tail = f;
	l->nr++;
}

/* @next: a frame of @l, or FRAME_LIST_END. */
static inline void frame_list_insert_before(
    struct frame_list *l, struct frame_link *links, uint32_t next, uint32_t f)
{
	if (next == FRAME_LIST_END) {
		frame_list_append(l, links, f);
		return;
	}
	links[f] = (struct frame_link){links[next].prev, next};
	if (links[next].prev == FRAME_LIST_END)
		l->head = f;
	else
		links[links[next].prev].next = f;
	links[next].prev = f;
	l->nr++;
}

static inline void frame_list_remove(struct frame_list *l, struct frame_link *links, uint32_t f)
{
	struct frame_link at = links[f];

	if (at.prev == FRAME_LIST_END)
		l->head = at.next;
	else
		links[at.prev].next = at.next;
	if (at.next == FRAME_LIST_END)
		l->tail = at.prev;
	else
		links[at.next].prev = at.prev;
	l->nr--;
}

#endif
