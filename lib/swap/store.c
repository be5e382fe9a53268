// SPDX-License-Identifier: MIT
/*
 * Swap store: pages out and in; see store.h. What fork does is in store_fork.c.
 *
 * A page on its way out: slot, checksum noted, one transfer per run of slots, result. A failed
 * run's slots are retired and its pages tried once more elsewhere. A page on its way in: one
 * transfer per run of refs, checksum compared. A failed run is read again page by page, so that
 * one bad sector costs one page.
 *
 * The file is opened at the start, and when the pager of a forked child is built (5 us), not when
 * the first page is written: by then the program may be closing every descriptor there is, have
 * none left, have another root, or be a user who may not write there. Should that not work in a
 * child, it is tried again for the first page.
 *
 * No lock is held during a transfer. The arrays on the stack (some 20 KiB) hold CHUNK pages:
 * fault handlers run on small stacks.
 */
#include "swap/store.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <sys/vfs.h>

#include "base/ensure.h"
#include "base/fd.h"
#include "base/meta.h"
#include "base/sys.h"
#include "swap/checksum.h"
#include "swap/room.h"
#include "swap/store_internal.h"

#define READ_PIECE    64u   /* pages read at once for a reader that is told of each: guess */
#define COLLECT_EVERY 1024u /* frees between two looks for children that have ended; guess */
#define TRIM_CHUNKS   64u   /* at a time: 2 MiB; guess */
#define PICKY         16u   /* one page in so many is taken in to find out whether that pays */
#define LIMIT_NS      1000000000u /* how long to believe that the disk is full; guess */

struct swap_backend *(*swap_wrap_backend)(struct swap_backend *b);

