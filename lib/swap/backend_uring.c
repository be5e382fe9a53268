// SPDX-License-Identifier: MIT
/*
 * Swap backend on an unlinked temporary file: O_DIRECT and io_uring where there are any.
 *
 * One transfer alone that nobody spins for is a plain preadv or pwritev: measured on a virtio disk,
 * a page takes 58-71 us so and 68-82 us through a ring. Several at once go through a ring, eight
 * pages in 107 us.
 *
 * Whether spinning for a short read beats sleeping for it is the machine's affair: a wake-up from
 * an idle CPU took 18-23 us of the 68-92 us of such a read on one virtual machine; on another the
 * completion reached a busy CPU 42 us later than an idle one (doc/performance.md). So both are
 * tried, and the one with the shorter median is used, with a look at the other now and then. Both
 * several times in a row: what a sleep costs depends on the CPU that the one before woke up on.
 *
 * The process keeps a small pool of rings for all its backends, made when first
 * wanted; a thread that finds none free does blocking I/O rather than wait for another's. A thread
 * leaves a ring only when all it submitted is complete, else task work would make a later
 * epoll_wait of its return EINTR.
 *
 * A thread with a table of descriptors of its own uses the rings that there were when it got that;
 * no more are made then (base/fd.h).
 *
 * Rings belong to one process. A forked child drops the inherited ones (fork_child), and whoever
 * shares the memory but is another process (vfork) does blocking I/O: the pool knows its pid.
 *
 * The file grows by fallocate in large steps, so that the file system gives it long extents;
 * writing into them the first time costs 5-15 % more than the second (measured: 1.78 against 2.10
 * GB/s in 256 KiB writes, no difference at 4 KiB), less than what extending the file write by write
 * costs. Where fallocate is not to be had, each write extends the file: setting its size instead
 * could cut off what another thread has just written.
 */
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <limits.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "base/ensure.h"
#include "base/fd.h"
#include "base/lock.h"
#include "base/meta.h"
#include "base/sys.h"
#include "swap/backend.h"

#define NR_RINGS     8u
#define RING_ENTRIES 64u
#define GROW_BYTES   (64ull << 20)
#define SPIN_NS      400000u /* several times what a disk worth spinning for takes */
#define TRY_RUN      8u      /* reads in a row that are waited for the other way ... */
#define TRY_EVERY    2048u   /* ... of so many; guesses */
#define TRY_BOTH     64u     /* the first reads, in runs by turns; guess */
#define MAX_LOST     100u    /* guess */
#define NR_TRIES     1000u   /* of a submission that the kernel has no memory for; guess */

struct file_backend {
	struct swap_backend base;
	int fd;                        /* [const] */
	bool is_direct;                /* [const] */
	_Atomic uint64_t size_bytes;   /* of the file, allocated; only grows */
	_Atomic bool is_not_allocated; /* no fallocate here: writes extend the file */
	_Atomic uint32_t nr_waits;   /* [atomic, relaxed] reads of a page that might be spun for */
	_Atomic uint32_t wait_ns[2]; /* [atomic, relaxed] running medians: asleep, spinning */
	_Atomic bool spins;          /* [atomic, relaxed] the way in use */
};

enum ring_state {
	RING_NONE,
	RING_READY,
	RING_BROKEN, /* cannot be made, or failed: not tried again */
};

struct ring {
	_Atomic bool is_taken;         /* by a thread, for its transfers; nobody waits for one */
	uint32_t state;                /* [taken] enum ring_state */
	struct io_uring uring;         /* [taken] */
	struct io_uring_params params; /* [taken] */
	uint32_t nr_lost;              /* [taken] times that its descriptor was taken from it */
	_Atomic int fd;                /* [atomic, relaxed] -1: none; for owns_fd */
};

static struct {
	_Atomic int pid;          /* whose rings these are; 0: nobody's yet */
	_Atomic uint32_t nr_open; /* backends */
	struct ring rings[NR_RINGS];
} pool;

static struct file_backend *file_of(struct swap_backend *b)
{
	return container_of(b, struct file_backend, base);
}

static int own_pid(void)
{
	return (int)sys_call0(SYS_getpid);
}

/* --- rings --- */

static void pool_reset(void)
{
	for (uint32_t i = 0; i < NR_RINGS; i++) {
		struct ring *r = &pool.rings[i];

		memset(r, 0, sizeof(*r));
		atomic_store(&r->fd, -1);
	}
	atomic_store(&pool.pid, own_pid());
}

