// SPDX-License-Identifier: MIT
/*
 * S3-FIFO: three static FIFO queues.
 *
 * Yang, Zhang, Qiu, Yue, Rashmi: "FIFO queues are all you need for cache eviction", SOSP 2023.
 * Most pages are used once within a memory's length, so a small queue S (a tenth) sees new pages
 * first and drops quickly what is not used in it ("quick demotion"); what is used, or comes back
 * while the ghost queue G remembers it, goes to the main queue M, where a used page goes round
 * again.
 *
 * The paper counts up to three uses of a page, and two take it from S to M. Live, use is seen by
 * unmapping only, and one bit is what one sees: the pages of S, then those of M, are held, oldest
 * first; one that is touched keeps its place, and goes on when it is the oldest: from S to M, and
 * round in M. Up to half of max_held is for S, which seldom needs more. G remembers as many of S's
 * evictions as M has pages, but none for longer than 2 * nr_frames evictions.
 */
#include "base/ensure.h"
#include "policy/ghosts.h"
#include "policy/policies.h"
#include "policy/watch.h"

enum list {
	SMALL,
	MAIN,
};

struct policy {
	struct watch w;
	struct ghosts g;
};

static size_t s3_fifo_state_bytes(uint32_t nr_frames)
{
	return watch_state_bytes(sizeof(struct policy), nr_frames) + 2 * (size_t)nr_frames;
}

static uint32_t small_target(const struct policy *p)
{
	return MAX(p->w.nr_frames / 10, 1u);
}

static void s3_fifo_init(struct policy *p, uint32_t nr_frames, uint32_t max_held)
{
	watch_init(&p->w, p + 1, nr_frames, max_held);
	ghosts_init(&p->g, p->w.list_of + nr_frames, 2 * nr_frames, nr_frames - small_target(p));
}

static void s3_fifo_insert(struct policy *p, struct frame_nr frame, uint32_t distance)
{
	ensure(frame.v < p->w.nr_frames);
	/* Rescued, or not to be had just now: that is a use. */
	bool is_ghost = watch_is_chosen(&p->w, frame) || ghosts_take(&p->g, distance);

	watch_put(&p->w, frame, is_ghost ? MAIN : SMALL);
}

static void s3_fifo_touched(struct policy *p, struct frame_nr frame)
{
	if (watch_is_held(&p->w, frame))
		watch_use(&p->w, frame);
}

static void s3_fifo_held(struct policy *p, struct frame_nr frame)
{
	watch_held(&p->w, frame);
}

static void s3_fifo_removed(struct policy *p, struct frame_nr frame)
{
	if (watch_is_evicted(&p->w, frame))
		ghosts_evicted(&p->g, p->w.list_of[frame.v] == SMALL);
	watch_removed(&p->w, frame);
}

static uint32_t turn_of(const struct policy *p)
{
	uint32_t nr_small = watch_nr_of(&p->w, SMALL), nr_main = watch_nr_of(&p->w, MAIN);

	if (nr_small >= small_target(p) || !nr_main)
		return nr_small ? SMALL : WATCH_LISTS;
	return MAIN;
}

/* The rest of what may be held is for S. */
static uint32_t max_held_of_main(const struct policy *p)
{
	return p->w.max_held - MIN(small_target(p), p->w.max_held / 2);
}

static struct watch_next next(struct policy *p)
{
	uint32_t list = turn_of(p);

	while (list != WATCH_LISTS && watch_is_oldest_used(&p->w, list)) {
		watch_put(&p->w, (struct frame_nr){p->w.held[list].head}, MAIN);
		list = turn_of(p);
	}
	if (list != MAIN)
		return (struct watch_next){.list = list};
	return (struct watch_next){
	    .list = MAIN,
	    .evict_held = p->w.held[MAIN].nr && p->w.nr_held_of[MAIN] >= max_held_of_main(p),
	};
}

static uint32_t s3_fifo_choose(struct policy *p, struct choice *ret_choices, uint32_t nr)
{
	return watch_choose(&p->w, p, next, ret_choices, nr);
}

const struct policy_ops policy_s3_fifo = {
    .name = "s3-fifo",
    .summary = "S3-FIFO: a small queue sifts new pages for the main one",
    .state_bytes = s3_fifo_state_bytes,
    .init = s3_fifo_init,
    .set_max_held = watch_set_max_held,
    .insert = s3_fifo_insert,
    .touched = s3_fifo_touched,
    .held = s3_fifo_held,
    .removed = s3_fifo_removed,
    .choose = s3_fifo_choose,
};
