// SPDX-License-Identifier: MIT
/* The best division of the budget; see share_plan.h. */
#include "pager/share_plan.h"

#include "base/types.h"

/* Fewer pages than this came back: nothing is known. Guess. */
#define ENOUGH (32u << SHARE_COUNT_SHIFT)

/* From so many places it is concluded what fewer frames would lose: a quarter of the budget. Guess.
 */
#define NEAR (SHARE_PER_BUDGET / 4)

/* So many evictions for each refill that says nothing about the number of frames: R0. Guess. */
#define STRAY 4u

struct plan {
	const struct share_history *h;
	uint64_t budget, frames; /* the program's, now */
	/* What would come back compressed if pages were, and what not; by place, those of frames
	 * are none; and sums. */
	uint32_t packed[SHARE_PLACES], others[SHARE_PLACES];
	uint64_t all_packed, all;
	uint64_t near_packed, near_others; /* of them, from the next NEAR places */
	int64_t surplus;                   /* pages that the tier reaches beyond what it should */
};

struct goal {
	uint32_t pages;
	uint64_t ns;
};

/* Where place @at begins, in pages. */
static uint64_t place_start(const struct plan *p, uint32_t at)
{
	return at * p->budget / SHARE_PER_BUDGET;
}

/* Of what came back from place @at, what would have been absent with @limit pages present. Places
 * of frames are from when there were fewer. */
static uint64_t beyond(const struct plan *p, uint64_t count, uint32_t at, uint64_t limit)
{
	uint64_t end = place_start(p, at + 1), start = MAX(place_start(p, at), p->frames);

	if (end <= p->frames || limit >= end)
		return 0;
	return limit <= start ? count : count * (end - limit) / (end - start);
}

/* Evictions that a tier of @pages remembers. */
static uint64_t reach(const struct plan *p, uint64_t pages)
{
	uint64_t frames = p->budget - pages;
	uint64_t held = pages * PAGE_BYTES / MAX(p->h->packed_bytes, 64u);

	/* Clean pages that are mapped have their copies there all the same. */
	held -= held * p->h->clean / 256 * MIN(frames, p->h->footprint) / MAX(p->h->footprint, 1u);
	/* What does not compress is evicted, too, and takes nothing up. */
	int64_t nr = (int64_t)(held * p->all / MAX(p->all_packed, 1u));
	/* No more of a surplus, and no less, than it makes of what is there. */
	return (uint64_t)MAX(nr + MIN(p->surplus, nr), nr / 8);
}

/* How far below the frames @count of what compresses came from; where it is not known better, the
 * least, or the most. */
static uint64_t distance_of(const struct plan *p, uint64_t count, bool is_most)
{
	for (uint32_t at = 0; at < SHARE_PLACES; at++) {
		uint64_t nr = beyond(p, p->h->packed[at], at, p->frames);

		if (count < nr) {
			uint64_t end = place_start(p, at + 1);
			uint64_t start = MAX(place_start(p, at), p->frames);

			return (is_most ? end : start + (end - start) * count / nr) - p->frames;
		}
		count -= nr;
	}
	return INT64_MAX;
}

/* What the tier has made hits of tells its reach, within what that leaves open. */
static void measure(struct plan *p, uint64_t taken)
{
	uint64_t expected = reach(p, taken), hits = p->h->hits,
	         some = MIN(hits / 8, hits / 32 + ENOUGH);
	uint64_t least = distance_of(p, hits - some, false),
	         most = distance_of(p, hits + some, true);

	if (most == INT64_MAX)
		least = MIN(least, expected);
	p->surplus = (int64_t)MIN(MAX(expected, least), most) - (int64_t)expected;
}

/*
 * What the refills would cost that come with @nr evictions from @frames. A policy that finds out
 * about use by unmapping meets a page in use now and then, however many frames there are: R0. Where
 * it meets more, it asks all the pages in use for each that is not: of F frames H in use, it makes
 * R = H / (F - H) refills for each eviction; so R tells H.
 */
static uint64_t refill_cost(const struct plan *p, uint64_t frames, uint64_t nr)
{
	const struct share_history *h = p->h;
	uint64_t some = MIN(h->refills, h->evictions / STRAY), more = h->refills - some;
	uint64_t in_use = p->frames * more / MAX(more + h->evictions, 1u);
	uint64_t idle = MAX(frames - MIN(in_use, frames), frames / 32 + 1);

	return (nr * some / MAX(h->evictions, 1u) + nr * in_use / idle) * h->refill_ns;
}

