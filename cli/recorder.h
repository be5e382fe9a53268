// SPDX-License-Identifier: MIT
/*
 * `--trace FILE`: takes the faults of every process out of its ring in the telemetry file and
 * writes them to a trace. The first process that faults has FILE; others, and what a process
 * becomes by exec, have FILE.PID (FILE.PID.2, ...), if they fault at all. So a trace is whole
 * however its process ended.
 */
#ifndef FL_CLI_RECORDER_H
#define FL_CLI_RECORDER_H

#include <stdio.h>

#include "watch.h"

struct recording;

struct recorder {
	const char *name;       /* NULL: nothing is recorded */
	FILE *first;            /* FILE, opened in time; NULL: taken */
	struct recording *list; /* by index of the record */
	uint32_t nr;
	uint64_t nr_records, nr_lost, nr_files;
	bool has_failed;
};

/* @first: FILE, opened. */
void recorder_init(struct recorder *r, const char *name, FILE *first);
/* Write what there is. Often: a ring holds FL_TRACE_SLOTS faults. */
void recorder_run(struct recorder *r, const struct watch *w);
/* Everything that is left, and the ends of the files. Processes that live on are cut off here. */
void recorder_finish(struct recorder *r, const struct watch *w);

#endif
