// SPDX-License-Identifier: MIT
/*
 * The three signals that the pager lives on: SIGBUS and SIGSEGV (faults), SIGSYS (trapped system
 * calls). The kernel always has our handlers for them and they are never really blocked; what the
 * program asked for is kept here, reported faithfully, and acted out for signals that are not ours.
 */
#ifndef FL_PRELOAD_SIGNALS_H
#define FL_PRELOAD_SIGNALS_H

#include <signal.h>
#include <ucontext.h>

#include "base/sys.h"
#include "base/types.h"

#define SIGNAL_BIT(sig) (1ull << ((sig)-1))
#define SIGNALS_KEPT    (SIGNAL_BIT(SIGBUS) | SIGNAL_BIT(SIGSEGV) | SIGNAL_BIT(SIGSYS))

static inline bool signal_is_kept(int sig)
{
	return sig == SIGBUS || sig == SIGSEGV || sig == SIGSYS;
}

/*
 * Install the fault handlers, and unblock the three signals in this thread. Idempotent.
 * Return: 0 or -errno. Context: thread.
 */
int signals_install(void);

/* Whether signals_install() has run: before, the wrappers only pass on. Context: any. */
bool signals_are_installed(void);

/*
 * Take @sig for @handler, remembering what the program had. @mask, @flags as in
 * sys_signal_install(). Return: 0 or -errno. Context: thread.
 */
int signals_take(int sig, void (*handler)(int, void *, void *), uint64_t mask, unsigned long flags);

/* rt_sigaction(2) for a kept signal, on the program's view of it. Context: any. */
void signals_action(int sig, const struct sys_sigaction *act, struct sys_sigaction *ret_old);

/*
 * What rt_sigprocmask(2) would do: change *@mask, the kernel's mask of this thread, and the
 * emulated part. @set NULL: only ask. The caller makes the kernel use *@mask.
 * @ret_old: the mask as the program sees it, before. @sp: the program's stack pointer.
 * Return: 0 or -EINVAL. Context: any.
 */
int signals_mask_change(
    int how, const uint64_t *set, uint64_t *mask, uint64_t *ret_old, uintptr_t sp);

/*
 * A handler of the program begins, its frame at @frame: of @mask, the kept signals are blocked
 * until it returns. Context: fault.
 */
void signals_enter_handler(uint64_t mask, uintptr_t frame);
/* The thread jumps out of all handlers, to a mask from before. Context: any. */
void signals_forget_handlers(void) __attribute__((visibility("hidden")));
/* Those of handlers that the thread, now at @sp, has jumped out of are blocked no more. Context:
 * any. */
void signals_leave_handlers(uintptr_t sp);

/* The kept signals that have come for this thread while it believed them blocked. Context: any. */
uint64_t signals_pending(void);
/* Take one that is in @set. Return: the signal, or 0. Context: any. */
int signals_take_pending(uint64_t set, siginfo_t *ret_info);

/*
 * The program's turn: do with this signal what the kernel would have done. Returns only if no
 * handler is to run, or if the process is about to die of it when the caller's own handler
 * returns. @uc: the interrupted context, as the kernel gave it to our handler.
 */
void signals_deliver(int sig, siginfo_t *si, ucontext_t *uc);

/* What a kept signal is to the program now. Return: whether a handler; then *@ret_act is what to
 * run, and *@mask, that of the interrupted context, has become the handler's. Context: fault. */
bool signals_handler(int sig, struct sys_sigaction *ret_act, uint64_t *mask);

/* Let the process die of @sig when the caller's handler returns to @uc. Context: fault. */
void signals_die(int sig, const siginfo_t *si, ucontext_t *uc);

/* The kept signals that this thread believes blocked. Context: any. */
uint64_t signals_emulated_mask(void);
void signals_set_emulated_mask(uint64_t mask);
/* Send those that arrived meanwhile and are not blocked; then all signals are, until the caller's
 * handler returns. Context: fault. */
void signals_flush(void);

/* Before exec: a kept signal that the program ignores must be ignored by the next program. */
void signals_before_exec(void);
/* exec failed: take them back. */
void signals_after_exec(void);

#endif
