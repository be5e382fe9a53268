// SPDX-License-Identifier: MIT
/*
 * CLOCK with two hands, by unmapping.
 *
 * CLOCK (Corbato: "A paging experiment with the Multics system", 1968) approximates LRU with one
 * bit per frame: a hand goes round, takes away the bit where it is set, and evicts where it is
 * not. 4.3BSD added a second hand at a fixed distance (Leffler, McKusick, Karels, Quarterman:
 * "The Design and Implementation of the 4.3BSD UNIX Operating System", 1989, ch. 5): the front
 * hand clears, the back hand evicts what was not used in between. How long a page is watched then
 * depends on the distance only, not on the size of memory.
 *
 * Here the bit is the mapping. The circle is cut open into two queues:
 *
 *     tail              head        tail             head
 *      [ queue: mapped    ] --hold--> [ held: watched  ] --evict-->
 *       ^           front hand         |        back hand
 *       '----------- touched ----------'
 *
 * The front hand holds the page at the head of the queue; a touch takes it back to the queue's
 * tail, where the circle would have it: behind everything that the front hand will meet first.
 * The back hand evicts the oldest held page when `held` has no more room: the distance between the
 * hands is counted in pages that were not touched: the more of them are in use, the longer each is
 * watched (doc/performance.md).
 *
 * GCLOCK (Smith: "Sequentiality and prefetching in database systems", ACM TODS 3(3), 1978; analysed
 * by Nicola, Dan and Dias, SIGMETRICS 1992) counts uses, and the hand takes one off where CLOCK
 * takes the bit. Here, where asking costs a fault, the count says for how many rounds the front
 * hand passes a page without asking: one found in use once, for one round, twice in a row, for two.
 * What is in use all the time is so asked every third round; what no longer is stays a little
 * longer.
 *
 *  (a) Fair time. Before a held frame is evicted, the front hand has held max_held - 1 others
 *      after it. The exceptions are (c) and an empty queue: nothing else is left then.
 *  (b) max_held = 0: there is never room, the back hand takes from the queue's head: FIFO.
 *  (c) Progress. While touches keep emptying `held`, choose() may answer with holds only. After
 *      4 * max_held of them since the last eviction the oldest frame is evicted all the same: all
 *      were in use, so any choice is as bad. A call that evicts nothing holds at least one frame:
 *      of 4 * max_held + 1 successive calls that return anything at least one evicts. In the
 *      steady state, `held` full, each call with nr >= 2 is half evictions, half holds that refill.
 */
#include "base/ensure.h"
#include "policy/frame_list.h"
#include "policy/policies.h"

#define GCLOCK_ROUNDS 2u  /* 1 to 3 tried: doc/performance.md */
#define MAX_PASSED    64u /* by one step of the front hand; guess */

enum where {
	OUT,
	QUEUED,
	CHOSEN_HOLD,
	CHOSEN_EVICT,
	HELD,
};

/* held.nr + nr_chosen_hold <= max_held, until that is lowered; and each frame is in the list that
 * its `where` says. */
struct policy {
	uint32_t nr_frames, max_held;
	uint32_t nr_chosen_hold;
	uint32_t nr_fruitless;   /* steps since an eviction was last chosen */
	uint32_t max_rounds;     /* [const] 0: CLOCK */
	struct frame_list queue; /* mapped; next for the front hand first */
	struct frame_list held;  /* next for the back hand first */
	struct frame_link *links;
	uint8_t *where; /* enum where, by frame */
	/* By frame: how often in a row it was found in use, up to max_rounds, and for how many
	 * rounds it is still left alone for that. */
	uint8_t *found, *alone;
};

static size_t clock_state_bytes(uint32_t nr_frames)
{
	return sizeof(struct policy) + (size_t)nr_frames * (sizeof(struct frame_link) + 3);
}

static void init(struct policy *p, uint32_t nr_frames, uint32_t max_held, uint32_t max_rounds)
{
	p->max_rounds = max_rounds;
	p->nr_frames = nr_frames;
	p->max_held = max_held;
	frame_list_init(&p->queue);
	frame_list_init(&p->held);
	p->links = (struct frame_link *)(p + 1);
	p->where = (uint8_t *)(p->links + nr_frames);
	p->found = p->where + nr_frames;
	p->alone = p->found + nr_frames;
}

static void clock_init(struct policy *p, uint32_t nr_frames, uint32_t max_held)
{
	init(p, nr_frames, max_held, 0);
}

static void gclock_init(struct policy *p, uint32_t nr_frames, uint32_t max_held)
{
	init(p, nr_frames, max_held, GCLOCK_ROUNDS);
}

