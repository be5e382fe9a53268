// SPDX-License-Identifier: MIT
/*
 * Fault handlers, and the program's own view of SIGBUS, SIGSEGV and SIGSYS; see signals.h.
 *
 * The program's dispositions are immutable records in a small ring per signal, published by index:
 * readers in fault context and forked children never meet a lock that somebody holds.
 *
 * A handler of the program blocks its own signal, and those of its sa_mask. For the three that is
 * in the emulated mask only, until the handler returns, or libc restores a mask with a jump
 * (wrap_jump.c), or the thread is found to have left the handler's frame in some other way.
 */
#include "preload/signals.h"

#include <errno.h>
#include <stdatomic.h>
#include <sys/syscall.h>

#include "base/ensure.h"
#include "pager/pager.h"
#include "preload/altstack.h"
#include "preload/blocked_window.h"
#include "preload/bounce.h"
#include "preload/guard.h"
#include "preload/sigframe.h"
#include "preload/stack_switch.h"

#define NR_RECORDS 64u /* a reader would have to sleep through as many sigaction() calls */
#define NR_SIGNALS 64
#define MAX_DEPTH  ((uintptr_t)256 << 10) /* below a handler's frame: its own stack. Guess */
#define SI_IS_SYNC 0 /* si_code above: raised by the kernel for what this thread just did */

struct disposition {
	_Atomic uint32_t next;    /* records ever used */
	_Atomic uint32_t current; /* index of the one that counts */
	struct sys_sigaction record[NR_RECORDS];
};

static struct disposition dispositions[3];
static _Atomic bool installed;

/* Kept signals that this thread's program believes blocked, and those that arrived meanwhile. */
static _Thread_local uint64_t emulated_mask __attribute__((tls_model("initial-exec")));
static _Thread_local uint64_t emulated_pending __attribute__((tls_model("initial-exec")));
static _Thread_local siginfo_t pending_info[3] __attribute__((tls_model("initial-exec")));

/* Of emulated_mask: what handlers have blocked by running, and the frame of each. */
static _Thread_local uint64_t handler_bits __attribute__((tls_model("initial-exec")));
static _Thread_local uintptr_t handler_frame[3] __attribute__((tls_model("initial-exec")));

/*
 * What a child of vfork() has set: it has a table of its own, but its parent's memory. Kept with
 * its pid, so that the parent, whose thread has the same variable, does not mistake it for its own.
 */
static _Thread_local struct {
	long pid;
	uint64_t set; /* of the kept signals: those it has set */
	struct sys_sigaction action[3];
} borrower __attribute__((tls_model("initial-exec")));

static const int kept_signals[] = {SIGBUS, SIGSEGV, SIGSYS};

/* In kept_signals. */
static uint32_t index_of(int sig)
{
	return sig == SIGBUS ? 0 : sig == SIGSEGV ? 1 : 2;
}

static struct disposition *disposition_of(int sig)
{
	return &dispositions[index_of(sig)];
}

static void disposition_set(
    struct disposition *d, const struct sys_sigaction *act, struct sys_sigaction *ret_old)
{
	uint32_t mine = atomic_fetch_add(&d->next, 1) % NR_RECORDS;

	if (mine == atomic_load(&d->current))
		mine = atomic_fetch_add(&d->next, 1) % NR_RECORDS;
	d->record[mine] = *act;
	uint32_t old = atomic_exchange(&d->current, mine);
	if (ret_old)
		*ret_old = d->record[old];
}

static struct sys_sigaction disposition_get(int sig)
{
	struct disposition *d = disposition_of(sig);

	if (UNLIKELY(borrower.set & SIGNAL_BIT(sig)) && borrower.pid == sys_call0(SYS_getpid))
		return borrower.action[index_of(sig)];
	return d->record[atomic_load(&d->current)];
}

static void borrower_set(int sig, const struct sys_sigaction *act)
{
	long pid = sys_call0(SYS_getpid);

	if (borrower.pid != pid)
		borrower.set = 0;
	borrower.pid = pid;
	borrower.action[index_of(sig)] = *act;
	borrower.set |= SIGNAL_BIT(sig);
}

void signals_action(int sig, const struct sys_sigaction *act, struct sys_sigaction *ret_old)
{
	struct sys_sigaction copy, old = disposition_get(sig);

	if (act) {
		copy = *act;
		if (pager_in_vfork_child())
			borrower_set(sig, &copy);
		else
			disposition_set(disposition_of(sig), &copy, &old);
	}
	if (ret_old)
		*ret_old = old;
}

static void send_to_self(int sig, const siginfo_t *si)
{
	long pid = sys_call0(SYS_getpid), tid = sys_call0(SYS_gettid);

	/* With the original siginfo where the kernel lets us; a plain one is better than none. */
	if (!si || sys_call4(SYS_rt_tgsigqueueinfo, pid, tid, sig, (long)si))
		sys_call3(SYS_tgkill, pid, tid, sig);
}

