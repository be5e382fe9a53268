// SPDX-License-Identifier: MIT
/* The program's own libc and its malloc, paged without another allocator. */
#ifndef FL_PRELOAD_LIBC_MALLOC_H
#define FL_PRELOAD_LIBC_MALLOC_H

#include <stdbool.h>

/*
 * Lead the calls by which libc itself maps memory to ours, and its malloc away from brk. What it
 * has handed out before stays where it is, unpaged.
 * Return: 0; -ENOSYS (a libc that is not glibc, or has these functions otherwise than expected);
 * -EBUSY (a debugger has a breakpoint there); or what mprotect said (-EACCES, -EPERM: code may not
 * be changed here); then nothing has changed. Context: at start, while there is one thread.
 */
int libc_malloc_take(void);

/* Whether that was done: then libc's fork prepares the pager itself, where it makes the process. */
bool libc_malloc_is_taken(void);

#endif
