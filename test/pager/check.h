// SPDX-License-Identifier: MIT
/* For the programs here that run under the command and check themselves. */
#ifndef FL_TEST_CHECK_H
#define FL_TEST_CHECK_H

#include <errno.h>
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

#endif
