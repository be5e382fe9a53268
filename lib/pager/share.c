// SPDX-License-Identifier: MIT
/*
 * How much of the budget the compressed tier gets: what the rule (share_plan.h) is fed from, and
 * what becomes of its answer.
 *
 * Each page that is read back says how many that were evicted after it are absent still
 * (writeback.c), which is how many frames more would have kept it, were pages replaced in LRU
 * order; what its read took, and what a fault costs beside. Looked at 40 times a second, and each
 * time an eighth is forgotten. While nothing comes back at all (a program that fills memory) there
 * is nothing to weigh: where pages come to two fifths or less the share grows as the tier fills,
 * see more(); where they come to more there is none at first, see begin_or_not(). Data that does
 * not compress never gets in (swap/room.h), earns nothing, and its faults push out what is there.
 */
#include "pager/share_plan.h"

#include <string.h>

#include "base/sys.h"
#include "pager/internal.h"
#include "swap/codec.h"

#define LOOK_NS     25000000u
#define MAX_SHARE   24u        /* steps: three quarters of the budget */
#define MAX_UNASKED 16u        /* ... half of it, as long as nothing tells */
#define MAX_PAGES   (1u << 24) /* 64 GiB */

/* What it costs that a thread comes to the pager with a fault and goes on after it, in first
 * touches as the kernel serves them, which differ tenfold between machines, as faults do. Measured,
 * roughly. What the pager does meanwhile is timed: until so many were, it counts for as much again.
 */
#define ENTRY_TOUCHES 2u
#define ENOUGH_TIMED  64u
#define LONG_TOUCHES  512u /* none is let count for more: its thread had no processor. Guess */

/* Fewer pages than that in the history: nothing comes back. Guess. */
#define QUIET_READS     16u
#define ENOUGH_TRIED    16u /* pages, to say how many compress. Guess */
#define ENOUGH_AT_FIRST 64u /* ... and whether to begin with it. Guess */
#define FORGET          8u  /* of the history, one in so many at each look */
#define REFILLS_FORGET  32u /* ... of refills and evictions: they come in batches */

/* To compress a page that is on disk already, and perhaps write it there again. Measured, roughly.
 */
#define OFFER_NS 10000u

/* Asked for memory, another thread may be at reclaim, and take what that frees. Guesses. */
#define TAKE_TRIES   8
#define TAKE_WAIT_NS 50000

_Static_assert(SHARE_DISTANCES *EPOCHS_PER_BUDGET == PTE_EPOCHS * SHARE_PER_BUDGET,
    "distances reach as far as epochs do");

static struct {
	bool is_on;
	uint32_t max;               /* [const] pages */
	_Atomic uint64_t looked_ns; /* [atomic] whoever moves it on looks */
	_Atomic uint64_t grown_ns;  /* [atomic] likewise, for more() */
	_Atomic uint32_t share;     /* pages */
	_Atomic uint32_t frames;    /* [atomic] what is left to the program, in places */
	/* [atomic, relaxed] see struct share_history */
	_Atomic uint64_t packed[SHARE_PLACES], others[SHARE_PLACES], hits, unwritten;
	/* [atomic, relaxed] running means of one page */
	_Atomic uint64_t hit_ns, packed_ns, raw_ns;
	/* [atomic, relaxed] what the pager has done: how often, and how long that took */
	_Atomic uint64_t nr_works[SHARE_NR_WORKS], work_ns[SHARE_NR_WORKS];
	_Atomic uint64_t nr_read; /* [atomic, relaxed] pages from swap */
	_Atomic bool is_put_off;  /* [atomic] begin_or_not() has taken the share away */
	_Atomic uint64_t nr_back; /* [atomic] pages in the history at the last look */
	_Atomic bool is_looking;
	/* [owner: who looks] */
	struct share_history history;
	uint32_t budget;
	uint64_t hits_before, offers_before, tried_before, fitting_before, bytes_before;
	uint64_t refills_before, evictions_before, writes_before;
	uint64_t refills, evictions, writes, saved, spent;
	struct work {
		uint64_t nr_before, ns_before, nr, ns;
	} works[SHARE_NR_WORKS];
	uint64_t read_before, pages_read;
	uint32_t packed_bytes, packable;
} sh;

