// SPDX-License-Identifier: MIT
/*
 * Readahead: how many pages to read when one must be. Remembers the last few streams; a fault
 * just where a stream was expected to go on doubles its window, anything else starts small. A
 * page already mapped never faults, so "where it was expected" is the end of the last window.
 */
#include "pager/internal.h"

#define NR_STREAMS 16u

static struct {
	struct lock lock; /* rank LOCK_STATS */
	uint32_t clock;   /* [lock] */
	struct stream {
		uint64_t next;   /* vpn where the stream goes on */
		uint32_t window; /* pages read last time */
		uint32_t used;   /* by clock: least recently used goes */
	} stream[NR_STREAMS];    /* [lock] */
} ra = {.lock = {.rank = LOCK_STATS}};

uint32_t readahead_window(struct vpn vpn)
{
	uint32_t oldest = 0, max = MAX(MIN(MAX_WINDOW, pg.frames.nr_bufs / 4), 1u);
	struct stream *s = NULL;

	lock_acquire(&ra.lock);
	for (uint32_t i = 0; i < NR_STREAMS && !s; i++) {
		if (ra.stream[i].next == vpn.v && ra.stream[i].window)
			s = &ra.stream[i];
		else if (ra.stream[i].used < ra.stream[oldest].used)
			oldest = i;
	}
	if (s) {
		/* The whole last window was walked through: what it read ahead was used. */
		COUNT(&pg.telemetry, readahead_used, s->window - 1);
		s->window = MIN(MAX(s->window * 2, 4u), max);
	} else {
		s = &ra.stream[oldest];
		s->window = 1;
	}
	s->next = vpn.v + s->window;
	s->used = ++ra.clock;
	uint32_t window = s->window;
	lock_release(&ra.lock);
	return window;
}
