// SPDX-License-Identifier: MIT
/*
 * LRU: the page that was not used for the longest time goes.
 *
 * The past as a stand-in for the future: with locality, what was not used for long will not be used
 * soon. It is a stack algorithm (Mattson, Gecsei, Slutz, Traiger: "Evaluation techniques for
 * storage hierarchies", IBM Systems Journal 9(2), 1970): what N frames hold, N + 1 frames hold too,
 * so more memory never means more faults, and one pass gives the faults for every memory size
 * (replay/stack.c). A loop one page larger than memory makes it miss every time.
 */
#include "policy/page_list.h"

struct access_policy {
	uint32_t nr_frames;
	struct page_list resident; /* least recently used first */
};

static size_t lru_state_bytes(uint32_t nr_frames)
{
	(void)nr_frames;
	return sizeof(struct access_policy);
}

static void lru_init(struct access_policy *p, uint32_t nr_frames)
{
	p->nr_frames = nr_frames;
	page_list_init(&p->resident, 1);
}

static bool lru_access(struct access_policy *p, struct access_page *pages, uint32_t page,
    uint64_t now, uint64_t next_use, uint32_t *ret_victim)
{
	bool is_hit = pages[page].list != 0;

	(void)now, (void)next_use;
	*ret_victim = ACCESS_NO_PAGE;
	if (is_hit) {
		page_list_remove(&p->resident, pages, page);
	} else if (p->resident.nr == p->nr_frames) {
		*ret_victim = p->resident.head;
		page_list_remove(&p->resident, pages, *ret_victim);
	}
	page_list_append(&p->resident, pages, page);
	return is_hit;
}

const struct access_ops access_lru = {
    .name = "lru",
    .summary = "least recently used",
    .records = 1,
    .state_bytes = lru_state_bytes,
    .init = lru_init,
    .access = lru_access,
};
