// SPDX-License-Identifier: MIT
/* Probing the machine; see probe.h. Every answer comes from trying the thing itself. */
#include "fault/probe.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/vfs.h>

#include "base/sys.h"
#include "fault/uffd_abi.h"

/* Magic numbers of linux/magic.h: file systems that live in RAM. */
#define TMPFS_MAGIC_NR 0x01021994
#define RAMFS_MAGIC_NR 0x858458f6

/* "This process" for process_madvise, without a descriptor (Linux 6.14): what frame/transport.c
 * uses. */
#ifndef PIDFD_SELF_GROUP
#define PIDFD_SELF_GROUP (-10001)
#endif

#ifndef SECCOMP_GET_ACTION_AVAIL
#define SECCOMP_GET_ACTION_AVAIL 2
#endif

static void close_fd(long fd)
{
	if (fd >= 0)
		sys_call1(SYS_close, fd);
}

/* The kernel answers a handshake that asks for nothing with all the features it knows. */
static void probe_features(int fd, struct probe *p)
{
	struct uffdio_api api = {.api = UFFD_API};

	if (sys_call3(SYS_ioctl, fd, UFFDIO_API, (long)&api) < 0)
		return;
	p->feature_sigbus = api.features & UFFD_FEATURE_SIGBUS;
	p->feature_wp = api.features & UFFD_FEATURE_PAGEFAULT_FLAG_WP;
	p->feature_wp_async = api.features & UFFD_FEATURE_WP_ASYNC;
	p->feature_move = api.features & UFFD_FEATURE_MOVE;
	p->feature_poison = api.features & UFFD_FEATURE_POISON;
	p->feature_thread_id = api.features & UFFD_FEATURE_THREAD_ID;
	p->feature_exact_address = api.features & UFFD_FEATURE_EXACT_ADDRESS;
}

static void probe_uffd(struct probe *p)
{
	long user = sys_call1(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY);
	long kernel = sys_call1(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);

	p->uffd_user = user >= 0;
	p->uffd_kernel = kernel >= 0;
	p->uffd_error = user < 0 ? (int)-user : 0;
	if (user >= 0)
		probe_features((int)user, p);
	else if (kernel >= 0)
		probe_features((int)kernel, p);
	close_fd(user);
	close_fd(kernel);
}

