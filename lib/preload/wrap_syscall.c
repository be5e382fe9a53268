// SPDX-License-Identifier: MIT
/*
 * syscall(): the calls that libc's functions are wrapped for, asked for by number. What is not
 * listed here passes through, and is trapped like any other where a pointer is managed.
 *
 * A system call instruction of the program's own is seen by the filter only: a fork made so has no
 * pager of its own, and is stopped with a message when it touches managed memory (pager/fork.c).
 */
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/sys.h"
#include "pager/pager.h"
#include "preload/guard.h"
#include "preload/real.h"
#include "preload/wrap_seccomp.h"

REAL(syscall);

RESOLVE_EARLY static void resolve(void)
{
	RESOLVE(syscall);
}

/* Nothing that the call needs may be managed: it is made while that is out of reach. */
static long fork_by(long nr, const long a[NR_ARGS])
{
	int err = pager_fork_prepare();

	if (err)
		return err;
	long pid = sys_call6(nr, a[0], a[1], a[2], a[3], a[4], a[5]);
	if (pid)
		pager_fork_parent();
	else
		pager_fork_child();
	return pid;
}

static bool is_managed(long addr)
{
	return in_window((uintptr_t)addr);
}

/* clone without CLONE_VM and without a new stack: a fork that says more. */
static long fork_by_clone(const long a[NR_ARGS])
{
	long real[NR_ARGS];
	int parent_tid = 0, child_tid = 0;

	memcpy(real, a, sizeof(real));
	real[0] &= ~(long)CLONE_FILES; /* as clone() */
	if (is_managed(a[2]))
		real[2] = (long)&parent_tid;
	if (is_managed(a[3]))
		real[3] = (long)&child_tid;
	long pid = fork_by(SYS_clone, real);
	if (pid > 0 && is_managed(a[2]) && a[0] & (CLONE_PARENT_SETTID | CLONE_PIDFD))
		guard_copy((void *)a[2], &parent_tid, sizeof(parent_tid));
	if (!pid && is_managed(a[3]) && a[0] & CLONE_CHILD_SETTID)
		guard_copy((void *)a[3], &child_tid, sizeof(child_tid));
	return pid;
}

static void redirect(__u64 *field, int *own, uint64_t *ret_user)
{
	*ret_user = 0;
	if (!in_window(*field))
		return;
	*ret_user = *field;
	*field = (uintptr_t)own;
}

static void hand_back(uint64_t user, const int *own)
{
	if (user)
		guard_copy((void *)user, own, sizeof(*own));
}

/* @args: a copy. */
static long fork_by_clone3(struct clone_args *args, size_t bytes)
{
	int pidfd = 0, parent_tid = 0, child_tid = 0;
	uint64_t user_pidfd, user_parent, user_child;
	const long a[NR_ARGS] = {(long)args, (long)bytes};

	args->flags &= ~(__u64)CLONE_FILES; /* as clone() */
	redirect(&args->pidfd, &pidfd, &user_pidfd);
	redirect(&args->parent_tid, &parent_tid, &user_parent);
	redirect(&args->child_tid, &child_tid, &user_child);
	long pid = fork_by(SYS_clone3, a);
	if (pid > 0) {
		hand_back(user_pidfd, &pidfd);
		hand_back(user_parent, &parent_tid);
	} else if (!pid) {
		hand_back(user_child, &child_tid);
	}
	return pid;
}

/* Return: whether the call was a fork; its result is then in *@ret. */
static bool is_fork(long nr, const long a[NR_ARGS], long *ret)
{
	if (nr == SYS_fork) {
		*ret = fork_by(nr, a);
		return true;
	}
	if (nr == SYS_clone && !(a[0] & CLONE_VM) && !a[1]) {
		*ret = fork_by_clone(a);
		return true;
	}
	struct clone_args args = {0};
	size_t bytes = (size_t)a[1];
	if (nr != SYS_clone3 || bytes > sizeof(args) || guard_copy(&args, (void *)a[0], bytes))
		return false;
	if (args.flags & CLONE_VM || args.stack || in_window(args.set_tid))
		return false;
	*ret = fork_by_clone3(&args, bytes);
	return true;
}

