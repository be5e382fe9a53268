// SPDX-License-Identifier: MIT
/* Finding the allocator; see malloc_lib.h. */
#include "base/malloc_lib.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct malloc_lib known[] = {
    {"jemalloc", "libjemalloc.so.2", "libjemalloc2"},
    {"mimalloc", "libmimalloc.so.2.0", "libmimalloc2.0"},
};

static const char *const dirs[] = {
    "/usr/lib/x86_64-linux-gnu",
    "/lib/x86_64-linux-gnu",
    "/usr/lib64",
    "/usr/local/lib",
    "/usr/lib",
};

static bool try_file(const char *path, char *ret_path)
{
	return !access(path, R_OK) && realpath(path, ret_path);
}

static bool try_dirs(const char *soname, char *ret_path)
{
	char path[128];

	for (size_t d = 0; d < ARRAY_LEN(dirs); d++) {
		snprintf(path, sizeof(path), "%s/%s", dirs[d], soname);
		if (try_file(path, ret_path))
			return true;
	}
	return false;
}

bool malloc_is_libc(const char *asked)
{
	return !strcmp(strcmp(asked, "auto") ? asked : DEFAULT_MALLOC, "libc");
}

int malloc_lib_find(const char *asked, char *ret_path, const struct malloc_lib **ret_known)
{
	ret_path[0] = '\0';
	if (!strcmp(asked, "auto"))
		asked = DEFAULT_MALLOC;
	if (!strcmp(asked, "none") || !strcmp(asked, "system") || malloc_is_libc(asked))
		return 0;
	for (size_t i = 0; i < ARRAY_LEN(known); i++) {
		if (strcmp(asked, known[i].name) != 0)
			continue;
		*ret_known = &known[i];
		return try_dirs(known[i].soname, ret_path) ? 0 : -ENOENT;
	}
	return strchr(asked, '/') && try_file(asked, ret_path) ? 0 : -EINVAL;
}
