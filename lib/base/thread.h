// SPDX-License-Identifier: MIT
/*
 * Threads that the C library knows nothing of: the pager's own. They are started in fault context
 * and inside fork, where pthread_create (malloc, locks) may not be called. They run with all
 * signals blocked, never touch managed memory and never call what needs per-thread C library
 * state beyond zero-initialised variables.
 */
#ifndef FL_BASE_THREAD_H
#define FL_BASE_THREAD_H

#include "base/types.h"

/*
 * Run @fn(@arg) on a thread of its own, for as long as the process lives. @name: at most 15
 * characters. Return: its thread id, or -errno. Context: any.
 */
int thread_start(void (*fn)(void *arg), void *arg, const char *name);

#endif
