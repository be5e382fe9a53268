// SPDX-License-Identifier: MIT
/*
 * The MMU as the operating system handles it: opening, CR3 and ASIDs, mode, invalidation, counters;
 * see faultline/mmu.h. What it does on an access is in translate.c.
 */
#include "mmu/mmu.h"

#include <errno.h>
#include <stdlib.h>

static const struct fl_mmu_config default_config = {
    .nr_levels = 1,
    .level = {{1, {{16, 4, 7, FL_LRU}}}},
};

int fl_mmu_open(struct fl_phys *phys, const struct fl_mmu_config *config, struct fl_mmu **ret_mmu)
{
	struct fl_mmu *m;
	int err = 0;

	if (!config)
		config = &default_config;
	if (!config_is_valid(config))
		return -EINVAL;
	m = calloc(1, sizeof(*m));
	if (!m)
		return -ENOMEM;
	m->phys = phys;
	m->nr_levels = config->nr_levels;
	m->nr_asids = config->nr_asids > 1 ? config->nr_asids : 0;
	for (uint32_t l = 0; l < m->nr_levels && !err; l++)
		err = tlb_level_init(&m->level[l], &config->level[l], config->seed * 64 + l * 8);
	for (uint32_t i = 0; i < NR_PSC && !err; i++)
		err = psc_init(&m->psc[i], ROOT_LEVEL - i, config->psc[i]);
	if (!err && m->nr_asids) {
		m->asid_space = calloc(m->nr_asids, sizeof(*m->asid_space));
		err = m->asid_space ? 0 : -ENOMEM;
	}
	if (err) {
		fl_mmu_close(m);
		return err;
	}
	fast_forget_all(m);
	*ret_mmu = m;
	return 0;
}

void fl_mmu_close(struct fl_mmu *m)
{
	if (!m)
		return;
	for (uint32_t l = 0; l < m->nr_levels; l++)
		tlb_level_fini(&m->level[l]);
	for (uint32_t i = 0; i < NR_PSC; i++)
		psc_fini(&m->psc[i]);
	free(m->asid_space);
	free(m);
}

void fast_forget(struct fl_mmu *m, const struct tlb_entry *e)
{
	struct fl_fast *fast = m->head.fast;
	uint32_t first = 0, end = FL_NR_FAST;

	if (e->page == FL_PAGE_4K) {
		first = e->tag % FL_NR_FAST;
		end = first + 1;
	}
	for (uint32_t i = first; i < end; i++)
		if (fast[i].last_use == &e->last_use)
			fast[i].tag_read = fast[i].tag_write = FL_FAST_NONE;
}

void fast_forget_all(struct fl_mmu *m)
{
	for (uint32_t i = 0; i < FL_NR_FAST; i++)
		m->head.fast[i].tag_read = m->head.fast[i].tag_write = FL_FAST_NONE;
}

static void drop(
    struct fl_mmu *m, struct tlb_level *level, struct tlb_array *a, struct tlb_entry *e)
{
	if (level == m->level)
		fast_forget(m, e);
	tlb_entry_drop(a, e);
	level->counts.invalidated++;
}

/* Pieces of the page that @va is in lie anywhere. */
static void drop_pieces(
    struct fl_mmu *m, struct tlb_level *level, struct tlb_array *a, uint64_t va, uint16_t asid)
{
	for (uint32_t i = 0; i < a->geometry.sets * a->geometry.ways; i++) {
		struct tlb_entry *e = &a->entry[i];
		uint32_t shift = page_shift((enum fl_page)e->whole);

		if (!e->is_valid || e->whole == e->page ||
		    (e->asid != asid && !(e->prot & FL_GLOBAL)))
			continue;
		if (e->tag << page_shift((enum fl_page)e->page) >> shift == va >> shift)
			drop(m, level, a, e);
	}
}

void mmu_drop_page(struct fl_mmu *m, uint64_t va, uint16_t asid)
{
	for (uint32_t l = 0; l < m->nr_levels; l++) {
		struct tlb_level *level = &m->level[l];
		struct tlb_array *a;
		struct tlb_entry *e;

		while ((e = tlb_find(level, va, asid, &a)))
			drop(m, level, a, e);
		for (uint32_t i = 0; i < level->nr_arrays; i++)
			if (level->array[i].nr_pieces)
				drop_pieces(m, level, &level->array[i], va, asid);
	}
}

