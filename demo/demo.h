// SPDX-License-Identifier: MIT
/*
 * What the demos share: a stop where something is not as it should be. A demo prints what it does
 * with the counters of its machine (machine.h) or of its own pager (live.h), and ends with one
 * sentence that begins with "Conclusion:". Exit status 1, with a line on stderr, if anything went
 * wrong.
 */
#ifndef FL_DEMO_DEMO_H
#define FL_DEMO_DEMO_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define KIB 1024ull
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)

/* End the demo unless @cond, a promise of what it shows, holds. */
#define DEMO_ENSURE(cond)                                                    \
	do {                                                                 \
		if (!(cond)) {                                               \
			fprintf(stderr, "demo: does not hold: %s\n", #cond); \
			exit(1);                                             \
		}                                                            \
	} while (0)

/* End of a demo. Return: the exit status. */
static inline int demo_end(void)
{
	return fflush(stdout) || ferror(stdout) ? 1 : 0;
}

#endif