static void set_default(int sig)
{
	static const struct sys_sigaction dfl = {.handler = (void *)SIG_DFL};

	sys_call4(SYS_rt_sigaction, sig, (long)&dfl, 0, 8);
}

static void send_ready(void)
{
	uint64_t ready = emulated_pending & ~emulated_mask;

	emulated_pending &= ~ready;
	for (int sig = 1; sig < 64; sig++)
		if (ready & SIGNAL_BIT(sig))
			send_to_self(sig, &pending_info[index_of(sig)]);
}

uint64_t signals_pending(void)
{
	return emulated_pending & emulated_mask;
}

int signals_take_pending(uint64_t set, siginfo_t *ret_info)
{
	uint64_t mask = sys_signals_block(true);
	uint64_t ready = signals_pending() & set;
	int sig = ready ? __builtin_ctzll(ready) + 1 : 0;

	if (sig) {
		emulated_pending &= ~SIGNAL_BIT(sig);
		*ret_info = pending_info[index_of(sig)];
	}
	sys_signals_restore(mask);
	return sig;
}

static bool is_inside(uintptr_t frame, uintptr_t sp)
{
	if (altstack_is_programs(frame))
		return altstack_is_programs(sp) && sp <= frame;
	return altstack_is_programs(sp) || frame - sp < MAX_DEPTH;
}

void signals_leave_handlers(uintptr_t sp)
{
	for (int i = 0; UNLIKELY(handler_bits) && i < 3; i++) {
		uint64_t bit = SIGNAL_BIT(kept_signals[i]);

		if (handler_bits & bit && !is_inside(handler_frame[i], sp)) {
			handler_bits &= ~bit;
			emulated_mask &= ~bit;
		}
	}
}

void signals_forget_handlers(void)
{
	emulated_mask &= ~handler_bits;
	handler_bits = 0;
}

void signals_enter_handler(uint64_t mask, uintptr_t frame)
{
	uint64_t added = mask & SIGNALS_KEPT & ~emulated_mask;

	for (int i = 0; UNLIKELY(added) && i < 3; i++)
		if (added & SIGNAL_BIT(kept_signals[i]))
			handler_frame[i] = frame;
	handler_bits |= added;
	emulated_mask |= added;
}

uint64_t signals_emulated_mask(void)
{
	return emulated_mask;
}

void signals_set_emulated_mask(uint64_t mask)
{
	emulated_mask = mask;
	handler_bits &= mask;
}

void signals_flush(void)
{
	if (LIKELY(!(emulated_pending & ~emulated_mask)))
		return;
	sys_signals_block(true);
	send_ready();
}

int signals_mask_change(
    int how, const uint64_t *set, uint64_t *mask, uint64_t *ret_old, uintptr_t sp)
{
	signals_leave_handlers(sp);
	uint64_t view = (*mask & ~SIGNALS_KEPT) | emulated_mask;

	if (ret_old)
		*ret_old = view;
	if (!set)
		return 0;
	switch (how) {
	case SIG_BLOCK:
		view |= *set;
		break;
	case SIG_UNBLOCK:
		view &= ~*set;
		break;
	case SIG_SETMASK:
		view = *set;
		break;
	default:
		return -EINVAL;
	}
	*mask = view & ~(SIGNALS_KEPT | SIGNAL_BIT(SIGKILL) | SIGNAL_BIT(SIGSTOP));
	signals_set_emulated_mask(view & SIGNALS_KEPT);
	if (UNLIKELY(emulated_pending & ~emulated_mask))
		send_ready();
	return 0;
}

bool signals_handler(int sig, struct sys_sigaction *ret_act, uint64_t *mask)
{
	struct sys_sigaction act = disposition_get(sig);

	if (emulated_mask & SIGNAL_BIT(sig) || act.handler == (void *)SIG_DFL ||
	    act.handler == (void *)SIG_IGN)
		return false;
	if (act.flags & SA_RESETHAND) {
		struct sys_sigaction dfl = {.handler = (void *)SIG_DFL};

		signals_action(sig, &dfl, NULL);
	}
	*mask |= act.mask;
	if (!(act.flags & SA_NODEFER))
		*mask |= SIGNAL_BIT(sig);
	*ret_act = act;
	return true;
}

void signals_die(int sig, const siginfo_t *si, ucontext_t *uc)
{
	/* The signal waits, blocked, until the caller's handler returns. */
	sys_signals_block(true);
	*(uint64_t *)&uc->uc_sigmask &= ~SIGNALS_KEPT;
	set_default(sig);
	send_to_self(sig, si);
}

