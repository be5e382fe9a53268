// SPDX-License-Identifier: MIT
/*
 * What this kernel and user offer. Probes features by trying them, never versions.
 */
#ifndef FL_FAULT_PROBE_H
#define FL_FAULT_PROBE_H

#include "base/types.h"

struct probe {
	bool uffd_user;   /* userfaultfd(UFFD_USER_MODE_ONLY) works */
	bool uffd_kernel; /* ... and also serves faults of system calls */
	int uffd_error;   /* errno of the failure when !uffd_user */
	bool feature_sigbus, feature_wp, feature_wp_async, feature_move, feature_poison;
	bool feature_thread_id, feature_exact_address;
	bool process_madvise; /* vector MADV_DONTNEED on oneself */
	bool seccomp_filter;  /* SECCOMP_SET_MODE_FILTER available */
	bool io_uring;
	int io_uring_error;
	uint64_t max_map_count, memlock_bytes;
	/* Of the swap directory given: */
	bool tmpfile, direct_io, is_tmpfs;
	int dir_error; /* errno of opening a temporary file there */
	uint64_t dir_free_bytes;
};

/* Fill *@ret_probe. @swap_dir may be NULL. Leaves nothing open. Context: thread. */
void probe_machine(const char *swap_dir, struct probe *ret_probe);

/*
 * The engine that @asked ("auto", "sigbus", "uffd") means here.
 * Return: its name, or NULL with @why (256 bytes) saying cause and cure in one line.
 */
const char *probe_engine(const struct probe *p, const char *asked, char *why, size_t why_bytes);

#endif
