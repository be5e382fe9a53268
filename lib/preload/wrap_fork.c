// SPDX-License-Identifier: MIT
/* _Fork: a fork without atfork handlers, so without ours (start.c), which fork() runs. */
#include <sys/syscall.h>
#include <unistd.h>

#include "base/sys.h"
#include "pager/pager.h"
#include "preload/real.h"

REAL(_Fork);

RESOLVE_EARLY static void resolve(void)
{
	RESOLVE(_Fork);
}

EXPORT pid_t _Fork(void)
{
	int err = pager_fork_prepare();

	if (err)
		return (pid_t)with_errno(err);
	pid_t pid = real__Fork ? real__Fork() : (pid_t)with_errno(sys_call0(SYS_fork));
	int saved_errno = errno;
	if (pid)
		pager_fork_parent();
	else
		pager_fork_child();
	errno = saved_errno;
	return pid;
}