void signals_deliver(int sig, siginfo_t *si, ucontext_t *uc)
{
	struct sys_sigaction act;
	bool is_sync = si->si_code > SI_IS_SYNC;
	/* Sent by somebody while this thread is between two stacks: a moment later. */
	bool is_between = altstack_is_own((uintptr_t)uc->uc_mcontext.gregs[REG_RSP]);
	uint64_t mask = *(uint64_t *)&uc->uc_sigmask;

	if (!is_between)
		signals_leave_handlers(bounce_caller_sp((uintptr_t)uc->uc_mcontext.gregs[REG_RSP]));
	if (!is_sync && (is_between || emulated_mask & SIGNAL_BIT(sig))) {
		if (!(emulated_pending & SIGNAL_BIT(sig)))
			pending_info[index_of(sig)] = *si;
		emulated_pending |= SIGNAL_BIT(sig);
		return;
	}
	if (disposition_get(sig).handler == (void *)SIG_IGN && !is_sync)
		return;
	if (!is_between && signals_handler(sig, &act, &mask)) {
		/* Its frame may have to be written to absent pages. */
		sys_signals_block(false);
		sigframe_deliver(&act, sig, si, uc, mask);
	}
	signals_die(sig, si, uc);
}

struct fault_args {
	uintptr_t addr;
	enum access access;
};

static long serve_here(void *arg)
{
	const struct fault_args *f = arg;

	return pager_fault(f->addr, f->access);
}

/* On the stack that this handler began on, unless that is the program's alternate one. */
static enum fault_result serve(uintptr_t addr, enum access access)
{
	char *own = altstack_own();

	if (LIKELY(!own || altstack_is_own((uintptr_t)__builtin_frame_address(0))))
		return pager_fault(addr, access);
	struct fault_args f = {addr, access};
	uintptr_t left;
	return (enum fault_result)stack_switch(own + ALTSTACK_BYTES, serve_here, &f, &left);
}

/* SIGBUS and SIGSEGV. All signals are blocked. */
static void on_fault(int sig, void *info, void *context)
{
	siginfo_t *si = info;
	ucontext_t *uc = context;
	uintptr_t addr = (uintptr_t)si->si_addr;
	int saved_errno = errno;

	if (UNLIKELY(!altstack_own() || uc->uc_stack.ss_sp != altstack_own()))
		altstack_adopt(&uc->uc_stack);
	if (LIKELY(si->si_code > SI_IS_SYNC && in_window(addr))) {
		enum access access = access_of((unsigned long)uc->uc_mcontext.gregs[REG_ERR]);
		bool is_watched = blocked_window_pause();
		enum fault_result result = serve(addr, access);

		if (is_watched)
			blocked_window_resume();
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
		si->si_signo = sig;
	}
	if (si->si_code > SI_IS_SYNC && (guard_fixup(uc) || sigframe_retry_trap(si, uc)))
		return;
	signals_deliver(sig, si, uc);
}

int signals_take(int sig, void (*handler)(int, void *, void *), uint64_t mask, unsigned long flags)
{
	struct sys_sigaction old;
	int err = sys_signal_install(sig, handler, mask, flags, &old);

	if (!err)
		disposition_set(disposition_of(sig), &old, NULL);
	return err;
}

int signals_install(void)
{
	if (atomic_load(&installed))
		return 0;
	int err = altstack_start();
	if (err)
		return err;
	altstack_thread_start();
	for (int i = 0; i < 2; i++) {
		err = signals_take(i ? SIGSEGV : SIGBUS, on_fault, ~0ull, SA_ONSTACK);

		if (err)
			return err;
	}
	uint64_t kept = SIGNALS_KEPT, old = 0;
	sys_call4(SYS_rt_sigprocmask, SIG_UNBLOCK, (long)&kept, (long)&old, 8);
	emulated_mask = old & SIGNALS_KEPT;
	for (int sig = 1; sig <= NR_SIGNALS; sig++)
		if (!signal_is_kept(sig))
			sigframe_adopt(sig);
	atomic_store(&installed, true);
	return 0;
}

bool signals_are_installed(void)
{
	return atomic_load_explicit(&installed, memory_order_relaxed);
}

void signals_before_exec(void)
{
	static const struct sys_sigaction ign = {.handler = (void *)SIG_IGN};
	struct sys_sigaction act;

	if (!signals_are_installed())
		return;
	for (size_t i = 0; i < ARRAY_LEN(kept_signals); i++) {
		signals_action(kept_signals[i], NULL, &act);
		/* A blocked fault signal kills whether ignored or not: the pager is still served.
		 */
		if (act.handler == (void *)SIG_IGN && kept_signals[i] != SIGSYS)
			sys_call4(SYS_rt_sigaction, kept_signals[i], (long)&ign, 0, 8);
	}
}

void signals_after_exec(void)
{
	struct sys_sigaction act;

	if (!signals_are_installed())
		return;
	for (int i = 0; i < 2; i++) {
		signals_action(kept_signals[i], NULL, &act);
		if (act.handler == (void *)SIG_IGN)
			sys_signal_install(kept_signals[i], on_fault, ~0ull, SA_ONSTACK, NULL);
	}
}
