// SPDX-License-Identifier: MIT
/*
 * Random: any frame, each as likely as the others.
 *
 * The control group: it needs no record of use at all, is never systematically wrong (a loop
 * larger than memory, which makes LRU and FIFO miss every time, costs it only its share), and is
 * what a policy must beat to be worth its bookkeeping. Belady: "A study of replacement algorithms
 * for a virtual-storage computer", IBM Systems Journal 5(2), 1966, has it as the first of his
 * classes.
 *
 * The numbers are xorshift64* (Vigna, 2016) from a constant seed: the same references give the same
 * victims. It never holds. Each queued frame is in queued[0 .. nr - 1] once, at its place[].
 */
#include "base/ensure.h"
#include "policy/policies.h"

#define NO_PLACE UINT32_MAX

struct policy {
	uint32_t nr_frames, nr;
	uint64_t random;
	uint32_t *queued;
	uint32_t *place; /* by frame */
};

static size_t random_state_bytes(uint32_t nr_frames)
{
	return sizeof(struct policy) + (size_t)nr_frames * 2 * sizeof(uint32_t);
}

static void random_init(struct policy *p, uint32_t nr_frames, uint32_t max_held)
{
	(void)max_held;
	p->nr_frames = nr_frames;
	p->random = 0x9e3779b97f4a7c15u;
	p->queued = (uint32_t *)(p + 1);
	p->place = p->queued + nr_frames;
	for (uint32_t i = 0; i < nr_frames; i++)
		p->place[i] = NO_PLACE;
}

static void random_insert(struct policy *p, struct frame_nr frame, uint32_t distance)
{
	(void)distance;
	ensure(frame.v < p->nr_frames && p->place[frame.v] == NO_PLACE);
	p->place[frame.v] = p->nr;
	p->queued[p->nr++] = frame.v;
}

static void random_ignore(struct policy *p, struct frame_nr frame)
{
	ensure(frame.v < p->nr_frames);
}

static void random_removed(struct policy *p, struct frame_nr frame)
{
	ensure(frame.v < p->nr_frames);
	uint32_t hole = p->place[frame.v];

	if (hole == NO_PLACE)
		return;
	uint32_t last = p->queued[--p->nr];
	p->queued[hole] = last;
	p->place[last] = hole;
	p->place[frame.v] = NO_PLACE;
}

static uint32_t draw(struct policy *p, uint32_t below)
{
	p->random ^= p->random >> 12;
	p->random ^= p->random << 25;
	p->random ^= p->random >> 27;
	return (uint32_t)((p->random * 0x2545f4914f6cdd1du >> 32) * below >> 32);
}

static uint32_t random_choose(struct policy *p, struct choice *ret_choices, uint32_t nr)
{
	uint32_t n = 0;

	for (; n < nr && p->nr; n++) {
		struct frame_nr frame = {p->queued[draw(p, p->nr)]};

		random_removed(p, frame);
		ret_choices[n] = (struct choice){frame, CHOICE_EVICT};
	}
	return n;
}

const struct policy_ops policy_random = {
    .name = "random",
    .summary = "any page, each as likely as the others",
    .state_bytes = random_state_bytes,
    .init = random_init,
    .insert = random_insert,
    .touched = random_ignore,
    .held = random_ignore,
    .removed = random_removed,
    .choose = random_choose,
};
