// SPDX-License-Identifier: MIT
/*
 * Finding the program as execvp would, and seeing from its file whether the preload library can
 * get into it. Looks only; starts nothing.
 */
#ifndef FL_CLI_PROGRAM_H
#define FL_CLI_PROGRAM_H

#include <limits.h>

#include "base/types.h"

struct program {
	char path[PATH_MAX]; /* to be executed */
	bool can_preload;
	bool is_foreign; /* !can_preload, and a preloaded library would only draw complaints */
	char why_not[PATH_MAX + 200]; /* !can_preload: "it is statically linked" */
};

/*
 * Find @name, and follow a script to its interpreter.
 * Return: STATUS_GO_ON, or the exit status after a message: not found, not executable.
 */
int program_find(const char *name, struct program *ret_program);

#endif
