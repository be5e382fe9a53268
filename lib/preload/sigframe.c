// SPDX-License-Identifier: MIT
/* Signal frames of x86-64 Linux; see sigframe.h. */
#include "preload/sigframe.h"

#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>
#include <sys/syscall.h>

#include "base/ensure.h"
#include "pager/pager.h"
#include "preload/altstack.h"
#include "preload/bounce.h"
#include "preload/guard.h"
#include "preload/signals.h"
#include "preload/stack_switch.h"

#define NR_RECORDS       64u
#define SA_RESTORER_FLAG 0x04000000ul
#ifndef SS_AUTODISARM
#define SS_AUTODISARM (1U << 31)
#endif
#define RED_ZONE     128u
#define EFLAGS_CLEAR 0x10500 /* RF, DF, TF: as the kernel on a handler's entry */
#define CODE_KERNEL  0x80    /* SI_KERNEL */
#define FP_MAGIC     0x46505853u
#define FP_PLAIN     512u /* FXSAVE area alone */
#define FP_SW_OFFSET 464u /* in it: what the kernel says of the rest */
#define FP_MAX       ((size_t)16 << 10)
#define USER_END     (1ull << 47)
#define CODE_BELOW   4096u /* what this file's functions need under the frame they build */

/* The kernel's frame. libc's ucontext_t is longer than the kernel's. */
#define UC_BYTES 304u
struct frame {
	void *restorer;
	unsigned char uc[UC_BYTES];
	siginfo_t info;
};

_Static_assert(sizeof(struct frame) == 440, "the kernel's struct rt_sigframe");
_Static_assert(offsetof(ucontext_t, uc_sigmask) + 8 == UC_BYTES, "the kernel's struct ucontext");

/* The kernel's handler for all signals of the program but the kept ones. rbx is the context from
 * its second instruction on: whoever interrupts it can know what it was about to do. */
extern char fl_signal_entry[] __attribute__((visibility("hidden")));
/* Where the program's handlers return to, the stack pointer at their ucontext. */
extern char fl_signal_return[] __attribute__((visibility("hidden")));
/* rt_sigreturn with the stack pointer at @uc. */
extern _Noreturn void fl_signal_jump(void *uc) __attribute__((visibility("hidden")));

_Noreturn void sigframe_on_signal(int sig, siginfo_t *si, ucontext_t *uc, uint64_t mask);
_Noreturn void sigframe_returned(ucontext_t *uc);
static const uint64_t all_but_kept __attribute__((used)) = ~SIGNALS_KEPT;

/* Unwinding rule of a register that the interrupted context holds as gregs[@i]: at rsp + offset.
 * All offsets take two bytes of SLEB128. */
#define TWO_BYTES(i)  "((40+8*" #i ")&0x7f)|0x80,(40+8*" #i ")>>7"
#define SAVED(reg, i) "	.cfi_escape 0x10," #reg ",3,0x77," TWO_BYTES(i) "\n"

