// SPDX-License-Identifier: MIT
/* The compressed tier's memory: where the next chunk's comes from, and how it is given back. See
 * tier.h. */
#include <errno.h>
#include <string.h>

#include "base/ensure.h"
#include "swap/store_internal.h"
#include "swap/tier_internal.h"

/* --- memory for the next chunk --- */

/* Slide what is alive in closed chunk @i to its front, and go on filling it. */
static void squeeze_locked(struct tier *t, uint32_t i)
{
	struct chunk *c = &t->chunk[i];
	char *base = segment_addr(t->room, c->segment);
	uint32_t fill = c->fill, to = 0, nr = 0, units;
	uint16_t serial = serial_next_locked(t);

	ensure(!c->nr_pins);
	chunk_note_back_locked(t, i, false);
	chunk_free_slots_locked(t, c);
	for (uint32_t unit = 0; unit < fill; unit += units) {
		struct entry_head *e = (struct entry_head *)(base + unit * UNIT);

		units = entry_units(e);
		if (!entry_is_live_locked(t, i, unit, e))
			continue;
		e->serial = serial;
		t->place[e->entry] = i * CHUNK_UNITS + to;
		memmove(base + to * UNIT, e, sizeof(*e) + e->bytes);
		to += units;
		nr++;
	}
	ensure(nr == c->live);
	c->serial = serial;
	c->is_bad = false;
	c->fill = (uint16_t)to;
	c->nr = (uint16_t)nr;
	chunk_set_list_locked(t, i, LIST_OPEN);
}

/* The closed chunk in memory with most that is dead, if that is worth it; NONE if there is none. */
static uint32_t find_sparse_locked(struct tier *t, uint32_t buckets)
{
	for (uint32_t b = 0; b < buckets; b++)
		for (uint32_t i = t->memory[b].first; i != NONE; i = t->chunk[i].sparse.next)
			if (!t->chunk[i].nr_pins)
				return i;
	return NONE;
}

/* The oldest chunk whose memory may go at once: written already. */
static uint32_t find_written_locked(struct tier *t)
{
	uint32_t nr_tries = 0;

	for (uint32_t i = t->age.first; i != NONE && nr_tries < MAX_GROUP;
	     i = t->chunk[i].age.next) {
		if (t->chunk[i].slot != NONE && !t->chunk[i].nr_pins)
			return i;
		/* The oldest ones may be under other threads' writes. */
		nr_tries += !t->chunk[i].is_writing;
	}
	return NONE;
}

/* [lock] Squeeze a chunk, if one is worth it, and fill that. @buckets: how sparse it must be. */
static bool squeeze_one_locked(struct tier *t, uint32_t buckets)
{
	uint32_t i = find_sparse_locked(t, buckets);

	if (i == NONE)
		return false;
	chunk_close_locked(t);
	squeeze_locked(t, i);
	t->open = i;
	return true;
}

/* Some other thread has opened one meanwhile, or half of a chunk is there for the asking. */
static bool open_at_hand(struct tier *t)
{
	lock_acquire(&t->lock);
	bool is = (t->open != NONE && t->chunk[t->open].fill <= CHUNK_UNITS * 7 / 8) ||
	          squeeze_one_locked(t, 2);
	lock_release(&t->lock);
	return is;
}

int tier_open_next(struct tier *t)
{
	if (open_at_hand(t))
		return 0;
	uint32_t segment = segment_take(t->room, true);

	for (int nr_tries = 0; segment == NONE && nr_tries < 3; nr_tries++) {
		lock_acquire(&t->lock);
		bool is_squeezed = squeeze_one_locked(t, NR_BUCKETS);
		uint32_t i = is_squeezed ? NONE : find_written_locked(t);
		if (i != NONE)
			segment = chunk_drop_locked(t, i);
		lock_release(&t->lock);
		if (is_squeezed)
			return 0;
		if (segment == NONE && tier_write_oldest(t, MAX_GROUP) <= 0)
			return -EAGAIN;
	}
	if (segment == NONE)
		return -EAGAIN;
	lock_acquire(&t->lock);
	uint32_t i = chunk_new_locked(t, segment);
	if (i != NONE) {
		chunk_close_locked(t);
		t->open = i;
	}
	lock_release(&t->lock);
	if (i == NONE)
		segment_give(t->room, segment);
	return i == NONE ? -EAGAIN : 0;
}

