// SPDX-License-Identifier: MIT
/* System call filters of the program's own: they end its paging. See wrap_seccomp.c. */
#ifndef FL_PRELOAD_WRAP_SECCOMP_H
#define FL_PRELOAD_WRAP_SECCOMP_H

/* seccomp(@op, @flags, @args) by the program. Return: as the call, or -errno. Context: thread. */
long seccomp_set(unsigned op, unsigned flags, long args);

#endif
