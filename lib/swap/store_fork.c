// SPDX-License-Identifier: MIT
/*
 * What fork does to the swap store: generations.
 *
 *     parent                                   child
 *     prepare: pipe; share of live slots ----- fork -----  child: the parent's file, checksums and
 *     parent:  close the write end                         share become generation `own`, which
 *              ...                                         holds the write end; the child's own
 *     collect: end-of-file: end the share                  refs get another index
 *
 * The write end is closed by the kernel when the child ends or execs, by generation_put() when the
 * child has freed its last slot of that generation, and is inherited by the child's children,
 * which may have copies of its refs: end-of-file means that nobody is left.
 *
 * A generation index is taken only by a store with slots that somebody down here may read. So a
 * deep chain of shells costs nothing while nothing of theirs is in swap.
 *
 * Too many children alive at once (NR_FORKS), or no descriptor to be had: these forks go under one
 * overflow share, to which each adds its live slots. Its write end is kept for the next child, so
 * it cannot come to an end, until an entry is free and it becomes an ordinary one. Without a
 * pipe (also where threads have tables of descriptors of their own) its slots are kept for good:
 * swap space is lost, never data, and no fork fails for it.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/syscall.h>
#include <time.h>

#include "base/ensure.h"
#include "base/fd.h"
#include "base/sys.h"
#include "swap/room.h"
#include "swap/store_internal.h"

static void fd_close(_Atomic int *fd)
{
	int old = atomic_exchange(fd, -1);

	if (old >= 0)
		sys_call1(SYS_close, old);
}

static void entry_end(struct swap *s, struct fork_entry *e)
{
	slot_share_end(&s->map, e->share);
	e->share = NULL;
	fd_close(&e->read_fd);
	atomic_fetch_sub(&s->nr_forks, 1);
}

/* is_collecting owned. */
static void collect_owned(struct swap *s)
{
	struct pollfd polls[NR_FORKS];
	uint32_t which[NR_FORKS], nr = 0;

	for (uint32_t i = 0; i < NR_FORKS; i++) {
		int fd = atomic_load(&s->forks[i].read_fd);

		if (!s->forks[i].share || fd < 0)
			continue;
		polls[nr] = (struct pollfd){.fd = fd, .events = POLLIN};
		which[nr++] = i;
	}
	struct timespec zero = {0};
	if (!nr || sys_call5(SYS_ppoll, (long)polls, nr, (long)&zero, 0, 8) <= 0)
		return;
	/* Nobody ever writes into these pipes, and a descriptor that the program has closed behind
	 * our back (POLLNVAL) must not count as an end. */
	for (uint32_t i = 0; i < nr; i++)
		if (polls[i].revents & POLLHUP)
			entry_end(s, &s->forks[which[i]]);
}

static bool collecting_try(struct swap *s)
{
	return atomic_exchange(&s->is_collecting, 1) == 0;
}

void swap_collect(struct swap *s)
{
	if (!atomic_load_explicit(&s->nr_forks, memory_order_relaxed) || !collecting_try(s))
		return;
	collect_owned(s);
	atomic_store(&s->is_collecting, 0);
}

static struct fork_entry *free_entry(struct swap *s)
{
	for (uint32_t i = 0; i < NR_FORKS; i++)
		if (!s->forks[i].share)
			return &s->forks[i];
	return NULL;
}

/* The overflow share becomes an ordinary one, which ends with its children. */
static void overflow_settle(struct swap *s)
{
	struct fork_entry *e = free_entry(s);

	if (!s->overflow.share || !e || atomic_load(&s->overflow.read_fd) < 0)
		return;
	e->share = s->overflow.share;
	atomic_store(&e->read_fd, atomic_load(&s->overflow.read_fd));
	s->overflow.share = NULL;
	atomic_store(&s->overflow.read_fd, -1);
	fd_close(&s->overflow_write_fd);
}

/* Return: 0 or -errno, then both are -1. */
static int pipe_open(_Atomic int *read_fd, _Atomic int *write_fd)
{
	int fds[2];

	atomic_store(read_fd, -1);
	atomic_store(write_fd, -1);
	fd_open_begin();
	/* Read ends are polled by any thread. */
	long err = fd_is_split() ? -EMFILE : sys_call2(SYS_pipe2, (long)fds, O_CLOEXEC);
	if (!err) {
		atomic_store(read_fd, sys_fd_move_high(fds[0]));
		atomic_store(write_fd, sys_fd_move_high(fds[1]));
	}
	fd_open_end();
	return (int)err;
}