__asm__(".text\n"
        ".hidden fl_signal_entry\n"
        ".globl fl_signal_entry\n"
        ".type fl_signal_entry, @function\n"
        "fl_signal_entry:\n"
        "	mov %rdx, %rbx\n"
        "	mov %rsi, %rbp\n"
        "	mov %edi, %r12d\n"
        "	sub $24, %rsp\n"
        "	mov $14, %edi\n" /* rt_sigprocmask(SIG_SETMASK, &all_but_kept, rsp + 8, 8) */
        "	mov $2, %esi\n"
        "	lea all_but_kept(%rip), %rdx\n"
        "	lea 8(%rsp), %rcx\n"
        "	mov $8, %r8d\n"
        "	xor %r9d, %r9d\n"
        "	call *sys_gate(%rip)\n"
        "	mov %r12d, %edi\n"
        "	mov %rbp, %rsi\n"
        "	mov %rbx, %rdx\n"
        "	mov 8(%rsp), %rcx\n"
        "	xor %ebp, %ebp\n"
        "	call sigframe_on_signal\n"
        "	hlt\n"
        ".size fl_signal_entry, . - fl_signal_entry\n"
        ".hidden fl_signal_return\n"
        ".globl fl_signal_return\n"
        ".type fl_signal_return, @function\n"
        "	.cfi_startproc\n"
        "	.cfi_signal_frame\n"
        "	.cfi_escape 0x0f,4,0x77," TWO_BYTES(15) ",0x06\n" /* CFA = *(rsp + offset) */
    SAVED(0, 13) SAVED(1, 12) SAVED(2, 14) SAVED(3, 11) SAVED(4, 9) SAVED(5, 8) SAVED(6, 10)
        SAVED(7, 15) SAVED(8, 0) SAVED(9, 1) SAVED(10, 2) SAVED(11, 3) SAVED(12, 4) SAVED(13, 5)
            SAVED(14, 6) SAVED(15, 7)
                SAVED(16, 16) "	nop\n" /* unwinders look up a return address less one */
                              "fl_signal_return:\n"
                              "	mov %rsp, %rdi\n"
                              "	call sigframe_returned\n"
                              "	hlt\n"
                              "	.cfi_endproc\n"
                              ".size fl_signal_return, . - fl_signal_return\n"
                              ".hidden fl_signal_jump\n"
                              ".globl fl_signal_jump\n"
                              ".type fl_signal_jump, @function\n"
                              "fl_signal_jump:\n"
                              "	mov %rdi, %rsp\n"
                              "	jmp *sys_restorer(%rip)\n"
                              ".size fl_signal_jump, . - fl_signal_jump\n"
                              ".hidden stack_switch\n"
                              ".globl stack_switch\n"
                              ".type stack_switch, @function\n"
                              "stack_switch:\n"
                              "	.cfi_startproc\n"
                              "	push %rbp\n"
                              "	.cfi_def_cfa_offset 16\n"
                              "	.cfi_offset %rbp, -16\n"
                              "	mov %rsp, %rbp\n"
                              "	.cfi_def_cfa_register %rbp\n"
                              "	mov %rsp, (%rcx)\n"
                              "	mov %rdi, %rsp\n"
                              "	mov %rdx, %rdi\n"
                              "	call *%rsi\n"
                              "	leave\n"
                              "	.cfi_def_cfa %rsp, 8\n"
                              "	ret\n"
                              "	.cfi_endproc\n"
                              ".size stack_switch, . - stack_switch\n");

static uint64_t *mask_of(ucontext_t *uc)
{
	return (uint64_t *)&uc->uc_sigmask;
}

/* Bytes of floating-point state at @fp. */
static size_t fp_bytes(const void *fp)
{
	uint32_t sw[2]; /* magic, size of it all */

	if (!fp)
		return 0;
	if (guard_copy(sw, (const char *)fp + FP_SW_OFFSET, sizeof(sw)) || sw[0] != FP_MAGIC)
		return FP_PLAIN;
	return MIN((size_t)sw[1], FP_MAX);
}

/* --- what the program asked for ------------------------------------------------------------ */

/* Immutable once the kernel knows them; found again rather than made anew. A program would have to
 * set a signal to NR_RECORDS different things for one that is in use to be used again. */
static struct {
	_Atomic uint32_t next;
	struct sys_sigaction of[NR_RECORDS];
} records[64];

static struct sys_sigaction *record_of(int sig, const struct sys_sigaction *act)
{
	struct sys_sigaction *of = records[sig - 1].of;
	uint32_t nr = atomic_load(&records[sig - 1].next);

	for (uint32_t i = 0; i < MIN(nr, NR_RECORDS); i++)
		if (!memcmp(&of[i], act, sizeof(*act)))
			return &of[i];
	nr = atomic_fetch_add(&records[sig - 1].next, 1) % NR_RECORDS;
	of[nr] = *act;
	return &of[nr];
}

static bool is_handler(const void *handler)
{
	return handler != (void *)SIG_DFL && handler != (void *)SIG_IGN;
}