/* What the pages that came back would have cost with @pages for the tier. */
static uint64_t cost(const struct plan *p, uint64_t pages)
{
	const struct share_history *h = p->h;
	uint64_t frames = p->budget - pages, end = frames + reach(p, pages);
	uint64_t nr_hits = 0, nr_packed = 0, nr_raw = 0;

	for (uint32_t at = 0; at < SHARE_PLACES; at++) {
		uint64_t from_disk = beyond(p, p->packed[at], at, end);

		nr_packed += from_disk;
		nr_hits += beyond(p, p->packed[at], at, frames) - from_disk;
		nr_raw += beyond(p, p->others[at], at, frames);
	}
	/* With fewer frames pages would come back that do not now: as many for each as nearest, and
	 * more the fewer are left. */
	uint64_t step = p->budget / SHARE_STEPS, near = p->budget * NEAR / SHARE_PER_BUDGET;
	for (uint64_t at = p->frames; at > frames; at -= MIN(at - frames, step)) {
		uint64_t some = MIN(at - frames, step) * p->frames / at;
		uint64_t packed = p->near_packed * some / near;

		nr_raw += p->near_others * some / near;
		*(at <= end ? &nr_hits : &nr_packed) += packed;
	}
	/* The same pages are not read faster for being compressed. */
	uint64_t packed_ns = MAX(h->packed_ns, h->raw_ns), raw_ns = MIN(h->packed_ns, h->raw_ns);
	if (pages <= SHARE_MIN)
		packed_ns = raw_ns;
	uint64_t nr = nr_hits + nr_packed + nr_raw;
	uint64_t ns = nr * h->fault_ns + nr_hits * h->hit_ns + nr_packed * packed_ns +
	              nr_raw * raw_ns + refill_cost(p, frames, nr);
	return ns >> SHARE_COUNT_SHIFT;
}

/* The cheapest from where it is, @taken, in steps up or down to @end, into *best. */
static void search(const struct plan *p, uint64_t taken, uint64_t end, struct goal *best)
{
	uint64_t step = p->budget / SHARE_STEPS, now = cost(p, taken), peak = now;

	for (uint64_t at = taken; at != end;) {
		at =
		    at < end ? MIN(at / step * step + step, end) : MAX((at - 1) / step * step, end);
		uint64_t ns = cost(p, at);

		/* On the way there it may cost more than here, for a while. */
		peak = MAX(peak, ns);
		ns += (peak - now) / 4;
		if (ns < best->ns)
			*best = (struct goal){(uint32_t)at, ns};
	}
}

/* What is on disk as it is may be from when nothing was compressed. */
static void fill_in(struct plan *p)
{
	const struct share_history *h = p->h;
	uint64_t packed = 0, others = 0;

	for (uint32_t at = 0; at < SHARE_PLACES; at++) {
		p->packed[at] = (uint32_t)beyond(p, h->packed[at], at, p->frames);
		p->others[at] = (uint32_t)beyond(p, h->others[at], at, p->frames);
		packed += p->packed[at];
		others += p->others[at];
	}
	p->all = packed + others;
	p->all_packed = MAX(packed, p->all * h->packable / 256);
	for (uint32_t at = 0; at < SHARE_PLACES; at++) {
		uint64_t more = p->others[at] * (p->all_packed - packed) / MAX(others, 1u);
		bool is_near = at < p->frames * SHARE_PER_BUDGET / p->budget + NEAR;

		p->packed[at] += (uint32_t)more;
		p->others[at] -= (uint32_t)more;
		p->near_packed += is_near ? p->packed[at] : 0;
		p->near_others += is_near ? p->others[at] : 0;
	}
}

/* What a change has to promise. @now: what it costs as it is. */
static uint64_t margin(const struct share_history *h, uint64_t now, bool is_more)
{
	uint64_t saves = h->packed_ns - MIN(h->hit_ns, h->packed_ns);

	return is_more ? now / 16 : (h->hits >> SHARE_COUNT_SHIFT) * saves / 16;
}

uint32_t share_next(
    const struct share_history *h, uint32_t share, uint32_t taken, uint32_t budget, uint32_t max)
{
	struct plan p = {
	    .h = h,
	    .budget = budget,
	    .frames = budget - MIN(taken, max),
	};
	uint32_t step = budget / SHARE_STEPS;

	if (budget < SHARE_MIN_FRAMES)
		return SHARE_MIN;
	fill_in(&p);
	if (p.all < ENOUGH)
		return share;
	taken = MIN(taken, max);
	if (taken >= step)
		measure(&p, taken);
	uint64_t now = cost(&p, taken);
	struct goal best = {taken, now};
	search(&p, taken, max, &best);
	search(&p, taken, MIN(SHARE_MIN, taken), &best);
	uint64_t gain = now - best.ns;
	/* What is found on the way differs from what was expected; but a tier that earns nothing
	 * has no claim to stay. */
	bool is_idle = taken <= SHARE_MIN || h->hits < p.all / 64;
	if (gain <= margin(h, now, best.pages > taken)) {
		if (!is_idle)
			return MIN(share, taken + step);
		best.pages = SHARE_MIN;
	}
	if (best.pages > taken)
		return MIN(best.pages, MAX(share, step) + (gain > now / 4 ? step * 2 : step));
	uint32_t stride = is_idle ? step * 4 : gain > now / 4 ? step * 2 : step;
	uint32_t has = MIN(share, taken);
	return MAX(MAX(best.pages, SHARE_MIN), has - MIN(has, stride));
}
