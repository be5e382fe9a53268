// SPDX-License-Identifier: MIT
/*
 * Miniature simulation: the faults of a policy estimated from a sample of the pages.
 *
 * A page is in the sample if its hash is below rate * 2^64, with all its references (spatially
 * hashed sampling: Waldspurger, Park, Garthwaite, Ahmad: "Efficient MRC Construction with SHARDS",
 * FAST 2015); a memory of N frames is emulated by one of N * rate on the sample (Waldspurger,
 * Saemundsson, Ahmad, Park: "Cache Modeling and Optimization using Miniature Simulations", USENIX
 * ATC 2017). A sample that has too many or few references, for a hot page that is or is not in it,
 * is corrected as in SHARDS-adj: the difference counts as hits.
 *
 * How far off it is depends on the trace: so the caller also runs LRU this way, whose faults it
 * knows exactly, and reports the difference.
 */
#ifndef FL_REPLAY_MINIATURE_H
#define FL_REPLAY_MINIATURE_H

#include "replay/page_map.h"
#include "replay/sim.h"

struct sample {
	double rate;     /* 1: everything */
	uint64_t nr_all; /* references of the whole trace */
	uint32_t *refs;  /* as for sim_run(), pages numbered anew */
	uint64_t *next_use;
	size_t nr;
	uint32_t nr_pages;
};

/* Of the trace @refs, @nr of them, whose pages @map numbered. Return: 0 or -ENOMEM. */
int sample_take(
    struct sample *s, const uint32_t *refs, size_t nr, const struct page_map *map, double rate);
void sample_fini(struct sample *s);

/* The number of the next reference to the same page, for each; @ret_next_use has @nr entries.
 * Return: 0 or -ENOMEM. */
int next_uses(const uint32_t *refs, size_t nr, uint32_t nr_pages, uint64_t *ret_next_use);

/* Estimate the counts of @policy with @nr_frames; exact if the rate is 1. @held: share of frames
 * that may be held. Return: 0 or -ENOMEM. */
int sample_run(const struct sample *s, struct sim_policy policy, uint32_t nr_frames, double held,
    struct sim_counts *ret_counts);

#endif
