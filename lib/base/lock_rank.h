// SPDX-License-Identifier: MIT
/*
 * The only statement of lock order: a thread takes locks in rising rank. While any of them is
 * held there is no I/O, no wait but for another lock (LOCK_MAP: see there), and no touch of managed
 * memory.
 */
#ifndef FL_BASE_LOCK_RANK_H
#define FL_BASE_LOCK_RANK_H

enum lock_rank {
	LOCK_MAP = 1, /* regions: pager/region.h. Held (shared) over the quick part of a fault,
	               * (exclusive) over a mapping call. What waits for I/O under it, and no fault
	               * does, doc/architecture.md names in section 9; all other waits come before
	               * (pager/mapping.h) */
	LOCK_RECLAIM, /* one reclaimer at a time: pager/reclaim.c; makes mapping system calls */
	LOCK_PTAB,    /* making new page tables: mmu/ptab.h */
	LOCK_L1,      /* the PTEs of one L1 table: mmu/ptab.h; makes userfaultfd ioctls */
	LOCK_TLB,     /* the trap TLB's entries: pager/trap_tlb.h; a few instructions */
	LOCK_POLICY,  /* the replacement policy: pager/reclaim.c */
	LOCK_FRAME,   /* free frames and pool buffers: frame/frame.h */
	LOCK_CODEC,   /* one codec's working memory: swap/room.h; held over one page */
	LOCK_TIER,    /* the compressed tier's tables: swap/tier.h; moves compressed bytes */
	LOCK_ROOM,    /* free segments of its memory: swap/room.h */
	LOCK_SLOT,    /* the slot map: swap/slots.h */
	LOCK_META,    /* metadata memory: base/meta.h */
	LOCK_STATS,   /* stall clocks and readahead streams: innermost, a few instructions */
};

#endif
