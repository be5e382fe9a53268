// SPDX-License-Identifier: MIT
/*
 * The compressed tier's chunks on disk: written oldest first, several by one transfer; read as far
 * as an entry needs; cleaned, when half of what is there is dead. See tier.h.
 */
#include <errno.h>

#include "base/ensure.h"
#include "swap/store_internal.h"
#include "swap/tier_internal.h"

/* Units that the longest entry takes. */
#define MAX_ENTRY_UNITS ((sizeof(struct entry_head) + CODEC_MAX_BYTES + UNIT - 1) / UNIT)
#define CLEAN_SLACK     16u /* sparse chunks that are not worth cleaning; guess */

bool chunk_free_slots_locked(struct tier *t, struct chunk *c)
{
	bool is_last = false;

	if (c->slot == NONE)
		return false;
	for (uint32_t i = 0; i < chunk_pages(c); i++) {
		struct slot slot = {c->slot + i};

		if (t->live)
			is_last |= slot_share_drop(t->live, slot);
		else
			slot_free(&t->s->map, slot);
	}
	c->slot = NONE;
	return is_last;
}

/* --- out --- */

struct write_group {
	uint32_t nr;
	uint32_t chunk[MAX_GROUP];
	struct swap_io io[MAX_GROUP];
	struct iovec iov[MAX_GROUP];
	struct slot slot[MAX_GROUP];
};

static void choose_oldest(struct tier *t, uint32_t max, struct write_group *g)
{
	g->nr = 0;
	lock_acquire(&t->lock);
	for (uint32_t i = t->age.first; i != NONE && g->nr < max; i = t->chunk[i].age.next) {
		struct chunk *c = &t->chunk[i];

		if (c->slot != NONE || c->is_writing || !c->live)
			continue;
		c->is_writing = true;
		c->nr_pins++;
		g->iov[g->nr] = (struct iovec){
		    .iov_base = segment_addr(t->room, c->segment),
		    .iov_len = chunk_pages(c) * PAGE_BYTES,
		};
		g->chunk[g->nr++] = i;
	}
	lock_release(&t->lock);
}

/* Slots for each chunk of @g, as many as there are; the others are let go. Return: 0, or why not
 * all of them. */
static int take_slots(struct tier *t, struct write_group *g)
{
	uint32_t nr = 0;
	int err = 0;

	for (uint32_t i = 0; i < g->nr; i++) {
		uint32_t want = (uint32_t)(g->iov[i].iov_len / PAGE_BYTES);
		int64_t got = err ? err : swap_take_run(t->s, want, &g->slot[nr]);

		if (got == want) {
			g->chunk[nr] = g->chunk[i];
			g->iov[nr++] = g->iov[i];
			continue;
		}
		if (got > 0)
			swap_free_run(t->s, g->slot[nr], (uint32_t)got);
		err = got > 0 ? -ENOSPC : (int)got;
		lock_acquire(&t->lock);
		t->chunk[g->chunk[i]].is_writing = false;
		chunk_unpin_locked(t, g->chunk[i]);
		lock_release(&t->lock);
	}
	g->nr = nr;
	return err;
}

static void settle_chunk(struct tier *t, struct write_group *g, uint32_t i)
{
	struct chunk *c = &t->chunk[g->chunk[i]];
	uint32_t nr = (uint32_t)(g->iov[i].iov_len / PAGE_BYTES);
	int result = g->io[i].result;

	lock_acquire(&t->lock);
	c->is_writing = false;
	if (!result)
		c->slot = g->slot[i].v;
	chunk_unpin_locked(t, g->chunk[i]);
	lock_release(&t->lock);
	swap_note_write(t->s, result, nr);
	for (uint32_t k = 0; result && k < nr; k++) {
		struct slot slot = {g->slot[i].v + k};

		if (result == -ENOSPC)
			slot_free(&t->s->map, slot);
		else
			slot_retire(&t->s->map, slot);
	}
}

static bool should_clean(struct tier *t)
{
	lock_acquire(&t->lock);
	bool should =
	    !t->is_cleaning && t->nr_sparse_disk > t->nr_disk / 2 + CLEAN_SLACK && !t->live;
	t->is_cleaning |= should;
	lock_release(&t->lock);
	return should;
}

