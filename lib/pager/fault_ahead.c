// SPDX-License-Identifier: MIT
/* Windows that are read before they are touched, by the thread of readahead.c. */
#include "pager/fault.h"

#include "base/sys.h"

/*
 * Windows under way for streams, oldest first; of the thread that reads ahead. It is in the gate
 * from the first to the last of them, and waits for nobody meanwhile who may wait for their pages:
 * not for the gate, the map lock or the reclaim lock.
 */
static struct {
	struct fault f;
	struct swap_reading *reading;
	uint64_t began;
} ahead[SWAP_NR_READINGS];
static uint32_t first_ahead, nr_ahead;

static void ahead_done(struct fault *f, uint64_t began)
{
	static uint64_t last; /* the disk had another one before */
	uint64_t now = now_ns();

	fault_read_note(f, now - MAX(began, last));
	last = now;
	fault_read_finish(f);
	fault_places_return(f);
}

/* Wait for a part of the oldest one. */
static void ahead_step(void)
{
	uint32_t i = first_ahead % SWAP_NR_READINGS;

	if (swap_read_wait(ahead[i].reading))
		return;
	ahead_done(&ahead[i].f, ahead[i].began);
	first_ahead++;
	nr_ahead--;
}

static void ahead_land(void)
{
	while (nr_ahead)
		ahead_step();
}

bool pager_ahead_wait(void)
{
	if (!nr_ahead)
		return false;
	ahead_step();
	if (!nr_ahead)
		pager_leave();
	return true;
}

/* Whoever has the reclaim lock may wait for what is under way. Return: places. */
static uint32_t ahead_reclaim(void)
{
	uint32_t nr = nr_ahead ? reclaim_batch_try() : 0;

	if (nr)
		return nr;
	ahead_land();
	return reclaim_batch();
}

/* Look whether and how the window of @f is to be read, with some reclaim. */
static enum step ahead_look(struct fault *f)
{
	enum step step;
	uint32_t nr_tries = 0;

	do {
		f->places = tlb_is_on() ? 0 : places_take(&pg.frames, 1);
		step = nr_ahead ? fault_look_try(f) : fault_look(f);
		if (step != STEP_READ)
			fault_places_return(f);
		if (step == STEP_BUSY)
			ahead_land();
		/* A guess is worth little reclaim. */
	} while (step == STEP_BUSY || (step == STEP_ROOM && nr_tries++ < 2 && ahead_reclaim()));
	return step;
}

uint32_t pager_read_ahead(
    struct vpn vpn, struct window window, bool is_write, uint32_t nr_paged_out)
{
	while (nr_ahead == SWAP_NR_READINGS)
		ahead_step();
	/* Who waits for these pages may be inside, and a fork for them: it does not wait. */
	if (nr_ahead ? atomic_load(&pg.gate_closed) : !pager_enter_try())
		return 0;
	uint32_t i = (first_ahead + nr_ahead) % SWAP_NR_READINGS, nr_read = 0;
	struct fault *f = &ahead[i].f;

	f->vpn = vpn;
	f->offset = 0;
	f->is_write = is_write;
	f->is_fetch = false;
	f->is_ahead = true;
	f->nr_paged_out = nr_paged_out;
	f->window = window;
	f->need = 1;
	f->aside_ns = 0;
	f->has_entry = f->is_filled = f->needs_frame = f->is_in_stream = false;
	if (ahead_look(f) == STEP_READ) {
		nr_read = f->nr_read;
		COUNT(&pg.telemetry, readahead_pages, nr_read);
		ahead[i].began = now_ns();
		if (!f->from_file &&
		    swap_read_begin(pg.swap, f->page, nr_read, &f->reader, &ahead[i].reading)) {
			nr_ahead++;
			return nr_read;
		}
		ahead_land(); /* nobody waits longer for its pages than it must */
		fault_read_window(f, SWAP_SLEEP);
		ahead_done(f, ahead[i].began);
	}
	if (!nr_ahead)
		pager_leave();
	return nr_read;
}
