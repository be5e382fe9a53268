// SPDX-License-Identifier: MIT
/* The summary of a program that was preloaded without the CLI. */
#ifndef FL_PRELOAD_REPORT_H
#define FL_PRELOAD_REPORT_H

#include "base/types.h"

/*
 * Make the shared counters that `faultline run` would have made, for this process and all it
 * starts; or take over those that this process made before an exec (FAULTLINE_TELEMETRY names
 * them). @ret_path (at least 64 bytes): where they are opened; "" if that cannot be done: then
 * there is no summary. Context: thread, may be inside the allocator: no malloc.
 * Return: the program's name in the report, for FAULTLINE_PROGRAM of all that it starts; NULL where
 * the CLI made the counters, and watches and reports this process.
 */
const char *report_prepare(char *ret_path, size_t path_bytes);

/*
 * The process ends with @status: final samples, and where it made the counters, `faultline report`
 * prints the summary. Context: thread.
 */
void report_at_exit(int status);

#endif
