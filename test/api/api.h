// SPDX-License-Identifier: MIT
/* For the programs that test libfaultline: a stop where something is not as it should be. */
#ifndef FL_TEST_API_H
#define FL_TEST_API_H

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "faultline/faultline.h"

#define PAGE 4096ul
#define MIB  (1ul << 20)
#define RW   (PROT_READ | PROT_WRITE)

#define EXPECT(cond)                                                               \
	do {                                                                       \
		if (!(cond)) {                                                     \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #cond); \
			_exit(1);                                                  \
		}                                                                  \
	} while (0)

static inline uint64_t *word(void *at, size_t page)
{
	return (uint64_t *)((char *)at + page * PAGE);
}

static inline struct fl_stats stats(void)
{
	struct fl_stats s;

	EXPECT(!fl_stats(&s));
	return s;
}

/* --- accesses that may fail --- */

extern sigjmp_buf api_back;
extern siginfo_t api_last;

/* Install the handlers; before fl_open(), as the library wants it. */
void api_handlers(void);

/* Access *@p. Return: 0, or the signal that it raised (then api_last tells). */
int api_try(volatile char *p, bool is_write);

/* Run @fn(@arg) in a forked child. Return: its status as from waitpid(). */
int api_in_child(int (*fn)(void *arg), void *arg);

#endif
