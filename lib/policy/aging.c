// SPDX-License-Identifier: MIT
/*
 * Aging: not frequently used, with forgetting.
 *
 * Tanenbaum, Bos: "Modern Operating Systems", 3.4.7: each page has a counter of eight bits. At
 * every tick it is shifted right and the reference bit comes in at its left; the page with the
 * lowest counter goes. NRU (3.4.3) is its one-bit form. The counter is a coarse LRU of eight ticks
 * that tells a page used in each of them from one used in the last only.
 *
 * There is no tick here: a page's own turn is its tick. A mapped page is held when it is the oldest
 * in the queue. Touched, it has 0x80 | counter / 2 and goes back to the queue. Untouched for the
 * length of `held`, it has counter / 2, and stays held for another length: a page that was used
 * in more of its turns is watched longer. At counter 0 it goes.
 *
 * Progress: a counter is 0 after at most eight turns; choose() takes at most MAX_TURNS of them for
 * one eviction and then evicts the lowest that it saw. Holds without an eviction are bounded as in
 * clock.c.
 */
#include "base/ensure.h"
#include "policy/policies.h"
#include "policy/watch.h"

#define TOUCHED   0x80u
#define MAX_TURNS 32u /* guess: bounds the time under the policy's lock */

struct policy {
	struct watch w;
	uint8_t *age; /* by frame */
};

static size_t aging_state_bytes(uint32_t nr_frames)
{
	return watch_state_bytes(sizeof(struct policy), nr_frames) + nr_frames;
}

static void aging_init(struct policy *p, uint32_t nr_frames, uint32_t max_held)
{
	watch_init(&p->w, p + 1, nr_frames, max_held);
	p->age = p->w.list_of + nr_frames;
}

static void aging_insert(struct policy *p, struct frame_nr frame, uint32_t distance)
{
	(void)distance;
	ensure(frame.v < p->w.nr_frames);
	if (!watch_is_chosen(&p->w, frame))
		p->age[frame.v] = 0;
	watch_put(&p->w, frame, 0);
}

static void aging_touched(struct policy *p, struct frame_nr frame)
{
	ensure(frame.v < p->w.nr_frames);
	if (!watch_is_held(&p->w, frame))
		return;
	p->age[frame.v] = (uint8_t)(TOUCHED | p->age[frame.v] >> 1);
	watch_put(&p->w, frame, 0);
}

static void aging_held(struct policy *p, struct frame_nr frame)
{
	watch_held(&p->w, frame);
}

static void aging_removed(struct policy *p, struct frame_nr frame)
{
	watch_removed(&p->w, frame);
}

/* Bring the held page that is to go next to the head of `held`. */
static void turn(struct policy *p)
{
	struct frame_list *held = &p->w.held[0];
	uint32_t lowest = held->head, lowest_age = p->age[lowest];

	for (uint32_t i = 0; i < MIN(held->nr, MAX_TURNS); i++) {
		uint32_t f = held->head;

		if (p->age[f] < lowest_age) {
			lowest = f;
			lowest_age = p->age[f];
		}
		if (!p->age[f])
			break;
		p->age[f] >>= 1;
		frame_list_remove(held, p->w.links, f);
		frame_list_append(held, p->w.links, f);
	}
	if (lowest == held->head)
		return;
	frame_list_remove(held, p->w.links, lowest);
	frame_list_insert_before(held, p->w.links, held->head, lowest);
}

static struct watch_next next(struct policy *p)
{
	bool has_room = p->w.nr_held + p->w.nr_chosen_hold < p->w.max_held;

	if (p->w.nr_held && (!has_room || !p->w.list[0].nr))
		turn(p);
	return (struct watch_next){.list = watch_nr_of(&p->w, 0) ? 0 : WATCH_LISTS};
}

static uint32_t aging_choose(struct policy *p, struct choice *ret_choices, uint32_t nr)
{
	return watch_choose(&p->w, p, next, ret_choices, nr);
}

const struct policy_ops policy_aging = {
    .name = "aging",
    .summary = "eight bits of history a page (NFU with aging); the lowest goes",
    .state_bytes = aging_state_bytes,
    .init = aging_init,
    .set_max_held = watch_set_max_held,
    .insert = aging_insert,
    .touched = aging_touched,
    .held = aging_held,
    .removed = aging_removed,
    .choose = aging_choose,
};
