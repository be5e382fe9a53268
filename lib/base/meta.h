// SPDX-License-Identifier: MIT
/*
 * Metadata memory: straight from the kernel, never from malloc, never managed.
 */
#ifndef FL_BASE_META_H
#define FL_BASE_META_H

#include "base/types.h"

/*
 * Reserve @bytes of zeroed memory; pages cost RAM only when touched.
 * Return: the memory, or NULL. Freed by meta_unmap(). Context: any.
 */
void *meta_map(size_t bytes);
void meta_unmap(void *mem, size_t bytes);

/*
 * Where to map @bytes of our own, as a hint to mmap. Without one the kernel would put it into a
 * hole that the program has made, and may fill again without asking (MAP_FIXED). Context: any.
 */
long meta_hint(size_t bytes);

/*
 * One zeroed, page-aligned block of @bytes (a multiple of PAGE_BYTES, at most 64 KiB), cut from
 * larger reservations; never given back. Return: the block, or NULL. Context: fault.
 */
void *meta_block(size_t bytes);

/* Bytes handed out by both. */
size_t meta_bytes(void);

#endif
