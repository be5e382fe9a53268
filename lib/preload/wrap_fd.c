// SPDX-License-Identifier: MIT
/*
 * Closing descriptors: the pager's own look closed to the program. Closing one is EBADF, and so is
 * duplicating onto its number (the pager's are numbered high, where programs do not go). What the
 * pager is just opening is not known to be its own yet: see base/fd.h. So too a thread that wants a
 * table of descriptors of its own.
 */
#include <fcntl.h>
#include <linux/close_range.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/single_threaded.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/sys.h"
#include "base/types.h"
#include "pager/pager.h"
#include "preload/bounce.h"
#include "preload/real.h"

/* Ours may be numbered above a limit that was lowered since. */
#define MIN_SCAN 4096u

REAL(close);

RESOLVE_EARLY static void resolve(void)
{
	RESOLVE(close);
}

static bool is_ours(int fd)
{
	return fd >= 0 && pager_is_running() && pager_owns_fd(fd);
}

EXPORT int close(int fd)
{
	int result;

	NEED(close);
	fd_close_begin();
	if (UNLIKELY(is_ours(fd)))
		result = (int)with_errno(-EBADF);
	else
		result = real_close(fd); /* a cancellation point */
	fd_close_end();
	return result;
}

static long duplicate(int fd, int new_fd, int flags, bool has_flags)
{
	long result = -EBADF;

	fd_close_begin();
	if (!is_ours(fd) && !is_ours(new_fd))
		result = has_flags ? sys_call3(SYS_dup3, fd, new_fd, flags)
		                   : sys_call2(SYS_dup2, fd, new_fd);
	fd_close_end();
	return with_errno(result);
}

EXPORT int dup2(int fd, int new_fd)
{
	return (int)duplicate(fd, new_fd, 0, false);
}

EXPORT int dup3(int fd, int new_fd, int flags)
{
	return (int)duplicate(fd, new_fd, flags, true);
}

/* One more than the highest descriptor that could be the pager's. */
static unsigned scan_end(void)
{
	struct rlimit limit;

	/* libc's is guarded: this may run on a managed stack. */
	if (getrlimit(RLIMIT_NOFILE, &limit))
		return MIN_SCAN;
	return (unsigned)MAX((rlim_t)MIN_SCAN, MIN(limit.rlim_cur, (rlim_t)1 << 20));
}

static long close_piece(unsigned first, unsigned last, int flags)
{
	long err = sys_call3(SYS_close_range, first, last, flags);

	if (err != -ENOSYS || flags)
		return err;
	for (unsigned fd = first; fd <= last && fd < scan_end(); fd++)
		sys_call1(SYS_close, fd);
	return 0;
}

static long close_all_but_ours(unsigned first, unsigned last, int flags)
{
	unsigned start = first, end = scan_end();
	long err = 0;

	fd_close_begin();
	for (unsigned fd = first; fd <= last && fd < end && !err; fd++) {
		if (!is_ours((int)fd))
			continue;
		if (fd > start)
			err = close_piece(start, fd - 1, flags);
		start = fd + 1;
	}
	if (!err && start <= last)
		err = close_piece(start, last, flags);
	fd_close_end();
	return err;
}

static long unshare_here(void *arg)
{
	int flags = *(int *)arg;

	pager_refresh_counters(); /* a forked child opens all that it needs */
	fd_split_begin();
	long result = sys_call1(SYS_unshare, flags);
	fd_close_end();
	return with_errno(result);
}

EXPORT int unshare(int flags)
{
	if (!(flags & CLONE_FILES) || !pager_is_running() || pager_in_vfork_child())
		return (int)with_errno(sys_call1(SYS_unshare, flags));
	/* Only our threads have the same table: they would keep open what the program closes. */
	if (__libc_single_threaded)
		return (int)with_errno(sys_call1(SYS_unshare, flags & ~CLONE_FILES));
	if (on_managed_stack())
		return (int)bounce_run(unshare_here, &flags, (uintptr_t)__builtin_frame_address(0));
	return (int)unshare_here(&flags);
}

EXPORT int close_range(unsigned first, unsigned last, int flags)
{
	/* First, and of the whole table: else it would copy only what it leaves. */
	if (flags & CLOSE_RANGE_UNSHARE && pager_is_running() && first <= last &&
	    !((unsigned)flags & ~(CLOSE_RANGE_UNSHARE | CLOSE_RANGE_CLOEXEC))) {
		if (unshare(CLONE_FILES))
			return -1;
		flags &= ~(int)CLOSE_RANGE_UNSHARE;
	}
	/* Ours are close-on-exec as they are. */
	if (!pager_is_running() || flags & CLOSE_RANGE_CLOEXEC || first > last)
		return (int)with_errno(sys_call3(SYS_close_range, first, last, flags));
	return (int)with_errno(close_all_but_ours(first, last, flags));
}

EXPORT void closefrom(int first)
{
	close_all_but_ours((unsigned)MAX(first, 0), ~0u, 0);
}
