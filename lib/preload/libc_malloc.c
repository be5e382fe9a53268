// SPDX-License-Identifier: MIT
/*
 * libc's malloc takes its memory by calls inside libc, which no preloaded symbol gets between. So
 * the code of libc's mmap, munmap, mremap, madvise and mprotect starts with a jump to ours, in this
 * process's copy of these few pages. What is libc's own besides (stacks of threads, files) our
 * functions pass on, as they do the program's.
 *
 * Of sbrk only malloc's calls are led away, to a heap inside the window; the program's own get what
 * they always did. Where the program has a malloc of its own, its calls are led there, and libc's
 * are refused: there is one heap. libc's malloc takes such a change of place amiss (it ends the
 * program if the break went down) unless it has once failed to get memory by sbrk: so it fails,
 * once, at start. From then on it extends and trims that heap as it would the other.
 *
 * libc's fork holds the locks of all arenas while it makes the process. Were memory sealed before
 * it asks for them (start.c's handlers), it would wait for a thread that has one, and that thread
 * for its page. So memory is sealed behind that, in place of the system call itself. (The locks of
 * arenas besides the main one are in the memory that they manage: as any lock of the program's.)
 */
#include "preload/libc_malloc.h"

#include <dlfcn.h>
#include <errno.h>
#include <gnu/libc-version.h>
#include <link.h>
#include <malloc.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/sys.h"
#include "pager/pager.h"
#include "preload/elf_import.h"
#include "preload/real.h"

/* No mapping comes there before the rest of the window is full. */
#define HEAP_START (WINDOW_END - (1ull << 40))
#define HEAP_STEP  (1ull << 20) /* mapped at a time */

#define JUMP_BYTES    14 /* jmp *0(%rip), and where to */
#define SPARE_AT      16 /* bytes of a function behind its jump, which nobody executes any more */
#define CLONE_BYTES   7  /* mov $SYS_clone, %eax; syscall */
#define MAX_FORK_SIZE 512
#define BREAKPOINT    0xcc
#define ARENA_STEP    (1ull << 20) /* made accessible at a time */
#define WARM_UP       64 /* blocks; the first that sbrk's memory has no room for is enough */
#define WARM_UP_SIZE  (100u << 10) /* below what malloc maps by itself */

static bool is_taken;

/* Guarded by a lock of the malloc that the heap is for: libc's, of its main arena. */
static struct {
	uintptr_t end, mapped;
	bool has_failed;
} heap = {.end = HEAP_START, .mapped = HEAP_START};

struct text {
	uintptr_t in; /* an address there, to find it by */
	uintptr_t start, end;
};

/* libc's code, and that of the malloc which the program uses, perhaps the same. */
static struct text libc_text, malloc_text;

static void *no_memory(void)
{
	errno = ENOMEM;
	return (void *)-1;
}

/* As libc would do it. */
static void *program_sbrk(intptr_t increment)
{
	long now = sys_call1(SYS_brk, 0), wanted = now + increment;

	if (increment && (sys_call1(SYS_brk, wanted) != wanted))
		return no_memory();
	return (void *)now;
}

static bool is_in(const struct text *t, uintptr_t addr)
{
	return addr >= t->start && addr < t->end;
}

static bool is_malloc_libcs(void)
{
	return malloc_text.start == libc_text.start;
}

