// SPDX-License-Identifier: MIT
/*
 * How much anonymous memory lies outside pool and window, sampled from inside, where no CLI
 * watches. A thread of its own does it: memory outside grows without any call or fault that the
 * pager sees. It takes no lock and no managed memory, and so fork need not stop it.
 */
#include <fcntl.h>
#include <sys/syscall.h>

#include "base/sys.h"
#include "base/thread.h"
#include "pager/internal.h"

/* As the CLI samples. One sample costs 2 us. */
#define SAMPLE_NS 20000000

static int statm_fd = -1; /* stays open: another one could take a number the program expects */

static void sample(void)
{
	struct telemetry *t = &pg.telemetry;

	pager_publish(false);
	telemetry_sample_outside(t, statm_fd);
	atomic_store_explicit(&t->p->sampled_ns, now_ns(), memory_order_relaxed);
}

static void sample_thread(void *arg)
{
	(void)arg;
	for (;;) {
		sample();
		sys_sleep(SAMPLE_NS);
	}
}

int sample_start(void)
{
	if (!pg.config.samples_outside)
		return 0;
	if (statm_fd >= 0) /* the parent's */
		sys_call1(SYS_close, statm_fd);
	long fd =
	    sys_call4(SYS_openat, AT_FDCWD, (long)"/proc/self/statm", O_RDONLY | O_CLOEXEC, 0);
	statm_fd = fd < 0 ? -1 : sys_fd_move_high((int)fd);
	if (fd < 0)
		return 0; /* no /proc: no such statistics */
	int tid = thread_start(sample_thread, NULL, "faultline-stat");
	return tid < 0 ? tid : 0;
}

bool sample_owns_fd(int fd)
{
	return fd == statm_fd;
}
