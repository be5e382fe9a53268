// SPDX-License-Identifier: MIT
/* The summary of a program that was preloaded without the CLI. */
#ifndef FL_PRELOAD_REPORT_H
#define FL_PRELOAD_REPORT_H

#include "base/types.h"

/*
 * Make the shared counters that `faultline run` would have made, for this process and all it
 * starts. @ret_path (at least 64 bytes): where they are opened; "" if that cannot be done: then
 * there is no summary. Context: thread, may be inside the allocator: no malloc.
 */
void report_prepare(char *ret_path, size_t path_bytes);

/* At the end of the process that made them: let `faultline report` print the summary.
 * Context: thread. */
void report_at_exit(void);

#endif
