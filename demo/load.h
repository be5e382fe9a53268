// SPDX-License-Identifier: MIT
/* A program with a working set of a given size, and what it does in a while; drawn. */
#ifndef FL_DEMO_LOAD_H
#define FL_DEMO_LOAD_H

#include <math.h>
#include <time.h>

#include "live.h"

static inline double seconds_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

struct pace {
	double seconds;
	uint64_t nr_touches;
	struct fl_stats from, to;
};

/* Touch pages of the first @nr_pages of @at at random, every fourth time with a write, for so long.
 */
static inline struct pace run_load(void *at, uint64_t nr_pages, double seconds)
{
	static uint64_t random = 88172645463325252ull;
	struct pace p = {.from = live_stats()};
	double start = seconds_now();

	do {
		for (int i = 0; i < 32; i++) {
			random ^= random << 13;
			random ^= random >> 7;
			random ^= random << 17;
			volatile uint64_t *word = word_of(at, random % nr_pages);

			if (random >> 62)
				(void)*word;
			else
				*word += 1;
		}
		p.nr_touches += 32;
		p.seconds = seconds_now() - start;
	} while (p.seconds < seconds);
	p.to = live_stats();
	return p;
}

static inline double per_second(const struct pace *p, uint64_t from, uint64_t to)
{
	return (double)(to - from) / p->seconds;
}

static inline double touches_per_second(const struct pace *p)
{
	return (double)p->nr_touches / p->seconds;
}

static inline double stall_percent(const struct pace *p)
{
	return 100 * per_second(p, p->from.stall_ns, p->to.stall_ns) / 1e9;
}

static inline double disk_mib_per_second(const struct pace *p)
{
	return (per_second(p, p->from.swap_read_bytes, p->to.swap_read_bytes) +
	           per_second(p, p->from.swap_written_bytes, p->to.swap_written_bytes)) /
	       (double)MIB;
}

#define BAR_WIDTH 36

/* @value on a logarithmic scale from 10^3 to 10^8. */
static inline void print_bar(double value)
{
	double length = (log10(value > 1 ? value : 1) - 3) / 5 * BAR_WIDTH;

	for (int i = 0; i < BAR_WIDTH; i++)
		fputs(i < length ? "█" : " ", stdout);
}

static inline void print_pace_head(const char *first)
{
	printf("%-22s %-*s %10s %9s %6s %9s\n", first, BAR_WIDTH,
	    "touches a second: 1e3 .. 1e8, log. scale", "touches/s", "faults/s", "stall", "disk");
}

static inline void print_pace(const char *what, const struct pace *p)
{
	printf("%-22s ", what);
	print_bar(touches_per_second(p));
	printf(" %10.0f %9.0f %4.0f %% %5.0f MiB/s\n", touches_per_second(p),
	    per_second(p, p->from.major, p->to.major), stall_percent(p), disk_mib_per_second(p));
	fflush(stdout);
}

#endif
