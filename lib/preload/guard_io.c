// SPDX-License-Identifier: MIT
/*
 * Trapped reads and writes: the data goes through bounce memory. Small transfers are one call.
 * Large ones are cut into pieces where nobody can tell: files, whose offset is moved by all of it
 * at once, and writes to streams, which the kernel cuts up as well. Where a call is a message
 * (datagrams, devices), one atomic step (an append), or gives what there is (a pipe), it stays one
 * call as long as that is affordable.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

#include "base/sys.h"
#include "pager/pager.h"
#include "preload/guard.h"

#define SMALL_BYTES  ((size_t)64 << 10)
#define APPEND_BYTES ((size_t)16 << 20) /* most unmanaged memory that one transfer may cost */
#define MAX_RW_BYTES ((size_t)INT_MAX & ~PAGE_MASK) /* the kernel's own limit */
#define MAX_IOV      1024u
#define LOWEST_ADDR  ((uintptr_t)64 << 10) /* mappings begin there, usually: vm.mmap_min_addr */
#define TASK_END     ((uintptr_t)1 << 47)

struct io {
	struct guard_iov data;
	struct iovec one;   /* where there is but one buffer */
	struct iovec piece; /* for the calls that want an array */
	int fd;
	bool is_write;
	bool is_socket;  /* sendto, recvfrom: `flags` are MSG_* */
	bool is_spliced; /* vmsplice into a pipe: up to the end */
	bool has_offset; /* pread, pwrite, or a range that is ours: at `offset` */
	bool is_claimed; /* the file's own offset is behind all of it already */
	off_t offset;
	int flags;
};

int guard_iov_load(struct guard_iov *x, struct bounce *b, uintptr_t user, unsigned long nr)
{
	*x = (struct guard_iov){.nr = nr};
	if (nr > MAX_IOV)
		return -EINVAL;
	x->v = bounce_alloc(b, nr * sizeof(*x->v) + 1);
	if (!x->v)
		return -ENOMEM;
	if (guard_copy(x->v, (const void *)user, nr * sizeof(*x->v)))
		return -EFAULT;
	for (unsigned long i = 0; i < nr; i++) {
		if ((ssize_t)x->v[i].iov_len < 0)
			return -EINVAL;
		x->total += MIN(x->v[i].iov_len, MAX_RW_BYTES - x->total);
	}
	return 0;
}

void guard_iov_single(struct guard_iov *x, struct iovec *one, uintptr_t base, size_t len)
{
	*one = (struct iovec){.iov_base = (void *)base, .iov_len = len};
	*x = (struct guard_iov){.v = one, .nr = 1, .total = MIN(len, MAX_RW_BYTES)};
}

static size_t iov_move(struct guard_iov *x, char *buf, size_t len, bool to_user)
{
	size_t done = 0;

	while (done < len && x->at < x->nr) {
		struct iovec *v = &x->v[x->at];
		char *user = (char *)v->iov_base + x->offset;
		size_t n = MIN(len - done, v->iov_len - x->offset);
		size_t missed =
		    to_user ? guard_copy(user, buf + done, n) : guard_copy(buf + done, user, n);

		done += n - missed;
		x->offset += n - missed;
		if (missed)
			break;
		if (x->offset == v->iov_len) {
			x->at++;
			x->offset = 0;
		}
	}
	return done;
}

size_t guard_iov_gather(struct guard_iov *x, void *buf, size_t len)
{
	return iov_move(x, buf, len, false);
}

size_t guard_iov_scatter(struct guard_iov *x, const void *buf, size_t len)
{
	return iov_move(x, (char *)buf, len, true);
}

struct plan {
	size_t piece;
	bool is_repeated; /* go on after a full piece */
	bool is_endless;  /* ... and after any other: it was interrupted by what the pager waits for
	                   */
	bool is_claimed;  /* see claim_range() */
};

/* Of the devices of major 1: zero, full, random and urandom. Others of them give a record a read
 * (kmsg). */
static bool is_endless_device(dev_t dev)
{
	unsigned nr = minor(dev);

	return major(dev) == 1 && (nr == 5 || nr == 7 || nr == 8 || nr == 9);
}

static bool is_stream_socket(int fd)
{
	int type = 0;
	socklen_t len = sizeof(type);

	return !sys_call5(SYS_getsockopt, fd, SOL_SOCKET, SO_TYPE, (long)&type, (long)&len) &&
	       type == SOCK_STREAM;
}

