// SPDX-License-Identifier: MIT
/*
 * A trapped call whose arguments the table describes: each managed one is replaced by unmanaged
 * memory, the call is made, and what the kernel wrote is copied back. Also: choosing who handles a
 * call, and calls that nothing is known about.
 */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "base/sys.h"
#include "pager/pager.h"
#include "preload/altstack.h"
#include "preload/guard.h"
#include "preload/real.h"
#include "preload/signals.h"

/* Retries of a call on touched pages: each needs the page to be taken away in between. */
#define MAX_RETRIES 1000
/* The most that a length may say; above it the kernel would fail or stop short as well. */
#define MAX_BUF ((size_t)INT_MAX & ~PAGE_MASK)
/* How long calls under way may take to get to where they sleep. Guess. */
#define SETTLE_MS 100

struct plain {
	const struct guard_trap *trap;
	const struct guard_arg *arg;
	struct bounce bounce;
	long real[NR_ARGS];   /* what the kernel gets */
	size_t size[NR_ARGS]; /* bytes of the bounce memory */
};

static void count(_Atomic uint64_t *counter)
{
	atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

/* The value of a length argument that is itself a pointer. Return: bytes, @max at most, 0 for any,
 * or -EFAULT. */
static long length_at(const struct guard_trap *t, unsigned arg, size_t max)
{
	socklen_t len;

	if (guard_copy(&len, (const void *)t->args[arg], sizeof(len)))
		return -EFAULT;
	return (long)MIN((size_t)len, max ?: MAX_BUF);
}

/* Bytes that argument @i needs. Return: bytes, or -errno. */
static long arg_bytes(const struct plain *p, int i)
{
	const struct guard_arg *a = &p->arg[i];
	unsigned long n = (unsigned long)p->trap->args[a->len];

	switch (a->kind) {
	case ARG_IN_BUF:
	case ARG_INOUT_BUF:
	case ARG_OUT_BUF:
	case ARG_POLLFDS:
		/* Counts are ints or size_t; a negative one the kernel shall refuse itself. */
		if (a->size > 1 && (int)n < 0)
			return 0;
		if (a->size > 1)
			n = (unsigned)n;
		return (long)(n > MAX_BUF / a->size ? MAX_BUF : n * a->size);
	case ARG_OUT_LEN:
		return length_at(p->trap, a->len, a->size);
	default:
		return a->size;
	}
}

/* Replace managed argument @i. Return: 0 or -errno. */
static int arg_prepare(struct plain *p, int i)
{
	enum arg_kind kind = p->arg[i].kind;
	const void *user = (const void *)p->trap->args[i];
	long bytes = arg_bytes(p, i);

	if (bytes < 0)
		return (int)bytes;
	p->size[i] = (size_t)bytes;
	void *mem = bounce_alloc(&p->bounce, MAX(p->size[i], sizeof(uint64_t)) + 1);
	if (!mem)
		return -ENOMEM;
	p->real[i] = (long)mem;
	if (kind == ARG_STRING) {
		/* Too long: the kernel shall see that it is, and say its own error. */
		long len = guard_copy_string(mem, user, p->size[i] + 1);
		return len == -EFAULT ? -EFAULT : 0;
	}
	if (kind == ARG_SIGSET) {
		uint64_t set;

		if (guard_copy(&set, user, sizeof(set)))
			return -EFAULT;
		set &= ~SIGNALS_KEPT;
		memcpy(mem, &set, sizeof(set));
		return 0;
	}
	/* Some socket options read what they are about to write: not all of it need be there. */
	if (kind != ARG_OUT_BUF && guard_copy(mem, user, p->size[i]) && kind != ARG_OUT_LEN)
		return -EFAULT;
	return 0;
}

/* What the program changes in the others while it waits shall stay. Return: 0 or -EFAULT. */
static int hand_back_events(struct pollfd *user, const struct pollfd *real, size_t nr)
{
	for (size_t i = 0; i < nr; i++)
		if (guard_copy(&user[i].revents, &real[i].revents, sizeof(real[i].revents)))
			return -EFAULT;
	return 0;
}

/* Copy back what the kernel wrote. Return: 0 or -EFAULT. */
static int arg_finish(struct plain *p, int i, long result)
{
	const struct guard_arg *a = &p->arg[i];
	size_t bytes = 0;

	switch (a->kind) {
	case ARG_INOUT:
	case ARG_INOUT_BUF:
		bytes = p->size[i];
		break;
	case ARG_POLLFDS:
		return hand_back_events((struct pollfd *)p->trap->args[i],
		    (const struct pollfd *)p->real[i], p->size[i] / sizeof(struct pollfd));
	case ARG_OUT_BUF:
		if (result > 0)
			bytes = MIN(p->size[i], (size_t)result * a->size);
		break;
	case ARG_OUT_LEN:
		if (result >= 0) {
			socklen_t len;

			memcpy(&len, (const void *)p->real[a->len], sizeof(len));
			bytes = MIN(p->size[i], len);
		}
		break;
	default:
		break;
	}
	return guard_copy((void *)p->trap->args[i], (const void *)p->real[i], bytes) ? -EFAULT : 0;
}

static bool is_replaced(const struct plain *p, int i)
{
	return p->arg[i].kind != ARG_VALUE && p->arg[i].kind != ARG_UNKNOWN &&
	       p->arg[i].kind != ARG_SPECIAL && in_window((uintptr_t)p->trap->args[i]);
}

static int prepare_all(struct plain *p)
{
	for (int i = 0; i < NR_ARGS; i++) {
		p->real[i] = p->trap->args[i];
		if (!is_replaced(p, i))
			continue;
		int err = arg_prepare(p, i);
		if (err)
			return err;
	}
	return 0;
}

long guard_with(const struct guard_trap *t, const struct guard_arg arg[NR_ARGS])
{
	struct plain p = {.trap = t, .arg = arg};
	long result = bounce_begin(&p.bounce, t->sp, t->stack);

	if (result)
		return result;
	result = prepare_all(&p);
	if (result)
		goto out;
	result = sys_call6(t->nr, p.real[0], p.real[1], p.real[2], p.real[3], p.real[4], p.real[5]);
	for (int i = 0; i < NR_ARGS; i++)
		if (is_replaced(&p, i) && arg_finish(&p, i, result) && result >= 0)
			result = -EFAULT;
out:
	bounce_end(&p.bounce);
	return result;
}

long guard_plain(const struct guard_trap *t)
{
	return guard_with(t, guard_info(t->nr)->arg);
}

/* Make the start of each managed argument present. Return: whether any could be. */
static bool touch_args(const struct guard_trap *t)
{
	bool any = false;

	for (int i = 0; i < NR_ARGS; i++) {
		uintptr_t addr = (uintptr_t)t->args[i];

		if (!in_window(addr))
			continue;
		any |= guard_touch_write(addr) || guard_touch_read(addr);
		/* The structure may reach into the next page. */
		if (!guard_touch_write(addr + PAGE_BYTES))
			guard_touch_read(addr + PAGE_BYTES);
	}
	return any;
}

long guard_unknown(const struct guard_trap *t)
{
	long result = -EFAULT;

	if (pager_is_running())
		count(&pager_counters()->pinned_calls);
	for (int i = 0; i < MAX_RETRIES && result == -EFAULT; i++) {
		bool any = touch_args(t);

		result = sys_call6(
		    t->nr, t->args[0], t->args[1], t->args[2], t->args[3], t->args[4], t->args[5]);
		if (!any)
			break;
	}
	return result;
}

static bool has_unknown(const struct guard_trap *t, const struct guard_info *info)
{
	for (int i = 0; i < NR_ARGS; i++)
		if (info->arg[i].kind == ARG_UNKNOWN && in_window((uintptr_t)t->args[i]))
			return true;
	return false;
}

static _Atomic bool passes_through;
/* Threads in guarded calls, asleep in them or not; those that were left by a jump count on. */
static _Atomic uint32_t nr_inside;

void guard_pass_through(void)
{
	atomic_store(&passes_through, true);
	/* A thread that came before makes calls of ours still, until it is asleep in its own. */
	for (int ms = 0; ms < SETTLE_MS && atomic_load(&nr_inside); ms++)
		sys_sleep(1000000);
}

/* What must be emulated all the same. */
static bool is_ours(enum guard_special what)
{
	return what == SPECIAL_SIGNAL || what == SPECIAL_EXEC || what == SPECIAL_CLONE;
}

static long guarded(struct guard_trap *t, const struct guard_info *info)
{
	switch (info->special) {
	case SPECIAL_NONE:
		return has_unknown(t, info) ? guard_unknown(t) : guard_plain(t);
	case SPECIAL_IO:
		return guard_io(t);
	case SPECIAL_MSG:
		return guard_msg(t);
	default:
		return guard_special(t, info->special);
	}
}

long guard_dispatch(struct guard_trap *t)
{
	const struct guard_info *info = guard_info(t->nr);

	if (UNLIKELY(atomic_load_explicit(&passes_through, memory_order_relaxed)) &&
	    !is_ours(info->special))
		return sys_call6(
		    t->nr, t->args[0], t->args[1], t->args[2], t->args[3], t->args[4], t->args[5]);
	if (pager_is_running())
		count(&pager_counters()->guard_calls);
	atomic_fetch_add(&nr_inside, 1);
	long result = guarded(t, info);
	atomic_fetch_sub(&nr_inside, 1);
	return result;
}

static long dispatch(void *trap)
{
	return guard_dispatch(trap);
}

long guard_call(long nr, long a, long b, long c, long d, long e, long f)
{
	struct guard_trap t = {.nr = nr, .args = {a, b, c, d, e, f}};

	t.sp = (uintptr_t)&t;
	t.stack = altstack_tag(t.sp);
	if (UNLIKELY(on_managed_stack()))
		return bounce_run(dispatch, &t, (uintptr_t)__builtin_frame_address(0));
	return guard_dispatch(&t);
}

long guard_call_cancellable(long nr, long a, long b, long c, long d, long e, long f)
{
	int type;

	pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, &type);
	long result = guard_call(nr, a, b, c, d, e, f);
	pthread_setcanceltype(type, NULL);
	return with_errno(result);
}
