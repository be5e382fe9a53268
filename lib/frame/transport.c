// SPDX-License-Identifier: MIT
/* The copy transport; see transport.h. */
#include "frame/transport.h"

#include <emmintrin.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "base/sys.h"
#include "fault/uffd_abi.h"

/* "This process" for process_madvise, without a descriptor (Linux 6.14). */
#define PIDFD_SELF_GROUP (-10001)

static int uffd_ioctl(struct transport *t, unsigned long request, void *arg)
{
	return (int)sys_call3(SYS_ioctl, t->uffd, (long)request, (long)arg);
}

void transport_init(struct transport *t, int uffd, struct telemetry *telemetry)
{
	/* Opened now: later the program may be closing every descriptor, have another root, or have
	 * made itself unreadable to its user. */
	long fd = sys_call4(SYS_openat, AT_FDCWD, (long)"/proc/self/mem", O_RDONLY | O_CLOEXEC, 0);

	t->uffd = uffd;
	t->self_mem = fd >= 0 ? sys_fd_move_high((int)fd) : -1;
	t->is_silent = false;
	t->no_vector = false;
	t->telemetry = telemetry;
}

void transport_fini(struct transport *t)
{
	if (t->self_mem >= 0)
		sys_call1(SYS_close, t->self_mem);
	t->self_mem = -1;
}

/*
 * What is one region to us may be several mappings to the kernel (whether it merges neighbours is
 * its own business), and a userfaultfd call must not cross from one to the next: it answers
 * ENOENT. Then the rest goes page by page.
 */
int transport_map(struct transport *t, struct vpn vpn, const void *from, uint32_t nr, bool protect)
{
	size_t done = 0, len = (size_t)nr << PAGE_SHIFT, step = len;

	while (done < len) {
		struct uffdio_copy c = {
		    .dst = vpn_addr(vpn) + done,
		    .src = (uintptr_t)from + done,
		    .len = MIN(step, len - done),
		    .mode = (protect ? UFFDIO_COPY_MODE_WP : 0) |
		            (t->is_silent ? UFFDIO_COPY_MODE_DONTWAKE : 0),
		};
		int err = uffd_ioctl(t, UFFDIO_COPY, &c);

		if (c.copy > 0)
			done += (size_t)c.copy;
		else if (err == -ENOENT && step > PAGE_BYTES)
			step = PAGE_BYTES;
		/* EAGAIN: the address space is changing under us. */
		else if (err && err != -EAGAIN)
			return err;
	}
	return 0;
}

/* A call that has failed may have done a part. */
static void count_call(struct transport *t, enum fl_shootdown why)
{
	COUNT(t->telemetry, shootdowns[why], 1);
}

static int protect_range(
    struct transport *t, uintptr_t start, size_t len, bool protect, enum fl_shootdown why)
{
	/* The kernel refuses DONTWAKE together with WP. */
	uint64_t mode = protect        ? UFFDIO_WRITEPROTECT_MODE_WP
	                : t->is_silent ? UFFDIO_WRITEPROTECT_MODE_DONTWAKE
	                               : 0;

	struct uffdio_writeprotect wp = {
	    .range = {.start = start, .len = len},
	    .mode = mode,
	};
	int err;

	do
		err = uffd_ioctl(t, UFFDIO_WRITEPROTECT, &wp);
	while (err == -EAGAIN);
	count_call(t, why);
	return err;
}

int transport_protect(
    struct transport *t, struct vpn vpn, uint32_t nr, bool protect, enum fl_shootdown why)
{
	int err = protect_range(t, vpn_addr(vpn), (size_t)nr << PAGE_SHIFT, protect, why);

	for (uint32_t i = 0; err == -ENOENT && nr > 1 && i < nr; i++) {
		int e = protect_range(t, vpn_addr(vpn) + i * PAGE_BYTES, PAGE_BYTES, protect, why);

		if (e)
			return e;
		if (i == nr - 1)
			err = 0;
	}
	return err;
}

