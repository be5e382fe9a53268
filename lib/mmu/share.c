// SPDX-License-Identifier: MIT
/*
 * Sharing of pages between spaces, copy-on-write, and splitting of large pages; see
 * faultline/mmu.h. A page shared copy-on-write has PTE_COW in every space and PTE_WRITE in none;
 * whether it would be writable is in PTE_COW_WRITE. The last one left finds itself alone by the
 * frame's references, and takes the frame over.
 */
#include <errno.h>

#include "base/ensure.h"
#include "mmu/space.h"

static uint64_t entry_cow(uint64_t entry)
{
	if (entry & PTE_WRITE)
		entry |= PTE_COW_WRITE;
	return (entry | PTE_COW) & ~PTE_WRITE;
}

int fl_space_share(
    struct fl_space *to, uint64_t to_va, struct fl_space *from, uint64_t from_va, bool is_cow)
{
	struct leaf leaf;
	uint64_t entry;
	int err;

	if (to->phys != from->phys)
		return -EXDEV;
	if (!leaf_find(from, from_va, &leaf))
		return -ENOENT;
	if (leaf.va != from_va || to_va % fl_page_bytes(leaf.page) || !fl_is_canonical(to_va))
		return -EINVAL;
	if (!is_cow && *leaf.entry & PTE_COW)
		return -EINVAL; /* one of them would get a copy, and the other not know */
	entry = is_cow ? entry_cow(*leaf.entry) : *leaf.entry;
	phys_get(to->phys, pte_payload(entry), leaf.page);
	err = leaf_set(to, to_va, leaf.page, entry & ~(PTE_ACCESSED | PTE_DIRTY));
	if (err)
		phys_put(to->phys, pte_payload(entry), leaf.page);
	else
		*leaf.entry = entry;
	return err;
}

struct fl_space *fl_space_clone(struct fl_space *space)
{
	struct fl_space *clone = fl_space_open(space->phys);
	struct leaf leaf;
	uint64_t va = 0;

	if (!clone)
		return NULL;
	while (leaf_next(space, va, UINT64_MAX, &leaf)) {
		if (fl_space_share(clone, leaf.va, space, leaf.va, true)) {
			fl_space_close(clone);
			return NULL;
		}
		va = leaf.va + fl_page_bytes(leaf.page);
		if (!fl_is_canonical(va))
			va = ~0ull << 47;
		if (!va)
			break; /* that was the last page of all */
	}
	return clone;
}

static bool is_shared(const struct fl_phys *phys, uint64_t frame, enum fl_page page)
{
	for (uint64_t f = frame; f < frame + page_frames(page); f++)
		if (phys->info[f].refs > 1)
			return true;
	return false;
}

/* The entry as it was before it was shared, with @frame in it. */
static uint64_t entry_private(uint64_t entry, uint64_t frame)
{
	entry &= ~(PTE_COW | PTE_COW_WRITE | PTE_PAYLOAD_MASK);
	return entry | PTE_WRITE | frame << PTE_PAYLOAD_SHIFT;
}

int fl_space_copy(struct fl_space *space, uint64_t va)
{
	struct fl_phys *phys = space->phys;
	uint64_t frame, old;
	struct leaf leaf;

	if (!leaf_find(space, va, &leaf))
		return -ENOENT;
	if (!(*leaf.entry & PTE_COW_WRITE) || !(*leaf.entry & PTE_PRESENT))
		return -EACCES;
	old = pte_payload(*leaf.entry);
	if (!is_shared(phys, old, leaf.page)) {
		*leaf.entry = entry_private(*leaf.entry, old);
		return 0;
	}
	frame = fl_phys_alloc(phys, leaf.page);
	if (frame == FL_FRAME_NONE)
		return -ENOMEM;
	memcpy(phys->bytes + frame * PAGE_BYTES, phys->bytes + old * PAGE_BYTES,
	    fl_page_bytes(leaf.page));
	*leaf.entry = entry_private(*leaf.entry, frame);
	phys_put(phys, old, leaf.page);
	return 1;
}

int fl_space_split(struct fl_space *space, uint64_t va)
{
	struct fl_phys *phys = space->phys;
	uint64_t table, entry, step;
	struct leaf leaf;

	if (!leaf_find(space, va, &leaf))
		return -ENOENT;
	if (leaf.page == FL_PAGE_4K)
		return -EINVAL;
	table = phys_table_new(phys);
	if (table == FL_FRAME_NONE)
		return -ENOMEM;
	entry = *leaf.entry & ~(leaf.page == FL_PAGE_2M ? PTE_LARGE : 0);
	step = page_frames(leaf.page - 1) << PTE_PAYLOAD_SHIFT;
	for (unsigned i = 0; i < PTAB_ENTRIES; i++)
		*table_entry(phys, table, i) = entry + i * step;
	phys->info[table].nr_used = PTAB_ENTRIES;
	/* The table's own entry takes the page's place in the table above: nr_used stays. */
	*leaf.entry = pte_present(table, PTE_WRITE | PTE_USER | (entry & PTE_ACCESSED));
	space->nr_tables++;
	space->nr_pages[leaf.page]--;
	space->nr_pages[leaf.page - 1] += PTAB_ENTRIES;
	return 0;
}
