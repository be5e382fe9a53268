// SPDX-License-Identifier: MIT
/*
 * libc's signal functions: SIGBUS, SIGSEGV and SIGSYS are answered from signals.c, and kept out of
 * every mask that reaches the kernel. libc's own internal calls do not come through here; they
 * only ever restore masks that do not have the three, or block everything where no managed memory
 * is touched.
 */
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/sys.h"
#include "preload/altstack.h"
#include "preload/bounce.h"
#include "preload/guard.h"
#include "preload/real.h"
#include "preload/sigframe.h"
#include "preload/signals.h"

#define SA_RESTORER_FLAG 0x04000000ul
#define SIG_HOLD_VALUE   ((sighandler_t)2)
/* libc's own two, which it lets nobody touch. */
#define SIGNALS_OF_LIBC (SIGNAL_BIT(32) | SIGNAL_BIT(33))

extern void fl_restorer(void) __attribute__((visibility("hidden"))); /* base/sys.c */

REAL(sigsuspend);
REAL(sigtimedwait);
REAL(ppoll);
REAL(pselect);
REAL(epoll_pwait);
REAL(epoll_pwait2);
REAL(pthread_attr_setsigmask_np);

RESOLVE_EARLY static void resolve(void)
{
	RESOLVE(sigsuspend);
	RESOLVE(sigtimedwait);
	RESOLVE(ppoll);
	RESOLVE(pselect);
	RESOLVE(epoll_pwait);
	RESOLVE(epoll_pwait2);
	RESOLVE(pthread_attr_setsigmask_np);
}

static uint64_t bits_of(const sigset_t *set)
{
	uint64_t bits;

	memcpy(&bits, set, sizeof(bits));
	return bits;
}

static void set_bits(sigset_t *set, uint64_t bits)
{
	memcpy(set, &bits, sizeof(bits));
}

/* A copy of @set that the kernel may have, in *@copy. Return: it, or NULL for NULL. */
static const sigset_t *kernel_mask(const sigset_t *set, sigset_t *copy)
{
	if (!set)
		return NULL;
	sigemptyset(copy);
	set_bits(copy, bits_of(set) & ~(signals_are_installed() ? SIGNALS_KEPT : 0));
	return copy;
}

struct kernel_action {
	int sig;
	const struct sys_sigaction *act; /* or NULL */
	struct sys_sigaction *old;
};

/* Copies, since what the arguments point to may lie on a managed stack. */
static long kernel_action(void *arg)
{
	const struct kernel_action k = *(struct kernel_action *)arg;
	struct sys_sigaction act = {0}, old = {0};
	long err;

	if (k.act)
		act = *k.act;
	if (signals_are_installed())
		err = sigframe_action(k.sig, k.act ? &act : NULL, &old);
	else
		err = sys_call4(
		    SYS_rt_sigaction, k.sig, k.act ? (long)&act : 0, (long)&old, sizeof(act.mask));
	if (!err)
		*k.old = old;
	return err;
}

/* Return: 0 or -errno. */
static long change_action(int sig, const struct sigaction *act, struct sigaction *old)
{
	struct sys_sigaction new_act = {0}, old_act = {0};

	if (sig <= 0 || sig > 64 || SIGNALS_OF_LIBC & SIGNAL_BIT(sig))
		return -EINVAL;
	if (act)
		new_act = (struct sys_sigaction){
		    .handler = (void *)act->sa_handler,
		    .flags = (unsigned)act->sa_flags | SA_RESTORER_FLAG,
		    .restorer = fl_restorer,
		    .mask = bits_of(&act->sa_mask),
		};
	if (signals_are_installed() && signal_is_kept(sig)) {
		signals_action(sig, act ? &new_act : NULL, &old_act);
	} else {
		struct kernel_action k = {sig, act ? &new_act : NULL, &old_act};
		uintptr_t sp = (uintptr_t)__builtin_frame_address(0);
		long err =
		    on_managed_stack() ? bounce_run(kernel_action, &k, sp) : kernel_action(&k);

		if (err)
			return err;
	}
	if (old) {
		memset(old, 0, sizeof(*old));
		old->sa_handler = (sighandler_t)old_act.handler;
		old->sa_flags = (int)(old_act.flags & ~SA_RESTORER_FLAG);
		set_bits(&old->sa_mask, old_act.mask);
	}
	return 0;
}

EXPORT int sigaction(int sig, const struct sigaction *restrict act, struct sigaction *restrict old)
{
	return (int)with_errno(change_action(sig, act, old));
}

int __sigaction(int sig, const struct sigaction *act, struct sigaction *old);
EXPORT int __sigaction(int sig, const struct sigaction *act, struct sigaction *old)
{
	return sigaction(sig, act, old);
}

/* Signals whose handlers siginterrupt() has told to interrupt system calls. */
static _Atomic uint64_t interrupting;

static sighandler_t set_handler(int sig, sighandler_t handler, int flags, uint64_t mask)
{
	struct sigaction act = {.sa_handler = handler, .sa_flags = flags}, old;

	set_bits(&act.sa_mask, mask);
	if (handler == SIG_ERR) {
		errno = EINVAL;
		return SIG_ERR;
	}
	return sigaction(sig, &act, &old) ? SIG_ERR : old.sa_handler;
}

