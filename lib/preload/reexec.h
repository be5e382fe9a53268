// SPDX-License-Identifier: MIT
/*
 * Preloaded by hand, without the CLI, nobody has put the allocator beside us that FAULTLINE_MALLOC
 * asks for. Symbols are bound by the time our code runs, so the one way to add it is to start the
 * program over.
 */
#ifndef FL_PRELOAD_REEXEC_H
#define FL_PRELOAD_REEXEC_H

/*
 * Start this program again, the same process, arguments and environment, with the allocator that
 * FAULTLINE_MALLOC names in LD_PRELOAD, unless there is one, or none is wanted (libc's own is
 * paged as it is), or this was done (FAULTLINE_PRELOAD is set). Does not return if it does so. If
 * that cannot be done the process ends with one line and status 125.
 * Context: thread, before anything of ours is set up.
 */
void reexec_with_malloc(void);

/* The program as the user called it: without directory. "" if that is not known. */
const char *reexec_program_name(void);

#endif
