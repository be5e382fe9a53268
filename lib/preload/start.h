// SPDX-License-Identifier: MIT
/* Start-up of the preload library. */
#ifndef FL_PRELOAD_START_H
#define FL_PRELOAD_START_H

/*
 * Start the pager, the signal handlers and the guard, unless that was done (or is being done: then
 * calls pass through). On failure the process ends with one line and status 125: it is never
 * started half managed. Context: thread; cheap when started.
 */
void preload_start(void);

#endif
