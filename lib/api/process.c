// SPDX-License-Identifier: MIT
/* Fault handlers and fork for a process that links the library; see api.h. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/syscall.h>
#include <ucontext.h>

#include "api/api.h"
#include "base/sys.h"
#include "pager/pager.h"

#define SIGNAL_BIT(sig) (1ull << ((sig)-1))

/* What the program had before; [const] once installed. */
static struct sys_sigaction old_bus, old_segv;

/* The signal is not, or not any more, the pager's: what the kernel would have done without it. */
static void pass_on(int sig, siginfo_t *si, ucontext_t *uc)
{
	const struct sys_sigaction *old = sig == SIGBUS ? &old_bus : &old_segv;

	if (old->handler == (void *)SIG_DFL || old->handler == (void *)SIG_IGN) {
		static const struct sys_sigaction dfl = {.handler = (void *)SIG_DFL};

		/* The access happens again, and ends the process. One that was only sent is sent
		 * again. */
		if (old->handler == (void *)SIG_IGN && si->si_code <= 0)
			return;
		sys_call4(SYS_rt_sigaction, sig, (long)&dfl, 0, 8);
		if (si->si_code <= 0 || sig != si->si_signo)
			sys_call3(SYS_tgkill, sys_call0(SYS_getpid), sys_call0(SYS_gettid), sig);
		return;
	}
	uint64_t mask = *(uint64_t *)&uc->uc_sigmask | old->mask;
	if (!(old->flags & SA_NODEFER))
		mask |= SIGNAL_BIT(sig);
	sys_call4(SYS_rt_sigprocmask, SIG_SETMASK, (long)&mask, 0, 8);
	si->si_signo = sig;
	((void (*)(int, siginfo_t *, void *))old->handler)(sig, si, uc);
}

static void on_fault(int sig, void *info, void *context)
{
	siginfo_t *si = info;
	ucontext_t *uc = context;
	uintptr_t addr = (uintptr_t)si->si_addr;
	int saved_errno = errno;

	if (LIKELY(si->si_code > 0 && in_window(addr))) {
		enum fault_result result =
		    pager_fault(addr, access_of((unsigned long)uc->uc_mcontext.gregs[REG_ERR]));

		errno = saved_errno;
		if (LIKELY(result == FAULT_DONE))
			return;
		if (result == FAULT_IO_ERROR) {
			sig = SIGBUS;
			si->si_code = BUS_ADRERR;
		} else if (result == FAULT_INVALID && sig != SIGSEGV) {
			sig = SIGSEGV;
			si->si_code = SEGV_MAPERR;
		}
	}
	pass_on(sig, si, uc);
	errno = saved_errno;
}

static int signals_install(void)
{
	int err = sys_signal_install(SIGBUS, on_fault, ~0ull, 0, &old_bus);

	return err ? err : sys_signal_install(SIGSEGV, on_fault, ~0ull, 0, &old_segv);
}

static _Atomic bool is_ours; /* the pager was started by fl_open() */
static int handlers_err;

/* Of the thread that forks. */
static _Thread_local bool is_split __attribute__((tls_model("initial-exec")));

/* A pager that cannot be split is left alone: then the child dies, with a message, of its first
 * touch of managed memory. */
static void fork_prepare(void)
{
	is_split = atomic_load(&is_ours) && pager_fork_prepare() == 0;
}

static void fork_parent(void)
{
	if (is_split)
		pager_fork_parent();
}

static void fork_child(void)
{
	if (is_split)
		pager_fork_child();
}

/* Before the program registers handlers of its own: they may touch managed memory, and so must run
 * before it is sealed and after it is unsealed. */
__attribute__((constructor)) static void fork_handlers_install(void)
{
	handlers_err = -pthread_atfork(fork_prepare, fork_parent, fork_child);
}

int api_process_begin(void)
{
	int err = handlers_err ?: signals_install();

	if (!err)
		atomic_store(&is_ours, true);
	return err;
}