static int ring_open(struct ring *r)
{
	/* liburing makes this call itself; asked for here first so that tests can refuse it. */
	if (sys_inject && sys_inject(SYS_io_uring_setup) < 0)
		return -ENOSYS;
	/* liburing's own calls do not go through the gate: nothing they point to may be on a stack,
	 * which could lie in the window. */
	memset(&r->params, 0, sizeof(r->params));
	sys_makes_ring = true;
	int err = io_uring_queue_init_params(RING_ENTRIES, &r->uring, &r->params);
	sys_makes_ring = false;
	if (err)
		return err;
	io_uring_ring_dontfork(&r->uring);
	r->uring.ring_fd = r->uring.enter_ring_fd = sys_fd_move_high(r->uring.ring_fd);
	atomic_store(&r->fd, r->uring.ring_fd);
	return 0;
}

/* After @err, which is not this ring's fault, it may be made another time. */
static bool is_descriptor_error(int err)
{
	return err == -EBADF || err == -EOPNOTSUPP || err == -EMFILE || err == -ENFILE;
}

/* @r is taken. Return: whether it can be used. */
static bool ring_make(struct ring *r)
{
	if (r->state != RING_NONE)
		return r->state == RING_READY;
	/* The program is closing things: there will be another time; or never. */
	if (!fd_open_try())
		return false;
	int err = ring_open(r);
	fd_open_end();
	if (!err)
		r->state = RING_READY;
	else if (!is_descriptor_error(err) || ++r->nr_lost > MAX_LOST)
		r->state = RING_BROKEN;
	return !err;
}

static void ring_give(struct ring *r)
{
	atomic_store(&r->is_taken, false);
}

/* Return: a ring for this thread alone, or NULL. */
static struct ring *ring_take_try(void)
{
	if (atomic_load(&pool.pid) != own_pid())
		return NULL;
	for (uint32_t i = 0; i < NR_RINGS; i++) {
		struct ring *r = &pool.rings[i];

		if (atomic_exchange(&r->is_taken, true))
			continue;
		if (ring_make(r))
			return r;
		bool may_come = r->state == RING_NONE;
		ring_give(r);
		if (may_come)
			return NULL; /* nor could another be made now */
	}
	return NULL;
}

static void ring_close(struct ring *r)
{
	if (r->state == RING_READY)
		io_uring_queue_exit(&r->uring);
	r->state = RING_NONE;
	atomic_store(&r->fd, -1);
}

/* It failed with @err, and nothing of it is in flight. */
static void ring_give_up(struct ring *r, int err)
{
	bool is_lost = err == -EBADF || err == -EOPNOTSUPP;

	/* Closed behind our back, by a system call that nobody saw: the number may be the program's
	 * by now, and is not ours to close. */
	if (is_lost)
		r->uring.ring_fd = r->uring.enter_ring_fd = -1;
	ring_close(r);
	if (!is_lost || ++r->nr_lost > MAX_LOST)
		r->state = RING_BROKEN;
}

/* --- blocking I/O --- */

/* The limit on file sizes would not only fail a write but raise SIGXFSZ, which ends the program. */
static bool is_beyond_limit(uint64_t end_bytes)
{
	struct rlimit64 limit;

	if (sys_call4(SYS_prlimit64, 0, RLIMIT_FSIZE, 0, (long)&limit) < 0)
		return false;
	return end_bytes > limit.rlim_cur;
}

static size_t io_bytes(const struct swap_io *io)
{
	size_t bytes = 0;

	for (uint32_t i = 0; i < io->nr_iov; i++)
		bytes += io->iov[i].iov_len;
	return bytes;
}

/* One call for as much of @io as can be, from byte @done on. Return: bytes, or -errno. */
static long transfer_some(struct file_backend *f, const struct swap_io *io, size_t done)
{
	uint64_t offset = ((uint64_t)io->first.v << PAGE_SHIFT) + done;
	uint32_t i = 0;

	for (; done >= io->iov[i].iov_len; i++)
		done -= io->iov[i].iov_len;
	if (done) /* in the middle of a piece: finish that one first */
		return sys_call4(io->is_write ? SYS_pwrite64 : SYS_pread64, f->fd,
		    (long)((char *)io->iov[i].iov_base + done), (long)(io->iov[i].iov_len - done),
		    (long)offset);
	return sys_call5(io->is_write ? SYS_pwritev : SYS_preadv, f->fd, (long)&io->iov[i],
	    MIN(io->nr_iov - i, (uint32_t)IOV_MAX), (long)offset, 0);
}

