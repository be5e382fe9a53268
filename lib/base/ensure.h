// SPDX-License-Identifier: MIT
/*
 * ensure(): a broken invariant ends the process with one line, in release builds too. It
 * allocates nothing and may be used in fault context.
 */
#ifndef FL_BASE_ENSURE_H
#define FL_BASE_ENSURE_H

#include "base/types.h"

_Noreturn void ensure_failed(const char *expr, const char *file, int line);

#define ensure(cond)                                              \
	do {                                                      \
		if (UNLIKELY(!(cond)))                            \
			ensure_failed(#cond, __FILE__, __LINE__); \
	} while (0)

#ifdef FL_CHECKED
#define ensure_full(cond) ensure(cond)
#else
#define ensure_full(cond) \
	do {              \
	} while (0)
#endif

#endif
