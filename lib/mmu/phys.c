// SPDX-License-Identifier: MIT
/* Physical memory of the software MMU; see faultline/mmu.h and phys.h. */
#include "mmu/phys.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "base/ensure.h"
#include "base/meta.h"
#include "base/sys.h"

#define MAX_FRAMES (1ull << 28)
#define WORD_BITS  64u

static size_t busy_bytes(uint64_t nr_frames)
{
	return (nr_frames + WORD_BITS - 1) / WORD_BITS * sizeof(uint64_t);
}

struct fl_phys *fl_phys_open(uint64_t nr_frames)
{
	struct fl_phys *phys;

	if (nr_frames < 1 || nr_frames > MAX_FRAMES)
		return NULL;
	phys = calloc(1, sizeof(*phys));
	if (!phys)
		return NULL;
	phys->nr_frames = phys->nr_free = nr_frames;
	phys->next_space_id = 1;
	phys->bytes = meta_map(nr_frames * PAGE_BYTES);
	phys->info = meta_map(nr_frames * sizeof(*phys->info));
	phys->busy = meta_map(busy_bytes(nr_frames));
	if (!phys->bytes || !phys->info || !phys->busy) {
		fl_phys_close(phys);
		return NULL;
	}
	/* There is nothing behind the last frame. */
	for (uint64_t f = nr_frames; f % WORD_BITS; f++)
		phys->busy[f / WORD_BITS] |= 1ull << f % WORD_BITS;
	return phys;
}

void fl_phys_close(struct fl_phys *phys)
{
	if (!phys)
		return;
	meta_unmap(phys->bytes, phys->nr_frames * PAGE_BYTES);
	meta_unmap(phys->info, phys->nr_frames * sizeof(*phys->info));
	meta_unmap(phys->busy, busy_bytes(phys->nr_frames));
	free(phys);
}

static void set_busy(struct fl_phys *phys, uint64_t frame, bool is_busy)
{
	uint64_t bit = 1ull << frame % WORD_BITS;

	ensure(!(phys->busy[frame / WORD_BITS] & bit) == is_busy);
	phys->busy[frame / WORD_BITS] ^= bit;
	phys->nr_free += is_busy ? -1ull : 1ull;
	if (!is_busy)
		phys->first_word = MIN(phys->first_word, frame / WORD_BITS);
}

/* Lowest first, so that long aligned runs survive at the top. */
static uint64_t find_one(struct fl_phys *phys)
{
	if (!phys->nr_free)
		return FL_FRAME_NONE;
	while (!~phys->busy[phys->first_word])
		phys->first_word++;
	return phys->first_word * WORD_BITS +
	       (unsigned)__builtin_ctzll(~phys->busy[phys->first_word]);
}

static bool is_free_run(const struct fl_phys *phys, uint64_t frame, uint64_t nr)
{
	for (uint64_t w = frame / WORD_BITS; w < (frame + nr) / WORD_BITS; w++)
		if (phys->busy[w])
			return false;
	return true;
}

static uint64_t find_run(const struct fl_phys *phys, uint64_t nr)
{
	for (uint64_t f = phys->nr_frames / nr * nr; f; f -= nr)
		if (is_free_run(phys, f - nr, nr))
			return f - nr;
	return FL_FRAME_NONE;
}

/* Zero a run of frames, without taking host memory for what was never touched. */
static void zero_run(struct fl_phys *phys, uint64_t frame, uint64_t nr)
{
	bool was_used = false;

	for (uint64_t f = frame; f < frame + nr; f++) {
		was_used |= phys->info[f].was_used;
		phys->info[f].was_used = 0;
	}
	if (!was_used)
		return;
	if (nr == 1 || sys_call3(SYS_madvise, (long)(phys->bytes + frame * PAGE_BYTES),
	                   (long)(nr * PAGE_BYTES), MADV_DONTNEED))
		memset(phys->bytes + frame * PAGE_BYTES, 0, nr * PAGE_BYTES);
}

uint64_t fl_phys_alloc(struct fl_phys *phys, enum fl_page page)
{
	uint64_t nr, frame;

	if (page >= FL_NR_PAGES)
		return FL_FRAME_NONE;
	nr = page_frames(page);
	frame = nr == 1 ? find_one(phys) : find_run(phys, nr);
	if (frame == FL_FRAME_NONE)
		return frame;
	for (uint64_t f = frame; f < frame + nr; f++) {
		set_busy(phys, f, true);
		phys->info[f].refs = 1;
	}
	zero_run(phys, frame, nr);
	return frame;
}

