// SPDX-License-Identifier: MIT
/*
 * Copies between the program's memory and ours in which a bad address is an error, not a crash.
 * A fault on an absent managed page is served as anywhere; one that cannot be served ends the
 * copy: the fault handler finds the instruction in the table below and moves the instruction
 * pointer to its way out.
 */
#include <errno.h>
#include <string.h>

#include "preload/guard.h"

/* Each: instructions from _fault to _end may fault, and go on at _end in any case. rep movsb is
 * exact: rcx holds what is left wherever it stops. A thread may be cancelled in it, and the
 * unwinder must know the way out. */
__asm__(".text\n"
        ".hidden guard_asm_copy\n"
        ".globl guard_asm_copy\n"
        ".type guard_asm_copy, @function\n"
        "guard_asm_copy:\n" /* (dst, src, len) -> bytes left */
        "	.cfi_startproc\n"
        "	mov %rdx, %rcx\n"
        "	cld\n"
        ".hidden guard_asm_copy_fault\n"
        ".globl guard_asm_copy_fault\n"
        "guard_asm_copy_fault:\n"
        "	rep movsb\n"
        ".hidden guard_asm_copy_end\n"
        ".globl guard_asm_copy_end\n"
        "guard_asm_copy_end:\n"
        "	mov %rcx, %rax\n"
        "	ret\n"
        "	.cfi_endproc\n"
        ".size guard_asm_copy, . - guard_asm_copy\n"
        ".hidden guard_asm_read\n"
        ".globl guard_asm_read\n"
        ".type guard_asm_read, @function\n"
        "guard_asm_read:\n" /* (addr) -> 0, or 1 when it cannot */
        "	.cfi_startproc\n"
        "	mov $1, %eax\n"
        ".hidden guard_asm_read_fault\n"
        ".globl guard_asm_read_fault\n"
        "guard_asm_read_fault:\n"
        "	movb (%rdi), %cl\n"
        "	xor %eax, %eax\n"
        ".hidden guard_asm_read_end\n"
        ".globl guard_asm_read_end\n"
        "guard_asm_read_end:\n"
        "	ret\n"
        "	.cfi_endproc\n"
        ".size guard_asm_read, . - guard_asm_read\n"
        ".hidden guard_asm_write\n"
        ".globl guard_asm_write\n"
        ".type guard_asm_write, @function\n"
        "guard_asm_write:\n" /* (addr) -> 0, or 1; writes without changing anything */
        "	.cfi_startproc\n"
        "	mov $1, %eax\n"
        ".hidden guard_asm_write_fault\n"
        ".globl guard_asm_write_fault\n"
        "guard_asm_write_fault:\n"
        "	lock orb $0, (%rdi)\n"
        "	xor %eax, %eax\n"
        ".hidden guard_asm_write_end\n"
        ".globl guard_asm_write_end\n"
        "guard_asm_write_end:\n"
        "	ret\n"
        "	.cfi_endproc\n"
        ".size guard_asm_write, . - guard_asm_write\n");

extern size_t guard_asm_copy(void *dst, const void *src, size_t len);
extern int guard_asm_read(uintptr_t addr);
extern int guard_asm_write(uintptr_t addr);
extern char guard_asm_copy_fault[], guard_asm_copy_end[];
extern char guard_asm_read_fault[], guard_asm_read_end[];
extern char guard_asm_write_fault[], guard_asm_write_end[];

bool guard_fixup(ucontext_t *uc)
{
	uintptr_t ip = (uintptr_t)uc->uc_mcontext.gregs[REG_RIP];
	uintptr_t out;

	if (ip >= (uintptr_t)guard_asm_copy_fault && ip < (uintptr_t)guard_asm_copy_end)
		out = (uintptr_t)guard_asm_copy_end;
	else if (ip >= (uintptr_t)guard_asm_read_fault && ip < (uintptr_t)guard_asm_read_end)
		out = (uintptr_t)guard_asm_read_end;
	else if (ip >= (uintptr_t)guard_asm_write_fault && ip < (uintptr_t)guard_asm_write_end)
		out = (uintptr_t)guard_asm_write_end;
	else
		return false;
	uc->uc_mcontext.gregs[REG_RIP] = (greg_t)out;
	return true;
}

size_t guard_copy(void *dst, const void *src, size_t len)
{
	return guard_asm_copy(dst, src, len);
}

bool guard_touch_read(uintptr_t addr)
{
	return guard_asm_read(addr) == 0;
}

bool guard_touch_write(uintptr_t addr)
{
	return guard_asm_write(addr) == 0;
}

long guard_copy_string(char *dst, const char *src, size_t max)
{
	size_t done = 0;

	/* A page at a time: what follows the zero may not be there. */
	while (done < max) {
		size_t piece = PAGE_BYTES - ((uintptr_t)(src + done) & PAGE_MASK);

		piece = MIN(piece, MIN(max - done, (size_t)256));
		size_t copied = piece - guard_asm_copy(dst + done, src + done, piece);
		const char *zero = memchr(dst + done, 0, copied);
		if (zero)
			return zero - dst + 1;
		if (copied < piece)
			return -EFAULT;
		done += piece;
	}
	return -ENAMETOOLONG;
}

long guard_string_bytes(const char *src, size_t max)
{
	char part[256];

	for (size_t done = 0; done < max; done += sizeof(part)) {
		long n = guard_copy_string(part, src + done, sizeof(part));

		if (n != -ENAMETOOLONG)
			return n < 0 ? n : (long)done + n;
	}
	return -E2BIG;
}
