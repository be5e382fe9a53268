// SPDX-License-Identifier: MIT
/*
 * Stack distances; see stack.h.
 *
 * Each reference takes the next slot of time. A bit says that the page referenced in that slot was
 * not referenced since; so the distance of a reference is the number of bits at and after the
 * slot of the page's last one. Bits are counted by words of 64, words by a Fenwick tree (Fenwick:
 * "A new data structure for cumulative frequency tables", Software: Practice and Experience 24(3),
 * 1994; the use for stack distances is Bennett and Kruskal's, 1975, and Almasi, Cascaval, Padua's,
 * 2002): O(log n) for a reference. The word being filled is added to the tree when it is full.
 *
 * When time has run out, the live slots are moved together; time has four slots for every page, so
 * that at least three quarters are free then, and this costs O(1) for each reference.
 */
#include "replay/stack.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MIN_PAGES      1024u
#define SLOTS_PER_PAGE 4u
#define WORD           64u
#define NO_SLOT        UINT32_MAX
#define AHEAD          8u

void stack_fini(struct stack *s)
{
	free(s->live);
	free(s->tree);
	free(s->page_at);
	free(s->last);
	free(s->histogram);
	*s = (struct stack){0};
}

/* Words full of bits from slot 0 on: the tree of @nr bits moved together. */
static void tree_build(struct stack *s, const uint64_t *live, uint32_t nr_words)
{
	for (uint32_t i = 1; i <= nr_words; i++)
		s->tree[i] = 0;
	for (uint32_t i = 1; i <= nr_words; i++) {
		uint32_t parent = i + (i & -i);

		s->tree[i] += (uint32_t)__builtin_popcountll(live[i - 1]);
		if (parent <= nr_words)
			s->tree[parent] += s->tree[i];
	}
}

/* Move the live slots to the front. */
static void compact(struct stack *s)
{
	uint32_t to = 0;

	for (uint32_t w = 0; w < s->nr_slots / WORD; w++) {
		uint64_t bits = s->live[w];

		for (; bits; bits &= bits - 1) {
			uint32_t page = s->page_at[w * WORD + (uint32_t)__builtin_ctzll(bits)];

			s->page_at[to] = page;
			s->last[page] = to++;
		}
	}
	s->now = to;
	memset(s->live, 0, s->nr_slots / 8);
	memset(s->live, 0xff, to / WORD * 8);
	if (to % WORD)
		s->live[to / WORD] = (1ull << to % WORD) - 1;
	/* The word being filled is not in the tree yet. */
	uint64_t partial = s->live[to / WORD];
	s->live[to / WORD] = 0;
	tree_build(s, s->live, s->nr_slots / WORD);
	s->live[to / WORD] = partial;
}

static bool resize(void *array, size_t bytes)
{
	void **at = array;
	void *moved = realloc(*at, bytes);

	if (moved)
		*at = moved;
	return moved;
}

static int make_room(struct stack *s, uint32_t nr_pages)
{
	uint64_t room = MAX(s->room, MIN_PAGES);

	while (room < nr_pages)
		room *= 2;
	if (room == s->room)
		return 0;
	uint64_t nr_slots = room * SLOTS_PER_PAGE;
	if (nr_slots > UINT32_MAX - WORD)
		return -ENOMEM;
	/* One word more: now may be nr_slots for a moment. */
	if (!resize(&s->live, (nr_slots / WORD + 1) * sizeof(*s->live)) ||
	    !resize(&s->tree, (nr_slots / WORD + 2) * sizeof(*s->tree)) ||
	    !resize(&s->page_at, nr_slots * sizeof(*s->page_at)) ||
	    !resize(&s->last, room * sizeof(*s->last)) ||
	    !resize(&s->histogram, (room + 1) * sizeof(*s->histogram)))
		return -ENOMEM;
	memset(s->live + s->nr_slots / WORD, 0,
	    ((nr_slots - s->nr_slots) / WORD + 1) * sizeof(*s->live));
	for (uint64_t i = s->room; i < room; i++) {
		s->last[i] = NO_SLOT;
		s->histogram[i + 1] = 0;
	}
	if (!s->room)
		s->histogram[0] = 0;
	s->room = (uint32_t)room;
	s->nr_slots = (uint32_t)nr_slots;
	compact(s);
	return 0;
}

int stack_init(struct stack *s)
{
	*s = (struct stack){0};
	int err = make_room(s, MIN_PAGES);

	if (err)
		stack_fini(s);
	return err;
}

/* The word that now is leaving belongs into the tree from here on. */
static void word_full(struct stack *s, uint32_t word)
{
	uint32_t nr = (uint32_t)__builtin_popcountll(s->live[word]);

	for (uint32_t i = word + 1; i <= s->nr_slots / WORD; i += i & -i)
		s->tree[i] += nr;
}

/* Take the page's old slot away. Return: its stack distance. */
static uint32_t take_out(struct stack *s, uint32_t slot)
{
	uint32_t word = slot / WORD, before = 0;

	/* Bits before the slot; all pages live have one bit each. */
	before = (uint32_t)__builtin_popcountll(s->live[word] & ((1ull << slot % WORD) - 1));
	for (uint32_t i = word; i; i &= i - 1)
		before += s->tree[i];
	s->live[word] &= ~(1ull << slot % WORD);
	if (word != s->now / WORD)
		for (uint32_t i = word + 1; i <= s->nr_slots / WORD; i += i & -i)
			s->tree[i]--;
	return s->nr_pages - before;
}

static void access_one(struct stack *s, uint32_t page)
{
	uint32_t slot = s->last[page], distance = 0;

	if (slot == NO_SLOT)
		s->nr_pages++;
	else
		distance = take_out(s, slot);
	s->histogram[distance]++;
	s->live[s->now / WORD] |= 1ull << s->now % WORD;
	s->page_at[s->now] = page;
	s->last[page] = s->now++;
	if (s->now % WORD == 0)
		word_full(s, s->now / WORD - 1);
	if (s->now == s->nr_slots)
		compact(s);
}

int stack_access(struct stack *s, const uint32_t *ids, size_t nr, uint32_t nr_pages)
{
	int err = make_room(s, nr_pages);

	if (err)
		return err;
	for (size_t i = 0; i < nr; i++) {
		if (i + AHEAD < nr)
			__builtin_prefetch(&s->last[ids[i + AHEAD]]);
		access_one(s, ids[i]);
	}
	s->nr_refs += nr;
	return 0;
}

void stack_faults(const struct stack *s, uint32_t max_frames, uint64_t *ret_faults)
{
	uint64_t faults = s->nr_refs;

	ret_faults[0] = faults;
	for (uint32_t frames = 1; frames <= max_frames; frames++) {
		if (frames <= s->room)
			faults -= s->histogram[frames];
		ret_faults[frames] = faults;
	}
}
