// SPDX-License-Identifier: MIT
/*
 * The trap TLB: a live program sees no more pages than a TLB of that geometry has entries for.
 *
 *     FREE --pin--> pinned --mapped--> VALID --unmapped--> FREE
 *                      `----unpin--> FREE  |  ^
 *                                 watch (clock)  `--mapped: its page was touched
 *                                          v  |
 *                                        WATCHED --the hand comes by--> FREE
 *
 * An entry covers one unit: a page, or with --page-size 2M the 512 pages of an L1 table. Before the
 * pager maps a page it pins an entry of the page's set; where none is free, tlb_make_room() takes
 * one away: the victim's pages are unmapped, MAPPED -> HELD, and stay in their frames. So a touch
 * of a page without entry is a real fault: a miss, exact. A touch of one with an entry traps
 * nobody: hits cannot be seen, and are not counted.
 *
 * CLOCK needs to know which entries are used. The hand takes an entry's pages out of the program's
 * sight but keeps the entry (WATCHED); a touch then is a fault that counts as a probe, not as a
 * miss, since the entry is there. So the bit is exact too.
 *
 * What is physically mapped is bounded by the places (frame.h): as many as the entries cover. The
 * entries say which pages these are.
 */
#ifndef FL_PAGER_TRAP_TLB_H
#define FL_PAGER_TRAP_TLB_H

#include "base/lock.h"
#include "mmu/tlb_geometry.h"

/*
 * What one x86 instruction may need at once: ENTER with nested frames reads the old frame pointers,
 * pushes them, and probes the new top of stack, each perhaps across a page's end: six pages. (Moves
 * from memory to memory need four. Gathers, rep and tile instructions keep what they have done.)
 * Neighbours fall into different sets, so with two sets or more three ways are enough.
 */
#define TLB_MIN_ENTRIES 6u
#define TLB_MIN_WAYS    3u

struct tlb_slot {
	uint64_t unit;      /* [lock] vpn >> shift, or UINT64_MAX: free */
	uint64_t filled;    /* [lock] clock */
	uint32_t nr_mapped; /* [lock] pages of the unit that are MAPPED */
	uint32_t nr_pins;   /* [lock] faults under way that will map one */
	bool is_used;       /* [lock] CLOCK's bit; not set: watched */
};

struct trap_tlb {
	struct tlb_geometry geometry; /* [const] entries 0: there is none */
	uint32_t sets, shift;         /* [const] */
	struct lock lock;             /* rank LOCK_TLB */
	struct tlb_slot *slot;        /* [lock] [set * ways + way] */
	uint32_t *hand;               /* [lock] CLOCK: by set */
	uint64_t clock, random;       /* [lock] */
};

/* Return: 0 or -ENOMEM. */
int tlb_init(struct trap_tlb *t, const struct tlb_geometry *geometry, uint32_t shift);

/* Whether the smallest progress is sure. @why as in tlb_geometry_parse(). Return: 0 or -EINVAL. */
int tlb_geometry_check(const struct tlb_geometry *g, char *why, size_t why_bytes);

/* Have an entry for @vpn stay, or be found, until tlb_unpin(). Return: false: its set is full. */
bool tlb_pin(struct vpn vpn);
void tlb_unpin(struct vpn vpn);

/* The page @vpn, whose entry is pinned, is MAPPED now. Return: whether that filled the entry.
 * Context: L1 lock held. */
bool tlb_mapped(struct vpn vpn);
/* ... is not MAPPED any more. @is_watched: by CLOCK, which keeps the entry. L1 lock held. */
void tlb_unmapped(struct vpn vpn, bool is_watched);
/* The page @vpn leaves its frame, or is gone; it was HELD. L1 lock held. */
void tlb_forget(struct vpn vpn);

/* Make room in the set of @vpn. Return: false: not now, for want of a buffer, or because every
 * entry is being filled. Context: fault, nothing held. */
bool tlb_make_room(struct vpn vpn);

/* Take the pages of a range out of sight, and drop their entries, as far as can be. Context: fault,
 * nothing held. */
void tlb_flush(uintptr_t start, uintptr_t end);

#endif
