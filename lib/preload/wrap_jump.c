// SPDX-License-Identifier: MIT
/*
 * Jumps that restore a signal mask inside libc: out of a handler of the program, the kept signals
 * which that has blocked are free again (signals.c).
 */
#include <setjmp.h>
#include <signal.h>
#include <ucontext.h>

#include "preload/real.h"
#include "preload/signals.h"

typedef void longjmp_fn(struct __jmp_buf_tag *env, int value);

void __longjmp_chk(struct __jmp_buf_tag *env, int value) __attribute__((noreturn));

static longjmp_fn *real_longjmp, *real_checked;
void (*fl_real_setcontext)(void) __attribute__((visibility("hidden")));
void (*fl_real_swapcontext)(void) __attribute__((visibility("hidden")));
void fl_jump_resolve(void) __attribute__((visibility("hidden")));

RESOLVE_EARLY void fl_jump_resolve(void)
{
	real_longjmp = (longjmp_fn *)dlsym(RTLD_NEXT, "siglongjmp");
	real_checked = (longjmp_fn *)dlsym(RTLD_NEXT, "__longjmp_chk");
	fl_real_setcontext = (void (*)(void))dlsym(RTLD_NEXT, "setcontext");
	fl_real_swapcontext = (void (*)(void))dlsym(RTLD_NEXT, "swapcontext");
}

static _Noreturn void jump(longjmp_fn *const *real, struct __jmp_buf_tag *env, int value)
{
	if (env->__mask_was_saved)
		signals_forget_handlers();
	if (!*real)
		fl_jump_resolve();
	(*real)(env, value);
	__builtin_unreachable();
}

EXPORT void siglongjmp(sigjmp_buf env, int value)
{
	jump(&real_longjmp, env, value);
}

EXPORT void longjmp(jmp_buf env, int value)
{
	jump(&real_longjmp, env, value);
}

EXPORT void _longjmp(jmp_buf env, int value)
{
	jump(&real_longjmp, env, value);
}

EXPORT void __longjmp_chk(struct __jmp_buf_tag *env, int value)
{
	jump(&real_checked, env, value);
}

/* These save the registers as they find them: passed on by a jump. */
#define PASSED_ON(name)                                     \
	__asm__(".text\n"                                   \
	        ".globl " #name "\n"                        \
	        ".type " #name ", @function\n" #name ":\n"  \
	        "	.cfi_startproc\n"                         \
	        "	push %rdi\n"                              \
	        "	.cfi_adjust_cfa_offset 8\n"               \
	        "	push %rsi\n"                              \
	        "	.cfi_adjust_cfa_offset 8\n"               \
	        "	sub $8, %rsp\n"                           \
	        "	.cfi_adjust_cfa_offset 8\n"               \
	        "	call signals_forget_handlers\n"           \
	        "	cmpq $0, fl_real_" #name "(%rip)\n" \
	        "	jne 1f\n"                                 \
	        "	call fl_jump_resolve\n"                   \
	        "1:	add $8, %rsp\n"                         \
	        "	.cfi_adjust_cfa_offset -8\n"              \
	        "	pop %rsi\n"                               \
	        "	.cfi_adjust_cfa_offset -8\n"              \
	        "	pop %rdi\n"                               \
	        "	.cfi_adjust_cfa_offset -8\n"              \
	        "	jmp *fl_real_" #name "(%rip)\n"     \
	        "	.cfi_endproc\n"                           \
	        ".size " #name ", . - " #name "\n")

PASSED_ON(setcontext);
PASSED_ON(swapcontext);
