// SPDX-License-Identifier: MIT
/*
 * The compressed tier: entries and chunks; see tier.h. What touches the disk is in tier_io.c.
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

#define MAX_CHUNKS (1u << 22) /* 2^32 units */
#define SQUEEZE    24u        /* of 32 parts alive: fuller chunks are not worth squeezing; guess */

/* --- tables --- */

static size_t place_bytes(const struct tier *t)
{
	return page_round_up((size_t)t->max_entries * sizeof(uint32_t));
}

static size_t checksum_bytes(const struct tier *t)
{
	return page_round_up((size_t)t->max_entries * sizeof(uint64_t));
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
	t->checksum = meta_map(checksum_bytes(t));
	t->chunk = meta_map(chunk_bytes(t));
	if (t->place && t->checksum && t->chunk)
		return t;
	tier_close(t);
	return NULL;
}

void tier_close(struct tier *t)
{
	if (!t)
		return;
	meta_unmap(t->place, place_bytes(t));
	meta_unmap(t->checksum, checksum_bytes(t));
	meta_unmap(t->chunk, chunk_bytes(t));
	meta_unmap(t, page_round_up(sizeof(*t)));
}

/* --- lists of chunks --- */

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

static uint8_t bucket_of(const struct chunk *c)
{
	uint32_t units = c->list == LIST_DISK ? chunk_pages(c) * UNITS_PER_PAGE : CHUNK_UNITS;
	uint32_t parts = units ? live_units(c) * 32 / units : 0;

	if (c->list != LIST_DISK && c->list != LIST_MEMORY)
		return NR_BUCKETS;
	return parts > SQUEEZE ? NR_BUCKETS : parts > 16 ? 2 : parts > 8;
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
	uint8_t bucket = bucket_of(c);

	if (bucket == c->bucket)
		return;
	bucket_leave_locked(t, i);
	c->bucket = bucket;
	if (bucket == NR_BUCKETS)
		return;
	list_add(t, c->list == LIST_DISK ? &t->disk[bucket] : &t->memory[bucket], i, true);
	t->nr_sparse_disk += c->list == LIST_DISK && bucket < 2;
}

static void set_list_locked(struct tier *t, uint32_t i, enum chunk_list list)
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

/* Return: an unused chunk, now LIST_OPEN with memory @segment, or NONE. */
static uint32_t chunk_new_locked(struct tier *t, uint32_t segment)
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
static void chunk_release_locked(struct tier *t, uint32_t i)
{
	t->chunk[i].list = LIST_FREE;
	t->chunk[i].age.next = t->free_chunk;
	t->free_chunk = i;
}

void chunk_close_locked(struct tier *t)
{
	if (t->open == NONE)
		return;
	t->chunk[t->open].when = ++t->nr_closed;
	set_list_locked(t, t->open, LIST_MEMORY);
	t->open = NONE;
}

uint32_t chunk_drop_locked(struct tier *t, uint32_t i)
{
	struct chunk *c = &t->chunk[i];
	uint32_t segment = c->segment;

	ensure(c->slot != NONE && !c->nr_pins && segment != NONE);
	c->segment = NONE;
	c->when = ++t->nr_dropped;
	set_list_locked(t, i, LIST_DISK);
	return segment;
}

/*
 * Nothing in the chunk is alive, and nobody uses it: in memory it keeps its segment until
 * tier_trim() or a new chunk takes it; on disk only it is freed. Return: as tier_free().
 */
