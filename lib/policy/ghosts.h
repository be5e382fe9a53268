// SPDX-License-Identifier: MIT
/*
 * A queue of remembered evictions ("ghosts") for policies whose paper has one that not every
 * evicted page enters, or that pages leave when they come back: a byte for each of the last
 * evictions, by number. A page that comes back says how many evictions ago it left. Live that is
 * rounded, so one of its neighbours is asked. For policies only.
 */
#ifndef FL_POLICY_GHOSTS_H
#define FL_POLICY_GHOSTS_H

#include "base/types.h"

enum ghost {
	GHOST_NONE,
	GHOST_THERE,
	GHOST_BACK, /* came back */
};

struct ghosts {
	uint32_t nr_records, max;
	uint32_t nr;         /* remembered and not back, at most max */
	uint64_t nr_evicted; /* the number of the last eviction */
	uint64_t forgotten;  /* the last that is forgotten */
	uint8_t *record;     /* enum ghost, by number % nr_records */
};

/* @memory: zeroed, @nr_records bytes. */
static inline void ghosts_init(struct ghosts *g, uint8_t *memory, uint32_t nr_records, uint32_t max)
{
	*g = (struct ghosts){.nr_records = nr_records, .max = max, .record = memory};
}

static inline void ghosts_forget_oldest(struct ghosts *g)
{
	g->nr -= g->record[++g->forgotten % g->nr_records] == GHOST_THERE;
}

/* A page was evicted, and is remembered if @is_ghost. */
static inline void ghosts_evicted(struct ghosts *g, bool is_ghost)
{
	if (g->nr_evicted - g->forgotten == g->nr_records)
		ghosts_forget_oldest(g);
	g->record[++g->nr_evicted % g->nr_records] = is_ghost ? GHOST_THERE : GHOST_NONE;
	g->nr += is_ghost;
	while (g->nr > g->max)
		ghosts_forget_oldest(g);
}

/* A page that was evicted @distance evictions ago is back. Return: whether it was remembered. */
static inline bool ghosts_take(struct ghosts *g, uint32_t distance)
{
	if (distance >= g->nr_evicted - g->forgotten)
		return false;
	uint8_t *record = &g->record[(g->nr_evicted - distance) % g->nr_records];
	bool is_ghost = *record != GHOST_NONE;

	if (*record == GHOST_THERE) {
		*record = GHOST_BACK;
		g->nr--;
	}
	return is_ghost;
}

#endif
