// SPDX-License-Identifier: MIT
/*
 * fork from a managed stack, which is sealed with all managed memory while the pager is split: made
 * on another one. And _Fork, a fork without atfork handlers, so without ours (start.c).
 */
#include <sys/syscall.h>
#include <unistd.h>

#include "base/sys.h"
#include "pager/pager.h"
#include "preload/bounce.h"
#include "preload/real.h"

REAL(fork);
REAL(_Fork);

RESOLVE_EARLY static void resolve(void)
{
	RESOLVE(fork);
	RESOLVE(_Fork);
}

static long fork_here(void *arg)
{
	(void)arg;
	return real_fork();
}

EXPORT pid_t fork(void)
{
	NEED(fork);
	if (UNLIKELY(on_managed_stack()))
		return (pid_t)bounce_run(fork_here, NULL, (uintptr_t)__builtin_frame_address(0));
	return real_fork();
}

static long plain_fork_here(void *arg)
{
	int err = pager_fork_prepare();

	(void)arg;
	if (err)
		return with_errno(err);
	pid_t pid = real__Fork ? real__Fork() : (pid_t)with_errno(sys_call0(SYS_fork));
	int saved_errno = errno;
	if (pid)
		pager_fork_parent();
	else
		pager_fork_child();
	errno = saved_errno;
	return pid;
}

EXPORT pid_t _Fork(void)
{
	if (UNLIKELY(on_managed_stack()))
		return (pid_t)bounce_run(
		    plain_fork_here, NULL, (uintptr_t)__builtin_frame_address(0));
	return (pid_t)plain_fork_here(NULL);
}
