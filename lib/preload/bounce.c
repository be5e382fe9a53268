// SPDX-License-Identifier: MIT
/* Bounce memory; see bounce.h. Signals may come at any line unless said otherwise. */
#include "preload/bounce.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "base/ensure.h"
#include "base/meta.h"
#include "base/sys.h"
#include "preload/altstack.h"
#include "preload/stack_switch.h"

#define NR_USES     24u
#define NR_BIGS     64u
#define NR_EASY     8u /* uses below this depth are never looked at for being abandoned */
#define RUN_BYTES   ((size_t)48 << 10)   /* as the fault path's 25 KiB (measured), and room */
#define STACK_BYTES ((uintptr_t)8 << 20) /* farther apart: another stack (usual stack limit) */
#define ARENA_BYTES (BOUNCE_CHUNK_BYTES + ((size_t)64 << 10))

/* One guarded call. Written only by the thread itself, or by handlers on top of it. */
struct use {
	uintptr_t sp; /* 0 while it is being made: then it is not judged */
	uintptr_t stack;
	size_t top;      /* arena bytes in use, this use's included */
	unsigned nr_big; /* mappings in use, this use's included */
	/* Of bounce_run(): the memory that is a stack, 0 if none, and the stack pointer outside. */
	uintptr_t run_base, caller_sp;
};

struct big {
	void *mem;
	size_t bytes;
};

struct bounce_thread {
	_Atomic unsigned nr_uses;
	struct use uses[NR_USES];
	struct big bigs[NR_BIGS];
	char arena[] __attribute__((aligned(4096)));
};

#define THREAD_BYTES (sizeof(struct bounce_thread) + ARENA_BYTES)

static pthread_key_t key;
static bool has_key; /* [const after bounce_start] */
static _Thread_local struct bounce_thread *mine __attribute__((tls_model("initial-exec")));