static void set_share(uint32_t pages)
{
	atomic_store(&sh.share, pages);
	swap_tier_share(pg.swap, pages > SHARE_MIN ? pages : 0);
}

static void look_if_due(uint64_t now);

/* Whether a frame of the tier has held two and a half pages and more so far. Where it holds fewer,
 * filling memory waits for the compressor, and little is lost by a late start. Guess. */
static bool packs_well(void)
{
	struct swap_stats s;

	swap_stats(pg.swap, &s);
	return s.tried_pages < ENOUGH_AT_FIRST ||
	       s.fitting_bytes * 5 <= s.fitting_pages * PAGE_BYTES * 2;
}

static uint32_t first_share(void)
{
	return MIN(frames_budget() / 8, sh.max);
}

/* As long as nothing has ever come back: compress, or write pages as they are. */
static void begin_or_not(void)
{
	if (atomic_load(&sh.nr_read) > QUIET_READS)
		return;
	bool is_good = packs_well();
	if (!is_good && atomic_load(&sh.share) > SHARE_MIN) {
		atomic_store(&sh.is_put_off, true);
		set_share(SHARE_MIN);
	} else if (is_good && frames_budget() >= SHARE_MIN_FRAMES &&
	           atomic_exchange(&sh.is_put_off, false)) {
		set_share(first_share());
	}
}

/*
 * While nothing comes back, there is nothing to weigh: a frame of the tier holds several pages, and
 * one of the program's a single one, so it gets what it asks for.
 */
static bool more(void)
{
	uint64_t before = atomic_load(&sh.grown_ns), now = now_ns();
	uint32_t share = atomic_load(&sh.share);

	/* As fast as it shrinks, so that there is time to see what comes back. */
	look_if_due(now);
	if (now - before < LOOK_NS || !atomic_compare_exchange_strong(&sh.grown_ns, &before, now))
		return false;
	uint32_t step = MAX(frames_budget() / SHARE_STEPS, 1u);
	if (atomic_load(&sh.nr_back) > QUIET_READS || share >= step * MAX_UNASKED || !packs_well())
		return false;
	set_share(MAX(share, step) + step);
	return true;
}

static void give(uint32_t nr)
{
	places_give(&pg.frames, nr);
	event_signal(&pg.frames.freed);
}

/* What is free goes to faults at once: a batch is unmapped for this one. */
static bool take(uint32_t nr, bool may_wait)
{
	for (int nr_tries = 0;; nr_tries++) {
		uint32_t got = places_take(&pg.frames, nr);

		if (got == nr)
			return true;
		if (got)
			give(got);
		if (!may_wait || nr_tries == TAKE_TRIES)
			return false;
		/* Not for long: whoever has stopped reclaim waits for this write. */
		if (!reclaim_batch_try())
			futex_wait(
			    &pg.frames.freed.seq, atomic_load(&pg.frames.freed.seq), TAKE_WAIT_NS);
	}
}

const char *share_codec_find(const char *name)
{
	if (!*name || !strcmp(name, "auto"))
		return "lz4";
	return !strcmp(name, "off") || codec_find(name) ? name : NULL;
}

int share_init(void)
{
	const char *codec = share_codec_find(pg.config.compress);
	uint32_t nr = pg.frames.nr_frames;

	/* Where faults are counted, RAM is what the option says: none of it is the tier's. */
	if (!strcmp(codec, "off") || nr < SHARE_MIN_FRAMES || pg.config.is_exact || tlb_is_on())
		return 0;
	sh.max = MIN(nr / SHARE_STEPS * MAX_SHARE, MAX_PAGES);
	const struct swap_tier_memory memory = {
	    .area = pg.frames.pool + ((size_t)pg.frames.nr_bufs << PAGE_SHIFT) + PAGE_BYTES,
	    .nr_pages = sh.max,
	    .take = take,
	    .give = give,
	    .more = more,
	};
	/* Without memory for its tables nothing is compressed. */
	if (swap_tier_enable(pg.swap, codec, &memory))
		return 0;
	sh.is_on = true;
	atomic_store(&sh.hit_ns, 3000);
	atomic_store(&sh.packed_ns, 70000);
	atomic_store(&sh.raw_ns, 70000);
	sh.packed_bytes = PAGE_BYTES / 2;
	atomic_store(&sh.frames, SHARE_PER_BUDGET);
	set_share(first_share());
	return 0;
}

