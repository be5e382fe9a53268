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
 * The paper counts up to three uses of a page that is mapped. Live, use is seen by unmapping only:
 * the head of S or M is held, and goes to M if it is touched. G, as long as M, is the refault
 * distance; it counts evictions from M too.
 */
#include "base/ensure.h"
#include "policy/policies.h"
#include "policy/watch.h"

enum list {
	SMALL,
	MAIN,
};

struct policy {
	struct watch w;
};

static size_t s3_fifo_state_bytes(uint32_t nr_frames)
{
	return watch_state_bytes(sizeof(struct policy), nr_frames);
}

static void s3_fifo_init(struct policy *p, uint32_t nr_frames, uint32_t max_held)
{
	watch_init(&p->w, p + 1, nr_frames, max_held);
}

static uint32_t small_target(const struct policy *p)
{
	return MAX(p->w.nr_frames / 10, 1u);
}

static void s3_fifo_insert(struct policy *p, struct frame_nr frame, uint32_t distance)
{
	ensure(frame.v < p->w.nr_frames);
	bool is_ghost = distance <= p->w.nr_frames - small_target(p);

	watch_put(&p->w, frame, is_ghost ? MAIN : SMALL);
}

static void s3_fifo_touched(struct policy *p, struct frame_nr frame)
{
	if (watch_is_held(&p->w, frame))
		watch_put(&p->w, frame, MAIN);
}

static void s3_fifo_held(struct policy *p, struct frame_nr frame)
{
	watch_held(&p->w, frame);
}

static void s3_fifo_removed(struct policy *p, struct frame_nr frame)
{
	watch_removed(&p->w, frame);
}

static struct watch_next next(struct policy *p)
{
	if (p->w.list[SMALL].nr >= small_target(p) || !p->w.list[MAIN].nr)
		return (struct watch_next){.list = p->w.list[SMALL].nr ? SMALL : WATCH_LISTS};
	return (struct watch_next){.list = MAIN};
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
    .insert = s3_fifo_insert,
    .touched = s3_fifo_touched,
    .held = s3_fifo_held,
    .removed = s3_fifo_removed,
    .choose = s3_fifo_choose,
};
