// SPDX-License-Identifier: MIT
/*
 * How much of the budget the compressed tier gets: what its last frames earn against what as many
 * would earn the program.
 *
 * As in ARC, what has just been lost says what more room would have saved; but in time, since a
 * miss costs a decompression here and a read from disk there, and in both directions, so
 * that the share comes to rest. For a step of 1/32 of the budget, per read:
 *
 *     more:   a page whose chunk left the tier at most a step ago (its ghost): the disk read would
 *             have been a hit. A chunk holds several pages to the frame, so this is how well
 *             the data compresses comes in.
 *     less:   a hit in the oldest quarter of the tier would have been a disk read (scaled to a
 *             step).
 *     frames: a page that left its frame a short while ago would be there still: its whole fault
 *             would have been saved, hit or read, compressible or not (scaled to a step). And a
 *             policy that finds out about use by unmapping asks all the pages in use for each
 *             that is not: of F frames H in use, R = H / (F - H) refills for each eviction, which
 *             a step more makes fewer by R (1 + R) step / F.
 *
 * These are about the next step. A program whose pages would all but fit is better off without any
 * tier, although each step towards that costs more than it brings; so the whole is weighed, too:
 * what came back within as many evictions as the tier has frames would have been there still, were
 * they the program's; what else it brought back would have been read from disk. Where that favours
 * the program, the tier goes.
 *
 * Else the share grows while more > frames, shrinks while less < frames, and is left alone in
 * between. Each is a sum of measured times that halves with each look, 40 a second; a step every
 * look takes the tier from its largest to nothing in 0.6 s. While nothing comes back at all (a
 * program that fills memory) there is nothing to weigh, and the share grows as the tier fills,
 * where pages come to a half or less: see more(). Data that does not compress never gets in
 * (swap/room.h), earns nothing, and its faults push out what is there.
 */
#include "pager/share.h"

#include <string.h>

#include "base/meta.h"
#include "base/sys.h"
#include "pager/internal.h"
#include "swap/codec.h"

#define LOOK_NS     25000000u
#define STEPS       32u
#define MAX_SHARE   24u        /* steps: three quarters of the budget */
#define MAX_UNASKED 16u        /* ... half of it, as long as nothing tells */
#define MAX_PAGES   (1u << 24) /* 64 GiB */

/* What a fault costs beyond the read (signal, mapping, and the eviction that it brings with it),
 * and a page that is in use and was unmapped to see; in first touches as the kernel serves them,
 * which differ tenfold between machines, as faults do. Measured, roughly. */
#define FAULT_TOUCHES  4u
#define REFILL_TOUCHES 2u
#define NR_TOUCHES     15u /* of which the median counts */

/* Fewer reads than that in a look, of what a step more of frames would have kept: nothing comes
 * back. Guess. */
#define QUIET_READS 4u

/* To compress a page that is on disk already, and perhaps write it there again. Measured, roughly.
 */
#define OFFER_NS 10000u

/* Asked for memory, another thread may be at reclaim, and take what that frees. Guesses. */
#define TAKE_TRIES   8
#define TAKE_WAIT_NS 50000

static struct {
	bool is_on;
	uint32_t step, max;                  /* [const] pages */
	uint64_t touch_ns;                   /* [const] the kernel's own first touch of a page */
	_Atomic uint64_t looked_ns;          /* [atomic] whoever moves it on looks */
	_Atomic uint64_t grown_ns;           /* [atomic] likewise, for more() */
	_Atomic uint64_t more, frames;       /* [atomic, relaxed] ns */
	_Atomic uint64_t without, with;      /* [atomic, relaxed] ns */
	_Atomic uint32_t reach;              /* epochs: what the tier has, as evictions */
	_Atomic uint64_t nr_less;            /* [atomic, relaxed] hits in the oldest quarter */
	_Atomic uint64_t hit_ns, disk_ns;    /* [atomic, relaxed] running means of one page */
	_Atomic uint32_t share;              /* pages */
	uint64_t hits_before, offers_before; /* [owner: who looks] */
	uint64_t saved, spent;               /* [owner: who looks] ns, of about 16 looks */
	uint64_t refills_before, evictions_before, refill_ns; /* [owner: who looks] */
} sh;

static void set_share(uint32_t pages)
{
	atomic_store(&sh.share, pages);
	swap_tier_share(pg.swap, pages, sh.step);
}

static void look_if_due(void);

/* Whether a frame of the tier has held two pages and more so far. */
static bool packs_well(void)
{
	struct swap_stats s;

	swap_stats(pg.swap, &s);
	return s.packed_bytes * 2 <= s.packed_pages << PAGE_SHIFT;
}

/*
 * While nothing comes back, there is nothing to weigh: a frame of the tier holds several pages, and
 * one of the program's a single one, so it gets what it asks for.
 */
