// SPDX-License-Identifier: MIT
/*
 * WSClock.
 *
 * Carr, Hennessy: "WSCLOCK - a simple and effective algorithm for virtual memory management", SOSP
 * 1981. Denning's working set ("The working set model for program behavior", CACM 11(5), 1968) is
 * the pages used within the last tau of the program's own time; pages outside it may go. WSClock
 * finds them with CLOCK's hand: at a page whose bit is set it clears the bit and notes the time; at
 * one whose bit is clear it evicts the page if it was not used for longer than tau.
 *
 * So the time for which a page is watched is tau, where CLOCK's (clock.c) depends on how many of
 * the pages watched with it are in use. A policy has no clock: time is counted in uses seen, page
 * faults and touches of held pages, and stands still while the program does. Tau is as many of
 * them as pages may be held (guess): where nothing that is held is in use, this is CLOCK; the more
 * of it is, the sooner the rest goes. If `held` is full before its oldest page is that old, that
 * page goes: the paper's hand that comes round without finding one.
 *
 * The paper's hand prefers clean pages and queues dirty ones for writing: here the pager does that,
 * for every policy, and this one does not know which are dirty.
 */
#include "base/ensure.h"
#include "policy/policies.h"
#include "policy/watch.h"

struct policy {
	struct watch w;
	uint32_t now, tau;
	uint32_t *held_at; /* by frame */
};

static size_t wsclock_state_bytes(uint32_t nr_frames)
{
	return watch_state_bytes(sizeof(struct policy), nr_frames) +
	       (size_t)nr_frames * sizeof(uint32_t);
}

static void wsclock_init(struct policy *p, uint32_t nr_frames, uint32_t max_held)
{
	p->held_at = (uint32_t *)(p + 1);
	watch_init(&p->w, p->held_at + nr_frames, nr_frames, max_held);
	p->tau = MAX(max_held, 1u);
}

static void wsclock_set_max_held(struct policy *p, uint32_t max_held)
{
	watch_set_max_held(p, max_held);
	p->tau = MAX(max_held, 1u);
}

static void used(struct policy *p, struct frame_nr frame)
{
	p->now++;
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
	p->held_at[frame.v] = p->now;
}

static void wsclock_removed(struct policy *p, struct frame_nr frame)
{
	watch_removed(&p->w, frame);
}

static struct watch_next next(struct policy *p)
{
	const struct frame_list *held = &p->w.held[0];

	return (struct watch_next){
	    .list = watch_nr_of(&p->w, 0) ? 0 : WATCH_LISTS,
	    .evict_held = held->nr && p->now - p->held_at[held->head] > p->tau,
	};
}

static uint32_t wsclock_choose(struct policy *p, struct choice *ret_choices, uint32_t nr)
{
	return watch_choose(&p->w, p, next, ret_choices, nr);
}

const struct policy_ops policy_wsclock = {
    .name = "wsclock",
    .summary = "WSClock: evicts what the working-set window left behind",
    .state_bytes = wsclock_state_bytes,
    .init = wsclock_init,
    .set_max_held = wsclock_set_max_held,
    .insert = wsclock_insert,
    .touched = wsclock_touched,
    .held = wsclock_held,
    .removed = wsclock_removed,
    .choose = wsclock_choose,
};