static void finish(struct swap_io *io, int result)
{
	io->result = result;
	if (io->done)
		io->done(io);
}

/* Do @io, of which @done bytes are done already. */
static void transfer_blocking(struct file_backend *f, struct swap_io *io, size_t done)
{
	size_t bytes = io_bytes(io);
	uint32_t nr_tries = 0;

	while (done < bytes) {
		long n = transfer_some(f, io, done);

		if ((n == -EINTR || n == -EAGAIN) && nr_tries++ < NR_TRIES)
			continue;
		if (n <= 0) {
			finish(io, n < 0 ? (int)n : -EIO);
			return;
		}
		done += (size_t)n;
	}
	finish(io, 0);
}

/* --- a ring's worth of I/O --- */

static void ring_queue(struct ring *r, struct file_backend *f, struct swap_io *io)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&r->uring);
	uint64_t offset = (uint64_t)io->first.v << PAGE_SHIFT;

	ensure(sqe);
	if (io->is_write)
		io_uring_prep_writev(sqe, f->fd, io->iov, io->nr_iov, offset);
	else
		io_uring_prep_readv(sqe, f->fd, io->iov, io->nr_iov, offset);
	io_uring_sqe_set_data(sqe, io);
	io->result = -EINPROGRESS;
}

static void complete(struct file_backend *f, struct swap_io *io, int res)
{
	size_t bytes = io_bytes(io);

	if (res >= 0 && (size_t)res == bytes)
		finish(io, 0);
	else if (res >= 0)
		transfer_blocking(f, io, (size_t)res); /* short: the rest says why */
	else if (res == -EAGAIN || res == -EINTR || res == -ECANCELED)
		transfer_blocking(f, io, 0);
	else
		finish(io, res);
}

/* Return: completions taken. */
static uint32_t ring_reap(struct ring *r, struct file_backend *f)
{
	struct io_uring_cqe *cqe;
	unsigned head, nr = 0;

	io_uring_for_each_cqe(&r->uring, head, cqe)
	{
		struct swap_io *io = io_uring_cqe_get_data(cqe);
		int res = cqe->res;

		io_uring_cq_advance(&r->uring, 1);
		complete(f, io, res);
		nr++;
	}
	return nr;
}

/* liburing's io_uring_submit_and_wait() would do, but for tests that make the call fail. */
static int ring_enter(struct ring *r, uint32_t nr_wait)
{
	if (UNLIKELY(sys_inject)) {
		long injected = sys_inject(SYS_io_uring_enter);

		if (injected < 0)
			return (int)injected;
	}
	return io_uring_submit_and_wait(&r->uring, nr_wait);
}

/* Submit what is queued and look for completions for up to SPIN_NS. */
static void flight_spin(struct file_backend *f, struct swap_flight *fl)
{
	struct ring *r = fl->arg;

	if (UNLIKELY(sys_inject) && sys_inject(SYS_io_uring_enter) < 0)
		return;
	if (io_uring_submit(&r->uring) < 0)
		return;
	uint64_t until = now_ns() + SPIN_NS;

	while ((fl->nr_done += ring_reap(r, f)) < fl->nr && now_ns() < until)
		for (uint32_t i = 0; i < 16; i++)
			__builtin_ia32_pause();
}

/* Whether spinning is known to be the quicker way. It costs CPU time: level, it loses. */
static bool spins_better(struct file_backend *f)
{
	uint32_t asleep = atomic_load_explicit(&f->wait_ns[0], memory_order_relaxed);
	uint32_t spinning = atomic_load_explicit(&f->wait_ns[1], memory_order_relaxed);

	return spinning && spinning + spinning / 16 < asleep;
}

/* Whether to spin for the next read of one page. *@ret_step: what part of a median its sample moves
 * that by: a small one for the way in use, since while pages are written all reads are late for a
 * while; larger ones for the other, of which there are few. */
