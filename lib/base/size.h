// SPDX-License-Identifier: MIT
/* Sizes and numbers as users write them. */
#ifndef FL_BASE_SIZE_H
#define FL_BASE_SIZE_H

#include "base/types.h"

/*
 * Parse "67108864", "64M", "64m", "1.5G", "64MiB": K, M, G, T are powers of 1024.
 * Return: 0, -EINVAL (not a size), or -ERANGE (does not fit). Context: any.
 */
int size_parse(const char *text, uint64_t *ret_bytes);

#endif
