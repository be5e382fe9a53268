// SPDX-License-Identifier: MIT
/*
 * Second chance with an active and an inactive list, as in Linux.
 *
 * A page comes in at the tail of `inactive`. There it has the length of that list, and then of
 * `held`, to be used again; if it is, it is active: what was used once (a scan) never pushes out
 * what was used twice. The idea is 2.4BSD's and Mach's second chance; Gorman: "Understanding the
 * Linux Virtual Memory Manager", 2004, ch. 10, describes Linux's. Where it fails is a working set
 * that has just replaced another: its pages go by faster than they come again. So a page whose
 * refault distance is at most the memory is active at once: it would have stayed if the active
 * list had made room (Weiner: "Thrash detection-based file cache sizing", 2013).
 *
 * The active list gives up its oldest page to `inactive`, unasked and still mapped, while it has
 * more than half of all pages. Simulated (zipf 0.99, 131,072 pages, 65,536 frames, 1/8 held,
 * 2 million touches; LRU 165,600 faults, CLOCK 183,000): a half gives 177,000. An active share of
 * 0.8 and a refault distance of a quarter of memory give 167,000, but up to 70 % more faults than
 * this after the program has moved on to another working set: not worth it.
 */
#include "base/ensure.h"
#include "policy/policies.h"
#include "policy/watch.h"

enum list {
	INACTIVE,
	ACTIVE,
};

struct policy {
	struct watch w;
};

static size_t active_state_bytes(uint32_t nr_frames)
{
	return watch_state_bytes(sizeof(struct policy), nr_frames);
}

static void active_init(struct policy *p, uint32_t nr_frames, uint32_t max_held)
{
	watch_init(&p->w, p + 1, nr_frames, max_held);
}

static void active_insert(struct policy *p, struct frame_nr frame, uint32_t distance)
{
	ensure(frame.v < p->w.nr_frames);
	/* Rescued, or not to be had just now: to put it among the active ones costs one round. */
	bool is_active = distance <= p->w.nr_frames;

	watch_put(&p->w, frame, is_active ? ACTIVE : INACTIVE);
}

static void active_touched(struct policy *p, struct frame_nr frame)
{
	if (watch_is_held(&p->w, frame))
		watch_put(&p->w, frame, ACTIVE);
}

static void active_held(struct policy *p, struct frame_nr frame)
{
	watch_held(&p->w, frame);
}

static void active_removed(struct policy *p, struct frame_nr frame)
{
	watch_removed(&p->w, frame);
}

static struct watch_next next(struct policy *p)
{
	while (p->w.list[ACTIVE].nr > watch_nr(&p->w) / 2)
		watch_move(&p->w, ACTIVE, INACTIVE);
	if (!watch_nr_of(&p->w, INACTIVE) && p->w.list[ACTIVE].nr)
		watch_move(&p->w, ACTIVE, INACTIVE);
	return (struct watch_next){.list = watch_nr_of(&p->w, INACTIVE) ? INACTIVE : WATCH_LISTS};
}

static uint32_t active_choose(struct policy *p, struct choice *ret_choices, uint32_t nr)
{
	return watch_choose(&p->w, p, next, ret_choices, nr);
}

const struct policy_ops policy_active = {
    .name = "active",
    .summary = "Linux's active and inactive lists, with refault distance",
    .state_bytes = active_state_bytes,
    .init = active_init,
    .set_max_held = watch_set_max_held,
    .insert = active_insert,
    .touched = active_touched,
    .held = active_held,
    .removed = active_removed,
    .choose = active_choose,
};
