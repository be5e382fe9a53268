// SPDX-License-Identifier: MIT
/* A library with functions that are called as some of libc's, as allocators have them, and that are
 * not to be taken for those. */
#include <stddef.h>
#include <stdlib.h>

#define PUBLIC __attribute__((visibility("default")))

void *__libc_malloc(size_t bytes);
void __libc_free(void *block);

PUBLIC void *__libc_malloc(size_t bytes)
{
	(void)bytes;
	abort();
}

PUBLIC void __libc_free(void *block)
{
	(void)block;
	abort();
}
