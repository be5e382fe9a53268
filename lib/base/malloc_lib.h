// SPDX-License-Identifier: MIT
/*
 * The stock allocators that may be preloaded beside us: they take their memory by mmap's public
 * symbol, as glibc's own does not, and so malloc is paged.
 */
#ifndef FL_BASE_MALLOC_LIB_H
#define FL_BASE_MALLOC_LIB_H

#include "base/types.h"

/* What "auto" means; the one place that says so. Why: doc/performance.md, "The allocator". */
#define DEFAULT_MALLOC "libc"

/* Whether @asked means libc's own, paged: no library, but preload/libc_malloc.h. */
bool malloc_is_libc(const char *asked);

struct malloc_lib {
	const char *name, *soname, *package;
};

/*
 * Find the library that @asked means: "auto", a name, a path (with a slash), or "libc", "none" or
 * "system" for no library. @ret_path: PATH_MAX bytes, absolute; "" for none. *ret_known: set with
 * -ENOENT. Return: 0, -ENOENT (known, not installed), or -EINVAL (no such library). Context:
 * thread.
 */
int malloc_lib_find(const char *asked, char *ret_path, const struct malloc_lib **ret_known);

#endif