int tier_write_oldest(struct tier *t, uint32_t max)
{
	struct write_group g;
	int written = 0;

	choose_oldest(t, MIN(max, MAX_GROUP), &g);
	if (!g.nr)
		return 0;
	int err = take_slots(t, &g);
	for (uint32_t i = 0; i < g.nr; i++)
		g.io[i] = (struct swap_io){
		    .first = g.slot[i], .is_write = true, .nr_iov = 1, .iov = &g.iov[i]};
	if (g.nr)
		t->s->backend->ops->transfer(t->s->backend, g.io, g.nr);
	for (uint32_t i = 0; i < g.nr; i++) {
		settle_chunk(t, &g, i);
		written += !g.io[i].result;
		err = g.io[i].result ? g.io[i].result : err;
	}
	atomic_fetch_add_explicit(
	    &t->room->written_chunks, (uint64_t)written, memory_order_relaxed);
	if (should_clean(t)) {
		for (int i = 0; i < written && tier_clean_one(t); i++)
			;
		lock_acquire(&t->lock);
		t->is_cleaning = false;
		lock_release(&t->lock);
	}
	return written ? written : err;
}

/* --- in --- */

#define NO_GROUP 0xffu

struct read_group {
	uint32_t nr, max;
	uint32_t chunk[MAX_GROUP];
	uint32_t first[MAX_GROUP], end[MAX_GROUP]; /* pages of the chunk */
	char *desk[MAX_GROUP];
	struct swap_io io[MAX_GROUP];
	struct iovec iov[MAX_GROUP];
	uint8_t of[MAX_ENTRIES]; /* by page: its group */
	uint16_t unit[MAX_ENTRIES];
};

/* [lock] The group that reads chunk @i, a new one if need be; NO_GROUP: no desk is left. */
static uint32_t group_of_locked(struct tier *t, struct read_group *g, uint32_t i)
{
	for (uint32_t k = g->nr; k-- > 0;)
		if (g->chunk[k] == i)
			return k;
	if (g->nr == g->max)
		return NO_GROUP;
	t->chunk[i].nr_pins++;
	g->chunk[g->nr] = i;
	g->first[g->nr] = UINT32_MAX;
	g->end[g->nr] = 0;
	return g->nr++;
}

static void plan_page_locked(
    struct tier *t, struct read_group *g, struct swap_page *page, uint32_t index)
{
	uint32_t place = t->place[ref_entry(page->ref)];
	uint32_t i = place / CHUNK_UNITS, unit = place % CHUNK_UNITS;
	struct chunk *c = &t->chunk[i];

	g->of[index] = NO_GROUP;
	if (page->from || c->segment != NONE)
		return;
	uint32_t k = group_of_locked(t, g, i);
	if (k == NO_GROUP)
		return;
	uint32_t end =
	    MIN((uint32_t)((unit + MAX_ENTRY_UNITS - 1) / UNITS_PER_PAGE + 1), chunk_pages(c));
	g->of[index] = (uint8_t)k;
	g->unit[index] = (uint16_t)unit;
	g->first[k] = MIN(g->first[k], (uint32_t)(unit / UNITS_PER_PAGE));
	g->end[k] = MAX(g->end[k], end);
	page->from = t->nr_dropped - c->when < atomic_load(&t->room->ghosts) ? SWAP_FROM_GHOST
	                                                                     : SWAP_FROM_PACKED;
}

static void plan(
    struct tier *t, struct read_group *g, struct swap_page *pages, uint32_t nr, enum swap_wait wait)
{
	g->nr = 0;
	lock_acquire(&t->lock);
	for (uint32_t i = 0; i < nr; i++)
		plan_page_locked(t, g, &pages[i], i);
	for (uint32_t k = 0; k < g->nr; k++) {
		g->iov[k] = (struct iovec){
		    .iov_base = g->desk[k],
		    .iov_len = (g->end[k] - g->first[k]) * PAGE_BYTES,
		};
		g->io[k] = (struct swap_io){
		    .first = {t->chunk[g->chunk[k]].slot + g->first[k]},
		    .nr_iov = 1,
		    .iov = &g->iov[k],
		    .may_spin = wait == SWAP_SPIN,
		};
	}
	lock_release(&t->lock);
}

static void finish_page(struct tier *t, struct read_group *g, struct swap_page *page, uint32_t i)
{
	uint32_t k = g->of[i];
	size_t at = (size_t)g->unit[i] * UNIT - g->first[k] * PAGE_BYTES;
	const struct entry_head *e = (const struct entry_head *)(g->desk[k] + at);

	page->result = g->io[k].result;
	if (page->result)
		return;
	atomic_fetch_add_explicit(&t->room->disk_reads, 1, memory_order_relaxed);
	/* Its length comes from the disk, too. */
	if (at + sizeof(*e) + e->bytes <= g->iov[k].iov_len)
		tier_expand(t, e, page);
	else
		page->result = -EBADMSG;
}