EXPORT sighandler_t signal(int sig, sighandler_t handler)
{
	uint64_t bit = sig > 0 && sig <= 64 ? SIGNAL_BIT(sig) : 0;

	return set_handler(sig, handler, atomic_load(&interrupting) & bit ? 0 : SA_RESTART, bit);
}

sighandler_t bsd_signal(int sig, sighandler_t handler);
EXPORT sighandler_t bsd_signal(int sig, sighandler_t handler)
{
	return signal(sig, handler);
}

EXPORT sighandler_t ssignal(int sig, sighandler_t handler)
{
	return signal(sig, handler);
}

EXPORT sighandler_t sysv_signal(int sig, sighandler_t handler)
{
	return set_handler(sig, handler, (int)(SA_RESETHAND | SA_NODEFER), 0);
}

EXPORT sighandler_t __sysv_signal(int sig, sighandler_t handler)
{
	return sysv_signal(sig, handler);
}

EXPORT int siginterrupt(int sig, int is_interrupting)
{
	struct sigaction act;

	if (sigaction(sig, NULL, &act))
		return -1;
	if (is_interrupting) {
		atomic_fetch_or(&interrupting, SIGNAL_BIT(sig));
		act.sa_flags &= ~SA_RESTART;
	} else {
		atomic_fetch_and(&interrupting, ~SIGNAL_BIT(sig));
		act.sa_flags |= SA_RESTART;
	}
	return sigaction(sig, &act, NULL);
}

/* change_mask() from a managed stack: in two steps, neither of which gives the kernel an address on
 * it. Return: 0 or -errno. */
static long change_mask_in_steps(int how, const sigset_t *set, sigset_t *old)
{
	uint64_t wanted = set ? bits_of(set) & ~SIGNALS_OF_LIBC : 0, view;
	uint64_t mask = sys_signals_block(false);
	int err = signals_mask_change(
	    how, set ? &wanted : NULL, &mask, &view, (uintptr_t)__builtin_frame_address(0));

	if (!err && old)
		set_bits(old, view);
	sys_signals_restore(mask);
	return err;
}

/* Return: 0 or -errno. */
static long change_mask(int how, const sigset_t *set, sigset_t *old)
{
	if (UNLIKELY(on_managed_stack()) && signals_are_installed())
		return change_mask_in_steps(how, set, old);
	uint64_t wanted = set ? bits_of(set) & ~SIGNALS_OF_LIBC : 0, view = 0;
	uint64_t allowed = wanted & ~(signals_are_installed() ? SIGNALS_KEPT : 0);
	long err = sys_call4(SYS_rt_sigprocmask, how, set ? (long)&allowed : 0, (long)&view, 8);

	if (err)
		return err;
	if (signals_are_installed()) {
		uint64_t mask = view;

		signals_mask_change(
		    how, set ? &wanted : NULL, &mask, &view, (uintptr_t)__builtin_frame_address(0));
	}
	if (old)
		set_bits(old, view);
	return 0;
}

EXPORT int sigprocmask(int how, const sigset_t *restrict set, sigset_t *restrict old)
{
	return (int)with_errno(change_mask(how, set, old));
}

EXPORT int pthread_sigmask(int how, const sigset_t *restrict set, sigset_t *restrict old)
{
	return (int)-change_mask(how, set, old);
}

EXPORT int pthread_attr_setsigmask_np(pthread_attr_t *attr, const sigset_t *set)
{
	sigset_t copy;

	if (!NEED(pthread_attr_setsigmask_np))
		return ENOSYS;
	return real_pthread_attr_setsigmask_np(attr, kernel_mask(set, &copy));
}

EXPORT int sigsuspend(const sigset_t *set)
{
	sigset_t copy;
	const sigset_t *mask = kernel_mask(set, &copy);

	return NEED(sigsuspend)(mask);
}

/* --- what is pending: of the three, what came for this thread while it had them blocked --- */

EXPORT int sigpending(sigset_t *set)
{
	uint64_t bits = 0;
	long err = sys_call2(SYS_rt_sigpending, (long)&bits, sizeof(bits));

	bits |= signals_pending();
	if (!err && guard_copy(set, &bits, sizeof(bits)))
		err = -EFAULT;
	return (int)with_errno(err);
}

/* Return: the signal, or 0. */
static int take_pending(const sigset_t *set, siginfo_t *ret_info)
{
	siginfo_t info;
	uint64_t bits;

	if (!signals_pending() || guard_copy(&bits, set, sizeof(bits)))
		return 0;
	int sig = signals_take_pending(bits, &info);
	if (sig && ret_info)
		guard_copy(ret_info, &info, sizeof(info));
	return sig;
}

EXPORT int sigtimedwait(const sigset_t *set, siginfo_t *info, const struct timespec *timeout)
{
	int sig = take_pending(set, info);

	if (sig)
		return sig;
	int result = NEED(sigtimedwait)(set, info, timeout);
	if (result < 0 && errno == EINTR)
		sig = take_pending(set, info);
	return sig ? sig : result;
}

