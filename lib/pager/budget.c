// SPDX-License-Identifier: MIT
/*
 * More or less RAM while the program runs. The pager starts with as many frames as RAM may ever
 * have, and keeps places back; of the pool nothing goes. To give is to return places, to take is to
 * reclaim them as a fault would. The policy knows only the largest RAM: one that divides it into
 * parts (2Q, S3-FIFO, CLOCK-Pro) divides that.
 */
#include <errno.h>
#include <sys/syscall.h>

#include "base/sys.h"
#include "pager/internal.h"
#include "pager/mapping.h"

#define MAX_IDLE 200 /* tries of a millisecond without a place to be had */

/* Keep @want places back that may be in use. Return: how many were had. */
static uint32_t withhold(uint32_t want)
{
	uint32_t taken = 0;

	for (int idle = 0; taken < want && idle < MAX_IDLE;) {
		uint32_t nr = places_take(&pg.frames, want - taken);

		atomic_fetch_add(&pg.withheld, nr);
		taken += nr;
		if (nr || share_trim() || reclaim_batch() || writeback_run()) {
			idle = 0;
			continue;
		}
		/* Others take what becomes free, too; and what is locked may need the tier's. */
		share_yield();
		idle++;
		sys_sleep(1000000);
	}
	return taken;
}

static void give_back(uint32_t nr)
{
	atomic_fetch_sub(&pg.withheld, nr);
	places_give(&pg.frames, nr);
	event_signal(&pg.frames.freed);
}

/* Places that are left, to be asked when they are taken: a mlock() before would have seen more. */
static bool locked_fits(uint32_t places)
{
	rwlock_read(&pg.map_lock);
	bool fits = mlock_fits(places);
	rwlock_read_done(&pg.map_lock);
	return fits;
}

static int change_ram(uint32_t nr_frames)
{
	uint32_t keep = pg.frames.nr_frames - nr_frames, kept = atomic_load(&pg.withheld);

	if (keep > kept) {
		if (!locked_fits(pg.frames.nr_places - keep))
			return -ENOMEM;
		share_fit(nr_frames);
		uint32_t taken = withhold(keep - kept);

		if (taken < keep - kept || !locked_fits(frames_usable())) {
			give_back(taken);
			return -ENOMEM;
		}
	} else {
		give_back(kept - keep);
	}
	reclaim_set_watermarks();
	atomic_store(&pg.telemetry.p->frames_budget, nr_frames);
	return 0;
}

int pager_set_ram(uint64_t bytes)
{
	uint64_t nr_frames = bytes >> PAGE_SHIFT;
	static _Atomic bool is_changing;
	bool no = false;

	if (!pg.running || tlb_is_on() || nr_frames > pg.frames.nr_frames ||
	    nr_frames < MAX(pager_min_frames(&pg.config), pg.frames.nr_bufs * 2ull))
		return -EINVAL;
	uint64_t mask = sys_signals_block(false);
	pager_enter();
	int err = -EBUSY;
	if (atomic_compare_exchange_strong(&is_changing, &no, true)) {
		err = change_ram((uint32_t)nr_frames);
		atomic_store(&is_changing, false);
	}
	pager_publish(true);
	pager_leave();
	sys_signals_restore(mask);
	return err;
}
