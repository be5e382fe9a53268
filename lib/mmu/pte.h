// SPDX-License-Identifier: MIT
/*
 * Page-table entry: 64 bits laid out like an x86-64 one, so that what is printed can be read with
 * the book beside it.
 *
 *     63 62      57 56 55 54   52 51            12 11 10  9  8  7  6  5  4  3  2  1  0
 *    |NX| epoch   |NA|BS| state | frame number or |CW|CP|LK| G|PS| D| A| 0| 0| U| W| P|
 *    |  |         |  |  |       | swap reference  |  |  |  |  |  |  |  |  |  |  |  |  |
 *
 * NX, CW, CP, G, PS and A are used by the software MMU only (faultline/mmu.h), in entries of every
 * level: a table is MAPPED as a page is, and states are NONE, MAPPED and HELD (no access). Live,
 * the host's own table has those rights, and they are 0.
 *
 * P is set exactly in state MAPPED. The states (design: "the life of a page"):
 *
 *     NONE      never touched, or dropped as all zero: reads as zeros. The entry is 0.
 *     MAPPED    the program sees it; bits 12-51 are its frame. D: mapped writable, so perhaps
 *               written; else mapped write-protected, and clean.
 *     HELD      in a frame, but unmapped: its bytes lie in the pool. D: differs from its slot.
 *     READING   a frame is waiting for its bytes from swap.
 *     SWAPPED   only in swap; bits 12-51 are the swap reference.
 *
 * A frame's swap reference (its clean copy) is in the frame table. `epoch` says roughly when a
 * SWAPPED page was evicted (pager/writeback.c), and is kept in READING: a page that comes back soon
 * is a refault.
 */
#ifndef FL_MMU_PTE_H
#define FL_MMU_PTE_H

#include "base/types.h"

enum page_state {
	PAGE_NONE = 0,
	PAGE_MAPPED = 1,
	PAGE_HELD = 2,
	PAGE_READING = 3,
	PAGE_SWAPPED = 4,
};

#define PTE_PRESENT   (1ull << 0)
#define PTE_WRITE     (1ull << 1)
#define PTE_USER      (1ull << 2)
#define PTE_ACCESSED  (1ull << 5)
#define PTE_DIRTY     (1ull << 6)
#define PTE_LARGE     (1ull << 7) /* at level 2 or 3: a page, not a table */
#define PTE_GLOBAL    (1ull << 8)
#define PTE_LOCKED    (1ull << 9)  /* mlocked: once MAPPED it stays, unknown to the policy */
#define PTE_COW       (1ull << 10) /* CP: shared privately; to be copied before it is written */
#define PTE_COW_WRITE (1ull << 11) /* CW: writable, once it is copied */
#define PTE_BUSY      (1ull << 55) /* MAPPED, and being unmapped: wait */
#define PTE_NO_ACCESS (1ull << 56) /* the program made it PROT_NONE: not even we can read it */
#define PTE_NX        (1ull << 63)

#define PTE_EPOCH_SHIFT 57
#define PTE_EPOCHS      64u /* the clock of evictions is kept modulo this */
#define PTE_EPOCH_MASK  ((uint64_t)(PTE_EPOCHS - 1) << PTE_EPOCH_SHIFT)

#define PTE_PAYLOAD_SHIFT 12
#define PTE_PAYLOAD_MASK  (((1ull << 40) - 1) << PTE_PAYLOAD_SHIFT)
#define PTE_STATE_SHIFT   52
#define PTE_STATE_MASK    (7ull << PTE_STATE_SHIFT)

static inline enum page_state pte_state(uint64_t pte)
{
	return (enum page_state)((pte & PTE_STATE_MASK) >> PTE_STATE_SHIFT);
}

static inline uint64_t pte_payload(uint64_t pte)
{
	return (pte & PTE_PAYLOAD_MASK) >> PTE_PAYLOAD_SHIFT;
}

static inline uint32_t pte_epoch(uint64_t pte)
{
	return (uint32_t)(pte >> PTE_EPOCH_SHIFT) % PTE_EPOCHS;
}

static inline struct frame_nr pte_frame(uint64_t pte)
{
	return (struct frame_nr){(uint32_t)pte_payload(pte)};
}

/* An entry in @state with @payload; @flags: PTE_DIRTY, PTE_NO_ACCESS, PTE_LOCKED,
 * PTE_BUSY, or an epoch. */
static inline uint64_t pte_make(enum page_state state, uint64_t payload, uint64_t flags)
{
	uint64_t pte = (uint64_t)state << PTE_STATE_SHIFT | payload << PTE_PAYLOAD_SHIFT | flags;

	if (state == PAGE_MAPPED)
		pte |= PTE_PRESENT | PTE_USER | (flags & PTE_DIRTY ? PTE_WRITE : 0);
	return pte;
}

/* A present entry of the software MMU: table or page at @frame, @flags as they are. */
static inline uint64_t pte_present(uint64_t frame, uint64_t flags)
{
	return (uint64_t)PAGE_MAPPED << PTE_STATE_SHIFT | frame << PTE_PAYLOAD_SHIFT | PTE_PRESENT |
	       flags;
}

#endif
