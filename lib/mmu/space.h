// SPDX-License-Identifier: MIT
/* An address space, inside: its tables and the ways through them. */
#ifndef FL_MMU_SPACE_H
#define FL_MMU_SPACE_H

#include "mmu/phys.h"

#define ROOT_LEVEL 4u

struct fl_space {
	struct fl_phys *phys;
	uint64_t id;   /* never given twice on one phys */
	uint64_t root; /* frame of the level-4 table */
	uint64_t nr_tables;
	uint64_t nr_pages[FL_NR_PAGES];
};

/* A page that is mapped: where its entry lies. */
struct leaf {
	uint64_t va; /* first byte of the page */
	uint64_t *entry;
	enum fl_page page;
};

static inline unsigned va_index(uint64_t va, uint32_t level)
{
	return ptab_index(vpn_of(va), (int)level);
}

/* Bytes that one entry of a table at @level covers. */
static inline uint64_t level_bytes(uint32_t level)
{
	return 1ull << (PAGE_SHIFT + PTAB_LEVEL_BITS * (level - 1));
}

/* Whether @entry at @level is, or would be if it were present, a page and not a table. */
static inline bool is_leaf(uint64_t entry, uint32_t level)
{
	return level == 1 || entry & PTE_LARGE;
}

/* The first page at or after @va, up to @last. Return: whether there is one. */
bool leaf_next(const struct fl_space *space, uint64_t va, uint64_t last, struct leaf *ret);

/* The page that contains @va. Return: whether there is one. */
bool leaf_find(const struct fl_space *space, uint64_t va, struct leaf *ret);

/* Put @entry for a page of size @page at @va, where nothing may be; makes tables. Takes over the
 * reference to the frames that @entry names. Return: 0, -EEXIST, -ENOMEM: nothing changed. */
int leaf_set(struct fl_space *space, uint64_t va, enum fl_page page, uint64_t entry);

/* Take away the page at @va, its reference to the frames, and the tables that become empty. */
void leaf_clear(struct fl_space *space, const struct leaf *leaf);

/* Rights between the API's form and an entry's bits; @keep: bits of the old entry that stay. */
uint64_t entry_rights(uint64_t old, uint32_t prot);
uint32_t entry_prot(uint64_t entry);

/* Whether @prot can be expressed. */
bool prot_is_valid(uint32_t prot);

#endif
