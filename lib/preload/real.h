// SPDX-License-Identifier: MIT
/* The functions that ours stand in front of. */
#ifndef FL_PRELOAD_REAL_H
#define FL_PRELOAD_REAL_H

#include <dlfcn.h>
#include <errno.h>

#define EXPORT __attribute__((visibility("default")))

/*
 * A pointer to the next function called @name, found by the file's own resolve(). That runs as a
 * constructor, because dlsym() is not for signal handlers; but other libraries' constructors may
 * come before ours, so NEED() makes up for it.
 */
#define RESOLVE_EARLY __attribute__((constructor(102)))
#define REAL(name)    static __typeof__(name) *real_##name
#define RESOLVE(name) (real_##name = (__typeof__(name) *)dlsym(RTLD_NEXT, #name))
#define NEED(name)    (real_##name ? real_##name : (resolve(), real_##name))

static inline long with_errno(long result)
{
	if (result >= 0)
		return result;
	errno = (int)-result;
	return -1;
}

#endif