/* One that was held up for long (no processor) is not let count as much. */
static void mean_add(_Atomic uint64_t *mean, uint64_t ns)
{
	uint64_t old = atomic_load_explicit(mean, memory_order_relaxed);

	atomic_store_explicit(
	    mean, old - old / 16 + MIN(ns, old * 2 + 1000) / 16, memory_order_relaxed);
}

static void count(_Atomic uint64_t *counter)
{
	atomic_fetch_add_explicit(counter, 1u << SHARE_COUNT_SHIFT, memory_order_relaxed);
}

/* From disk, compressed or not. The time of the way that is not taken becomes that of the other,
 * slowly: it is from when the disk was busier, or a guess. */
static void note_disk(bool is_packed, uint64_t ns)
{
	_Atomic uint64_t *mean = is_packed ? &sh.packed_ns : &sh.raw_ns;
	_Atomic uint64_t *other = is_packed ? &sh.raw_ns : &sh.packed_ns;

	mean_add(mean, ns);
	uint64_t old = atomic_load_explicit(other, memory_order_relaxed);
	uint64_t now = atomic_load_explicit(mean, memory_order_relaxed);
	atomic_store_explicit(other, old - old / 256 + now / 256, memory_order_relaxed);
}

/* Of each page of a read that came from disk. */
static uint64_t disk_ns(const struct share_fact *fact)
{
	uint64_t hits_ns = fact->nr_hits * atomic_load_explicit(&sh.hit_ns, memory_order_relaxed);

	return (fact->ns - MIN(fact->ns, hits_ns)) / (fact->nr_read - fact->nr_hits);
}

/* Return: what is left of @count. */
static uint64_t forget(_Atomic uint64_t *count)
{
	uint64_t n = atomic_load_explicit(count, memory_order_relaxed);

	/* A count that comes between is lost: a sample. */
	n -= (n + FORGET - 1) / FORGET;
	atomic_store_explicit(count, n, memory_order_relaxed);
	return n;
}

/* What @counter has grown by; in the child of a fork counters begin with zero. */
static uint64_t since(uint64_t counter, uint64_t *before)
{
	uint64_t nr = counter - MIN(*before, counter);

	*before = counter;
	return nr;
}

/* Clean pages are taken in as long as reading them from memory saves what it costs to put them
 * there: where they are read once in a round, as a scan does, it does not. */
static void note_offers(const struct swap_stats *s, uint64_t hit_saves_ns)
{
	uint64_t hits = since(s->tier_hits, &sh.hits_before);
	uint64_t offers = since(s->offered_pages, &sh.offers_before);

	sh.saved = sh.saved / 16 * 15 + hits * hit_saves_ns;
	sh.spent = sh.spent / 16 * 15 + offers * OFFER_NS;
	swap_tier_offers(pg.swap, sh.saved >= sh.spent);
}

/* How many pages compress, of those tried lately, and to what. */
static void note_tried(const struct swap_stats *s)
{
	if (s->tried_pages - MIN(sh.tried_before, s->tried_pages) < ENOUGH_TRIED)
		return;
	uint64_t nr = since(s->tried_pages, &sh.tried_before);
	uint64_t nr_fit = since(s->fitting_pages, &sh.fitting_before);
	uint64_t bytes = since(s->fitting_bytes, &sh.bytes_before);
	sh.packable = (uint32_t)((sh.packable + MIN(nr_fit * 256 / nr, 256u)) / 2);
	if (nr_fit)
		sh.packed_bytes = (uint32_t)((sh.packed_bytes + bytes / nr_fit) / 2);
}

