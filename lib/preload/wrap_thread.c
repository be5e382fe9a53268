// SPDX-License-Identifier: MIT
/*
 * pthread_create and thrd_create: keep faults deliverable while glibc starts and ends the thread
 * (blocked_window.h). The new thread inherits the mask that its creator has at that moment.
 * pthread_cancel: the first one of a process may be lost on a thread that is on a managed stack;
 * and the unwinder must know the way out of our system calls (unwind.h).
 */
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <threads.h>
#include <unistd.h>

#include "base/ensure.h"
#include "base/sys.h"
#include "pager/pager.h"
#include "preload/altstack.h"
#include "preload/blocked_window.h"
#include "preload/bounce.h"
#include "preload/guard.h"
#include "preload/real.h"
#include "preload/sigframe.h"
#include "preload/start.h"
#include "preload/unwind.h"

struct start {
	void *(*routine)(void *);
	thrd_start_t c11_routine; /* of thrd_create, instead */
	void *arg;
};

REAL(pthread_create);
REAL(thrd_create);
REAL(pthread_cancel);

RESOLVE_EARLY static void resolve(void)
{
	RESOLVE(pthread_create);
	RESOLVE(thrd_create);
	RESOLVE(pthread_cancel);
}

/*
 * What the kernel does with the locks of a thread that has ended, where it would find their pages
 * absent: marks each that the thread still holds, and wakes one who waits. Afterwards it finds
 * none.
 */
static void release_robust(void)
{
	struct robust_list_head *head = NULL;
	size_t bytes;
	struct robust_list *at;
	uint32_t tid = (uint32_t)sys_call0(SYS_gettid);

	if (sys_call3(SYS_get_robust_list, 0, (long)&head, (long)&bytes) || !head)
		return;
	for (int i = 0; i < ROBUST_LIST_LIMIT; i++) {
		if (guard_copy(&at, i ? (void *)at : (void *)&head->list, sizeof(at)))
			return;
		/* Bit 0: a lock with priority inheritance, of which the kernel knows otherwise. */
		bool is_pi = (uintptr_t)at & 1;
		at = (struct robust_list *)((uintptr_t)at & ~1ul);
		if (at == &head->list)
			return;
		uintptr_t word = (uintptr_t)at + (uintptr_t)head->futex_offset;
		if (is_pi || !in_window(word) || !guard_touch_write(word))
			continue;
		_Atomic uint32_t *futex = (_Atomic uint32_t *)word;
		uint32_t value = atomic_load(futex);
		while ((value & FUTEX_TID_MASK) == tid &&
		       !atomic_compare_exchange_weak(
		           futex, &value, (value & FUTEX_WAITERS) | FUTEX_OWNER_DIED))
			;
		if ((value & FUTEX_TID_MASK) == tid && value & FUTEX_WAITERS)
			syscall(SYS_futex, futex, FUTEX_WAKE, 1, NULL, NULL, 0);
	}
}

/* After the program's own: C libraries call destructors in so many rounds. */
static pthread_key_t last_key;

static void at_last(void *round)
{
	uintptr_t nr = (uintptr_t)round;

	if (nr < PTHREAD_DESTRUCTOR_ITERATIONS)
		pthread_setspecific(last_key, (void *)(nr + 1));
	else
		release_robust();
}

static void make_key(void)
{
	ensure(pthread_key_create(&last_key, at_last) == 0);
}

static void before_end(void *arg)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	(void)arg;
	pthread_once(&once, make_key);
	pthread_setspecific(last_key, (void *)1);
	blocked_window_watch();
}

/* However the routine ends (return, pthread_exit, cancellation), glibc's own end comes after. */
static void *run(void *arg)
{
	struct start start = *(struct start *)arg;
	void *result;

	free(arg);
	altstack_thread_start();
	pthread_cleanup_push(before_end, NULL);
	/* As thrd_exit() says it, and thrd_join() reads it. */
	result = start.routine ? start.routine(start.arg)
	                       : (void *)(intptr_t)start.c11_routine(start.arg);
	pthread_cleanup_pop(1);
	return result;
}

/* A stack that the program brings: the kernel builds signal frames there, and glibc starts and ends
 * the thread on it. */
static void release_stack(const pthread_attr_t *attr)
{
	void *addr;
	size_t size;

	if (attr && !pthread_attr_getstack(attr, &addr, &size) && in_window((uintptr_t)addr))
		pager_release((uintptr_t)addr, size);
}

struct create {
	pthread_t *thread;
	const pthread_attr_t *attr;
	struct start *start;
};

/* libc's own two signals: it takes them when it first needs them. */
#define SIGNAL_CANCEL 32
#define SIGNAL_SETXID 33

static long adopt(void *sig)
{
	sigframe_adopt((int)(intptr_t)sig);
	return 0;
}

/* Return: 0 or errno. */
static long create(void *arg)
{
	const struct create c = *(struct create *)arg;
	static _Atomic bool has_adopted;

	release_stack(c.attr);
	blocked_window_watch();
	int err = real_pthread_create(c.thread, c.attr, run, c.start);
	blocked_window_forget();
	if (!err && !atomic_exchange(&has_adopted, true))
		adopt((void *)SIGNAL_SETXID);
	return err;
}

/* Return: 0 or errno. */
static int make(pthread_t *thread, const pthread_attr_t *attr, const struct start *as)
{
	struct start *start = malloc(sizeof(*start));

	if (!start)
		return EAGAIN;
	*start = *as;
	struct create c = {.thread = thread, .attr = attr, .start = start};
	/* libc blocks all signals, and then reads what it has put on the stack. */
	int err =
	    (int)(on_managed_stack() ? bounce_run(create, &c, (uintptr_t)__builtin_frame_address(0))
	                             : create(&c));
	if (err)
		free(start);
	return err;
}

EXPORT int pthread_create(
    pthread_t *thread, const pthread_attr_t *attr, void *(*routine)(void *), void *arg)
{
	if (!real_pthread_create)
		resolve();
	preload_start(); /* before there are two: a library initialised before ours may make one */
	if (!pager_is_running())
		return real_pthread_create(thread, attr, routine, arg);
	struct start start = {.routine = routine, .arg = arg};
	return make(thread, attr, &start);
}

EXPORT int thrd_create(thrd_t *thread, thrd_start_t routine, void *arg)
{
	if (!real_pthread_create)
		resolve();
	preload_start();
	if (!pager_is_running())
		return NEED(thrd_create)(thread, routine, arg);
	struct start start = {.c11_routine = routine, .arg = arg};
	switch (make(thread, NULL, &start)) {
	case 0:
		return thrd_success;
	case ENOMEM:
		return thrd_nomem;
	default:
		return thrd_error;
	}
}

EXPORT int pthread_cancel(pthread_t thread)
{
	static _Atomic bool has_adopted;

	if (pager_is_running())
		unwind_know_gate();
	int err = NEED(pthread_cancel)(thread);

	if (!pager_is_running() || atomic_exchange(&has_adopted, true))
		return err;
	if (on_managed_stack())
		bounce_run(adopt, (void *)SIGNAL_CANCEL, (uintptr_t)__builtin_frame_address(0));
	else
		adopt((void *)SIGNAL_CANCEL);
	return err;
}
