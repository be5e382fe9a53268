// SPDX-License-Identifier: MIT
/*
 * The compressed tier's chunks on disk: written oldest first, several by one transfer; read as far
 * as an entry needs, or whole, to be in memory again; cleaned, when half of what is there is dead.
 * See tier.h.
 */
#include <errno.h>

#include "base/ensure.h"
#include "swap/checksum.h"
#include "swap/store_internal.h"
#include "swap/tier_internal.h"

/* Units that the longest entry takes. */
#define MAX_ENTRY_UNITS ((sizeof(struct entry_head) + CODEC_MAX_BYTES + UNIT - 1) / UNIT)
#define CLEAN_SLACK     16u /* sparse chunks that are not worth cleaning; guess */
#define BACK_USED       4u  /* whole chunks are read while one entry in so many is used; guess */
#define BACK_SAMPLE     16u /* else one time in so many, to see; guess */

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

/* Pieces of chunks, and the transfers that they make up. */
struct pieces {
	uint32_t nr, nr_io;
	struct slot slot[MAX_GROUP]; /* first of each */
	struct iovec iov[MAX_GROUP];
	uint8_t of[MAX_GROUP]; /* its transfer */
	struct swap_io io[MAX_GROUP];
};

static uint32_t piece_pages(const struct pieces *p, uint32_t i)
{
	return (uint32_t)(p->iov[i].iov_len / PAGE_BYTES);
}

/* Pieces that follow each other on disk are one transfer. */
static void pieces_join(struct pieces *p, struct swap_io like)
{
	p->nr_io = 0;
	for (uint32_t i = 0; i < p->nr; i++) {
		if (!i || p->slot[i - 1].v + piece_pages(p, i - 1) != p->slot[i].v) {
			like.first = p->slot[i];
			like.iov = &p->iov[i];
			p->io[p->nr_io++] = like;
		}
		p->io[p->nr_io - 1].nr_iov++;
		p->of[i] = (uint8_t)(p->nr_io - 1);
	}
}

static uint32_t transfer_pages(const struct pieces *p, uint32_t io)
{
	uint32_t nr = 0;

	for (uint32_t i = 0; i < p->nr; i++)
		nr += p->of[i] == io ? piece_pages(p, i) : 0;
	return nr;
}

/* --- out --- */

struct write_group {
	uint32_t chunk[MAX_GROUP];
	struct pieces p;
};

static void choose_oldest(struct tier *t, uint32_t max, struct write_group *g)
{
	g->p.nr = 0;
	lock_acquire(&t->lock);
	for (uint32_t i = t->age.first; i != NONE && g->p.nr < max; i = t->chunk[i].age.next) {
		struct chunk *c = &t->chunk[i];

		if (c->slot != NONE || c->is_writing || !c->live)
			continue;
		c->is_writing = true;
		c->nr_pins++;
		g->p.iov[g->p.nr] = (struct iovec){
		    .iov_base = segment_addr(t->room, c->segment),
		    .iov_len = chunk_pages(c) * PAGE_BYTES,
		};
		g->chunk[g->p.nr++] = i;
	}
	lock_release(&t->lock);
}

/* Slots for each chunk of @g, as many as there are; the others are let go. Return: 0, or why not
 * all of them. */
static int take_slots(struct tier *t, struct write_group *g)
{
	struct pieces *p = &g->p;
	uint32_t nr = 0;
	int err = 0;

	for (uint32_t i = 0; i < p->nr; i++) {
		uint32_t want = piece_pages(p, i);
		int64_t got = err ? err : swap_take_run(t->s, want, &p->slot[nr]);

		if (got == want) {
			g->chunk[nr] = g->chunk[i];
			p->iov[nr++] = p->iov[i];
			continue;
		}
		if (got > 0)
			swap_free_run(t->s, p->slot[nr], (uint32_t)got);
		err = got > 0 ? -ENOSPC : (int)got;
		lock_acquire(&t->lock);
		t->chunk[g->chunk[i]].is_writing = false;
		chunk_unpin_locked(t, g->chunk[i]);
		lock_release(&t->lock);
	}
	p->nr = nr;
	return err;
}

