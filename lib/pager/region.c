// SPDX-License-Identifier: MIT
/* The sorted array of regions; see region.h. */
#include "pager/region.h"

#include <errno.h>
#include <string.h>

#include "base/ensure.h"
#include "base/meta.h"

/* vm.max_map_count is 65530 by default: the kernel refuses before we do. */
#define MAX_REGIONS (1u << 18)
/* Marks make regions where the kernel sees one mapping: where it would refuse to split more. */
#define MAX_MARKED (1u << 16)

int region_map_init(struct region_map *m)
{
	*m = (struct region_map){.max = MAX_REGIONS, .cursor = WINDOW_START};
	m->r = meta_map(MAX_REGIONS * sizeof(*m->r));
	return m->r ? 0 : -ENOMEM;
}

uint32_t region_index(const struct region_map *m, uintptr_t addr)
{
	uint32_t lo = 0, hi = m->nr;

	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;

		if (m->r[mid].end > addr)
			hi = mid;
		else
			lo = mid + 1;
	}
	return lo;
}

const struct region *region_find(const struct region_map *m, uintptr_t addr)
{
	uint32_t i = region_index(m, addr);

	return i < m->nr && m->r[i].start <= addr ? &m->r[i] : NULL;
}

bool region_overlaps(const struct region_map *m, uintptr_t start, uintptr_t end)
{
	uint32_t i = region_index(m, start);

	return i < m->nr && m->r[i].start < end;
}

uintptr_t region_hole(const struct region_map *m, uintptr_t start, uintptr_t end)
{
	for (uint32_t i = region_index(m, start); start < end; i++) {
		if (i == m->nr || m->r[i].start > start)
			return start;
		start = m->r[i].end;
	}
	return end;
}

static void open_gap(struct region_map *m, uint32_t i)
{
	memmove(&m->r[i + 1], &m->r[i], (m->nr - i) * sizeof(*m->r));
	m->nr++;
}

static void close_gap(struct region_map *m, uint32_t i, uint32_t nr)
{
	memmove(&m->r[i], &m->r[i + nr], (m->nr - i - nr) * sizeof(*m->r));
	m->nr -= nr;
}

static bool mergeable(const struct region *a, const struct region *b)
{
	return a->end == b->start && a->prot == b->prot && a->is_foreign == b->is_foreign &&
	       a->marks == b->marks && a->source == b->source;
}

/* Merge region @i with the one after it, if they are alike. */
static void merge_at(struct region_map *m, uint32_t i)
{
	if (i + 1 < m->nr && mergeable(&m->r[i], &m->r[i + 1])) {
		m->r[i].end = m->r[i + 1].end;
		close_gap(m, i + 1, 1);
	}
}

int region_add(struct region_map *m, struct region r)
{
	uint32_t i = region_index(m, r.start);

	ensure(r.start < r.end && (i == m->nr || m->r[i].start >= r.end));
	if (m->nr + 1 >= m->max)
		return -ENOMEM;
	open_gap(m, i);
	m->r[i] = r;
	merge_at(m, i);
	if (i)
		merge_at(m, i - 1);
	return 0;
}

/* Make @addr a boundary between regions. */
static void split_at(struct region_map *m, uintptr_t addr)
{
	uint32_t i = region_index(m, addr);

	if (i == m->nr || m->r[i].start >= addr)
		return;
	open_gap(m, i);
	m->r[i].end = addr;
	m->r[i + 1].start = addr;
}

int region_remove(struct region_map *m, uintptr_t start, uintptr_t end)
{
	if (m->nr + 2 >= m->max)
		return -ENOMEM;
	split_at(m, start);
	split_at(m, end);
	uint32_t first = region_index(m, start), last = first;
	while (last < m->nr && m->r[last].start < end)
		last++;
	close_gap(m, first, last - first);
	m->cursor = MIN(m->cursor, start);
	return 0;
}

/* Make the ends of the range boundaries. Return: 0 with the index of its first region, or -ENOMEM.
 */
static int cut_out(struct region_map *m, uintptr_t start, uintptr_t end, uint32_t *ret_first)
{
	if (m->nr + 2 >= m->max)
		return -ENOMEM;
	split_at(m, start);
	split_at(m, end);
	*ret_first = region_index(m, start);
	return 0;
}

/* Regions from @first up to @end were changed: merge them with each other and their neighbours. */
static void merge_range(struct region_map *m, uint32_t first, uintptr_t end)
{
	uint32_t i = first;

	while (i < m->nr && m->r[i].start < end)
		i++;
	while (i > first)
		merge_at(m, --i);
	if (first)
		merge_at(m, first - 1);
}

int region_protect(
    struct region_map *m, uintptr_t start, uintptr_t end, int prot, bool make_foreign)
{
	uint32_t first;

	if (cut_out(m, start, end, &first))
		return -ENOMEM;
	for (uint32_t i = first; i < m->nr && m->r[i].start < end; i++) {
		m->r[i].prot = prot;
		if (make_foreign && !m->r[i].is_foreign) {
			m->r[i].is_foreign = true;
			m->r[i].marks = REGION_RELEASED;
			m->r[i].source = 0;
		}
	}
	merge_range(m, first, end);
	return 0;
}

int region_mark(struct region_map *m, uintptr_t start, uintptr_t end, uint8_t set, uint8_t clear)
{
	uint32_t first;

	if (m->nr >= MAX_MARKED || cut_out(m, start, end, &first))
		return -ENOMEM;
	for (uint32_t i = first; i < m->nr && m->r[i].start < end; i++)
		if (!m->r[i].is_foreign)
			m->r[i].marks = (uint8_t)((m->r[i].marks & ~clear) | set);
	merge_range(m, first, end);
	return 0;
}

/* Large mappings start where an L1 table or an allocator's segment does. */
static size_t alignment_for(size_t len)
{
	if (len >= 32u << 20)
		return 32u << 20;
	if (len >= 2u << 20)
		return 2u << 20;
	return 64u << 10;
}

static uintptr_t find_from(const struct region_map *m, uintptr_t from, uintptr_t to, size_t len)
{
	size_t align = alignment_for(len);
	uint32_t i = region_index(m, from);

	for (uintptr_t at = from;; i++) {
		at = (at + align - 1) & ~(align - 1);
		if (at + len > to || at + len < at)
			return 0;
		if (i == m->nr || m->r[i].start >= at + len)
			return at;
		at = m->r[i].end;
	}
}

uintptr_t region_find_free(struct region_map *m, size_t len)
{
	if (len > WINDOW_END - WINDOW_START)
		return 0;
	/* Low addresses first, so that page tables stay few and warm; the cursor only spares the
	 * walk over thousands of small neighbours. */
	uintptr_t at = find_from(m, m->cursor, WINDOW_END, len);
	if (!at)
		at = find_from(m, WINDOW_START, WINDOW_END, len);
	if (at)
		m->cursor = at;
	return at;
}
