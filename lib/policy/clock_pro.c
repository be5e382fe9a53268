// SPDX-License-Identifier: MIT
/*
 * CLOCK-Pro.
 *
 * Jiang, Chen, Zhang: "CLOCK-Pro: An Effective Improvement of the CLOCK Replacement", USENIX ATC
 * 2005: LIRS (lirs.c) with one bit a page. Pages are hot or cold by the distance between their last
 * two uses. A cold page is in its test period until as many pages as there are frames were evicted
 * after it; used in it, resident or not, it becomes hot, and the target number of cold pages grows
 * by one. A test period that ends without a use lowers the target by one. So a program with weak
 * locality (a loop larger than memory) gets few cold frames, which protects the hot ones, and one
 * that moves on to other pages gets many.
 *
 *     HAND_cold  holds the oldest cold page; touched in its test period: hot; else cold again, in a
 *                new test period; untouched: evicted, and remembered while the test period lasts
 *     HAND_hot   while more are hot than the target leaves, the oldest hot one becomes cold, out of
 *                test, still mapped: HAND_cold will ask whether it is used
 *     HAND_test  is a count: what was evicted in its test period and has not come back yet; beyond
 *                nr_frames the oldest one's test is over
 *
 * That a page comes back in its test period is the refault distance. The three hands share one
 * circle in the paper; here each list is a circle of its own.
 */
#include "base/ensure.h"
#include "policy/policies.h"
#include "policy/watch.h"

enum list {
	COLD,
	HOT,
};

struct policy {
	struct watch w;
	uint32_t cold_target; /* 1 .. nr_frames */
	uint32_t nr_ghosts;   /* evicted in their test period, and not come back */
	uint8_t *in_test;     /* by frame */
};

static size_t clock_pro_state_bytes(uint32_t nr_frames)
{
	return watch_state_bytes(sizeof(struct policy), nr_frames) + nr_frames;
}

static void clock_pro_init(struct policy *p, uint32_t nr_frames, uint32_t max_held)
{
	watch_init(&p->w, p + 1, nr_frames, max_held);
	p->in_test = p->w.list_of + nr_frames;
	p->cold_target = MAX(nr_frames / 2, 1u);
}

static void more_cold(struct policy *p)
{
	p->cold_target = MIN(p->cold_target + 1, p->w.nr_frames);
}

static void clock_pro_insert(struct policy *p, struct frame_nr frame, uint32_t distance)
{
	ensure(frame.v < p->w.nr_frames);
	bool is_hot = distance <= p->w.nr_frames;

	if (is_hot && !watch_is_chosen(&p->w, frame)) {
		more_cold(p);
		p->nr_ghosts -= p->nr_ghosts > 0;
	}
	p->in_test[frame.v] = !is_hot;
	watch_put(&p->w, frame, is_hot ? HOT : COLD);
}

static void clock_pro_touched(struct policy *p, struct frame_nr frame)
{
	if (!watch_is_held(&p->w, frame))
		return;
	bool is_hot = p->in_test[frame.v];

	if (is_hot)
		more_cold(p);
	p->in_test[frame.v] = !is_hot;
	watch_put(&p->w, frame, is_hot ? HOT : COLD);
}

static void clock_pro_held(struct policy *p, struct frame_nr frame)
{
	watch_held(&p->w, frame);
}

static void clock_pro_removed(struct policy *p, struct frame_nr frame)
{
	ensure(frame.v < p->w.nr_frames);
	bool was_evicted = p->w.where[frame.v] == WATCH_CHOSEN_EVICT;

	if (was_evicted && p->in_test[frame.v] && ++p->nr_ghosts > p->w.nr_frames) {
		p->nr_ghosts--;
		p->cold_target = MAX(p->cold_target - 1, 1u);
	}
	watch_removed(&p->w, frame);
}

static struct watch_next next(struct policy *p)
{
	while (p->w.list[HOT].nr > p->w.nr_frames - p->cold_target) {
		p->in_test[p->w.list[HOT].head] = false;
		watch_move(&p->w, HOT, COLD);
	}
	if (p->w.list[COLD].nr)
		return (struct watch_next){.list = COLD};
	if (p->w.list[HOT].nr && !p->w.held.nr) {
		p->in_test[p->w.list[HOT].head] = false;
		return (struct watch_next){.list = HOT};
	}
	return (struct watch_next){.list = WATCH_LISTS};
}

static uint32_t clock_pro_choose(struct policy *p, struct choice *ret_choices, uint32_t nr)
{
	return watch_choose(&p->w, p, next, ret_choices, nr);
}

const struct policy_ops policy_clock_pro = {
    .name = "clock-pro",
    .summary = "CLOCK-Pro: hot and cold by reuse distance, as LIRS",
    .state_bytes = clock_pro_state_bytes,
    .init = clock_pro_init,
    .insert = clock_pro_insert,
    .touched = clock_pro_touched,
    .held = clock_pro_held,
    .removed = clock_pro_removed,
    .choose = clock_pro_choose,
};
