// SPDX-License-Identifier: MIT
/* The entries of the trap TLB, and how room is made among them; see trap_tlb.h. */
#include "pager/trap_tlb.h"

#include <errno.h>
#include <stdio.h>

#include "base/ensure.h"
#include "base/meta.h"
#include "pager/internal.h"

#define FREE            UINT64_MAX
#define MAX_FLUSH_TRIES 1000u /* in all; then what is left moves mapped */

int tlb_geometry_check(const struct tlb_geometry *g, char *why, size_t why_bytes)
{
	if (!g->entries || (g->entries >= TLB_MIN_ENTRIES && g->ways >= TLB_MIN_WAYS))
		return 0;
	if (g->entries < TLB_MIN_ENTRIES)
		snprintf(why, why_bytes,
		    "too small: one instruction may need %u pages at once; give at least %u "
		    "entries",
		    TLB_MIN_ENTRIES, TLB_MIN_ENTRIES);
	else
		snprintf(why, why_bytes,
		    "too few ways: one instruction may need %u pages of one set at once; try %ux%u",
		    TLB_MIN_WAYS, g->ways ? g->entries / g->ways * 4 : 16, 4u);
	return -EINVAL;
}

int tlb_init(struct trap_tlb *t, const struct tlb_geometry *geometry, uint32_t shift)
{
	t->geometry = *geometry;
	if (!geometry->entries)
		return 0;
	t->sets = tlb_geometry_sets(geometry);
	t->shift = shift;
	lock_init(&t->lock, LOCK_TLB);
	t->slot = meta_map(page_round_up(geometry->entries * sizeof(*t->slot)));
	t->hand = meta_map(page_round_up(t->sets * sizeof(*t->hand)));
	if (!t->slot || !t->hand)
		return -ENOMEM;
	for (uint32_t i = 0; i < geometry->entries; i++)
		t->slot[i].unit = FREE;
	t->random = 0x9e3779b97f4a7c15ull; /* as the software TLB (mmu/tlb.c) with seed 1 */
	return 0;
}

static uint64_t unit_of(struct vpn vpn)
{
	return vpn.v >> pg.tlb.shift;
}

/* [lock] The first entry of the set. */
static struct tlb_slot *set_of(uint64_t unit)
{
	return &pg.tlb.slot[unit % pg.tlb.sets * pg.tlb.geometry.ways];
}

/* [lock] Return: the entry of @unit (FREE: the first that is free), or NULL. */
static struct tlb_slot *find(struct tlb_slot *set, uint64_t unit)
{
	for (uint32_t w = 0; w < pg.tlb.geometry.ways; w++)
		if (set[w].unit == unit)
			return &set[w];
	return NULL;
}

bool tlb_pin(struct vpn vpn)
{
	uint64_t unit = unit_of(vpn);

	lock_acquire(&pg.tlb.lock);
	struct tlb_slot *set = set_of(unit), *e = find(set, unit);
	if (!e) {
		e = find(set, FREE);
		if (e)
			*e = (struct tlb_slot){.unit = unit};
	}
	if (e)
		e->nr_pins++;
	lock_release(&pg.tlb.lock);
	return e;
}

/* [lock] Whether nothing keeps the entry: its pages are not mapped, nor watched, nor coming. */
static bool is_idle(const struct tlb_slot *e)
{
	return !e->nr_mapped && !e->nr_pins && !e->filled;
}

static void put(struct tlb_slot *e)
{
	if (is_idle(e))
		e->unit = FREE;
}

void tlb_unpin(struct vpn vpn)
{
	lock_acquire(&pg.tlb.lock);
	struct tlb_slot *e = find(set_of(unit_of(vpn)), unit_of(vpn));
	ensure(e && e->nr_pins);
	e->nr_pins--;
	put(e);
	lock_release(&pg.tlb.lock);
	if (UNLIKELY(atomic_load(&pg.frames.freed.nr_waiting)))
		event_signal(&pg.frames.freed);
}

bool tlb_mapped(struct vpn vpn)
{
	lock_acquire(&pg.tlb.lock);
	struct tlb_slot *e = find(set_of(unit_of(vpn)), unit_of(vpn));
	ensure(e && e->nr_pins);
	bool is_miss = !e->filled, is_probe = !is_miss && !e->is_used;
	if (is_miss)
		e->filled = ++pg.tlb.clock;
	e->is_used = true;
	e->nr_mapped++;
	lock_release(&pg.tlb.lock);
	if (is_miss)
		COUNT(&pg.telemetry, tlb_misses, 1);
	if (is_probe)
		COUNT(&pg.telemetry, tlb_probes, 1);
	return is_miss || is_probe;
}

void tlb_unmapped(struct vpn vpn, bool is_watched)
{
	lock_acquire(&pg.tlb.lock);
	struct tlb_slot *e = find(set_of(unit_of(vpn)), unit_of(vpn));
	/* None: mremap moved it here while other threads used it. */
	if (e && e->nr_mapped && !--e->nr_mapped && !is_watched) {
		e->filled = 0;
		put(e);
	}
	lock_release(&pg.tlb.lock);
}

