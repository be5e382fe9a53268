// SPDX-License-Identifier: MIT
/*
 * Readahead: how many pages to read when one must be. Remembers the last few streams; a fault
 * just where a stream was expected to go on doubles its window, from the third on; anything else
 * starts small. A
 * page already mapped never faults, so "where it was expected" is the end of the last window.
 */
#include "pager/internal.h"

#define NR_STREAMS 16u

struct stream {
	uint64_t next;    /* vpn where the stream goes on */
	uint32_t window;  /* pages to read at once; 0: no stream */
	uint32_t length;  /* faults so far */
	uint32_t nr_read; /* pages that the last read brought beyond the one asked for */
	uint32_t used;    /* by clock: the least recently used goes */
};

static struct {
	struct lock lock;                 /* rank LOCK_STATS */
	uint32_t clock;                   /* [lock] */
	struct stream stream[NR_STREAMS]; /* [lock] */
} ra = {.lock = {.rank = LOCK_STATS}};

/* [lock] The stream that goes on at @vpn, or the one to use for a new stream. */
static struct stream *find_stream(uint64_t vpn)
{
	struct stream *oldest = &ra.stream[0];

	for (uint32_t i = 0; i < NR_STREAMS; i++) {
		struct stream *s = &ra.stream[i];

		/* Pages that were there already make it go on a little further up. */
		if (s->window && vpn - s->next < s->window)
			return s;
		if (s->used < oldest->used)
			oldest = s;
	}
	oldest->window = 0;
	return oldest;
}

uint32_t readahead_window(struct vpn vpn)
{
	uint32_t max = MAX(MIN(MAX_WINDOW, pg.frames.nr_bufs / 4), 1u);

	lock_acquire(&ra.lock);
	struct stream *s = find_stream(vpn.v);
	if (s->window) {
		/* The whole last window was walked through: what it read ahead was used. */
		COUNT(&pg.telemetry, readahead_used, s->nr_read);
		/* Two neighbours are no stream yet: a record that crosses a page's end. */
		if (++s->length > 2)
			s->window = MIN(MAX(s->window * 2, 4u), max);
	} else {
		s->window = 1;
		s->length = 1;
	}
	s->nr_read = 0;
	s->next = vpn.v + 1;
	s->used = ++ra.clock;
	uint32_t window = s->window;
	lock_release(&ra.lock);
	return window;
}

void readahead_note(struct vpn vpn, uint32_t nr_read)
{
	lock_acquire(&ra.lock);
	for (uint32_t i = 0; i < NR_STREAMS; i++)
		if (ra.stream[i].window && ra.stream[i].next == vpn.v + 1) {
			ra.stream[i].next = vpn.v + nr_read;
			ra.stream[i].nr_read = nr_read - 1;
			break;
		}
	lock_release(&ra.lock);
}
