// SPDX-License-Identifier: MIT
/*
 * Alternate signal stacks: ours, which the kernel knows, and the program's, which is emulated.
 *
 * Every thread has one of ours, unmanaged, on which the kernel starts every handler: the stack that
 * a signal interrupts may be managed, with its page absent, or overflowed. Only our own code runs
 * there, to its end and with the program's signals blocked, so that it is empty whenever a handler
 * of the program runs: the kernel begins at its top again for whatever comes next. The program
 * sees and sets a stack of its own, which sigframe.c uses as the kernel would.
 */
/*
 * Go's runtime asks the kernel itself which alternate stack a thread has, takes the one it finds
 * for its own, and dies of a handler that runs elsewhere. For Go programs the kernel's is therefore
 * the program's (altstack_is_raw()), their own handlers are theirs alone, and a fault moves to our
 * stack when its handler has begun on theirs.
 */
#ifndef FL_PRELOAD_ALTSTACK_H
#define FL_PRELOAD_ALTSTACK_H

#include <signal.h>

#include "base/types.h"

/*
 * What is needed: for each of the program's signals that arrive at once a frame of the kernel's
 * (3 KiB with AVX-512, 11 with AMX), then a fault, 25 KiB (measured), and the copy of a frame.
 * Only pages touched cost memory.
 */
#define ALTSTACK_BYTES ((size_t)128 << 10)

/* Once, before any other. Return: 0 or -errno. Context: thread. */
int altstack_start(void);

/* Whether the kernel's alternate stack is the program's. [const after altstack_start] */
bool altstack_is_raw(void);

/* Give this thread its stack and tell the kernel. Harmless if it has one. Context: thread. */
void altstack_thread_start(void);

/* In a signal handler of ours whose frame has @uc_stack, another than ours: see to it that this
 * thread has one. The kernel is told by the handler's return, and what it had becomes the
 * program's. Context: fault. */
void altstack_adopt(stack_t *uc_stack);

/* Ours, of this thread. Return: its lowest byte, or NULL. Context: any. */
char *altstack_own(void);
bool altstack_is_own(uintptr_t sp);

/* The program's, of this thread: ss_size 0 when it has none. Context: any. */
stack_t *altstack_program(void);
/* Whether @sp is on it, as the kernel would say. */
bool altstack_is_programs(uintptr_t sp);
/* Its base if @sp lies in it, else 0: tells stacks apart. */
uintptr_t altstack_tag(uintptr_t sp);

/* sigaltstack(2) on the program's, called at stack pointer @sp. Either may be NULL.
 * Return: 0 or -errno. Context: any. */
int altstack_change(const stack_t *ss, stack_t *ret_old, uintptr_t sp);

#endif
