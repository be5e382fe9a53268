// SPDX-License-Identifier: MIT
/*
 * The stretches in which glibc blocks every signal, raw, while it starts and ends a thread.
 *
 * In them it touches memory that may be managed (locale data when a thread starts, the allocator
 * when a detached one ends), and a SIGBUS that is blocked kills the process. So for just these
 * stretches the calling thread's system calls are dispatched to us (Linux 5.11, syscall user
 * dispatch: per thread, gone with exec, not inherited by anyone), and the one that blocks all
 * signals is made without SIGBUS, SIGSEGV and SIGSYS.
 */
#ifndef FL_PRELOAD_BLOCKED_WINDOW_H
#define FL_PRELOAD_BLOCKED_WINDOW_H

#include <signal.h>
#include <ucontext.h>

#include "base/types.h"

/* From now on, until it has happened once, watch for this thread blocking all signals.
 * Harmless where the kernel cannot do it. Context: thread. */
void blocked_window_watch(void);

/* The same, as often as it happens until a thread was made: for functions of libc that may make
 * one with all signals blocked. Ends with blocked_window_forget(). Context: thread. */
void blocked_window_watch_threads(void);

/* It will not happen: stop watching. Context: thread. */
void blocked_window_forget(void);

/* SIGSYS with si_code SYS_USER_DISPATCH. Return: true: done; false: a call of the thread's own,
 * which the caller makes, and then calls blocked_window_resume(). Context: our SIGSYS handler. */
bool blocked_window_trap(ucontext_t *uc);
void blocked_window_resume(void);

/* Around fault handlers, in which SIGSYS is blocked. Return: whether to resume. Context: fault. */
bool blocked_window_pause(void);

#endif
