// SPDX-License-Identifier: MIT
/*
 * The arrays of the TLB: sets x ways, replacement, paging-structure caches. They know entries and
 * tags, but nothing of tables or of who is right: that is mmu.c.
 */
#ifndef FL_MMU_TLB_H
#define FL_MMU_TLB_H

#include "mmu/walk.h"

struct tlb_entry {
	uint64_t tag;      /* address >> shift(page) */
	uint64_t pa;       /* of the first byte of the entry's page */
	uint64_t last_use; /* clock of the last hit or fill; also written by the inline path */
	uint64_t filled;   /* clock of the fill */
	uint64_t
	    cleared;   /* CLOCK: last_use when the hand came by; the bit is set if that changed */
	uint32_t prot; /* what the levels together granted; FL_GLOBAL */
	uint16_t asid;
	uint8_t page;  /* enum fl_page: what the entry covers */
	uint8_t whole; /* enum fl_page: of what page it is a piece; same as .page mostly */
	bool is_valid;
	bool is_dirty; /* writes need no walk */
};

/* A page's number and size in one word; KEY_NONE for an entry that is not valid. */
#define KEY_NONE UINT64_MAX

struct tlb_array {
	struct fl_tlb_unit geometry;
	struct tlb_entry *entry; /* [set * ways + way] */
	uint64_t *key;           /* the same: what a search compares, close together */
	uint64_t *tree;          /* PLRU: one word per set */
	uint64_t *keep, *set;    /* PLRU: per way, how a use changes its set's tree */
	uint32_t *hand;          /* CLOCK: one way number per set */
	uint64_t random;
	uint32_t nr_pieces; /* valid entries that are a piece of a larger page */
};

struct tlb_level {
	uint32_t nr_arrays;
	struct tlb_array array[FL_NR_PAGES];
	struct fl_tlb_counts counts;
};

/* Return: 0 or -ENOMEM; then tlb_level_fini() is needed all the same. */
int tlb_level_init(struct tlb_level *level, const struct fl_tlb_level *config, uint64_t seed);
void tlb_level_fini(struct tlb_level *level);

static inline uint32_t page_shift(enum fl_page page)
{
	return PAGE_SHIFT + PTAB_LEVEL_BITS * page;
}

/* A valid entry for @va: its own space's (@asid) or global. Return: it, and its array; or NULL.
 * Neither counted nor marked as used. */
struct tlb_entry *tlb_find(
    struct tlb_level *level, uint64_t va, uint16_t asid, struct tlb_array **ret_array);

/* @e was hit at @clock. */
void tlb_used(struct tlb_array *array, struct tlb_entry *e, uint64_t clock);

/* The size in which @level keeps pages of size @page. Return: false: not at all. */
bool tlb_size_kept(const struct tlb_level *level, enum fl_page page, enum fl_page *ret);

/* The place for a new entry of size @page at @va: an invalid way, lowest first, or the
 * replacement's victim. The caller overwrites it, and then calls tlb_filled(). */
struct tlb_entry *tlb_place(
    struct tlb_level *level, uint64_t va, enum fl_page page, struct tlb_array **ret_array);
void tlb_filled(struct tlb_array *array, struct tlb_entry *e, uint64_t clock);

void tlb_entry_drop(struct tlb_array *array, struct tlb_entry *e);

/* Whether @e is used for @va in the space @asid. */
static inline bool tlb_matches(const struct tlb_entry *e, uint64_t va, uint16_t asid)
{
	return e->is_valid && e->tag == va >> page_shift((enum fl_page)e->page) &&
	       (e->asid == asid || e->prot & FL_GLOBAL);
}

/* One paging-structure cache: what entries of one level point to. */
struct psc_entry {
	uint64_t tag; /* address >> shift of the level */
	uint64_t last_use;
	uint64_t table; /* frame of the next table */
	uint32_t prot;  /* granted down to here */
	uint16_t asid;
	bool is_valid;
};

struct psc {
	uint32_t level; /* 4, 3 or 2 */
	uint32_t nr;
	struct psc_entry *entry;
};

int psc_init(struct psc *psc, uint32_t level, uint32_t nr);
void psc_fini(struct psc *psc);
struct psc_entry *psc_find(struct psc *psc, uint64_t va, uint16_t asid);
void psc_fill(struct psc *psc, uint64_t va, uint16_t asid, struct walk_start next, uint64_t clock);
/* Drop what belongs to @asid, or all. */
void psc_drop(struct psc *psc, uint16_t asid);
void psc_drop_all(struct psc *psc);

#endif
