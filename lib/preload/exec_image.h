// SPDX-License-Identifier: MIT
/*
 * What an exec needs, in unmanaged memory: the kernel reads it with nobody there to serve a fault,
 * and so does libc in the child of posix_spawn(). The environment is completed on the way, so that
 * the next program is paged too.
 */
#ifndef FL_PRELOAD_EXEC_IMAGE_H
#define FL_PRELOAD_EXEC_IMAGE_H

#include "preload/bounce.h"

#define MAX_ARG_BYTES ((size_t)128 << 10) /* the kernel's own limit for one string */

struct exec_image {
	const char *path;
	char **argv;
	char **envp;
};

/*
 * Fill *@ret_image with copies where they are needed, else with what was given. A copy lives until
 * bounce_end(@b), which a successful exec in a vfork child leaves to the parent's later calls.
 * Return: 0, -EFAULT, -E2BIG or -ENOMEM. Context: thread, or a handler of the program.
 */
int exec_image_make(struct bounce *b, const char *path, char *const argv[], char *const envp[],
    struct exec_image *ret_image);

/* Copy one string. Return: the copy with *@ret_err 0, or NULL with -errno there. */
char *exec_image_string(struct bounce *b, const char *string, int *ret_err);

#endif
