// SPDX-License-Identifier: MIT
/*
 * OPT: the page whose next use is farthest away goes.
 *
 * No policy has fewer faults (Belady: "A study of replacement algorithms for a virtual-storage
 * computer", IBM Systems Journal 5(2), 1966; proved by Mattson et al., 1970). It must know the
 * future, so it is a yardstick, not a policy. Of pages that are never used again, the one whose
 * last use is longest ago goes: any would do.
 */
#include "policy/page_heap.h"

struct access_policy {
	uint32_t nr_frames;
	struct page_heap resident; /* the next victim on top */
};

static size_t opt_state_bytes(uint32_t nr_frames)
{
	return sizeof(struct access_policy) + (size_t)nr_frames * sizeof(struct page_heap_entry);
}

static void opt_init(struct access_policy *p, uint32_t nr_frames)
{
	p->nr_frames = nr_frames;
	p->resident.at = (struct page_heap_entry *)(p + 1);
}

/* Never used again: below every other key, in the order of last use. */
static uint64_t key_of(uint64_t now, uint64_t next_use)
{
	return next_use == ACCESS_NEVER ? now : ~next_use;
}

static bool opt_access(struct access_policy *p, struct access_page *pages, uint32_t page,
    uint64_t now, uint64_t next_use, uint32_t *ret_victim)
{
	bool is_hit = pages[page].list != 0;

	*ret_victim = ACCESS_NO_PAGE;
	if (is_hit) {
		page_heap_change(&p->resident, pages, page, key_of(now, next_use));
		return true;
	}
	if (p->resident.nr == p->nr_frames)
		*ret_victim = page_heap_take(&p->resident, pages);
	page_heap_insert(&p->resident, pages, page, key_of(now, next_use));
	return false;
}

const struct access_ops access_opt = {
    .name = "opt",
    .summary = "Belady's optimum: knows the future, no policy faults less",
    .records = 1,
    .needs_next_use = true,
    .state_bytes = opt_state_bytes,
    .init = opt_init,
    .access = opt_access,
};
