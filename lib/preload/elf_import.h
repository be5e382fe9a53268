// SPDX-License-Identifier: MIT
/* What the main program wants from libraries. */
#ifndef FL_PRELOAD_ELF_IMPORT_H
#define FL_PRELOAD_ELF_IMPORT_H

#include <stdbool.h>

/* Whether the main program refers to the function or object @name of a library. Looked up anew by
 * each call: a walk through its relocations. Context: any. */
bool elf_imports(const char *name);

#endif