static void *map(size_t bytes)
{
	long p = sys_call6(SYS_mmap, meta_hint(bytes), (long)bytes, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return p < 0 ? NULL : (void *)p;
}

static void unmap(struct big *big)
{
	if (big->mem)
		sys_call2(SYS_munmap, (long)big->mem, (long)big->bytes);
	big->mem = NULL;
}

static void thread_end(void *thread)
{
	struct bounce_thread *t = thread;
	uint64_t mask = sys_signals_block(false);

	mine = NULL;
	for (unsigned i = 0; i < NR_BIGS; i++)
		unmap(&t->bigs[i]);
	sys_call2(SYS_munmap, (long)t, (long)THREAD_BYTES);
	sys_signals_restore(mask);
}

int bounce_start(void)
{
	if (has_key)
		return 0;
	int err = pthread_key_create(&key, thread_end);
	if (err)
		return -err;
	has_key = true;
	return 0;
}

static struct bounce_thread *thread_get(void)
{
	if (LIKELY(mine))
		return mine;

	uint64_t mask = sys_signals_block(false);
	struct bounce_thread *t = mine ? mine : map(THREAD_BYTES);
	if (t && !mine) {
		mine = t;
		/* Our key is one of the first, whose values need no allocation. */
		if (has_key)
			pthread_setspecific(key, t);
	}
	sys_signals_restore(mask);
	return t;
}

/* Cut the stack of uses back to @nr, freeing what the others mapped. */
static void uses_drop(struct bounce_thread *t, unsigned nr)
{
	unsigned nr_big = nr ? t->uses[nr - 1].nr_big : 0;

	if (t->uses[atomic_load(&t->nr_uses) - 1].nr_big > nr_big) {
		/* A handler here would find mappings that are half gone. */
		uint64_t mask = sys_signals_block(false);
		for (unsigned i = nr_big; i < NR_BIGS && t->bigs[i].mem; i++)
			unmap(&t->bigs[i]);
		atomic_store(&t->nr_uses, nr);
		sys_signals_restore(mask);
	} else {
		atomic_store(&t->nr_uses, nr);
	}
}

/* Whoever is at work on @use has outlived those above it: a handler jumped back into one below. */
static void drop_above(struct bounce_thread *t, unsigned use)
{
	ensure(atomic_load(&t->nr_uses) > use);
	if (UNLIKELY(atomic_load(&t->nr_uses) > use + 1))
		uses_drop(t, use + 1);
}

/* Drop the uses that a siglongjmp() must have left: those deeper on the stack we are on. */
static void drop_abandoned(struct bounce_thread *t, unsigned below, uintptr_t sp, uintptr_t stack)
{
	for (unsigned i = 0; i < below; i++) {
		const struct use *u = &t->uses[i];

		if (u->sp && u->sp <= sp && u->stack == stack && sp - u->sp < STACK_BYTES) {
			uses_drop(t, i);
			return;
		}
	}
}

int bounce_begin(struct bounce *b, uintptr_t sp, uintptr_t stack)
{
	struct bounce_thread *t = thread_get();

	if (!t)
		return -ENOMEM;
	unsigned nr = atomic_load(&t->nr_uses);
	if (nr && (nr >= NR_EASY || t->uses[nr - 1].top > ARENA_BYTES / 8)) {
		drop_abandoned(t, nr, sp, stack);
		nr = atomic_load(&t->nr_uses);
	}
	if (nr >= NR_USES)
		return -ENOMEM;

	struct use *u = &t->uses[nr];
	u->sp = 0;
	u->run_base = 0;
	atomic_store(&t->nr_uses, nr + 1);
	u->top = nr ? u[-1].top : 0;
	u->nr_big = nr ? u[-1].nr_big : 0;
	u->stack = stack;
	u->sp = sp;
	*b = (struct bounce){.thread = t, .use = nr};
	return 0;
}

int bounce_begin_here(struct bounce *b)
{
	uintptr_t sp = (uintptr_t)__builtin_frame_address(0);

	return bounce_begin(b, sp, altstack_tag(sp));
}

static void *alloc_big(struct bounce_thread *t, struct use *u, size_t bytes)
{
	void *mem = NULL;
	/* A handler that jumps away between the mapping and its record would leak it. */
	uint64_t mask = sys_signals_block(false);

	if (u->nr_big < NR_BIGS) {
		mem = map(bytes);
		if (mem)
			t->bigs[u->nr_big++] = (struct big){.mem = mem, .bytes = bytes};
	}
	sys_signals_restore(mask);
	return mem;
}

void *bounce_alloc(struct bounce *b, size_t bytes)
{
	struct bounce_thread *t = b->thread;
	struct use *u = &t->uses[b->use];

	drop_above(t, b->use);
	size_t align = bytes >= PAGE_BYTES ? PAGE_BYTES : 16;
	size_t at = (u->top + align - 1) & ~(align - 1);
	if (bytes > ARENA_BYTES || at > ARENA_BYTES - bytes)
		return alloc_big(t, u, page_round_up(bytes));
	u->top = at + bytes;
	return t->arena + at;
}

void *bounce_alloc_ending(struct bounce *b, size_t bytes)
{
	struct bounce_thread *t = b->thread;
	size_t len = page_round_up(bytes);

	drop_above(t, b->use);
	char *mem = alloc_big(t, &t->uses[b->use], len + PAGE_BYTES);
	if (!mem || sys_call3(SYS_mprotect, (long)(mem + len), (long)PAGE_BYTES, PROT_NONE))
		return NULL;
	return mem + len - bytes;
}

void bounce_end(struct bounce *b)
{
	uses_drop(b->thread, b->use);
}

long bounce_run(long (*fn)(void *arg), void *arg, uintptr_t sp)
{
	struct bounce b;
	void *base;

	if (bounce_begin(&b, sp, altstack_tag(sp)))
		return fn(arg);
	base = bounce_alloc(&b, RUN_BYTES);
	if (!base) {
		bounce_end(&b);
		return fn(arg);
	}
	struct use *u = &b.thread->uses[b.use];
	u->run_base = (uintptr_t)base;
	long result = stack_switch((char *)base + RUN_BYTES, fn, arg, &u->caller_sp);
	u->run_base = 0;
	bounce_end(&b);
	return result;
}

uintptr_t bounce_caller_sp(uintptr_t sp)
{
	if (!mine)
		return sp;
	for (unsigned i = atomic_load(&mine->nr_uses); i-- > 0;) {
		const struct use *u = &mine->uses[i];

		if (u->run_base && sp - u->run_base < RUN_BYTES)
			return u->caller_sp;
	}
	return sp;
}