/* Add @nr to a sum in 1/256, and forget one in @one_in of it. */
static void sum_add(uint64_t *sum, uint64_t nr, uint32_t one_in)
{
	*sum += nr << SHARE_COUNT_SHIFT;
	*sum -= *sum / one_in;
}

/* Batches of evictions are far apart: only sums over many looks tell how many refills there are for
 * each, and what all of that costs. */
static void note_refills(void)
{
	const struct fl_process *p = pg.telemetry.p;
	uint64_t nr = since(
	    atomic_load(&p->minor_refill) + atomic_load(&p->refilled_along), &sh.refills_before);
	uint64_t nr_evictions = since(atomic_load(&p->evict_clean) + atomic_load(&p->evict_dirty) +
	                                  atomic_load(&p->evict_zero),
	    &sh.evictions_before);

	sum_add(&sh.refills, nr, REFILLS_FORGET);
	sum_add(&sh.evictions, nr_evictions, REFILLS_FORGET);
}

/* What a page that is read costs beside the read, the eviction that it brings with it included; and
 * a refill. */
static void note_works(struct share_history *h)
{
	uint64_t entry = ENTRY_TOUCHES * pg.touch_ns;

	for (uint32_t i = 0; i < SHARE_NR_WORKS; i++) {
		struct work *w = &sh.works[i];

		sum_add(&w->nr, since(atomic_load(&sh.nr_works[i]), &w->nr_before), REFILLS_FORGET);
		sum_add(&w->ns, since(atomic_load(&sh.work_ns[i]), &w->ns_before), REFILLS_FORGET);
	}
	sum_add(&sh.pages_read, since(atomic_load(&sh.nr_read), &sh.read_before), REFILLS_FORGET);
	const struct work *major = &sh.works[SHARE_MAJOR], *refill = &sh.works[SHARE_REFILL],
	                  *unmap = &sh.works[SHARE_UNMAP];
	h->fault_ns = h->refill_ns = 2 * entry;
	if (sh.pages_read >= ENOUGH_TIMED << SHARE_COUNT_SHIFT)
		h->fault_ns = (major->ns + major->nr * entry) / sh.pages_read;
	if (sh.evictions >= ENOUGH_TIMED << SHARE_COUNT_SHIFT)
		h->fault_ns += unmap->ns / sh.evictions;
	if (refill->nr >= ENOUGH_TIMED << SHARE_COUNT_SHIFT)
		h->refill_ns = (refill->ns + refill->nr * entry) / MAX(sh.refills, refill->nr);
}

/* Of @nr_back pages in the history, those that were not written afterwards, in 1/256: they keep
 * their copies. */
static uint32_t clean_share(uint64_t nr_back)
{
	uint64_t writes = since(atomic_load(&pg.telemetry.p->minor_write), &sh.writes_before);

	sum_add(&sh.writes, writes, FORGET);
	uint64_t unwritten = forget(&sh.unwritten);
	unwritten -= MIN(sh.writes, unwritten);
	return nr_back ? (uint32_t)MIN(unwritten * 256 / nr_back, 256u) : 0;
}

/* The history, an eighth of it forgotten. Return: pages in it, in 1/256. */
static uint64_t recall(struct share_history *h, uint32_t budget)
{
	uint64_t nr = 0;

	/* In places of another budget it means something else. */
	for (uint32_t at = 0; budget != sh.budget && at < SHARE_PLACES; at++) {
		atomic_store_explicit(&sh.packed[at], 0, memory_order_relaxed);
		atomic_store_explicit(&sh.others[at], 0, memory_order_relaxed);
	}
	sh.budget = budget;
	for (uint32_t at = 0; at < SHARE_PLACES; at++) {
		h->packed[at] = forget(&sh.packed[at]);
		h->others[at] = forget(&sh.others[at]);
		nr += h->packed[at] + h->others[at];
	}
	h->hits = forget(&sh.hits);
	return nr;
}

