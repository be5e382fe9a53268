// SPDX-License-Identifier: MIT
/* What the main program wants from libraries, and what a library has. */
#ifndef FL_PRELOAD_ELF_IMPORT_H
#define FL_PRELOAD_ELF_IMPORT_H

#include <stdbool.h>
#include <stddef.h>

struct link_map;

/* Whether the main program refers to the function or object @name of a library. Looked up anew by
 * each call: a walk through its relocations. Context: any. */
bool elf_imports(const char *name);

/*
 * The function @name of @library, whoever else has one of that name. Unlike dlopen() and dlsym() it
 * takes no memory. Return: where it is, and its bytes in *@ret_size; or NULL. Context: any.
 */
void *elf_function(const struct link_map *library, const char *name, size_t *ret_size);

#endif
