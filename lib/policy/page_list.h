// SPDX-License-Identifier: MIT
/*
 * Doubly linked lists of pages by number, through the records of access.h; a record is in at most
 * one list, whose number it knows. Every operation is O(1). For policies only.
 */
#ifndef FL_POLICY_PAGE_LIST_H
#define FL_POLICY_PAGE_LIST_H

#include "base/ensure.h"
#include "policy/access.h"

#define PAGE_LIST_END UINT32_MAX

struct page_list {
	uint32_t number; /* not 0 */
	uint32_t head, tail, nr;
};

static inline void page_list_init(struct page_list *l, uint32_t number)
{
	*l = (struct page_list){number, PAGE_LIST_END, PAGE_LIST_END, 0};
}

static inline void page_list_append(struct page_list *l, struct access_page *pages, uint32_t page)
{
	ensure(pages[page].list == 0);
	pages[page].prev = l->tail;
	pages[page].next = PAGE_LIST_END;
	pages[page].list = l->number;
	if (l->tail == PAGE_LIST_END)
		l->head = page;
	else
		pages[l->tail].next = page;
	l->tail = page;
	l->nr++;
}

static inline void page_list_remove(struct page_list *l, struct access_page *pages, uint32_t page)
{
	struct access_page *at = &pages[page];

	ensure(at->list == l->number);
	if (at->prev == PAGE_LIST_END)
		l->head = at->next;
	else
		pages[at->prev].next = at->next;
	if (at->next == PAGE_LIST_END)
		l->tail = at->prev;
	else
		pages[at->next].prev = at->prev;
	at->list = 0;
	l->nr--;
}

static inline uint32_t page_list_take_head(struct page_list *l, struct access_page *pages)
{
	uint32_t page = l->head;

	page_list_remove(l, pages, page);
	return page;
}

#endif
