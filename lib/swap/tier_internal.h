// SPDX-License-Identifier: MIT
/* Shared by tier.c (entries), tier_chunk.c, tier_memory.c and tier_io.c (chunks on disk). */
#ifndef FL_SWAP_TIER_INTERNAL_H
#define FL_SWAP_TIER_INTERNAL_H

#include "base/lock.h"
#include "swap/room.h"
#include "swap/slots.h"
#include "swap/tier.h"

#define NONE UINT32_MAX

#define PLACE_FREE 0x80000000u /* with NONE: the last free one */

#define UNIT           32u /* entries begin at multiples of this: places fit 31 bits up to 64 GiB */
#define CHUNK_UNITS    (CHUNK_BYTES / UNIT)
#define UNITS_PER_PAGE (PAGE_BYTES / UNIT)
#define NR_BUCKETS     5u /* of chunks by what is alive in them: chunk_bucket() */
#define DENSE          3u /* chunks in buckets from here on are worth reading whole; guess */
#define MAX_GROUP      8u /* chunks read or written by one transfer */
#define MAX_ENTRIES    64u

/* What one chunk had of an entry at some time is told from what another one has by `serial`, and a
 * damaged page by its checksum: together they tell a write that was lost. */
struct entry_head {
	uint32_t entry;
	uint16_t bytes;    /* of the compressed page behind */
	uint16_t serial;   /* the chunk's; not 0 */
	uint32_t checksum; /* of the page, half of it */
};

enum chunk_list {
	LIST_FREE, /* not in use */
	LIST_OPEN, /* none: being filled */
	LIST_MEMORY,
	LIST_DISK,
};

/* A link of a doubly linked list of chunks; NONE ends it. */
struct chunk_link {
	uint32_t next, prev;
};

struct chunk_head {
	uint32_t first, last;
};

struct chunk {
	struct chunk_link age;    /* LIST_MEMORY: oldest first; LIST_FREE */
	struct chunk_link sparse; /* in bucket[] */
	uint32_t segment;         /* its memory, or NONE */
	uint32_t slot;            /* first of its slots on disk, or NONE */
	uint64_t checksum;        /* of what is there, chunk_pages() */
	uint16_t fill;            /* units used */
	uint16_t nr;              /* entries put in */
	uint16_t live;            /* of them, not freed */
	uint16_t nr_pins;         /* somebody reads or writes it without the lock */
	uint16_t serial;          /* another one whenever it is filled or squeezed anew; not 0 */
	uint16_t nr_back;         /* came back from disk with another one; 0: no longer counted */
	uint16_t nr_back_hits;    /* reads since, up to that: each would have been one from disk */
	uint8_t list;             /* enum chunk_list */
	uint8_t bucket;           /* NR_BUCKETS: none */
	bool is_writing;
	bool is_coming; /* being read from disk, whole */
	bool is_bad;    /* could not be read to the end, to clean it: left where it is */
};

/* The tables of one store. */
struct tier {
	struct swap *s;     /* [const] */
	struct room *room;  /* [const] memory, of the process */
	uint32_t nr_chunks; /* [const] */
	uint32_t max_entries;
	struct slot_share *live; /* [const] detached: the slots that are still needed; else NULL */

	struct lock lock; /* rank LOCK_TIER */
	uint32_t *place;  /* [lock] of entries: chunk * CHUNK_UNITS + unit, or PLACE_FREE | next */
	uint32_t free_entry, nr_fresh_entries; /* [lock] */
	uint32_t nr_entries;                   /* [lock] in use */

