// SPDX-License-Identifier: MIT
/*
 * TLB arrays and their replacement; see tlb.h.
 *
 * LRU and FIFO compare clocks: an access has a clock of its own, and uses at most one entry of a
 * set. PLRU is the binary tree: each inner node has a bit that says in which half the victim is (1:
 * the upper); a use turns the bits on its way away from itself. A number of ways that is no power
 * of two is the tree of the next one without the missing ways: the upper half is never chosen where
 * it is empty.
 */
#include "mmu/tlb.h"

#include <errno.h>
#include <stdlib.h>

static uint32_t tree_leaves(uint32_t ways)
{
	uint32_t n = 1;

	while (n < ways)
		n *= 2;
	return n;
}

/* Nodes are numbered as in a heap, the root 1; way w is the leaf `leaves + w`. */
static void plru_masks(uint32_t ways, uint64_t *keep, uint64_t *set)
{
	uint32_t leaves = tree_leaves(ways);

	for (uint32_t way = 0; way < ways; way++) {
		keep[way] = UINT64_MAX;
		set[way] = 0;
		for (uint32_t node = leaves + way; node > 1; node /= 2) {
			keep[way] &= ~(1ull << node / 2);
			if (node % 2 == 0)
				set[way] |= 1ull << node / 2; /* we are in the lower half */
		}
	}
}

static uint32_t plru_victim(uint64_t tree, uint32_t ways)
{
	uint32_t leaves = tree_leaves(ways), node = 1, first = 0, width = leaves;

	while (node < leaves) {
		width /= 2;
		node *= 2;
		if (tree >> node / 2 & 1 && first + width < ways) {
			node++;
			first += width;
		}
	}
	return first;
}