bool phys_is_data(const struct fl_phys *phys, uint64_t frame, enum fl_page page)
{
	uint64_t nr = page_frames(page);

	if (frame % nr || frame >= phys->nr_frames || nr > phys->nr_frames - frame)
		return false;
	for (uint64_t f = frame; f < frame + nr; f++)
		if (!phys->info[f].refs)
			return false;
	return true;
}

void phys_get(struct fl_phys *phys, uint64_t frame, enum fl_page page)
{
	for (uint64_t f = frame; f < frame + page_frames(page); f++) {
		ensure(phys->info[f].refs > 0 && phys->info[f].refs < UINT32_MAX);
		phys->info[f].refs++;
	}
}

void phys_put(struct fl_phys *phys, uint64_t frame, enum fl_page page)
{
	for (uint64_t f = frame; f < frame + page_frames(page); f++) {
		ensure(phys->info[f].refs > 0);
		if (--phys->info[f].refs)
			continue;
		phys->info[f].was_used = 1;
		set_busy(phys, f, false);
	}
}

int fl_phys_put(struct fl_phys *phys, uint64_t frame, enum fl_page page)
{
	if (page >= FL_NR_PAGES || !phys_is_data(phys, frame, page))
		return -EINVAL;
	phys_put(phys, frame, page);
	return 0;
}

uint32_t fl_phys_refs(const struct fl_phys *phys, uint64_t frame)
{
	return frame < phys->nr_frames ? phys->info[frame].refs : 0;
}

uint64_t phys_table_new(struct fl_phys *phys)
{
	uint64_t frame = find_one(phys);
	struct frame_info *info;

	if (frame == FL_FRAME_NONE)
		return frame;
	info = &phys->info[frame];
	info->table = calloc(PTAB_ENTRIES, sizeof(uint64_t));
	if (!info->table)
		return FL_FRAME_NONE;
	info->nr_used = 0;
	set_busy(phys, frame, true);
	phys->nr_tables++;
	return frame;
}

void phys_table_free(struct fl_phys *phys, uint64_t frame)
{
	struct frame_info *info = &phys->info[frame];

	ensure(info->table);
	free(info->table);
	info->table = NULL;
	set_busy(phys, frame, false);
	phys->nr_tables--;
}

static bool is_inside(const struct fl_phys *phys, uint64_t pa, size_t bytes)
{
	uint64_t size = phys->nr_frames * PAGE_BYTES;

	return pa <= size && bytes <= size - pa;
}

int fl_phys_read(const struct fl_phys *phys, uint64_t pa, void *ret_bytes, size_t bytes)
{
	uint8_t *to = ret_bytes;

	if (!is_inside(phys, pa, bytes))
		return -EINVAL;
	while (bytes) {
		size_t part = MIN(bytes, PAGE_BYTES - (pa & PAGE_MASK));
		const uint64_t *table = phys->info[pa >> PAGE_SHIFT].table;

		if (table)
			memcpy(to, (const uint8_t *)table + (pa & PAGE_MASK), part);
		else
			memcpy(to, phys->bytes + pa, part);
		to += part;
		pa += part;
		bytes -= part;
	}
	return 0;
}

int fl_phys_write(struct fl_phys *phys, uint64_t pa, const void *from, size_t bytes)
{
	if (!is_inside(phys, pa, bytes))
		return -EINVAL;
	for (uint64_t f = pa >> PAGE_SHIFT; bytes && f <= (pa + bytes - 1) >> PAGE_SHIFT; f++)
		if (phys->info[f].table)
			return -EINVAL;
	for (uint64_t f = pa >> PAGE_SHIFT; bytes && f <= (pa + bytes - 1) >> PAGE_SHIFT; f++)
		phys->info[f].was_used = 1;
	memcpy(phys->bytes + pa, from, bytes);
	return 0;
}

void fl_phys_stats(const struct fl_phys *phys, struct fl_phys_stats *ret)
{
	*ret = (struct fl_phys_stats){
	    .nr_frames = phys->nr_frames,
	    .nr_free = phys->nr_free,
	    .nr_tables = phys->nr_tables,
	    .nr_data = phys->nr_frames - phys->nr_free - phys->nr_tables,
	};
}