static bool will_spin(struct file_backend *f, uint32_t *ret_step)
{
	uint32_t n = atomic_fetch_add_explicit(&f->nr_waits, 1, memory_order_relaxed);
	bool is_try = n % TRY_EVERY < TRY_RUN;

	*ret_step = n < TRY_BOTH ? 16 : is_try ? 8 : 64;
	if (n < TRY_BOTH)
		return n / TRY_RUN % 2;
	/* Decided after a try, not in the middle of one. */
	if (n == TRY_BOTH || n % TRY_EVERY == TRY_RUN)
		atomic_store_explicit(&f->spins, spins_better(f), memory_order_relaxed);
	return is_try != atomic_load_explicit(&f->spins, memory_order_relaxed);
}

/* A median, by steps towards each sample: how far off a late read is does not count. */
static void note_wait(struct file_backend *f, bool spun, uint64_t ns, uint32_t step)
{
	uint32_t old = atomic_load_explicit(&f->wait_ns[spun], memory_order_relaxed);

	step = MAX(old / step, 1u);
	atomic_store_explicit(&f->wait_ns[spun],
	    !old       ? (uint32_t)MIN(ns, SPIN_NS)
	    : ns > old ? MIN(old + step, SPIN_NS)
	               : old - step,
	    memory_order_relaxed);
}

/* At most RING_ENTRIES, by @r, which is taken. Nothing is submitted yet. */
static void flight_begin(struct file_backend *f, struct swap_flight *fl, struct ring *r,
    struct swap_io *ios, uint32_t nr)
{
	*fl = (struct swap_flight){.ios = ios, .nr = nr, .arg = r};
	for (uint32_t i = 0; i < nr; i++)
		ring_queue(r, f, &ios[i]);
}

/* The ring does not work (@err). What it has taken must be waited for, without its help; what it
 * has not taken is done here. */
static void flight_land(struct file_backend *f, struct swap_flight *fl, int err)
{
	struct ring *r = fl->arg;
	uint32_t nr_left = io_uring_sq_ready(&r->uring);

	while (fl->nr_done < fl->nr - nr_left) {
		sys_call0(SYS_sched_yield); /* completions are posted on the way out of a call */
		fl->nr_done += ring_reap(r, f);
	}
	ring_give_up(r, err);
	for (uint32_t i = 0; i < fl->nr; i++)
		if (fl->ios[i].result == -EINPROGRESS)
			transfer_blocking(f, &fl->ios[i], 0);
	fl->nr_done = fl->nr;
}

/* Submit what is not, and wait until @nr_wait more are complete. Whatever the kernel answers,
 * nothing may be in flight in the end: it would be written into memory that has become something
 * else. */
static void flight_step(struct file_backend *f, struct swap_flight *fl, uint32_t nr_wait)
{
	int err = ring_enter(fl->arg, nr_wait);

	fl->nr_done += ring_reap(fl->arg, f);
	if (err >= 0 || err == -EINTR)
		return;
	if ((err == -EAGAIN || err == -EBUSY || err == -ENOMEM) && fl->nr_tries++ < NR_TRIES) {
		sys_call0(SYS_sched_yield);
		return;
	}
	if (fl->nr_done < fl->nr)
		flight_land(f, fl, err);
}

/* Do @ios and wait for all. */
static void ring_transfer(
    struct ring *r, struct file_backend *f, struct swap_io *ios, uint32_t nr, bool spin)
{
	struct swap_flight fl;

	flight_begin(f, &fl, r, ios, nr);
	if (spin)
		flight_spin(f, &fl);
	while (fl.nr_done < nr)
		flight_step(f, &fl, ios[0].done ? 1 : nr - fl.nr_done);
}

/* --- the backend --- */

static int file_transfer(struct swap_backend *b, struct swap_io *ios, uint32_t nr)
{
	struct file_backend *f = file_of(b);
	bool may_spin = nr && ios[0].may_spin && !ios[0].is_write;
	bool is_page =
	    may_spin && nr == 1 && ios[0].nr_iov == 1 && ios[0].iov->iov_len == PAGE_BYTES;
	uint32_t step = 0;
	bool spin = is_page ? will_spin(f, &step)
	                    : may_spin && atomic_load_explicit(&f->spins, memory_order_relaxed);
	struct ring *r = nr > 1 || spin ? ring_take_try() : NULL;
	/* Without a ring it sleeps. To make one, which is done once, does not count. */
	bool is_sample = is_page && spin == (r && r->state == RING_READY);
	uint64_t began = is_sample ? now_ns() : 0;
	int err = 0;

	for (uint32_t i = 0; i < nr;) {
		uint32_t n = 0;

		for (; r && r->state == RING_READY && n < RING_ENTRIES && i + n < nr; n++)
			if (ios[i + n].nr_iov > IOV_MAX)
				break;
		if (n > 1 || (n && spin)) {
			ring_transfer(r, f, &ios[i], n, spin);
		} else {
			transfer_blocking(f, &ios[i], 0);
			n = 1;
		}
		i += n;
	}
	if (r)
		ring_give(r);
	if (is_sample)
		note_wait(f, spin, now_ns() - began, step);
	for (uint32_t i = 0; i < nr && !err; i++)
		err = ios[i].result;
	return err;
}

