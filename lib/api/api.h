// SPDX-License-Identifier: MIT
/* What a process needs that is paged without the preload library: fault handlers, and fork. */
#ifndef FL_API_API_H
#define FL_API_API_H

/* Take SIGBUS and SIGSEGV (what is no fault of ours goes to the handlers found there), and see to
 * forks from now on. Return: 0 or -errno. Context: thread. */
int api_process_begin(void);

#endif
