// SPDX-License-Identifier: MIT
/*
 * Replacement policies: which frame to give up next. A policy is a pure state machine: no I/O, no
 * lock, no clock, no allocation. The live pager, replay and the tests run the same code.
 *
 * A frame is, to the policy, in one of three places:
 *
 *     out --insert--> queued --choose--> chosen --removed--> out
 *                        ^                 |
 *                        |                 |--insert-->  queued  (put back: was busy)
 *                        |                 `--held---->  held    (only after CHOICE_HOLD)
 *                        `--- touched ------------------  held
 *                             held --choose (always CHOICE_EVICT)--> chosen
 *
 * CHOICE_HOLD asks the pager to unmap the page but keep it in its frame: a touch is then seen as a
 * minor fault, which makes a one-bit policy exact. A policy chooses to hold only while fewer
 * than max_held frames are in `held` or chosen to be.
 *
 * Policies that remember evicted pages (2Q, CLOCK-Pro, S3-FIFO, Linux's lists) keep no list of
 * them: a page that comes back says how many evictions ago it left. That it is in a ghost queue of
 * G entries is the same as a distance of at most G; where not every evicted page enters the queue,
 * a byte for each of the last evictions says which did (ghosts.h). The pager has the number from
 * the page's PTE, rounded to an eighth of the budget; replay has it exactly.
 *
 * A policy that needs to see every reference (LRU, OPT, ...) has the interface of access.h.
 */
#ifndef FL_POLICY_POLICY_H
#define FL_POLICY_POLICY_H

#include "base/types.h"

enum choice_what {
	CHOICE_HOLD,  /* unmap, keep, tell me whether it is touched: answer held() or insert() */
	CHOICE_EVICT, /* give up: answer removed() or insert() */
};

struct choice {
	struct frame_nr frame;
	enum choice_what what;
};

/* The page was never evicted, or so long ago that nobody knows. */
#define DISTANCE_NEVER UINT32_MAX

struct policy; /* each policy's own state, in memory of state_bytes() */

struct policy_ops {
	const char *name;
	const char *summary; /* one line for --help */

	/* Bytes of state for frames 0 .. @nr_frames - 1. */
	size_t (*state_bytes)(uint32_t nr_frames);

	/* Initialise zeroed, 16-byte aligned memory of state_bytes(@nr_frames); no frame queued.
	 * @max_held: most frames that may be held at a time; 0: CHOICE_HOLD is never used. */
	void (*init)(struct policy *p, uint32_t nr_frames, uint32_t max_held);

	/* From now on at most @max_held frames, no more than init() was given, may be held; those
	 * beyond it stay until they are chosen or touched. NULL: it never holds any. */
	void (*set_max_held)(struct policy *p, uint32_t max_held);

	/* @frame, out or chosen, has a page that was just touched. -> queued
	 * @distance: how many pages were evicted since this one was, or DISTANCE_NEVER. 0: it was
	 * rescued between choice and eviction. */
	void (*insert)(struct policy *p, struct frame_nr frame, uint32_t distance);

	/* @frame, held, was touched. -> queued. (A touch of a queued frame is never seen.) */
	void (*touched)(struct policy *p, struct frame_nr frame);

	/* @frame, chosen to hold, is unmapped now. -> held */
	void (*held)(struct policy *p, struct frame_nr frame);

	/* @frame's page is gone, wherever the frame was. -> out. Harmless for a frame that is out.
	 */
	void (*removed)(struct policy *p, struct frame_nr frame);

	/*
	 * Choose up to @nr frames, in order of eviction. Each becomes `chosen`: the caller answers
	 * for every one. Return: how many were written to @ret_choices; 0 only when nothing is
	 * queued or held.
	 */
	uint32_t (*choose)(struct policy *p, struct choice *ret_choices, uint32_t nr);
};

/* All of them, NULL at the end; the first is the default. */
extern const struct policy_ops *const policies[];

/* Return: the policy called @name, or NULL. */
const struct policy_ops *policy_find(const char *name);

#endif
