// SPDX-License-Identifier: MIT
/* Raw threads; see thread.h. */
#include "base/thread.h"

#include <errno.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "base/meta.h"
#include "base/sys.h"

/*
 * Lay-out of a thread's block:  stack | thread-local variables | thread control block
 * The thread pointer points at the last; variables lie below it (x86-64 TLS variant II). 64 KiB
 * is far more than the static TLS of the libraries loaded; all of it zero.
 */
#define STACK_BYTES (128u << 10)
#define TLS_BYTES   (64u << 10)
#define TCB_BYTES   (8u << 10)
#define BLOCK_BYTES (STACK_BYTES + TLS_BYTES + TCB_BYTES)

struct start {
	void (*fn)(void *arg);
	void *arg;
	const char *name;
};

/* Not where the thread that happens to start this one may: that may be bound to one CPU, by the
 * program or by us. */
static void run_where_the_program_may(void)
{
	uint64_t cpus[8192 / 64]; /* the kernel has no more of them */
	long bytes =
	    sys_call3(SYS_sched_getaffinity, sys_call0(SYS_getpid), sizeof(cpus), (long)cpus);

	if (bytes > 0)
		sys_call3(SYS_sched_setaffinity, 0, bytes, (long)cpus);
}

static void __attribute__((used)) thread_main(struct start *start)
{
	sys_call2(SYS_prctl, PR_SET_NAME, (long)start->name);
	run_where_the_program_may();
	start->fn(start->arg);
	for (;;)
		sys_call1(SYS_exit, 0);
}

/* clone(): the child begins at the top of its stack, on which `start` was put. */
static long clone_thread(unsigned long flags, void *stack, void *tls, struct start *start)
{
	long ret;
	register void *r8 __asm__("r8") = tls;
	register void *r9 __asm__("r9") = start;
	register long r10 __asm__("r10") = 0;

	__asm__ volatile(
	    "syscall\n"
	    "test %%rax, %%rax\n"
	    "jnz 1f\n"
	    "xor %%ebp, %%ebp\n"
	    "mov %%r9, %%rdi\n"
	    "call thread_main\n"
	    "hlt\n"
	    "1:\n"
	    : "=a"(ret)
	    : "a"(SYS_clone), "D"(flags), "S"(stack), "d"(0L), "r"(r8), "r"(r9), "r"(r10)
	    : "rcx", "r11", "memory");
	return ret;
}

int thread_start(void (*fn)(void *arg), void *arg, const char *name)
{
	const unsigned long flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND |
	                            CLONE_THREAD | CLONE_SYSVSEM | CLONE_SETTLS;
	char *block = meta_map(BLOCK_BYTES);

	if (!block)
		return -ENOMEM;
	uintptr_t *tcb = (uintptr_t *)(block + STACK_BYTES + TLS_BYTES);
	tcb[0] = tcb[2] = (uintptr_t)tcb; /* what %fs:0 and %fs:16 must hold */
	struct start *start = (struct start *)(block + STACK_BYTES - 64);
	*start = (struct start){.fn = fn, .arg = arg, .name = name};

	uint64_t mask = sys_signals_block(true); /* the thread inherits it */
	long tid = clone_thread(flags, start, tcb, start);
	sys_signals_restore(mask);
	if (tid < 0)
		meta_unmap(block, BLOCK_BYTES);
	return (int)tid;
}
