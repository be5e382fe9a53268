// SPDX-License-Identifier: MIT
/* Numbering pages; see page_map.h. */
#include "replay/page_map.h"

#include <errno.h>
#include <stdlib.h>

#include "policy/access.h"

#define MIN_SLOTS 1024u
#define AHEAD     12u /* slots are prefetched that far ahead; measured: 8 to 16 are alike */

struct page_slot {
	uint64_t page;
	uint32_t id; /* plus one; 0: free */
};

int page_map_init(struct page_map *m)
{
	*m = (struct page_map){.nr_slots = MIN_SLOTS, .room = MIN_SLOTS / 2};
	m->slots = calloc(m->nr_slots, sizeof(*m->slots));
	m->page_of = malloc(m->room * sizeof(*m->page_of));
	if (m->slots && m->page_of)
		return 0;
	page_map_fini(m);
	return -ENOMEM;
}

void page_map_fini(struct page_map *m)
{
	free(m->slots);
	free(m->page_of);
	*m = (struct page_map){0};
}

static struct page_slot *find(struct page_slot *slots, uint64_t nr_slots, uint64_t page)
{
	uint64_t i = page_hash(page) & (nr_slots - 1);

	while (slots[i].id && slots[i].page != page)
		i = (i + 1) & (nr_slots - 1);
	return &slots[i];
}

static int grow(struct page_map *m)
{
	uint64_t nr_slots = m->nr_slots * 2;

	if (m->nr >= ACCESS_MAX_PAGES)
		return -EFBIG;
	uint64_t *page_of = realloc(m->page_of, nr_slots / 2 * sizeof(*page_of));
	if (!page_of)
		return -ENOMEM;
	m->page_of = page_of;
	struct page_slot *slots = calloc(nr_slots, sizeof(*slots));
	if (!slots)
		return -ENOMEM;
	for (uint32_t id = 0; id < m->nr; id++)
		*find(slots, nr_slots, page_of[id]) = (struct page_slot){page_of[id], id + 1};
	free(m->slots);
	m->slots = slots;
	m->nr_slots = nr_slots;
	m->room = (uint32_t)(nr_slots / 2);
	return 0;
}

int page_map_number(struct page_map *m, const uint64_t *pages, size_t nr, uint32_t *ret_ids)
{
	for (size_t i = 0; i < nr; i++) {
		if (i + AHEAD < nr)
			__builtin_prefetch(
			    &m->slots[page_hash(pages[i + AHEAD]) & (m->nr_slots - 1)]);
		struct page_slot *slot = find(m->slots, m->nr_slots, pages[i]);
		if (!slot->id) {
			int err = m->nr == m->room ? grow(m) : 0;

			if (err)
				return err;
			slot = find(m->slots, m->nr_slots, pages[i]);
			m->page_of[m->nr] = pages[i];
			*slot = (struct page_slot){pages[i], ++m->nr};
		}
		ret_ids[i] = slot->id - 1;
	}
	return 0;
}