static bool more(void)
{
	uint64_t now = now_ns(), before = atomic_load(&sh.grown_ns);
	uint32_t share = atomic_load(&sh.share);

	/* As fast as it shrinks, so that there is time to see what comes back. */
	look_if_due();
	if (now - before < LOOK_NS || !atomic_compare_exchange_strong(&sh.grown_ns, &before, now))
		return false;
	if (atomic_load(&sh.frames) / NEAR_STEPS > QUIET_READS * atomic_load(&sh.disk_ns) ||
	    share >= sh.step * MAX_UNASKED || !packs_well())
		return false;
	set_share(MAX(share, sh.step) + sh.step);
	return true;
}

/* What is free goes to faults at once: a batch is unmapped for this one. */
static bool take(uint32_t nr)
{
	for (int nr_tries = 0;; nr_tries++) {
		uint32_t got = places_take(&pg.frames, nr);

		if (got == nr)
			return true;
		places_give(&pg.frames, got);
		if (nr_tries == TAKE_TRIES)
			return false;
		/* Not for long: whoever has stopped reclaim waits for this write. */
		if (!reclaim_batch_try())
			futex_wait(
			    &pg.frames.freed.seq, atomic_load(&pg.frames.freed.seq), TAKE_WAIT_NS);
	}
}

static void give(uint32_t nr)
{
	places_give(&pg.frames, nr);
	event_signal(&pg.frames.freed);
}

const char *share_codec_find(const char *name)
{
	if (!*name || !strcmp(name, "auto"))
		return "lz4";
	return !strcmp(name, "off") || codec_find(name) ? name : NULL;
}

static uint64_t median(uint64_t *ns, uint32_t nr)
{
	for (uint32_t i = 1; i < nr; i++)
		for (uint32_t j = i; j && ns[j - 1] > ns[j]; j--) {
			uint64_t t = ns[j];

			ns[j] = ns[j - 1];
			ns[j - 1] = t;
		}
	return ns[nr / 2];
}

/* Return: ns that the kernel takes for the first touch of a page. */
static uint64_t time_touch(void)
{
	uint64_t ns[NR_TOUCHES] = {0};
	volatile char *pages = meta_map(NR_TOUCHES * PAGE_BYTES);

	for (uint32_t i = 0; pages && i < NR_TOUCHES; i++) {
		uint64_t began = now_ns();

		pages[i * PAGE_BYTES] = 1;
		ns[i] = now_ns() - began;
	}
	meta_unmap((void *)pages, NR_TOUCHES * PAGE_BYTES);
	return median(ns, NR_TOUCHES);
}

int share_init(void)
{
	const char *codec = share_codec_find(pg.config.compress);
	uint32_t nr = pg.frames.nr_frames;

	/* Where faults are counted, RAM is what the option says: none of it is the tier's. */
	if (!strcmp(codec, "off") || nr < SHARE_MIN_FRAMES || pg.config.is_exact || tlb_is_on())
		return 0;
	sh.step = nr / STEPS;
	sh.max = MIN(sh.step * MAX_SHARE, MAX_PAGES);
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
	sh.touch_ns = time_touch();
	atomic_store(&sh.hit_ns, 3000);
	atomic_store(&sh.disk_ns, 70000);
	set_share(MIN(nr / 8, sh.max));
	return 0;
}

static void mean_add(_Atomic uint64_t *mean, uint64_t ns)
{
	uint64_t old = atomic_load_explicit(mean, memory_order_relaxed);

	atomic_store_explicit(mean, old - old / 16 + ns / 16, memory_order_relaxed);
}

static void add(_Atomic uint64_t *sum, uint64_t ns)
{
	atomic_fetch_add_explicit(sum, ns, memory_order_relaxed);
}

static uint64_t halve(_Atomic uint64_t *sum)
{
	uint64_t v = atomic_load_explicit(sum, memory_order_relaxed);

	/* A count that comes between is lost: a sample. */
	atomic_store_explicit(sum, v / 2, memory_order_relaxed);
	return v;
}

uint32_t share_next(
    const struct share_earnings *e, uint32_t share, uint32_t taken, uint32_t step, uint32_t max)
{
	uint64_t frames = e->frames / NEAR_STEPS + e->refills, less = e->less;

	if (e->without > e->with + e->with / 8)
		return (uint32_t)MAX(
		    (int32_t)MIN(share, taken) - (int32_t)(step * 4), (int32_t)SHARE_MIN);
	if (taken > step * 4)
		less = less * step / (taken / 4);
	if (e->more > frames + frames / 8)
		return MIN(MAX(share, step) + step, max);
	if (less + less / 8 >= frames)
		return share;
	/* From what it really has, and not below what shows whether more would pay. What is far
	 * from paying goes faster. */
	if (less + e->more < frames / 8)
		step *= 4;
	return (uint32_t)MAX((int32_t)MIN(share, taken) - (int32_t)step, (int32_t)SHARE_MIN);
}

