// SPDX-License-Identifier: MIT
/*
 * Readahead: how many pages to read when one must be, and what to read before it is touched.
 *
 * The last few streams are remembered, each with its step: one page up or down, or several (a
 * column of a matrix). Two faults near each other suggest a step; from the third just where the
 * stream was expected on, its window doubles. Anything else reads one page. A page already mapped
 * never faults, so "where it was expected" is the end of the last window. Lone faults take about
 * half of the places at most, so that they cannot push out what is a stream.
 *
 *     | read by the fault | ahead ... | ...      |
 *     ^ fault             ^ trigger   ^ second   ^ next
 *
 * Once the window is long, the one behind it is read by a thread of its own while the program walks
 * through the first: all its pages are mapped but the foremost, the trigger, which stays HELD. Its
 * touch, a minor fault, says that the stream goes on, and the next window is asked for. A stream
 * that is slower than the disk so takes one minor fault a window and waits for nothing.
 *
 * Behind the longest windows there are two, so that the disk reads one while the thread maps the
 * other, a part as soon as it is there. A program that gets there before them does not read itself:
 * two threads in one stream cost more than twice the CPU time of one. It waits, and as it has
 * nothing else to do, makes room for the thread (fault.c).
 *
 * Windows shrink where their pages go unused. A stream's halves when it comes to a page that was
 * read for it and has left again, or for which there was no room. And each 16 MiB has a largest
 * window, which halves while more pages are read there for nothing than for something, and
 * doubles while it is the other way round: where streams break off, half of their last windows, and
 * all that is ahead.
 *
 * Without a stream there may be records that cross a page's end, or that end in a header: who
 * touches the one page touches its neighbour a moment later. Where that was so after half of the
 * lone faults at such a place in a page, in the same 16 MiB, the neighbour is read along and mapped
 * at once. (What is read for nothing takes the place of another page, and is some half of a fault.)
 * What reads alone votes; of the faults that would read both some read alone, to see how it is now.
 */
#include "pager/internal.h"

#include <sys/syscall.h>
#include <time.h>

#include "base/sys.h"
#include "base/thread.h"

#define NR_STREAMS    32u
#define NR_REQUESTS   8u
#define NR_ANNOUNCED  8u
#define MAX_FRUITLESS 8u     /* windows of what is announced; guess */
#define MAX_SKIPPED   65536u /* pages that are there, or nowhere, before streams are looked after */
#define GATE_PAUSE_NS 200000 /* guess */
#define AHEAD_WINDOW  16u    /* shorter windows are not worth a wake-up; guess */
#define MAX_STEP      16     /* pages; further apart is no stream: guess */

#define STRETCH      4096u /* pages that are judged alike */
#define NR_STRETCHES 512u  /* 8 GiB without two of them sharing one */
#define MIN_LARGEST  4u    /* pages; what a stream begins with */
#define NARROWER     (-2)  /* more used than not, in largest windows: to halve it ... */
#define WIDER        16    /* ... and to double it; guesses */
#define NR_PARTS     16u   /* of a page, by where the touch was */
#define FOLLOWED     1     /* a lone fault by one on its neighbour ... */
#define NOT_FOLLOWED (-1)  /* ... or not; guess */
#define SURE         6
#define MAX_SCORE    16
#define TRIAL_EVERY  8u /* guess */

struct stream {
	uint64_t trigger; /* vpn where the stream is known to go on; next, if nothing is ahead */
	uint64_t second;  /* behind the window there; next, if one only is ahead */
	uint64_t next;    /* vpn behind all that was asked for */
	uint64_t walked;  /* the trigger before; what is ahead may still be being read */
	uint32_t window;  /* pages to read at once; 0: no stream */
	int32_t delta;    /* pages from one touch to the next; 0: one fault only so far, at next */
	uint32_t length;  /* faults so far */
	uint32_t nr_read; /* pages that the last read brought beyond the one asked for */
	uint32_t nr_ahead[2]; /* pages read from trigger on, and from second, as far as known */
	uint32_t used;        /* by clock: the least recently used goes */
	uint8_t left_out; /* of one fault: absent neighbours, NEAR_*, if it was read alone ... */
	uint8_t part;     /* ... and where in its page it was */
	int8_t beside;    /* of one fault: step to the neighbour that was read along, or 0 */
	bool is_write;
};

