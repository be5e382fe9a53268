// SPDX-License-Identifier: MIT
/* Frames, places and pool buffers; see frame.h. */
#include "frame/frame.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "base/ensure.h"
#include "base/meta.h"
#include "base/sys.h"

#ifndef PR_SET_VMA
#define PR_SET_VMA           0x53564d41
#define PR_SET_VMA_ANON_NAME 0
#endif

/* An eighth of RAM holds pages that wait for their second chance and pages in I/O:
 * a guess, refined in doc/performance.md. */
uint32_t frames_pool_size(uint32_t nr_frames)
{
	return MIN(MAX(nr_frames / 8, 16u), 1u << 20) & ~15u;
}

#define HUGE_PAGES   512u  /* in a page of 2 MiB */
#define MAX_FOR_RUNS 1024u /* buffers: the longest window four times, for two streams */

/* Of @nr_bufs, so many are for runs. */
static uint32_t nr_for_runs(uint32_t nr_bufs)
{
	uint32_t nr = MIN(nr_bufs / 8, MAX_FOR_RUNS);

	if (nr_bufs >= 4 * HUGE_PAGES)
		nr = MAX(nr / HUGE_PAGES, 1u) * HUGE_PAGES;
	return nr & ~63u;
}

/* Where the pool begins: its runs do at a boundary of 2 MiB. */
static long pool_start(const struct frames *fs)
{
	uint64_t head = (uint64_t)fs->first_run << PAGE_SHIFT, huge = HUGE_PAGES << PAGE_SHIFT;

	return (long)((POOL_START + head + huge - 1) / huge * huge - head);
}

