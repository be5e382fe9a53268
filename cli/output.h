// SPDX-License-Identifier: MIT
/* The files that -o and --json name. */
#ifndef FL_CLI_OUTPUT_H
#define FL_CLI_OUTPUT_H

#include <stdio.h>

#include "options.h"

/*
 * Open the file of option @id before the program starts, so that a name that does not serve is
 * known in time; with %p in it, only its directory can be tried.
 * *ret_file: NULL when the option is not given or has to wait for the pid.
 * Return: STATUS_GO_ON, or STATUS_FAILED after a message.
 */
int output_prepare(const struct options *options, enum option_id id, FILE **ret_file);

/* Open what had to wait: %p is @pid, %% is %. Return: the file, or NULL after a message. */
FILE *output_open(const char *name, long pid);

#endif
