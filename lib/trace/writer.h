// SPDX-License-Identifier: MIT
/* Writes a trace in Faultline's format through a function of the caller's. One thread. */
#ifndef FL_TRACE_WRITER_H
#define FL_TRACE_WRITER_H

#include "trace/codec.h"

struct trace_sink {
	/* Write all of it. Return: 0 or -errno. */
	int (*write)(void *arg, const void *buf, size_t bytes);
	void *arg;
};

struct trace_writer {
	struct trace_sink sink;
	uint64_t nr;
	struct trace_chunk chunk;
};

/* @header: its constant fields need not be filled in. Return: 0 or -errno. */
int trace_writer_begin(
    struct trace_writer *w, struct trace_sink sink, const struct fl_trace_header *header);
int trace_writer_put(struct trace_writer *w, const struct trace_ref *ref);
/* @nr records had to be left out before the next one. Return: 0 or -errno. */
int trace_writer_lost(struct trace_writer *w, uint32_t nr);
/* Without it the file is one that was cut off. Return: 0 or -errno. */
int trace_writer_end(struct trace_writer *w);

#endif
