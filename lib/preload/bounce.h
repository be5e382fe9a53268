// SPDX-License-Identifier: MIT
/*
 * Unmanaged memory for the length of one guarded system call.
 *
 * Every thread has one arena, made at its first guarded call. Uses nest: a handler of the program
 * that runs inside a blocked guarded call makes guarded calls of its own. A handler may also leave
 * with siglongjmp(): the uses that it jumped over are found by their stack pointers and dropped,
 * when room is needed and not before, because what looks abandoned could be alive on a stack that
 * we cannot tell from this one (a coroutine's, preempted by a signal).
 */
#ifndef FL_PRELOAD_BOUNCE_H
#define FL_PRELOAD_BOUNCE_H

#include "base/types.h"

/* What a thread's arena serves without a mapping of its own: the largest piece of a transfer. */
#define BOUNCE_CHUNK_BYTES ((size_t)256 << 10)

struct bounce_thread;

struct bounce {
	struct bounce_thread *thread;
	unsigned use; /* index of this use in the thread's stack of them */
};

/* Once, before any other: the thread-exit hook. Return: 0 or -errno. Context: thread. */
int bounce_start(void);

/*
 * Begin a use. @sp: stack pointer of the call; @stack: tells stacks apart (base of the alternate
 * stack when on it, else 0). Return: 0 or -ENOMEM. Context: any signal handler, not fault.
 */
int bounce_begin(struct bounce *b, uintptr_t sp, uintptr_t stack);

/* The same for a caller that is no signal handler of ours: finds out @sp and @stack itself. */
int bounce_begin_here(struct bounce *b);

/*
 * @bytes of memory until bounce_end(), contents undefined; page-aligned when @bytes is at least a
 * page, else aligned to 16. Return: the memory, or NULL. Context: as bounce_begin().
 */
void *bounce_alloc(struct bounce *b, size_t bytes);

/* The same, not aligned, and nobody may use what follows it: there the kernel fails, as at the end
 * of the program's own memory. */
void *bounce_alloc_ending(struct bounce *b, size_t bytes);

void bounce_end(struct bounce *b);

/*
 * Call @fn(@arg) on unmanaged memory: for callers whose own stack is managed, so that it is not
 * needed while a lock is held, nor by the kernel. A handler of the program that interrupts @fn runs
 * on the caller's stack. @sp: above all that @fn's own uses give. Where there is no memory, @fn
 * runs in place. Return: what @fn returned. Context: as bounce_begin().
 */
long bounce_run(long (*fn)(void *arg), void *arg, uintptr_t sp);

/* Where @sp is on a stack of bounce_run(): the stack pointer of its caller; else @sp itself. */
uintptr_t bounce_caller_sp(uintptr_t sp);

#endif
