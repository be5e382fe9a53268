// SPDX-License-Identifier: MIT
/* Watching pages by unmapping them; see watch.h. */
#include "policy/watch.h"

#include "base/ensure.h"

size_t watch_state_bytes(size_t struct_bytes, uint32_t nr_frames)
{
	return struct_bytes + (size_t)nr_frames * (sizeof(struct frame_link) + 2);
}

void watch_init(struct watch *w, void *memory, uint32_t nr_frames, uint32_t max_held)
{
	w->nr_frames = nr_frames;
	w->max_held = max_held;
	for (uint32_t i = 0; i < WATCH_LISTS; i++) {
		frame_list_init(&w->list[i]);
		frame_list_init(&w->held[i]);
	}
	w->links = memory;
	w->where = (uint8_t *)(w->links + nr_frames);
	w->list_of = w->where + nr_frames;
}

void watch_set_max_held(struct policy *p, uint32_t max_held)
{
	((struct watch *)p)->max_held = max_held;
}

static void leave(struct watch *w, uint32_t f)
{
	switch ((enum watch_where)w->where[f]) {
	case WATCH_QUEUED:
		frame_list_remove(&w->list[w->list_of[f]], w->links, f);
		break;
	case WATCH_HELD:
		frame_list_remove(&w->held[w->list_of[f]], w->links, f);
		w->nr_held--;
		w->nr_held_of[w->list_of[f]]--;
		break;
	case WATCH_USED:
		frame_list_remove(&w->held[w->list_of[f]], w->links, f);
		break;
	case WATCH_CHOSEN_HOLD:
		w->nr_chosen_hold--;
		break;
	case WATCH_CHOSEN_EVICT:
	case WATCH_OUT:
		break;
	}
	w->where[f] = WATCH_OUT;
}

void watch_put(struct watch *w, struct frame_nr frame, uint32_t list)
{
	ensure(frame.v < w->nr_frames && w->where[frame.v] != WATCH_QUEUED);
	leave(w, frame.v);
	frame_list_append(&w->list[list], w->links, frame.v);
	w->where[frame.v] = WATCH_QUEUED;
	w->list_of[frame.v] = (uint8_t)list;
}

void watch_held(struct watch *w, struct frame_nr frame)
{
	ensure(frame.v < w->nr_frames && w->where[frame.v] == WATCH_CHOSEN_HOLD);
	leave(w, frame.v);
	frame_list_append(&w->held[w->list_of[frame.v]], w->links, frame.v);
	w->nr_held++;
	w->nr_held_of[w->list_of[frame.v]]++;
	w->where[frame.v] = WATCH_HELD;
}

void watch_use(struct watch *w, struct frame_nr frame)
{
	ensure(frame.v < w->nr_frames && w->where[frame.v] == WATCH_HELD);
	w->where[frame.v] = WATCH_USED;
	w->nr_held--;
	w->nr_held_of[w->list_of[frame.v]]--;
}

void watch_removed(struct watch *w, struct frame_nr frame)
{
	ensure(frame.v < w->nr_frames);
	leave(w, frame.v);
}

void watch_move(struct watch *w, uint32_t from, uint32_t to)
{
	uint32_t f = w->list[from].head;

	frame_list_remove(&w->list[from], w->links, f);
	frame_list_append(&w->list[to], w->links, f);
	w->list_of[f] = (uint8_t)to;
}

void watch_move_held(struct watch *w, uint32_t from, uint32_t to)
{
	uint32_t f = w->held[from].head;

	ensure(w->where[f] == WATCH_HELD);
	frame_list_remove(&w->held[from], w->links, f);
	frame_list_append(&w->held[to], w->links, f);
	w->nr_held_of[from]--;
	w->nr_held_of[to]++;
	w->list_of[f] = (uint8_t)to;
}

static struct choice evict(struct watch *w, uint32_t f)
{
	ensure(w->where[f] != WATCH_USED);
	leave(w, f);
	w->where[f] = WATCH_CHOSEN_EVICT;
	w->nr_fruitless = 0;
	return (struct choice){{f}, CHOICE_EVICT};
}

static struct choice hold(struct watch *w, uint32_t f)
{
	leave(w, f);
	w->where[f] = WATCH_CHOSEN_HOLD;
	w->nr_chosen_hold++;
	w->nr_fruitless++;
	return (struct choice){{f}, CHOICE_HOLD};
}

uint32_t watch_choose(
    struct watch *w, struct policy *p, watch_next_fn *next, struct choice *ret_choices, uint32_t nr)
{
	uint32_t n = 0, nr_evict = 0;

	for (; n < nr; n++) {
		struct watch_next to = next(p);

		if (to.list == WATCH_LISTS)
			break;
		const struct frame_list *mapped = &w->list[to.list], *held = &w->held[to.list];
		bool has_room = w->nr_held + w->nr_chosen_hold < w->max_held;
		bool is_late = w->nr_fruitless >= 4 * w->max_held; /* (c), (b) */
		bool can_hold = mapped->nr && !to.evict_unseen && has_room;
		bool may_evict = to.evict_unseen || to.evict_held || !has_room || is_late;

		/* Both hands advance together: an eviction makes the room for the next hold. */
		if (can_hold && (!may_evict || nr_evict > n - nr_evict)) {
			ret_choices[n] = hold(w, mapped->head);
			continue;
		}
		ret_choices[n] = evict(w, to.evict_unseen || !held->nr ? mapped->head : held->head);
		nr_evict++;
	}
	return n;
}
