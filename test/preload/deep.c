// SPDX-License-Identifier: MIT
/* A library without an allocator of its own, for prog_plugin.c to open with RTLD_DEEPBIND. */
#include <stdlib.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))

EXPORT void *deep_copy(const void *from, size_t bytes);
EXPORT void deep_free(void *block);

void *deep_copy(const void *from, size_t bytes)
{
	void *block = malloc(bytes);

	return block ? memcpy(block, from, bytes) : NULL;
}

void deep_free(void *block)
{
	free(block);
}
