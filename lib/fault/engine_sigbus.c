// SPDX-License-Identifier: MIT
/*
 * Engine `sigbus`: the kernel sends the faulting thread SIGBUS instead of a message, and the
 * thread serves its own fault in the handler (preload/signals.c). No thread, no privilege, no
 * wake-up. System calls that meet an absent page get EFAULT: they need the guard.
 */
#include "fault/engines.h"
#include "fault/uffd_abi.h"

static int sigbus_open(void)
{
	return engine_open_uffd(UFFD_FEATURE_SIGBUS | UFFD_FEATURE_PAGEFAULT_FLAG_WP, false);
}

static int sigbus_start(int uffd, const struct engine_sink *sink)
{
	(void)uffd;
	(void)sink;
	return 0;
}

const struct engine_ops engine_sigbus = {
    .name = "sigbus",
    .open = sigbus_open,
    .start = sigbus_start,
};
