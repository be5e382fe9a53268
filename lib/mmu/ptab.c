// SPDX-License-Identifier: MIT
/* The 4-level page table; see ptab.h. */
#include "mmu/ptab.h"

#include <errno.h>

#include "base/ensure.h"
#include "base/meta.h"

#define TABLE_BYTES (PTAB_ENTRIES * sizeof(uintptr_t))

/* An L2 table carries the locks of the L1 tables below it. */
struct l2 {
	_Atomic uintptr_t entry[PTAB_ENTRIES];
	struct lock lock[PTAB_ENTRIES];
};

int ptab_init(struct ptab *pt)
{
	lock_init(&pt->grow_lock, LOCK_PTAB);
	pt->l4 = meta_block(TABLE_BYTES);
	atomic_store(&pt->nr_tables, 1);
	return pt->l4 ? 0 : -ENOMEM;
}

static struct l2 *walk_l2(struct ptab *pt, struct vpn vpn)
{
	uintptr_t l3 = atomic_load_explicit(&pt->l4[ptab_index(vpn, 4)], memory_order_acquire);

	if (!l3)
		return NULL;
	_Atomic uintptr_t *e = &((_Atomic uintptr_t *)l3)[ptab_index(vpn, 3)];
	return (struct l2 *)atomic_load_explicit(e, memory_order_acquire);
}

static struct pt_leaf leaf_of(struct l2 *l2, struct vpn vpn)
{
	unsigned i = ptab_index(vpn, 2);

	/* Acquire pairs with the release in link_table(): a table is seen only when zeroed. */
	uintptr_t l1 = atomic_load_explicit(&l2->entry[i], memory_order_acquire);
	return (struct pt_leaf){.pte = (uint64_t *)l1, .lock = &l2->lock[i]};
}

struct pt_leaf ptab_walk(struct ptab *pt, struct vpn vpn)
{
	struct l2 *l2 = walk_l2(pt, vpn);

	return l2 ? leaf_of(l2, vpn) : (struct pt_leaf){0};
}

/* [grow_lock] Make the table that *@entry leads to, unless it is there. */
static void *link_table(struct ptab *pt, _Atomic uintptr_t *entry, size_t bytes)
{
	void *table = (void *)atomic_load_explicit(entry, memory_order_acquire);

	if (table)
		return table;
	table = meta_block(bytes);
	if (!table)
		return NULL;
	if (bytes == sizeof(struct l2))
		for (unsigned i = 0; i < PTAB_ENTRIES; i++)
			lock_init(&((struct l2 *)table)->lock[i], LOCK_L1);
	atomic_fetch_add_explicit(&pt->nr_tables, 1, memory_order_relaxed);
	/* Pairs with leaf_of() and walk_l2(). */
	atomic_store_explicit(entry, (uintptr_t)table, memory_order_release);
	return table;
}

struct pt_leaf ptab_walk_create(struct ptab *pt, struct vpn vpn)
{
	struct pt_leaf leaf = ptab_walk(pt, vpn);

	if (leaf.pte)
		return leaf;
	lock_acquire(&pt->grow_lock);
	_Atomic uintptr_t *l3 = link_table(pt, &pt->l4[ptab_index(vpn, 4)], TABLE_BYTES);
	struct l2 *l2 = l3 ? link_table(pt, &l3[ptab_index(vpn, 3)], sizeof(struct l2)) : NULL;
	if (l2 && link_table(pt, &l2->entry[ptab_index(vpn, 2)], TABLE_BYTES))
		leaf = leaf_of(l2, vpn);
	lock_release(&pt->grow_lock);
	return leaf;
}

struct vpn ptab_next(struct ptab *pt, struct vpn vpn, struct vpn end)
{
	while (vpn.v < end.v) {
		struct l2 *l2 = walk_l2(pt, vpn);
		uint64_t step = PTAB_ENTRIES;

		if (l2 && leaf_of(l2, vpn).pte)
			return vpn;
		if (!l2)
			step <<= PTAB_LEVEL_BITS; /* nothing below a whole L2 table: 1 GiB */
		vpn.v = (vpn.v | (step - 1)) + 1;
	}
	return end;
}
