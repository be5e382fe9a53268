// SPDX-License-Identifier: MIT
/*
 * A memory of N frames under a policy, fed with references one by one. The policies of policy.h
 * are driven as the pager drives them, one victim at a time, so they see what they would see live;
 * those of access.h see every reference.
 */
#ifndef FL_REPLAY_SIM_H
#define FL_REPLAY_SIM_H

#include "policy/access.h"
#include "policy/policy.h"
#include "replay/front_tlb.h"

struct sim;

struct sim_counts {
	uint64_t refs, faults;
	uint64_t first;                /* of the faults: to pages never seen before */
	uint64_t writebacks;           /* evictions of a page written since it came in */
	uint64_t refills;              /* touches of held pages: minor faults of a live run */
	uint64_t tlb_hits, tlb_misses; /* of sim_set_tlb() */
};

#define SIM_MAX_HELD_SHOWN 16u

/* What one reference did. */
struct sim_step {
	bool is_fault, is_refill;
	uint32_t frame;                    /* where the page is now */
	uint32_t victim;                   /* page evicted for it, or ACCESS_NO_PAGE */
	bool is_victim_dirty;              /* it was written back */
	uint32_t nr_held;                  /* pages that the policy unmapped to watch them ... */
	uint32_t held[SIM_MAX_HELD_SHOWN]; /* ... and the first of them */
};

/* A name of policy.h or access.h. */
struct sim_policy {
	const struct policy_ops *live; /* one of the two is NULL */
	const struct access_ops *accesses;
};

/* Number @i of all policies, live ones first; both NULL at the end. */
struct sim_policy sim_policy_at(size_t i);
/* Both NULL: there is none of that name. */
struct sim_policy sim_policy_find(const char *name);
const char *sim_policy_name(struct sim_policy policy);
const char *sim_policy_summary(struct sim_policy policy);

/* @nr_frames >= 1. @max_held: for policies of policy.h. Return: NULL when there is no memory. */
struct sim *sim_open(struct sim_policy policy, uint32_t nr_frames, uint32_t max_held);
void sim_close(struct sim *s);

/* Put a TLB in front; the sim closes it. */
void sim_set_tlb(struct sim *s, struct front_tlb *tlb);

/*
 * References to @nr pages; sim_ref(page number, is_write). @nr_pages: all page numbers are below.
 * @next_use: for each, the number of the next reference to its page, counted from 0 at the first
 * reference of all; NULL where the policy does not need it. @ret_step: of the last one, or NULL.
 * Return: 0 or -ENOMEM.
 */
int sim_run(struct sim *s, const uint32_t *refs, size_t nr, uint32_t nr_pages,
    const uint64_t *next_use, struct sim_step *ret_step);
/* For the TLB: the pages' own numbers, by the numbers of sim_ref(). Valid until the next call. */
void sim_set_pages(struct sim *s, const uint64_t *page_of);

static inline uint32_t sim_ref(uint32_t page, bool is_write)
{
	return page << 1 | is_write;
}

const struct sim_counts *sim_counts(const struct sim *s);
/* Page in @frame, or ACCESS_NO_PAGE. */
uint32_t sim_page_in(const struct sim *s, uint32_t frame);
bool sim_is_held(const struct sim *s, uint32_t frame);

#endif