static void count(_Atomic uint64_t *counter, uint64_t n)
{
	atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

static struct swap_ref own_ref(struct swap *s, struct slot slot)
{
	return (struct swap_ref){(uint64_t)s->own << 32 | slot.v};
}

/* --- opening --- */

/* Return: bytes that @dir_fd's file system has free, less 5 %; 0 if there is no telling. */
static uint64_t bytes_free(int dir_fd)
{
	struct statfs fs;

	if (sys_call2(SYS_fstatfs, dir_fd, (long)&fs) || fs.f_bsize <= 0)
		return 0;
	return (uint64_t)fs.f_bavail * (uint64_t)fs.f_bsize / 100 * 95;
}

int swap_open(const char *dir, uint64_t max_bytes, struct swap **ret_swap, const char **ret_how)
{
	const char *how;
	long fd = sys_call4(SYS_openat, AT_FDCWD, (long)dir, O_PATH | O_DIRECTORY | O_CLOEXEC, 0);

	if (fd < 0)
		return (int)fd;
	fd = sys_fd_move_high((int)fd);
	struct swap_backend *backend;
	int err = backend_uring_open((int)fd, &backend, &how);
	if (err)
		goto out_close;
	if (!max_bytes)
		max_bytes = bytes_free((int)fd);
	err = -ENOSPC;
	if (max_bytes < PAGE_BYTES)
		goto out_close_backend;
	struct swap *s = meta_map(page_round_up(sizeof(*s)));
	err = -ENOMEM;
	if (!s)
		goto out_close_backend;
	s->dir_fd = (int)fd;
	s->max_bytes = max_bytes;
	s->backend = backend;
	s->is_direct = backend_uring_is_direct(backend);
	atomic_store(&s->has_backend, true);
	swap_fork_init(s);
	*ret_swap = s;
	*ret_how = how;
	return 0;

out_close_backend:
	backend->ops->close(backend);
out_close:
	sys_call1(SYS_close, fd);
	return err;
}

void swap_close(struct swap *s)
{
	if (!s)
		return;
	swap_fork_fini(s);
	if (s->backend)
		s->backend->ops->close(s->backend);
	if (atomic_load(&s->file_state) == FILE_OPEN) {
		tier_close(s->tier);
		slot_map_fini(&s->map);
	}
	room_close(s->room);
	sys_call1(SYS_close, s->dir_fd);
	meta_unmap(s, page_round_up(sizeof(*s)));
}

int swap_file_begin(struct swap *s)
{
	fd_open_begin();
	int err = backend_uring_open_another(s->dir_fd, s->is_direct, &s->backend);
	if (err == -EMFILE) {
		struct sys_fd_limit limit;

		sys_fd_limit_raise(&limit);
		err = backend_uring_open_another(s->dir_fd, s->is_direct, &s->backend);
		sys_fd_limit_restore(&limit);
	}
	atomic_store(&s->has_backend, !err);
	fd_open_end();
	return err;
}

static int file_open(struct swap *s)
{
	uint32_t nr_slots = (uint32_t)MIN(s->max_bytes >> PAGE_SHIFT, REF_ENTRY - 1);
	int err = s->backend ? 0 : swap_file_begin(s);

	if (!err)
		err = slot_map_init(&s->map, nr_slots);
	if (err)
		return err;
	if (swap_wrap_backend) {
		struct swap_backend *wrapped = swap_wrap_backend(s->backend);

		if (!wrapped) {
			slot_map_fini(&s->map);
			return -ENOMEM;
		}
		s->backend = wrapped;
	}
	/* Without memory for its tables nothing is compressed. */
	s->tier = s->room ? tier_open(s) : NULL;
	return 0;
}

/* Open this process's own file unless it is open. Several threads may want it at once. */
static int file_want(struct swap *s)
{
	while (atomic_load(&s->file_state) != FILE_OPEN) {
		uint32_t expected = FILE_NONE;

		if (atomic_compare_exchange_strong(&s->file_state, &expected, FILE_OPENING)) {
			int err = file_open(s);

			atomic_store(&s->file_state, err ? FILE_NONE : FILE_OPEN);
			event_signal(&s->file_event);
			if (err)
				return err;
			continue;
		}
		uint32_t ticket = event_begin(&s->file_event);
		event_wait_unless(
		    &s->file_event, ticket, atomic_load(&s->file_state) != FILE_OPENING);
	}
	return 0;
}

/* --- a round of transfers under construction --- */

static void round_begin_io(struct round *r, struct slot first, uint32_t page, bool is_write)
{
	r->first_page[r->nr_ios] = page;
	r->ios[r->nr_ios++] = (struct swap_io){
	    .first = first,
	    .is_write = is_write,
	    .iov = &r->iov[r->nr_iov],
	};
}

/* Add a page to the last transfer. */
static void round_add(struct round *r, void *buf)
{
	struct swap_io *io = &r->ios[r->nr_ios - 1];
	struct iovec *last = io->nr_iov ? &r->iov[r->nr_iov - 1] : NULL;

	if (last && (char *)last->iov_base + last->iov_len == (char *)buf) {
		last->iov_len += PAGE_BYTES;
		return;
	}
	r->iov[r->nr_iov++] = (struct iovec){.iov_base = buf, .iov_len = PAGE_BYTES};
	io->nr_iov++;
}

/* Pages of transfer @i; the list has @nr. */
static uint32_t round_pages(const struct round *r, uint32_t i, uint32_t nr)
{
	return (i + 1 < r->nr_ios ? r->first_page[i + 1] : nr) - r->first_page[i];
}

/* --- out --- */

static void note_exist(struct swap *s, uint32_t nr)
{
	uint32_t before = atomic_load(&s->nr_exist);

	while (before < nr && !atomic_compare_exchange_weak(&s->nr_exist, &before, nr))
		;
}

/* The disk is full: make do with the slots that exist, and ask it again after a while. */
static void limit_slots(struct swap *s)
{
	slot_limit(&s->map, atomic_load(&s->nr_exist));
	atomic_store(&s->limited_ns, now_ns());
}

static bool lift_limit(struct swap *s)
{
	uint64_t since = atomic_load(&s->limited_ns);

	if (!since || now_ns() - since < LIMIT_NS)
		return false;
	atomic_store(&s->limited_ns, 0);
	slot_limit(&s->map, UINT32_MAX);
	return true;
}

void swap_free_run(struct swap *s, struct slot first, uint32_t nr)
{
	for (uint32_t i = 0; i < nr; i++)
		slot_free(&s->map, (struct slot){first.v + i});
}

/* Up to @want slots by whatever means there are. Return: how many; 0: swap is full. */
static uint32_t alloc_run(struct swap *s, uint32_t want, struct slot *ret_first)
{
	uint32_t nr = slot_alloc(&s->map, want, ret_first);

	if (!nr) {
		swap_collect(s);
		nr = slot_alloc(&s->map, want, ret_first);
	}
	if (!nr && lift_limit(s))
		nr = slot_alloc(&s->map, want, ret_first);
	return nr;
}

/*
 * Make as much as can be of a run of @nr allocated slots exist on disk; the rest is freed.
 * Return: how many exist, or -errno: -ENOSPC when not even the first does.
 */
static int64_t make_exist(struct swap *s, struct slot first, uint32_t nr)
{
	uint32_t n = nr;
	int64_t exist = s->backend->ops->grow(s->backend, first.v + n);

	while (exist == -ENOSPC && n > 1) {
		n /= 2;
		exist = s->backend->ops->grow(s->backend, first.v + n);
	}
	if (exist < 0)
		n = 0;
	else
		note_exist(s, (uint32_t)MIN(exist, (int64_t)s->map.nr_slots));
	swap_free_run(s, (struct slot){first.v + n}, nr - n);
	return exist < 0 ? exist : n;
}

int64_t swap_take_run(struct swap *s, uint32_t want, struct slot *ret_first)
{
	int64_t got = -ENOSPC;

	for (int nr_tries = 0; nr_tries < 2 && got == -ENOSPC; nr_tries++) {
		uint32_t nr = alloc_run(s, want, ret_first);

		if (!nr)
			return -ENOSPC;
		got = make_exist(s, *ret_first, nr);
		if (got == -ENOSPC)
			limit_slots(s);
	}
	return got;
}

void swap_note_write(struct swap *s, int result, uint32_t nr)
{
	count(result ? &s->write_errors : &s->write_ops, 1);
	if (!result)
		count(&s->written_bytes, (uint64_t)nr << PAGE_SHIFT);
}

void swap_note_read(struct swap *s, int result, uint32_t nr)
{
	count(result ? &s->read_errors : &s->read_ops, 1);
	if (!result)
		count(&s->read_bytes, (uint64_t)nr << PAGE_SHIFT);
}

/* The transfer's pages are in their slots; or the slots are given up and the pages know why. */
static void settle_write(
    struct swap *s, const struct swap_io *io, struct swap_page **list, uint32_t nr)
{
	for (uint32_t i = 0; i < nr; i++) {
		struct slot slot = {io->first.v + i};

		list[i]->result = io->result;
		if (!io->result)
			list[i]->ref = own_ref(s, slot);
		else if (io->result == -ENOSPC)
			slot_free(
			    &s->map, slot); /* nothing wrong with it but that it does not exist */
		else
			slot_retire(&s->map, slot);
	}
	if (io->result) {
		swap_note_write(s, io->result, nr);
		/* A file that cannot be allocated ahead: look where it has been written before. */
		if (io->result == -ENOSPC)
			slot_limit(&s->map, UINT32_MAX);
		return;
	}
	swap_note_write(s, 0, nr);
}

void swap_transfer_out(struct swap *s, struct swap_io *ios, uint32_t nr)
{
	atomic_fetch_add_explicit(&s->nr_writing, 1, memory_order_relaxed);
	s->backend->ops->transfer(s->backend, ios, nr);
	atomic_fetch_sub_explicit(&s->nr_writing, 1, memory_order_relaxed);
}

uint32_t swap_nr_writing(struct swap *s)
{
	return atomic_load_explicit(&s->nr_writing, memory_order_relaxed);
}

/* Write each page of @list once. */
static void write_once(struct swap *s, struct swap_page **list, uint32_t nr)
{
	struct round r;
	uint32_t n = 0;

	r.nr_ios = r.nr_iov = 0;
	while (n < nr) {
		struct slot first;
		int64_t got = swap_take_run(s, nr - n, &first);

		if (got < 0) {
			for (uint32_t i = n; i < nr; i++)
				list[i]->result = (int)got;
			break;
		}
		round_begin_io(&r, first, n, true);
		for (uint32_t i = 0; i < (uint32_t)got; i++, n++) {
			s->map.checksum[first.v + i] = checksum_half(list[n]->checksum);
			round_add(&r, list[n]->buf);
		}
	}
	if (!r.nr_ios)
		return;
	swap_transfer_out(s, r.ios, r.nr_ios);
	for (uint32_t i = 0; i < r.nr_ios; i++)
		settle_write(s, &r.ios[i], &list[r.first_page[i]], round_pages(&r, i, n));
}

/* Write those of @pages that are not in the tier. */
static void write_chunk(struct swap *s, struct swap_page *pages, uint32_t nr)
{
	struct swap_page *list[CHUNK];
	uint32_t nr_listed = 0, nr_failed = 0;

	for (uint32_t i = 0; i < nr; i++)
		if (!s->tier || pages[i].result)
			list[nr_listed++] = &pages[i];
	write_once(s, list, nr_listed);
	for (uint32_t i = 0; i < nr_listed; i++)
		if (list[i]->result)
			list[nr_failed++] = list[i];
	if (nr_failed)
		write_once(s, list, nr_failed);
}

void swap_write(struct swap *s, struct swap_page *pages, uint32_t nr)
{
	int err = file_want(s);

	for (uint32_t i = 0; err && i < nr; i++)
		pages[i].result = err;
	if (err) {
		count(&s->write_errors, 1);
		return;
	}
	if (s->tier)
		tier_store(s->tier, pages, nr);
	for (uint32_t i = 0; i < nr; i += CHUNK)
		write_chunk(s, &pages[i], MIN(nr - i, CHUNK));
}

void swap_offer(struct swap *s, struct swap_page *pages, uint32_t nr)
{
	if (!file_want(s) && s->tier) {
		atomic_fetch_add_explicit(&s->room->offered, nr, memory_order_relaxed);
		tier_store(s->tier, pages, nr);
		return;
	}
	for (uint32_t i = 0; i < nr; i++)
		pages[i].result = -EAGAIN;
}

/* --- in --- */

static struct source source_get(struct swap *s, uint32_t generation)
{
	if (generation == s->own) {
		ensure(atomic_load(&s->file_state) == FILE_OPEN);
		return (struct source){s->backend, s->map.checksum, s->tier, NULL};
	}
	struct generation *g = generation_get(s, generation);
	return (struct source){g->backend, g->checksum, g->tier, g};
}

static void source_put(struct source *from)
{
	if (from->g)
		generation_put(from->g);
}

static void verify(struct swap *s, const struct source *from, struct swap_page *page)
{
	page->result = 0;
	page->from = SWAP_FROM_DISK;
	page->checksum = page_checksum(page->buf);
	if (checksum_half(page->checksum) == from->checksum[ref_slot(page->ref).v])
		return;
	page->result = -EBADMSG;
	count(&s->checksum_errors, 1);
}

static void settle_read(struct swap *s, const struct source *from, struct swap_io *io,
    struct swap_page *pages, uint32_t nr)
{
	if (!io->result) {
		count(&s->read_ops, 1);
		count(&s->read_bytes, (uint64_t)nr << PAGE_SHIFT);
		for (uint32_t i = 0; i < nr; i++)
			verify(s, from, &pages[i]);
		return;
	}
	count(&s->read_errors, 1);
	for (uint32_t i = 0; i < nr; i++) {
		struct iovec iov = {.iov_base = pages[i].buf, .iov_len = PAGE_BYTES};
		struct swap_io one = {.first = ref_slot(pages[i].ref), .nr_iov = 1, .iov = &iov};

		pages[i].result = io->result;
		pages[i].from = SWAP_FROM_DISK;
		if (nr > 1 &&
		    !(pages[i].result = from->backend->ops->transfer(from->backend, &one, 1))) {
			count(&s->read_ops, 1);
			count(&s->read_bytes, PAGE_BYTES);
			verify(s, from, &pages[i]);
		}
	}
}

static void read_done(struct swap_io *io)
{
	struct read_round *rr = io->arg;
	uint32_t i = (uint32_t)(io - rr->r.ios), page = rr->r.first_page[i];
	uint32_t nr = round_pages(&rr->r, i, rr->nr);

	settle_read(rr->s, &rr->from, io, &rr->pages[page], nr);
	if (rr->reader)
		rr->reader->done(rr->reader, rr->first + page, rr->first + page + nr);
}

/* Prepare to read pages @first .. @first + @nr - 1, all of one generation. To be ended by
 * source_put(). */
static void plan_read(struct read_round *rr, struct swap *s, struct swap_page *pages,
    uint32_t first, uint32_t nr, enum swap_wait wait, struct swap_reader *reader)
{
	struct round *r = &rr->r;

	rr->s = s;
	rr->from = source_get(s, ref_generation(pages[first].ref));
	rr->pages = &pages[first];
	rr->nr = nr;
	rr->first = first;
	rr->reader = reader;
	uint32_t nr_slots = rr->from.g ? rr->from.g->nr_slots : s->map.nr_slots;
	r->nr_ios = r->nr_iov = 0;
	for (uint32_t i = 0; i < nr; i++) {
		struct slot slot = ref_slot(rr->pages[i].ref);

		ensure(slot.v < nr_slots);
		ensure(!rr->from.g || slot_share_has(rr->from.g->live, slot));
		if (!i || ref_slot(rr->pages[i - 1].ref).v + 1 != slot.v ||
		    (reader && i - r->first_page[r->nr_ios - 1] == READ_PIECE)) {
			round_begin_io(r, slot, i, false);
			r->ios[r->nr_ios - 1].may_spin = wait == SWAP_SPIN;
			r->ios[r->nr_ios - 1].done = reader ? read_done : NULL;
			r->ios[r->nr_ios - 1].arg = rr;
		}
		round_add(r, rr->pages[i].buf);
	}
}

static void read_chunk(struct swap *s, struct swap_page *pages, uint32_t first, uint32_t nr,
    enum swap_wait wait, struct swap_reader *reader)
{
	struct read_round rr;

	plan_read(&rr, s, pages, first, nr, wait, reader);
	rr.from.backend->ops->transfer(rr.from.backend, rr.r.ios, rr.r.nr_ios);
	for (uint32_t i = 0; i < rr.r.nr_ios && !reader; i++)
		read_done(&rr.r.ios[i]);
	source_put(&rr.from);
}

static bool is_entry(struct swap_ref ref)
{
	return ref.v & REF_ENTRY;
}

/* Pages from @pages on, @nr of them, that are read by the same means: of one generation, packed or
 * not. */
static uint32_t run_alike(const struct swap_page *pages, uint32_t nr)
{
	uint64_t mask = UINT64_MAX << 32 | REF_ENTRY;
	uint32_t n = 1;

	while (n < nr && n < CHUNK && !pages[n].from && !((pages[n].ref.v ^ pages[0].ref.v) & mask))
		n++;
	return n;
}

static void read_entries(struct swap *s, struct swap_page *pages, uint32_t nr, enum swap_wait wait)
{
	struct source from = source_get(s, ref_generation(pages[0].ref));

	tier_read(from.tier, from.backend, pages, nr, wait);
	source_put(&from);
}

void swap_read(struct swap *s, struct swap_page *pages, uint32_t nr, enum swap_wait wait)
{
	for (uint32_t i = 0; i < nr; i++)
		pages[i].from = SWAP_FROM_NOWHERE;
	swap_read_rest(s, pages, nr, wait, NULL);
}

void swap_read_rest(struct swap *s, struct swap_page *pages, uint32_t nr, enum swap_wait wait,
    struct swap_reader *reader)
{
	uint32_t n;

	for (uint32_t i = 0; i < nr; i += n) {
		n = 1;
		if (pages[i].from)
			continue;
		n = run_alike(&pages[i], nr - i);
		if (!is_entry(pages[i].ref)) {
			read_chunk(s, pages, i, n, wait, reader);
			continue;
		}
		read_entries(s, &pages[i], n, wait);
		if (reader)
			reader->done(reader, i, i + n);
	}
}

bool swap_read_begin(struct swap *s, struct swap_page *pages, uint32_t nr,
    struct swap_reader *reader, struct swap_reading **ret_reading)
{
	struct swap_reading *g = NULL;

	for (uint32_t i = 0; i < SWAP_NR_READINGS && !g; i++)
		g = s->reading[i].is_used ? NULL : &s->reading[i];
	if (!g || is_entry(pages[0].ref) || run_alike(pages, nr) < nr)
		return false;
	plan_read(&g->round, s, pages, 0, nr, SWAP_SLEEP, reader);
	struct swap_backend *b = g->round.from.backend;
	if (!b->ops->begin || !b->ops->begin(b, &g->flight, g->round.r.ios, g->round.r.nr_ios)) {
		source_put(&g->round.from);
		return false;
	}
	g->is_used = true;
	*ret_reading = g;
	return true;
}

bool swap_read_wait(struct swap_reading *g)
{
	struct swap_backend *b = g->round.from.backend;

	g->is_used = b->ops->wait(b, &g->flight);
	if (!g->is_used)
		source_put(&g->round.from);
	return g->is_used;
}

uint32_t swap_read_memory(struct swap *s, struct swap_page *pages, uint32_t nr)
{
	uint32_t left = 0;

	/* Only this process's own tier is in memory. */
	for (uint32_t i = 0; i < nr; i++) {
		pages[i].from = SWAP_FROM_NOWHERE;
		if (!is_entry(pages[i].ref) || ref_generation(pages[i].ref) != s->own)
			left++;
		else
			left += tier_read_memory(s->tier, &pages[i], 1);
	}
	return left;
}

void swap_free(struct swap *s, struct swap_ref ref)
{
	if (ref_generation(ref) == s->own) {
		if (is_entry(ref))
			tier_free(s->tier, ref_entry(ref));
		else
			slot_free(&s->map, ref_slot(ref));
		/* Relaxed: a pace, nothing more. */
		uint32_t n = atomic_fetch_add_explicit(&s->nr_frees, 1, memory_order_relaxed);
		if ((n + 1) % COLLECT_EVERY == 0)
			swap_collect(s);
		return;
	}
	struct generation *g = generation_get(s, ref_generation(ref));
	bool is_last = is_entry(ref) ? tier_free(g->tier, ref_entry(ref))
	                             : slot_share_drop(g->live, ref_slot(ref));
	if (is_last)
		generation_put(g);
	generation_put(g);
}

/* --- the tier's share --- */

int swap_tier_enable(struct swap *s, const char *codec, const struct swap_tier_memory *memory)
{
	return room_open(codec, memory, &s->room);
}

void swap_tier_share(struct swap *s, uint32_t nr_pages)
{
	if (s->room)
		atomic_store(&s->room->share, nr_pages / CHUNK_PAGES);
}

uint32_t swap_tier_trim(struct swap *s)
{
	if (atomic_load(&s->file_state) != FILE_OPEN || !s->tier)
		return 0;
	return tier_trim(s->tier, TRIM_CHUNKS);
}

void swap_tier_drop_dead(struct swap *s)
{
	if (atomic_load(&s->file_state) == FILE_OPEN && s->tier)
		tier_drop_dead(s->tier);
}

void swap_tier_offers(struct swap *s, bool do_pay)
{
	if (s->room)
		atomic_store(&s->room->is_picky, !do_pay);
}

bool swap_is_in_memory(struct swap *s, struct swap_ref ref)
{
	return is_entry(ref) && ref_generation(ref) == s->own &&
	       tier_is_in_memory(s->tier, ref_entry(ref));
}

bool swap_forget_memory(struct swap *s, struct swap_ref ref)
{
	if (swap_ref_is_none(ref) || !swap_is_in_memory(s, ref))
		return false;
	swap_free(s, ref);
	return true;
}

bool swap_wants(struct swap *s, struct swap_ref ref)
{
	struct room *r = s->room;

	if (!r || swap_ref_is_none(ref) || !atomic_load_explicit(&r->share, memory_order_relaxed))
		return false;
	if (atomic_load_explicit(&r->is_picky, memory_order_relaxed) && ref.v % PICKY)
		return false;
	if (is_entry(ref))
		return !swap_is_in_memory(s, ref);
	/* On disk as it is: for lack of room then, if nearly all pages compress. */
	uint32_t tries = atomic_load_explicit(&r->tries, memory_order_relaxed);
	uint32_t successes = atomic_load_explicit(&r->successes, memory_order_relaxed);
	return tries >= 32 && successes * 8 >= tries * 7;
}

void swap_check(struct swap *s)
{
	if (atomic_load(&s->file_state) != FILE_OPEN)
		return;
	slot_map_check(&s->map);
	if (s->tier)
		tier_check(s->tier);
}

static void tier_stats(struct room *r, struct swap_stats *ret_stats)
{
	ret_stats->tier_bytes = (uint64_t)atomic_load(&r->nr_taken) * CHUNK_BYTES;
	ret_stats->desk_bytes = (uint64_t)r->nr_desks * CHUNK_BYTES;
	ret_stats->packed_pages = atomic_load(&r->stored_pages);
	ret_stats->packed_bytes = atomic_load(&r->stored_bytes);
	ret_stats->tier_hits = atomic_load(&r->hits);
	ret_stats->offered_pages = atomic_load(&r->offered);
	ret_stats->packed_reads = atomic_load(&r->disk_reads);
	ret_stats->unpacked_pages = atomic_load(&r->rejected);
	ret_stats->fitting_pages = atomic_load(&r->fitting_pages);
	ret_stats->fitting_bytes = atomic_load(&r->fitting_bytes);
	ret_stats->tier_returns = atomic_load(&r->returns);
	ret_stats->tried_pages = ret_stats->fitting_pages + ret_stats->unpacked_pages;
}

uint64_t swap_capacity_bytes(struct swap *s)
{
	struct swap_stats stats;

	swap_stats(s, &stats);
	return s->max_bytes - MIN(stats.used_bytes, s->max_bytes);
}

void swap_stats(struct swap *s, struct swap_stats *ret_stats)
{
	bool is_open = atomic_load(&s->file_state) == FILE_OPEN;

	*ret_stats = (struct swap_stats){
	    .used_bytes = is_open ? (uint64_t)atomic_load(&s->map.nr_used) << PAGE_SHIFT : 0,
	    .read_bytes = atomic_load(&s->read_bytes),
	    .written_bytes = atomic_load(&s->written_bytes),
	    .read_ops = atomic_load(&s->read_ops),
	    .write_ops = atomic_load(&s->write_ops),
	    .read_errors = atomic_load(&s->read_errors),
	    .write_errors = atomic_load(&s->write_errors),
	    .checksum_errors = atomic_load(&s->checksum_errors),
	};
	if (s->room)
		tier_stats(s->room, ret_stats);
}
