// SPDX-License-Identifier: MIT
/* Cancellation out of a system call of ours. */
#ifndef FL_PRELOAD_UNWIND_H
#define FL_PRELOAD_UNWIND_H

/*
 * Tell the unwinder what the gate page is. Else it takes a thread that is cancelled in there for
 * one without callers, and what they would clean up (a lock of stdio's, a C++ object) stays. Not
 * before it is wanted: from then on the unwinder of GCC 12 and older takes a lock at each throw.
 * Idempotent. Context: thread; takes memory.
 */
void unwind_know_gate(void);

#endif
