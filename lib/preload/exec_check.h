// SPDX-License-Identifier: MIT
/* Whether a program about to be started will be paged. */
#ifndef FL_PRELOAD_EXEC_CHECK_H
#define FL_PRELOAD_EXEC_CHECK_H

#include "base/types.h"

/*
 * Whether the file that execveat(@dir_fd, @path, @flags) would start, or its interpreter, cannot
 * be preloaded: it is static, setuid, or of another kind of machine or C library. False where that
 * cannot be seen. @path is unmanaged. Context: any, also the child of a vfork.
 */
bool exec_is_unmanaged(int dir_fd, const char *path, int flags);

#endif