struct request {
	struct vpn vpn;
	struct window window;
	bool is_write;
	uint32_t nr_paged_out; /* when it was wanted */
};

/* MADV_WILLNEED: what is in swap of [vpn, end), nr_left pages at most. */
struct announcement {
	struct vpn vpn, end;
	uint32_t nr_left;  /* 0: it is over */
	uint32_t nr_tries; /* that may bring nothing */
};

static struct {
	struct lock lock;                 /* rank LOCK_STATS; in the gate, signals blocked */
	uint32_t clock;                   /* [lock] */
	struct stream stream[NR_STREAMS]; /* [lock] */

	uint8_t halvings[NR_STRETCHES]; /* [lock] of the largest window there */
	int16_t credit[NR_STRETCHES];   /* [lock] pages used and wasted since */

	uint32_t nr_lone; /* [lock] faults of no stream */
	/* [lock] scores: followed by the page below, above */
	int8_t followed[NR_STRETCHES][NR_PARTS][2];

	struct request request[NR_REQUESTS]; /* [lock] a ring, from `first` on */
	uint32_t first, nr_requests;         /* [lock] */
	struct request current; /* [lock] which the thread has taken; window.nr 0: none */
	/* [lock] likewise; the first is moved on by the thread only */
	struct announcement announced[NR_ANNOUNCED];
	uint32_t first_announced, nr_announced;
	_Atomic bool has_thread;
	struct event wanted;
} ra = {.lock = {.rank = LOCK_STATS}};

/* Steps from the stream's trigger to @vpn; INT64_MIN if it is not on its way. */
static int64_t steps_to(const struct stream *s, uint64_t vpn)
{
	int64_t distance = (int64_t)(vpn - s->trigger);

	return distance % s->delta ? INT64_MIN : distance / s->delta;
}

static uint32_t stretch_of(uint64_t vpn)
{
	return vpn / STRETCH % NR_STRETCHES;
}

static int8_t *score_locked(uint64_t vpn, uint8_t part, bool is_above)
{
	return &ra.followed[stretch_of(vpn)][part][is_above];
}

static void vote_locked(int8_t *score, int points)
{
	*score = (int8_t)MAX(MIN(*score + points, MAX_SCORE), 0);
}

/* [lock] A lone fault at @vpn, whose neighbours @near are absent too. Return: the step to the one
 * to read along, or 0: then it votes. */
static int32_t choose_neighbour_locked(struct stream *s, uint64_t vpn, uint8_t part, unsigned near)
{
	bool is_trial = is_sample(++ra.nr_lone, TRIAL_EVERY);
	int best = SURE - 1;
	int32_t step = 0;

	for (int above = 0; above < 2 && !is_trial; above++) {
		int score = *score_locked(vpn, part, above);

		if (near >> above & 1 && score > best) {
			best = score;
			step = above ? 1 : -1;
		}
	}
	for (int above = 0; above < 2 && !step; above++)
		if (near >> above & 1)
			vote_locked(score_locked(vpn, part, above), NOT_FOLLOWED);
	s->left_out = step ? 0 : (uint8_t)near;
	s->part = part;
	return step;
}

/* [lock] The fault behind the first of @s was @step away from it. */
static void note_followed_locked(const struct stream *s, int64_t step)
{
	bool is_above = step > 0;

	if ((step == 1 || step == -1) && s->left_out >> is_above & 1)
		vote_locked(score_locked(s->next, s->part, is_above), FOLLOWED - NOT_FOLLOWED);
}

/* [lock] The largest window for streams at @vpn. */
static uint32_t largest_locked(uint64_t vpn)
{
	return MAX(readahead_max_window() >> ra.halvings[stretch_of(vpn)], MIN_LARGEST);
}

/* [lock] Of pages that were read near @vpn before they were wanted, so many were, and so many were
 * not. */