static bool file_begin(
    struct swap_backend *b, struct swap_flight *fl, struct swap_io *ios, uint32_t nr)
{
	struct ring *r = nr <= RING_ENTRIES ? ring_take_try() : NULL;

	if (!r)
		return false;
	flight_begin(file_of(b), fl, r, ios, nr);
	ring_enter(r, 0); /* what that did not submit, file_wait() does */
	return true;
}

static bool file_wait(struct swap_backend *b, struct swap_flight *fl)
{
	/* Where they are many, they are short. */
	flight_step(file_of(b), fl, MAX((fl->nr - fl->nr_done) / 8, 1u));
	if (fl->nr_done < fl->nr)
		return true;
	ring_give(fl->arg);
	return false;
}

static int64_t file_grow(struct swap_backend *b, uint32_t nr_slots)
{
	struct file_backend *f = file_of(b);
	uint64_t want = (uint64_t)nr_slots << PAGE_SHIFT;
	uint64_t have = atomic_load(&f->size_bytes);
	long err;

	if (is_beyond_limit(want))
		return -ENOSPC;
	if (want <= have)
		return (int64_t)(have >> PAGE_SHIFT);
	if (atomic_load(&f->is_not_allocated))
		return nr_slots;
	/* Several threads may be here at once, for overlapping ranges: all of them only add. */
	uint64_t target = (want + GROW_BYTES - 1) / GROW_BYTES * GROW_BYTES;
	if (is_beyond_limit(target))
		target = want;
	do {
		err = sys_call4(SYS_fallocate, f->fd, 0, (long)have, (long)(target - have));
		if (err == -ENOSPC && target > want) {
			target = want; /* a nearly full disk still has this much, perhaps */
			err = -EINTR;
		}
	} while (err == -EINTR);
	if (err == -EOPNOTSUPP || err == -ENOSYS) {
		atomic_store(&f->is_not_allocated, true);
		return nr_slots;
	}
	if (err)
		return err == -EDQUOT || err == -EFBIG ? -ENOSPC : err;
	while (have < target && !atomic_compare_exchange_weak(&f->size_bytes, &have, target))
		;
	return (int64_t)(target >> PAGE_SHIFT);
}

static void file_close(struct swap_backend *b)
{
	struct file_backend *f = file_of(b);

	sys_call1(SYS_close, f->fd);
	meta_unmap(f, PAGE_BYTES);
	if (atomic_fetch_sub(&pool.nr_open, 1) != 1 || atomic_load(&pool.pid) != own_pid())
		return;
	for (uint32_t i = 0; i < NR_RINGS; i++)
		ring_close(&pool.rings[i]);
	atomic_store(&pool.pid, 0);
}

static void file_fork_child(struct swap_backend *b)
{
	(void)b;
	if (atomic_load(&pool.pid) == own_pid())
		return; /* done for another backend */
	for (uint32_t i = 0; i < NR_RINGS; i++) {
		int fd = atomic_load(&pool.rings[i].fd);

		if (atomic_load(&pool.pid) && fd >= 0)
			sys_call1(SYS_close, fd); /* its memory was not inherited */
	}
	pool_reset();
}

static bool file_owns_fd(struct swap_backend *b, int fd)
{
	if (fd < 0)
		return false;
	if (fd == file_of(b)->fd)
		return true;
	for (uint32_t i = 0; i < NR_RINGS; i++)
		if (atomic_load_explicit(&pool.rings[i].fd, memory_order_relaxed) == fd)
			return true;
	return false;
}

static const struct swap_backend_ops file_ops = {
    .name = "file",
    .transfer = file_transfer,
    .begin = file_begin,
    .wait = file_wait,
    .grow = file_grow,
    .close = file_close,
    .fork_child = file_fork_child,
    .owns_fd = file_owns_fd,
};

/* --- opening --- */