/* Drop what is of @asid and not global; or everything. */
static void drop_many(struct fl_mmu *m, uint16_t asid, bool is_all)
{
	fast_forget_all(m);
	for (uint32_t l = 0; l < m->nr_levels; l++) {
		struct tlb_level *level = &m->level[l];

		for (uint32_t i = 0; i < level->nr_arrays; i++) {
			struct tlb_array *a = &level->array[i];

			for (uint32_t k = 0; k < a->geometry.sets * a->geometry.ways; k++) {
				struct tlb_entry *e = &a->entry[k];

				if (!e->is_valid ||
				    !(is_all || (e->asid == asid && !(e->prot & FL_GLOBAL))))
					continue;
				tlb_entry_drop(a, e);
				level->counts.invalidated++;
			}
		}
	}
	for (uint32_t i = 0; i < NR_PSC; i++) {
		if (is_all)
			psc_drop_all(&m->psc[i]);
		else
			psc_drop(&m->psc[i], asid);
	}
	m->counts.flushes++;
}

/* The ASID that @space has now. Return: whether it has one. */
static bool asid_find(const struct fl_mmu *m, const struct fl_space *space, uint16_t *ret)
{
	*ret = 0;
	if (!m->nr_asids)
		return m->only_space == space->id;
	for (uint32_t i = 0; i < m->nr_asids; i++) {
		if (m->asid_space[i] != space->id)
			continue;
		*ret = (uint16_t)i;
		return true;
	}
	return false;
}

/* An ASID for @space: its own, or in turn one that is free or another space's, emptied. */
static uint16_t asid_give(struct fl_mmu *m, const struct fl_space *space)
{
	uint16_t asid;

	if (asid_find(m, space, &asid))
		return asid;
	asid = (uint16_t)m->next_asid;
	m->next_asid = (m->next_asid + 1) % m->nr_asids;
	if (m->asid_space[asid])
		drop_many(m, asid, false);
	m->asid_space[asid] = space->id;
	return asid;
}

int fl_mmu_switch(struct fl_mmu *m, struct fl_space *space)
{
	if (space && space->phys != m->phys)
		return -EXDEV;
	m->counts.switches++;
	fast_forget_all(m);
	m->has_space = space;
	if (!m->nr_asids) {
		drop_many(m, 0, false);
		m->only_space = space ? space->id : 0;
	} else if (space) {
		m->asid = asid_give(m, space);
	}
	m->root = space ? space->root : 0;
	return 0;
}

void fl_mmu_set_mode(struct fl_mmu *m, enum fl_mode mode)
{
	/* The inline index knows only what the old mode may do. */
	if (mode != m->mode)
		fast_forget_all(m);
	m->mode = mode;
}

void fl_mmu_on_fault(struct fl_mmu *m, fl_fault_handler *handler, void *context)
{
	m->handler = handler;
	m->handler_context = context;
}

void fl_mmu_invalidate(struct fl_mmu *m, const struct fl_space *space, uint64_t va)
{
	uint16_t asid;

	if (!asid_find(m, space, &asid))
		asid = UINT16_MAX; /* nobody's: only global entries match */
	mmu_drop_page(m, va, asid);
	for (uint32_t i = 0; i < NR_PSC; i++)
		psc_drop(&m->psc[i], asid);
}

void fl_mmu_invalidate_space(struct fl_mmu *m, const struct fl_space *space)
{
	uint16_t asid;

	if (asid_find(m, space, &asid))
		drop_many(m, asid, false);
}

void fl_mmu_invalidate_all(struct fl_mmu *m)
{
	drop_many(m, 0, true);
}

void fl_mmu_counts(const struct fl_mmu *m, struct fl_mmu_counts *ret)
{
	*ret = m->counts;
	ret->accesses = m->head.clock - m->clock_at_reset;
	for (uint32_t l = 0; l < m->nr_levels; l++)
		ret->level[l] = m->level[l].counts;
	if (m->nr_levels)
		ret->level[0].hits = ret->accesses - ret->level[0].misses;
}

void fl_mmu_reset_counts(struct fl_mmu *m)
{
	memset(&m->counts, 0, sizeof(m->counts));
	for (uint32_t l = 0; l < m->nr_levels; l++)
		memset(&m->level[l].counts, 0, sizeof(m->level[l].counts));
	m->clock_at_reset = m->head.clock;
}