/* Clean pages are taken in as long as reading them from memory saves what it costs to put them
 * there: where they are read once in a round, as a scan does, it does not. */
static void note_offers(const struct swap_stats *s, uint64_t hit_saves_ns)
{
	uint64_t hits = s->tier_hits - sh.hits_before, offers = s->offered_pages - sh.offers_before;

	sh.hits_before = s->tier_hits;
	sh.offers_before = s->offered_pages;
	sh.saved = sh.saved / 16 * 15 + hits * hit_saves_ns;
	sh.spent = sh.spent / 16 * 15 + offers * OFFER_NS;
	swap_tier_offers(pg.swap, sh.saved >= sh.spent);
}

/* What a step more of frames would have saved of the refills. */
static uint64_t refill_ns(uint32_t taken)
{
	const struct fl_process *p = pg.telemetry.p;
	uint64_t refills = atomic_load(&p->minor_refill);
	uint64_t evictions = atomic_load(&p->evict_clean) + atomic_load(&p->evict_dirty);
	uint64_t nr = refills - sh.refills_before, nr_evictions = evictions - sh.evictions_before;
	uint64_t frames = MAX(pg.frames.nr_frames - MIN(taken, pg.frames.nr_frames), 1u);

	sh.refills_before = refills;
	sh.evictions_before = evictions;
	uint64_t fewer = nr + nr * nr / MAX(nr_evictions, 1u);
	sh.refill_ns =
	    sh.refill_ns / 2 + MIN(fewer * sh.step / frames, nr) * REFILL_TOUCHES * sh.touch_ns;
	return sh.refill_ns;
}

/* Distances are known in epochs: of what came back within those that the tier has a part of, as
 * much as that part. */
static uint64_t without_ns(uint32_t taken)
{
	uint64_t reach = MAX(atomic_load(&sh.reach), 1u) * (uint64_t)pg.frames.nr_frames;

	return halve(&sh.without) * taken / reach * EPOCHS_PER_BUDGET;
}

static void look(void)
{
	uint64_t hit_ns = atomic_load(&sh.hit_ns), disk_ns = atomic_load(&sh.disk_ns);
	uint32_t share = atomic_load(&sh.share);
	struct swap_stats s;

	swap_stats(pg.swap, &s);
	uint32_t taken = (uint32_t)(s.tier_bytes >> PAGE_SHIFT);
	const struct share_earnings e = {
	    .more = halve(&sh.more),
	    .less = halve(&sh.nr_less) * (disk_ns - MIN(hit_ns, disk_ns)),
	    .frames = halve(&sh.frames),
	    .without = without_ns(taken),
	    .with = halve(&sh.with),
	    .refills = refill_ns(taken),
	};
	atomic_store(
	    &sh.reach, (taken * EPOCHS_PER_BUDGET + pg.frames.nr_frames - 1) / pg.frames.nr_frames);
	note_offers(&s, disk_ns - MIN(hit_ns, disk_ns));
	uint32_t next = share_next(&e, share, taken, sh.step, sh.max);
	if (next != share)
		set_share(next);
}

static void look_if_due(void)
{
	uint64_t now = now_ns(), before = atomic_load(&sh.looked_ns);

	if (now - before >= LOOK_NS && atomic_compare_exchange_strong(&sh.looked_ns, &before, now))
		look();
}

void share_note(const struct swap_page *page, uint32_t epochs, uint64_t ns)
{
	if (!sh.is_on || page->result)
		return;
	bool is_hit = page->from == SWAP_FROM_TIER || page->from == SWAP_FROM_TIER_OLD;

	mean_add(is_hit ? &sh.hit_ns : &sh.disk_ns, ns);
	uint64_t hit_ns = atomic_load(&sh.hit_ns), disk_ns = atomic_load(&sh.disk_ns);
	if (epochs <= 1)
		add(&sh.frames, ns + FAULT_TOUCHES * sh.touch_ns);
	if (epochs <= atomic_load(&sh.reach))
		add(&sh.without, ns + FAULT_TOUCHES * sh.touch_ns);
	else if (is_hit)
		add(&sh.with, disk_ns - MIN(hit_ns, disk_ns));
	if (page->from == SWAP_FROM_GHOST && ns > hit_ns)
		add(&sh.more, ns - hit_ns);
	if (page->from == SWAP_FROM_TIER_OLD)
		add(&sh.nr_less, 1);
	look_if_due();
}

bool share_trim(void)
{
	return sh.is_on && swap_tier_trim(pg.swap);
}

void share_yield(void)
{
	if (!sh.is_on)
		return;
	set_share(atomic_load(&sh.share) / 2);
	share_trim();
}

void share_feed(void)
{
	if (!sh.is_on)
		return;
	/* A write, to whoever wants all of them to be done. */
	atomic_fetch_add(&pg.nr_writes, 1);
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