static void judge_locked(uint64_t vpn, uint32_t nr_used, uint32_t nr_wasted)
{
	uint8_t *halvings = &ra.halvings[stretch_of(vpn)];
	int16_t *credit = &ra.credit[stretch_of(vpn)];
	int32_t largest = (int32_t)largest_locked(vpn);
	int32_t now = *credit + (int32_t)nr_used - (int32_t)nr_wasted;

	if (now < largest * NARROWER && largest > (int32_t)MIN_LARGEST) {
		++*halvings;
		now = 0;
	} else if (now > largest * WIDER && *halvings) {
		--*halvings;
		now = 0;
	}
	*credit = (int16_t)MAX(MIN(now, largest * WIDER), largest * NARROWER);
}

/* [lock] @s is forgotten. It broke off somewhere in its last window, if there are not just too many
 * of them. */
static void stream_end_locked(struct stream *s)
{
	if (s->window && s->length > 2 && ra.clock - s->used > 2 * NR_STREAMS)
		judge_locked(s->trigger, s->nr_read / 2,
		    (s->nr_read + 1) / 2 + s->nr_ahead[0] + s->nr_ahead[1]);
	s->window = 0;
}

/* [lock] Whether @s goes on at @vpn: where expected, or, since pages that were there already do not
 * fault, a little further. A stream of one fault takes its step from the second. */
static bool goes_on_locked(struct stream *s, uint64_t vpn)
{
	if (!s->window)
		return false;
	if (!s->delta) {
		int64_t distance = (int64_t)(vpn - s->next);

		if (!distance || distance > MAX_STEP || distance < -MAX_STEP ||
		    (s->beside && distance != s->beside))
			return false;
		note_followed_locked(s, distance);
		s->delta = (int32_t)distance;
		return true;
	}
	int64_t steps = steps_to(s, vpn), asked = (int64_t)(s->next - s->trigger) / s->delta;
	/* A hole: there was no room for all that was asked for, or it has left again. */
	int64_t walked = s->length > 2 ? (int64_t)(s->trigger - s->walked) / s->delta : 0;
	return steps >= -walked && steps < asked + s->window;
}

/* [lock] The stream that goes on at @vpn, or the one to use for a new stream, window 0. Those with
 * a known step come first: two streams may pass near each other. */
static struct stream *find_stream_locked(uint64_t vpn)
{
	struct stream *oldest = NULL, *oldest_lone = NULL;
	uint32_t nr_lone = 0;

	for (uint32_t known = 2; known-- > 0;)
		for (uint32_t i = 0; i < NR_STREAMS; i++) {
			struct stream *s = &ra.stream[i];

			if (!!s->delta != known)
				continue;
			if (goes_on_locked(s, vpn))
				return s;
			if (!oldest || s->used < oldest->used)
				oldest = s;
			if (s->length > 2)
				continue;
			nr_lone++;
			if (!oldest_lone || s->used < oldest_lone->used)
				oldest_lone = s;
		}
	struct stream *s = nr_lone > NR_STREAMS / 2 ? oldest_lone : oldest;
	stream_end_locked(s);
	return s;
}

/* With little RAM, fewer pages: there may be several streams, with two windows each. */
uint32_t readahead_max_window(void)
{
	uint32_t nr = pg.frames.nr_bufs;

	return MAX(MAX(MIN(nr / 4, MAX_WINDOW / 4), MIN(nr / 16, MAX_WINDOW)), 1u);
}

struct window readahead_window(const struct touch *t, bool is_scan, unsigned near)
{
	const struct vpn vpn = t->vpn;
	int32_t step = 0;

