// SPDX-License-Identifier: MIT
/* Memories under policies; see sim.h. */
#include "replay/sim.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/ensure.h"

#define NO_FRAME UINT32_MAX

enum frame_flag {
	DIRTY = 1,
	HELD = 2,
};

struct page {
	uint32_t frame;   /* NO_FRAME: not resident */
	uint32_t left_at; /* number of its last eviction, from 1; 0: never evicted */
};

struct sim {
	struct sim_policy policy;
	struct policy *live;
	struct access_policy *accesses;
	struct access_page *records; /* of `accesses` */

	uint32_t nr_frames, nr_used; /* frames are used in order */
	uint32_t *page_in;           /* by frame */
	uint8_t *flags;              /* by frame */
	struct page *pages;
	uint32_t room; /* of pages and records, in pages */

	uint32_t nr_evicted;
	struct sim_counts counts;
	struct front_tlb *tlb;   /* NULL: none */
	const uint64_t *page_of; /* its page numbers */
};

struct sim_policy sim_policy_at(size_t i)
{
	size_t nr = 0;

	for (; policies[nr]; nr++)
		if (nr == i)
			return (struct sim_policy){.live = policies[i]};
	for (size_t j = 0; access_policies[j]; j++)
		if (nr + j == i)
			return (struct sim_policy){.accesses = access_policies[j]};
	return (struct sim_policy){0};
}

struct sim_policy sim_policy_find(const char *name)
{
	return (struct sim_policy){policy_find(name), access_find(name)};
}

const char *sim_policy_name(struct sim_policy policy)
{
	return policy.live ? policy.live->name : policy.accesses->name;
}

const char *sim_policy_summary(struct sim_policy policy)
{
	return policy.live ? policy.live->summary : policy.accesses->summary;
}

void sim_close(struct sim *s)
{
	if (!s)
		return;
	front_tlb_close(s->tlb);
	free(s->live);
	free(s->accesses);
	free(s->records);
	free(s->page_in);
	free(s->flags);
	free(s->pages);
	free(s);
}

static bool open_policy(struct sim *s, uint32_t max_held)
{
	const struct policy_ops *live = s->policy.live;

	if (live) {
		s->live = calloc(1, live->state_bytes(s->nr_frames));
		if (s->live)
			live->init(s->live, s->nr_frames, MIN(max_held, s->nr_frames));
		return s->live;
	}
	s->accesses = calloc(1, s->policy.accesses->state_bytes(s->nr_frames));
	if (s->accesses)
		s->policy.accesses->init(s->accesses, s->nr_frames);
	return s->accesses;
}

struct sim *sim_open(struct sim_policy policy, uint32_t nr_frames, uint32_t max_held)
{
	struct sim *s = calloc(1, sizeof(*s));

	ensure(nr_frames > 0);
	if (!s)
		return NULL;
	s->policy = policy;
	s->nr_frames = nr_frames;
	s->page_in = malloc(nr_frames * sizeof(*s->page_in));
	s->flags = calloc(nr_frames, 1);
	if (!s->page_in || !s->flags || !open_policy(s, max_held)) {
		sim_close(s);
		return NULL;
	}
	for (uint32_t i = 0; i < nr_frames; i++)
		s->page_in[i] = ACCESS_NO_PAGE;
	return s;
}

void sim_set_tlb(struct sim *s, struct front_tlb *tlb)
{
	s->tlb = tlb;
}

void sim_set_pages(struct sim *s, const uint64_t *page_of)
{
	s->page_of = page_of;
}

static int make_room(struct sim *s, uint32_t nr_pages)
{
	uint32_t room = MAX(s->room, 64u);

	if (nr_pages <= s->room)
		return 0;
	while (room < nr_pages)
		room *= 2;
	struct page *pages = realloc(s->pages, room * sizeof(*pages));
	if (!pages)
		return -ENOMEM;
	s->pages = pages;
	if (s->policy.accesses) {
		size_t each = s->policy.accesses->records * sizeof(*s->records);
		struct access_page *records = realloc(s->records, room * each);

		if (!records)
			return -ENOMEM;
		s->records = records;
		memset((char *)records + s->room * each, 0, (room - s->room) * each);
	}
	for (uint32_t i = s->room; i < room; i++)
		pages[i] = (struct page){NO_FRAME, 0};
	s->room = room;
	return 0;
}