/* Read what can be of at most MAX_ENTRIES pages. */
static void read_round(struct tier *t, struct swap_backend *b, struct swap_page *pages, uint32_t nr,
    enum swap_wait wait)
{
	struct read_group g;

	g.max = desks_take(t->room, MIN(nr, MAX_GROUP), g.desk);
	plan(t, &g, pages, nr, wait);
	if (g.nr)
		b->ops->transfer(b, g.io, g.nr);
	for (uint32_t k = 0; k < g.nr; k++)
		swap_note_read(t->s, g.io[k].result, (uint32_t)(g.iov[k].iov_len / PAGE_BYTES));
	for (uint32_t i = 0; i < nr; i++)
		if (g.of[i] != NO_GROUP)
			finish_page(t, &g, &pages[i], i);
	lock_acquire(&t->lock);
	for (uint32_t k = 0; k < g.nr; k++)
		chunk_unpin_locked(t, g.chunk[k]);
	lock_release(&t->lock);
	desks_give(t->room, g.desk, g.max);
}

void tier_read(struct tier *t, struct swap_backend *b, struct swap_page *pages, uint32_t nr,
    enum swap_wait wait)
{
	for (uint32_t i = 0; i < nr; i += MAX_ENTRIES) {
		uint32_t n = MIN(nr - i, MAX_ENTRIES);

		/* One that was taken back into memory meanwhile is found there next time. */
		while (tier_read_memory(t, &pages[i], n))
			read_round(t, b, &pages[i], n, wait);
	}
}

/* --- cleaning --- */

static uint32_t pin_sparse(struct tier *t, struct swap_io *io, struct iovec *iov)
{
	uint32_t i = NONE;

	lock_acquire(&t->lock);
	for (uint32_t b = 0; b < 2 && i == NONE; b++)
		for (i = t->disk[b].first; i != NONE && t->chunk[i].nr_pins;)
			i = t->chunk[i].sparse.next;
	if (i != NONE) {
		struct chunk *c = &t->chunk[i];

		c->nr_pins++;
		io->first.v = c->slot;
		iov->iov_len = chunk_pages(c) * PAGE_BYTES;
	}
	lock_release(&t->lock);
	return i;
}

/* Take the entry at @e, read from chunk @i, into memory if it is alive. Return: -EAGAIN: no room */
static int rescue(struct tier *t, uint32_t i, uint32_t unit, const struct entry_head *e)
{
	int err = 0;

	for (int nr_tries = 0; nr_tries < 4 && !err; nr_tries++) {
		lock_acquire(&t->lock);
		bool is_live =
		    e->entry < t->nr_fresh_entries && t->place[e->entry] == i * CHUNK_UNITS + unit;
		bool is_done = !is_live || append_locked(t, e);
		if (is_live && is_done)
			t->chunk[i].live--;
		lock_release(&t->lock);
		if (is_done)
			return 0;
		err = tier_open_next(t);
	}
	return -EAGAIN;
}

bool tier_clean_one(struct tier *t)
{
	struct iovec iov;
	struct swap_io io = {.nr_iov = 1, .iov = &iov};
	char *desk;
	uint32_t i = pin_sparse(t, &io, &iov), unit = 0;
	bool ok = false;

	if (i == NONE)
		return false;
	desks_take(t->room, 1, &desk);
	iov.iov_base = desk;
	t->s->backend->ops->transfer(t->s->backend, &io, 1);
	swap_note_read(t->s, io.result, (uint32_t)(iov.iov_len / PAGE_BYTES));
	while (!io.result && unit < iov.iov_len / UNIT) {
		const struct entry_head *e = (const struct entry_head *)(desk + unit * UNIT);

		/* What lies behind the last entry is of no kind. */
		if (!entry_has_magic(e) || e->bytes > CODEC_MAX_BYTES ||
		    unit * UNIT + sizeof(*e) + e->bytes > iov.iov_len)
			break;
		if (rescue(t, i, unit, e))
			break;
		unit += (uint32_t)(sizeof(*e) + e->bytes + UNIT - 1) / UNIT;
	}
	lock_acquire(&t->lock);
	ok = !t->chunk[i].live;
	if (!ok)
		chunk_rebucket_locked(t, i);
	chunk_unpin_locked(t, i);
	lock_release(&t->lock);
	desks_give(t->room, &desk, 1);
	return ok;
}
