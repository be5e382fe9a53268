// SPDX-License-Identifier: MIT
/* What a process needs that is paged without the preload library: fault handlers, and fork. */
#ifndef FL_API_API_H
#define FL_API_API_H

/* Take SIGBUS and SIGSEGV; what is no fault of ours goes to the handlers found there. Return: 0 or
 * -errno. Context: thread. */
int api_signals_install(void);

/* For pthread_atfork(). A pager that cannot be split is left alone: then the child dies, with a
 * message, of its first touch of managed memory. */
void api_fork_prepare(void);
void api_fork_parent(void);
void api_fork_child(void);

#endif