static int overflow_prepare(struct swap *s)
{
	if (s->overflow.share) {
		slot_share_extend(&s->map, s->overflow.share);
	} else {
		s->overflow.share = slot_share_begin(&s->map);
		if (!s->overflow.share)
			return -ENOMEM;
		atomic_fetch_add(&s->nr_forks, 1);
		pipe_open(&s->overflow.read_fd, &s->overflow_write_fd);
	}
	s->fork_share = s->overflow.share;
	return 0;
}

/* Keep what is in use for the child. */
static int prepare_owned(struct swap *s)
{
	collect_owned(s);
	overflow_settle(s);
	struct fork_entry *e = free_entry(s);
	if (!e || pipe_open(&e->read_fd, &s->fork_write_fd))
		return overflow_prepare(s);
	e->share = slot_share_begin(&s->map);
	if (!e->share) {
		fd_close(&e->read_fd);
		fd_close(&s->fork_write_fd);
		return -ENOMEM;
	}
	atomic_fetch_add(&s->nr_forks, 1);
	s->fork_share = e->share;
	return 0;
}

static bool has_slots(struct swap *s)
{
	return atomic_load(&s->file_state) == FILE_OPEN &&
	       atomic_load_explicit(&s->map.nr_used, memory_order_relaxed);
}

int swap_fork_prepare(struct swap *s)
{
	ensure(!s->fork_share && atomic_load(&s->file_state) != FILE_OPENING);
	s->child_own = s->own;
	/* What is in memory only the child could not read later. */
	if (atomic_load(&s->file_state) == FILE_OPEN && s->tier && tier_flush(s->tier) < 0)
		return -ENOMEM;
	if (!has_slots(s)) {
		swap_collect(s);
		return 0;
	}
	for (s->child_own = 0; s->child_own < SWAP_NR_GENERATIONS; s->child_own++)
		if (s->child_own != s->own && !atomic_load(&s->gens[s->child_own].nr_refs))
			break;
	if (s->child_own == SWAP_NR_GENERATIONS)
		return -EAGAIN;
	while (!collecting_try(s))
		sys_call0(SYS_sched_yield);
	int err = prepare_owned(s);
	atomic_store(&s->is_collecting, 0);
	return err;
}

void swap_fork_parent(struct swap *s)
{
	fd_close(&s->fork_write_fd);
	s->fork_share = NULL;
}

static void stats_reset(struct swap *s)
{
	atomic_store(&s->read_bytes, 0);
	atomic_store(&s->written_bytes, 0);
	atomic_store(&s->read_ops, 0);
	atomic_store(&s->write_ops, 0);
	atomic_store(&s->read_errors, 0);
	atomic_store(&s->write_errors, 0);
	atomic_store(&s->checksum_errors, 0);
}

/* The parent's own file becomes a generation of ours, or is none of our business. */
static void inherit_own_file(struct swap *s)
{
	struct generation *g = &s->gens[s->own];
	bool is_open = atomic_load(&s->file_state) == FILE_OPEN;

	if (!s->backend)
		return;
	s->backend->ops->fork_child(s->backend);
	if (!is_open || !s->fork_share) {
		s->backend->ops->close(s->backend);
		if (is_open) {
			tier_close(s->tier);
			slot_map_fini(&s->map);
		}
		return;
	}
	g->tier = s->tier;
	if (g->tier)
		tier_detach(g->tier, s->fork_share);
	g->backend = s->backend;
	g->live = s->fork_share;
	g->nr_slots = s->map.nr_slots;
	slot_map_detach(&s->map, s->fork_share, &g->checksum);
	atomic_store(&g->write_fd, atomic_exchange(&s->fork_write_fd, -1));
	atomic_store(&g->nr_refs, 1);
}

