// SPDX-License-Identifier: MIT
/*
 * Address spaces of the software MMU: mapping, unmapping, rights; see faultline/mmu.h.
 *
 * Invariants: every entry that is not 0 is counted in its table's nr_used; a table other than the
 * root has at least one; tables and their entries above level 1 form a tree; a page's entry holds
 * one reference to each of its frames.
 */
#include "mmu/space.h"

#include <errno.h>
#include <stdlib.h>

#include "base/ensure.h"

struct fl_space *fl_space_open(struct fl_phys *phys)
{
	struct fl_space *space = calloc(1, sizeof(*space));

	if (!space)
		return NULL;
	space->phys = phys;
	space->root = phys_table_new(phys);
	if (space->root == FL_FRAME_NONE) {
		free(space);
		return NULL;
	}
	space->id = phys->next_space_id++;
	space->nr_tables = 1;
	return space;
}

void fl_space_close(struct fl_space *space)
{
	struct leaf leaf;

	if (!space)
		return;
	for (uint64_t va = 0; leaf_next(space, va, UINT64_MAX, &leaf); va = leaf.va)
		leaf_clear(space, &leaf);
	ensure(space->nr_tables == 1);
	phys_table_free(space->phys, space->root);
	free(space);
}

/* The address after @va that the next entry of a table at @level begins with; skips the gap of
 * addresses that are not canonical. 0: there is none. */
static uint64_t next_address(uint64_t va, uint32_t level)
{
	uint64_t next = (va | (level_bytes(level) - 1)) + 1;

	return fl_is_canonical(next) ? next : ~0ull << 47;
}

bool leaf_next(const struct fl_space *space, uint64_t va, uint64_t last, struct leaf *ret)
{
	do {
		uint64_t table = space->root;
		uint32_t level = ROOT_LEVEL;
		uint64_t *entry = table_entry(space->phys, table, va_index(va, level));

		while (*entry && !is_leaf(*entry, level)) {
			table = pte_payload(*entry);
			entry = table_entry(space->phys, table, va_index(va, --level));
		}
		if (*entry) {
			ret->va = va & ~(level_bytes(level) - 1);
			ret->entry = entry;
			ret->page = (enum fl_page)(level - 1);
			return true;
		}
		va = next_address(va, level);
	} while (va && va <= last);
	return false;
}

bool leaf_find(const struct fl_space *space, uint64_t va, struct leaf *ret)
{
	return fl_is_canonical(va) && leaf_next(space, va, va, ret);
}

/* Frames of the tables on the way to @va, from the root down to @level; [level]. */
struct path {
	uint64_t table[ROOT_LEVEL + 1];
};

/* Free the empty tables on @path from @level up; the root stays. */
static void free_empty(struct fl_space *space, const struct path *path, uint64_t va, uint32_t level)
{
	struct fl_phys *phys = space->phys;

	for (; level < ROOT_LEVEL && !phys->info[path->table[level]].nr_used; level++) {
		phys_table_free(phys, path->table[level]);
		space->nr_tables--;
		*table_entry(phys, path->table[level + 1], va_index(va, level + 1)) = 0;
		phys->info[path->table[level + 1]].nr_used--;
	}
}

/* Walk down to the table at @level, making what is missing. */
static int path_make(struct fl_space *space, uint64_t va, uint32_t level, struct path *path)
{
	struct fl_phys *phys = space->phys;

	path->table[ROOT_LEVEL] = space->root;
	for (uint32_t l = ROOT_LEVEL; l > level; l--) {
		uint64_t *entry = table_entry(phys, path->table[l], va_index(va, l));

		if (*entry && is_leaf(*entry, l))
			return -EEXIST;
		if (!*entry) {
			uint64_t frame = phys_table_new(phys);

			if (frame == FL_FRAME_NONE) {
				free_empty(space, path, va, l);
				return -ENOMEM;
			}
			*entry = pte_present(frame, PTE_WRITE | PTE_USER);
			phys->info[path->table[l]].nr_used++;
			space->nr_tables++;
		}
		path->table[l - 1] = pte_payload(*entry);
	}
	return 0;
}

int leaf_set(struct fl_space *space, uint64_t va, enum fl_page page, uint64_t entry)
{
	uint32_t level = page + 1;
	struct path path;
	uint64_t *at;
	int err = path_make(space, va, level, &path);

	if (err)
		return err;
	at = table_entry(space->phys, path.table[level], va_index(va, level));
	if (*at)
		return -EEXIST; /* so no table on the way was empty */
	*at = entry;
	space->phys->info[path.table[level]].nr_used++;
	space->nr_pages[page]++;
	return 0;
}

