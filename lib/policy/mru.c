// SPDX-License-Identifier: MIT
/*
 * MRU: the page that was used last goes.
 *
 * Right for a loop larger than memory, where the page just used is the one that is needed last
 * (Chou, DeWitt: "An evaluation of buffer management strategies for relational database systems",
 * VLDB 1985), and wrong for nearly everything else.
 */
#include "policy/page_list.h"

struct access_policy {
	uint32_t nr_frames;
	struct page_list resident; /* least recently used first */
};

static size_t mru_state_bytes(uint32_t nr_frames)
{
	(void)nr_frames;
	return sizeof(struct access_policy);
}

static void mru_init(struct access_policy *p, uint32_t nr_frames)
{
	p->nr_frames = nr_frames;
	page_list_init(&p->resident, 1);
}

static bool mru_access(struct access_policy *p, struct access_page *pages, uint32_t page,
    uint64_t now, uint64_t next_use, uint32_t *ret_victim)
{
	bool is_hit = pages[page].list != 0;

	(void)now, (void)next_use;
	*ret_victim = ACCESS_NO_PAGE;
	if (is_hit) {
		page_list_remove(&p->resident, pages, page);
	} else if (p->resident.nr == p->nr_frames) {
		*ret_victim = p->resident.tail;
		page_list_remove(&p->resident, pages, *ret_victim);
	}
	page_list_append(&p->resident, pages, page);
	return is_hit;
}

const struct access_ops access_mru = {
    .name = "mru",
    .summary = "most recently used: for loops larger than memory",
    .records = 1,
    .state_bytes = mru_state_bytes,
    .init = mru_init,
    .access = mru_access,
};