void swap_fork_child(struct swap *s)
{
	/* Under the overflow share the child's end is the one kept for all; otherwise it must not
	 * keep that from closing. */
	if (s->fork_share && s->fork_share == s->overflow.share)
		atomic_store(&s->fork_write_fd, atomic_exchange(&s->overflow_write_fd, -1));
	fd_close(&s->overflow_write_fd);
	for (uint32_t i = 0; i < NR_FORKS; i++) {
		fd_close(&s->forks[i].read_fd);
		s->forks[i].share = NULL;
	}
	fd_close(&s->overflow.read_fd);
	s->overflow.share = NULL;
	atomic_store(&s->nr_forks, 0);
	atomic_store(&s->nr_frees, 0);
	atomic_store(&s->is_collecting, 0);

	for (uint32_t i = 0; i < SWAP_NR_GENERATIONS; i++)
		if (atomic_load(&s->gens[i].nr_refs))
			s->gens[i].backend->ops->fork_child(s->gens[i].backend);
	inherit_own_file(s);
	if (s->room)
		room_after_fork(s->room);
	s->tier = NULL;
	s->own = s->child_own;
	s->backend = NULL;
	atomic_store(&s->has_backend, false);
	s->fork_share = NULL;
	atomic_store(&s->limited_ns, 0);
	atomic_store(&s->nr_exist, 0);
	atomic_store(&s->file_state, FILE_NONE);
	stats_reset(s);
	swap_file_begin(s);
}

struct generation *generation_get(struct swap *s, uint32_t index)
{
	ensure(index < SWAP_NR_GENERATIONS);
	struct generation *g = &s->gens[index];

	/* Cannot go from 0 to 1: the caller has a ref with a live slot, for which there is one. */
	ensure(atomic_fetch_add(&g->nr_refs, 1) > 0);
	return g;
}

/* Whatever the caller knows of it. Return: whether there is such a generation. */
static bool generation_get_try(struct generation *g)
{
	uint32_t nr = atomic_load(&g->nr_refs);

	while (nr && !atomic_compare_exchange_weak(&g->nr_refs, &nr, nr + 1))
		;
	return nr;
}

void generation_put(struct generation *g)
{
	if (atomic_load(&g->nr_refs) == 0 || atomic_fetch_sub(&g->nr_refs, 1) != 1)
		return;
	/* The index is not reused before the next fork, when no thread is in here. */
	g->backend->ops->close(g->backend);
	tier_close(g->tier);
	g->tier = NULL;
	slot_detached_free(g->live, g->checksum, g->nr_slots);
	fd_close(&g->write_fd);
}

void swap_fork_init(struct swap *s)
{
	for (uint32_t i = 0; i < NR_FORKS; i++)
		atomic_store(&s->forks[i].read_fd, -1);
	for (uint32_t i = 0; i < SWAP_NR_GENERATIONS; i++)
		atomic_store(&s->gens[i].write_fd, -1);
	atomic_store(&s->overflow.read_fd, -1);
	atomic_store(&s->overflow_write_fd, -1);
	atomic_store(&s->fork_write_fd, -1);
}

void swap_fork_fini(struct swap *s)
{
	for (uint32_t i = 0; i < NR_FORKS; i++)
		fd_close(&s->forks[i].read_fd);
	fd_close(&s->overflow.read_fd);
	fd_close(&s->overflow_write_fd);
	fd_close(&s->fork_write_fd);
	for (uint32_t i = 0; i < SWAP_NR_GENERATIONS; i++)
		if (atomic_load(&s->gens[i].nr_refs))
			generation_put(&s->gens[i]);
}

static bool is_fd(_Atomic int *which, int fd)
{
	return atomic_load_explicit(which, memory_order_relaxed) == fd;
}

bool swap_owns_fd(struct swap *s, int fd)
{
	if (fd < 0)
		return false;
	if (fd == s->dir_fd || is_fd(&s->fork_write_fd, fd) || is_fd(&s->overflow_write_fd, fd) ||
	    is_fd(&s->overflow.read_fd, fd))
		return true;
	if (atomic_load(&s->has_backend) && s->backend->ops->owns_fd(s->backend, fd))
		return true;
	for (uint32_t i = 0; i < NR_FORKS; i++)
		if (is_fd(&s->forks[i].read_fd, fd))
			return true;
	for (uint32_t i = 0; i < SWAP_NR_GENERATIONS; i++) {
		struct generation *g = &s->gens[i];

		if (!generation_get_try(g))
			continue;
		bool is_its = is_fd(&g->write_fd, fd) || g->backend->ops->owns_fd(g->backend, fd);
		generation_put(g);
		if (is_its)
			return true;
	}
	return false;
}
