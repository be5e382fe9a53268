// SPDX-License-Identifier: MIT
/* The functions that ours stand in front of. */
#ifndef FL_PRELOAD_REAL_H
#define FL_PRELOAD_REAL_H

#include <dlfcn.h>
#include <errno.h>

#define EXPORT __attribute__((visibility("default")))

/* Run before the constructors of the program and of most libraries; start.c uses 101. */
#define RESOLVE_EARLY __attribute__((constructor(102)))

/*
 * A pointer to the next function called @name. Looked up ahead, by a RESOLVE_EARLY function:
 * dlsym() is not for signal handlers. Until then it is NULL, and the caller makes the system call
 * itself.
 */
#define REAL(name)    static __typeof__(name) *real_##name
#define RESOLVE(name) (real_##name = (__typeof__(name) *)dlsym(RTLD_NEXT, #name))

static inline long with_errno(long result)
{
	if (result >= 0)
		return result;
	errno = (int)-result;
	return -1;
}

#endif
