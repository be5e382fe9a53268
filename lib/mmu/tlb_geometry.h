// SPDX-License-Identifier: MIT
/*
 * What a TLB of the command line looks like: "64", "64x4", "64x4,clock". The trap TLB of live
 * programs and the software TLB of replay read the same text.
 */
#ifndef FL_MMU_TLB_GEOMETRY_H
#define FL_MMU_TLB_GEOMETRY_H

#include "base/types.h"

enum tlb_replacement {
	TLB_FIFO,
	TLB_RANDOM,
	TLB_CLOCK,
	TLB_LRU, /* in replay only: it needs every hit */
};

struct tlb_geometry {
	uint32_t entries; /* 0: no TLB */
	uint32_t ways;    /* divides the entries; the sets are a power of two of them */
	enum tlb_replacement replacement;
};

#define TLB_MAX_ENTRIES (1u << 20)

/*
 * @text: ENTRIES[xWAYS][,REPLACEMENT]; without ways every entry is in one set. @has_lru: it is
 * allowed. Return: 0, or -EINVAL with what is wrong, and what would be right, in @why (at least 160
 * bytes). Context: any.
 */
int tlb_geometry_parse(
    const char *text, bool has_lru, struct tlb_geometry *ret, char *why, size_t why_bytes);

const char *tlb_replacement_name(enum tlb_replacement replacement);

static inline uint32_t tlb_geometry_sets(const struct tlb_geometry *g)
{
	return g->entries / g->ways;
}

#endif
