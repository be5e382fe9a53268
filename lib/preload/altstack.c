// SPDX-License-Identifier: MIT
/* Alternate signal stacks; see altstack.h. */
#include "preload/altstack.h"

#include <elf.h>
#include <errno.h>
#include <link.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "base/meta.h"
#include "base/sys.h"

#ifndef SS_AUTODISARM
#define SS_AUTODISARM (1U << 31)
#endif
#define MIN_PROGRAM_BYTES 2048u /* the kernel's MINSIGSTKSZ: libc's grows with the processor */
#define NR_BATCH          8u    /* stacks mapped at once */
#define SLOT_BYTES        (ALTSTACK_BYTES + PAGE_BYTES) /* guard page below */

struct own {
	char *base; /* [owner] NULL: none */
	stack_t program;
};

static _Thread_local struct own my __attribute__((tls_model("initial-exec")));
static pthread_key_t key;
static bool has_key, is_raw; /* [const after altstack_start] */

/*
 * Free stacks, linked through their lowest words; never unmapped, so that a stale head can be
 * read. Page number in the low 36 bits, above it a count that tells a head from the same one
 * taken and given back meanwhile. No lock: a forked child would inherit it held.
 *
 * The same for those of threads that are ending: the rest of a thread's end (other destructors,
 * libc's own) faults too, and its stack may be too small for that. Such a one is free when the
 * kernel does not know the thread any more.
 */
static _Atomic uint64_t free_head, ending_head;
#define PAGE_NR_BITS 36

/* At the bottom, where no frame ever comes. */
struct link {
	char *next;
	int tid; /* of a thread that is ending */
};

static char *head_stack(uint64_t head)
{
	return (char *)((head & ((1ull << PAGE_NR_BITS) - 1)) << PAGE_SHIFT);
}

static void push(_Atomic uint64_t *list, char *base)
{
	uint64_t head = atomic_load(list), new_head;

	do {
		__atomic_store_n(&((struct link *)base)->next, head_stack(head), __ATOMIC_RELAXED);
		new_head =
		    ((head >> PAGE_NR_BITS) + 1) << PAGE_NR_BITS | (uintptr_t)base >> PAGE_SHIFT;
	} while (!atomic_compare_exchange_weak(list, &head, new_head));
}

static void stack_give(char *base)
{
	push(&free_head, base);
}

/* Those whose threads have gone become free. */
static void stack_collect(void)
{
	uint64_t head = atomic_load(&ending_head);
	char *base, *next;

	while (head_stack(head) && !atomic_compare_exchange_weak(&ending_head, &head,
	                               ((head >> PAGE_NR_BITS) + 1) << PAGE_NR_BITS))
		;
	for (base = head_stack(head); base; base = next) {
		const struct link *link = (const struct link *)base;
		bool is_gone = sys_call2(SYS_tkill, link->tid, 0) == -ESRCH;

		next = link->next;
		push(is_gone ? &free_head : &ending_head, base);
	}
}

static char *stack_take_cached(void)
{
	uint64_t head = atomic_load(&free_head), new_head;

	do {
		char *base = head_stack(head);

		if (!base)
			return NULL;
		new_head =
		    ((head >> PAGE_NR_BITS) + 1) << PAGE_NR_BITS |
		    (uintptr_t)__atomic_load_n(&((struct link *)base)->next, __ATOMIC_RELAXED) >>
		        PAGE_SHIFT;
	} while (!atomic_compare_exchange_weak(&free_head, &head, new_head));
	return head_stack(head);
}

