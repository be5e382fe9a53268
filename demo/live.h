// SPDX-License-Identifier: MIT
/*
 * For the demos on live faults: programs that link the library, whose every number is what the
 * pager or the kernel counted. FAULTLINE_ENGINE and FAULTLINE_SWAP choose as they do for `faultline
 * run`.
 */
#ifndef FL_DEMO_LIVE_H
#define FL_DEMO_LIVE_H

#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "demo.h"
#include "faultline/faultline.h"

#define DEMO_PAGE 4096ull

static inline uint64_t pages(uint64_t bytes)
{
	return bytes / DEMO_PAGE;
}

/* Page in @ram_bytes from now on, which may be raised to @ram_max_bytes. @policy: NULL for the
 * usual one. */
static inline void live_open_max(uint64_t ram_bytes, uint64_t ram_max_bytes, const char *policy)
{
	const struct fl_options options = {
	    .ram_bytes = ram_bytes,
	    .ram_max_bytes = ram_max_bytes,
	    .policy = policy,
	    .engine = getenv("FAULTLINE_ENGINE"),
	    .swap_dir = getenv("FAULTLINE_SWAP"),
	};
	char why[FL_WHY_BYTES];

	if (fl_open(&options, why, sizeof(why))) {
		fprintf(stderr, "demo: %s\n", why);
		exit(1);
	}
}

static inline void live_open(uint64_t ram_bytes, const char *policy)
{
	live_open_max(ram_bytes, 0, policy);
}

static inline void *live_map(uint64_t bytes)
{
	void *at;

	DEMO_ENSURE(fl_map(bytes, PROT_READ | PROT_WRITE, &at) == 0);
	return at;
}

static inline struct fl_stats live_stats(void)
{
	struct fl_stats s;

	DEMO_ENSURE(fl_stats(&s) == 0);
	return s;
}

/* What page @i of @at says, and how it is made to say it: its first word. */
static inline volatile uint64_t *word_of(void *at, uint64_t i)
{
	return (volatile uint64_t *)((char *)at + i * DEMO_PAGE);
}

/* The sum of the first words of @nr pages. */
static inline uint64_t read_pages(void *at, uint64_t nr)
{
	uint64_t sum = 0;

	for (uint64_t i = 0; i < nr; i++)
		sum += *word_of(at, i);
	return sum;
}

static inline void write_pages(void *at, uint64_t nr, uint64_t value)
{
	for (uint64_t i = 0; i < nr; i++)
		*word_of(at, i) = value + i;
}

/* What write_pages() leaves. */
static inline uint64_t sum_of_pages(uint64_t nr, uint64_t value)
{
	return nr * value + nr * (nr - 1) / 2;
}

/* A number from a line "@name: 123 kB" of a file of /proc, in its unit. */
static inline uint64_t proc_number(const char *path, const char *name)
{
	unsigned long long value = 0;
	char line[256];
	FILE *f = fopen(path, "r");

	DEMO_ENSURE(f);
	while (fgets(line, sizeof(line), f))
		if (!strncmp(line, name, strlen(name)) && line[strlen(name)] == ':')
			sscanf(line + strlen(name) + 1, "%llu", &value);
	fclose(f);
	return value;
}

#endif