/* Whether the offset is the file's own, and what is to be read is there. */
static bool can_claim(const struct io *io, const struct stat *st)
{
	if (io->has_offset || io->flags)
		return false;
	long at = sys_call3(SYS_lseek, io->fd, 0, SEEK_CUR);
	return at >= 0 && (io->is_write || at + (off_t)io->data.total <= st->st_size);
}

/*
 * Move the file's offset over all of the transfer in one step, as the one call would: whoever
 * shares it goes on behind. Then the pieces are at offsets of their own.
 */
static void claim_range(struct io *io)
{
	off_t len = (off_t)io->data.total;
	long end = sys_call3(SYS_lseek, io->fd, len, SEEK_CUR);

	if (end < len)
		return;
	io->is_claimed = io->has_offset = true;
	io->offset = end - len;
}

static struct plan plan_transfer(const struct io *io)
{
	static const struct plan whole = {.piece = MAX_RW_BYTES, .is_repeated = false};
	struct stat st;

	if (io->data.total <= SMALL_BYTES || sys_call2(SYS_fstat, io->fd, (long)&st))
		return whole;
	switch (st.st_mode & S_IFMT) {
	case S_IFREG:
		if (io->is_write &&
		    (io->flags & RWF_APPEND || sys_call2(SYS_fcntl, io->fd, F_GETFL) & O_APPEND))
			return (struct plan){.piece = APPEND_BYTES, .is_repeated = true};
		return (struct plan){.piece = BOUNCE_CHUNK_BYTES,
		    .is_repeated = true,
		    .is_claimed = io->data.total > BOUNCE_CHUNK_BYTES && can_claim(io, &st)};
	case S_IFBLK:
		return (struct plan){.piece = BOUNCE_CHUNK_BYTES, .is_repeated = true};
	case S_IFIFO:
		return (struct plan){.piece = io->is_write ? BOUNCE_CHUNK_BYTES : APPEND_BYTES,
		    .is_repeated = io->is_write};
	case S_IFSOCK:
		if (!is_stream_socket(io->fd) || io->flags & (MSG_OOB | MSG_PEEK))
			return whole;
		if (io->is_write || (io->is_socket && io->flags & MSG_WAITALL))
			return (struct plan){.piece = BOUNCE_CHUNK_BYTES, .is_repeated = true};
		return (struct plan){.piece = APPEND_BYTES};
	case S_IFCHR:
		return (struct plan){.piece = APPEND_BYTES,
		    .is_repeated = true,
		    .is_endless = is_endless_device(st.st_rdev)};
	default:
		return whole;
	}
}

static long transfer_piece(struct io *io, void *buf, size_t len, size_t done)
{
	long at = io->offset + (io->has_offset ? (long)done : 0);

	if (io->is_socket)
		return sys_call6(io->is_write ? SYS_sendto : SYS_recvfrom, io->fd, (long)buf,
		    (long)len, io->flags, 0, 0);
	if (io->flags) {
		io->piece = (struct iovec){.iov_base = buf, .iov_len = len};
		return sys_call6(io->is_write ? SYS_pwritev2 : SYS_preadv2, io->fd,
		    (long)&io->piece, 1, io->has_offset ? at : -1, 0, io->flags);
	}
	if (io->has_offset)
		return sys_call4(
		    io->is_write ? SYS_pwrite64 : SYS_pread64, io->fd, (long)buf, (long)len, at);
	return sys_call3(io->is_write ? SYS_write : SYS_read, io->fd, (long)buf, (long)len);
}

void guard_iov_keep(const struct guard_iov *x, int flags, void *buf, size_t len)
{
	struct guard_iov data = *x;

	if (UNLIKELY(flags & MSG_TRUNC))
		guard_iov_gather(&data, buf, len);
}

/* Transfer the next @len bytes through @buf. Return: how many, or -errno. *@ret_is_last: whether
 * to stop, because there is no more or the program's memory ends. */
static long do_piece(struct io *io, void *buf, size_t len, size_t done, bool *ret_is_last)
{
	size_t wanted = len;

	if (io->is_write) {
		len = guard_iov_gather(&io->data, buf, len);
		if (!len && wanted)
			return -EFAULT;
	}
	if (io->is_socket && !io->is_write)
		guard_iov_keep(&io->data, io->flags, buf, len);
	long n = transfer_piece(io, buf, len, done);
	*ret_is_last = n < (long)wanted;
	if (io->is_write || n <= 0)
		return n;
	size_t there = MIN((size_t)n, len); /* MSG_TRUNC tells more than there was room for */
	size_t stored = guard_iov_scatter(&io->data, buf, there);
	if (stored == there)
		return n;
	*ret_is_last = true;
	return stored ? (long)stored : -EFAULT;
}

