// SPDX-License-Identifier: MIT
/* A hand that moves along a queue; see hand.h. */
#include "policy/hand.h"

#include "base/ensure.h"

size_t hand_state_bytes(size_t struct_bytes, uint32_t nr_frames)
{
	return struct_bytes + (size_t)nr_frames * (2 * sizeof(struct frame_link) + 1);
}

void hand_init(struct hand *h, void *memory, uint32_t nr_frames, uint32_t max_held)
{
	h->nr_frames = nr_frames;
	h->max_held = max_held;
	h->at = FRAME_LIST_END;
	frame_list_init(&h->queue);
	frame_list_init(&h->held);
	frame_list_init(&h->newest);
	h->links = memory;
	h->held_links = h->links + nr_frames;
	h->where = (uint8_t *)(h->held_links + nr_frames);
}

void hand_set_max_held(struct policy *p, uint32_t max_held)
{
	((struct hand *)p)->max_held = max_held;
}

static void leave_watch(struct hand *h, uint32_t f)
{
	if (h->where[f] == HAND_HELD)
		frame_list_remove(&h->held, h->held_links, f);
	if (h->where[f] == HAND_NEW)
		frame_list_remove(&h->newest, h->held_links, f);
	h->nr_chosen_hold -= h->where[f] == HAND_CHOSEN_HOLD;
}

void hand_removed(struct hand *h, struct frame_nr frame)
{
	ensure(frame.v < h->nr_frames);
	enum hand_where where = h->where[frame.v];

	leave_watch(h, frame.v);
	if (where != HAND_OUT && where != HAND_CHOSEN_EVICT) {
		if (h->at == frame.v)
			h->at = h->links[frame.v].next;
		frame_list_remove(&h->queue, h->links, frame.v);
	}
	h->where[frame.v] = HAND_OUT;
}

void hand_insert(struct hand *h, struct frame_nr frame, uint32_t before)
{
	ensure(frame.v < h->nr_frames);
	ensure(h->where[frame.v] != HAND_QUEUED && h->where[frame.v] != HAND_NEW &&
	       h->where[frame.v] != HAND_HELD);
	if (h->where[frame.v] != HAND_CHOSEN_HOLD)
		frame_list_insert_before(&h->queue, h->links, before, frame.v);
	leave_watch(h, frame.v);
	h->where[frame.v] = HAND_QUEUED;
}

void hand_insert_clear(struct hand *h, struct frame_nr frame, uint32_t before)
{
	ensure(frame.v < h->nr_frames);
	bool is_new = h->where[frame.v] == HAND_OUT;

	hand_insert(h, frame, before);
	if (!is_new || !h->has_evicted) /* it was busy: that is a use */
		return;
	frame_list_append(&h->newest, h->held_links, frame.v);
	h->where[frame.v] = HAND_NEW;
}

void hand_touched(struct hand *h, struct frame_nr frame)
{
	ensure(frame.v < h->nr_frames);
	if (h->where[frame.v] != HAND_HELD)
		return;
	leave_watch(h, frame.v);
	h->where[frame.v] = HAND_QUEUED;
}

void hand_held(struct hand *h, struct frame_nr frame)
{
	ensure(frame.v < h->nr_frames && h->where[frame.v] == HAND_CHOSEN_HOLD);
	leave_watch(h, frame.v);
	frame_list_append(&h->held, h->held_links, frame.v);
	h->where[frame.v] = HAND_HELD;
}

static struct choice evict(struct hand *h, uint32_t f)
{
	hand_removed(h, (struct frame_nr){f});
	h->where[f] = HAND_CHOSEN_EVICT;
	h->nr_fruitless = 0;
	h->has_evicted = true;
	return (struct choice){{f}, CHOICE_EVICT};
}

static struct choice hold(struct hand *h, uint32_t f)
{
	leave_watch(h, f);
	h->where[f] = HAND_CHOSEN_HOLD;
	h->nr_chosen_hold++;
	h->nr_fruitless++;
	return (struct choice){{f}, CHOICE_HOLD};
}

/* The last room goes to the newest page and to the hand in turn, so that the hand moves though all
 * that is evicted is new. */
static bool may_hold_newest(struct hand *h)
{
	if (h->held.nr + h->nr_chosen_hold + 1 < h->max_held || h->max_held == h->nr_frames)
		return true;
	h->is_newests_turn = !h->is_newests_turn;
	return h->is_newests_turn;
}

/* One step of the hand. Return: whether it made a choice. */
static bool step(struct hand *h, struct choice *ret_choice)
{
	uint32_t f = h->at == FRAME_LIST_END ? h->queue.head : h->at;
	bool has_room = h->held.nr + h->nr_chosen_hold < h->max_held;
	bool is_late = h->nr_fruitless >= 4 * h->max_held;

	/* All that is not held is out of reach; if nothing is, the hand finds a held page itself.
	 */
	if (!has_room && h->held.nr && h->held.nr + h->nr_chosen_hold < h->queue.nr) {
		*ret_choice = evict(h, h->held.head);
		return true;
	}
	if (h->newest.nr && has_room && !is_late && may_hold_newest(h)) {
		*ret_choice = hold(h, h->newest.tail);
		return true;
	}
	if (h->where[f] == HAND_CHOSEN_HOLD) { /* the caller has not answered yet */
		h->at = h->links[f].next;
		return false;
	}
	h->at = f;
	if (h->where[f] != HAND_HELD && has_room && !is_late) {
		h->at = h->links[f].next;
		*ret_choice = hold(h, f);
		return true;
	}
	*ret_choice = evict(h, f); /* the hand is at its successor now */
	return true;
}

uint32_t hand_choose(struct hand *h, struct choice *ret_choices, uint32_t nr)
{
	uint32_t n = 0;

	for (uint32_t idle = 0; n < nr && idle < h->queue.nr;) {
		if (step(h, &ret_choices[n])) {
			n++;
			idle = 0;
		} else {
			idle++;
		}
	}
	return n;
}
