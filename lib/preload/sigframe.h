// SPDX-License-Identifier: MIT
/*
 * Signal frames. The kernel builds them on our alternate stack (altstack.h); before a handler of
 * the program runs, its frame is rebuilt where the program expects it, on its own alternate stack
 * or the interrupted one, and ours is left for good by rt_sigreturn. That page may be absent: the
 * copy faults like any access. When the handler returns, its frame, with whatever the program has
 * changed in it, comes back to our stack, because the kernel must find every byte of it present.
 *
 * Everything in between is the program's: it may leave by siglongjmp() or switch stacks.
 */
#ifndef FL_PRELOAD_SIGFRAME_H
#define FL_PRELOAD_SIGFRAME_H

#include <signal.h>
#include <ucontext.h>

#include "base/sys.h"
#include "base/types.h"

/*
 * rt_sigaction(2) for a signal that is not kept (signals.h). A handler of the program is known to
 * the kernel as ours, which finds the program's wishes by the frame's return address: nothing is
 * stored beside the kernel's table, so that fork, vfork and SA_RESETHAND are what they are.
 * Return: 0 or -errno. Context: any, on an unmanaged stack.
 */
long sigframe_action(int sig, const struct sys_sigaction *act, struct sys_sigaction *ret_old);

/* Do that for a handler of @sig that the kernel was told of behind our back, by libc for its own
 * signals. Harmless if there is none. Context: as above. */
void sigframe_adopt(int sig);

/*
 * Run the program's handler @act for a signal that interrupted @uc, under @mask, and never return.
 * If there is no room for its frame, do as the kernel: SIGSEGV.
 * Context: a signal handler of ours, the program's signals blocked, SIGBUS and SIGSEGV not.
 */
_Noreturn void sigframe_deliver(const struct sys_sigaction *act, int sig, const siginfo_t *si,
    const ucontext_t *uc, uint64_t mask);

/* Return from a handler of ours that ran on managed memory, where @uc is. Context: that. */
_Noreturn void sigframe_leave(ucontext_t *uc);

/*
 * The kernel could not build the frame of a trapped system call on an absent page, and raised
 * SIGSEGV instead. If @uc is that, make the stack present and the call happen again.
 * Return: whether it was. Context: fault.
 */
bool sigframe_retry_trap(const siginfo_t *si, ucontext_t *uc);

#endif
