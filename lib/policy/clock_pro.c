// SPDX-License-Identifier: MIT
/*
 * CLOCK-Pro.
 *
 * Jiang, Chen, Zhang: "CLOCK-Pro: An Effective Improvement of the CLOCK Replacement", USENIX ATC
 * 2005: LIRS (lirs.c) with one bit a page. Pages are hot or cold by the distance between their last
 * two uses. A cold page, resident or evicted, is in its test period until HAND_hot has passed its
 * place: then it was not used for longer than the hot page that was not used longest. Used in it,
 * it becomes hot, and the target number of cold pages grows by one; a test period that ends without
 * a use lowers it by one. So a program with weak locality (a loop larger than memory) gets few cold
 * frames, which protects the hot ones, and one that moves on to other pages gets many.
 *
 *     HAND_cold  at the oldest cold page. Used: hot, if it is in its test period, else cold in a
 *                new one; not used: evicted, and remembered while its test period lasts
 *     HAND_hot   while more are hot than the target leaves, at the oldest hot page. Used: it goes
 *                round; not used: cold, out of test
 *     HAND_test  ends the oldest test period of an evicted page when more than nr_frames are
 *                remembered
 *
 * The three share one circle in the paper. Here a page's place in it is the number of the move that
 * put it there (`placed`), and each hand has a list in that order. Evicted pages are remembered by
 * the number of their eviction, for as many evictions as there are frames: what comes back says how
 * many there were since. (Live that number is rounded, so one of its neighbours is asked.)
 *
 * The bit is the mapping: pages are held, oldest first, up to half of max_held in each list; one
 * that is touched keeps its place. A page that a hand finds mapped and never held counts as not
 * used: with max_held = nr_frames, that is one whose only uses were before the next eviction.
 */
#include "base/ensure.h"
#include "policy/policies.h"
#include "policy/watch.h"

enum list {
	COLD,
	HOT,
};

/* An eviction. */
struct gone {
	uint32_t placed;
	bool in_test, is_back;
};

struct policy {
	struct watch w;
	uint32_t cold_target; /* 1 .. nr_frames */
	uint32_t nr_placed;
	uint32_t hot_hand; /* the place that it has passed */
	uint64_t nr_evicted;
	uint64_t test_hand;   /* number of the last eviction that it has passed */
	struct gone *history; /* the last nr_frames evictions, by number % nr_frames */
	uint32_t *placed;     /* by frame */
	uint8_t *in_test;     /* by frame */
};

static size_t clock_pro_state_bytes(uint32_t nr_frames)
{
	return watch_state_bytes(sizeof(struct policy), nr_frames) +
	       nr_frames * (sizeof(struct gone) + sizeof(uint32_t) + 1);
}

static void clock_pro_init(struct policy *p, uint32_t nr_frames, uint32_t max_held)
{
	p->history = (struct gone *)(p + 1);
	p->placed = (uint32_t *)(p->history + nr_frames);
	watch_init(&p->w, p->placed + nr_frames, nr_frames, max_held);
	p->in_test = p->w.list_of + nr_frames;
	p->cold_target = MAX(nr_frames / 2, 1u);
}

static void more_cold(struct policy *p)
{
	p->cold_target = MIN(p->cold_target + 1, p->w.nr_frames);
}

static void less_cold(struct policy *p)
{
	p->cold_target = MAX(p->cold_target - 1, 1u);
}

/* At the head of the circle: hot, or cold in its test period. */
static void place(struct policy *p, uint32_t f, enum list list)
{
	p->placed[f] = ++p->nr_placed;
	/* The number wraps: a hand that does not move is not to be overtaken. */
	if (p->nr_placed - p->hot_hand > 1u << 30)
		p->hot_hand = p->nr_placed - (1u << 30);
	p->in_test[f] = list == COLD;
	watch_put(&p->w, (struct frame_nr){f}, list);
}

static bool hot_hand_has_passed(const struct policy *p, uint32_t placed)
{
	return (int32_t)(placed - p->hot_hand) <= 0;
}

/* Whether the cold page in @f is in its test period; that is over if HAND_hot has passed. */
static bool test_goes_on(struct policy *p, uint32_t f)
{
	if (p->in_test[f] && hot_hand_has_passed(p, p->placed[f])) {
		p->in_test[f] = false;
		less_cold(p);
	}
	return p->in_test[f];
}

/* HAND_test passes what HAND_hot has passed, and the oldest evictions before the last @max. */
static void run_test_hand(struct policy *p, uint32_t max)
{
	while (p->test_hand != p->nr_evicted) {
		struct gone *g = &p->history[(p->test_hand + 1) % p->w.nr_frames];
		bool counts = g->in_test && !g->is_back;
		bool is_over = p->nr_evicted - p->test_hand > max;

		if (counts && !is_over && !hot_hand_has_passed(p, g->placed))
			break;
		if (counts)
			less_cold(p);
		p->test_hand++;
	}
}

