// SPDX-License-Identifier: MIT
/* A TLB in front of a replay; see front_tlb.h. */
#include "replay/front_tlb.h"

#include <stdlib.h>

#include "mmu/tlb.h"

struct front_tlb {
	struct tlb_level level;
	uint64_t clock;
	struct front_tlb_counts counts;
};

struct front_tlb *front_tlb_open(const struct tlb_geometry *g)
{
	static const enum fl_replacement replacement[] = {
	    [TLB_FIFO] = FL_FIFO,
	    [TLB_RANDOM] = FL_RANDOM,
	    [TLB_CLOCK] = FL_CLOCK,
	    [TLB_LRU] = FL_LRU,
	};
	const struct fl_tlb_level config = {
	    .nr_units = 1,
	    .unit = {{.sets = tlb_geometry_sets(g),
	        .ways = g->ways,
	        .pages = 1u << FL_PAGE_4K,
	        .replacement = replacement[g->replacement]}},
	};
	struct front_tlb *t = calloc(1, sizeof(*t));

	/* Seed 0: as the trap TLB draws (pager/trap_tlb.c). */
	if (t && tlb_level_init(&t->level, &config, 0)) {
		front_tlb_close(t);
		return NULL;
	}
	return t;
}

void front_tlb_close(struct front_tlb *t)
{
	if (t)
		tlb_level_fini(&t->level);
	free(t);
}

bool front_tlb_access(struct front_tlb *t, uint64_t page)
{
	struct tlb_array *a;
	uint64_t va = page << PAGE_SHIFT;
	struct tlb_entry *e = tlb_find(&t->level, va, 0, &a);

	t->clock++;
	if (e) {
		t->counts.hits++;
		tlb_used(a, e, t->clock);
		return true;
	}
	t->counts.misses++;
	e = tlb_place(&t->level, va, FL_PAGE_4K, &a);
	t->counts.evictions += e->is_valid;
	*e = (struct tlb_entry){.tag = page, .page = FL_PAGE_4K, .whole = FL_PAGE_4K};
	tlb_filled(a, e, t->clock);
	return false;
}

void front_tlb_drop(struct front_tlb *t, uint64_t page)
{
	struct tlb_array *a;
	struct tlb_entry *e = tlb_find(&t->level, page << PAGE_SHIFT, 0, &a);

	if (e)
		tlb_entry_drop(a, e);
}

const struct front_tlb_counts *front_tlb_counts(const struct front_tlb *t)
{
	return &t->counts;
}
