// SPDX-License-Identifier: MIT
/* The compressed tier's chunks: the lists they are in, by age and by how much of them is dead, and
 * their life from new to free. See tier.h. */
#include "base/ensure.h"
#include "swap/store_internal.h"
#include "swap/tier_internal.h"

#define SQUEEZE     28u   /* of 32 parts alive: fuller chunks are not worth squeezing; guess */
#define BACK_WINDOW 1024u /* entries by whose use whole chunks are read, at most; guess */

static struct chunk_link *link_of(struct tier *t, uint32_t i, bool is_sparse)
{
	return is_sparse ? &t->chunk[i].sparse : &t->chunk[i].age;
}

static void list_add(struct tier *t, struct chunk_head *h, uint32_t i, bool is_sparse)
{
	*link_of(t, i, is_sparse) = (struct chunk_link){.next = NONE, .prev = h->last};
	if (h->last == NONE)
		h->first = i;
	else
		link_of(t, h->last, is_sparse)->next = i;
	h->last = i;
}

static void list_remove(struct tier *t, struct chunk_head *h, uint32_t i, bool is_sparse)
{
	struct chunk_link l = *link_of(t, i, is_sparse);

	if (l.prev == NONE)
		h->first = l.next;
	else
		link_of(t, l.prev, is_sparse)->next = l.next;
	if (l.next == NONE)
		h->last = l.prev;
	else
		link_of(t, l.next, is_sparse)->prev = l.prev;
}

/* Units alive, as far as known: entries are taken as equally long. */
static uint32_t live_units(const struct chunk *c)
{
	return c->nr ? (uint32_t)c->fill * c->live / c->nr : 0;
}

uint8_t chunk_bucket(const struct chunk *c)
{
	uint32_t units = c->list == LIST_DISK ? chunk_pages(c) * UNITS_PER_PAGE : CHUNK_UNITS;
	uint32_t parts = units ? live_units(c) * 32 / units : 0;

	if (c->list != LIST_DISK && c->list != LIST_MEMORY)
		return NR_BUCKETS;
	return parts > SQUEEZE ? NR_BUCKETS
	       : parts > 26    ? 4
	       : parts > 22    ? 3
	       : parts > 16    ? 2
	                       : parts > 8;
}

static void bucket_leave_locked(struct tier *t, uint32_t i)
{
	struct chunk *c = &t->chunk[i];

	if (c->bucket == NR_BUCKETS)
		return;
	list_remove(t, c->list == LIST_DISK ? &t->disk[c->bucket] : &t->memory[c->bucket], i, true);
	t->nr_sparse_disk -= c->list == LIST_DISK && c->bucket < 2;
	c->bucket = NR_BUCKETS;
}

void chunk_rebucket_locked(struct tier *t, uint32_t i)
{
	struct chunk *c = &t->chunk[i];
	uint8_t bucket = chunk_bucket(c);

	if (bucket == c->bucket)
		return;
	bucket_leave_locked(t, i);
	c->bucket = bucket;
	if (bucket == NR_BUCKETS)
		return;
	list_add(t, c->list == LIST_DISK ? &t->disk[bucket] : &t->memory[bucket], i, true);
	t->nr_sparse_disk += c->list == LIST_DISK && bucket < 2;
}

void chunk_set_list_locked(struct tier *t, uint32_t i, enum chunk_list list)
{
	struct chunk *c = &t->chunk[i];

	bucket_leave_locked(t, i);
	if (c->list == LIST_MEMORY) {
		list_remove(t, &t->age, i, false);
		t->nr_memory--;
	}
	t->nr_disk -= c->list == LIST_DISK;
	c->list = (uint8_t)list;
	if (list == LIST_MEMORY) {
		list_add(t, &t->age, i, false);
		t->nr_memory++;
	}
	t->nr_disk += list == LIST_DISK;
	chunk_rebucket_locked(t, i);
}

/* --- chunks --- */

uint16_t serial_next_locked(struct tier *t)
{
	t->last_serial = (uint16_t)(t->last_serial % UINT16_MAX + 1);
	return t->last_serial;
}

/* Return: an unused chunk, now LIST_OPEN with memory @segment, or NONE. */
uint32_t chunk_new_locked(struct tier *t, uint32_t segment)
{
	uint32_t i = t->free_chunk;

	if (i != NONE)
		t->free_chunk = t->chunk[i].age.next;
	else if (t->nr_fresh_chunks < t->nr_chunks)
		i = t->nr_fresh_chunks++;
	else
		return NONE;
	t->chunk[i] = (struct chunk){
	    .segment = segment, .slot = NONE, .list = LIST_OPEN, .bucket = NR_BUCKETS};
	return i;
}

/* The chunk is not open, in no list, and has neither memory nor a place on disk. */
void chunk_release_locked(struct tier *t, uint32_t i)
{
	t->chunk[i].list = LIST_FREE;
	t->chunk[i].age.next = t->free_chunk;
	t->free_chunk = i;
}

void chunk_close_locked(struct tier *t)
{
	if (t->open == NONE)
		return;
	chunk_set_list_locked(t, t->open, LIST_MEMORY);
	t->open = NONE;
}

void chunk_note_back_locked(struct tier *t, uint32_t i, bool is_leaving)
{
	struct chunk *c = &t->chunk[i];

	t->nr_back += is_leaving ? c->nr_back : c->nr_back_hits;
	t->nr_back_hits += c->nr_back_hits;
	c->nr_back = c->nr_back_hits = 0;
	if (t->nr_back > BACK_WINDOW) {
		t->nr_back /= 2;
		t->nr_back_hits /= 2;
	}
}

uint32_t chunk_drop_locked(struct tier *t, uint32_t i)
{
	struct chunk *c = &t->chunk[i];
	uint32_t segment = c->segment;

	ensure(c->slot != NONE && !c->nr_pins && segment != NONE);
	chunk_note_back_locked(t, i, true);
	c->segment = NONE;
	chunk_set_list_locked(t, i, LIST_DISK);
	return segment;
}

/*
 * Nothing in the chunk is alive, and nobody uses it: in memory it keeps its segment until
 * tier_trim() or a new chunk takes it; on disk only it is freed. Return: as tier_free().
 */
bool chunk_dead_locked(struct tier *t, uint32_t i)
{
	struct chunk *c = &t->chunk[i];
	bool is_last = chunk_free_slots_locked(t, c);

	chunk_note_back_locked(t, i, false);
	if (c->segment != NONE) {
		c->fill = c->nr = 0;
		chunk_rebucket_locked(t, i);
	} else {
		chunk_set_list_locked(t, i, LIST_FREE);
		chunk_release_locked(t, i);
	}
	return is_last;
}

void chunk_unpin_locked(struct tier *t, uint32_t i)
{
	struct chunk *c = &t->chunk[i];

	ensure(c->nr_pins);
	if (!--c->nr_pins && !c->live)
		chunk_dead_locked(t, i);
}