long sigframe_action(int sig, const struct sys_sigaction *act, struct sys_sigaction *ret_old)
{
	struct sys_sigaction ours, old = {0};

	if (act)
		ours = *act;
	if (act && sig > 0 && sig <= 64 && is_handler(act->handler) && !altstack_is_raw()) {
		ours.restorer = record_of(sig, act);
		ours.handler = fl_signal_entry;
		ours.flags |= SA_SIGINFO | SA_ONSTACK | SA_RESTORER_FLAG;
	}
	if (act)
		ours.mask &= ~SIGNALS_KEPT;
	long err = sys_call4(SYS_rt_sigaction, sig, act ? (long)&ours : 0, (long)&old, 8);
	if (err)
		return err;
	if (old.handler == (void *)fl_signal_entry)
		old = *(struct sys_sigaction *)old.restorer;
	if (ret_old)
		*ret_old = old;
	return 0;
}

void sigframe_adopt(int sig)
{
	struct sys_sigaction act;

	/* sigframe_action() reports what we have taken already as the program's. */
	if (!sys_call4(SYS_rt_sigaction, sig, 0, (long)&act, 8) && is_handler(act.handler) &&
	    act.handler != (void *)fl_signal_entry)
		sigframe_action(sig, &act, NULL);
}

/* --- to the program ------------------------------------------------------------------------ */

/* Whether this thread has a stack of ours on which a fault may be taken: the kernel knows it. */
static bool can_switch(void)
{
	return altstack_own() && !altstack_is_raw();
}

/* The top of the stack that a handler's frame belongs on. */
static uintptr_t handler_stack(
    const struct sys_sigaction *act, const ucontext_t *from, uintptr_t sp, bool *is_alt)
{
	const stack_t *alt = altstack_program();
	uintptr_t top = sp - RED_ZONE, live = (uintptr_t)from;

	*is_alt = altstack_is_programs(sp);
	if (act->flags & SA_ONSTACK && alt->ss_size && !*is_alt) {
		*is_alt = true;
		top = (uintptr_t)alt->ss_sp + alt->ss_size;
	}
	if (!can_switch())
		live = (uintptr_t)__builtin_frame_address(0) - CODE_BELOW;
	/* Not on our stack (the program has called the kernel behind our back, or the thread is
	 * ending): the kernel's frame is in the way if it is on this one. */
	if (!altstack_is_own((uintptr_t)from) && live < top && top - live < ALTSTACK_BYTES)
		top = live - RED_ZONE;
	return top;
}

/*
 * Build the frame for @act, and change @uc, which need not be where the kernel put it (@from), so
 * that returning to it runs the handler. Return: whether the frame could be written; if not, @uc
 * is as it was.
 */
static bool frame_build(const struct sys_sigaction *act, int sig, const siginfo_t *si,
    ucontext_t *uc, const ucontext_t *from, uint64_t mask)
{
	greg_t *regs = uc->uc_mcontext.gregs;
	stack_t *alt = altstack_program();
	size_t fp_size = fp_bytes(uc->uc_mcontext.fpregs);
	ucontext_t copy; /* no more than the kernel's part of it */
	struct frame f;
	bool is_alt;

	uintptr_t sp = bounce_caller_sp((uintptr_t)regs[REG_RSP]);
	uintptr_t fp = (handler_stack(act, from, sp, &is_alt) - fp_size) & ~(uintptr_t)63;
	uintptr_t at = ((fp - sizeof(f)) & ~(uintptr_t)15) - 8;
	if (is_alt && at - (uintptr_t)alt->ss_sp - 1 >= alt->ss_size)
		return false;

	f.restorer = fl_signal_return;
	f.info = *si;
	memcpy(&copy, uc, UC_BYTES);
	copy.uc_stack = *alt;
	if (!alt->ss_size)
		copy.uc_stack = (stack_t){.ss_flags = SS_DISABLE};
	signals_leave_handlers(sp);
	*mask_of(&copy) |= signals_emulated_mask();
	copy.uc_mcontext.fpregs = fp_size ? (fpregset_t)fp : NULL;
	memcpy(f.uc, &copy, UC_BYTES);
	if (guard_copy((void *)fp, uc->uc_mcontext.fpregs, fp_size) ||
	    guard_copy((void *)at, &f, sizeof(f)))
		return false;

	if ((unsigned)alt->ss_flags & SS_AUTODISARM)
		*alt = (stack_t){0};
	regs[REG_RDI] = sig;
	regs[REG_RSI] = (greg_t)(at + offsetof(struct frame, info));
	regs[REG_RDX] = (greg_t)(at + offsetof(struct frame, uc));
	regs[REG_RAX] = 0;
	regs[REG_RSP] = (greg_t)at;
	regs[REG_RIP] = (greg_t)act->handler;
	regs[REG_EFL] &= ~(greg_t)EFLAGS_CLEAR;
	uc->uc_mcontext.fpregs = NULL; /* the kernel takes it for "initial", as for any handler */
	*mask_of(uc) = mask & ~SIGNALS_KEPT;
	signals_enter_handler(mask | act->mask, at);
	return true;
}