static void look(void)
{
	uint32_t share = atomic_load(&sh.share);
	uint32_t budget = frames_budget(), max = MIN(budget / SHARE_STEPS * MAX_SHARE, sh.max);
	struct share_history *h = &sh.history;
	struct swap_stats s;

	swap_stats(pg.swap, &s);
	uint32_t taken = (uint32_t)(s.tier_bytes >> PAGE_SHIFT);
	h->hit_ns = atomic_load(&sh.hit_ns);
	h->packed_ns = atomic_load(&sh.packed_ns);
	h->raw_ns = atomic_load(&sh.raw_ns);
	h->footprint = (uint32_t)MIN(atomic_load(&pg.nr_populated), UINT32_MAX);
	note_offers(&s, h->packed_ns - MIN(h->hit_ns, h->packed_ns));
	note_tried(&s);
	note_refills();
	note_works(h);
	uint64_t nr = recall(h, budget);
	atomic_store(&sh.nr_back, nr >> SHARE_COUNT_SHIFT);
	h->packable = sh.packable, h->packed_bytes = sh.packed_bytes;
	h->refills = sh.refills, h->evictions = sh.evictions;
	h->clean = clean_share(nr);
	uint64_t frames = budget - MIN(taken, max);
	atomic_store(&sh.frames, (uint32_t)(frames * SHARE_PER_BUDGET / MAX(budget, 1u)));
	uint32_t next = share_next(h, share, taken, budget, max);
	if (next != share)
		set_share(next);
}

static void look_if_due(uint64_t now)
{
	uint64_t before = atomic_load(&sh.looked_ns);

	if (now - before < LOOK_NS || !atomic_compare_exchange_strong(&sh.looked_ns, &before, now))
		return;
	/* One that lost its processor may be at it still. */
	if (atomic_exchange(&sh.is_looking, true))
		return;
	look();
	atomic_store(&sh.is_looking, false);
}

bool share_is_on(void)
{
	return sh.is_on;
}

void share_note(const struct swap_page *page, const struct share_fact *fact)
{
	if (page->result)
		return;
	bool is_hit = page->from == SWAP_FROM_TIER;
	bool is_packed = is_hit || page->from == SWAP_FROM_PACKED;

	/* Beside pages from disk nobody knows what unpacking took. */
	if (!is_hit)
		note_disk(is_packed, disk_ns(fact));
	else if (fact->nr_hits == fact->nr_read)
		mean_add(&sh.hit_ns, fact->ns / fact->nr_read);
	atomic_fetch_add_explicit(&sh.nr_read, 1, memory_order_relaxed);
	uint32_t at = atomic_load_explicit(&sh.frames, memory_order_relaxed) + fact->distance;
	count(is_packed ? &sh.packed[at] : &sh.others[at]);
	if (is_hit)
		count(&sh.hits);
	if (!fact->is_writable)
		count(&sh.unwritten);
	look_if_due(now_ns());
}

void share_worked(enum share_work work, uint64_t ns)
{
	ns = MIN(ns, LONG_TOUCHES * (work == SHARE_UNMAP ? MAX_BATCH / 8 : 1) * pg.touch_ns);
	atomic_fetch_add_explicit(&sh.nr_works[work], 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&sh.work_ns[work], ns, memory_order_relaxed);
}

bool share_trim(void)
{
	return sh.is_on && swap_tier_trim(pg.swap);
}

void share_fit(uint32_t nr_frames)
{
	uint32_t max = nr_frames / SHARE_STEPS * MAX_SHARE;

	if (sh.is_on && atomic_load(&sh.share) > max)
		set_share(max);
}

void share_yield(void)
{
	if (!sh.is_on)
		return;
	atomic_store(&sh.is_put_off, false);
	set_share(atomic_load(&sh.share) / 2);
	share_trim();
}

void share_feed(void)
{
	if (!sh.is_on)
		return;
	/* A write, to whoever wants all of them to be done. */
	atomic_fetch_add(&pg.nr_writes, 1);
	begin_or_not();
	share_trim();
	atomic_fetch_sub(&pg.nr_writes, 1);
	event_signal(&pg.frames.freed);
}

uint32_t share_pages(void)
{
	struct swap_stats s;

	if (!sh.is_on)
		return 0;
	swap_stats(pg.swap, &s);
	return (uint32_t)((s.tier_bytes + s.desk_bytes) >> PAGE_SHIFT);
}
