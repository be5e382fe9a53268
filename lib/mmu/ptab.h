// SPDX-License-Identifier: MIT
/*
 * The 4-level page table: 512 entries a level, L4 to L1, over 48-bit addresses. Only touched
 * branches exist; tables are never freed while the process lives (addresses are reused first).
 * Upper levels are walked without a lock. Each L1 table has a lock of its own, as in Linux's
 * split page-table locks; it guards the table's PTEs.
 */
#ifndef FL_MMU_PTAB_H
#define FL_MMU_PTAB_H

#include "base/lock.h"
#include "mmu/level.h"
#include "mmu/pte.h"

struct ptab {
	struct lock grow_lock; /* rank LOCK_PTAB: making new tables */
	_Atomic uintptr_t *l4; /* 512 entries: address of the next table, or 0 */
	_Atomic uint64_t nr_tables;
};

/* One L1 table: what a walk leads to. */
struct pt_leaf {
	uint64_t *pte;     /* [lock] its 512 entries; NULL: the branch does not exist */
	struct lock *lock; /* rank LOCK_L1 */
};

/* Return: 0 or -ENOMEM. */
int ptab_init(struct ptab *pt);

/* Walk to the L1 table of @vpn. Return: the leaf, pte == NULL where there is none.
 * Context: any. */
struct pt_leaf ptab_walk(struct ptab *pt, struct vpn vpn);

/* The same, making missing tables. pte == NULL: out of memory. Context: fault, no L1 lock held. */
struct pt_leaf ptab_walk_create(struct ptab *pt, struct vpn vpn);

/* First vpn at or after @vpn whose L1 table exists, or @end. Context: any. */
struct vpn ptab_next(struct ptab *pt, struct vpn vpn, struct vpn end);

static inline uint64_t *leaf_pte(struct pt_leaf leaf, struct vpn vpn)
{
	return &leaf.pte[ptab_index(vpn, 1)];
}

/* First vpn of the next L1 table. */
static inline struct vpn leaf_end(struct vpn vpn)
{
	return (struct vpn){(vpn.v | (PTAB_ENTRIES - 1)) + 1};
}

#endif