struct delivery {
	const struct sys_sigaction *act;
	int sig;
	const siginfo_t *si;
	const ucontext_t *uc;
	uint64_t mask;
};

static void delivery_build(const struct delivery *d, ucontext_t *uc);

/*
 * Signals that arrive together: the kernel builds the frame of one on top of the other's, whose
 * entry it interrupts before that can block signals. The lower one's handler counts as entered.
 */
static void resolve_entry(ucontext_t *uc)
{
	greg_t *regs = uc->uc_mcontext.gregs;
	bool is_first = regs[REG_RIP] == (greg_t)fl_signal_entry;
	ucontext_t *lower = (ucontext_t *)regs[is_first ? REG_RDX : REG_RBX];
	siginfo_t *si = (siginfo_t *)((char *)lower + UC_BYTES);
	struct delivery d = {
	    .act = ((struct sys_sigaction **)lower)[-1],
	    .sig = si->si_signo,
	    .si = si,
	    .uc = lower,
	    .mask = *mask_of(uc),
	};

	ensure(altstack_is_own((uintptr_t)lower));
	delivery_build(&d, lower);
	memcpy(regs, lower->uc_mcontext.gregs, sizeof(lower->uc_mcontext.gregs));
}

/* @uc: the context of d->uc, or a copy. It is what to return to afterwards. */
static void delivery_build(const struct delivery *d, ucontext_t *uc)
{
	if (altstack_is_own((uintptr_t)uc->uc_mcontext.gregs[REG_RSP]))
		resolve_entry(uc);
	if (frame_build(d->act, d->sig, d->si, uc, d->uc, d->mask))
		return;
	siginfo_t si = {.si_signo = SIGSEGV, .si_code = CODE_KERNEL};
	struct sys_sigaction act;
	uint64_t mask = *mask_of(uc);
	if (d->sig != SIGSEGV && signals_handler(SIGSEGV, &act, &mask) &&
	    frame_build(&act, SIGSEGV, &si, uc, d->uc, mask))
		return;
	signals_die(SIGSEGV, &si, uc);
}

/* On our alternate stack, if there is one. */
static long deliver_here(void *delivery)
{
	const struct delivery d = *(const struct delivery *)delivery;
	/* The kernel's part is all that is read of it. */
	ucontext_t copy __attribute__((aligned(16))), *uc = &copy;

	memcpy(uc, d.uc, UC_BYTES);
	if (uc->uc_stack.ss_sp != altstack_own())
		altstack_adopt(&uc->uc_stack);
	delivery_build(&d, uc);
	signals_flush();
	fl_signal_jump(uc);
}

static _Noreturn void deliver(struct delivery *d)
{
	uintptr_t left;
	char *own = altstack_own();

	if (can_switch() && !altstack_is_own((uintptr_t)__builtin_frame_address(0)))
		stack_switch(own + ALTSTACK_BYTES, deliver_here, d, &left);
	deliver_here(d);
	__builtin_unreachable();
}

void sigframe_deliver(const struct sys_sigaction *act, int sig, const siginfo_t *si,
    const ucontext_t *uc, uint64_t mask)
{
	struct delivery d = {.act = act, .sig = sig, .si = si, .uc = uc, .mask = mask};

	deliver(&d);
}

