// SPDX-License-Identifier: MIT
/* Raw system calls through the gate; see sys.h. */
#include "base/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>

#define SA_RESTORER_FLAG 0x04000000ul

/*
 * long gate(nr, a, b, c, d, e, f): System V arguments to the kernel's registers. f, the seventh,
 * comes on the stack. Position independent: it is copied to the gate page.
 */
__asm__(".text\n"
        ".hidden fl_gate_code\n"
        ".hidden fl_gate_code_end\n"
        ".hidden fl_gate_after_syscall\n"
        ".globl fl_gate_code\n"
        ".globl fl_gate_code_end\n"
        ".globl fl_gate_after_syscall\n"
        ".type fl_gate_code, @function\n"
        "fl_gate_code:\n"
        "	mov %rdi, %rax\n"
        "	mov %rsi, %rdi\n"
        "	mov %rdx, %rsi\n"
        "	mov %rcx, %rdx\n"
        "	mov %r8, %r10\n"
        "	mov %r9, %r8\n"
        "	mov 8(%rsp), %r9\n"
        "	syscall\n"
        "fl_gate_after_syscall:\n"
        "	ret\n"
        "	nop\n" /* unwinders look up a return address less one: not the gate's */
        ".hidden fl_restorer\n"
        ".globl fl_restorer\n"
        "fl_restorer:\n"
        "	mov $15, %rax\n" /* rt_sigreturn; in this encoding unwinders know it */
        "	syscall\n"
        "fl_gate_code_end:\n"
        ".size fl_gate_code, . - fl_gate_code\n");

extern char fl_gate_code[], fl_gate_code_end[], fl_gate_after_syscall[];
extern char fl_restorer[];

/* The assembler's offset of the instruction after `syscall` in the code above: 7 moves (3 + 3 +
 * 3 + 3 + 3 + 3 + 5 bytes) and the 2 bytes of `syscall`; the return is one byte more. Checked in
 * sys_gate_map(), and that no handler returns to where the gate ends (preload/unwind.c). */
#define GATE_IP_OFFSET (SYS_GATE_BYTES - 1)

const uintptr_t sys_gate_ip = SYS_GATE_PAGE + GATE_IP_OFFSET;
long (*sys_inject)(long nr);
_Thread_local bool sys_makes_ring __attribute__((tls_model("initial-exec")));

/* Both set once, before there are threads. */
sys_gate_fn *sys_gate = (sys_gate_fn *)fl_gate_code;
void *sys_restorer = fl_restorer;

/* What the kernel reads and writes may not lie on a stack that is managed: then here. Only used
 * with signals blocked, and by fault handlers never: they are on a stack of their own. */
static _Thread_local struct {
	uint64_t set, old;
} masks __attribute__((tls_model("initial-exec")));

long sys_call6(long nr, long a, long b, long c, long d, long e, long f)
{
	if (UNLIKELY(sys_inject)) {
		long injected = sys_inject(nr);

		if (injected < 0)
			return injected;
	}
	return sys_gate(nr, a, b, c, d, e, f);
}

int sys_gate_map(void)
{
	size_t len = (size_t)(fl_gate_code_end - fl_gate_code);

	if ((uintptr_t)sys_gate == SYS_GATE_PAGE)
		return 0;
	if (fl_gate_after_syscall - fl_gate_code != GATE_IP_OFFSET ||
	    fl_restorer - fl_gate_code <= SYS_GATE_BYTES)
		return -ENOEXEC;
	long addr = sys_call6(SYS_mmap, (long)SYS_GATE_PAGE, PAGE_BYTES, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	if (addr < 0)
		return (int)addr;
	if ((uintptr_t)addr != SYS_GATE_PAGE)
		return -EEXIST;
	memcpy((void *)SYS_GATE_PAGE, fl_gate_code, len);
	long err = sys_call3(SYS_mprotect, (long)SYS_GATE_PAGE, PAGE_BYTES, PROT_READ | PROT_EXEC);
	if (err)
		return (int)err;
	sys_gate = (sys_gate_fn *)SYS_GATE_PAGE;
	sys_restorer = (void *)(SYS_GATE_PAGE + (uintptr_t)(fl_restorer - fl_gate_code));
	return 0;
}

uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

int sys_signal_install(int sig, void (*handler)(int, void *, void *), uint64_t mask,
    unsigned long flags, struct sys_sigaction *ret_old)
{
	struct sys_sigaction act = {
	    .handler = (void *)handler,
	    .flags = flags | SA_SIGINFO | SA_RESTORER_FLAG,
	    .restorer = sys_restorer,
	    .mask = mask,
	};

	return (int)sys_call4(SYS_rt_sigaction, sig, (long)&act, (long)ret_old, 8);
}

void sys_sleep(uint32_t ns)
{
	const struct timespec pause = {.tv_nsec = ns};

	sys_call4(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, (long)&pause, 0);
}

uint64_t sys_signals_block(bool also_faults)
{
	static const uint64_t sets[2] = {
	    ~(1ull << (SIGBUS - 1) | 1ull << (SIGSEGV - 1) | 1ull << (SIGSYS - 1)),
	    ~0ull,
	};
	uint64_t here = 0, *old = on_managed_stack() ? &masks.old : &here;

	sys_call4(SYS_rt_sigprocmask, SIG_SETMASK, (long)&sets[also_faults], (long)old, 8);
	return *old;
}

void sys_signals_restore(uint64_t mask)
{
	const uint64_t *set = &mask;

	if (UNLIKELY(on_managed_stack())) {
		masks.set = mask;
		set = &masks.set;
	}
	sys_call4(SYS_rt_sigprocmask, SIG_SETMASK, (long)set, 0, 8);
}

void sys_fd_limit_raise(struct sys_fd_limit *ret_old)
{
	struct sys_fd_limit more;

	*ret_old = (struct sys_fd_limit){0};
	if (sys_call4(SYS_prlimit64, 0, RLIMIT_NOFILE, 0, (long)ret_old))
		return;
	more.current = more.max = MAX(ret_old->max, ret_old->current + 1024);
	if (!sys_call4(SYS_prlimit64, 0, RLIMIT_NOFILE, (long)&more, 0))
		return;
	/* Not privileged: up to what it has itself allowed. */
	more.current = more.max = ret_old->max;
	sys_call4(SYS_prlimit64, 0, RLIMIT_NOFILE, (long)&more, 0);
}

void sys_fd_limit_restore(const struct sys_fd_limit *old)
{
	if (old->max)
		sys_call4(SYS_prlimit64, 0, RLIMIT_NOFILE, (long)old, 0);
}

int sys_fd_move_high(int fd)
{
	/* Below 1024, the usual soft limit; further down where that is taken or the limit is lower.
	 */
	static const int bases[] = {960, 704, 448, 192};

	for (size_t i = 0; i < ARRAY_LEN(bases) && fd < bases[i]; i++) {
		long high = sys_call3(SYS_fcntl, fd, F_DUPFD_CLOEXEC, bases[i]);

		if (high < 0)
			continue;
		sys_call1(SYS_close, fd);
		return (int)high;
	}
	return fd;
}
