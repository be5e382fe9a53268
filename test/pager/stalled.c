// SPDX-License-Identifier: MIT
/*
 * No fault waits for a write while there is room: with every write to swap held up, faults go on
 * being served, first touches and reads, until no place is free or no buffer. By then two of the
 * pager's threads at least have a write under way: one does not wait for the other's. (What is
 * queued last, the thread that waits for room writes itself.)
 *
 *     stalled ENGINE RECLAIM
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "alone.h"
#include "check.h"

#define RAM_PAGES 4096u
#define NR_PAGES  (2 * RAM_PAGES)
#define PATIENCE  1000 /* ms without a fault served: none will be */

static char *old, *new;
static _Atomic bool is_held, is_over;
static _Atomic uint32_t nr_held, nr_own; /* writes held up; those of the pager's threads */
static _Atomic uint32_t nr_served;       /* touches */
static const struct swap_backend_ops *inner;

/* The state of the pager when the first write was held up, and when a fault had to wait. */
static struct state {
	uint32_t served, bufs_free, own;
	int32_t places_free;
} at_first, stuck;

static bool has_waited;

/* Not one that waits for room and so writes for itself. */
static bool is_pagers_thread(void)
{
	char name[16] = "";

	CHECK(prctl(PR_GET_NAME, name) == 0);
	return !strcmp(name, "faultline-pager") || !strcmp(name, "faultline-write");
}

static int held_transfer(struct swap_backend *b, struct swap_io *ios, uint32_t nr)
{
	if (ios[0].is_write && atomic_load(&is_held)) {
		if (!atomic_fetch_add(&nr_held, 1)) {
			at_first.served = atomic_load(&nr_served);
			at_first.places_free = atomic_load(&pg.frames.places_free);
			at_first.bufs_free = atomic_load(&pg.frames.bufs_free);
		}
		atomic_fetch_add(&nr_own, is_pagers_thread());
		while (atomic_load(&is_held))
			usleep(1000);
	}
	return inner->transfer(b, ios, nr);
}

/* The same backend, but for its writes. */
static struct swap_backend *hold_writes(struct swap_backend *b)
{
	return with_transfer(b, held_transfer, &inner);
}

/* When no touch has come back for long, note why, and let the writes go. */
static void *watch(void *arg)
{
	uint32_t idle = 0, last = 0, now;

	(void)arg;
	while (idle < PATIENCE && !atomic_load(&is_over)) {
		usleep(1000);
		now = atomic_load(&nr_served);
		idle = now == last ? idle + 1 : 0;
		last = now;
	}
	has_waited = idle >= PATIENCE;
	stuck.served = last;
	stuck.places_free = atomic_load(&pg.frames.places_free);
	stuck.bufs_free = atomic_load(&pg.frames.bufs_free);
	stuck.own = atomic_load(&nr_own);
	atomic_store(&is_held, false);
	return NULL;
}

static volatile uint64_t *word(char *area, uint32_t i)
{
	/* 1031: in an order that no readahead follows. */
	return (volatile uint64_t *)(area + (size_t)i * 1031 % NR_PAGES * PAGE_BYTES);
}

int main(int argc, char **argv)
{
	pthread_t watcher;

	swap_wrap_backend = hold_writes;
	if (argc < 3 || !start_alone(argv[1], argv[2], RAM_PAGES, "gclock", "off"))
		return 2;
	old = map_alone(NR_PAGES * PAGE_BYTES);
	new = map_alone(NR_PAGES * PAGE_BYTES);
	for (uint32_t round = 0; round < 2; round++)
		for (uint32_t i = 0; i < NR_PAGES; i++)
			*word(old, i) = i + round; /* else nothing is to be written */
	settle_alone();

	atomic_store(&is_held, true);
	CHECK(pthread_create(&watcher, NULL, watch, NULL) == 0);
	for (uint32_t i = 0; i < NR_PAGES; i++) {
		*word(new, i) = i + 1;
		atomic_fetch_add(&nr_served, 1);
		CHECK(*word(old, i) == i + 1);
		atomic_fetch_add(&nr_served, 1);
	}
	atomic_store(&is_over, true);
	CHECK(pthread_join(watcher, NULL) == 0);
	for (uint32_t i = 0; i < NR_PAGES; i++)
		CHECK(*word(new, i) == i + 1);
	pager_check();
	/* Each touch takes one place at most. */
	uint32_t served = stuck.served - at_first.served;
	bool is_good = stuck.own >= 2 && (int64_t)served >= at_first.places_free &&
	               (!has_waited || stuck.places_free <= 0 || !stuck.bufs_free);
	printf(
	    "%s: with a write held up, %d places and %u buffers free, %u touches were served; then "
	    "%d places and %u buffers were free and %u writes of the pager's threads held up\n",
	    is_good ? "good" : "bad", at_first.places_free, at_first.bufs_free, served,
	    stuck.places_free, stuck.bufs_free, stuck.own);
	return !is_good;
}
