// SPDX-License-Identifier: MIT
/*
 * ARC: adaptive replacement cache.
 *
 * Megiddo, Modha: "ARC: A Self-Tuning, Low Overhead Replacement Cache", FAST 2003, figure 4. T1 has
 * the pages used once lately, T2 those used at least twice, both in LRU order; B1 and B2 remember
 * what was evicted from each. A page that is found in B1 says that T1 is too small, one in B2 that
 * T2 is: the target size of T1 moves accordingly. So recency and frequency share the memory as the
 * program wants it, and a scan costs no more than T1.
 *
 *     |T1| + |T2| <= c      |T1| + |B1| <= c      all four together <= 2 c
 *
 * The paper's steps of |B2| / |B1| are rounded down here, and are at least 1.
 */
#include "policy/page_list.h"

enum {
	T1 = 1,
	T2,
	B1,
	B2,
};

struct access_policy {
	uint32_t nr_frames;
	uint32_t target;          /* of T1: 0 .. nr_frames */
	struct page_list list[5]; /* T1 .. B2; least recently used first */
};

static size_t arc_state_bytes(uint32_t nr_frames)
{
	(void)nr_frames;
	return sizeof(struct access_policy);
}

static void arc_init(struct access_policy *p, uint32_t nr_frames)
{
	p->nr_frames = nr_frames;
	for (uint32_t i = T1; i <= B2; i++)
		page_list_init(&p->list[i], i);
}

/* The paper's REPLACE: demote a page of T1 or T2 to its ghost list. Return: the page. */
static uint32_t demote(struct access_policy *p, struct access_page *pages, bool is_in_b2)
{
	uint32_t nr = p->list[T1].nr;
	bool from_t1 = nr && (nr > p->target || (is_in_b2 && nr == p->target));

	if (!p->list[T2].nr)
		from_t1 = true;
	uint32_t page = page_list_take_head(&p->list[from_t1 ? T1 : T2], pages);
	page_list_append(&p->list[from_t1 ? B1 : B2], pages, page);
	return page;
}

static uint32_t came_back(struct access_policy *p, struct access_page *pages, uint32_t page)
{
	uint32_t nr_b1 = p->list[B1].nr, nr_b2 = p->list[B2].nr;
	bool is_in_b2 = pages[page].list == B2;

	if (is_in_b2)
		p->target -= MIN(p->target, MAX(1, nr_b1 / nr_b2));
	else
		p->target = MIN(p->nr_frames, p->target + MAX(1, nr_b2 / nr_b1));
	uint32_t victim = demote(p, pages, is_in_b2);
	page_list_remove(&p->list[pages[page].list], pages, page);
	page_list_append(&p->list[T2], pages, page);
	return victim;
}

static uint32_t came_new(struct access_policy *p, struct access_page *pages, uint32_t page)
{
	uint32_t l1 = p->list[T1].nr + p->list[B1].nr;
	uint32_t all = l1 + p->list[T2].nr + p->list[B2].nr;
	uint32_t victim = ACCESS_NO_PAGE;

	if (l1 == p->nr_frames && p->list[T1].nr == p->nr_frames) {
		victim = page_list_take_head(&p->list[T1], pages);
	} else if (all >= p->nr_frames) {
		if (l1 == p->nr_frames)
			page_list_take_head(&p->list[B1], pages);
		else if (all == 2 * p->nr_frames)
			page_list_take_head(&p->list[B2], pages);
		victim = demote(p, pages, false);
	}
	page_list_append(&p->list[T1], pages, page);
	return victim;
}

static bool arc_access(struct access_policy *p, struct access_page *pages, uint32_t page,
    uint64_t now, uint64_t next_use, uint32_t *ret_victim)
{
	uint32_t list = pages[page].list;

	(void)now, (void)next_use;
	*ret_victim = ACCESS_NO_PAGE;
	if (list == T1 || list == T2) {
		page_list_remove(&p->list[list], pages, page);
		page_list_append(&p->list[T2], pages, page);
		return true;
	}
	*ret_victim = list ? came_back(p, pages, page) : came_new(p, pages, page);
	return false;
}

const struct access_ops access_arc = {
    .name = "arc",
    .summary = "ARC: recency and frequency, balanced by regret",
    .records = 1,
    .state_bytes = arc_state_bytes,
    .init = arc_init,
    .access = arc_access,
};