	lock_acquire(&ra.lock);
	struct stream *s = find_stream_locked(vpn.v);
	int64_t steps = s->window && s->length > 2 ? steps_to(s, vpn.v) : 0;
	if (steps < 0) {
		/* What is behind the hole is there, or being read. */
		struct window hole = {.nr = MIN((uint32_t)-steps, s->window), .delta = s->delta};

		s->window = MAX(s->window / 2, MIN_LARGEST);
		s->used = ++ra.clock;
		lock_release(&ra.lock);
		return hole;
	}
	if (s->window) {
		/* The whole last window was walked through: what it read ahead was used. */
		COUNT(&pg.telemetry, readahead_used, s->nr_read);
		bool is_behind = s->delta && steps >= steps_to(s, s->second);

		judge_locked(vpn.v, s->nr_read, s->nr_ahead[0] + (is_behind ? s->nr_ahead[1] : 0));
		/* Two neighbours are no stream yet: a record that crosses a page's end. */
		if (s->nr_ahead[0]) /* it was there, and left again */
			s->window = MAX(s->window / 2, MIN_LARGEST);
		else if (++s->length > 2)
			s->window = MIN(MAX(s->window * 2, MIN_LARGEST), largest_locked(vpn.v));
	} else {
		const uint8_t part = t->offset / (PAGE_BYTES / NR_PARTS);

		step = is_scan ? 0 : choose_neighbour_locked(s, vpn.v, part, near);
		s->trigger = vpn.v;
		s->window = 1;
		s->length = step ? 2 : 1; /* a touch just behind both is the third */
		s->delta = 0;
		s->beside = (int8_t)step;
	}
	if (UNLIKELY(is_scan) && s->length <= 2) {
		s->window = readahead_max_window();
		s->length = 3;
		s->delta = s->delta ? s->delta : 1;
	}
	s->nr_read = s->nr_ahead[0] = s->nr_ahead[1] = 0;
	s->is_write = t->is_write;
	s->walked = s->trigger;
	/* Behind the neighbour, if there is one to read: a stream would go on there. */
	s->trigger = s->second = s->next = vpn.v + (uint64_t)(int64_t)(s->delta + step);
	s->used = ++ra.clock;
	struct window window = {.nr = s->window, .delta = s->delta ? s->delta : 1};
	lock_release(&ra.lock);
	return step ? (struct window){.nr = 2, .delta = step, .is_pair = true} : window;
}

/* --- ahead of the stream --- */

static void note_ahead(struct vpn vpn, uint32_t nr_read)
{
	lock_acquire(&ra.lock);
	for (uint32_t i = 0; i < NR_STREAMS; i++) {
		struct stream *s = &ra.stream[i];

		if (!s->window || s->length <= 2)
			continue;
		if (s->trigger == vpn.v && s->next != vpn.v)
			s->nr_ahead[0] += nr_read;
		else if (s->second == vpn.v && s->next != vpn.v)
			s->nr_ahead[1] += nr_read;
		else if (s->walked == vpn.v)
			s->nr_read += nr_read;
	}
	lock_release(&ra.lock);
}

static bool covers(const struct request *r, struct vpn vpn)
{
	int64_t distance = (int64_t)(vpn.v - r->vpn.v);

	return r->window.nr && distance % r->window.delta == 0 && distance / r->window.delta >= 0 &&
	       distance / r->window.delta < r->window.nr;
}

bool readahead_is_asked(struct vpn vpn)
{
	bool is_asked = false;

	lock_acquire(&ra.lock);
	if (atomic_load(&ra.has_thread)) {
		is_asked = covers(&ra.current, vpn);
		for (uint32_t i = 0; i < ra.nr_requests && !is_asked; i++)
			is_asked = covers(&ra.request[(ra.first + i) % NR_REQUESTS], vpn);
	}
	lock_release(&ra.lock);
	return is_asked;
}

/* @r is not to be waited for any more. */
static void wake_waiters(const struct request *r)
{
	for (uint32_t i = 0; i < r->window.nr; i++)
		event_signal(
		    page_event((struct vpn){r->vpn.v + (uint64_t)((int64_t)i * r->window.delta)}));
}

/* A window of what is announced. @nr_paged_out: as for pager_read_ahead(). Return: its pages. */
static uint32_t read_announced(struct announcement *a, uint32_t nr_paged_out)
{
	uint64_t stop = MIN(a->end.v, a->vpn.v + MAX_SKIPPED);
	uint32_t nr = 0;

	/* There is no hurry; streams have somebody inside who waits, so that this thread does not
	 * wait for the gate. */
	if (atomic_load(&pg.gate_closed)) {
		struct timespec pause = {.tv_nsec = GATE_PAUSE_NS};

		sys_call2(SYS_nanosleep, (long)&pause, 0);
		return 0;
	}

	while (a->vpn.v < stop && page_state_now(a->vpn) != PAGE_SWAPPED)
		a->vpn = ptab_next(&pg.ptab, (struct vpn){a->vpn.v + 1}, a->end);
	if (a->vpn.v >= a->end.v) {
		a->nr_left = 0;
	} else if (a->vpn.v < stop) {
		uint64_t most = MIN(MIN(a->nr_left, a->end.v - a->vpn.v), readahead_max_window());
		nr = pager_read_ahead(
		    a->vpn, (struct window){.nr = (uint32_t)most, .delta = 1}, false, nr_paged_out);

		/* No access, no room, or paged out elsewhere meanwhile. */
		if (!nr && page_state_now(a->vpn) == PAGE_SWAPPED) {
			a->vpn.v = MIN(leaf_end(a->vpn).v, a->end.v);
			a->nr_left = a->nr_tries-- ? a->nr_left : 0;
		}
		a->vpn.v += nr;
		a->nr_left -= nr;
	}
	return nr;
}