static int open_tmpfile(int dir_fd, int extra_flags)
{
	long fd;

	do {
		/* O_EXCL: nobody can give the file a name later. */
		fd = sys_call4(SYS_openat, dir_fd, (long)".",
		    O_TMPFILE | O_EXCL | O_RDWR | O_CLOEXEC | O_LARGEFILE | extra_flags, 0600);
	} while (fd == -EINTR);
	/* A kernel or file system without O_TMPFILE sees an attempt to open a directory for
	 * writing. */
	return fd == -EISDIR ? -EOPNOTSUPP : (int)fd;
}

/* Whether O_DIRECT works is known after a transfer only. Return: 0 or -errno. */
static int try_write(int fd)
{
	static const char page[PAGE_BYTES] __attribute__((aligned(PAGE_BYTES)));
	long n;

	if (is_beyond_limit(PAGE_BYTES))
		return -ENOSPC;
	do {
		n = sys_call4(SYS_pwrite64, fd, (long)page, PAGE_BYTES, 0);
	} while (n == -EINTR);
	if (n == -EDQUOT || n == -EFBIG)
		return -ENOSPC;
	/* Freed only when the file is closed, the block may be discarded by the file system then,
	 * which waits for the program's own writes: 40 ms after a file of 128 MiB. */
	sys_call2(SYS_ftruncate, fd, 0);
	return n == (long)PAGE_BYTES ? 0 : n < 0 ? (int)n : -EIO;
}

/* Return: fd of the file, or -errno. */
static int open_file(int dir_fd, bool *ret_is_direct)
{
	int fd, err = 0;

	for (int is_direct = 1; is_direct >= 0; is_direct--) {
		fd = open_tmpfile(dir_fd, is_direct ? O_DIRECT : 0);
		if (fd < 0) {
			err = fd;
			if (err == -EINVAL)
				continue;
			return err;
		}
		err = try_write(fd);
		if (!err) {
			*ret_is_direct = is_direct;
			return sys_fd_move_high(fd);
		}
		sys_call1(SYS_close, fd);
		if (err != -EINVAL && err != -EIO)
			return err;
	}
	return err;
}

static const char *how(bool is_direct, bool is_uring)
{
	if (is_uring)
		return is_direct ? "O_DIRECT, io_uring" : "buffered, io_uring";
	return is_direct ? "O_DIRECT, blocking I/O" : "buffered, blocking I/O";
}

static bool uring_works(void)
{
	struct io_uring_params params = {0};
	long fd = sys_call2(SYS_io_uring_setup, 1, (long)&params);

	if (fd < 0)
		return false;
	sys_call1(SYS_close, fd);
	return true;
}

int backend_uring_probe(int dir_fd, const char **ret_how)
{
	bool is_direct;
	int fd = open_file(dir_fd, &is_direct);

	if (fd < 0)
		return fd;
	sys_call1(SYS_close, fd);
	*ret_how = how(is_direct, uring_works());
	return 0;
}

/* Return: 0 or -errno. @f is given back if it fails. */
static int begin(struct file_backend *f, int fd, struct swap_backend **ret_backend)
{
	if (fd < 0) {
		meta_unmap(f, PAGE_BYTES);
		return fd;
	}
	f->base.ops = &file_ops;
	f->fd = fd;
	if (atomic_fetch_add(&pool.nr_open, 1) == 0)
		pool_reset();
	*ret_backend = &f->base;
	return 0;
}

int backend_uring_open(int dir_fd, struct swap_backend **ret_backend, const char **ret_how)
{
	struct file_backend *f = meta_map(PAGE_BYTES);

	if (!f)
		return -ENOMEM;
	int fd = open_file(dir_fd, &f->is_direct);
	bool is_direct = f->is_direct;
	int err = begin(f, fd, ret_backend);
	if (!err)
		*ret_how = how(is_direct, uring_works());
	return err;
}

int backend_uring_open_another(int dir_fd, bool is_direct, struct swap_backend **ret_backend)
{
	struct file_backend *f = meta_map(PAGE_BYTES);

	if (!f)
		return -ENOMEM;
	f->is_direct = is_direct;
	int fd = open_tmpfile(dir_fd, is_direct ? O_DIRECT : 0);
	return begin(f, fd < 0 ? fd : sys_fd_move_high(fd), ret_backend);
}

bool backend_uring_is_direct(const struct swap_backend *b)
{
	return container_of(b, const struct file_backend, base)->is_direct;
}
