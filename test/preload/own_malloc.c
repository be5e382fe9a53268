// SPDX-License-Identifier: MIT
/*
 * A library with an allocator of its own, as some runtimes and plug-ins have: it takes memory from
 * mmap in large pieces, never gives it back, and is bound to itself (-Bsymbolic), whatever malloc
 * the program uses. See prog_plugin.c.
 */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define PIECE ((size_t)4 << 20)

void *plugin_make(size_t bytes, unsigned char value);
void plugin_drop(void *block);

static char *at, *end;

__attribute__((visibility("default"))) void *malloc(size_t bytes)
{
	bytes = (bytes + 31) & ~(size_t)15;
	if ((size_t)(end - at) < bytes) {
		at = mmap(NULL, PIECE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (at == MAP_FAILED)
			return NULL;
		end = at + PIECE;
	}
	char *block = at + 16;
	memcpy(at, "own malloc block", 16);
	at += bytes;
	return block;
}

/* Traps on a block of anybody else's. */
__attribute__((visibility("default"))) void free(void *block)
{
	if (block && memcmp((char *)block - 16, "own malloc block", 16))
		__builtin_trap();
}

__attribute__((visibility("default"))) void *plugin_make(size_t bytes, unsigned char value)
{
	void *block = malloc(bytes);

	return block ? memset(block, value, bytes) : NULL;
}

__attribute__((visibility("default"))) void plugin_drop(void *block)
{
	free(block);
}