enum served {
	SERVED_NOTHING, /* there is nothing to be done */
	SERVED_NONE,    /* nothing was read of it */
	SERVED_READ,
};

/* The next of what is to be read ahead, streams first. */
static enum served serve_request(void)
{
	uint32_t nr = 0;

	struct announcement *first = &ra.announced[ra.first_announced];

	lock_acquire(&ra.lock);
	bool is_stream = ra.nr_requests, any = is_stream || ra.nr_announced;
	struct request r = ra.request[ra.first];
	struct announcement a = *first;
	uint32_t nr_paged_out = atomic_load(&pg.nr_paged_out);
	if (is_stream) {
		ra.first = (ra.first + 1) % NR_REQUESTS;
		ra.nr_requests--;
		ra.current = r;
	}
	lock_release(&ra.lock);
	if (is_stream) {
		nr = pager_read_ahead(r.vpn, r.window, r.is_write, r.nr_paged_out);
		note_ahead(r.vpn, nr);
		lock_acquire(&ra.lock);
		ra.current.window.nr = 0;
		lock_release(&ra.lock);
		/* Those that were read, too, if they have left again. */
		wake_waiters(&r);
	} else if (any) {
		nr = read_announced(&a, nr_paged_out);
		lock_acquire(&ra.lock);
		if (first->nr_left) /* not withdrawn meanwhile */
			*first = a;
		if (!first->nr_left) {
			ra.first_announced = (ra.first_announced + 1) % NR_ANNOUNCED;
			ra.nr_announced--;
		}
		lock_release(&ra.lock);
	}
	return !any ? SERVED_NOTHING : nr ? SERVED_READ : SERVED_NONE;
}

static void ahead_thread(void *arg)
{
	(void)arg;
	for (;;) {
		uint32_t ticket = event_begin(&ra.wanted);

		enum served served = serve_request();

		/* Somebody may wait for what is under way: not behind what only takes time. */
		bool any = served == SERVED_READ || pager_ahead_wait() || served == SERVED_NONE;
		event_wait_unless(&ra.wanted, ticket, any);
	}
}

/* [lock] Ask for the window behind all that the stream has, as far as the L1 table goes. Return:
 * whether there is something for the thread. */
static bool ask_ahead_locked(struct stream *s)
{
	unsigned i = ptab_index((struct vpn){s->next}, 1);
	uint32_t left =
	    s->delta > 0 ? (PTAB_ENTRIES - 1 - i) / (uint32_t)s->delta : i / (uint32_t)-s->delta;

	uint32_t nr = MIN(s->window, largest_locked(s->next));
	if (nr < AHEAD_WINDOW || ra.nr_requests == NR_REQUESTS)
		return false;
	struct window window = {.nr = MIN(nr, left + 1), .delta = s->delta};
	ra.request[(ra.first + ra.nr_requests++) % NR_REQUESTS] = (struct request){.vpn = {s->next},
	    .window = window,
	    .is_write = s->is_write,
	    .nr_paged_out = atomic_load(&pg.nr_paged_out)};
	bool is_first = s->trigger == s->next;
	s->next += (uint64_t)((int64_t)window.nr * s->delta);
	if (is_first)
		s->second = s->next;
	return true;
}

/* [lock] What is ahead becomes one window, two of a long stream. Return as above. */
static bool ask_both_locked(struct stream *s)
{
	bool any = s->trigger == s->next && ask_ahead_locked(s);

	if (s->second == s->next && s->trigger != s->next && s->window >= readahead_max_window())
		any |= ask_ahead_locked(s);
	return any;
}

