// SPDX-License-Identifier: MIT
/*
 * Slot map: three states of a slot in two bitmaps.
 *
 *     free --alloc--> live --free, no share has it--------> free
 *                      | '---free, some share has it------> given up --last share ends--> free
 *                      '-----retire-----------------------> given up, in no share: for ever
 *
 * live = used & ~given_up. A share is a copy of `live` at the time of a fork. There are few shares
 * at a time (the store merges them beyond a limit), so "does a share hold it" asks them all.
 *
 * Where to allocate: first fit from a cursor that goes round and round, as a log does, because
 * swap-out wants long runs above all: a 256 KiB write costs as much as five separate pages. The
 * cursor goes round within a part of the file that is REACH times what is in use, so that most
 * of it is free and runs stay long, but a small swap stays a small file.
 *
 * Called by the store only. Does no I/O.
 */
#include "swap/slots.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "base/ensure.h"
#include "base/meta.h"
#include "base/sys.h"

#define WORD_BITS   64u
#define REACH       2u     /* with 3, as quick and half as much again of the map: guess */
#define REACH_SLACK 16384u /* slots (64 MiB); guess */
#define SCAN_WORDS  4096u  /* words to search for a longer run once there is one: some 20 us */

struct slot_share {
	struct slot_share *next;  /* [lock] */
	size_t bytes;             /* [const] size of this mapping */
	uint32_t nr_words;        /* [lock]; detached: const */
	_Atomic uint32_t nr_bits; /* bits set */
	_Atomic uint64_t bits[];  /* [lock]; detached: any thread clears */
};

static uint32_t nr_words(uint32_t nr_slots)
{
	return (nr_slots + WORD_BITS - 1) / WORD_BITS;
}

static bool bit_test(const uint64_t *bits, uint32_t i)
{
	return bits[i / WORD_BITS] >> (i % WORD_BITS) & 1;
}

static void bit_set(uint64_t *bits, uint32_t i)
{
	bits[i / WORD_BITS] |= 1ull << (i % WORD_BITS);
}

static void bit_clear(uint64_t *bits, uint32_t i)
{
	bits[i / WORD_BITS] &= ~(1ull << (i % WORD_BITS));
}

static void nr_used_add(struct slot_map *m, int n)
{
	/* A statistic; the lock orders what depends on it. */
	atomic_fetch_add_explicit(&m->nr_used, (uint32_t)n, memory_order_relaxed);
}

static size_t bitmap_bytes(uint32_t nr_slots)
{
	return page_round_up((size_t)nr_words(nr_slots) * sizeof(uint64_t));
}

static size_t checksum_bytes(uint32_t nr_slots)
{
	return page_round_up((size_t)nr_slots * sizeof(uint32_t));
}

/* The tables are as large as the disk and touched here and there: no 2 MiB pages for them. */
static void *table_map(size_t bytes)
{
	void *table = meta_map(bytes);

	if (table)
		sys_call3(SYS_madvise, (long)table, (long)bytes, MADV_NOHUGEPAGE);
	return table;
}

int slot_map_init(struct slot_map *m, uint32_t nr_slots)
{
	memset(m, 0, sizeof(*m));
	lock_init(&m->lock, LOCK_SLOT);
	m->nr_slots = m->limit = nr_slots;
	m->used = table_map(bitmap_bytes(nr_slots));
	m->given_up = table_map(bitmap_bytes(nr_slots));
	m->checksum = table_map(checksum_bytes(nr_slots));
	if (m->used && m->given_up && m->checksum)
		return 0;
	slot_map_fini(m);
	return -ENOMEM;
}

static void fini_all_but(struct slot_map *m, struct slot_share *keep)
{
	while (m->shares) {
		struct slot_share *share = m->shares;

		m->shares = share->next;
		if (share != keep)
			meta_unmap(share, share->bytes);
	}
	meta_unmap(m->used, bitmap_bytes(m->nr_slots));
	meta_unmap(m->given_up, bitmap_bytes(m->nr_slots));
	m->used = m->given_up = NULL;
}

void slot_map_fini(struct slot_map *m)
{
	fini_all_but(m, NULL);
	meta_unmap(m->checksum, checksum_bytes(m->nr_slots));
	m->checksum = NULL;
}

void slot_map_detach(struct slot_map *m, struct slot_share *keep, uint32_t **ret_checksum)
{
	*ret_checksum = m->checksum;
	fini_all_but(m, keep);
	m->checksum = NULL;
}