/* Any of these will do: what can be written can be read. */
static int prot_needed(bool is_write)
{
	return is_write ? PROT_READ | PROT_WRITE | PROT_EXEC : PROT_WRITE;
}

static bool can_touch(uintptr_t addr, bool is_write)
{
	return is_write ? guard_touch_read(addr) : guard_touch_write(addr);
}

/* NULL and its like beside managed buffers: memory of others than us is not looked at otherwise. */
static bool is_nowhere(uintptr_t addr, bool is_write)
{
	return addr >= TASK_END || (addr < LOWEST_ADDR && !can_touch(addr, is_write));
}

/* As guard_iov_reach(), of one buffer. */
static size_t reach_of(uintptr_t addr, size_t len, bool is_write)
{
	if (len && is_nowhere(addr, is_write))
		return 0;
	/* Of one or two pages both ends tell, without a lock. */
	if (len && len <= PAGE_BYTES && in_window(addr) && in_window(addr + len - 1) &&
	    can_touch(addr, is_write) && can_touch(addr + len - 1, is_write))
		return len;
	if (!in_window(addr) && !in_window(addr + len))
		return len;
	return pager_reach(addr, len, prot_needed(is_write));
}

bool guard_has_end(uintptr_t addr, size_t len, bool is_write)
{
	return reach_of(addr, len, is_write) < len;
}

size_t guard_iov_reach(const struct guard_iov *x, bool is_write)
{
	size_t reach = 0;

	for (unsigned long i = 0; i < x->nr && reach < x->total; i++) {
		size_t len = MIN(x->v[i].iov_len, x->total - reach);
		size_t part = reach_of((uintptr_t)x->v[i].iov_base, len, is_write);

		reach += part;
		if (part < len)
			return reach;
	}
	return x->total;
}

/*
 * The kernel alone says what becomes of data for which there is not all of the room: it stays in a
 * pipe and in a file, is lost with a datagram. So it meets the end itself, behind the bounce
 * memory.
 */
static long transfer_to_end(struct io *io, struct bounce *b, size_t reach)
{
	void *buf = bounce_alloc_ending(b, reach);

	if (!buf)
		return -ENOMEM;
	if (io->is_write)
		reach = guard_iov_gather(&io->data, buf, reach);
	if (io->is_socket && !io->is_write)
		guard_iov_keep(&io->data, io->flags, buf, reach);
	long n = transfer_piece(io, buf, io->data.total, 0);
	if (io->is_write || n <= 0)
		return n;
	size_t there = MIN((size_t)n, reach);
	return guard_iov_scatter(&io->data, buf, there) < there ? -EFAULT : n;
}

static long transfer(struct io *io, struct bounce *b)
{
	size_t reach = guard_iov_reach(&io->data, io->is_write);

	if (UNLIKELY(reach < io->data.total)) {
		if (reach < APPEND_BYTES && !(io->is_spliced && reach))
			return transfer_to_end(io, b, reach);
		/* As much is in a file only, and that is read up to the end. */
		io->data.total = reach;
	}

	struct plan plan = plan_transfer(io);
	size_t size = MIN(plan.piece, io->data.total), done = 0;
	void *buf = bounce_alloc(b, MAX(size, (size_t)1));
	bool is_last = false;
	long n;

	if (!buf)
		return -ENOMEM;
	if (plan.is_claimed)
		claim_range(io);
	do {
		n = do_piece(io, buf, MIN(size, io->data.total - done), done, &is_last);
		done += n > 0 ? (size_t)n : 0;
	} while (
	    n > 0 && (!is_last || plan.is_endless) && plan.is_repeated && done < io->data.total);
	if (UNLIKELY(io->is_claimed && done < io->data.total))
		sys_call3(SYS_lseek, io->fd, (long)done - (long)io->data.total, SEEK_CUR);
	return done ? (long)done : n;
}

/* A pipe takes vmspliced pages as they are, and bounce memory is used again: copy instead. Return:
 * 0, or what the kernel says of anything else than a pipe. */