static int init(struct frames *fs, uint32_t nr_frames, uint32_t nr_places, uint32_t nr_bufs)
{
	uint32_t words;

	fs->nr_frames = nr_frames;
	fs->nr_bufs = nr_bufs;
	fs->nr_places = nr_places;
	words = (fs->nr_bufs + 63) / 64;
	fs->frame = meta_map(nr_frames * sizeof(*fs->frame));
	fs->buf_free = meta_map(words * sizeof(uint64_t));
	fs->buf_lent = meta_map(words * sizeof(uint64_t));
	if (!fs->frame || !fs->buf_free || !fs->buf_lent)
		return -ENOMEM;
	/* A word of the bitmap is a run. */
	uint32_t nr_runs = fs->has_credits ? 0 : nr_for_runs(nr_bufs);
	fs->first_run = nr_runs ? (nr_bufs - nr_runs) & ~63u : nr_bufs;
	long pool = sys_call6(SYS_mmap, pool_start(fs), (long)fs->nr_bufs << PAGE_SHIFT,
	    PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
	if (pool < 0)
		return (int)pool;
	/* A 2 MiB page would make buffers resident that nobody uses. */
	sys_call3(SYS_madvise, pool, (long)fs->first_run << PAGE_SHIFT, MADV_NOHUGEPAGE);
	sys_call3(SYS_madvise, pool + ((long)fs->first_run << PAGE_SHIFT),
	    (long)(nr_bufs - fs->first_run) << PAGE_SHIFT,
	    nr_bufs - fs->first_run >= HUGE_PAGES ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
	sys_call5(SYS_prctl, PR_SET_VMA, PR_SET_VMA_ANON_NAME, pool,
	    (long)fs->nr_bufs << PAGE_SHIFT, (long)"faultline-pool");
	fs->pool = (char *)pool;

	lock_init(&fs->lock, LOCK_FRAME);
	for (uint32_t i = 0; i < fs->nr_bufs; i++)
		fs->buf_free[i / 64] |= 1ull << (i % 64);
	fs->free_head = UINT32_MAX;
	atomic_store(&fs->bufs_free, fs->nr_bufs);
	atomic_store(&fs->places_free, (int32_t)fs->nr_places);
	return 0;
}

void frames_fini(struct frames *fs)
{
	if (fs->pool)
		sys_call2(SYS_munmap, (long)fs->pool, (long)fs->nr_bufs << PAGE_SHIFT);
	fs->pool = NULL;
}

int frames_init(struct frames *fs, uint32_t nr_frames, uint32_t nr_places)
{
	uint32_t nr_bufs = nr_places ? nr_frames - nr_places : frames_pool_size(nr_frames);

	return init(fs, nr_frames, nr_frames - nr_bufs, nr_bufs);
}

int frames_init_exact(struct frames *fs, uint32_t nr_frames, uint32_t nr_places, uint32_t nr_bufs)
{
	fs->has_credits = true;
	atomic_store(&fs->credits_free, (int32_t)nr_frames);
	return init(fs, nr_frames, nr_places, nr_bufs);
}

bool frame_credit_take(struct frames *fs)
{
	int32_t have = atomic_load(&fs->credits_free);

	if (LIKELY(!fs->has_credits))
		return true;
	while (have > 0)
		if (atomic_compare_exchange_weak(&fs->credits_free, &have, have - 1))
			return true;
	return false;
}

void frame_credit_give(struct frames *fs)
{
	if (UNLIKELY(fs->has_credits))
		atomic_fetch_add(&fs->credits_free, 1);
}

void frames_after_fork(struct frames *fs)
{
	atomic_store(&fs->freed.nr_waiting, 0);
}

uint32_t places_take(struct frames *fs, uint32_t want)
{
	int32_t have = atomic_load(&fs->places_free);
	int32_t take;

	do {
		take = MIN((int32_t)want, have);
		if (take <= 0)
			return 0;
	} while (!atomic_compare_exchange_weak(&fs->places_free, &have, have - take));
	return (uint32_t)take;
}

void places_give(struct frames *fs, uint32_t nr)
{
	if (!nr)
		return;
	int32_t before = atomic_fetch_add(&fs->places_free, (int32_t)nr);
	/* Those that are lent change meanwhile: pager_check() has the exact sum. */
	ensure(before + (int32_t)nr <= (int32_t)(fs->nr_places + fs->nr_bufs));
}

/* [lock] Take the lowest free buffer; there is one. */
static uint32_t buf_take_one(struct frames *fs)
{
	while (!fs->buf_free[fs->buf_cursor])
		fs->buf_cursor++;
	uint32_t bit = (uint32_t)__builtin_ctzll(fs->buf_free[fs->buf_cursor]);
	fs->buf_free[fs->buf_cursor] &= ~(1ull << bit);
	uint32_t buf = fs->buf_cursor * 64 + bit;
	if (buf >= atomic_load(&fs->bufs_touched))
		atomic_store(&fs->bufs_touched, buf + 1);
	if (buf >= fs->first_run)
		atomic_store(&fs->has_runs, true);
	return buf;
}

/* [lock] Take the first @nr buffers, at most 64, of a word that is free. Return: whether there is
 * one. */
static bool run_take_one(struct frames *fs, uint32_t *ret_bufs, uint32_t nr)
{
	uint64_t mask = nr < 64 ? (1ull << nr) - 1 : UINT64_MAX;

	for (uint32_t word = fs->first_run / 64; word < fs->nr_bufs / 64; word++) {
		if (fs->buf_free[word] != UINT64_MAX)
			continue;
		fs->buf_free[word] &= ~mask;
		for (uint32_t i = 0; i < nr; i++)
			ret_bufs[i] = word * 64 + i;
		atomic_store(&fs->has_runs, true);
		return true;
	}
	return false;
}

static uint32_t take(
    struct frames *fs, uint32_t *ret_bufs, uint32_t want, uint32_t reserve, bool in_runs)
{
	uint32_t nr = 0;

	lock_acquire(&fs->lock);
	uint32_t nr_free = atomic_load(&fs->bufs_free);
	uint32_t max = MIN(want, nr_free > reserve ? nr_free - reserve : 0);
	while (in_runs && nr < max && run_take_one(fs, ret_bufs + nr, MIN(max - nr, 64u)))
		nr += MIN(max - nr, 64u);
	while (nr < max)
		ret_bufs[nr++] = buf_take_one(fs);
	atomic_store(&fs->bufs_free, nr_free - nr);
	lock_release(&fs->lock);
	return nr;
}

uint32_t bufs_take(struct frames *fs, uint32_t *ret_bufs, uint32_t want, uint32_t reserve)
{
	return take(fs, ret_bufs, want, reserve, false);
}

uint32_t bufs_take_runs(struct frames *fs, uint32_t *ret_bufs, uint32_t want, uint32_t reserve)
{
	return take(fs, ret_bufs, want, reserve, true);
}

uint32_t bufs_resident(struct frames *fs)
{
	uint32_t nr = atomic_load(&fs->bufs_touched), lent = atomic_load(&fs->nr_lent);

	if (atomic_load(&fs->has_runs))
		nr = MIN(nr, fs->first_run) + fs->nr_bufs - fs->first_run;
	return MIN(nr, fs->nr_bufs - lent);
}

/* [lock] */
static void mark_free(struct frames *fs, uint32_t buf)
{
	fs->buf_free[buf / 64] |= 1ull << (buf % 64);
	fs->buf_cursor = MIN(fs->buf_cursor, buf / 64);
	atomic_store(&fs->bufs_free, atomic_load(&fs->bufs_free) + 1);
}

void buf_give(struct frames *fs, uint32_t buf)
{
	uint64_t bit = 1ull << (buf % 64);

	lock_acquire(&fs->lock);
	ensure(buf < fs->nr_bufs && !((fs->buf_free[buf / 64] | fs->buf_lent[buf / 64]) & bit));
	mark_free(fs, buf);
	lock_release(&fs->lock);
}

/* [lock] Mark up to @want of the highest free buffers lent, but not those for runs. */
static uint32_t mark_lent(struct frames *fs, uint32_t *ret_bufs, uint32_t want)
{
	uint32_t nr = 0;

	for (uint32_t word = (fs->first_run + 63) / 64; word-- && nr < want;)
		while (fs->buf_free[word] && nr < want) {
			uint32_t bit = 63 - (uint32_t)__builtin_clzll(fs->buf_free[word]);

			fs->buf_free[word] &= ~(1ull << bit);
			fs->buf_lent[word] |= 1ull << bit;
			ret_bufs[nr++] = word * 64 + bit;
		}
	return nr;
}

/* Of neighbouring buffers, @nr from @first on. Return: whether they are not resident any more. */
static bool buf_drop(struct frames *fs, uint32_t first, uint32_t nr)
{
	long addr = (long)buf_addr(fs, first), len = (long)nr << PAGE_SHIFT;
	long err = sys_call3(SYS_madvise, addr, len, MADV_DONTNEED);

	/* Locked behind our back, as in transport_drop(). */
	if (err == -EINVAL) {
		sys_call2(SYS_munlock, (long)fs->pool, (long)fs->nr_bufs << PAGE_SHIFT);
		err = sys_call3(SYS_madvise, addr, len, MADV_DONTNEED);
	}
	return !err;
}

/* [lock] Lent no more. */
static void unlend(struct frames *fs, uint32_t buf)
{
	fs->buf_lent[buf / 64] &= ~(1ull << (buf % 64));
	mark_free(fs, buf);
	atomic_store(&fs->nr_lent, atomic_load(&fs->nr_lent) - 1);
}

uint32_t bufs_lend(struct frames *fs, uint32_t want, uint32_t reserve)
{
	uint32_t bufs[MAX_LEND], nr_run, done;

	lock_acquire(&fs->lock);
	uint32_t nr_free = atomic_load(&fs->bufs_free);
	want = MIN(want, nr_free > reserve ? nr_free - reserve : 0);
	uint32_t nr = mark_lent(fs, bufs, MIN(want, MAX_LEND));
	atomic_store(&fs->bufs_free, nr_free - nr);
	atomic_store(&fs->nr_lent, atomic_load(&fs->nr_lent) + nr);
	uint32_t touched = atomic_load(&fs->bufs_touched);
	while (touched && fs->buf_lent[(touched - 1) / 64] >> (touched - 1) % 64 & 1)
		touched--;
	atomic_store(&fs->bufs_touched, touched);
	lock_release(&fs->lock);
	/* From the highest downwards. Not resident before they are places. */
	for (done = 0; done < nr; done += nr_run) {
		for (nr_run = 1; done + nr_run < nr && bufs[done + nr_run] == bufs[done] - nr_run;)
			nr_run++;
		if (!buf_drop(fs, bufs[done + nr_run - 1], nr_run))
			break;
	}
	if (UNLIKELY(done < nr)) {
		lock_acquire(&fs->lock);
		for (uint32_t i = done; i < nr; i++)
			unlend(fs, bufs[i]);
		atomic_store(
		    &fs->bufs_touched, MAX(atomic_load(&fs->bufs_touched), bufs[done] + 1));
		lock_release(&fs->lock);
	}
	places_give(fs, done);
	return done;
}

uint32_t bufs_take_back(struct frames *fs, uint32_t want)
{
	uint32_t nr = places_take(fs, MIN(want, atomic_load(&fs->nr_lent))), left = nr;

	if (!nr)
		return 0;
	lock_acquire(&fs->lock);
	for (uint32_t word = 0; left; word++)
		for (; fs->buf_lent[word] && left; left--)
			unlend(fs, word * 64 + (uint32_t)__builtin_ctzll(fs->buf_lent[word]));
	lock_release(&fs->lock);
	return nr;
}

struct frame_nr frame_take(struct frames *fs, struct vpn vpn)
{
	lock_acquire(&fs->lock);
	struct frame_nr nr = {fs->free_head};
	/* Frames never used come last: their part of the table is not touched before. */
	if (nr.v == UINT32_MAX)
		nr.v = fs->nr_fresh++;
	else
		fs->free_head = fs->frame[nr.v].next;
	ensure(nr.v < fs->nr_frames);
	struct frame *f = &fs->frame[nr.v];
	f->next = UINT32_MAX;
	f->ref = SWAP_REF_NONE;
	f->buf = BUF_NONE;
	f->source = 0;
	atomic_store(&f->flags, 0);
	atomic_store(&f->vpn, vpn.v);
	uint32_t used = atomic_load(&fs->frames_used) + 1;
	atomic_store(&fs->frames_used, used);
	if (used > atomic_load(&fs->frames_peak))
		atomic_store(&fs->frames_peak, used);
	lock_release(&fs->lock);
	return nr;
}

void frame_give(struct frames *fs, struct frame_nr nr)
{
	struct frame *f = frame_of(fs, nr);

	ensure(f->buf == BUF_NONE);
	lock_acquire(&fs->lock);
	ensure(atomic_load(&f->vpn) != UINT64_MAX);
	atomic_store(&f->vpn, UINT64_MAX);
	f->next = fs->free_head;
	fs->free_head = nr.v;
	atomic_store(&fs->frames_used, atomic_load(&fs->frames_used) - 1);
	lock_release(&fs->lock);
	frame_credit_give(fs);
}
