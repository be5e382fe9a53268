// SPDX-License-Identifier: MIT
/* Segments, desks and codec states; see room.h. */
#include "swap/room.h"

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

#define WINDOW_TRIES 64u /* compressions by whose success the next are judged; guess */
#define SAMPLE       64u /* one page in so many is tried while they do not compress */

static size_t area_bytes(const struct room *r)
{
	return (size_t)(r->nr_segments + r->nr_desks) * CHUNK_BYTES;
}

static int area_map(struct room *r)
{
	long area =
	    sys_call6(SYS_mmap, (long)r->memory.area, (long)area_bytes(r), PROT_READ | PROT_WRITE,
	        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE |
	            (r->memory.area ? MAP_FIXED_NOREPLACE : 0),
	        -1, 0);

	if (area < 0)
		return (int)area;
	r->area = (char *)area;
	sys_call3(SYS_madvise, area, (long)area_bytes(r), MADV_NOHUGEPAGE);
	sys_call5(SYS_prctl, PR_SET_VMA, PR_SET_VMA_ANON_NAME, area, (long)area_bytes(r),
	    (long)"faultline-tier");
	return 0;
}

static int states_map(struct room *r)
{
	size_t each = page_round_up(r->codec->state_bytes());

	r->state_bytes = page_round_up(NR_STATES * sizeof(*r->state)) + NR_STATES * each;
	r->state = meta_map(r->state_bytes);
	if (!r->state)
		return -ENOMEM;
	char *bytes = (char *)r->state + page_round_up(NR_STATES * sizeof(*r->state));
	for (uint32_t i = 0; i < NR_STATES; i++) {
		lock_init(&r->state[i].lock, LOCK_CODEC);
		r->state[i].bytes = bytes + i * each;
	}
	return 0;
}

int room_open(const char *codec, const struct swap_tier_memory *memory, struct room **ret_room)
{
	struct room *r = meta_map(page_round_up(sizeof(*r)));
	int err = -ENOMEM;

	if (!r)
		return -ENOMEM;
	r->codec = codec_find(codec);
	ensure(r->codec);
	r->memory = *memory;
	/* A 128th of the memory, which the program lacks also when nothing compresses. */
	r->nr_desks = MIN(MAX(memory->nr_pages / (CHUNK_PAGES * 128), 1u), MAX_DESKS);
	r->nr_segments = memory->nr_pages / CHUNK_PAGES;
	r->free_segment = UINT32_MAX;
	lock_init(&r->lock, LOCK_ROOM);
	r->next_segment = meta_map(page_round_up(r->nr_segments * sizeof(uint32_t)));
	if (!r->next_segment)
		goto out_close;
	err = states_map(r);
	if (!err)
		err = area_map(r);
	if (!err && !memory->take(r->nr_desks * CHUNK_PAGES, true))
		err = -ENOMEM;
	if (err)
		goto out_close;
	*ret_room = r;
	return 0;

out_close:
	room_close(r);
	return err;
}

void room_close(struct room *r)
{
	if (!r)
		return;
	if (r->area)
		sys_call2(SYS_munmap, (long)r->area, (long)area_bytes(r));
	meta_unmap(r->state, r->state_bytes);
	meta_unmap(r->next_segment, page_round_up(r->nr_segments * sizeof(uint32_t)));
	meta_unmap(r, page_round_up(sizeof(*r)));
}

void room_after_fork(struct room *r)
{
	uint32_t nr = atomic_load(&r->nr_taken);

	if (r->nr_fresh)
		sys_call3(
		    SYS_madvise, (long)r->area, (long)(r->nr_fresh * CHUNK_BYTES), MADV_DONTNEED);
	r->free_segment = UINT32_MAX;
	r->nr_fresh = 0;
	atomic_store(&r->nr_taken, 0);
	if (nr)
		r->memory.give(nr * CHUNK_PAGES);
	atomic_store(&r->busy_desks, 0);
	atomic_store(&r->desk_freed.nr_waiting, 0);
	atomic_store(&r->stored_pages, 0);
	atomic_store(&r->stored_bytes, 0);
	atomic_store(&r->offered, 0);
	atomic_store(&r->hits, 0);
	atomic_store(&r->disk_reads, 0);
	atomic_store(&r->rejected, 0);
	atomic_store(&r->fitting_pages, 0);
	atomic_store(&r->fitting_bytes, 0);
	atomic_store(&r->written_chunks, 0);
	atomic_store(&r->returns, 0);
}

/* --- segments --- */

uint32_t segment_take(struct room *r, bool may_wait)
{
	uint32_t segment = UINT32_MAX;

	if (atomic_load(&r->nr_taken) >= atomic_load(&r->share) &&
	    !(may_wait && r->memory.more && r->memory.more()))
		return UINT32_MAX;
	/* May take a while: with no lock held. */
	if (!r->memory.take(CHUNK_PAGES, may_wait))
		return UINT32_MAX;
	lock_acquire(&r->lock);
	uint32_t nr = atomic_load(&r->nr_taken);
	if (nr < MIN(atomic_load(&r->share), r->nr_segments)) {
		if (r->free_segment != UINT32_MAX) {
			segment = r->free_segment;
			r->free_segment = r->next_segment[segment];
		} else {
			segment = r->nr_fresh++;
			ensure(segment < r->nr_segments);
		}
		atomic_store(&r->nr_taken, nr + 1);
	}
	lock_release(&r->lock);
	if (segment == UINT32_MAX)
		r->memory.give(CHUNK_PAGES);
	return segment;
}

