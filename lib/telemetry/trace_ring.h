// SPDX-License-Identifier: MIT
/*
 * Reference traces of a live process: every fault goes into a ring in the shared memory, from which
 * the CLI takes it and writes it to a file. Any number of threads put, one process takes. Nobody
 * waits: where the ring is full, records are dropped and counted.
 */
#ifndef FL_TELEMETRY_TRACE_RING_H
#define FL_TELEMETRY_TRACE_RING_H

#include "base/types.h"
#include "faultline/telemetry.h"

struct trace_event {
	uint64_t time_ns; /* CLOCK_MONOTONIC */
	uint64_t page;
	uint64_t latency_ns;
	uint32_t thread;
	uint8_t kind; /* enum fl_trace_kind */
	bool is_write;
};

/* Context: fault. */
void trace_ring_put(struct fl_trace_ring *ring, const struct trace_event *event);

/*
 * The oldest record, which is then gone. @is_over: its process is dead, and so one that a thread
 * has begun and not finished never will be: it is passed over and counted as lost.
 * Return: false: there is none yet.
 */
bool trace_ring_take(struct fl_trace_ring *ring, bool is_over, struct trace_event *ret);

#endif