EXPORT int sigwaitinfo(const sigset_t *set, siginfo_t *info)
{
	return sigtimedwait(set, info, NULL);
}

EXPORT int sigwait(const sigset_t *set, int *ret_sig)
{
	int sig;

	do {
		sig = sigtimedwait(set, NULL, NULL);
	} while (sig < 0 && errno == EINTR);
	if (sig < 0)
		return errno;
	*ret_sig = sig;
	return 0;
}

EXPORT int ppoll(struct pollfd *fds, nfds_t nr, const struct timespec *timeout, const sigset_t *set)
{
	sigset_t copy;
	const sigset_t *mask = kernel_mask(set, &copy);

	return NEED(ppoll)(fds, nr, timeout, mask);
}

_Noreturn void __chk_fail(void);
int __ppoll_chk(struct pollfd *fds, nfds_t nr, const struct timespec *timeout, const sigset_t *set,
    size_t fds_bytes);
EXPORT int __ppoll_chk(struct pollfd *fds, nfds_t nr, const struct timespec *timeout,
    const sigset_t *set, size_t fds_bytes)
{
	if (fds_bytes / sizeof(*fds) < nr)
		__chk_fail();
	return ppoll(fds, nr, timeout, set);
}

EXPORT int pselect(int nr, fd_set *restrict in, fd_set *restrict out, fd_set *restrict except,
    const struct timespec *restrict timeout, const sigset_t *restrict set)
{
	sigset_t copy;
	const sigset_t *mask = kernel_mask(set, &copy);

	return NEED(pselect)(nr, in, out, except, timeout, mask);
}

EXPORT int epoll_pwait(int fd, struct epoll_event *events, int nr, int timeout, const sigset_t *set)
{
	sigset_t copy;
	const sigset_t *mask = kernel_mask(set, &copy);

	if (guard_is_for(events)) /* as in wrap_data.c */
		return (int)guard_call_cancellable(
		    SYS_epoll_pwait, fd, (long)events, nr, timeout, (long)mask, 8);
	return NEED(epoll_pwait)(fd, events, nr, timeout, mask);
}

EXPORT int epoll_pwait2(
    int fd, struct epoll_event *events, int nr, const struct timespec *timeout, const sigset_t *set)
{
	sigset_t copy;
	const sigset_t *mask = kernel_mask(set, &copy);

	if (!NEED(epoll_pwait2))
		return (int)syscall(SYS_epoll_pwait2, fd, events, nr, timeout, mask, 8);
	return real_epoll_pwait2(fd, events, nr, timeout, mask);
}

/* --- the old ones ------------------------------------------------------------------------- */

static int mask_one(int how, int sig)
{
	sigset_t set;

	sigemptyset(&set);
	return sigaddset(&set, sig) ? -1 : sigprocmask(how, &set, NULL);
}

EXPORT int sighold(int sig)
{
	return mask_one(SIG_BLOCK, sig);
}

EXPORT int sigrelse(int sig)
{
	return mask_one(SIG_UNBLOCK, sig);
}

EXPORT int sigignore(int sig)
{
	return set_handler(sig, SIG_IGN, 0, 0) == SIG_ERR ? -1 : 0;
}

EXPORT sighandler_t sigset(int sig, sighandler_t handler)
{
	struct sigaction old;
	sigset_t mask;

	if (sigaction(sig, NULL, &old) || sigprocmask(SIG_BLOCK, NULL, &mask))
		return SIG_ERR;
	bool was_held = sigismember(&mask, sig) == 1;
	if (handler == SIG_HOLD_VALUE) {
		if (mask_one(SIG_BLOCK, sig))
			return SIG_ERR;
	} else if (set_handler(sig, handler, 0, 0) == SIG_ERR || mask_one(SIG_UNBLOCK, sig)) {
		return SIG_ERR;
	}
	return was_held ? SIG_HOLD_VALUE : old.sa_handler;
}

static int old_style_mask(int how, int bits)
{
	sigset_t set, old;

	sigemptyset(&set);
	set_bits(&set, (unsigned)bits);
	return sigprocmask(how, &set, &old) ? -1 : (int)bits_of(&old);
}

int sigblock(int bits);
EXPORT int sigblock(int bits)
{
	return old_style_mask(SIG_BLOCK, bits);
}

int sigsetmask(int bits);
EXPORT int sigsetmask(int bits)
{
	return old_style_mask(SIG_SETMASK, bits);
}

EXPORT int sigaltstack(const stack_t *ss, stack_t *old)
{
	uintptr_t sp = (uintptr_t)__builtin_frame_address(0);
	stack_t in, out;
	long err;

	if (ss && guard_copy(&in, ss, sizeof(in)))
		return (int)with_errno(-EFAULT);
	if (signals_are_installed())
		err = altstack_change(ss ? &in : NULL, &out, sp);
	else
		err = sys_call2(SYS_sigaltstack, ss ? (long)&in : 0, (long)&out);
	if (!err && old && guard_copy(old, &out, sizeof(out)))
		err = -EFAULT;
	return (int)with_errno(err);
}
