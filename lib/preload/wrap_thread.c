// SPDX-License-Identifier: MIT
/*
 * pthread_create: keeps faults deliverable while glibc starts and ends the thread
 * (blocked_window.h). The new thread inherits the mask that its creator has at that moment.
 */
#include <pthread.h>
#include <stdlib.h>

#include "base/sys.h"
#include "pager/pager.h"
#include "preload/altstack.h"
#include "preload/blocked_window.h"
#include "preload/bounce.h"
#include "preload/real.h"

struct start {
	void *(*routine)(void *);
	void *arg;
};

REAL(pthread_create);

RESOLVE_EARLY static void resolve(void)
{
	RESOLVE(pthread_create);
}

static void before_end(void *arg)
{
	(void)arg;
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
	result = start.routine(start.arg);
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

/* Return: 0 or errno. */
static long create(void *arg)
{
	const struct create c = *(struct create *)arg;

	blocked_window_watch();
	int err = real_pthread_create(c.thread, c.attr, run, c.start);
	blocked_window_forget();
	return err;
}

EXPORT int pthread_create(
    pthread_t *thread, const pthread_attr_t *attr, void *(*routine)(void *), void *arg)
{
	if (!real_pthread_create)
		resolve();
	if (!pager_is_running())
		return real_pthread_create(thread, attr, routine, arg);
	struct start *start = malloc(sizeof(*start));
	if (!start)
		return EAGAIN;
	*start = (struct start){.routine = routine, .arg = arg};
	release_stack(attr);
	struct create c = {.thread = thread, .attr = attr, .start = start};
	/* libc blocks all signals, and then reads what it has put on the stack. */
	int err =
	    (int)(on_managed_stack() ? bounce_run(create, &c, (uintptr_t)__builtin_frame_address(0))
	                             : create(&c));
	if (err)
		free(start);
	return err;
}