/* From fl_signal_entry: the program's signals blocked, @mask what the handler is to run under. */
void sigframe_on_signal(int sig, siginfo_t *si, ucontext_t *uc, uint64_t mask)
{
	struct delivery d = {
	    .act = ((struct sys_sigaction **)uc)[-1],
	    .sig = sig,
	    .si = si,
	    .uc = uc,
	    .mask = mask,
	};

	if (UNLIKELY(!altstack_own()))
		altstack_adopt(&uc->uc_stack);
	deliver(&d);
}

/* --- and back ------------------------------------------------------------------------------ */

struct homecoming {
	const ucontext_t *uc;
	bool is_programs; /* the frame of a handler of the program, else of ours */
};

/* What the program sees in its frame is its own alternate stack and mask. */
static void take_programs_view(ucontext_t *uc)
{
	uint64_t view = *mask_of(uc);
	stack_t alt = uc->uc_stack;

	signals_set_emulated_mask(view & SIGNALS_KEPT);
	*mask_of(uc) = view & ~SIGNALS_KEPT;
	if (!altstack_is_raw()) {
		altstack_change(&alt, NULL, (uintptr_t)uc->uc_mcontext.gregs[REG_RSP]);
		uc->uc_stack = (stack_t){.ss_flags = SS_DISABLE};
		if (altstack_own())
			uc->uc_stack =
			    (stack_t){.ss_sp = altstack_own(), .ss_size = ALTSTACK_BYTES};
	}
	signals_flush();
}

/* On our alternate stack. Its lowest bytes hold the floating-point state: the fault that the copy
 * may cause ends far above. */
static long return_here(void *homecoming)
{
	const struct homecoming h = *(const struct homecoming *)homecoming;
	ucontext_t copy __attribute__((aligned(16))), *uc = &copy;
	char *fp = altstack_own() + 64;

	if (guard_copy(uc, h.uc, UC_BYTES)) {
		siginfo_t si = {.si_signo = SIGSEGV, .si_code = CODE_KERNEL};

		signals_die(SIGSEGV, &si, uc);
	} else {
		size_t fp_size = fp_bytes(uc->uc_mcontext.fpregs);

		/* What cannot be read the kernel shall refuse itself. */
		if (fp_size && !guard_copy(fp, uc->uc_mcontext.fpregs, fp_size))
			uc->uc_mcontext.fpregs = (fpregset_t)fp;
	}
	if (h.is_programs)
		take_programs_view(uc);
	fl_signal_jump(uc);
}

static _Noreturn void come_home(struct homecoming *h)
{
	uintptr_t left;

	stack_switch(altstack_own() + ALTSTACK_BYTES, return_here, h, &left);
	__builtin_unreachable();
}

void sigframe_returned(ucontext_t *uc)
{
	struct homecoming h = {.uc = uc, .is_programs = true};

	sys_signals_block(false);
	if (LIKELY(can_switch()))
		come_home(&h);
	take_programs_view(uc);
	fl_signal_jump(uc);
}

void sigframe_leave(ucontext_t *uc)
{
	struct homecoming h = {.uc = uc};

	sys_signals_block(false);
	if (LIKELY(can_switch()))
		come_home(&h);
	fl_signal_jump(uc);
}

bool sigframe_retry_trap(const siginfo_t *si, ucontext_t *uc)
{
	greg_t *regs = uc->uc_mcontext.gregs;
	uintptr_t sp = (uintptr_t)regs[REG_RSP], ip = (uintptr_t)regs[REG_RIP];
	size_t bytes = fp_bytes(uc->uc_mcontext.fpregs) + sizeof(struct frame) + RED_ZONE + 128;

	if (si->si_code != CODE_KERNEL || !in_window(sp) || !guard_would_trap(regs) ||
	    ip >= USER_END || memcmp((const void *)(ip - 2), "\x0f\x05", 2) != 0)
		return false;
	for (uintptr_t at = (sp - bytes) & ~PAGE_MASK; at <= sp; at += PAGE_BYTES)
		if (pager_fault(at, ACCESS_WRITE) != FAULT_DONE)
			return false;
	regs[REG_RIP] -= 2;
	return true;
}
