// SPDX-License-Identifier: MIT
/*
 * The compressed tier: pages of swap that are packed, many to a chunk of 32 KiB, and stay in memory
 * of the RAM budget as long as that pays. Chunks go to disk as they are, and are read from there
 * as far as needed.
 *
 *     entry    one compressed page, known by its number (part of a swap_ref)
 *     chunk    entries one behind the other, filled like a log, freed when all of them are dead
 *     segment  the memory of a chunk: CHUNK_PAGES frames, which the program's pages then lack
 *
 *     chunk:  OPEN --full--> in memory --written--> in memory and on disk --dropped--> on disk
 *                                                      ^---------- one wanted, room ----'
 *
 * A chunk's number and the place of an entry in it stay the same wherever the chunk is. Memory for
 * the next chunk is, in this order: that of a chunk half dead, squeezed; more of the budget, as far
 * as the tier's share goes; that of a chunk of which an eighth is dead, squeezed; the oldest
 * chunk's, written first if it must.
 *
 * A forked child reads the entries from the chunks on disk, by its copy of the tables: everything
 * is written before a fork, and the chunks' slots are kept by the slot map's shares as any others.
 * The child's copy only shrinks (tier_detach()).
 */
#ifndef FL_SWAP_TIER_H
#define FL_SWAP_TIER_H

#include "swap/store.h"

struct tier;
struct slot_share;
struct swap_backend;

/* Set in the slot part of a swap_ref: it is the number of an entry. */
#define REF_ENTRY 0x80000000u

static inline uint32_t ref_entry(struct swap_ref ref)
{
	return (uint32_t)ref.v & ~REF_ENTRY;
}

/*
 * Make the tier of @s, empty: tables are reserved, not touched. Return: NULL without memory.
 * Context: fault.
 */
struct tier *tier_open(struct swap *s);
void tier_close(struct tier *t);

/*
 * Take in pages: those that compress well have result 0 and a ref afterwards, others -EAGAIN (also
 * when there was no room), and are to be written as they are. May write old chunks to make room.
 * Context: fault, no lock held; sleeps.
 */
void tier_store(struct tier *t, struct swap_page *pages, uint32_t nr);

/*
 * Read those pages of @pages whose chunks are in memory; sets `from` and `result` of these. Return:
 * how many were not. Context: fault, no lock held.
 */
uint32_t tier_read_memory(struct tier *t, struct swap_page *pages, uint32_t nr);

/* Read entries wherever they are, all by one transfer. Context: fault, no lock held; sleeps. */
void tier_read(struct tier *t, struct swap_backend *b, struct swap_page *pages, uint32_t nr,
    enum swap_wait wait);

bool tier_is_in_memory(struct tier *t, uint32_t entry);

/*
 * The entry is not needed any more. Return: detached, whether the last chunk slot of the generation
 * is now dropped. Context: fault.
 */
bool tier_free(struct tier *t, uint32_t entry);

/*
 * Bring the tier's memory down to its share, and give back what dead entries take up; at most
 * @max_chunks steps. Context: fault, no lock held; may write. Return: frames given back.
 */
uint32_t tier_trim(struct tier *t, uint32_t max_chunks);

/* Give back memory until no chunk is more than half dead; what is alive in them moves together.
 * Context: fault, no lock held; does not wait. */
void tier_drop_dead(struct tier *t);

/* Before a fork: all entries are on disk afterwards. Return: 0 or -errno. Nobody else is inside. */
int tier_flush(struct tier *t);

/* In a forked child: forget the memory; from now on entries are only read and freed, and chunks'
 * slots dropped from @live. Context: fault. */
void tier_detach(struct tier *t, struct slot_share *live);

/* Consistency. ensure()s. For tests. Nobody else is inside. */
void tier_check(struct tier *t);

#endif