static void settle_chunk(struct tier *t, struct write_group *g, uint32_t i)
{
	struct chunk *c = &t->chunk[g->chunk[i]];
	int result = g->p.io[g->p.of[i]].result;
	uint64_t sum = result ? 0 : pages_checksum(g->p.iov[i].iov_base, piece_pages(&g->p, i));

	lock_acquire(&t->lock);
	c->is_writing = false;
	if (!result) {
		c->slot = g->p.slot[i].v;
		c->checksum = sum;
	}
	chunk_unpin_locked(t, g->chunk[i]);
	lock_release(&t->lock);
	for (uint32_t k = 0; result && k < piece_pages(&g->p, i); k++) {
		struct slot slot = {g->p.slot[i].v + k};

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
	if (!g.p.nr)
		return 0;
	int err = take_slots(t, &g);
	pieces_join(&g.p, (struct swap_io){.is_write = true});
	if (g.p.nr)
		swap_transfer_out(t->s, g.p.io, g.p.nr_io);
	for (uint32_t k = 0; k < g.p.nr_io; k++)
		swap_note_write(t->s, g.p.io[k].result, transfer_pages(&g.p, k));
	for (uint32_t i = 0; i < g.p.nr; i++) {
		int result = g.p.io[g.p.of[i]].result;

		settle_chunk(t, &g, i);
		written += !result;
		err = result ? result : err;
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
	int result[MAX_GROUP];
	struct pieces p;
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
	page->from = SWAP_FROM_PACKED;
}

static void plan(
    struct tier *t, struct read_group *g, struct swap_page *pages, uint32_t nr, enum swap_wait wait)
{
	g->nr = 0;
	lock_acquire(&t->lock);
	for (uint32_t i = 0; i < nr; i++)
		plan_page_locked(t, g, &pages[i], i);
	for (uint32_t k = 0; k < g->nr; k++) {
		g->p.slot[k].v = t->chunk[g->chunk[k]].slot + g->first[k];
		g->p.iov[k] = (struct iovec){
		    .iov_base = g->desk[k],
		    .iov_len = (g->end[k] - g->first[k]) * PAGE_BYTES,
		};
	}
	lock_release(&t->lock);
	g->p.nr = g->nr;
	pieces_join(&g->p, (struct swap_io){.may_spin = wait == SWAP_SPIN});
}

/* Where several chunks together could not be read, each alone. */
static void transfer(struct tier *t, struct swap_backend *b, struct read_group *g)
{
	struct pieces *p = &g->p;

	b->ops->transfer(b, p->io, p->nr_io);
	for (uint32_t k = 0; k < p->nr_io; k++)
		swap_note_read(t->s, p->io[k].result, transfer_pages(p, k));
	for (uint32_t k = 0; k < p->nr; k++) {
		const struct swap_io *io = &p->io[p->of[k]];

		g->result[k] = io->result;
		if (io->result && io->nr_iov > 1) {
			struct swap_io one = {.first = p->slot[k], .nr_iov = 1, .iov = &p->iov[k]};

			b->ops->transfer(b, &one, 1);
			g->result[k] = one.result;
			swap_note_read(t->s, one.result, piece_pages(p, k));
		}
	}
}

static void finish_page(struct tier *t, struct read_group *g, struct swap_page *page, uint32_t i)
{
	uint32_t k = g->of[i];
	size_t at = (size_t)g->unit[i] * UNIT - g->first[k] * PAGE_BYTES;
	const struct entry_head *e = (const struct entry_head *)(g->desk[k] + at);

	page->result = g->result[k];
	if (page->result)
		return;
	atomic_fetch_add_explicit(&t->room->disk_reads, 1, memory_order_relaxed);
	/* Its length comes from the disk, too. */
	if (at + sizeof(*e) + e->bytes <= g->p.iov[k].iov_len)
		tier_expand(t, &t->chunk[g->chunk[k]], e, page);
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
		transfer(t, b, &g);
	for (uint32_t i = 0; i < nr; i++)
		if (g.of[i] != NO_GROUP)
			finish_page(t, &g, &pages[i], i);
	lock_acquire(&t->lock);
	for (uint32_t k = 0; k < g.nr; k++)
		chunk_unpin_locked(t, g.chunk[k]);
	lock_release(&t->lock);
	desks_give(t->room, g.desk, g.max);
}

/* --- back to memory --- */

/*
 * A chunk on disk of which one page is wanted alone: its neighbours left memory together, and
 * where there was too little of it when they did, they are wanted one by one. Reading 32 KiB takes
 * hardly longer than one block. Return: the chunk, pinned, with what is to be read; or NONE.
 */
static uint32_t pin_to_return(struct tier *t, uint32_t entry, struct swap_io *io, struct iovec *iov)
{
	uint32_t found = NONE;

	lock_acquire(&t->lock);
	uint32_t i = t->place[entry] / CHUNK_UNITS;
	struct chunk *c = &t->chunk[i];
	bool is_used = t->nr_back_hits * BACK_USED >= t->nr_back;
	/* In the child of a fork, chunks of its parent's stay on disk. */
	if (c->list == LIST_DISK && !t->live && !c->is_coming && c->bucket >= DENSE &&
	    c->live > 1 && (is_used || t->nr_back_skipped++ % BACK_SAMPLE == 0)) {
		c->nr_pins++;
		c->is_coming = true;
		io->first.v = c->slot;
		iov->iov_len = chunk_pages(c) * PAGE_BYTES;
		found = i;
	}
	lock_release(&t->lock);
	return found;
}

/* Chunk @i, read into @segment, is in memory again. */
static void return_chunk(struct tier *t, uint32_t i, uint32_t segment)
{
	struct chunk *c = &t->chunk[i];

	lock_acquire(&t->lock);
	ensure(c->list == LIST_DISK && c->live);
	c->segment = segment;
	c->nr_back = (uint16_t)(c->live - 1);
	chunk_set_list_locked(t, i, LIST_MEMORY);
	lock_release(&t->lock);
}

/* Read @page, and all that is in its chunk. Return: done; else it is as it was. */
static bool read_whole(
    struct tier *t, struct swap_backend *b, struct swap_page *page, enum swap_wait wait)
{
	struct iovec iov;
	struct swap_io io = {.nr_iov = 1, .iov = &iov, .may_spin = wait == SWAP_SPIN};
	uint32_t i = pin_to_return(t, ref_entry(page->ref), &io, &iov);
	bool is_done = false;

	if (i == NONE)
		return false;
	uint32_t segment = tier_spare_segment(t);
	if (segment == NONE)
		goto out_unpin;
	iov.iov_base = segment_addr(t->room, segment);
	b->ops->transfer(b, &io, 1);
	swap_note_read(t->s, io.result, (uint32_t)(iov.iov_len / PAGE_BYTES));
	/* In memory, chunks are walked through: a damaged one stays on disk. */
	if (io.result ||
	    pages_checksum(iov.iov_base, chunk_pages(&t->chunk[i])) != t->chunk[i].checksum) {
		segment_give(t->room, segment);
		goto out_unpin;
	}
	return_chunk(t, i, segment);
	uint32_t unit = t->place[ref_entry(page->ref)] % CHUNK_UNITS;
	page->from = SWAP_FROM_PACKED;
	tier_expand(
	    t, &t->chunk[i], (const struct entry_head *)((char *)iov.iov_base + unit * UNIT), page);
	atomic_fetch_add_explicit(&t->room->disk_reads, 1, memory_order_relaxed);
	is_done = true;
out_unpin:
	lock_acquire(&t->lock);
	t->chunk[i].is_coming = false;
	chunk_unpin_locked(t, i);
	lock_release(&t->lock);
	return is_done;
}

void tier_read(struct tier *t, struct swap_backend *b, struct swap_page *pages, uint32_t nr,
    enum swap_wait wait)
{
	if (nr == 1 && !pages->from && read_whole(t, b, pages, wait))
		return;
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
		for (i = t->disk[b].first;
		     i != NONE && (t->chunk[i].nr_pins || t->chunk[i].is_bad);)
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
	bool ok = false, has_room = true;

	if (i == NONE)
		return false;
	desks_take(t->room, 1, &desk);
	iov.iov_base = desk;
	t->s->backend->ops->transfer(t->s->backend, &io, 1);
	swap_note_read(t->s, io.result, (uint32_t)(iov.iov_len / PAGE_BYTES));
	while (!io.result && unit < iov.iov_len / UNIT) {
		const struct entry_head *e = (const struct entry_head *)(desk + unit * UNIT);

		/* What lies behind the last entry is of no kind. */
		if (e->serial != t->chunk[i].serial || e->bytes > CODEC_MAX_BYTES ||
		    unit * UNIT + sizeof(*e) + e->bytes > iov.iov_len)
			break;
		has_room = !rescue(t, i, unit, e);
		if (!has_room)
			break;
		unit += (uint32_t)(sizeof(*e) + e->bytes + UNIT - 1) / UNIT;
	}
	lock_acquire(&t->lock);
	ok = !t->chunk[i].live;
	t->chunk[i].is_bad = !ok && has_room;
	if (!ok)
		chunk_rebucket_locked(t, i);
	chunk_unpin_locked(t, i);
	lock_release(&t->lock);
	desks_give(t->room, &desk, 1);
	return ok;
}
