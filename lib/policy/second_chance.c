// SPDX-License-Identifier: MIT
/*
 * Second chance: FIFO that asks once more.
 *
 * The textbook's algorithm (Silberschatz, Galvin, Gagne: "Operating System Concepts", 10.4.5.2;
 * Tanenbaum, Bos: "Modern Operating Systems", 3.4.4): the page that came first is looked at; if its
 * reference bit is set, the bit is cleared and the page goes to the end of the queue as if it had
 * just come; if not, it is evicted. As a circle with one hand, which a new page enters just behind
 * the hand, this is Corbato's CLOCK ("A paging experiment with the Multics system", 1968).
 *
 * The bit is the page's mapping. With max_held = nr_frames, which is what hardware bits amount to,
 * this is the textbook's algorithm exactly; live, held pages are few, and hand.h says what then.
 */
#include "policy/hand.h"
#include "policy/policies.h"

struct policy {
	struct hand hand;
};

static size_t second_chance_state_bytes(uint32_t nr_frames)
{
	return hand_state_bytes(sizeof(struct policy), nr_frames);
}

static void second_chance_init(struct policy *p, uint32_t nr_frames, uint32_t max_held)
{
	hand_init(&p->hand, p + 1, nr_frames, max_held);
}

static void second_chance_insert(struct policy *p, struct frame_nr frame, uint32_t distance)
{
	(void)distance;
	hand_insert(&p->hand, frame, p->hand.at);
}

static void second_chance_touched(struct policy *p, struct frame_nr frame)
{
	hand_touched(&p->hand, frame);
}

static void second_chance_held(struct policy *p, struct frame_nr frame)
{
	hand_held(&p->hand, frame);
}

static void second_chance_removed(struct policy *p, struct frame_nr frame)
{
	hand_removed(&p->hand, frame);
}

static uint32_t second_chance_choose(struct policy *p, struct choice *ret_choices, uint32_t nr)
{
	return hand_choose(&p->hand, ret_choices, nr);
}

const struct policy_ops policy_second_chance = {
    .name = "second-chance",
    .summary = "the textbook's: FIFO that passes over what was used",
    .state_bytes = second_chance_state_bytes,
    .init = second_chance_init,
    .set_max_held = hand_set_max_held,
    .insert = second_chance_insert,
    .touched = second_chance_touched,
    .held = second_chance_held,
    .removed = second_chance_removed,
    .choose = second_chance_choose,
};