static long as_splice(struct io *io, const struct guard_trap *t)
{
	long mode = sys_call2(SYS_fcntl, io->fd, F_GETFL);
	struct stat st;

	if (sys_call2(SYS_fstat, io->fd, (long)&st) || !S_ISFIFO(st.st_mode))
		return -EBADF;
	io->is_spliced = io->is_write = mode >= 0 && (mode & O_ACCMODE) != O_RDONLY;
	/* Not every pipe knows RWF_NOWAIT. */
	io->flags = t->args[3] & SPLICE_F_NONBLOCK && !(mode & O_NONBLOCK) ? RWF_NOWAIT : 0;
	return 0;
}

static long set_kind(struct io *io, const struct guard_trap *t)
{
	switch (t->nr) {
	case SYS_vmsplice:
		return as_splice(io, t);
	case SYS_preadv2:
	case SYS_pwritev2:
		io->flags = (int)t->args[5];
		io->has_offset = t->args[3] != -1;
		break;
	case SYS_pread64:
	case SYS_pwrite64:
	case SYS_preadv:
	case SYS_pwritev:
		io->has_offset = true;
		break;
	default:
		break;
	}
	io->offset = io->has_offset ? t->args[3] : 0;
	io->is_write = t->nr == SYS_write || t->nr == SYS_pwrite64 || t->nr == SYS_writev ||
	               t->nr == SYS_pwritev || t->nr == SYS_pwritev2;
	return 0;
}

static bool has_array(long nr)
{
	return nr != SYS_read && nr != SYS_write && nr != SYS_pread64 && nr != SYS_pwrite64;
}

long guard_io(const struct guard_trap *t)
{
	struct io io = {.fd = (int)t->args[0]};
	struct bounce b;
	long result = bounce_begin(&b, t->sp, t->stack);

	if (result)
		return result;
	result = set_kind(&io, t);
	if (!result && has_array(t->nr))
		result =
		    guard_iov_load(&io.data, &b, (uintptr_t)t->args[1], (unsigned long)t->args[2]);
	else if (!result && (ssize_t)t->args[2] < 0) /* the kernel looks at the descriptor first */
		result =
		    sys_call4(t->nr, t->args[0], t->args[1], t->args[2], t->args[3]) ?: -EFAULT;
	else if (!result)
		guard_iov_single(&io.data, &io.one, (uintptr_t)t->args[1], (size_t)t->args[2]);
	if (!result)
		result = transfer(&io, &b);
	bounce_end(&b);
	return result;
}

long guard_io_socket(
    int fd, bool is_send, int flags, const struct guard_iov *data, struct bounce *b)
{
	struct io io = {
	    .fd = fd, .is_write = is_send, .is_socket = true, .flags = flags, .data = *data};

	return transfer(&io, b);
}

long guard_io_stream(const struct guard_trap *t)
{
	struct guard_iov data;
	struct iovec one;
	struct bounce b;
	long result = bounce_begin(&b, t->sp, t->stack);

	if (result)
		return result;
	guard_iov_single(&data, &one, (uintptr_t)t->args[1], (size_t)t->args[2]);
	result = guard_io_socket((int)t->args[0], t->nr == SYS_sendto, (int)t->args[3], &data, &b);
	bounce_end(&b);
	return result;
}

/* As a read of /dev/urandom: complete, unless the memory ends or a signal comes before anything. */
long guard_random(const struct guard_trap *t)
{
	struct guard_iov to;
	struct iovec one;
	struct bounce b;
	size_t done = 0;
	long n = bounce_begin(&b, t->sp, t->stack);

	if (n)
		return n;
	guard_iov_single(&to, &one, (uintptr_t)t->args[0], (size_t)t->args[1]);
	size_t size = MIN(MAX(to.total, (size_t)1), BOUNCE_CHUNK_BYTES);
	void *buf = bounce_alloc(&b, size);
	n = buf ? 0 : -ENOMEM;
	while (buf) {
		n = sys_call3(
		    SYS_getrandom, (long)buf, (long)MIN(size, to.total - done), t->args[2]);
		if (n <= 0)
			break;
		size_t stored = guard_iov_scatter(&to, buf, (size_t)n);
		done += stored;
		if (stored < (size_t)n || done == to.total) {
			n = -EFAULT;
			break;
		}
	}
	bounce_end(&b);
	return done ? (long)done : n;
}