	struct chunk *chunk;                  /* [lock] */
	uint32_t free_chunk, nr_fresh_chunks; /* [lock] */
	uint32_t open;                        /* [lock] being filled, or NONE */
	uint16_t last_serial;                 /* [lock] */
	struct chunk_head age;                /* [lock] chunks in memory and closed, oldest first */
	struct chunk_head memory[NR_BUCKETS]; /* [lock] those of them with much that is dead */
	struct chunk_head disk[NR_BUCKETS];   /* [lock] ... of those on disk only */
	uint32_t nr_memory, nr_disk,
	    nr_sparse_disk; /* [lock] chunks; the last: at most half alive */
	bool is_cleaning;   /* [lock] */
	/* [lock] of the last thousand entries or so that came back with another one and left memory
	 * again, and what they had spared; what never leaves counts only as far as it was used */
	uint32_t nr_back, nr_back_hits, nr_back_skipped;
};

static inline uint32_t chunk_pages(const struct chunk *c)
{
	return (c->fill + UNITS_PER_PAGE - 1) / UNITS_PER_PAGE;
}

/* Units that @e takes, its page behind it. */
static inline uint32_t entry_units(const struct entry_head *e)
{
	return (uint32_t)(sizeof(*e) + e->bytes + UNIT - 1) / UNIT;
}

/* --- tier_chunk.c --- */

/* An unused chunk, now LIST_OPEN with memory @segment. [lock] Return: NONE: all are in use. */
uint32_t chunk_new_locked(struct tier *t, uint32_t segment);
/* For a chunk that is filled or squeezed anew. [lock] */
uint16_t serial_next_locked(struct tier *t);
/* The chunk is in no list, and has neither memory nor a place on disk: it is unused. [lock] */
void chunk_release_locked(struct tier *t, uint32_t i);
void chunk_set_list_locked(struct tier *t, uint32_t i, enum chunk_list list);
/* The bucket that it belongs in, by what is alive in it. [lock] */
uint8_t chunk_bucket(const struct chunk *c);

/* Drop a pin of @i, and free the chunk if that was what kept it. [lock] */
void chunk_unpin_locked(struct tier *t, uint32_t i);
/* A written chunk gives up its memory. [lock] Return: the segment. */
uint32_t chunk_drop_locked(struct tier *t, uint32_t i);
/* Nothing in the chunk is alive, and nobody uses it. [lock] Return: as tier_free(). */
bool chunk_dead_locked(struct tier *t, uint32_t i);
void chunk_rebucket_locked(struct tier *t, uint32_t i);
/* What came back with chunk @i leaves memory, or from now on shares it with other entries. [lock]
 */
void chunk_note_back_locked(struct tier *t, uint32_t i, bool is_leaving);
void chunk_close_locked(struct tier *t);

/* --- tier_memory.c --- */

/* Close the open chunk and have another one, with room. Return: 0, or -EAGAIN. Context: fault, no
 * lock held; may write. */
int tier_open_next(struct tier *t);

/* Memory for a chunk that is on disk, for which no other has to leave: of the share and the budget
 * what is free, or what dead entries take up. Does not wait. Return: a segment, or NONE. Context:
 * fault, no lock held. */
uint32_t tier_spare_segment(struct tier *t);

/* --- tier.c --- */

/* Take the entry at @from, of @bytes with its head, into the open chunk. [lock] Return: done. */
bool append_locked(struct tier *t, const struct entry_head *from);
/* Whether @unit of chunk @i has a live entry. [lock] */
bool entry_is_live_locked(struct tier *t, uint32_t i, uint32_t unit, const struct entry_head *e);
/* @e: the page's entry, wherever it was read from; @c: its chunk, pinned. Sets page->result. */
void tier_expand(
    struct tier *t, const struct chunk *c, const struct entry_head *e, struct swap_page *page);

/* --- tier_io.c --- */

/* Write up to @max of the oldest chunks that are in memory only. Return: how many, or -errno. */
int tier_write_oldest(struct tier *t, uint32_t max);
/* Free disk space: take what is alive of a sparse chunk back into memory. Return: done. */
bool tier_clean_one(struct tier *t);
/* [lock] Give up the chunk's place on disk. Return: detached: the last slot is dropped. */
bool chunk_free_slots_locked(struct tier *t, struct chunk *c);

#endif
