// SPDX-License-Identifier: MIT
/*
 * FIFO: the frame whose page came first goes first, used or not.
 *
 * The baseline of every course. It ignores use, so hot pages leave as soon as cold ones, and it is
 * no stack algorithm: more frames can mean more faults (Belady, Nelson, Shedler: "An anomaly in
 * space-time characteristics of certain programs running in a paging machine", CACM 12(6), 1969;
 * the tests replay its reference string). In its favour: it never unmaps a page only to watch it,
 * so a page costs no fault while it is resident.
 *
 * It never holds, so `held` and `touched` do not occur; a touch that is reported all the same
 * changes nothing.
 */
#include "base/ensure.h"
#include "policy/frame_list.h"
#include "policy/policies.h"

enum where {
	OUT,
	QUEUED,
	CHOSEN,
};

struct policy {
	uint32_t nr_frames;
	struct frame_list queue; /* oldest first */
	struct frame_link *links;
	uint8_t *where; /* enum where, by frame */
};

static size_t fifo_state_bytes(uint32_t nr_frames)
{
	return sizeof(struct policy) + (size_t)nr_frames * (sizeof(struct frame_link) + 1);
}

static void fifo_init(struct policy *p, uint32_t nr_frames, uint32_t max_held)
{
	(void)max_held;
	p->nr_frames = nr_frames;
	frame_list_init(&p->queue);
	p->links = (struct frame_link *)(p + 1);
	p->where = (uint8_t *)(p->links + nr_frames);
}

static void fifo_insert(struct policy *p, struct frame_nr frame, uint32_t distance)
{
	(void)distance;
	ensure(frame.v < p->nr_frames && p->where[frame.v] != QUEUED);
	frame_list_append(&p->queue, p->links, frame.v);
	p->where[frame.v] = QUEUED;
}

static void fifo_ignore(struct policy *p, struct frame_nr frame)
{
	ensure(frame.v < p->nr_frames);
}

static void fifo_removed(struct policy *p, struct frame_nr frame)
{
	ensure(frame.v < p->nr_frames);
	if (p->where[frame.v] == QUEUED)
		frame_list_remove(&p->queue, p->links, frame.v);
	p->where[frame.v] = OUT;
}

static uint32_t fifo_choose(struct policy *p, struct choice *ret_choices, uint32_t nr)
{
	uint32_t n = 0;

	for (; n < nr && p->queue.nr; n++) {
		uint32_t f = p->queue.head;

		frame_list_remove(&p->queue, p->links, f);
		p->where[f] = CHOSEN;
		ret_choices[n] = (struct choice){{f}, CHOICE_EVICT};
	}
	return n;
}

const struct policy_ops policy_fifo = {
    .name = "fifo",
    .summary = "the page that came first goes first, used or not",
    .state_bytes = fifo_state_bytes,
    .init = fifo_init,
    .insert = fifo_insert,
    .touched = fifo_ignore,
    .held = fifo_ignore,
    .removed = fifo_removed,
    .choose = fifo_choose,
};