/* A PROT_NONE page can be read only through /proc/self/mem. */
static int read_forced(struct transport *t, struct vpn vpn, void *to)
{
	if (t->self_mem < 0)
		return -EACCES;
	long n = sys_call4(SYS_pread64, t->self_mem, (long)to, PAGE_BYTES, (long)vpn_addr(vpn));
	return n == (long)PAGE_BYTES ? 0 : -EIO;
}

/*
 * Past the caches: the buffer was last read by a thread that writes, most likely, and where that
 * one's CPU shares no cache with this one, having each of its lines handed over takes 1.6 us a
 * page.
 */
static void copy_past_caches(void *to, const void *from)
{
	__m128i *dst = to;
	const __m128i *src = from;

	for (size_t i = 0; i < PAGE_BYTES / sizeof(*src); i += 4) {
		__m128i a = _mm_load_si128(src + i), b = _mm_load_si128(src + i + 1);
		__m128i c = _mm_load_si128(src + i + 2), d = _mm_load_si128(src + i + 3);

		_mm_stream_si128(dst + i, a);
		_mm_stream_si128(dst + i + 1, b);
		_mm_stream_si128(dst + i + 2, c);
		_mm_stream_si128(dst + i + 3, d);
	}
	_mm_sfence();
}

int transport_read(struct transport *t, struct vpn vpn, void *to, bool no_access)
{
	if (no_access)
		return read_forced(t, vpn, to);
	copy_past_caches(to, (const void *)vpn_addr(vpn));
	return 0;
}

/*
 * As many of @runs as process_madvise() takes, IOV_MAX at a time. Return: how many of them are
 * done.
 * *@ret_is_refused: it answered an error at once, for another reason than memory.
 */
static uint32_t drop_vectored(struct transport *t, const struct iovec *runs, uint32_t nr,
    enum fl_shootdown why, bool *ret_is_refused)
{
	uint32_t done = 0;

	for (uint32_t n; (n = MIN(nr - done, (uint32_t)IOV_MAX)) > 1; done += n) {
		size_t total = 0;

		for (uint32_t i = 0; i < n; i++)
			total += runs[done + i].iov_len;
		long bytes = sys_call5(SYS_process_madvise, PIDFD_SELF_GROUP, (long)(runs + done),
		    n, MADV_DONTNEED, 0);
		*ret_is_refused = bytes < 0 && bytes != -ENOMEM && !done;
		if (bytes > 0)
			count_call(t, why);
		if (bytes != (long)total)
			break; /* A part may be done: the pages are ours, once more does no harm. */
	}
	return done;
}

int transport_drop(
    struct transport *t, const struct iovec *runs, uint32_t nr, enum fl_shootdown why)
{
	bool is_refused = false, was_locked = false;
	uint32_t done = t->no_vector ? 0 : drop_vectored(t, runs, nr, why, &is_refused);
	int err = 0;

	for (uint32_t i = done; i < nr; i++) {
		long e = sys_call3(
		    SYS_madvise, (long)runs[i].iov_base, (long)runs[i].iov_len, MADV_DONTNEED);

		/* Locked behind our back: mlockall as a raw system call. */
		if (e == -EINVAL) {
			was_locked = true;
			sys_call2(SYS_munlock, (long)runs[i].iov_base, (long)runs[i].iov_len);
			e = sys_call3(SYS_madvise, (long)runs[i].iov_base, (long)runs[i].iov_len,
			    MADV_DONTNEED);
		}
		if (e)
			err = (int)e;
		count_call(t, why);
	}
	t->no_vector |= is_refused && !was_locked;
	return err;
}

int transport_register(struct transport *t, uintptr_t addr, size_t len)
{
	struct uffdio_register r = {
	    .range = {.start = addr, .len = len},
	    .mode = UFFDIO_REGISTER_MODE_MISSING | UFFDIO_REGISTER_MODE_WP,
	};

	return uffd_ioctl(t, UFFDIO_REGISTER, &r);
}

int transport_unregister(struct transport *t, uintptr_t addr, size_t len)
{
	struct uffdio_range range = {.start = addr, .len = len};

	return uffd_ioctl(t, UFFDIO_UNREGISTER, &range);
}
