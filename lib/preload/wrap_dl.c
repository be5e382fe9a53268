// SPDX-License-Identifier: MIT
/*
 * dlopen with RTLD_DEEPBIND: the library would see libc's malloc before the preloaded one, and give
 * blocks of the one to the free() of the other (PHP opens its extensions so). Where a malloc is
 * preloaded, the flag is dropped. libc tells by the return address whose search path counts, so the
 * call is passed on by a jump.
 */
#include <stddef.h>

#include <gnu/libc-version.h>
#include <stdlib.h>

#include "preload/real.h"

extern void *(*fl_real_dlopen)(const char *path, int flags) __attribute__((visibility("hidden")));
extern int fl_dlopen_flags __attribute__((visibility("hidden"))); /* those passed on */
void fl_dlopen_resolve(void) __attribute__((visibility("hidden")));

void *(*fl_real_dlopen)(const char *path, int flags);
int fl_dlopen_flags = ~0;

__asm__(".text\n"
        ".globl dlopen\n"
        ".type dlopen, @function\n"
        "dlopen:\n"
        "	.cfi_startproc\n"
        "	mov fl_real_dlopen(%rip), %rax\n"
        "	test %rax, %rax\n"
        "	jz 1f\n"
        "	and fl_dlopen_flags(%rip), %esi\n"
        "	jmp *%rax\n"
        "1:	push %rdi\n"
        "	.cfi_adjust_cfa_offset 8\n"
        "	push %rsi\n"
        "	.cfi_adjust_cfa_offset 8\n"
        "	sub $8, %rsp\n"
        "	.cfi_adjust_cfa_offset 8\n"
        "	call fl_dlopen_resolve\n"
        "	add $8, %rsp\n"
        "	.cfi_adjust_cfa_offset -8\n"
        "	pop %rsi\n"
        "	.cfi_adjust_cfa_offset -8\n"
        "	pop %rdi\n"
        "	.cfi_adjust_cfa_offset -8\n"
        "	jmp dlopen\n"
        "	.cfi_endproc\n"
        ".size dlopen, . - dlopen\n");

static const void *object_of(const void *function)
{
	Dl_info info;

	return dladdr(function, &info) ? info.dli_fbase : NULL;
}

RESOLVE_EARLY void fl_dlopen_resolve(void)
{
	/* Whoever comes first in the program's own order. */
	const void *used = dlsym(RTLD_DEFAULT, "malloc");

	if (used && object_of(used) != object_of((void *)gnu_get_libc_version))
		fl_dlopen_flags = ~RTLD_DEEPBIND;
	fl_real_dlopen = (void *(*)(const char *, int))dlsym(RTLD_NEXT, "dlopen");
}