void leaf_clear(struct fl_space *space, const struct leaf *leaf)
{
	uint32_t level = leaf->page + 1;
	uint64_t entry = *leaf->entry;
	struct path path;
	int err = path_make(space, leaf->va, level, &path);

	ensure(err == 0 && entry);
	*leaf->entry = 0;
	space->phys->info[path.table[level]].nr_used--;
	space->nr_pages[leaf->page]--;
	free_empty(space, &path, leaf->va, level);
	phys_put(space->phys, pte_payload(entry), leaf->page);
}

bool prot_is_valid(uint32_t prot)
{
	if (prot & ~(uint32_t)(FL_READ | FL_WRITE | FL_EXEC | FL_USER | FL_GLOBAL))
		return false;
	return prot & FL_READ || !(prot & (FL_WRITE | FL_EXEC));
}

/*
 * The old entry's frame, size, accessed, dirty and copy-on-write bits, with the rights @prot. A
 * page that nobody may touch is in its frame but not mapped: HELD.
 */
uint64_t entry_rights(uint64_t old, uint32_t prot)
{
	uint64_t entry = old & (PTE_PAYLOAD_MASK | PTE_LARGE | PTE_ACCESSED | PTE_DIRTY | PTE_COW);

	if (prot & FL_READ)
		entry = pte_present(0, entry);
	else
		entry |= (uint64_t)PAGE_HELD << PTE_STATE_SHIFT | PTE_NO_ACCESS;
	if (prot & FL_WRITE)
		entry |= entry & PTE_COW ? PTE_COW_WRITE : PTE_WRITE;
	if (prot & FL_USER)
		entry |= PTE_USER;
	if (prot & FL_GLOBAL)
		entry |= PTE_GLOBAL;
	if (!(prot & FL_EXEC))
		entry |= PTE_NX;
	return entry;
}

uint32_t entry_prot(uint64_t entry)
{
	uint32_t prot = entry & PTE_PRESENT ? FL_READ : 0;

	if (entry & (PTE_WRITE | PTE_COW_WRITE))
		prot |= FL_WRITE;
	if (entry & PTE_USER)
		prot |= FL_USER;
	if (entry & PTE_GLOBAL)
		prot |= FL_GLOBAL;
	if (!(entry & PTE_NX))
		prot |= FL_EXEC;
	return prot;
}

/* Whether [@va, @va + @bytes) is a range of whole pages of @unit bytes in one canonical half. */
static bool range_is_valid(uint64_t va, uint64_t bytes, uint64_t unit)
{
	uint64_t last = va + bytes - 1;

	return bytes && va % unit == 0 && bytes % unit == 0 && last >= va && fl_is_canonical(va) &&
	       fl_is_canonical(last) && va >> 63 == last >> 63;
}

static void unmap_pages(struct fl_space *space, uint64_t va, uint64_t nr, enum fl_page page)
{
	struct leaf leaf;

	for (uint64_t i = 0; i < nr; i++)
		if (leaf_find(space, va + i * fl_page_bytes(page), &leaf))
			leaf_clear(space, &leaf);
}

static int map_one(
    struct fl_space *space, uint64_t va, enum fl_page page, uint64_t frame, uint32_t prot)
{
	int err;

	if (frame == FL_FRAME_NONE) {
		frame = fl_phys_alloc(space->phys, page);
		if (frame == FL_FRAME_NONE)
			return -ENOMEM;
	} else {
		phys_get(space->phys, frame, page);
	}
	uint64_t entry = frame << PTE_PAYLOAD_SHIFT | (page ? PTE_LARGE : 0);
	err = leaf_set(space, va, page, entry_rights(entry, prot));
	if (err)
		phys_put(space->phys, frame, page);
	return err;
}

int fl_space_map(struct fl_space *space, uint64_t va, uint64_t bytes, enum fl_page page,
    uint64_t frame, uint32_t prot)
{
	struct leaf leaf;
	uint64_t nr;

	if (page >= FL_NR_PAGES || !prot_is_valid(prot) ||
	    !range_is_valid(va, bytes, fl_page_bytes(page)))
		return -EINVAL;
	nr = bytes / fl_page_bytes(page);
	for (uint64_t i = 0; frame != FL_FRAME_NONE && i < nr; i++)
		if (!phys_is_data(space->phys, frame + i * page_frames(page), page))
			return -EINVAL;
	if (leaf_next(space, va, va + bytes - 1, &leaf))
		return -EEXIST;
	for (uint64_t i = 0; i < nr; i++) {
		int err = map_one(space, va + i * fl_page_bytes(page), page,
		    frame == FL_FRAME_NONE ? frame : frame + i * page_frames(page), prot);

		if (err) {
			unmap_pages(space, va, i, page);
			return err;
		}
	}
	return 0;
}

