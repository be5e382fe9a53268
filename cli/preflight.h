// SPDX-License-Identifier: MIT
/*
 * What must hold before anything is started: swap directory and engine.
 */
#ifndef FL_CLI_PREFLIGHT_H
#define FL_CLI_PREFLIGHT_H

#include <limits.h>

#include "fault/probe.h"
#include "options.h"

struct preflight {
	struct probe probe;
	const char *engine;           /* that will be used */
	char swap_dir[PATH_MAX];      /* absolute: programs change their directory */
	char swap_how[PATH_MAX + 40]; /* for the summary, until a process says more */
};

/* Return: STATUS_GO_ON, or STATUS_FAILED after a message. Warns of swap on tmpfs, and of more RAM
 * than is available. */
int preflight_check(const struct options *options, struct preflight *ret_preflight);

/* Say cause and cure of a swap directory that does not serve. @error: errno. Return: STATUS_FAILED.
 */
int complain_swap(const struct options *options, int error);

#endif
