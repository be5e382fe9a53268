// SPDX-License-Identifier: MIT
/*
 * The compressed tier: entries in and out; see tier.h. Chunks are in tier_chunk.c, memory for them
 * in tier_memory.c, what touches the disk in tier_io.c.
 *
 * Everything is decided under the tier's lock, and nothing slow is done there: pages are compressed
 * into a state's buffer before it is taken, and expanded under a pin, which keeps a chunk's memory
 * and its place on disk as they are, whatever becomes of its entries meanwhile.
 */
#include "swap/tier.h"

#include <errno.h>
#include <string.h>

#include "base/ensure.h"
#include "base/meta.h"
#include "base/sys.h"
#include "swap/checksum.h"
#include "swap/store_internal.h"
#include "swap/tier_internal.h"

#define MAX_CHUNKS (PLACE_FREE / CHUNK_UNITS)

/* --- tables --- */

static size_t place_bytes(const struct tier *t)
{
	return page_round_up((size_t)t->max_entries * sizeof(uint32_t));
}

static size_t chunk_bytes(const struct tier *t)
{
	return page_round_up((size_t)t->nr_chunks * sizeof(struct chunk));
}

struct tier *tier_open(struct swap *s)
{
	struct tier *t = meta_map(page_round_up(sizeof(*t)));

	if (!t)
		return NULL;
	t->s = s;
	t->room = s->room;
	lock_init(&t->lock, LOCK_TIER);
	/* Chunks for all of swap and of memory; entries for swap of pages halved. */
	uint64_t pages = (uint64_t)s->map.nr_slots + (uint64_t)t->room->nr_segments * CHUNK_PAGES;
	t->nr_chunks = (uint32_t)MIN(pages / CHUNK_PAGES + 64, MAX_CHUNKS);
	t->max_entries = (uint32_t)MIN(pages * 2, REF_ENTRY - 1);
	t->free_entry = t->free_chunk = t->open = NONE;
	t->age = (struct chunk_head){NONE, NONE};
	for (uint32_t i = 0; i < NR_BUCKETS; i++)
		t->memory[i] = t->disk[i] = (struct chunk_head){NONE, NONE};
	t->place = meta_map(place_bytes(t));
	t->chunk = meta_map(chunk_bytes(t));
	if (t->place && t->chunk)
		return t;
	tier_close(t);
	return NULL;
}

void tier_close(struct tier *t)
{
	if (!t)
		return;
	meta_unmap(t->place, place_bytes(t));
	meta_unmap(t->chunk, chunk_bytes(t));
	meta_unmap(t, page_round_up(sizeof(*t)));
}

/* --- entries --- */

bool entry_is_live_locked(struct tier *t, uint32_t i, uint32_t unit, const struct entry_head *e)
{
	ensure(e->serial == t->chunk[i].serial && e->entry < t->max_entries);
	return t->place[e->entry] == i * CHUNK_UNITS + unit;
}

bool append_locked(struct tier *t, const struct entry_head *from)
{
	uint32_t units = entry_units(from);

	if (t->open == NONE || t->chunk[t->open].fill + units > CHUNK_UNITS)
		return false;
	struct chunk *c = &t->chunk[t->open];
	if (!c->live && !c->nr_pins) {
		c->fill = c->nr = 0;
		c->serial = serial_next_locked(t);
	}
	struct entry_head *to =
	    (struct entry_head *)(segment_addr(t->room, c->segment) + c->fill * UNIT);
	memcpy(to, from, sizeof(*from) + from->bytes);
	to->serial = c->serial;
	t->place[from->entry] = t->open * CHUNK_UNITS + c->fill;
	c->fill = (uint16_t)(c->fill + units);
	c->nr++;
	c->live++;
	return true;
}

static uint32_t entry_new_locked(struct tier *t)
{
	uint32_t entry = t->free_entry;

	if (entry != NONE)
		t->free_entry = t->place[entry] == NONE ? NONE : t->place[entry] & ~PLACE_FREE;
	else if (t->nr_fresh_entries < t->max_entries)
		entry = t->nr_fresh_entries++;
	else
		return NONE;
	t->nr_entries++;
	return entry;
}