static void *heap_sbrk(intptr_t increment)
{
	uintptr_t old = heap.end, new = old + (uintptr_t)increment;
	if (new < HEAP_START || new > WINDOW_END)
		return no_memory();
	if (new > heap.mapped) {
		size_t bytes = (new - heap.mapped + HEAP_STEP - 1) & ~(HEAP_STEP - 1);
		void *at = (void *)heap.mapped;
		void *got = mmap(at, bytes, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

		if (got != at) {
			if (got != MAP_FAILED)
				munmap(got, bytes);
			return no_memory();
		}
		heap.mapped += bytes;
	} else if (page_round_up(new) < old) {
		/* What comes back must be zero. */
		madvise((void *)page_round_up(new), page_round_up(old) - page_round_up(new),
		    MADV_DONTNEED);
	}
	heap.end = new;
	return (void *)old;
}

static void *our_sbrk(intptr_t increment)
{
	uintptr_t caller = (uintptr_t)__builtin_return_address(0);

	if (is_in(&libc_text, caller) && (!heap.has_failed || !is_malloc_libcs())) {
		heap.has_failed |= increment > 0; /* trimming is no request */
		return no_memory();
	}
	return is_in(&malloc_text, caller) ? heap_sbrk(increment) : program_sbrk(increment);
}

/*
 * malloc makes a reserved heap of an arena accessible page by page as it grows: a call each, and no
 * page beside a fault to map with it. So this is done by ARENA_STEP; what is asked for below the
 * next of them was done before. Heaps do not become less accessible: see our_mmap().
 */
static int our_mprotect(void *at, size_t bytes, int prot)
{
	uintptr_t addr = (uintptr_t)at, start = addr, end = addr + bytes;
	bool is_growth = is_in(&libc_text, (uintptr_t)__builtin_return_address(0)) &&
	                 in_window(addr) && prot == (PROT_READ | PROT_WRITE);

	if (!is_growth)
		return mprotect(at, bytes, prot);
	/* A heap begins with a step. */
	start = (start + ARENA_STEP - 1) & ~(ARENA_STEP - 1);
	end = (end + ARENA_STEP - 1) & ~(ARENA_STEP - 1);
	return start < end ? mprotect((void *)start, end - start, prot) : 0;
}

/* Where memory may not be overcommitted malloc trims an arena's heap by reserving its end anew. */
static void *our_mmap(void *at, size_t bytes, int prot, int flags, int fd, off_t offset)
{
	bool is_trim = is_in(&libc_text, (uintptr_t)__builtin_return_address(0)) &&
	               in_window((uintptr_t)at) && prot == PROT_NONE && flags & MAP_FIXED;

	if (!is_trim)
		return mmap(at, bytes, prot, flags, fd, offset);
	return madvise(at, bytes, MADV_DONTNEED) ? MAP_FAILED : at;
}

/* --- fork -------------------------------------------------------------------------------- */

__attribute__((used, visibility("hidden"))) long fl_clone_paged(
    long flags, long stack, long parent_tid, long child_tid, long tls);
__attribute__((used, visibility("hidden"))) uintptr_t fl_behind_clone;
void fl_instead_of_clone(void);

/*
 * In place of the system call, which keeps all registers but rax, rcx and r11, and what lies below
 * the stack pointer.
 */
__asm__(".text\n"
        ".hidden fl_instead_of_clone\n"
        ".globl fl_instead_of_clone\n"
        ".type fl_instead_of_clone, @function\n"
        "fl_instead_of_clone:\n"
        "	lea -128(%rsp), %rsp\n"
        "	push %rbp\n"
        "	mov %rsp, %rbp\n"
        "	push %rdi\n"
        "	push %rsi\n"
        "	push %rdx\n"
        "	push %r10\n"
        "	push %r8\n"
        "	push %r9\n"
        "	and $-16, %rsp\n"
        "	mov %r10, %rcx\n"
        "	call fl_clone_paged\n"
        "	mov -8(%rbp), %rdi\n"
        "	mov -16(%rbp), %rsi\n"
        "	mov -24(%rbp), %rdx\n"
        "	mov -32(%rbp), %r10\n"
        "	mov -40(%rbp), %r8\n"
        "	mov -48(%rbp), %r9\n"
        "	leave\n"
        "	lea 128(%rsp), %rsp\n"
        "	jmp *fl_behind_clone(%rip)\n"
        ".size fl_instead_of_clone, . - fl_instead_of_clone\n");

long fl_clone_paged(long flags, long stack, long parent_tid, long child_tid, long tls)
{
	int err = pager_fork_prepare();

	if (err)
		return err;
	long pid = sys_call5(SYS_clone, flags, stack, parent_tid, child_tid, tls);
	if (pid)
		pager_fork_parent();
	else
		pager_fork_child();
	return pid;
}

bool libc_malloc_is_taken(void)
{
	return is_taken;
}

/* --- changing libc ----------------------------------------------------------------------- */

struct redirect {
	const char *name;
	void *to;
	unsigned char *from;
};

/* libc, which alone has this function. Not by way of dlopen(), which takes memory: it may be in a
 * program's own malloc, for its first mmap, that the pager starts. */
static const struct link_map *find_libc(void)
{
	struct link_map *map;
	Dl_info info;

	return dladdr1((void *)gnu_get_libc_version, &info, (void **)&map, RTLD_DL_LINKMAP) ? map
	                                                                                    : NULL;
}

/* Where _Fork makes its system call; NULL: not to be found. */
static unsigned char *find_clone(const struct link_map *libc)
{
	static const unsigned char call[CLONE_BYTES] = {0xb8, SYS_clone, 0, 0, 0, 0x0f, 0x05};
	size_t size = 0;
	unsigned char *start = elf_function(libc, "_Fork", &size);

	return size > CLONE_BYTES && size <= MAX_FORK_SIZE ? memmem(start, size, call, sizeof(call))
	                                                   : NULL;
}

static int find_text(struct dl_phdr_info *info, size_t size, void *arg)
{
	struct text *t = arg;

	(void)size;
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *p = &info->dlpi_phdr[i];
		uintptr_t start = info->dlpi_addr + p->p_vaddr;

		if (p->p_type == PT_LOAD && p->p_flags & PF_X && t->in >= start &&
		    t->in - start < p->p_memsz) {
			t->start = start & ~PAGE_MASK;
			t->end = page_round_up(start + p->p_memsz);
			return 1;
		}
	}
	return 0;
}

