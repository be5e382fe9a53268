// SPDX-License-Identifier: MIT
/*
 * How the preload library and its malloc get into the program: finding both, and the environment
 * that carries them and the options.
 */
#ifndef FL_CLI_INJECT_H
#define FL_CLI_INJECT_H

#include <limits.h>

#include "options.h"

struct inject {
	char library[PATH_MAX];
	char malloc_lib[PATH_MAX];     /* "": none */
	char prefix[2 * PATH_MAX + 1]; /* what we put before the user's own LD_PRELOAD */
	char *preload;                 /* the whole LD_PRELOAD, on the heap */
};

/* Return: STATUS_GO_ON, or STATUS_FAILED after a message. */
int inject_find(const struct options *options, struct inject *ret_inject);
void inject_fini(struct inject *inject);

/*
 * The program's environment: ours, less what concerns only this command, with the options as they
 * were decided. @telemetry: path of the counters. @with_preload: put LD_PRELOAD in.
 * Return: a NULL-terminated array for env_free(), or NULL for lack of memory.
 */
char **inject_environment(const struct inject *inject, const struct options *options,
    const char *engine, const char *swap_dir, const char *telemetry, bool with_preload);
void env_free(char **env);

#endif