void segment_give(struct room *r, uint32_t segment)
{
	ensure(segment < r->nr_segments);
	/* Not resident before its frames are anybody else's. */
	ensure(sys_call3(SYS_madvise, (long)segment_addr(r, segment), (long)CHUNK_BYTES,
	           MADV_DONTNEED) == 0);
	atomic_fetch_add_explicit(&r->returns, 1, memory_order_relaxed);
	lock_acquire(&r->lock);
	r->next_segment[segment] = r->free_segment;
	r->free_segment = segment;
	atomic_store(&r->nr_taken, atomic_load(&r->nr_taken) - 1);
	lock_release(&r->lock);
	r->memory.give(CHUNK_PAGES);
}

bool room_is_over(struct room *r)
{
	return atomic_load(&r->nr_taken) > atomic_load(&r->share);
}

/* --- desks --- */

static uint32_t desks_take_try(struct room *r, uint32_t want, char **ret_desks)
{
	uint32_t busy = atomic_load(&r->busy_desks), take, nr;

	do {
		take = nr = 0;
		for (uint32_t i = 0; i < r->nr_desks && nr < want; i++)
			if (!(busy >> i & 1)) {
				ret_desks[nr++] = segment_addr(r, r->nr_segments + i);
				take |= 1u << i;
			}
	} while (nr && !atomic_compare_exchange_weak(&r->busy_desks, &busy, busy | take));
	return nr;
}

uint32_t desks_take(struct room *r, uint32_t want, char **ret_desks)
{
	for (;;) {
		uint32_t ticket = event_begin(&r->desk_freed);
		uint32_t nr = desks_take_try(r, want, ret_desks);

		if (nr) {
			event_cancel(&r->desk_freed);
			return nr;
		}
		event_wait(&r->desk_freed, ticket);
	}
}

void desks_give(struct room *r, char *const *desks, uint32_t nr)
{
	uint32_t bits = 0;

	for (uint32_t i = 0; i < nr; i++)
		bits |= 1u << ((size_t)(desks[i] - r->area) / CHUNK_BYTES - r->nr_segments);
	ensure((atomic_fetch_and(&r->busy_desks, ~bits) & bits) == bits);
	if (atomic_load(&r->desk_freed.nr_waiting))
		event_signal(&r->desk_freed);
}

/* --- compressing --- */

bool room_should_sample(struct room *r)
{
	return atomic_fetch_add_explicit(&r->skipped, 1, memory_order_relaxed) % SAMPLE == 0;
}

bool room_should_try(struct room *r)
{
	uint32_t tries = atomic_load_explicit(&r->tries, memory_order_relaxed);
	uint32_t successes = atomic_load_explicit(&r->successes, memory_order_relaxed);

	if (tries < WINDOW_TRIES / 2 || successes * 8 >= tries)
		return true;
	return room_should_sample(r);
}

/* A race loses a count or two, no more. */
static void note_try(struct room *r, bool is_success)
{
	uint32_t tries = atomic_load_explicit(&r->tries, memory_order_relaxed) + 1;
	uint32_t successes = atomic_load_explicit(&r->successes, memory_order_relaxed) + is_success;

	/* One success among the samples weighs as eight tries: it is known soon when pages
	 * compress again. */
	if (is_success && successes * 8 < tries)
		successes = (tries + 7) / 8;
	if (tries >= WINDOW_TRIES) {
		tries /= 2;
		successes /= 2;
	}
	atomic_store_explicit(&r->tries, tries, memory_order_relaxed);
	atomic_store_explicit(&r->successes, MIN(successes, tries), memory_order_relaxed);
}

struct codec_state *state_take(struct room *r)
{
	for (uint32_t i = 0; i < NR_STATES; i++)
		if (lock_acquire_try(&r->state[i].lock))
			return &r->state[i];
	lock_acquire(&r->state[0].lock);
	return &r->state[0];
}

void state_give(struct codec_state *state)
{
	lock_release(&state->lock);
}

uint32_t room_compress(struct room *r, struct codec_state *state, const void *page)
{
	uint32_t bytes = r->codec->compress(state->bytes, page, state->out);

	note_try(r, bytes);
	if (bytes) {
		atomic_fetch_add_explicit(&r->fitting_pages, 1, memory_order_relaxed);
		atomic_fetch_add_explicit(&r->fitting_bytes, bytes, memory_order_relaxed);
	} else {
		atomic_fetch_add_explicit(&r->rejected, 1, memory_order_relaxed);
	}
	return bytes;
}

bool room_expand(struct room *r, const void *from, uint32_t bytes, void *page)
{
	if (!r->codec->expand_needs_state)
		return r->codec->expand(NULL, from, bytes, page);
	struct codec_state *state = state_take(r);
	bool ok = r->codec->expand(state->bytes, from, bytes, page);
	state_give(state);
	return ok;
}
