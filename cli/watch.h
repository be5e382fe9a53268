// SPDX-License-Identifier: MIT
/*
 * The telemetry file seen from the CLI: makes it, notices which processes claim records, live and
 * end, and samples their memory from outside.
 */
#ifndef FL_CLI_WATCH_H
#define FL_CLI_WATCH_H

#include "faultline/telemetry.h"
#include "base/types.h"

/* What the CLI knows of a record beyond what stands in it. */
struct watched {
	int dir_fd;   /* its /proc directory: dead with the process, whoever has the pid next */
	bool is_seen; /* the record was filled in */
	bool is_over;
	uint32_t pid;
	uint64_t end_ns;       /* when is_over; else the last time it was seen alive */
	uint64_t outside_peak; /* bytes */
};

struct watch {
	int fd;
	char *map; /* FL_TELEMETRY_BYTES */
	struct watched *list;
	uint32_t nr, room;
	uint32_t *live; /* indices of records not over */
	uint32_t nr_live;
	uint32_t cursor; /* next of `live` to sample */
	bool is_late;    /* attached: the processes were not watched while they ran */
};

/* Make the file, header filled in. @has_rings: faults are recorded. Return: 0 or -errno, with
 * nothing left open. */
int watch_create(struct watch *w, bool has_rings);
/* Look at an existing one. Return: 0, or -errno: -EINVAL when it is no telemetry file. */
int watch_attach(struct watch *w, int fd);
/* Forget everything; closes the descriptor. */
void watch_close(struct watch *w);

struct fl_telemetry *watch_header(const struct watch *w);
/* The record of w->list[@index]. */
struct fl_process *watch_record(const struct watch *w, uint32_t index);

/* Take note of new records, and sample up to @max live processes. */
void watch_sample(struct watch *w, uint32_t max);

/* Process @pid ended at @when_ns, by our own knowledge. */
void watch_ended(struct watch *w, uint32_t pid, uint64_t when_ns);

/* ns from a record's start to its end, or to @now_ns when it lives. */
uint64_t watch_wall_ns(const struct watch *w, uint32_t index, uint64_t now);

#endif