/* The page in @frame goes. */
static void evict(struct sim *s, uint32_t frame, struct sim_step *step)
{
	uint32_t page = s->page_in[frame];

	if (UNLIKELY(s->tlb))
		front_tlb_drop(s->tlb, s->page_of[page]);
	step->victim = page;
	step->is_victim_dirty = s->flags[frame] & DIRTY;
	s->counts.writebacks += step->is_victim_dirty;
	s->pages[page] = (struct page){NO_FRAME, ++s->nr_evicted};
	s->page_in[frame] = ACCESS_NO_PAGE;
	s->flags[frame] = 0;
}

/* Let the policy hold until it evicts. Return: the frame that is free now. */
static uint32_t choose(struct sim *s, struct sim_step *step)
{
	struct choice c;

	for (;;) {
		uint32_t nr = s->policy.live->choose(s->live, &c, 1);

		ensure(nr == 1); /* every frame is in use and queued or held */
		if (c.what == CHOICE_EVICT)
			break;
		if (step->nr_held < SIM_MAX_HELD_SHOWN)
			step->held[step->nr_held] = s->page_in[c.frame.v];
		step->nr_held++;
		if (UNLIKELY(s->tlb))
			front_tlb_drop(s->tlb, s->page_of[s->page_in[c.frame.v]]);
		s->flags[c.frame.v] |= HELD;
		s->policy.live->held(s->live, c.frame);
	}
	evict(s, c.frame.v, step);
	s->policy.live->removed(s->live, c.frame);
	return c.frame.v;
}

/* Return: the frame of @page, where it was or is now. */
static uint32_t reference_live(struct sim *s, uint32_t page, struct sim_step *step)
{
	struct page *at = &s->pages[page];
	uint32_t frame = at->frame;

	if (LIKELY(frame != NO_FRAME)) {
		if (s->flags[frame] & HELD) {
			s->flags[frame] &= (uint8_t)~HELD;
			s->policy.live->touched(s->live, (struct frame_nr){frame});
			step->is_refill = true;
			s->counts.refills++;
		}
		return frame;
	}
	step->is_fault = true;
	frame = s->nr_used < s->nr_frames ? s->nr_used++ : choose(s, step);
	uint32_t distance = at->left_at ? s->nr_evicted - at->left_at : DISTANCE_NEVER;
	s->policy.live->insert(s->live, (struct frame_nr){frame}, distance);
	return frame;
}

static uint32_t reference_access(
    struct sim *s, uint32_t page, uint64_t next_use, struct sim_step *step)
{
	uint32_t victim, frame;

	if (s->policy.accesses->access(
	        s->accesses, s->records, page, s->counts.refs, next_use, &victim))
		return s->pages[page].frame;
	step->is_fault = true;
	if (victim == ACCESS_NO_PAGE) {
		ensure(s->nr_used < s->nr_frames);
		return s->nr_used++;
	}
	frame = s->pages[victim].frame;
	evict(s, frame, step);
	return frame;
}

int sim_run(struct sim *s, const uint32_t *refs, size_t nr, uint32_t nr_pages,
    const uint64_t *next_use, struct sim_step *ret_step)
{
	struct sim_step step = {.victim = ACCESS_NO_PAGE};
	int err = make_room(s, nr_pages);

	if (err)
		return err;
	for (size_t i = 0; i < nr; i++) {
		uint32_t page = refs[i] >> 1;

		step.is_fault = step.is_refill = step.is_victim_dirty = false;
		step.victim = ACCESS_NO_PAGE;
		step.nr_held = 0;
		uint32_t frame = s->live ? reference_live(s, page, &step)
		                         : reference_access(s, page,
		                               next_use ? next_use[i] : ACCESS_NEVER, &step);
		if (step.is_fault) {
			s->counts.faults++;
			s->counts.first += !s->pages[page].left_at;
			s->pages[page].frame = frame;
			s->page_in[frame] = page;
		}
		/* After the memory has made room: its victim has left the TLB before. */
		if (UNLIKELY(s->tlb)) {
			bool is_hit = front_tlb_access(s->tlb, s->page_of[page]);

			s->counts.tlb_hits += is_hit;
			s->counts.tlb_misses += !is_hit;
		}
		s->flags[frame] |= refs[i] & 1 ? DIRTY : 0;
		s->counts.refs++;
		step.frame = frame;
	}
	if (ret_step)
		*ret_step = step;
	return 0;
}

const struct sim_counts *sim_counts(const struct sim *s)
{
	return &s->counts;
}

uint32_t sim_page_in(const struct sim *s, uint32_t frame)
{
	return s->page_in[frame];
}

bool sim_is_held(const struct sim *s, uint32_t frame)
{
	return s->flags[frame] & HELD;
}
