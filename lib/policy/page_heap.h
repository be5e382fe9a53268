// SPDX-License-Identifier: MIT
/*
 * Binary heap of resident pages, the smallest key on top; O(log n). A page's record has its place
 * in the heap, plus one, in `list` (0: not in it). For policies only.
 */
#ifndef FL_POLICY_PAGE_HEAP_H
#define FL_POLICY_PAGE_HEAP_H

#include "policy/access.h"

struct page_heap_entry {
	uint64_t key;
	uint32_t page;
};

struct page_heap {
	uint32_t nr;
	struct page_heap_entry *at;
};

static inline void page_heap_place(
    struct page_heap *h, struct access_page *pages, uint32_t i, struct page_heap_entry e)
{
	h->at[i] = e;
	pages[e.page].list = i + 1;
}

/* @e belongs at @i or above it. */
static inline void page_heap_up(
    struct page_heap *h, struct access_page *pages, uint32_t i, struct page_heap_entry e)
{
	for (; i && h->at[(i - 1) / 2].key > e.key; i = (i - 1) / 2)
		page_heap_place(h, pages, i, h->at[(i - 1) / 2]);
	page_heap_place(h, pages, i, e);
}

/* @e belongs at @i or below it. */
static inline void page_heap_down(
    struct page_heap *h, struct access_page *pages, uint32_t i, struct page_heap_entry e)
{
	for (;;) {
		uint32_t child = 2 * i + 1;

		if (child + 1 < h->nr && h->at[child + 1].key < h->at[child].key)
			child++;
		if (child >= h->nr || h->at[child].key >= e.key)
			break;
		page_heap_place(h, pages, i, h->at[child]);
		i = child;
	}
	page_heap_place(h, pages, i, e);
}

static inline void page_heap_insert(
    struct page_heap *h, struct access_page *pages, uint32_t page, uint64_t key)
{
	page_heap_up(h, pages, h->nr++, (struct page_heap_entry){key, page});
}

static inline void page_heap_change(
    struct page_heap *h, struct access_page *pages, uint32_t page, uint64_t key)
{
	uint32_t i = pages[page].list - 1;
	struct page_heap_entry e = {key, page};

	if (key < h->at[i].key)
		page_heap_up(h, pages, i, e);
	else
		page_heap_down(h, pages, i, e);
}

static inline uint32_t page_heap_take(struct page_heap *h, struct access_page *pages)
{
	uint32_t page = h->at[0].page;
	struct page_heap_entry last = h->at[--h->nr];

	pages[page].list = 0;
	if (h->nr)
		page_heap_down(h, pages, 0, last);
	return page;
}

#endif