void tlb_forget(struct vpn vpn)
{
	/* Of a larger unit other pages may be watched still. */
	if (pg.tlb.shift)
		return;
	lock_acquire(&pg.tlb.lock);
	struct tlb_slot *e = find(set_of(unit_of(vpn)), unit_of(vpn));
	if (e && !e->nr_mapped) {
		e->filled = 0;
		put(e);
	}
	lock_release(&pg.tlb.lock);
}

/* --- making room --- */

static uint32_t draw(uint32_t below)
{
	/* As mmu/tlb.c: the same seed, the same victims. */
	pg.tlb.random ^= pg.tlb.random << 13;
	pg.tlb.random ^= pg.tlb.random >> 7;
	pg.tlb.random ^= pg.tlb.random << 17;
	return (uint32_t)(pg.tlb.random >> 11) % below;
}

/* [lock] CLOCK: the entry under the hand, if it is to go; else its bit is to be cleared. */
static struct tlb_slot *clock_step(struct tlb_slot *set)
{
	uint32_t *hand = &pg.tlb.hand[(uint32_t)(set - pg.tlb.slot) / pg.tlb.geometry.ways];
	struct tlb_slot *e = &set[*hand];

	*hand = (*hand + 1) % pg.tlb.geometry.ways;
	return e;
}

/* [lock] Return: the entry to look at next, or NULL: every one is being filled. */
static struct tlb_slot *choose(struct tlb_slot *set)
{
	uint32_t ways = pg.tlb.geometry.ways, nr_free_to_go = 0;
	struct tlb_slot *oldest = NULL, *e;

	for (uint32_t w = 0; w < ways; w++) {
		if (set[w].nr_pins)
			continue;
		nr_free_to_go++;
		if (!oldest || set[w].filled < oldest->filled)
			oldest = &set[w];
	}
	if (!nr_free_to_go || pg.tlb.geometry.replacement == TLB_FIFO)
		return oldest;
	do
		e = pg.tlb.geometry.replacement == TLB_CLOCK ? clock_step(set) : &set[draw(ways)];
	while (e->nr_pins);
	return e;
}

/* One step of the replacement in @set. Return: whether a further one may help. Reclaim lock held.
 */
static bool step(struct tlb_slot *set)
{
	lock_acquire(&pg.tlb.lock);
	struct tlb_slot *e = choose(set);
	bool is_watch = e && pg.tlb.geometry.replacement == TLB_CLOCK && e->is_used;
	uint64_t unit = e ? e->unit : FREE;
	bool has_pages = e && e->nr_mapped;

	if (is_watch) {
		e->is_used = false;
	} else if (e && !has_pages) {
		e->filled = 0; /* watched, and not touched since */
		put(e);
		COUNT(&pg.telemetry, tlb_evictions, 1);
	}
	lock_release(&pg.tlb.lock);
	if (!has_pages)
		return e;
	uint32_t nr = 1u << pg.tlb.shift;
	if (!unmap_hide((struct vpn){unit << pg.tlb.shift}, nr, is_watch)) {
		if (is_watch) { /* the hand comes by again */
			lock_acquire(&pg.tlb.lock);
			if (e->unit == unit)
				e->is_used = true;
			lock_release(&pg.tlb.lock);
		}
		return false;
	}
	if (!is_watch)
		COUNT(&pg.telemetry, tlb_evictions, 1);
	return true;
}

static bool has_room(struct tlb_slot *set, uint64_t unit)
{
	lock_acquire(&pg.tlb.lock);
	bool has = find(set, FREE) || find(set, unit);
	lock_release(&pg.tlb.lock);
	return has;
}

bool tlb_make_room(struct vpn vpn)
{
	uint64_t unit = unit_of(vpn);
	struct tlb_slot *set = set_of(unit);
	bool has;

	lock_acquire(&pg.reclaim_lock);
	/* Twice round CLOCK's circle at most. */
	for (uint32_t i = 0; !(has = has_room(set, unit)) && i < 2 * pg.tlb.geometry.ways + 1; i++)
		if (!step(set))
			break;
	lock_release(&pg.reclaim_lock);
	return has;
}

/* Return: whether the entry is not there any more. */
static bool flush_entry(uint32_t i, uint64_t first, uint64_t last)
{
	struct tlb_slot *e = &pg.tlb.slot[i];

	lock_acquire(&pg.tlb.lock);
	uint64_t unit = e->unit;
	bool is_in = unit != FREE && unit >= first && unit <= last;
	if (is_in && !e->nr_mapped && !e->nr_pins) {
		e->filled = 0;
		put(e);
		is_in = false;
	}
	lock_release(&pg.tlb.lock);
	return !is_in || unmap_hide((struct vpn){unit << pg.tlb.shift}, 1u << pg.tlb.shift, false);
}

void tlb_flush(uintptr_t start, uintptr_t end)
{
	if (!pg.tlb.geometry.entries || start >= end)
		return;
	uint64_t first = unit_of(vpn_of(start)), last = unit_of(vpn_of(end - 1));

	/* Bounded: other threads may go on touching the range. */
	for (uint32_t i = 0, tries = 0; i < pg.tlb.geometry.entries; i++) {
		lock_acquire(&pg.reclaim_lock);
		bool is_done = flush_entry(i, first, last);
		lock_release(&pg.reclaim_lock);
		if (is_done || tries++ == MAX_FLUSH_TRIES)
			continue;
		reclaim_wait_entry();
		i--;
	}
}
