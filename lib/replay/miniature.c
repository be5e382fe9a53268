// SPDX-License-Identifier: MIT
/* Miniature simulation; see miniature.h. */
#include "replay/miniature.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define NOT_SAMPLED UINT32_MAX
#define NOT_YET     (UINT32_MAX - 1)
#define RUN_REFS    65536u

int next_uses(const uint32_t *refs, size_t nr, uint32_t nr_pages, uint64_t *ret_next_use)
{
	uint64_t *next = malloc(MAX(nr_pages, 1u) * sizeof(*next));

	if (!next)
		return -ENOMEM;
	for (uint32_t i = 0; i < nr_pages; i++)
		next[i] = ACCESS_NEVER;
	for (size_t i = nr; i-- > 0;) {
		ret_next_use[i] = next[refs[i] >> 1];
		next[refs[i] >> 1] = i;
	}
	free(next);
	return 0;
}

void sample_fini(struct sample *s)
{
	free(s->refs);
	free(s->next_use);
	*s = (struct sample){0};
}

/* Fill in refs, pages numbered anew by @number. */
static void filter(struct sample *s, const uint32_t *refs, size_t nr, uint32_t *number)
{
	for (size_t i = 0; i < nr; i++) {
		uint32_t *n = &number[refs[i] >> 1];

		if (*n == NOT_SAMPLED)
			continue;
		if (*n == NOT_YET)
			*n = s->nr_pages++;
		s->refs[s->nr++] = sim_ref(*n, refs[i] & 1);
	}
}

int sample_take(
    struct sample *s, const uint32_t *refs, size_t nr, const struct page_map *map, double rate)
{
	uint32_t *number = malloc(MAX(map->nr, 1u) * sizeof(*number));
	/* 2^64 itself does not fit. */
	uint64_t below = rate >= 1 ? UINT64_MAX : (uint64_t)(rate * 18446744073709549568.0);
	size_t nr_sampled = 0;

	*s = (struct sample){.rate = MIN(rate, 1.0), .nr_all = nr};
	if (!number)
		return -ENOMEM;
	for (uint32_t i = 0; i < map->nr; i++)
		number[i] = rate >= 1 || page_hash(map->page_of[i]) < below ? NOT_YET : NOT_SAMPLED;
	for (size_t i = 0; i < nr; i++)
		nr_sampled += number[refs[i] >> 1] != NOT_SAMPLED;
	s->refs = malloc(MAX(nr_sampled, (size_t)1) * sizeof(*s->refs));
	s->next_use = malloc(MAX(nr_sampled, (size_t)1) * sizeof(*s->next_use));
	if (s->refs && s->next_use)
		filter(s, refs, nr, number);
	free(number);
	if (!s->refs || !s->next_use || next_uses(s->refs, s->nr, s->nr_pages, s->next_use)) {
		sample_fini(s);
		return -ENOMEM;
	}
	return 0;
}

static uint64_t scaled(uint64_t count, double rate)
{
	return (uint64_t)((double)count / rate + 0.5);
}

int sample_run(const struct sample *s, struct sim_policy policy, uint32_t nr_frames, double held,
    struct sim_counts *ret_counts)
{
	double small = (double)nr_frames * s->rate;
	uint32_t frames = small < 1 ? 1 : (uint32_t)(small + 0.5);
	uint32_t max_held = MAX((uint32_t)((double)frames * held), held > 0 ? 1u : 0u);
	struct sim *sim = sim_open(policy, frames, max_held);
	int err = sim ? 0 : -ENOMEM;

	for (size_t i = 0; !err && i < s->nr; i += RUN_REFS)
		err = sim_run(sim, s->refs + i, MIN(s->nr - i, (size_t)RUN_REFS), s->nr_pages,
		    s->next_use + i, NULL);
	if (!err) {
		*ret_counts = *sim_counts(sim);
		ret_counts->refs = s->nr_all;
		ret_counts->faults = MIN(scaled(ret_counts->faults, s->rate), s->nr_all);
		ret_counts->first = scaled(ret_counts->first, s->rate);
		ret_counts->writebacks = scaled(ret_counts->writebacks, s->rate);
		ret_counts->refills = scaled(ret_counts->refills, s->rate);
	}
	sim_close(sim);
	return err;
}