/* Calls with pointers in what their arguments point to. */
static bool has_nested(long nr)
{
	switch (nr) {
	case SYS_readv:
	case SYS_writev:
	case SYS_preadv:
	case SYS_pwritev:
	case SYS_preadv2:
	case SYS_pwritev2:
	case SYS_vmsplice:
	case SYS_sendmsg:
	case SYS_recvmsg:
	case SYS_sendmmsg:
	case SYS_recvmmsg:
	case SYS_process_vm_readv:
	case SYS_process_vm_writev:
	case SYS_execve:
	case SYS_execveat:
	case SYS_futex_waitv:
	case SYS_rt_sigaction: /* not nested, but not to be made unseen */
	case SYS_io_setup:
	case SYS_io_uring_setup:
		return true;
	default:
		return false;
	}
}

static long by_number(long nr, const long a[NR_ARGS])
{
	long result;

	if (has_nested(nr))
		return with_errno(guard_call(nr, a[0], a[1], a[2], a[3], a[4], a[5]));
	switch (nr) {
	case SYS_fork:
	case SYS_clone:
	case SYS_clone3:
		if (is_fork(nr, a, &result))
			return with_errno(result);
		break;
	case SYS_seccomp:
		return with_errno(seccomp_set((unsigned)a[0], (unsigned)a[1], a[2]));
	case SYS_prctl:
		return prctl((int)a[0], a[1], a[2], a[3], a[4]);
	case SYS_close:
		return close((int)a[0]);
	case SYS_close_range:
		return close_range((unsigned)a[0], (unsigned)a[1], (int)a[2]);
	case SYS_unshare:
		return unshare((int)a[0]);
	case SYS_dup2:
		return dup2((int)a[0], (int)a[1]);
	case SYS_process_madvise:
		return process_madvise(
		    (int)a[0], (const struct iovec *)a[1], (size_t)a[2], (int)a[3], (unsigned)a[4]);
	case SYS_prlimit64:
		return prlimit64(
		    (pid_t)a[0], (__rlimit_resource_t)a[1], (void *)a[2], (void *)a[3]);
	case SYS_setrlimit:
		return setrlimit((__rlimit_resource_t)a[0], (void *)a[1]);
	case SYS_getrlimit:
		return getrlimit((__rlimit_resource_t)a[0], (void *)a[1]);
	case SYS_rt_sigprocmask:
		if (a[3] == sizeof(uint64_t)) /* of a sigset_t no more is looked at */
			return with_errno(
			    -pthread_sigmask((int)a[0], (sigset_t *)a[1], (sigset_t *)a[2]));
		break;
	case SYS_setsockopt:
		return setsockopt((int)a[0], (int)a[1], (int)a[2], (void *)a[3], (socklen_t)a[4]);
	case SYS_ptrace:
		if (a[0] == PTRACE_GETREGSET || a[0] == PTRACE_SETREGSET)
			return ptrace(
			    (enum __ptrace_request)a[0], (pid_t)a[1], (void *)a[2], (void *)a[3]);
		break;
	case SYS_dup3:
		return dup3((int)a[0], (int)a[1], (int)a[2]);
	default:
		break;
	}
	return NEED(syscall)(nr, a[0], a[1], a[2], a[3], a[4], a[5]);
}

EXPORT long syscall(long nr, ...)
{
	long a[NR_ARGS];
	va_list args;

	va_start(args, nr);
	for (int i = 0; i < NR_ARGS; i++)
		a[i] = va_arg(args, long); /* those not given are registers' old contents */
	va_end(args);
	if (!pager_is_running())
		return NEED(syscall)(nr, a[0], a[1], a[2], a[3], a[4], a[5]);
	return by_number(nr, a);
}
