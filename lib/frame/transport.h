// SPDX-License-Identifier: MIT
/*
 * The `copy` transport: moves pages between pool and program. Adding a translation (map) needs no
 * TLB shootdown; taking one away does, so that is done for many pages by one call.
 */
#ifndef FL_FRAME_TRANSPORT_H
#define FL_FRAME_TRANSPORT_H

#include <sys/uio.h>

#include "base/types.h"
#include "telemetry/telemetry.h"

struct transport {
	int uffd;       /* [const] the userfaultfd of this process */
	int self_mem;   /* [const] /proc/self/mem, -1: cannot be opened */
	bool is_silent; /* threads that wait for a page are woken by the engine, not by its mapping:
	                 * when the fault is counted, so that a program that ends has all of them */
	bool no_vector; /* process_madvise does not work here: one madvise per run */
	struct telemetry *telemetry; /* [const] where shootdowns are counted */
};

void transport_init(struct transport *t, int uffd, struct telemetry *telemetry);
void transport_fini(struct transport *t);

/*
 * Map @nr pages from @vpn with the bytes at @from (@nr pages); write-protected, so that the first
 * write is seen, or not. The pages must not be mapped. Wakes who waits for them, unless is_silent.
 * Return: 0, -EEXIST (already mapped; earlier ones of the run are mapped), or -errno.
 * Context: fault; L1 lock held.
 */
int transport_map(struct transport *t, struct vpn vpn, const void *from, uint32_t nr, bool protect);

/* Write-protect @nr pages from @vpn, or make them writable again. @why: for the counters. Return: 0
 * or -errno. */
int transport_protect(
    struct transport *t, struct vpn vpn, uint32_t nr, bool protect, enum fl_shootdown why);

/* Copy the mapped page @vpn into @to; @no_access: the program made it PROT_NONE.
 * Return: 0 or -errno. */
int transport_read(struct transport *t, struct vpn vpn, void *to, bool no_access);

/* Unmap @nr runs of pages, given as address ranges. @why: for the counters. Return: 0 or -errno. */
int transport_drop(
    struct transport *t, const struct iovec *runs, uint32_t nr, enum fl_shootdown why);

/* Register or unregister a range of mappings with the userfaultfd. Return: 0 or -errno. */
int transport_register(struct transport *t, uintptr_t addr, size_t len);
int transport_unregister(struct transport *t, uintptr_t addr, size_t len);

#endif