/* Map @nr and keep one. Return: it, or NULL. */
static char *stack_map(unsigned nr)
{
	char *kept = NULL;
	long chunk = sys_call6(SYS_mmap, meta_hint(nr * SLOT_BYTES), (long)(nr * SLOT_BYTES),
	    PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (chunk < 0)
		return NULL;
	for (unsigned i = 0; i < nr; i++) {
		char *base = (char *)chunk + i * SLOT_BYTES + PAGE_BYTES;

		if (sys_call3(
		        SYS_mprotect, (long)base, (long)ALTSTACK_BYTES, PROT_READ | PROT_WRITE))
			break;
		if (kept)
			stack_give(base);
		else
			kept = base;
	}
	return kept;
}

static char *stack_take(void)
{
	char *base = stack_take_cached();

	if (!base) {
		stack_collect();
		base = stack_take_cached();
	}
	if (!base)
		base = stack_map(NR_BATCH);
	return base ? base : stack_map(1);
}

/* The kernel keeps it for the rest of the thread's end. */
static void thread_end(void *base)
{
	((struct link *)base)->tid = (int)sys_call0(SYS_gettid);
	push(&ending_head, base);
}

/* Whether the notes at @at are those of the Go linker. */
static bool has_go_note(const char *at, const char *end)
{
	while (end - at >= (ptrdiff_t)sizeof(ElfW(Nhdr)) + 4) {
		const ElfW(Nhdr) *note = (const ElfW(Nhdr) *)at;
		const char *name = at + sizeof(*note);

		if (note->n_namesz == 4 && !memcmp(name, "Go\0", 4))
			return true;
		at = name + ((note->n_namesz + 3) & ~3u) + ((note->n_descsz + 3) & ~3u);
	}
	return false;
}

static bool is_go_program(void)
{
	const ElfW(Phdr) *ph = (const ElfW(Phdr) *)getauxval(AT_PHDR);
	unsigned long nr = ph ? getauxval(AT_PHNUM) : 0;
	uintptr_t bias = 0;

	for (unsigned long i = 0; i < nr; i++)
		if (ph[i].p_type == PT_PHDR)
			bias = (uintptr_t)ph - ph[i].p_vaddr;
	for (unsigned long i = 0; i < nr; i++) {
		const char *notes = (const char *)(bias + ph[i].p_vaddr);

		if (ph[i].p_type == PT_NOTE && has_go_note(notes, notes + ph[i].p_memsz))
			return true;
	}
	return false;
}

bool altstack_is_raw(void)
{
	return is_raw;
}

int altstack_start(void)
{
	if (has_key)
		return 0;
	is_raw = is_go_program();
	int err = pthread_key_create(&key, thread_end);
	if (err)
		return -err;
	has_key = true;
	return 0;
}

/* Return: whether this thread has got one just now. */
static bool thread_take(void)
{
	if (my.base || !has_key)
		return false;
	my.base = stack_take();
	if (!my.base)
		return false;
	/* Our key is one of the first, whose values need no allocation. */
	pthread_setspecific(key, my.base);
	return true;
}

void altstack_adopt(stack_t *uc_stack)
{
	thread_take();
	if (is_raw)
		my.program = *uc_stack;
	if (!my.base || is_raw)
		return;
	/* Perhaps set by a raw call of the program, which the guard did not see. */
	if (uc_stack->ss_size)
		my.program = *uc_stack;
	*uc_stack = (stack_t){.ss_sp = my.base, .ss_size = ALTSTACK_BYTES};
}

void altstack_thread_start(void)
{
	uint64_t mask = sys_signals_block(false);

	if (!is_raw && thread_take()) {
		stack_t own = {.ss_sp = my.base, .ss_size = ALTSTACK_BYTES}, old = {0};

		sys_call2(SYS_sigaltstack, (long)&own, (long)&old);
		if (old.ss_size)
			my.program = old;
	}
	sys_signals_restore(mask);
}

char *altstack_own(void)
{
	return my.base;
}

bool altstack_is_own(uintptr_t sp)
{
	/* As the kernel: the byte at the top belongs to it, that at the bottom does not. */
	return my.base && sp - (uintptr_t)my.base - 1 < ALTSTACK_BYTES;
}

stack_t *altstack_program(void)
{
	return &my.program;
}

bool altstack_is_programs(uintptr_t sp)
{
	if ((unsigned)my.program.ss_flags & SS_AUTODISARM)
		return false;
	return my.program.ss_size && sp - (uintptr_t)my.program.ss_sp - 1 < my.program.ss_size;
}

uintptr_t altstack_tag(uintptr_t sp)
{
	return altstack_is_programs(sp) ? (uintptr_t)my.program.ss_sp : 0;
}

int altstack_change(const stack_t *ss, stack_t *ret_old, uintptr_t sp)
{
	if (is_raw)
		return (int)sys_call2(SYS_sigaltstack, (long)ss, (long)ret_old);

	stack_t old = my.program;
	bool is_on = altstack_is_programs(sp);

	old.ss_flags = (int)(((unsigned)old.ss_flags & SS_AUTODISARM) | (is_on ? SS_ONSTACK : 0u));
	if (!old.ss_size)
		old.ss_flags = SS_DISABLE;
	if (ss) {
		int mode = (int)((unsigned)ss->ss_flags & ~SS_AUTODISARM);

		if (is_on)
			return -EPERM;
		if (mode != SS_DISABLE && mode != SS_ONSTACK && mode != 0)
			return -EINVAL;
		if (mode != SS_DISABLE && ss->ss_size < MIN_PROGRAM_BYTES)
			return -ENOMEM;
		my.program = *ss;
		if (mode == SS_DISABLE)
			my.program = (stack_t){0};
	}
	if (ret_old)
		*ret_old = old;
	return 0;
}
