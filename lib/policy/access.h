// SPDX-License-Identifier: MIT
/*
 * Replacement policies that must see every reference, hits too: for replay and tests only, a live
 * program shows its faults and nothing else.
 *
 * Pure as those of policy.h. Pages are numbered from 0 in the order of their first reference. What
 * a policy knows of a page, resident or remembered, is in the page's record(s): an array that the
 * caller owns and makes longer, zeroed, before a new page is referenced.
 */
#ifndef FL_POLICY_ACCESS_H
#define FL_POLICY_ACCESS_H

#include "base/types.h"

#define ACCESS_NO_PAGE   UINT32_MAX /* nothing was evicted */
#define ACCESS_NEVER     UINT64_MAX /* no next use */
#define ACCESS_MAX_PAGES (1u << 30)

struct access_policy; /* each policy's own state, in memory of state_bytes() */

struct access_page {
	uint32_t prev, next; /* in a page_list, or as the policy likes */
	uint32_t list;       /* 0: in none */
	uint32_t count;
};

struct access_ops {
	const char *name;
	const char *summary;
	uint32_t records;    /* of struct access_page, for each page */
	bool needs_next_use; /* opt: the trace must be known to its end */

	size_t (*state_bytes)(uint32_t nr_frames);
	/* @p: zeroed memory of state_bytes(@nr_frames), 16-byte aligned; @nr_frames >= 1. */
	void (*init)(struct access_policy *p, uint32_t nr_frames);

	/*
	 * Reference number @now (from 0, in order) is to @page, whose next one is number @next_use.
	 * Return: whether it was a hit. If not, the page is resident now, in place of *ret_victim
	 * (ACCESS_NO_PAGE: there was a free frame).
	 */
	bool (*access)(struct access_policy *p, struct access_page *pages, uint32_t page,
	    uint64_t now, uint64_t next_use, uint32_t *ret_victim);
};

/* All of them, NULL at the end. */
extern const struct access_ops *const access_policies[];

/* Return: the policy called @name, or NULL. */
const struct access_ops *access_find(const char *name);

extern const struct access_ops access_arc;  /* arc.c */
extern const struct access_ops access_lfu;  /* lfu.c */
extern const struct access_ops access_lirs; /* lirs.c */
extern const struct access_ops access_lru;  /* lru.c */
extern const struct access_ops access_mru;  /* mru.c */
extern const struct access_ops access_opt;  /* opt.c */

#endif
