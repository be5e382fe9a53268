// SPDX-License-Identifier: MIT
/* Traces from files and pipes, with a progress bar; files that appear whole or not at all. */
#ifndef FL_CLI_TRACE_FILE_H
#define FL_CLI_TRACE_FILE_H

#include <stdio.h>

#include "replay/page_map.h"
#include "trace/reader.h"

/* A trace with more references is refused: it would not end, or replay could not count it. */
#define TRACE_MAX_REFS   ((uint64_t)1 << 36)
#define TRACE_MAX_STORED ((uint64_t)1 << 29) /* kept in memory: 12 bytes each; guess */

#define TRACE_BATCH 4096u

struct trace_file {
	const char *name;
	int fd;
	uint64_t size; /* 0: unknown */
	struct trace_reader *reader;
	struct page_map map;
	uint64_t limit, nr_refs;

	bool show_progress;
	uint64_t began_ns, shown_ns;

	struct trace_ref batch[TRACE_BATCH];
	uint64_t pages[TRACE_BATCH];
	uint32_t ids[TRACE_BATCH];  /* of the pages */
	uint32_t refs[TRACE_BATCH]; /* sim_ref() of them */
};

/* @name: "-" is stdin. @limit: end after so many references; 0: none. Return: STATUS_GO_ON, or
 * STATUS_FAILED after a message. Close it in both cases. */
int trace_file_open(struct trace_file *t, const char *name, const struct trace_options *options,
    uint64_t limit, bool show_progress);
void trace_file_close(struct trace_file *t);

/* Read the next batch, and number its pages if @number. Return: how many, 0 at the end, or -1 after
 * a message. */
long trace_file_next(struct trace_file *t, bool number);
/* Take the progress bar away. */
void trace_file_progress_done(struct trace_file *t);

/* All of the rest in memory, as sim_ref(). *ret_refs: free() it. Return: as trace_file_open(). */
int trace_file_load(struct trace_file *t, uint32_t **ret_refs);

/* Options that have to do with the trace: their value. Return: STATUS_GO_ON, or STATUS_FAILED after
 * a message. */
int trace_option_format(struct trace_options *o, const char *text);
int trace_option_unit(struct trace_options *o, const char *text);
int trace_option_page_size(struct trace_options *o, const char *text);

/* An output file that gets its name when it is whole. */
struct new_file {
	FILE *f;
	const char *name;
	char temporary[4096];
};

/* "-" is stdout. Return: STATUS_GO_ON, or STATUS_FAILED after a message. */
int new_file_open(struct new_file *n, const char *name);
int new_file_commit(struct new_file *n);
void new_file_abandon(struct new_file *n);

#endif
