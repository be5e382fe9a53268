// SPDX-License-Identifier: MIT
/*
 * System call filters of the program's own. They would bind the pager too, which works in the
 * program's threads: one that forbids io_uring_enter or madvise stops it at the next fault. What
 * may come cannot be known from a filter, so before the first is set the process ends its paging,
 * like one with a ring of its own (pager/resident.c): all its memory is there, and nothing is
 * asked of the kernel that the program does not ask for itself, but the return from our handler.
 *
 * Strict mode cannot be had where there is a filter, and ours is there: EINVAL.
 *
 * A filter set by a system call instruction that is not libc's goes unseen.
 */
#include "preload/wrap_seccomp.h"

#include <linux/seccomp.h>
#include <stdarg.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "base/sys.h"
#include "faultline/telemetry.h"
#include "pager/pager.h"
#include "preload/guard.h"
#include "preload/real.h"

REAL(prctl);

RESOLVE_EARLY static void resolve(void)
{
	RESOLVE(prctl);
}

long seccomp_set(unsigned op, unsigned flags, long args)
{
	if (op != SECCOMP_SET_MODE_FILTER)
		return sys_call3(SYS_seccomp, op, flags, args);
	int err = pager_stay_resident(FL_RESIDENT_SECCOMP);
	if (err)
		return err;
	guard_pass_through();
	return sys_call3(SYS_seccomp, op, flags, args);
}

EXPORT int prctl(int op, ...)
{
	unsigned long a[4];
	va_list args;

	va_start(args, op);
	for (int i = 0; i < 4; i++)
		a[i] = va_arg(args, unsigned long); /* not all need be there */
	va_end(args);
	if (op != PR_SET_SECCOMP || !pager_is_running())
		return NEED(prctl)(op, a[0], a[1], a[2], a[3]);
	if (a[0] == SECCOMP_MODE_FILTER)
		return (int)with_errno(seccomp_set(SECCOMP_SET_MODE_FILTER, 0, (long)a[1]));
	return NEED(prctl)(op, a[0], a[1], a[2], a[3]);
}