static void entry_release_locked(struct tier *t, uint32_t entry)
{
	t->place[entry] = PLACE_FREE | t->free_entry;
	t->free_entry = entry;
	t->nr_entries--;
}

/* The entry's bytes are no longer needed where they are. */
static bool entry_leave_locked(struct tier *t, uint32_t entry)
{
	uint32_t i = t->place[entry] / CHUNK_UNITS;
	struct chunk *c = &t->chunk[i];

	ensure(c->live);
	c->live--;
	if (!c->live && !c->nr_pins && c->list != LIST_OPEN)
		return chunk_dead_locked(t, i);
	chunk_rebucket_locked(t, i);
	return false;
}

bool tier_free(struct tier *t, uint32_t entry)
{
	lock_acquire(&t->lock);
	ensure(entry < t->nr_fresh_entries && !(t->place[entry] & PLACE_FREE));
	bool is_last = entry_leave_locked(t, entry);
	entry_release_locked(t, entry);
	lock_release(&t->lock);
	return is_last;
}

bool tier_is_in_memory(struct tier *t, uint32_t entry)
{
	lock_acquire(&t->lock);
	bool is = t->chunk[t->place[entry] / CHUNK_UNITS].segment != NONE;
	lock_release(&t->lock);
	return is;
}

/* --- in --- */

static struct swap_ref entry_ref(struct tier *t, uint32_t entry)
{
	return (struct swap_ref){(uint64_t)t->s->own << 32 | REF_ENTRY | entry};
}

/* Put the compressed page at @e in; its number is still to be given. */
static int entry_put(struct tier *t, struct entry_head *e)
{
	for (int nr_tries = 0; nr_tries < 8; nr_tries++) {
		lock_acquire(&t->lock);
		e->entry = entry_new_locked(t);
		if (e->entry != NONE && append_locked(t, e)) {
			lock_release(&t->lock);
			return 0;
		}
		if (e->entry != NONE)
			entry_release_locked(t, e->entry);
		lock_release(&t->lock);
		int err = e->entry == NONE ? -EAGAIN : tier_open_next(t);
		if (err)
			return err;
	}
	return -EAGAIN;
}

static bool compress_page(struct room *r, const struct swap_page *page, struct entry_head *ret)
{
	struct codec_state *state = state_take(r);
	uint32_t bytes = room_compress(r, state, page->buf);
	if (bytes) {
		ret->bytes = (uint16_t)bytes;
		ret->checksum = checksum_half(page->checksum);
		memcpy(ret + 1, state->out, bytes);
	}
	state_give(state);
	return bytes;
}

void tier_store(struct tier *t, struct swap_page *pages, uint32_t nr)
{
	_Alignas(struct entry_head) char bytes[sizeof(struct entry_head) + CODEC_MAX_BYTES];
	struct entry_head *e = (struct entry_head *)bytes;
	bool is_off = !atomic_load(&t->room->share), is_full = is_off;

	for (uint32_t i = 0; i < nr; i++) {
		pages[i].result = -EAGAIN;
		if (is_off ? !room_should_sample(t->room) : is_full || !room_should_try(t->room))
			continue;
		if (!compress_page(t->room, &pages[i], e) || is_off)
			continue;
		if (entry_put(t, e)) {
			is_full = true;
			continue;
		}
		pages[i].result = 0;
		pages[i].ref = entry_ref(t, e->entry);
		atomic_fetch_add_explicit(&t->room->stored_pages, 1, memory_order_relaxed);
		atomic_fetch_add_explicit(&t->room->stored_bytes, e->bytes, memory_order_relaxed);
	}
}

/* --- back from memory --- */

/* Pin the chunk of @entry if it is in memory. Return: the entry's bytes, or NULL. */
static const struct entry_head *pin_in_memory(struct tier *t, uint32_t entry, uint32_t *ret_chunk)
{
	struct entry_head *e = NULL;

	lock_acquire(&t->lock);
	uint32_t i = t->place[entry] / CHUNK_UNITS;
	struct chunk *c = &t->chunk[i];
	if (c->segment != NONE) {
		e = (struct entry_head *)(segment_addr(t->room, c->segment) +
		                          t->place[entry] % CHUNK_UNITS * UNIT);
		c->nr_pins++;
		*ret_chunk = i;
	}
	lock_release(&t->lock);
	return e;
}

