// SPDX-License-Identifier: MIT
/* For the programs here that run under the command and check themselves. */
#ifndef FL_TEST_CHECK_H
#define FL_TEST_CHECK_H

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define CHECK(cond)                                                                              \
	do {                                                                                     \
		if (!(cond)) {                                                                   \
			fprintf(stderr, "%s:%d: %s (errno %d: %s)\n", __FILE__, __LINE__, #cond, \
			    errno, strerror(errno));                                             \
			_exit(1);                                                                \
		}                                                                                \
	} while (0)

/* The same numbers in each run (xorshift64). */
static inline uint64_t random_below(uint64_t end)
{
	static uint64_t seed = 88172645463325252u;

	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (seed >> 20) % end;
}

#endif
