// SPDX-License-Identifier: MIT
/* Reading a TLB's geometry; see tlb_geometry.h. */
#include "mmu/tlb_geometry.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const char *const names[] = {
    [TLB_FIFO] = "fifo", [TLB_RANDOM] = "random", [TLB_CLOCK] = "clock", [TLB_LRU] = "lru"};

const char *tlb_replacement_name(enum tlb_replacement replacement)
{
	return names[replacement];
}

/* Return: whether *text began with a number from 1 to the maximum; moves on behind it. */
static bool take_number(const char **text, uint32_t *ret_v)
{
	uint64_t v = 0;
	const char *at = *text;

	for (; *at >= '0' && *at <= '9' && v <= TLB_MAX_ENTRIES; at++)
		v = v * 10 + (uint64_t)(*at - '0');
	if (at == *text || !v || v > TLB_MAX_ENTRIES)
		return false;
	*text = at;
	*ret_v = (uint32_t)v;
	return true;
}

static bool take_replacement(const char *text, bool has_lru, enum tlb_replacement *ret)
{
	for (unsigned i = 0; i < ARRAY_LEN(names) - !has_lru; i++)
		if (!strcmp(text, names[i])) {
			*ret = (enum tlb_replacement)i;
			return true;
		}
	return false;
}

int tlb_geometry_parse(
    const char *text, bool has_lru, struct tlb_geometry *ret, char *why, size_t why_bytes)
{
	struct tlb_geometry g = {.replacement = TLB_FIFO};
	const char *at = text;
	bool is_good = take_number(&at, &g.entries);

	g.ways = g.entries;
	if (is_good && *at == 'x')
		is_good = at++, take_number(&at, &g.ways);
	if (!is_good || (*at && *at != ',')) {
		snprintf(why, why_bytes,
		    "not a TLB; write entries, or entries and ways: 64 or 64x4, at most %u",
		    TLB_MAX_ENTRIES);
		return -EINVAL;
	}
	if (*at && !take_replacement(at + 1, has_lru, &g.replacement)) {
		snprintf(why, why_bytes, "no such replacement; choose fifo, random%s clock%s",
		    has_lru ? "," : " or", has_lru ? " or lru" : "");
		return -EINVAL;
	}
	uint32_t sets = g.entries / g.ways;
	if (g.entries % g.ways || sets & (sets - 1)) {
		snprintf(why, why_bytes,
		    "%u ways do not divide %u entries into 1, 2, 4, 8, ... sets; try %ux%u", g.ways,
		    g.entries, MAX(g.ways, 1u) * 4, g.ways);
		return -EINVAL;
	}
	*ret = g;
	return 0;
}
