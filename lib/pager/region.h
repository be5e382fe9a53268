// SPDX-License-Identifier: MIT
/*
 * Regions: what the program has mapped inside the window, sorted by address, not overlapping.
 * Guarded by the pager's map lock (LOCK_MAP): shared to look, exclusive to change.
 */
#ifndef FL_PAGER_REGION_H
#define FL_PAGER_REGION_H

#include "base/types.h"

enum region_mark {
	REGION_LOCKED = 1,      /* mlock: a page once in a frame stays there */
	REGION_DONTFORK = 2,    /* the child of a fork does not have it */
	REGION_WIPEONFORK = 4,  /* ... or finds zeros */
	REGION_RELEASED = 8,    /* foreign, and was managed: nothing in it is absent */
	REGION_RANDOM = 16,     /* one page by each fault */
	REGION_SEQUENTIAL = 32, /* whole windows from the first fault on */
};

struct region {
	uintptr_t start, end; /* page-aligned */
	int prot;             /* PROT_*, as the program asked, and as the kernel has it */
	bool is_foreign; /* in the window, but not managed: a file mapped there, or executable */
	uint8_t marks;   /* enum region_mark; of a foreign one the kernel knows the rest */
	uint16_t source; /* the file behind it (pager/source.h), 0: none */
};

struct region_map {
	struct region *r; /* sorted; reserved memory */
	uint32_t nr, max;
	uintptr_t cursor; /* where the last free range was found */
};

/* Return: 0 or -ENOMEM. */
int region_map_init(struct region_map *m);

/* Index of the first region that ends after @addr (== nr: none). */
uint32_t region_index(const struct region_map *m, uintptr_t addr);

/* Return: the region that contains @addr, or NULL. */
const struct region *region_find(const struct region_map *m, uintptr_t addr);

/* Return: whether any region overlaps [start, end). */
bool region_overlaps(const struct region_map *m, uintptr_t start, uintptr_t end);

/* Return: the first address of [start, end) that is in no region, or @end. */
uintptr_t region_hole(const struct region_map *m, uintptr_t start, uintptr_t end);

/* Add a region over a free range; merged with equal neighbours. Return: 0 or -ENOMEM. */
int region_add(struct region_map *m, struct region r);

/* Take [start, end) out; regions that reach over are cut. Return: 0 or -ENOMEM. */
int region_remove(struct region_map *m, uintptr_t start, uintptr_t end);

/* Give every part of [start, end) that is mapped @prot; @make_foreign: and release what is managed.
 * Return: 0 or -ENOMEM. */
int region_protect(
    struct region_map *m, uintptr_t start, uintptr_t end, int prot, bool make_foreign);

/* Take @clear off and put @set on every managed part of [start, end). Return: 0 or -ENOMEM. */
int region_mark(struct region_map *m, uintptr_t start, uintptr_t end, uint8_t set, uint8_t clear);

/* Return: start of a free range of @len bytes in the window, or 0. */
uintptr_t region_find_free(struct region_map *m, size_t len);

#endif
