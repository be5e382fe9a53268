// SPDX-License-Identifier: MIT
/*
 * The guard's trap: the seccomp filter and the SIGSYS handler.
 *
 * The filter is made of constants only. It is inherited by every program exec'd later and can
 * never be taken off, so the same one must do for all of them: it asks whether an argument that is
 * a pointer in guard_table.c has an address in the window, which in a program that maps nothing
 * there never happens, and lets calls from the gate pass, which is at the same place in all.
 *
 * The handler runs under the program's own signal mask, and the call inside it is interrupted and
 * restarted by the kernel as the program's own would have been.
 */
#include "preload/blocked_window.h"
#include "preload/guard.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdatomic.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/sys.h"
#include "pager/pager.h"
#include "preload/altstack.h"
#include "preload/sigframe.h"
#include "preload/signals.h"

/* Comes back in si_errno: tells our filter's traps from those of a filter of the program. */
#define TRAP_MARK          0xfa17u
#define CODE_SECCOMP       1 /* SYS_SECCOMP of the kernel's siginfo.h */
#define CODE_USER_DISPATCH 2 /* SYS_USER_DISPATCH */
/* In the probe's argument; nothing is ever mapped there. */
#define PROBE_ADDR (WINDOW_END - PAGE_BYTES)

#define WORD_CALLS  32u
#define NR_WORDS    ((GUARD_NR_CALLS + WORD_CALLS - 1) / WORD_CALLS)
#define MAX_FILTER  1024u
#define LOW(field)  ((uint32_t)offsetof(struct seccomp_data, field))
#define HIGH(field) (LOW(field) + 4)

static _Atomic bool is_installed, probe_trapped;

/* A call that the table marks as a pointer in argument @arg, for calls 32 * @word and on. */
static uint32_t pointer_mask(unsigned word, int arg)
{
	uint32_t mask = 0;

	for (unsigned i = 0; i < WORD_CALLS; i++)
		if (guard_info((long)(word * WORD_CALLS + i))->arg[arg].kind != ARG_VALUE)
			mask |= 1u << i;
	return mask;
}

struct program {
	uint16_t len;
	struct sock_filter code[MAX_FILTER];
};

static void emit(struct program *p, uint16_t code, uint32_t k, uint8_t jt, uint8_t jf)
{
	p->code[p->len++] = (struct sock_filter){.code = code, .k = k, .jt = jt, .jf = jf};
}

/*
 * The accumulator holds the call's number: if it is in @word, and argument @arg no pointer, jump
 * to the end of the argument's part, else fall to its trap (both are filled in by the caller).
 */
static void emit_word(struct program *p, unsigned word, int arg)
{
	uint32_t mask = pointer_mask(word, arg);

	if (mask == UINT32_MAX)
		return;
	emit(p, BPF_JMP | BPF_JGE | BPF_K, word * WORD_CALLS, 0, 8);
	emit(p, BPF_JMP | BPF_JGE | BPF_K, (word + 1) * WORD_CALLS, 7, 0);
	emit(p, BPF_ALU | BPF_SUB | BPF_K, word * WORD_CALLS, 0, 0);
	emit(p, BPF_MISC | BPF_TAX, 0, 0, 0);
	emit(p, BPF_LD | BPF_IMM, 1, 0, 0);
	emit(p, BPF_ALU | BPF_LSH | BPF_X, 0, 0, 0);
	emit(p, BPF_JMP | BPF_JSET | BPF_K, mask, 1, 0);
	emit(p, BPF_JMP | BPF_JA, UINT32_MAX, 0, 0);     /* -> next argument */
	emit(p, BPF_JMP | BPF_JA, UINT32_MAX - 1, 0, 0); /* -> trap */
}

static void emit_arg(struct program *p, int arg, uint16_t *ret_traps, unsigned *ret_nr_traps)
{
	static const uint32_t first = (uint32_t)(WINDOW_START >> 32);
	static const uint32_t last = (uint32_t)((WINDOW_END - 1) >> 32);
	uint16_t start = p->len;

	emit(p, BPF_LD | BPF_W | BPF_ABS, HIGH(args[arg]), 0, 0);
	emit(p, BPF_JMP | BPF_JGE | BPF_K, first, 1, 0);
	emit(p, BPF_JMP | BPF_JA, UINT32_MAX, 0, 0);
	emit(p, BPF_JMP | BPF_JGT | BPF_K, last, 0, 1);
	emit(p, BPF_JMP | BPF_JA, UINT32_MAX, 0, 0);
	emit(p, BPF_LD | BPF_W | BPF_ABS, LOW(nr), 0, 0);
	for (unsigned word = 0; word < NR_WORDS; word++)
		emit_word(p, word, arg);
	emit(p, BPF_JMP | BPF_JA, UINT32_MAX - 1, 0, 0);
	for (uint16_t i = start; i < p->len; i++) {
		if (p->code[i].code != (BPF_JMP | BPF_JA))
			continue;
		if (p->code[i].k == UINT32_MAX)
			p->code[i].k = p->len - i - 1u;
		else
			ret_traps[(*ret_nr_traps)++] = i;
	}
}

