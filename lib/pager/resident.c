// SPDX-License-Identifier: MIT
/*
 * Programs whose devices or kernel threads read and write memory behind the system calls that the
 * guard sees: their own io_uring and libaio. A transfer there meets an absent page (EFAULT), or is
 * under way when the pager takes the page away, and its bytes are lost. Which memory they will
 * use, and when, cannot be known. So from the first set-up on such a process is not paged: what it
 * has leaves management, its bytes in place, and nothing new enters. What it then holds counts as
 * outside, and the report says why.
 */
#include "base/sys.h"
#include "fault/engine.h"
#include "pager/internal.h"
#include "pager/mapping.h"

#define SETTLE_MS 100 /* guess */

/* Whoever is inside the pager gets out: nothing that comes after is to meet calls of theirs. */
static void settle(void)
{
	uint64_t mask = sys_signals_block(false);

	pager_stop();
	pager_go_on();
	sys_signals_restore(mask);
	for (int ms = 0; ms < SETTLE_MS && !engine_is_idle(); ms++)
		sys_sleep(1000000);
}

int pager_stay_resident(uint32_t why)
{
	if (!pg.running)
		return 0;
	/* Under the map lock: a mapping call under way is done before, and later ones see it. */
	uint64_t mask = mapping_begin(0, 0);
	atomic_fetch_or(&pg.telemetry.p->resident_why, why);
	atomic_store(&pg.stays_resident, true);
	mapping_end(mask, 0);
	/* Not only for the first caller: a second one must not go on before all is there. */
	int err = pager_release(WINDOW_START, WINDOW_END - WINDOW_START);
	if (!err)
		settle();
	return err;
}