static bool expand(
    struct tier *t, const struct chunk *c, const struct entry_head *e, struct swap_page *page)
{
	if (e->serial != c->serial || e->entry != ref_entry(page->ref) ||
	    e->bytes > CODEC_MAX_BYTES || !room_expand(t->room, e + 1, e->bytes, page->buf))
		return false;
	page->checksum = page_checksum(page->buf);
	return checksum_half(page->checksum) == e->checksum;
}

void tier_expand(
    struct tier *t, const struct chunk *c, const struct entry_head *e, struct swap_page *page)
{
	page->result = expand(t, c, e, page) ? 0 : -EBADMSG;
	if (page->result)
		atomic_fetch_add_explicit(&t->s->checksum_errors, 1, memory_order_relaxed);
}

uint32_t tier_read_memory(struct tier *t, struct swap_page *pages, uint32_t nr)
{
	uint32_t left = 0, chunk;

	for (uint32_t i = 0; i < nr; i++) {
		if (pages[i].from)
			continue;
		const struct entry_head *e = pin_in_memory(t, ref_entry(pages[i].ref), &chunk);

		if (!e) {
			left++;
			continue;
		}
		pages[i].from = SWAP_FROM_TIER;
		struct chunk *c = &t->chunk[chunk];
		tier_expand(t, c, e, &pages[i]);
		lock_acquire(&t->lock);
		c->nr_back_hits += c->nr_back_hits < c->nr_back;
		chunk_unpin_locked(t, chunk);
		lock_release(&t->lock);
		atomic_fetch_add_explicit(&t->room->hits, 1, memory_order_relaxed);
	}
	return left;
}

/* --- fork --- */

int tier_flush(struct tier *t)
{
	int nr;

	lock_acquire(&t->lock);
	if (t->open != NONE && t->chunk[t->open].live)
		chunk_close_locked(t);
	/* Cleaning takes entries back into memory. */
	t->is_cleaning = true;
	lock_release(&t->lock);
	while ((nr = tier_write_oldest(t, MAX_GROUP)) > 0)
		;
	lock_acquire(&t->lock);
	t->is_cleaning = false;
	lock_release(&t->lock);
	return nr;
}

void tier_detach(struct tier *t, struct slot_share *live)
{
	lock_init(&t->lock, LOCK_TIER);
	t->live = live;
	for (uint32_t i = 0; i < t->nr_fresh_chunks; i++) {
		struct chunk *c = &t->chunk[i];

		if (c->list == LIST_FREE)
			continue;
		ensure(c->slot != NONE || !c->live);
		c->segment = NONE;
		if (c->live && c->list != LIST_DISK)
			chunk_set_list_locked(t, i, LIST_DISK);
	}
}

/* --- consistency --- */

static void check_chunk(struct tier *t, uint32_t i, uint32_t *nr_live, uint32_t *nr_segments)
{
	struct chunk *c = &t->chunk[i];

	if (c->list == LIST_FREE)
		return;
	ensure(!c->nr_pins && !c->is_writing && c->live <= c->nr && c->fill <= CHUNK_UNITS);
	ensure((c->segment == NONE) == (c->list == LIST_DISK));
	ensure(c->slot != NONE || c->list != LIST_DISK);
	ensure((c->list == LIST_OPEN) == (t->open == i));
	ensure(c->bucket == chunk_bucket(c));
	*nr_live += c->live;
	*nr_segments += c->segment != NONE;
	if (c->segment == NONE)
		return;
	uint32_t live = 0, units;
	for (uint32_t unit = 0; unit < c->fill; unit += units) {
		const struct entry_head *e =
		    (const void *)(segment_addr(t->room, c->segment) + unit * UNIT);

		units = entry_units(e);
		live += entry_is_live_locked(t, i, unit, e);
	}
	ensure(live == c->live);
}

void tier_check(struct tier *t)
{
	uint32_t nr_live = 0, nr_segments = 0;

	lock_acquire(&t->lock);
	for (uint32_t i = 0; i < t->nr_fresh_chunks; i++)
		check_chunk(t, i, &nr_live, &nr_segments);
	ensure(nr_live == t->nr_entries);
	ensure(t->live || nr_segments == atomic_load(&t->room->nr_taken));
	lock_release(&t->lock);
}
