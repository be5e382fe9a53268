// SPDX-License-Identifier: MIT
/*
 * WSClock.
 *
 * Carr, Hennessy: "WSCLOCK - a simple and effective algorithm for virtual memory management", SOSP
 * 1981. Denning's working set ("The working set model for program behavior", CACM 11(5), 1968) is
 * the pages used within the last tau of the program's own time; pages outside it may go. WSClock
 * finds them with CLOCK's hand: at a page whose bit is set it clears the bit and notes the time of
 * its last use; at one whose bit is clear it evicts the page if its last use is more than tau ago.
 * If the hand finds none so old, the oldest that it saw goes.
 *
 * A policy has no clock: time is counted in uses seen, page faults and touches of held pages, which
 * stands still while the program does. Tau is half a memory's worth of them (guess). The paper's
 * hand prefers clean pages, and queues dirty ones for writing: here the pager does that, for every
 * policy, and this one does not know which are dirty.
 *
 *     queue: mapped --hand--> held: bit clear --age > tau, or oldest seen--> evicted
 *       ^---------- touched ----------'   '-- younger: passed over --> held's tail
 */
#include "base/ensure.h"
#include "policy/policies.h"
#include "policy/watch.h"

#define MAX_SEEN 16u /* held pages the hand looks at for one eviction; guess */

struct policy {
	struct watch w;
	uint32_t now, tau;
	uint32_t *last_use; /* by frame */
};

static size_t wsclock_state_bytes(uint32_t nr_frames)
{
	return watch_state_bytes(sizeof(struct policy), nr_frames) +
	       (size_t)nr_frames * sizeof(uint32_t);
}

static void wsclock_init(struct policy *p, uint32_t nr_frames, uint32_t max_held)
{
	p->last_use = (uint32_t *)(p + 1);
	watch_init(&p->w, p->last_use + nr_frames, nr_frames, max_held);
	p->tau = MAX(nr_frames / 2, 1u);
}

static void used(struct policy *p, struct frame_nr frame)
{
	p->last_use[frame.v] = ++p->now;
	watch_put(&p->w, frame, 0);
}

static void wsclock_insert(struct policy *p, struct frame_nr frame, uint32_t distance)
{
	(void)distance;
	ensure(frame.v < p->w.nr_frames);
	used(p, frame);
}

static void wsclock_touched(struct policy *p, struct frame_nr frame)
{
	ensure(frame.v < p->w.nr_frames);
	if (watch_is_held(&p->w, frame))
		used(p, frame);
}

static void wsclock_held(struct policy *p, struct frame_nr frame)
{
	watch_held(&p->w, frame);
}

static void wsclock_removed(struct policy *p, struct frame_nr frame)
{
	watch_removed(&p->w, frame);
}

/* Bring the held page that is to go next to the head of `held`. */
static void look(struct policy *p)
{
	struct frame_list *held = &p->w.held;
	uint32_t oldest = held->head;

	for (uint32_t i = 0; i < MIN(held->nr, MAX_SEEN); i++) {
		uint32_t f = held->head;

		if (p->now - p->last_use[f] > p->now - p->last_use[oldest])
			oldest = f;
		if (p->now - p->last_use[f] > p->tau)
			break;
		frame_list_remove(held, p->w.links, f);
		frame_list_append(held, p->w.links, f);
	}
	if (oldest == held->head)
		return;
	frame_list_remove(held, p->w.links, oldest);
	frame_list_insert_before(held, p->w.links, held->head, oldest);
}

static struct watch_next next(struct policy *p)
{
	bool has_room = p->w.held.nr + p->w.nr_chosen_hold < p->w.max_held;

	if (p->w.held.nr && (!has_room || !p->w.list[0].nr))
		look(p);
	return (struct watch_next){.list = p->w.list[0].nr ? 0 : WATCH_LISTS};
}

static uint32_t wsclock_choose(struct policy *p, struct choice *ret_choices, uint32_t nr)
{
	return watch_choose(&p->w, p, next, ret_choices, nr);
}

const struct policy_ops policy_wsclock = {
    .name = "wsclock",
    .summary = "WSClock: evicts what was not used within the working-set window",
    .state_bytes = wsclock_state_bytes,
    .init = wsclock_init,
    .insert = wsclock_insert,
    .touched = wsclock_touched,
    .held = wsclock_held,
    .removed = wsclock_removed,
    .choose = wsclock_choose,
};