static uint64_t random_next(uint64_t *state)
{
	/* Marsaglia, "Xorshift RNGs", 2003: 13, 7, 17 */
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static int array_init(struct tlb_array *a, const struct fl_tlb_unit *geometry, uint64_t seed)
{
	size_t nr = (size_t)geometry->sets * geometry->ways;

	a->geometry = *geometry;
	a->random = seed * 0x9e3779b97f4a7c15ull | 1;
	a->entry = calloc(nr, sizeof(*a->entry));
	a->key = calloc(nr, sizeof(*a->key));
	if (!a->entry || !a->key)
		return -ENOMEM;
	for (size_t i = 0; i < nr; i++)
		a->key[i] = KEY_NONE;
	if (geometry->replacement == FL_CLOCK) {
		a->hand = calloc(geometry->sets, sizeof(*a->hand));
		return a->hand ? 0 : -ENOMEM;
	}
	if (geometry->replacement != FL_PLRU)
		return 0;
	a->tree = calloc(geometry->sets, sizeof(*a->tree));
	a->keep = calloc(geometry->ways, sizeof(*a->keep));
	a->set = calloc(geometry->ways, sizeof(*a->set));
	if (!a->tree || !a->keep || !a->set)
		return -ENOMEM;
	plru_masks(geometry->ways, a->keep, a->set);
	return 0;
}

int tlb_level_init(struct tlb_level *level, const struct fl_tlb_level *config, uint64_t seed)
{
	level->nr_arrays = config->nr_units;
	for (uint32_t i = 0; i < level->nr_arrays; i++) {
		int err = array_init(&level->array[i], &config->unit[i], seed + i + 1);

		if (err)
			return err;
	}
	return 0;
}

void tlb_level_fini(struct tlb_level *level)
{
	for (uint32_t i = 0; i < level->nr_arrays; i++) {
		free(level->array[i].entry);
		free(level->array[i].key);
		free(level->array[i].tree);
		free(level->array[i].hand);
		free(level->array[i].keep);
		free(level->array[i].set);
	}
}

static uint64_t key_of(uint64_t va, enum fl_page page)
{
	return va >> page_shift(page) << 2 | page;
}

/* The first entry of the set for @va. */
static size_t set_of(const struct tlb_array *a, uint64_t va, enum fl_page page)
{
	return (va >> page_shift(page) & (a->geometry.sets - 1)) * a->geometry.ways;
}

static struct tlb_entry *find_in(
    const struct tlb_array *a, uint64_t va, enum fl_page page, uint16_t asid)
{
	size_t first = set_of(a, va, page);
	uint64_t key = key_of(va, page);

	/* Spaces may have entries for the same page. */
	for (size_t i = first; i < first + a->geometry.ways; i++)
		if (a->key[i] == key && tlb_matches(&a->entry[i], va, asid))
			return &a->entry[i];
	return NULL;
}

struct tlb_entry *tlb_find(
    struct tlb_level *level, uint64_t va, uint16_t asid, struct tlb_array **ret_array)
{
	for (uint32_t i = 0; i < level->nr_arrays; i++) {
		struct tlb_array *a = &level->array[i];

		for (enum fl_page page = 0; page < FL_NR_PAGES; page++) {
			struct tlb_entry *e = NULL;

			if (a->geometry.pages & 1u << page)
				e = find_in(a, va, page, asid);
			if (!e)
				continue;
			*ret_array = a;
			return e;
		}
	}
	return NULL;
}

/* Which way of which set an entry is in. */
static uint32_t set_nr(const struct tlb_array *a, const struct tlb_entry *e)
{
	return (uint32_t)(e - a->entry) / a->geometry.ways;
}

static uint32_t way_nr(const struct tlb_array *a, const struct tlb_entry *e)
{
	return (uint32_t)(e - a->entry) % a->geometry.ways;
}

void tlb_used(struct tlb_array *a, struct tlb_entry *e, uint64_t clock)
{
	e->last_use = clock;
	if (a->tree) {
		uint64_t *tree = &a->tree[set_nr(a, e)];

		*tree = (*tree & a->keep[way_nr(a, e)]) | a->set[way_nr(a, e)];
	}
}

bool tlb_size_kept(const struct tlb_level *level, enum fl_page page, enum fl_page *ret)
{
	uint32_t held = 0;

	for (uint32_t i = 0; i < level->nr_arrays; i++)
		held |= level->array[i].geometry.pages;
	for (int size = (int)page; size >= 0; size--) {
		if (!(held & 1u << size))
			continue;
		*ret = (enum fl_page)size;
		return true;
	}
	return false;
}

/* The hand goes on to the first entry that was not used since it came by. */
static uint32_t clock_victim(struct tlb_array *a, struct tlb_entry *set)
{
	uint32_t *hand = &a->hand[set_nr(a, set)];

	for (;;) {
		uint32_t way = *hand;

		*hand = (way + 1) % a->geometry.ways;
		if (set[way].last_use == set[way].cleared)
			return way;
		set[way].cleared = set[way].last_use;
	}
}

static uint32_t victim(struct tlb_array *a, struct tlb_entry *set)
{
	uint32_t ways = a->geometry.ways, best = 0;

	for (uint32_t w = 0; w < ways; w++)
		if (!set[w].is_valid)
			return w;
	switch (a->geometry.replacement) {
	case FL_PLRU:
		return plru_victim(a->tree[set_nr(a, set)], ways);
	case FL_RANDOM:
		return (uint32_t)(random_next(&a->random) >> 11) % ways;
	case FL_CLOCK:
		return clock_victim(a, set);
	case FL_LRU:
		for (uint32_t w = 1; w < ways; w++)
			if (set[w].last_use < set[best].last_use)
				best = w;
		return best;
	case FL_FIFO:
		for (uint32_t w = 1; w < ways; w++)
			if (set[w].filled < set[best].filled)
				best = w;
		return best;
	}
	return best;
}

struct tlb_entry *tlb_place(
    struct tlb_level *level, uint64_t va, enum fl_page page, struct tlb_array **ret_array)
{
	for (uint32_t i = 0; i < level->nr_arrays; i++) {
		struct tlb_array *a = &level->array[i];

		if (!(a->geometry.pages & 1u << page))
			continue;
		struct tlb_entry *set = &a->entry[set_of(a, va, page)];
		*ret_array = a;
		return &set[victim(a, set)];
	}
	return NULL;
}

void tlb_filled(struct tlb_array *a, struct tlb_entry *e, uint64_t clock)
{
	e->is_valid = true;
	a->key[e - a->entry] = e->tag << 2 | e->page;
	e->filled = clock;
	if (e->whole != e->page)
		a->nr_pieces++;
	tlb_used(a, e, clock);
}

void tlb_entry_drop(struct tlb_array *a, struct tlb_entry *e)
{
	if (e->is_valid && e->whole != e->page)
		a->nr_pieces--;
	e->is_valid = false;
	a->key[e - a->entry] = KEY_NONE;
}

int psc_init(struct psc *psc, uint32_t level, uint32_t nr)
{
	psc->level = level;
	psc->nr = nr;
	psc->entry = nr ? calloc(nr, sizeof(*psc->entry)) : NULL;
	return nr && !psc->entry ? -ENOMEM : 0;
}

void psc_fini(struct psc *psc)
{
	free(psc->entry);
}

static uint64_t psc_tag(const struct psc *psc, uint64_t va)
{
	return va / level_bytes(psc->level);
}

struct psc_entry *psc_find(struct psc *psc, uint64_t va, uint16_t asid)
{
	for (uint32_t i = 0; i < psc->nr; i++) {
		struct psc_entry *e = &psc->entry[i];

		if (e->is_valid && e->asid == asid && e->tag == psc_tag(psc, va))
			return e;
	}
	return NULL;
}

void psc_fill(struct psc *psc, uint64_t va, uint16_t asid, struct walk_start next, uint64_t clock)
{
	struct psc_entry *place = psc_find(psc, va, asid);

	if (!psc->nr)
		return;
	for (uint32_t i = 0; !place && i < psc->nr; i++)
		if (!psc->entry[i].is_valid)
			place = &psc->entry[i];
	if (!place) {
		place = psc->entry;
		for (uint32_t i = 1; i < psc->nr; i++)
			if (psc->entry[i].last_use < place->last_use)
				place = &psc->entry[i];
	}
	*place = (struct psc_entry){
	    .tag = psc_tag(psc, va),
	    .last_use = clock,
	    .table = next.table,
	    .prot = next.prot,
	    .asid = asid,
	    .is_valid = true,
	};
}

void psc_drop(struct psc *psc, uint16_t asid)
{
	for (uint32_t i = 0; i < psc->nr; i++)
		if (psc->entry[i].asid == asid)
			psc->entry[i].is_valid = false;
}

void psc_drop_all(struct psc *psc)
{
	for (uint32_t i = 0; i < psc->nr; i++)
		psc->entry[i].is_valid = false;
}
