// SPDX-License-Identifier: MIT
/*
 * Exact LRU stack distances, and with them the faults of LRU for every number of frames, in one
 * pass (Mattson, Gecsei, Slutz, Traiger, 1970).
 *
 * The stack distance of a reference is the number of distinct pages referenced since the last
 * reference to its page, that one included: it hits exactly where there are at least so many
 * frames.
 */
#ifndef FL_REPLAY_STACK_H
#define FL_REPLAY_STACK_H

#include "base/types.h"

struct stack {
	/* Time has nr_slots of them; a bit of `live` is set at the last reference of each page. */
	uint32_t nr_slots, now, nr_pages, room;
	uint64_t *live;
	uint32_t *tree;    /* Fenwick tree of the bits in each word before now's */
	uint32_t *page_at; /* by slot, valid where live */
	uint32_t *last;    /* by page: its slot */

	uint64_t *histogram; /* [d]: references of stack distance d; [0]: first references */
	uint64_t nr_refs;
};

int stack_init(struct stack *s);
void stack_fini(struct stack *s);

/* References to @nr pages, numbered without gaps from 0 in the order of their first. @nr_pages:
 * how many there are by then. Return: 0 or -ENOMEM. */
int stack_access(struct stack *s, const uint32_t *ids, size_t nr, uint32_t nr_pages);

/* Faults of LRU with 0 .. @max_frames frames; @ret_faults has max_frames + 1 entries. */
void stack_faults(const struct stack *s, uint32_t max_frames, uint64_t *ret_faults);

#endif