void slot_detached_free(struct slot_share *share, uint32_t *checksum, uint32_t nr_slots)
{
	meta_unmap(checksum, checksum_bytes(nr_slots));
	if (share)
		meta_unmap(share, share->bytes);
}

struct run {
	uint32_t first, len;
};

/*
 * Length of the free run at @i, at most @want. In a scan each word costs one step, so runs are
 * measured by counting zeros.
 */
static uint32_t run_length(const struct slot_map *m, uint32_t i, uint32_t end, uint32_t want)
{
	uint32_t len = 0;

	end = MIN(end, i + MIN(want, end - i));
	while (i + len < end) {
		uint32_t at = i + len, shift = at % WORD_BITS;
		uint64_t word = m->used[at / WORD_BITS] >> shift;

		if (word)
			return MIN(len + (uint32_t)__builtin_ctzll(word), end - i);
		len += WORD_BITS - shift;
	}
	return end - i;
}

/* First free slot in [@i, @end), or @end. */
static uint32_t next_free(const struct slot_map *m, uint32_t i, uint32_t end)
{
	while (i < end) {
		uint64_t word = ~m->used[i / WORD_BITS] >> (i % WORD_BITS);

		if (word)
			return MIN(i + (uint32_t)__builtin_ctzll(word), end);
		i = (i / WORD_BITS + 1) * WORD_BITS;
	}
	return end;
}

/* Search [@from, @end) until a run of @want is found; *@best is the longest up to there. */
static void search(
    const struct slot_map *m, uint32_t from, uint32_t end, uint32_t want, struct run *best)
{
	uint32_t enough = 0;

	for (uint32_t i = next_free(m, from, end); i < end;) {
		uint32_t len = run_length(m, i, end, want);

		if (len > best->len)
			*best = (struct run){i, len};
		if (best->len >= want)
			return;
		if (!enough)
			enough = i / WORD_BITS + SCAN_WORDS;
		if (i / WORD_BITS >= enough)
			return;
		i = next_free(m, i + len, end);
	}
}

static void take_locked(struct slot_map *m, struct run run)
{
	for (uint32_t i = run.first; i < run.first + run.len; i++) {
		ensure(!bit_test(m->used, i));
		bit_set(m->used, i);
	}
	m->cursor = run.first + run.len;
	m->high = MAX(m->high, m->cursor);
	m->nr_busy += run.len;
	nr_used_add(m, (int)run.len);
}

uint32_t slot_alloc(struct slot_map *m, uint32_t want, struct slot *ret_first)
{
	struct run best = {0, 0};

	ensure(want > 0);
	lock_acquire(&m->lock);
	uint64_t reach = (uint64_t)m->nr_busy * REACH + REACH_SLACK;
	uint32_t end = (uint32_t)MIN(reach, m->limit);
	uint32_t cursor = m->cursor < end ? m->cursor : 0;

	search(m, cursor, end, want, &best);
	if (best.len < want)
		search(m, 0, cursor, want, &best);
	/* All within reach is taken: only now does a nearly full swap go beyond. */
	if (best.len == 0)
		search(m, end, m->limit, want, &best);
	if (best.len) {
		take_locked(m, best);
		*ret_first = (struct slot){best.first};
	}
	lock_release(&m->lock);
	return best.len;
}

void slot_limit(struct slot_map *m, uint32_t limit)
{
	lock_acquire(&m->lock);
	m->limit = MIN(limit, m->nr_slots);
	m->cursor = 0;
	lock_release(&m->lock);
}

static bool share_test(const struct slot_share *share, uint32_t i)
{
	return i / WORD_BITS < share->nr_words &&
	       (atomic_load_explicit(&share->bits[i / WORD_BITS], memory_order_relaxed) >>
	               (i % WORD_BITS) &
	           1);
}

static bool is_shared_locked(const struct slot_map *m, uint32_t i)
{
	for (const struct slot_share *s = m->shares; s; s = s->next)
		if (share_test(s, i))
			return true;
	return false;
}

static bool is_live_locked(const struct slot_map *m, struct slot slot)
{
	return slot.v < m->nr_slots && bit_test(m->used, slot.v) && !bit_test(m->given_up, slot.v);
}

bool slot_is_live(struct slot_map *m, struct slot slot)
{
	lock_acquire(&m->lock);
	bool is_live = is_live_locked(m, slot);
	lock_release(&m->lock);
	return is_live;
}

void slot_free(struct slot_map *m, struct slot slot)
{
	lock_acquire(&m->lock);
	ensure(is_live_locked(m, slot));
	if (is_shared_locked(m, slot.v)) {
		bit_set(m->given_up, slot.v);
	} else {
		bit_clear(m->used, slot.v);
		m->nr_busy--;
	}
	nr_used_add(m, -1);
	lock_release(&m->lock);
}