/* --- giving memory back --- */

/* Move what is alive in the sparsest chunk elsewhere. Return: its segment, or NONE. */
static uint32_t empty_sparse(struct tier *t)
{
	uint32_t segment = NONE, units;

	lock_acquire(&t->lock);
	uint32_t i = find_sparse_locked(t, NR_BUCKETS);
	if (i == NONE)
		goto out;
	struct chunk *c = &t->chunk[i];
	chunk_note_back_locked(t, i, false);
	if (!c->live) {
		segment = c->segment;
		c->segment = NONE;
		chunk_free_slots_locked(t, c);
		chunk_set_list_locked(t, i, LIST_FREE);
		chunk_release_locked(t, i);
		goto out;
	}
	/* Pinned against being freed while its last entry leaves. */
	c->nr_pins++;
	for (uint32_t unit = 0; unit < c->fill; unit += units) {
		struct entry_head *e =
		    (struct entry_head *)(segment_addr(t->room, c->segment) + unit * UNIT);

		units = entry_units(e);
		if (!entry_is_live_locked(t, i, unit, e))
			continue;
		if (!append_locked(t, e))
			break;
		c->live--;
	}
	c->nr_pins--;
	chunk_rebucket_locked(t, i);
	if (!c->live) {
		segment = c->segment;
		c->segment = NONE;
		chunk_free_slots_locked(t, c);
		chunk_set_list_locked(t, i, LIST_FREE);
		chunk_release_locked(t, i);
	} else if (t->open == NONE || t->chunk[t->open].fill > CHUNK_UNITS / 2) {
		/* No room for the rest: the next ones move into this one. */
		chunk_close_locked(t);
		squeeze_locked(t, i);
		t->open = i;
	}
out:
	lock_release(&t->lock);
	return segment;
}

uint32_t tier_spare_segment(struct tier *t)
{
	uint32_t segment = segment_take(t->room, false);

	/* Each time an eighth of a chunk or so becomes free: enough, where much is dead. Beyond the
	 * share that is not ours. */
	for (int nr_tries = 0; segment == NONE && nr_tries < 4 && !room_is_over(t->room);
	     nr_tries++)
		segment = empty_sparse(t);
	return segment;
}

/* Return: a segment that the oldest chunk gave up, or NONE. */
static uint32_t drop_oldest(struct tier *t)
{
	uint32_t segment = NONE;

	for (int nr_tries = 0; nr_tries < 2; nr_tries++) {
		lock_acquire(&t->lock);
		uint32_t i = find_written_locked(t);
		if (i != NONE)
			segment = chunk_drop_locked(t, i);
		else if (t->age.first == NONE)
			chunk_close_locked(t);
		lock_release(&t->lock);
		if (segment != NONE || tier_write_oldest(t, MAX_GROUP) < 0)
			break;
	}
	return segment;
}

/* Some chunk that nobody uses is at most half alive. */
static bool has_waste(struct tier *t)
{
	lock_acquire(&t->lock);
	bool has = find_sparse_locked(t, 2) != NONE;
	lock_release(&t->lock);
	return has;
}

void tier_drop_dead(struct tier *t)
{
	while (has_waste(t)) {
		uint32_t segment = empty_sparse(t);

		if (segment != NONE)
			segment_give(t->room, segment);
	}
}

uint32_t tier_trim(struct tier *t, uint32_t max_chunks)
{
	uint32_t nr = 0;

	for (uint32_t i = 0; i < max_chunks; i++) {
		bool is_over = room_is_over(t->room);

		if (!is_over && !has_waste(t))
			break;
		uint32_t segment = empty_sparse(t);
		if (segment == NONE && is_over)
			segment = drop_oldest(t);
		if (segment == NONE)
			continue;
		segment_give(t->room, segment);
		nr += CHUNK_PAGES;
	}
	return nr;
}