static bool chunk_dead_locked(struct tier *t, uint32_t i)
{
	struct chunk *c = &t->chunk[i];
	bool is_last = chunk_free_slots_locked(t, c);

	if (c->segment != NONE) {
		c->fill = c->nr = 0;
		chunk_rebucket_locked(t, i);
	} else {
		set_list_locked(t, i, LIST_FREE);
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

/* --- entries --- */

bool entry_is_live_locked(struct tier *t, uint32_t i, uint32_t unit, const struct entry_head *e)
{
	ensure(e->magic == ENTRY_MAGIC && e->entry < t->max_entries);
	return t->place[e->entry] == i * CHUNK_UNITS + unit;
}

static uint32_t entry_units(const struct entry_head *e)
{
	return (uint32_t)(sizeof(*e) + e->bytes + UNIT - 1) / UNIT;
}

bool append_locked(struct tier *t, const struct entry_head *from)
{
	uint32_t units = entry_units(from);

	if (t->open == NONE || t->chunk[t->open].fill + units > CHUNK_UNITS)
		return false;
	struct chunk *c = &t->chunk[t->open];
	if (!c->live && !c->nr_pins)
		c->fill = c->nr = 0;
	memcpy(
	    segment_addr(t->room, c->segment) + c->fill * UNIT, from, sizeof(*from) + from->bytes);
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
		t->free_entry = (uint32_t)t->checksum[entry];
	else if (t->nr_fresh_entries < t->max_entries)
		entry = t->nr_fresh_entries++;
	else
		return NONE;
	t->nr_entries++;
	return entry;
}

static void entry_release_locked(struct tier *t, uint32_t entry)
{
	t->place[entry] = NONE;
	t->checksum[entry] = t->free_entry;
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
	ensure(entry < t->nr_fresh_entries && t->place[entry] != NONE);
	bool is_last = entry_leave_locked(t, entry);
	entry_release_locked(t, entry);
	lock_release(&t->lock);
	return is_last;
}

uint64_t tier_checksum(struct tier *t, uint32_t entry)
{
	return t->checksum[entry];
}

bool tier_is_in_memory(struct tier *t, uint32_t entry)
{
	lock_acquire(&t->lock);
	bool is = t->chunk[t->place[entry] / CHUNK_UNITS].segment != NONE;
	lock_release(&t->lock);
	return is;
}

/* --- memory for the next chunk --- */

/* Slide what is alive in closed chunk @i to its front, and go on filling it. */
static void squeeze_locked(struct tier *t, uint32_t i)
{
	struct chunk *c = &t->chunk[i];
	char *base = segment_addr(t->room, c->segment);
	uint32_t fill = c->fill, to = 0, nr = 0, units;

	ensure(!c->nr_pins);
	chunk_free_slots_locked(t, c);
	for (uint32_t unit = 0; unit < fill; unit += units) {
		struct entry_head *e = (struct entry_head *)(base + unit * UNIT);

		units = entry_units(e);
		if (!entry_is_live_locked(t, i, unit, e))
			continue;
		t->place[e->entry] = i * CHUNK_UNITS + to;
		memmove(base + to * UNIT, e, sizeof(*e) + e->bytes);
		to += units;
		nr++;
	}
	ensure(nr == c->live);
	c->fill = (uint16_t)to;
	c->nr = (uint16_t)nr;
	set_list_locked(t, i, LIST_OPEN);
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

	for (uint32_t i = t->age.first; i != NONE && nr_tries++ < MAX_GROUP;
	     i = t->chunk[i].age.next)
		if (t->chunk[i].slot != NONE && !t->chunk[i].nr_pins)
			return i;
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
	uint32_t segment = segment_take(t->room);

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

static struct swap_ref entry_ref(struct tier *t, uint32_t entry)
{
	return (struct swap_ref){(uint64_t)t->s->own << 32 | REF_ENTRY | entry};
}

/* Put the compressed page at @e in; its number is still to be given. */
static int entry_put(struct tier *t, struct entry_head *e, uint64_t checksum)
{
	for (int nr_tries = 0; nr_tries < 4; nr_tries++) {
		lock_acquire(&t->lock);
		e->entry = entry_new_locked(t);
		if (e->entry != NONE && append_locked(t, e)) {
			t->checksum[e->entry] = checksum;
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

static bool compress_page(struct room *r, const void *page, struct entry_head *ret)
{
	if (!room_should_try(r))
		return false;
	struct codec_state *state = state_take(r);
	uint32_t bytes = room_compress(r, state, page);
	if (bytes) {
		ret->bytes = (uint16_t)bytes;
		ret->magic = ENTRY_MAGIC;
		memcpy(ret + 1, state->out, bytes);
	}
	state_give(state);
	return bytes;
}

void tier_store(struct tier *t, struct swap_page *pages, uint32_t nr)
{
	_Alignas(struct entry_head) char bytes[sizeof(struct entry_head) + CODEC_MAX_BYTES];
	struct entry_head *e = (struct entry_head *)bytes;
	bool is_full = !atomic_load(&t->room->share);

	for (uint32_t i = 0; i < nr; i++) {
		pages[i].result = -EAGAIN;
		if (is_full || !compress_page(t->room, pages[i].buf, e))
			continue;
		if (entry_put(t, e, pages[i].checksum)) {
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
static const struct entry_head *pin_in_memory(
    struct tier *t, uint32_t entry, uint32_t *ret_chunk, enum swap_from *ret_from)
{
	const struct entry_head *e = NULL;

	lock_acquire(&t->lock);
	uint32_t i = t->place[entry] / CHUNK_UNITS;
	struct chunk *c = &t->chunk[i];
	if (c->segment != NONE) {
		e = (const struct entry_head *)(segment_addr(t->room, c->segment) +
		                                t->place[entry] % CHUNK_UNITS * UNIT);
		c->nr_pins++;
		*ret_chunk = i;
		/* Among the oldest quarter. */
		uint32_t oldest = t->age.first == NONE ? t->nr_closed : t->chunk[t->age.first].when;
		*ret_from = c->list == LIST_MEMORY && c->when - oldest < (t->nr_closed - oldest) / 4
		                ? SWAP_FROM_TIER_OLD
		                : SWAP_FROM_TIER;
	}
	lock_release(&t->lock);
	return e;
}

static int expand(struct tier *t, const struct entry_head *e, uint32_t entry, void *page)
{
	if (e->magic != ENTRY_MAGIC || e->entry != entry || e->bytes > CODEC_MAX_BYTES ||
	    !room_expand(t->room, e + 1, e->bytes, page) ||
	    page_checksum(page) != t->checksum[entry])
		return -EBADMSG;
	return 0;
}

int tier_expand(struct tier *t, const struct entry_head *e, struct swap_page *page)
{
	page->result = expand(t, e, ref_entry(page->ref), page->buf);
	if (page->result)
		atomic_fetch_add_explicit(&t->s->checksum_errors, 1, memory_order_relaxed);
	return page->result;
}

uint32_t tier_read_memory(struct tier *t, struct swap_page *pages, uint32_t nr)
{
	uint32_t left = 0, chunk;

	for (uint32_t i = 0; i < nr; i++) {
		if (pages[i].from)
			continue;
		const struct entry_head *e =
		    pin_in_memory(t, ref_entry(pages[i].ref), &chunk, &pages[i].from);

		if (!e) {
			left++;
			continue;
		}
		tier_expand(t, e, &pages[i]);
		lock_acquire(&t->lock);
		chunk_unpin_locked(t, chunk);
		lock_release(&t->lock);
		atomic_fetch_add_explicit(&t->room->hits, 1, memory_order_relaxed);
	}
	return left;
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
	if (!c->live) {
		segment = c->segment;
		c->segment = NONE;
		chunk_free_slots_locked(t, c);
		set_list_locked(t, i, LIST_FREE);
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
		set_list_locked(t, i, LIST_FREE);
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

/* Some chunk is at most half alive. */
static bool has_waste(struct tier *t)
{
	lock_acquire(&t->lock);
	bool has = t->memory[0].first != NONE || t->memory[1].first != NONE;
	lock_release(&t->lock);
	return has;
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
			set_list_locked(t, i, LIST_DISK);
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
	ensure(c->bucket == bucket_of(c));
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
