// SPDX-License-Identifier: MIT
/*
 * RLIMIT_AS and RLIMIT_DATA count the pager's tables too, which are large and mostly not there.
 * What the program asks for is about its own memory: the kernel gets that, and the pager's on top;
 * the hard limit some more, so that the pager can raise the soft one when it needs another table
 * (base/meta.c). What the program asks back is what it asked for.
 */
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/sys.h"
#include "pager/pager.h"
#include "preload/guard.h"
#include "preload/real.h"

/* The libraries that come with the pager, and what a malloc beside libc's reserves. Roughly. */
#define LIBRARY_BYTES ((uint64_t)16 << 20)
/* For tables that are made later: swap's, and the compressed tier's. */
#define LATER_BYTES ((uint64_t)2 << 30)

struct limit {
	uint64_t soft, hard; /* the kernel's struct rlimit64 */
};

/*
 * By resource: what the program has asked for, and what the kernel was given. Without a lock: where
 * two threads set the same limit at once, the kernel's may be reported as it is.
 */
static struct {
	_Atomic uint64_t asked_soft, asked_hard, given_soft, given_hard;
} known[2];

static long kernel_limit(int resource, const struct limit *set, struct limit *ret)
{
	return sys_call4(SYS_prlimit64, 0, resource, (long)set, (long)ret);
}

static uint64_t plus(uint64_t limit, uint64_t more)
{
	return limit > RLIM_INFINITY - more ? RLIM_INFINITY : limit + more;
}

static bool is_same(const struct limit *a, const struct limit *b)
{
	return a->soft == b->soft && a->hard == b->hard;
}

/* What the program takes the limit to be. @now: the kernel's; the pager may have raised it. */
static struct limit view_of(int i, const struct limit *now)
{
	uint64_t soft = atomic_load(&known[i].given_soft), hard = atomic_load(&known[i].given_hard);

	if (!hard || hard != now->hard || now->soft < soft || now->soft - soft > LATER_BYTES)
		return *now;
	return (struct limit){atomic_load(&known[i].asked_soft), atomic_load(&known[i].asked_hard)};
}

/* Return: 0 or -errno. */
static long set_limit(int resource, const struct limit *set, const struct limit *now)
{
	uint64_t own = pager_own_bytes() + LIBRARY_BYTES;
	int i = resource == RLIMIT_DATA;

	if (set->soft > set->hard)
		return -EINVAL;
	struct limit given = {plus(set->soft, own), plus(set->hard, own + LATER_BYTES)};
	/* What is lowered must not need the privilege to raise. */
	if (set->hard <= view_of(i, now).hard)
		given.hard = MIN(given.hard, now->hard);
	given.soft = MIN(given.soft, given.hard);
	long err = kernel_limit(resource, &given, NULL);
	if (err)
		return err;
	atomic_store(&known[i].asked_soft, set->soft);
	atomic_store(&known[i].asked_hard, set->hard);
	atomic_store(&known[i].given_soft, given.soft);
	atomic_store(&known[i].given_hard, given.hard);
	return 0;
}

/* Return: 0 or -errno. */
static long change(int resource, const struct limit *set, struct limit *ret_old)
{
	struct limit now;
	long err = kernel_limit(resource, NULL, &now);

	if (err)
		return err;
	*ret_old = view_of(resource == RLIMIT_DATA, &now);
	/* As it is: not worth the pager's room. */
	return !set || is_same(set, ret_old) ? 0 : set_limit(resource, set, &now);
}

static bool is_counted(int resource)
{
	return (resource == RLIMIT_AS || resource == RLIMIT_DATA) && pager_is_running();
}

/* Return: 0 or -errno. */
static long limit_of(int resource, const struct rlimit *set, struct rlimit *old)
{
	struct limit in, out;

	if (set && guard_copy(&in, set, sizeof(in)))
		return -EFAULT;
	long err = change(resource, set ? &in : NULL, &out);
	return !err && old && guard_copy(old, &out, sizeof(out)) ? -EFAULT : err;
}

REAL(prlimit);
REAL(setrlimit);
REAL(getrlimit);

RESOLVE_EARLY static void resolve(void)
{
	RESOLVE(prlimit);
	RESOLVE(setrlimit);
	RESOLVE(getrlimit);
}

EXPORT int prlimit(
    pid_t pid, __rlimit_resource_t resource, const struct rlimit *set, struct rlimit *old)
{
	if ((pid && pid != getpid()) || !is_counted(resource))
		return NEED(prlimit)(pid, resource, set, old);
	return (int)with_errno(limit_of(resource, set, old));
}

EXPORT int setrlimit(__rlimit_resource_t resource, const struct rlimit *set)
{
	struct limit in, old;

	if (!is_counted(resource))
		return NEED(setrlimit)(resource, set);
	if (guard_copy(&in, set, sizeof(in)))
		return (int)with_errno(-EFAULT);
	return (int)with_errno(change(resource, &in, &old));
}

EXPORT int getrlimit(__rlimit_resource_t resource, struct rlimit *old)
{
	struct limit out;

	if (!is_counted(resource))
		return NEED(getrlimit)(resource, old);
	long err = change(resource, NULL, &out);
	return (int)with_errno(!err && guard_copy(old, &out, sizeof(out)) ? -EFAULT : err);
}

/* The same structures on 64-bit machines. */
EXPORT int prlimit64(
    pid_t pid, __rlimit_resource_t resource, const struct rlimit64 *set, struct rlimit64 *old)
{
	return prlimit(pid, resource, (const struct rlimit *)set, (struct rlimit *)old);
}

EXPORT int setrlimit64(__rlimit_resource_t resource, const struct rlimit64 *set)
{
	return setrlimit(resource, (const struct rlimit *)set);
}

EXPORT int getrlimit64(__rlimit_resource_t resource, struct rlimit64 *old)
{
	return getrlimit(resource, (struct rlimit *)old);
}