/* One call that drops two separate pages of our own: did it? */
static bool try_process_madvise(void)
{
	const long bytes = 3 * (long)PAGE_BYTES;
	long map = sys_call6(
	    SYS_mmap, 0, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	bool works = false;

	if (map > 0) {
		volatile char *page = (volatile char *)map;
		struct iovec two[2] = {
		    {(void *)page, PAGE_BYTES},
		    {(void *)(page + 2 * PAGE_BYTES), PAGE_BYTES},
		};

		page[0] = page[2 * PAGE_BYTES] = 1;
		long got = sys_call5(
		    SYS_process_madvise, PIDFD_SELF_GROUP, (long)two, 2, MADV_DONTNEED, 0);
		works = got == 2 * (long)PAGE_BYTES && !page[0] && !page[2 * PAGE_BYTES];
	}
	if (map > 0)
		sys_call2(SYS_munmap, map, bytes);
	return works;
}

/* Without a filter program the kernel gets no further than reading it: EFAULT says "would do". */
static bool try_seccomp(void)
{
	uint32_t trap = SECCOMP_RET_TRAP;

	return sys_call3(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, (long)&trap) == 0 &&
	       sys_call3(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, 0) == -EFAULT;
}

static void probe_io_uring(struct probe *p)
{
	struct io_uring_params params = {0};
	long fd = sys_call2(SYS_io_uring_setup, 4, (long)&params);

	p->io_uring = fd >= 0;
	p->io_uring_error = fd < 0 ? (int)-fd : 0;
	close_fd(fd);
}

static uint64_t read_number(const char *path)
{
	char text[32];
	uint64_t n = 0;
	long fd = sys_call4(SYS_openat, AT_FDCWD, (long)path, O_RDONLY | O_CLOEXEC, 0);
	long len = fd < 0 ? 0 : sys_call3(SYS_read, fd, (long)text, sizeof(text));

	for (long i = 0; i < len && text[i] >= '0' && text[i] <= '9'; i++)
		n = n * 10 + (uint64_t)(text[i] - '0');
	close_fd(fd);
	return n;
}

/*
 * An unlinked file in @dir, with @flags (O_DIRECT or 0), and one page written to it.
 * Return: 0, or -errno of what failed.
 */
static int try_tmpfile(const char *dir, int flags)
{
	static const char page[4096] __attribute__((aligned(4096)));
	long fd = sys_call4(
	    SYS_openat, AT_FDCWD, (long)dir, O_TMPFILE | O_RDWR | O_EXCL | O_CLOEXEC | flags, 0600);

	if (fd < 0)
		return (int)fd;
	long done = sys_call4(SYS_pwrite64, fd, (long)page, sizeof(page), 0);
	close_fd(fd);
	if (done < 0)
		return (int)done;
	return done == (long)sizeof(page) ? 0 : -ENOSPC;
}

static void probe_dir(const char *dir, struct probe *p)
{
	struct statfs fs = {0};
	long err = sys_call2(SYS_statfs, (long)dir, (long)&fs);

	if (!err) {
		p->is_tmpfs = fs.f_type == TMPFS_MAGIC_NR || fs.f_type == RAMFS_MAGIC_NR;
		/* No blocks at all: a file system without a limit (ramfs). */
		p->dir_free_bytes =
		    fs.f_blocks ? (uint64_t)fs.f_bavail * (uint64_t)fs.f_bsize : INT64_MAX;
		err = try_tmpfile(dir, 0);
	}
	/* A kernel or file system without O_TMPFILE sees a directory opened for writing. */
	if (err == -EISDIR)
		err = -EOPNOTSUPP;
	p->dir_error = (int)-err;
	p->tmpfile = !err;
	p->direct_io = p->tmpfile && try_tmpfile(dir, O_DIRECT) == 0;
}

void probe_machine(const char *swap_dir, struct probe *p)
{
	struct rlimit memlock = {0};

	*p = (struct probe){0};
	probe_uffd(p);
	p->process_madvise = try_process_madvise();
	p->seccomp_filter = try_seccomp();
	probe_io_uring(p);
	p->max_map_count = read_number("/proc/sys/vm/max_map_count");
	if (!sys_call4(SYS_prlimit64, 0, RLIMIT_MEMLOCK, 0, (long)&memlock))
		p->memlock_bytes = memlock.rlim_cur;
	if (swap_dir)
		probe_dir(swap_dir, p);
}

/* Return: NULL where userfaultfd itself is usable, else cause and cure. */
static const char *uffd_trouble(const struct probe *p)
{
	if (p->uffd_user || p->uffd_kernel) {
		if (p->feature_wp)
			return NULL;
		return "this kernel's userfaultfd has no write-protection; it takes Linux 5.7 or "
		       "newer "
		       "with CONFIG_HAVE_ARCH_USERFAULTFD_WP";
	}
	switch (p->uffd_error) {
	case ENOSYS:
		return "this kernel has no userfaultfd; it takes one with CONFIG_USERFAULTFD";
	case EINVAL:
		return "userfaultfd is not open to this user; run: "
		       "sudo sysctl -w vm.unprivileged_userfaultfd=1";
	default:
		return "userfaultfd is forbidden here, as containers do; start the container with "
		       "--security-opt seccomp=unconfined";
	}
}

static const char *sigbus_trouble(const struct probe *p)
{
	const char *trouble = uffd_trouble(p);

	if (trouble)
		return trouble;
	if (!p->feature_sigbus)
		return "this kernel's userfaultfd has no SIGBUS mode; it takes Linux 4.14 or newer";
	if (!p->seccomp_filter)
		return "seccomp filters are forbidden here, and system calls need them; start the "
		       "container with --security-opt seccomp=unconfined";
	return NULL;
}

/* The uffd engine serves system calls itself where the kernel lets it, else through the guard. */
static const char *uffd_engine_trouble(const struct probe *p)
{
	const char *trouble = uffd_trouble(p);

	if (trouble)
		return trouble;
	if (!p->uffd_kernel && !p->seccomp_filter)
		return "userfaultfd serves no system calls for this user, and seccomp filters are "
		       "forbidden; run: sudo sysctl -w vm.unprivileged_userfaultfd=1";
	return NULL;
}

const char *probe_engine(const struct probe *p, const char *asked, char *why, size_t why_bytes)
{
	const char *for_sigbus = sigbus_trouble(p);
	const char *for_uffd = uffd_engine_trouble(p);
	bool is_auto = !strcmp(asked, "auto");
	const char *trouble = "";

	if (is_auto || !strcmp(asked, "sigbus")) {
		if (!for_sigbus)
			return "sigbus";
		trouble = for_sigbus;
	}
	if (is_auto || !strcmp(asked, "uffd")) {
		if (!for_uffd)
			return "uffd";
		trouble = for_uffd;
	} else if (strcmp(asked, "sigbus") != 0) {
		trouble = "no such engine; choose auto, sigbus or uffd";
	}
	snprintf(why, why_bytes, "%s", trouble);
	return NULL;
}
