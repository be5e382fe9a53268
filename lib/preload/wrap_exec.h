// SPDX-License-Identifier: MIT
/* Programs started by this one: what start-up must tell, and what the guard may ask. */
#ifndef FL_PRELOAD_WRAP_EXEC_H
#define FL_PRELOAD_WRAP_EXEC_H

#include "preload/guard.h"

/*
 * Remember from @env what makes a program paged, so that every program exec'd later gets it too:
 * the FAULTLINE_* variables, and our entries of LD_PRELOAD. Those are the ones listed in
 * FAULTLINE_PRELOAD if that is set; else those whose file name contains "faultline-preload",
 * "jemalloc" or "mimalloc". Without this call environments are passed on as they are.
 * Context: thread, once, early.
 */
void wrap_exec_remember(char **env);

/* Let @fd outlive an exec of this process, but not of its children. Context: thread, once, early.
 */
void wrap_exec_keep_fd(int fd);

/* A trapped execve or execveat. Return: -errno, if at all. Context: as guard_call(). */
long exec_guarded(const struct guard_trap *t);

/* What execvp searches: PATH, or its default. */
const char *exec_search_path(void);
/*
 * The next place where @file may be: *@path is the rest of the search path, moved on, NULL after
 * the last. Return: @candidate (4096 bytes), or NULL.
 */
const char *exec_search_next(const char **path, const char *file, char *candidate);

#endif
