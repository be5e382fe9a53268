// SPDX-License-Identifier: MIT
/* A machine to play with, for the demos on the software MMU. */
#ifndef FL_DEMO_MACHINE_H
#define FL_DEMO_MACHINE_H

#include "demo.h"
#include "faultline/mmu.h"

#define DEMO_RW (FL_READ | FL_WRITE | FL_USER)

struct machine {
	struct fl_phys *phys;
	struct fl_space *space;
	struct fl_mmu *mmu;
};

/* A machine with @nr_frames frames and one empty space, current. @config: as fl_mmu_open(). */
static inline struct machine machine_new(uint64_t nr_frames, const struct fl_mmu_config *config)
{
	struct machine m = {.phys = fl_phys_open(nr_frames)};

	DEMO_ENSURE(m.phys);
	m.space = fl_space_open(m.phys);
	DEMO_ENSURE(m.space);
	DEMO_ENSURE(fl_mmu_open(m.phys, config, &m.mmu) == 0);
	DEMO_ENSURE(fl_mmu_switch(m.mmu, m.space) == 0);
	return m;
}

static inline void machine_end(struct machine *m)
{
	fl_mmu_close(m->mmu);
	fl_space_close(m->space);
	fl_phys_close(m->phys);
}

/* Map fresh frames. */
static inline void map_fresh(
    struct fl_space *space, uint64_t va, uint64_t bytes, enum fl_page page, uint32_t prot)
{
	DEMO_ENSURE(fl_space_map(space, va, bytes, page, FL_FRAME_NONE, prot) == 0);
}

static inline struct fl_mmu_counts counts_of(const struct machine *m)
{
	struct fl_mmu_counts c;

	fl_mmu_counts(m->mmu, &c);
	return c;
}

static inline uint64_t tables_of(const struct fl_space *space)
{
	struct fl_space_stats stats;

	fl_space_stats(space, &stats);
	return stats.nr_tables;
}

static inline void print_walk(const struct fl_walk *walk)
{
	char text[1024];

	fl_walk_format(walk, text, sizeof(text));
	fputs(text, stdout);
}

#endif