static void clock_pro_insert(struct policy *p, struct frame_nr frame, uint32_t distance)
{
	ensure(frame.v < p->w.nr_frames);
	bool is_hot = false;

	if (watch_is_chosen(&p->w, frame)) { /* it was busy: that is a use */
		is_hot = p->w.list_of[frame.v] == HOT || p->in_test[frame.v];
	} else if (distance < p->nr_evicted - p->test_hand) {
		struct gone *g = &p->history[(p->nr_evicted - distance) % p->w.nr_frames];

		is_hot = g->in_test;
		g->is_back = true;
		if (is_hot)
			more_cold(p);
	}
	place(p, frame.v, is_hot ? HOT : COLD);
}

static void clock_pro_touched(struct policy *p, struct frame_nr frame)
{
	if (watch_is_held(&p->w, frame))
		watch_use(&p->w, frame);
}

static void clock_pro_held(struct policy *p, struct frame_nr frame)
{
	watch_held(&p->w, frame);
}

static void clock_pro_removed(struct policy *p, struct frame_nr frame)
{
	ensure(frame.v < p->w.nr_frames);
	if (watch_is_evicted(&p->w, frame)) {
		bool in_test = test_goes_on(p, frame.v);

		run_test_hand(p, p->w.nr_frames - 1);
		p->history[++p->nr_evicted % p->w.nr_frames] =
		    (struct gone){p->placed[frame.v], in_test, false};
	}
	watch_removed(&p->w, frame);
}

/* HAND_hot goes on until it has made a page cold. There is a hot page. */
static void run_hot_hand(struct policy *p)
{
	while (watch_is_oldest_used(&p->w, HOT)) {
		uint32_t f = p->w.held[HOT].head;

		p->hot_hand = p->placed[f];
		place(p, f, HOT);
	}
	uint32_t f = p->w.held[HOT].nr ? p->w.held[HOT].head : p->w.list[HOT].head;

	p->hot_hand = p->placed[f];
	p->in_test[f] = false;
	if (p->w.held[HOT].nr)
		watch_move_held(&p->w, HOT, COLD);
	else
		watch_move(&p->w, HOT, COLD);
	run_test_hand(p, p->w.nr_frames);
}

/* HAND_cold passes the used pages. */
static void run_cold_hand(struct policy *p)
{
	while (watch_is_oldest_used(&p->w, COLD)) {
		uint32_t f = p->w.held[COLD].head;
		bool is_hot = test_goes_on(p, f);

		if (is_hot)
			more_cold(p);
		place(p, f, is_hot ? HOT : COLD);
		while (watch_nr_of(&p->w, HOT) > p->w.nr_frames - p->cold_target)
			run_hot_hand(p);
	}
}

/* Up to half of max_held; all of them, if all frames may be held. */
static bool hot_may_be_held(const struct policy *p)
{
	return p->w.max_held == p->w.nr_frames || p->w.nr_held_of[HOT] < p->w.max_held / 2;
}

static struct watch_next next(struct policy *p)
{
	bool has_room = p->w.nr_held + p->w.nr_chosen_hold < p->w.max_held;
	bool is_late = p->w.nr_fruitless >= 4 * p->w.max_held;

	while (watch_nr_of(&p->w, HOT) > p->w.nr_frames - p->cold_target)
		run_hot_hand(p);
	run_cold_hand(p);
	if (p->w.list[HOT].nr && has_room && !is_late && hot_may_be_held(p))
		return (struct watch_next){.list = HOT};
	if (!watch_nr_of(&p->w, COLD) && watch_nr_of(&p->w, HOT))
		run_hot_hand(p);
	return (struct watch_next){.list = watch_nr_of(&p->w, COLD) ? COLD : WATCH_LISTS};
}

static uint32_t clock_pro_choose(struct policy *p, struct choice *ret_choices, uint32_t nr)
{
	return watch_choose(&p->w, p, next, ret_choices, nr);
}

const struct policy_ops policy_clock_pro = {
    .name = "clock-pro",
    .summary = "CLOCK-Pro: hot and cold by reuse distance, as LIRS",
    .state_bytes = clock_pro_state_bytes,
    .init = clock_pro_init,
    .set_max_held = watch_set_max_held,
    .insert = clock_pro_insert,
    .touched = clock_pro_touched,
    .held = clock_pro_held,
    .removed = clock_pro_removed,
    .choose = clock_pro_choose,
};
