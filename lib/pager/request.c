// SPDX-License-Identifier: MIT
/*
 * `faultline ram`: another process asks for more or less RAM, through the telemetry record, which
 * only this user can open. A thread of its own waits for that, and is there only if RAM may change
 * (--ram-max): to take frames away may last long.
 */
#include <linux/futex.h>
#include <sys/syscall.h>

#include "base/sys.h"
#include "base/thread.h"
#include "pager/internal.h"

/* Across processes, so not one of base/lock.h. */
static void bell_wait(_Atomic uint32_t *bell, uint32_t seen)
{
	sys_call6(SYS_futex, (long)bell, FUTEX_WAIT, seen, 0, 0, 0);
}

static void bell_ring(_Atomic uint32_t *bell)
{
	atomic_fetch_add(bell, 1);
	sys_call6(SYS_futex, (long)bell, FUTEX_WAKE, INT32_MAX, 0, 0, 0);
}

static void request_thread(void *arg)
{
	struct fl_process *p = arg;

	for (;;) {
		uint32_t seen = atomic_load(&p->ram_bell);
		uint64_t request = atomic_load(&p->ram_request);

		if (request == atomic_load(&p->ram_answered)) {
			bell_wait(&p->ram_bell, seen);
			continue;
		}
		int err = pager_set_ram(fl_ram_request_frames(request) << PAGE_SHIFT);
		atomic_store(&p->ram_result, err);
		atomic_store(&p->ram_answered, request);
		bell_ring(&p->ram_bell);
	}
}

int request_start(void)
{
	struct fl_process *p = pg.telemetry.p;

	if (!pg.config.takes_requests || !pg.telemetry.header || !pg.config.ram_max_bytes ||
	    pg.config.is_exact || tlb_is_on())
		return 0;
	atomic_store(&p->ram_max_bytes, (uint64_t)pg.frames.nr_frames << PAGE_SHIFT);
	int tid = thread_start(request_thread, p, "faultline-ram");
	return tid < 0 ? tid : 0;
}