/*
 * Look over the pages of a range before anything is changed. Return: how many; -EINVAL, -EBUSY as
 * fl_space_unmap() says; -ENOENT if @no_holes and there is one.
 */
static int64_t count_pages(struct fl_space *space, uint64_t va, uint64_t bytes, bool no_holes)
{
	uint64_t last = va + bytes - 1, at = va;
	struct leaf leaf;
	int64_t nr = 0;

	if (!range_is_valid(va, bytes, PAGE_BYTES))
		return -EINVAL;
	/* at wraps to 0 behind the last page there is. */
	while (at >= va && at <= last && leaf_next(space, at, last, &leaf)) {
		if (leaf.va < va || leaf.va + fl_page_bytes(leaf.page) - 1 > last)
			return -EBUSY;
		if (no_holes && leaf.va != at)
			return -ENOENT;
		at = leaf.va + fl_page_bytes(leaf.page);
		nr++;
	}
	return no_holes && at != last + 1 ? -ENOENT : nr;
}

int64_t fl_space_unmap(struct fl_space *space, uint64_t va, uint64_t bytes)
{
	int64_t nr = count_pages(space, va, bytes, false);
	struct leaf leaf;

	for (int64_t i = 0; i < nr; i++) {
		ensure(leaf_next(space, va, UINT64_MAX, &leaf));
		leaf_clear(space, &leaf);
		va = leaf.va;
	}
	return nr;
}

int64_t fl_space_protect(struct fl_space *space, uint64_t va, uint64_t bytes, uint32_t prot)
{
	int64_t nr = prot_is_valid(prot) ? count_pages(space, va, bytes, true) : -EINVAL;
	struct leaf leaf;

	for (int64_t i = 0; i < nr; i++) {
		ensure(leaf_find(space, va, &leaf));
		*leaf.entry = entry_rights(*leaf.entry, prot);
		va = leaf.va + fl_page_bytes(leaf.page);
	}
	return nr;
}

int fl_space_restrict(struct fl_space *space, uint64_t va, uint32_t level, uint32_t prot)
{
	uint64_t table = space->root;

	if (level < 2 || level > ROOT_LEVEL || !fl_is_canonical(va))
		return -EINVAL;
	for (uint32_t l = ROOT_LEVEL;; l--) {
		uint64_t *entry = table_entry(space->phys, table, va_index(va, l));

		if (!*entry || is_leaf(*entry, l))
			return -ENOENT;
		table = pte_payload(*entry);
		if (l > level)
			continue;
		*entry = pte_present(table, *entry & PTE_ACCESSED);
		*entry |= (prot & FL_WRITE ? PTE_WRITE : 0) | (prot & FL_USER ? PTE_USER : 0) |
		          (prot & FL_EXEC ? 0 : PTE_NX);
		return 0;
	}
}

void fl_space_stats(const struct fl_space *space, struct fl_space_stats *ret)
{
	ret->nr_tables = space->nr_tables;
	memcpy(ret->nr_pages, space->nr_pages, sizeof(ret->nr_pages));
	ret->root = space->root << PAGE_SHIFT;
}

int fl_space_next(const struct fl_space *space, uint64_t va, struct fl_mapping *ret)
{
	struct leaf leaf;

	if (!fl_is_canonical(va))
		va = ~0ull << 47;
	if (!leaf_next(space, va, UINT64_MAX, &leaf))
		return -ENOENT;
	*ret = (struct fl_mapping){
	    .va = leaf.va,
	    .frame = pte_payload(*leaf.entry),
	    .page = leaf.page,
	    .prot = entry_prot(*leaf.entry),
	    .is_cow = *leaf.entry & PTE_COW,
	    .is_accessed = *leaf.entry & PTE_ACCESSED,
	    .is_dirty = *leaf.entry & PTE_DIRTY,
	};
	return 0;
}

int fl_space_clear(struct fl_space *space, uint64_t va, bool accessed, bool dirty)
{
	struct leaf leaf;

	if (!leaf_find(space, va, &leaf))
		return -ENOENT;
	*leaf.entry &= ~((accessed ? PTE_ACCESSED : 0) | (dirty ? PTE_DIRTY : 0));
	return 0;
}