static void filter_build(struct program *p)
{
	uint16_t traps[NR_ARGS * (NR_WORDS + 1)];
	unsigned nr_traps = 0;
	uint32_t gate_low = (uint32_t)sys_gate_ip, gate_high = (uint32_t)(sys_gate_ip >> 32);

	p->len = 0;
	for (int arg = 0; arg < NR_ARGS; arg++)
		emit_arg(p, arg, traps, &nr_traps);
	emit(p, BPF_RET | BPF_K, SECCOMP_RET_ALLOW, 0, 0);
	for (unsigned i = 0; i < nr_traps; i++)
		p->code[traps[i]].k = p->len - traps[i] - 1u;
	emit(p, BPF_LD | BPF_W | BPF_ABS, LOW(arch), 0, 0);
	emit(p, BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 0, 4);
	emit(p, BPF_LD | BPF_W | BPF_ABS, LOW(instruction_pointer), 0, 0);
	emit(p, BPF_JMP | BPF_JEQ | BPF_K, gate_low, 0, 3);
	emit(p, BPF_LD | BPF_W | BPF_ABS, HIGH(instruction_pointer), 0, 0);
	emit(p, BPF_JMP | BPF_JEQ | BPF_K, gate_high, 0, 1);
	emit(p, BPF_RET | BPF_K, SECCOMP_RET_ALLOW, 0, 0);
	emit(p, BPF_RET | BPF_K, SECCOMP_RET_TRAP | TRAP_MARK, 0, 0);
}

bool guard_would_trap(const greg_t *regs)
{
	static const int arg_regs[NR_ARGS] = {REG_RDI, REG_RSI, REG_RDX, REG_R10, REG_R8, REG_R9};
	const struct guard_info *info = guard_info((long)regs[REG_RAX]);

	for (int i = 0; i < NR_ARGS; i++)
		if (info->arg[i].kind != ARG_VALUE && in_window((uintptr_t)regs[arg_regs[i]]))
			return true;
	return false;
}

static long dispatch(void *trap)
{
	return guard_dispatch(trap);
}

/*
 * SIGSYS, under the program's signal mask and on the stack of its call: handlers of the program run
 * inside it. If that stack is managed, neither the call nor the return may be made from it.
 */
static void on_trap(int sig, void *info, void *context)
{
	siginfo_t *si = info;
	ucontext_t *uc = context;
	greg_t *regs = uc->uc_mcontext.gregs;

	bool is_watched = si->si_code == CODE_USER_DISPATCH;

	if (is_watched && blocked_window_trap(uc))
		return;
	if (!is_watched && (si->si_code != CODE_SECCOMP || si->si_errno != (int)TRAP_MARK)) {
		signals_deliver(sig, si, uc);
		return;
	}
	if (UNLIKELY(si->si_syscall == SYS_uname && (uint64_t)regs[REG_RDI] == PROBE_ADDR)) {
		atomic_store(&probe_trapped, true);
		regs[REG_RAX] = 0;
		return;
	}
	struct guard_trap t = {
	    .nr = si->si_syscall,
	    .args = {(long)regs[REG_RDI], (long)regs[REG_RSI], (long)regs[REG_RDX],
	        (long)regs[REG_R10], (long)regs[REG_R8], (long)regs[REG_R9]},
	    .sp = (uintptr_t)&t,
	    .stack = altstack_tag((uintptr_t)&t),
	    .uc = uc,
	};
	if (UNLIKELY(on_managed_stack())) {
		regs[REG_RAX] = bounce_run(dispatch, &t, (uintptr_t)uc);
		sigframe_leave(uc);
	}
	regs[REG_RAX] = guard_dispatch(&t);
	if (is_watched)
		blocked_window_resume();
}

/* Whether a filter of ours is in force: inherited, or installed just now. */
static bool probe_filter(void)
{
	atomic_store(&probe_trapped, false);
	long result;

	/* Without a filter this fails with EFAULT: nothing is mapped there. Not from the gate. */
	__asm__ volatile("syscall"
	                 : "=a"(result)
	                 : "a"((long)SYS_uname), "D"(PROBE_ADDR)
	                 : "rcx", "r11", "memory");
	return atomic_load(&probe_trapped);
}

static int filter_install(void)
{
	static struct program program; /* too large for a small stack */

	filter_build(&program);
	struct sock_fprog prog = {.len = program.len, .filter = program.code};
	unsigned long flags = SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_SPEC_ALLOW;
	long err = sys_call3(SYS_seccomp, SECCOMP_SET_MODE_FILTER, (long)flags, (long)&prog);
	if (err == -EACCES) {
		/* Not privileged: allowed to those who renounce gaining privileges by exec. */
		err = sys_call5(SYS_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
		if (!err)
			err = sys_call3(
			    SYS_seccomp, SECCOMP_SET_MODE_FILTER, (long)flags, (long)&prog);
	}
	return err > 0 ? -EBUSY : (int)err; /* > 0: a thread that could not be synchronised */
}

int guard_install(void)
{
	if (guard_is_installed())
		return 0;
	int err = bounce_start();
	if (!err)
		err = sys_gate_map();
	if (!err)
		err = signals_take(SIGSYS, on_trap, 0, SA_NODEFER);
	if (err)
		return err;
	if (!probe_filter()) {
		err = filter_install();
		if (err)
			return err;
		if (!probe_filter())
			return -ENOSYS;
	}
	atomic_store(&is_installed, true);
	return 0;
}

bool guard_is_installed(void)
{
	return atomic_load_explicit(&is_installed, memory_order_relaxed);
}
