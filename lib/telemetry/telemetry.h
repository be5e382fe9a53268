// SPDX-License-Identifier: MIT
/*
 * This process's counters: a record in the CLI's shared memory, or a private one. See
 * faultline/telemetry.h for the layout.
 */
#ifndef FL_TELEMETRY_TELEMETRY_H
#define FL_TELEMETRY_TELEMETRY_H

#include "base/types.h"
#include "faultline/telemetry.h"

/* What happened to a page, for the event ring. */
enum page_event {
	EVENT_ZERO_FILL = 1, /* NONE -> MAPPED */
	EVENT_REFILL,        /* HELD -> MAPPED */
	EVENT_DIRTY,         /* first write to a clean page */
	EVENT_READ_BEGIN,    /* SWAPPED -> READING */
	EVENT_READ_DONE,     /* READING -> MAPPED */
	EVENT_HOLD,          /* MAPPED -> HELD */
	EVENT_EVICT_CLEAN,   /* -> SWAPPED, nothing written */
	EVENT_EVICT_DIRTY,   /* -> SWAPPED, written to the slot */
	EVENT_EVICT_ZERO,    /* -> NONE */
	EVENT_DISCARD,       /* munmap, DONTNEED */
	EVENT_MOVE,          /* mremap: now at this vpn */
	EVENT_READ_ERROR,
};

struct telemetry {
	struct fl_process *p;        /* [const] never NULL after telemetry_open() */
	struct fl_telemetry *header; /* NULL: private */
	struct fl_trace_ring *ring;  /* NULL: faults are not recorded */
	int fd;                      /* the shared memory, or -1 */
};

/*
 * Claim a record in the file @path, or a private one if @path is empty or cannot be opened.
 * Return: 0 or -ENOMEM. Context: thread.
 */
int telemetry_open(struct telemetry *t, const char *path);

/* In a forked child: claim a record of its own; the caller sets its state. Context: fault. */
int telemetry_after_fork(struct telemetry *t, const char *path);

/*
 * The program @path is started unpaged: count it and note its name; @has_failed: it was not, after
 * all. Context: any, also the child of a vfork.
 */
void telemetry_unmanaged_exec(struct telemetry *t, const char *path, bool has_failed);

#define COUNT(t, field, n) \
	atomic_fetch_add_explicit(&(t)->p->field, (uint64_t)(n), memory_order_relaxed)

void hist_add(struct fl_hist *h, uint64_t ns);
void event_log(struct telemetry *t, enum page_event what, struct vpn vpn, uint64_t ref);

enum stall_kind {
	STALL_READ, /* for a read, its own or another thread's, or for a page on its way out */
	STALL_ROOM, /* for a place to map the page, or an entry of the trap TLB */
};

/*
 * Stall clocks, as in the kernel's pressure stall information: "some" runs while at least one
 * thread waits for a page, "full" while every thread that had a fault in the last 100 ms does.
 * @thread: the id of who waits, if another serves it; 0: the calling one. Context: fault.
 */
void stall_begin(struct telemetry *t, uint32_t thread, uint64_t now, enum stall_kind kind);
void stall_end(struct telemetry *t, uint32_t thread, uint64_t now, enum stall_kind kind);

/* Threads that wait or waited in the last 100 ms: for either; for reads. At the last change.
 * Context: any. */
uint32_t stall_nr_active(void);
uint32_t stall_nr_reading(void);

/*
 * Anonymous memory of this process (RssAnon) less what is resident of the managed: note the peak.
 * @statm_fd: /proc/self/statm, open, or -1. Context: any.
 */
void telemetry_sample_outside(struct telemetry *t, int statm_fd);

#endif
