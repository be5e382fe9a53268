// SPDX-License-Identifier: MIT
/*
 * LFU: the page that was used least often goes.
 *
 * Counts begin at 1 when a page comes in, and are forgotten when it leaves ("in-cache" LFU). Of
 * pages used equally often, the least recently used one goes. Frequency alone never forgets: pages
 * that were hot once stay for long (Tanenbaum, Bos: "Modern Operating Systems", 3.4.7, NFU); aging
 * (aging.c) mends that.
 */
#include "policy/page_heap.h"

struct access_policy {
	uint32_t nr_frames;
	struct page_heap resident; /* the next victim on top */
};

static size_t lfu_state_bytes(uint32_t nr_frames)
{
	return sizeof(struct access_policy) + (size_t)nr_frames * sizeof(struct page_heap_entry);
}

static void lfu_init(struct access_policy *p, uint32_t nr_frames)
{
	p->nr_frames = nr_frames;
	p->resident.at = (struct page_heap_entry *)(p + 1);
}

/* 24 bits of count, saturating, over 40 bits of time. */
static uint64_t key_of(uint64_t now, uint32_t count)
{
	return (uint64_t)MIN(count, (1u << 24) - 1) << 40 | (now & ((1ull << 40) - 1));
}

static bool lfu_access(struct access_policy *p, struct access_page *pages, uint32_t page,
    uint64_t now, uint64_t next_use, uint32_t *ret_victim)
{
	bool is_hit = pages[page].list != 0;

	*ret_victim = ACCESS_NO_PAGE;
	(void)next_use;
	pages[page].count = is_hit ? pages[page].count + 1 : 1;
	if (is_hit) {
		page_heap_change(&p->resident, pages, page, key_of(now, pages[page].count));
		return true;
	}
	if (p->resident.nr == p->nr_frames)
		*ret_victim = page_heap_take(&p->resident, pages);
	page_heap_insert(&p->resident, pages, page, key_of(now, pages[page].count));
	return false;
}

const struct access_ops access_lfu = {
    .name = "lfu",
    .summary = "least often used since it came in",
    .records = 1,
    .needs_next_use = false,
    .state_bytes = lfu_state_bytes,
    .init = lfu_init,
    .access = lfu_access,
};
