// SPDX-License-Identifier: MIT
/*
 * The TLB in front of a replayed memory: the software TLB of lib/mmu, which sees every reference,
 * so that hits and misses are exact. What the memory takes away, or unmaps to watch it, leaves the
 * TLB too, as in a live program.
 */
#ifndef FL_REPLAY_FRONT_TLB_H
#define FL_REPLAY_FRONT_TLB_H

#include "mmu/tlb_geometry.h"

struct front_tlb;

struct front_tlb_counts {
	uint64_t hits, misses, evictions;
};

/* Return: NULL when there is no memory. */
struct front_tlb *front_tlb_open(const struct tlb_geometry *geometry);
void front_tlb_close(struct front_tlb *t);

/* @page: the page's own number, which chooses the set. Return: whether it was there; it is now. */
bool front_tlb_access(struct front_tlb *t, uint64_t page);
void front_tlb_drop(struct front_tlb *t, uint64_t page);

const struct front_tlb_counts *front_tlb_counts(const struct front_tlb *t);

#endif
