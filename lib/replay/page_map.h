// SPDX-License-Identifier: MIT
/*
 * Numbers distinct pages from 0 in the order in which they are first seen: everything else in
 * replay indexes arrays by that number. 8 to 40 bytes for each distinct page.
 */
#ifndef FL_REPLAY_PAGE_MAP_H
#define FL_REPLAY_PAGE_MAP_H

#include "base/types.h"

struct page_map {
	struct page_slot *slots; /* open addressing, a power of two, at most half full */
	uint64_t nr_slots;
	uint64_t *page_of; /* by number */
	uint32_t nr, room;
};

int page_map_init(struct page_map *m);
void page_map_fini(struct page_map *m);

/* Write the numbers of @nr pages to @ret_ids. Return: 0; -ENOMEM; -EFBIG: too many distinct pages;
 * then the map may know some of them already. */
int page_map_number(struct page_map *m, const uint64_t *pages, size_t nr, uint32_t *ret_ids);

/* A well mixed hash of @page; sampling uses the same (miniature.h). */
static inline uint64_t page_hash(uint64_t page)
{
	page ^= page >> 32;
	page *= 0xd6e8feb86659fd93u;
	page ^= page >> 32;
	page *= 0xd6e8feb86659fd93u;
	return page ^ page >> 32;
}

#endif