static void clock_set_max_held(struct policy *p, uint32_t max_held)
{
	p->max_held = max_held;
}

static void leave(struct policy *p, uint32_t f)
{
	switch ((enum where)p->where[f]) {
	case QUEUED:
		frame_list_remove(&p->queue, p->links, f);
		break;
	case HELD:
		frame_list_remove(&p->held, p->links, f);
		break;
	case CHOSEN_HOLD:
		p->nr_chosen_hold--;
		break;
	case CHOSEN_EVICT:
	case OUT:
		break;
	}
	p->where[f] = OUT;
}

static void queue(struct policy *p, uint32_t f)
{
	frame_list_append(&p->queue, p->links, f);
	p->where[f] = QUEUED;
}

static void clock_insert(struct policy *p, struct frame_nr frame, uint32_t distance)
{
	(void)distance;
	ensure(frame.v < p->nr_frames);
	ensure(p->where[frame.v] != QUEUED && p->where[frame.v] != HELD);
	leave(p, frame.v);
	p->found[frame.v] = p->alone[frame.v] = 0;
	queue(p, frame.v);
}

static void clock_touched(struct policy *p, struct frame_nr frame)
{
	ensure(frame.v < p->nr_frames);
	if (p->where[frame.v] != HELD)
		return;
	leave(p, frame.v);
	p->found[frame.v] = (uint8_t)MIN(p->found[frame.v] + 1u, p->max_rounds);
	p->alone[frame.v] = p->found[frame.v];
	queue(p, frame.v);
}

static void clock_held(struct policy *p, struct frame_nr frame)
{
	ensure(frame.v < p->nr_frames && p->where[frame.v] == CHOSEN_HOLD);
	leave(p, frame.v);
	frame_list_append(&p->held, p->links, frame.v);
	p->where[frame.v] = HELD;
}

static void clock_removed(struct policy *p, struct frame_nr frame)
{
	ensure(frame.v < p->nr_frames);
	leave(p, frame.v);
}

static bool has_room(const struct policy *p)
{
	return p->held.nr + p->nr_chosen_hold < p->max_held;
}

/* Whether the back hand may move. */
static bool may_evict(const struct policy *p)
{
	if (!p->held.nr) /* (b), (c), and all of max_held on their way to be held */
		return p->queue.nr && (!has_room(p) || p->nr_fruitless >= 4 * p->max_held);
	return !has_room(p) || !p->queue.nr || p->nr_fruitless >= 4 * p->max_held;
}

static struct choice evict(struct policy *p)
{
	uint32_t f = p->held.nr ? p->held.head : p->queue.head;

	leave(p, f);
	p->where[f] = CHOSEN_EVICT;
	p->nr_fruitless = 0;
	return (struct choice){{f}, CHOICE_EVICT};
}

static struct choice hold(struct policy *p)
{
	uint32_t f = p->queue.head;

	for (uint32_t i = 0; p->alone[f] && i < MAX_PASSED; i++, f = p->queue.head) {
		p->alone[f]--;
		leave(p, f);
		queue(p, f);
	}

	leave(p, f);
	p->where[f] = CHOSEN_HOLD;
	p->nr_chosen_hold++;
	p->nr_fruitless++;
	return (struct choice){{f}, CHOICE_HOLD};
}

static uint32_t clock_choose(struct policy *p, struct choice *ret_choices, uint32_t nr)
{
	uint32_t n = 0, nr_evict = 0;

	while (n < nr) {
		bool can_hold = p->queue.nr && has_room(p);

		/* Both hands advance together: an eviction makes the room for the next hold. */
		if (may_evict(p) && (!can_hold || nr_evict <= n - nr_evict)) {
			ret_choices[n++] = evict(p);
			nr_evict++;
		} else if (can_hold) {
			ret_choices[n++] = hold(p);
		} else {
			break;
		}
	}
	return n;
}

const struct policy_ops policy_clock = {
    .name = "clock",
    .summary = "two-handed CLOCK: unmaps a page, evicts it if not touched soon",
    .state_bytes = clock_state_bytes,
    .init = clock_init,
    .set_max_held = clock_set_max_held,
    .insert = clock_insert,
    .touched = clock_touched,
    .held = clock_held,
    .removed = clock_removed,
    .choose = clock_choose,
};

const struct policy_ops policy_gclock = {
    .name = "gclock",
    .summary = "CLOCK that asks a page less often the more often it was in use",
    .state_bytes = clock_state_bytes,
    .init = gclock_init,
    .set_max_held = clock_set_max_held,
    .insert = clock_insert,
    .touched = clock_touched,
    .held = clock_held,
    .removed = clock_removed,
    .choose = clock_choose,
};