/* Return: false: there is no thread, and nothing is read ahead: slower, no worse. */
static bool wake_thread(void)
{
	bool has = false;

	if (atomic_compare_exchange_strong(&ra.has_thread, &has, true) &&
	    thread_start(ahead_thread, NULL, "faultline-ahead") < 0) {
		struct request lost[NR_REQUESTS];

		lock_acquire(&ra.lock);
		uint32_t nr = ra.nr_requests;
		for (uint32_t i = 0; i < nr; i++)
			lost[i] = ra.request[(ra.first + i) % NR_REQUESTS];
		ra.nr_requests = 0;
		atomic_store(&ra.has_thread, false);
		lock_release(&ra.lock);
		for (uint32_t i = 0; i < nr; i++)
			wake_waiters(&lost[i]);
		return false;
	}
	if (atomic_load(&ra.wanted.nr_waiting))
		event_signal(&ra.wanted);
	return true;
}

bool readahead_announce(struct vpn vpn, struct vpn end)
{
	bool is_asked = false;

	if (pg.config.is_exact || tlb_is_on())
		return false;
	lock_acquire(&ra.lock);
	if (ra.nr_announced < NR_ANNOUNCED) {
		ra.announced[(ra.first_announced + ra.nr_announced++) % NR_ANNOUNCED] =
		    (struct announcement){.vpn = vpn,
		        .end = end,
		        .nr_left = MAX(frames_usable() / 4, 1u),
		        .nr_tries = MAX_FRUITLESS};
		is_asked = true;
	}
	lock_release(&ra.lock);
	return is_asked && wake_thread();
}

void readahead_withdraw(struct vpn vpn, struct vpn end)
{
	lock_acquire(&ra.lock);
	atomic_fetch_add(&pg.nr_paged_out, 1);
	for (uint32_t i = 0; i < ra.nr_announced; i++) {
		struct announcement *a = &ra.announced[(ra.first_announced + i) % NR_ANNOUNCED];

		if (a->vpn.v < end.v && vpn.v < a->end.v)
			a->nr_left = 0;
	}
	lock_release(&ra.lock);
}

void readahead_note(struct vpn vpn, uint32_t nr_read)
{
	bool wake = false;

	lock_acquire(&ra.lock);
	for (uint32_t i = 0; i < NR_STREAMS; i++) {
		struct stream *s = &ra.stream[i];

		if (s->window && s->delta && s->next == vpn.v + (uint64_t)(int64_t)s->delta) {
			s->trigger = s->next = vpn.v + (uint64_t)((int64_t)nr_read * s->delta);
			s->second = s->next;
			s->nr_read += nr_read - 1;
			wake = ask_both_locked(s);
			break;
		}
	}
	lock_release(&ra.lock);
	if (wake)
		wake_thread();
}

bool readahead_touched(struct vpn vpn, bool is_waited_for)
{
	bool wake = false, is_stream = false;

	lock_acquire(&ra.lock);
	for (uint32_t i = 0; i < NR_STREAMS; i++) {
		struct stream *s = &ra.stream[i];

		if (s->window && s->trigger == vpn.v && s->next != vpn.v) {
			COUNT(&pg.telemetry, readahead_used, s->nr_read);
			judge_locked(vpn.v, s->nr_read, 0);
			s->nr_read = s->nr_ahead[0];
			s->nr_ahead[0] = s->nr_ahead[1];
			s->nr_ahead[1] = 0;
			s->used = ++ra.clock;
			/* It does not read itself, by which it would grow. */
			if (is_waited_for)
				s->window = MIN(s->window * 2, largest_locked(vpn.v));
			s->walked = s->trigger;
			s->trigger = s->second;
			s->second = s->next;
			wake = ask_both_locked(s);
			is_stream = true;
			break;
		}
	}
	lock_release(&ra.lock);
	if (wake)
		wake_thread();
	return is_stream;
}

void readahead_after_fork(void)
{
	/* The thread holds it outside the gate. */
	lock_init(&ra.lock, LOCK_STATS);
	ra.nr_requests = ra.nr_announced = 0;
	ra.current.window.nr = 0;
	atomic_store(&ra.has_thread, false);
	atomic_store(&ra.wanted.nr_waiting, 0);
}
