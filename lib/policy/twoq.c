// SPDX-License-Identifier: MIT
/*
 * 2Q.
 *
 * Johnson, Shasha: "2Q: A Low Overhead High Performance Buffer Management Replacement Algorithm",
 * VLDB 1994. A page comes first into A1in, a FIFO of a quarter of the memory, in which touches do
 * not count: two touches close together are one use (correlated references). Only a page that is
 * wanted again after it left A1in, while A1out still remembers it, goes to Am, which is an LRU. So
 * a scan passes through A1in and never reaches Am.
 *
 * The paper's parameters: Kin a quarter, Kout half of the frames. A1out remembers what left A1in,
 * not what left Am, and not for longer than 2 * nr_frames evictions.
 *
 * Am, which the paper keeps in exact LRU order, is a two-handed CLOCK (clock.c).
 */
#include "base/ensure.h"
#include "policy/ghosts.h"
#include "policy/policies.h"
#include "policy/watch.h"

enum list {
	A1IN,
	AM,
};

struct policy {
	struct watch w;
	struct ghosts a1out;
};

static size_t twoq_state_bytes(uint32_t nr_frames)
{
	return watch_state_bytes(sizeof(struct policy), nr_frames) + 2 * (size_t)nr_frames;
}

static void twoq_init(struct policy *p, uint32_t nr_frames, uint32_t max_held)
{
	watch_init(&p->w, p + 1, nr_frames, max_held);
	ghosts_init(&p->a1out, p->w.list_of + nr_frames, 2 * nr_frames, MAX(nr_frames / 2, 1u));
}

static void twoq_insert(struct policy *p, struct frame_nr frame, uint32_t distance)
{
	ensure(frame.v < p->w.nr_frames);
	bool is_in_am = watch_is_chosen(&p->w, frame) ? p->w.list_of[frame.v] == AM
	                                              : ghosts_take(&p->a1out, distance);

	watch_put(&p->w, frame, is_in_am ? AM : A1IN);
}

static void twoq_touched(struct policy *p, struct frame_nr frame)
{
	if (watch_is_held(&p->w, frame))
		watch_put(&p->w, frame, AM);
}

static void twoq_held(struct policy *p, struct frame_nr frame)
{
	watch_held(&p->w, frame);
}

static void twoq_removed(struct policy *p, struct frame_nr frame)
{
	if (watch_is_evicted(&p->w, frame))
		ghosts_evicted(&p->a1out, p->w.list_of[frame.v] == A1IN);
	watch_removed(&p->w, frame);
}

static struct watch_next next(struct policy *p)
{
	if (p->w.list[A1IN].nr > p->w.nr_frames / 4)
		return (struct watch_next){.list = A1IN, .evict_unseen = true};
	if (watch_nr_of(&p->w, AM))
		return (struct watch_next){.list = AM};
	if (p->w.list[A1IN].nr)
		return (struct watch_next){.list = A1IN, .evict_unseen = true};
	return (struct watch_next){.list = WATCH_LISTS};
}

static uint32_t twoq_choose(struct policy *p, struct choice *ret_choices, uint32_t nr)
{
	return watch_choose(&p->w, p, next, ret_choices, nr);
}

const struct policy_ops policy_twoq = {
    .name = "2q",
    .summary = "2Q: a FIFO for new pages, CLOCK for those that came back",
    .state_bytes = twoq_state_bytes,
    .init = twoq_init,
    .set_max_held = watch_set_max_held,
    .insert = twoq_insert,
    .touched = twoq_touched,
    .held = twoq_held,
    .removed = twoq_removed,
    .choose = twoq_choose,
};