void slot_retire(struct slot_map *m, struct slot slot)
{
	lock_acquire(&m->lock);
	ensure(is_live_locked(m, slot));
	/* Only a slot that has never been written successfully fails, and no fork happens during a
	 * write: were it in a share, that share's end would free it. */
	ensure(!is_shared_locked(m, slot.v));
	bit_set(m->given_up, slot.v);
	nr_used_add(m, -1);
	lock_release(&m->lock);
}

/* A fresh share's words are zero; an extended one's bits stay. */
static void share_fill_locked(struct slot_map *m, struct slot_share *share)
{
	uint32_t nr = 0;

	for (uint32_t w = 0; w < share->nr_words; w++) {
		uint64_t live = m->used[w] & ~m->given_up[w];

		/* Relaxed: under the lock; only a detached share is touched by several threads. */
		live |= atomic_load_explicit(&share->bits[w], memory_order_relaxed);
		if (live)
			atomic_store_explicit(&share->bits[w], live, memory_order_relaxed);
		nr += (uint32_t)__builtin_popcountll(live);
	}
	atomic_store_explicit(&share->nr_bits, nr, memory_order_relaxed);
}

static size_t share_bytes(uint32_t words)
{
	return page_round_up(sizeof(struct slot_share) + (size_t)words * sizeof(uint64_t));
}

struct slot_share *slot_share_begin(struct slot_map *m)
{
	/* Room for the whole map, of which only what is below `high` is touched: it can be
	 * extended. */
	size_t bytes = share_bytes(nr_words(m->nr_slots));
	struct slot_share *share = table_map(bytes);

	if (!share)
		return NULL;
	share->bytes = bytes;
	lock_acquire(&m->lock);
	share->nr_words = nr_words(m->high);
	share_fill_locked(m, share);
	share->next = m->shares;
	m->shares = share;
	lock_release(&m->lock);
	return share;
}

void slot_share_extend(struct slot_map *m, struct slot_share *share)
{
	lock_acquire(&m->lock);
	share->nr_words = nr_words(m->high);
	share_fill_locked(m, share);
	lock_release(&m->lock);
}

void slot_share_end(struct slot_map *m, struct slot_share *share)
{
	lock_acquire(&m->lock);
	struct slot_share **link = &m->shares;
	while (*link != share) {
		ensure(*link);
		link = &(*link)->next;
	}
	*link = share->next;

	for (uint32_t w = 0; w < share->nr_words; w++) {
		uint64_t gone =
		    m->given_up[w] & atomic_load_explicit(&share->bits[w], memory_order_relaxed);

		for (struct slot_share *s = m->shares; s && gone; s = s->next)
			if (w < s->nr_words)
				gone &= ~atomic_load_explicit(&s->bits[w], memory_order_relaxed);
		if (!gone)
			continue;
		m->used[w] &= ~gone;
		m->given_up[w] &= ~gone;
		m->nr_busy -= (uint32_t)__builtin_popcountll(gone);
	}
	lock_release(&m->lock);
	meta_unmap(share, share->bytes);
}

bool slot_share_has(struct slot_share *share, struct slot slot)
{
	return share_test(share, slot.v);
}

bool slot_share_drop(struct slot_share *share, struct slot slot)
{
	uint64_t bit = 1ull << (slot.v % WORD_BITS);

	ensure(slot.v / WORD_BITS < share->nr_words);
	ensure(atomic_fetch_and(&share->bits[slot.v / WORD_BITS], ~bit) & bit);
	return atomic_fetch_sub(&share->nr_bits, 1) == 1;
}

void slot_map_check(struct slot_map *m)
{
	uint32_t nr_busy = 0, nr_live = 0;

	lock_acquire(&m->lock);
	for (uint32_t w = 0; w < nr_words(m->nr_slots); w++) {
		ensure((m->given_up[w] & ~m->used[w]) == 0);
		ensure(w < nr_words(m->high) || m->used[w] == 0);
		nr_busy += (uint32_t)__builtin_popcountll(m->used[w]);
		nr_live += (uint32_t)__builtin_popcountll(m->used[w] & ~m->given_up[w]);
		for (struct slot_share *s = m->shares; s; s = s->next)
			ensure(w >= s->nr_words || (s->bits[w] & ~m->used[w]) == 0);
	}
	ensure(nr_busy == m->nr_busy);
	ensure(nr_live == atomic_load(&m->nr_used));
	lock_release(&m->lock);
}