static long protect_text(const unsigned char *at, size_t bytes, int prot)
{
	uintptr_t start = (uintptr_t)at & ~PAGE_MASK;

	return sys_call3(
	    SYS_mprotect, (long)start, (long)(page_round_up((uintptr_t)at + bytes) - start), prot);
}

static void put_jump(unsigned char *at, void *to)
{
	unsigned char jump[JUMP_BYTES] = {0xff, 0x25};

	memcpy(jump + 6, &to, sizeof(to));
	memcpy(at, jump, sizeof(jump));
}

/* Seven bytes have no room for that: by way of @spare, which is near. */
static void put_clone_jump(unsigned char *clone, unsigned char *spare)
{
	int32_t distance = (int32_t)(spare - (clone + 5));

	put_jump(spare, (void *)fl_instead_of_clone);
	fl_behind_clone = (uintptr_t)clone + CLONE_BYTES;
	clone[0] = 0xe9;
	memcpy(clone + 1, &distance, sizeof(distance));
}

/* Let malloc ask sbrk once for more, and be refused. */
static void warm_up(void *(*libc_malloc)(size_t), void (*libc_free)(void *))
{
	void *block[WARM_UP];
	int nr = 0, saved_errno = errno;

	while (nr < WARM_UP && !heap.has_failed)
		block[nr++] = libc_malloc(WARM_UP_SIZE);
	while (nr)
		libc_free(block[--nr]);
	errno = saved_errno;
}

int libc_malloc_take(void)
{
	struct redirect redirects[] = {
	    {.name = "mmap", .to = (void *)our_mmap},
	    {.name = "munmap", .to = (void *)munmap},
	    {.name = "mremap", .to = (void *)mremap},
	    {.name = "madvise", .to = (void *)madvise},
	    {.name = "mprotect", .to = (void *)our_mprotect},
	    {.name = "sbrk", .to = (void *)our_sbrk},
	    {.name = "_Fork"},
	};
	const size_t nr_jumps = ARRAY_LEN(redirects) - 1;
	size_t nr = 0;
	long err = 0;
	const struct link_map *libc = find_libc();
	size_t size;

	libc_text.in = (uintptr_t)gnu_get_libc_version;
	malloc_text.in = (uintptr_t)malloc;
	if (!libc || !dl_iterate_phdr(find_text, &libc_text) ||
	    !dl_iterate_phdr(find_text, &malloc_text))
		return -ENOSYS;
	void *(*libc_malloc)(size_t) = elf_function(libc, "__libc_malloc", &size);
	void (*libc_free)(void *) = elf_function(libc, "__libc_free", &size);
	unsigned char *clone = find_clone(libc);
	if (!libc_malloc || !libc_free || !clone)
		return -ENOSYS;
	for (size_t i = 0; i < nr_jumps; i++) {
		redirects[i].from = elf_function(libc, redirects[i].name, &size);
		if (!redirects[i].from || size < SPARE_AT + JUMP_BYTES)
			return -ENOSYS;
		/* It would be put back into the jump. */
		if (memchr(redirects[i].from, BREAKPOINT, JUMP_BYTES))
			return -EBUSY;
	}
	redirects[nr_jumps].from = clone;
	while (nr <= nr_jumps && !(err = protect_text(redirects[nr].from, SPARE_AT + JUMP_BYTES,
	                               PROT_READ | PROT_WRITE | PROT_EXEC)))
		nr++;
	if (!err) {
		for (size_t i = 0; i < nr_jumps; i++)
			put_jump(redirects[i].from, redirects[i].to);
		put_clone_jump(clone, redirects[0].from + SPARE_AT);
		is_taken = true;
	}
	while (nr)
		protect_text(redirects[--nr].from, SPARE_AT + JUMP_BYTES, PROT_READ | PROT_EXEC);
	if (!err)
		warm_up(libc_malloc, libc_free);
	return (int)err;
}
