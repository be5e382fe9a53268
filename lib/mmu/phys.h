// SPDX-License-Identifier: MIT
/*
 * The emulated physical memory, inside. A frame is free (no references, no table), data (mapped or
 * held: references), or a page table. Tables are counted in frames and have physical addresses,
 * but their entries are kept beside the bytes: a stale translation that writes to a frame which
 * became a table meanwhile must not be able to forge entries.
 */
#ifndef FL_MMU_PHYS_H
#define FL_MMU_PHYS_H

#include "faultline/mmu.h"
#include "mmu/level.h"
#include "mmu/pte.h"

#define FRAMES_2M 512u

struct frame_info {
	uint64_t *table;   /* its 512 entries; NULL: not a table */
	uint32_t refs;     /* data: mappings and holders */
	uint16_t nr_used;  /* table: entries that are not 0 */
	uint16_t was_used; /* its bytes may not be zero */
};

struct fl_phys {
	uint64_t nr_frames, nr_free, nr_tables;
	uint8_t *bytes;
	struct frame_info *info;
	uint64_t *busy;      /* one bit per frame: 1 = not free. nr_free counts the zeros */
	uint64_t first_word; /* of `busy`: all words before it are full */
	uint64_t next_space_id;
};

/* Frames of a page of size @page. */
static inline uint64_t page_frames(enum fl_page page)
{
	return 1ull << (PTAB_LEVEL_BITS * page);
}

/* Whether all frames of a page of size @page at @frame are data: a mapping may lead there. */
bool phys_is_data(const struct fl_phys *phys, uint64_t frame, enum fl_page page);

/* One more or one less reference to each frame of a page. The caller holds one, or a mapping. */
void phys_get(struct fl_phys *phys, uint64_t frame, enum fl_page page);
void phys_put(struct fl_phys *phys, uint64_t frame, enum fl_page page);

/* A frame for a table, all entries 0. Return: it, or FL_FRAME_NONE. */
uint64_t phys_table_new(struct fl_phys *phys);
void phys_table_free(struct fl_phys *phys, uint64_t frame);

/* Entry @index of the table at @frame, which is one. */
static inline uint64_t *table_entry(const struct fl_phys *phys, uint64_t frame, unsigned index)
{
	return &phys->info[frame].table[index];
}

#endif
