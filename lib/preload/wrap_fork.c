// SPDX-License-Identifier: MIT
/*
 * fork from a managed stack, which is sealed with all managed memory while the pager is split: made
 * on another one. And ways to make a process that fork()'s handlers (start.c) do not see: _Fork,
 * vfork, and libc's clone(). What forks inside libc (daemon, forkpty) does not come through fork()
 * here, and needs the other stack too. By the system call itself: wrap_syscall.c.
 */
#include <errno.h>
#include <pty.h>
#include <sched.h>
#include <stdarg.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/sys.h"
#include "pager/pager.h"
#include "preload/elf_import.h"
#include "preload/bounce.h"
#include "preload/libc_malloc.h"
#include "preload/real.h"

/* Below a new stack's top: what clone() itself writes there, and the kernel's signal frames. */
#define STACK_RELEASED ((uintptr_t)256 << 10)

REAL(fork);
REAL(_Fork);
REAL(clone);
REAL(daemon);
REAL(forkpty);

RESOLVE_EARLY static void resolve(void)
{
	RESOLVE(fork);
	RESOLVE(_Fork);
	RESOLVE(clone);
	RESOLVE(daemon);
	RESOLVE(forkpty);
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
	(void)arg;
	if (libc_malloc_is_taken())
		return NEED(_Fork)();
	int err = pager_fork_prepare();
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

/* --- what forks inside libc ------------------------------------------------------------------ */

struct daemon_args {
	int no_chdir, no_close;
};

static long daemon_here(void *arg)
{
	const struct daemon_args a = *(struct daemon_args *)arg;

	return real_daemon(a.no_chdir, a.no_close);
}

EXPORT int daemon(int no_chdir, int no_close)
{
	struct daemon_args a = {no_chdir, no_close};

	NEED(daemon);
	if (UNLIKELY(on_managed_stack()))
		return (int)bounce_run(daemon_here, &a, (uintptr_t)__builtin_frame_address(0));
	return real_daemon(no_chdir, no_close);
}

struct forkpty_args {
	int *pty;
	char *name;
	const struct termios *termios;
	const struct winsize *size;
};

static long forkpty_here(void *arg)
{
	const struct forkpty_args a = *(struct forkpty_args *)arg;

	return real_forkpty(a.pty, a.name, a.termios, a.size);
}

EXPORT int forkpty(int *pty, char *name, const struct termios *termios, const struct winsize *size)
{
	struct forkpty_args a = {pty, name, termios, size};

	NEED(forkpty);
	if (UNLIKELY(on_managed_stack()))
		return (int)bounce_run(forkpty_here, &a, (uintptr_t)__builtin_frame_address(0));
	return real_forkpty(pty, name, termios, size);
}

/* --- vfork --------------------------------------------------------------------------------- */

/*
 * The child returns from vfork() first, and may use the stack below this frame and the return
 * address with it: that is kept in a register, which the kernel preserves.
 */
__asm__(".text\n"
        ".globl vfork\n"
        ".globl __vfork\n"
        ".type vfork, @function\n"
        ".type __vfork, @function\n"
        "vfork:\n"
        "__vfork:\n"
        "	sub $8, %rsp\n"
        "	call fl_vfork_before\n"
        "	add $8, %rsp\n"
        "	cmp $2, %eax\n"
        "	je fork@PLT\n"
        "	pop %rdi\n"
        "	mov %eax, %esi\n"
        "	mov $58, %eax\n" /* SYS_vfork */
        "	syscall\n"
        "	push %rdi\n"
        "	test %rax, %rax\n"
        "	jz 1f\n"
        "	mov %rax, %rdi\n"
        "	jmp fl_vfork_after\n"
        "1:	ret\n"
        ".size vfork, . - vfork\n");

/*
 * Whether the program itself calls ptrace(). Its vforked child may ask to be traced before it
 * execs, and then stops at each signal, those of the pager and the guard included, while its tracer
 * waits in vfork() for the exec: for ever. After a fork it can wait for the stop.
 */
static bool is_tracer(void)
{
	return elf_imports("ptrace");
}

__attribute__((used, visibility("hidden"))) int fl_vfork_before(void);
__attribute__((used, visibility("hidden"))) pid_t fl_vfork_after(long pid, int is_counted);

int fl_vfork_before(void)
{
	return is_tracer() ? 2 : pager_vfork_prepare();
}

/* In the parent; @is_counted is what before() said. */
pid_t fl_vfork_after(long pid, int is_counted)
{
	if (is_counted)
		pager_vfork_parent();
	return (pid_t)with_errno(pid);
}

/* --- clone --------------------------------------------------------------------------------- */

struct entry {
	int (*fn)(void *arg);
	void *arg;
};

static int forked_entry(void *arg)
{
	struct entry entry = *(struct entry *)arg;

	pager_fork_child();
	/* libc would end this thread only, and the pager's would keep the process alive. */
	_exit(entry.fn(entry.arg));
}

struct clone_args3 {
	void *parent_tid, *tls, *child_tid;
};

static int clone_sharing(
    int (*fn)(void *arg), void *stack, int flags, void *arg, const struct clone_args3 *more)
{
	bool is_process = !(flags & CLONE_THREAD);
	bool is_counted = is_process && pager_vfork_prepare();
	bool is_split = !is_process && !(flags & CLONE_FILES);

	if (is_split)
		fd_split_begin();
	int pid = NEED(clone)(fn, stack, flags, arg, more->parent_tid, more->tls, more->child_tid);
	if (is_split)
		fd_close_end();
	/* Without CLONE_VFORK nobody says when the child is done: it counts for ever. */
	if (is_counted && (pid < 0 || flags & CLONE_VFORK))
		pager_vfork_parent();
	return pid;
}

/* Its fork must be ours: the child gets a pager of its own. */
static int clone_copying(
    int (*fn)(void *arg), void *stack, int flags, void *arg, const struct clone_args3 *more)
{
	struct entry entry = {fn, arg};

	/* Two pagers cannot share descriptors: what one closes is the other's swap. */
	flags &= ~CLONE_FILES;

	if (!real_clone)
		resolve(); /* not between prepare and parent: memory is out of reach there */
	int err = pager_fork_prepare();
	if (err)
		return (int)with_errno(err);
	int pid = real_clone(
	    forked_entry, stack, flags, &entry, more->parent_tid, more->tls, more->child_tid);
	int saved_errno = errno;
	pager_fork_parent();
	errno = saved_errno;
	return pid;
}

EXPORT int clone(int (*fn)(void *arg), void *stack, int flags, void *arg, ...)
{
	struct clone_args3 more;
	va_list args;

	va_start(args, arg);
	more.parent_tid = va_arg(args, void *);
	more.tls = va_arg(args, void *);
	more.child_tid = va_arg(args, void *);
	va_end(args);
	/* Who does not say so in the flags has not passed them: what was found is of no kind. */
	if (!(flags & (CLONE_PARENT_SETTID | CLONE_PIDFD)))
		more.parent_tid = NULL;
	if (!(flags & CLONE_SETTLS))
		more.tls = NULL;
	if (!(flags & (CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID)))
		more.child_tid = NULL;
	if (!fn || !stack || !pager_is_running())
		return NEED(clone)(
		    fn, stack, flags, arg, more.parent_tid, more.tls, more.child_tid);
	/* The child's first signal frame, or its end if that is a fault, would lie there. */
	if (in_window((uintptr_t)stack - 1))
		pager_release((uintptr_t)stack - STACK_RELEASED, STACK_RELEASED);
	return flags & CLONE_VM ? clone_sharing(fn, stack, flags, arg, &more)
	                        : clone_copying(fn, stack, flags, arg, &more);
}
