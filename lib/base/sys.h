// SPDX-License-Identifier: MIT
/*
 * Every system call that the pager makes goes through here, as a raw instruction: no errno, no
 * cancellation, no interposed libc function, and one place where a test makes the n-th call fail.
 *
 * The instruction lies on a page of its own at a fixed address (sys.c), because the guard's
 * filter lets calls pass that come from there; before sys_gate_map() a private copy is used.
 */
#ifndef FL_BASE_SYS_H
#define FL_BASE_SYS_H

#include "base/types.h"

/* The kernel's struct sigaction, for raw rt_sigaction. */
struct sys_sigaction {
	void *handler;
	unsigned long flags;
	void *restorer;
	uint64_t mask;
};

/* Address of the page that holds the exempt syscall instruction, the same in every process:
 * filters are inherited across exec. It lies just above the window. */
#define SYS_GATE_PAGE 0x500000010000ull

/* Of its code up to the return to its caller. Checked in sys_gate_map(). */
#define SYS_GATE_BYTES 26

/* Address that the kernel reports (instruction pointer after `syscall`) for a call through the
 * gate: what the filter compares with. */
extern const uintptr_t sys_gate_ip;

/*
 * Map the gate page at SYS_GATE_PAGE and use it from now on. Idempotent.
 * Return: 0 or -errno. Context: thread.
 */
int sys_gate_map(void);

/*
 * Make system call @nr. Return: its result, or -errno. Context: any.
 */
long sys_call6(long nr, long a, long b, long c, long d, long e, long f);

/* The gate itself, without the hook below, and the code on its page to which a signal handler
 * returns: for code that is entered by the kernel. [const after sys_gate_map] */
typedef long sys_gate_fn(long nr, long a, long b, long c, long d, long e, long f);
extern sys_gate_fn *sys_gate;
extern void *sys_restorer;

/* This thread is making an io_uring of the pager's own: not to be taken for the program's. */
extern _Thread_local bool sys_makes_ring __attribute__((tls_model("initial-exec")));

/* Hook for fault injection: when set, asked before each call; a negative result is returned
 * instead of making the call. Set by tests only. */
extern long (*sys_inject)(long nr);

#define sys_call0(nr)                sys_call6((nr), 0, 0, 0, 0, 0, 0)
#define sys_call1(nr, a)             sys_call6((nr), (a), 0, 0, 0, 0, 0)
#define sys_call2(nr, a, b)          sys_call6((nr), (a), (b), 0, 0, 0, 0)
#define sys_call3(nr, a, b, c)       sys_call6((nr), (a), (b), (c), 0, 0, 0)
#define sys_call4(nr, a, b, c, d)    sys_call6((nr), (a), (b), (c), (d), 0, 0)
#define sys_call5(nr, a, b, c, d, e) sys_call6((nr), (a), (b), (c), (d), (e), 0)

/* Return: monotonic time in ns. Context: any (vDSO). */
uint64_t now_ns(void);

/*
 * Install @handler (SA_SIGINFO) for @sig with the kernel directly, whatever the program believes.
 * @mask: signals blocked while it runs; @flags: SA_* besides SA_SIGINFO and SA_RESTORER.
 * @ret_old may be NULL. Return: 0 or -errno. Context: any.
 */
int sys_signal_install(int sig, void (*handler)(int, void *, void *), uint64_t mask,
    unsigned long flags, struct sys_sigaction *ret_old);

/* Whether the caller's stack is managed memory (a coroutine's): its pages may be absent, so that no
 * address of a local variable may be given to the kernel. */
static inline bool on_managed_stack(void)
{
	return in_window((uintptr_t)__builtin_frame_address(0));
}

/* Sleep for @ns, less than a second, or until a signal. Context: any. */
void sys_sleep(uint32_t ns);

/* Block all signals but none of SIGBUS, SIGSEGV, SIGSYS unless @also_faults. Return: the mask
 * before. Context: any. */
uint64_t sys_signals_block(bool also_faults);
void sys_signals_restore(uint64_t mask);

/*
 * While one of ours is being opened, the program's table of descriptors may be full or its limit
 * be lower than our numbers: raise the limit as far as we may. end() gives @old back.
 * Context: any; not at the same time as another setrlimit().
 */
struct sys_fd_limit {
	uint64_t current, max; /* the kernel's struct rlimit64 */
};
void sys_fd_limit_raise(struct sys_fd_limit *ret_old);
void sys_fd_limit_restore(const struct sys_fd_limit *old);

/* Move @fd to a high number, close-on-exec, so that a program's own low descriptors are where it
 * expects them. Return: the new fd (the old one is closed), or @fd itself where no high number
 * is free. Context: any. */
int sys_fd_move_high(int fd);

#endif
