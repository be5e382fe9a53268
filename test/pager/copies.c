// SPDX-License-Identifier: MIT
/*
 * Which pages in frames have a compressed copy in RAM as well: those that are only read keep it, so
 * that evicting them costs nothing; those that are written have no use for it.
 *
 *     copies ENGINE RECLAIM
 */
#include <stdio.h>
#include <sys/mman.h>

#include "alone.h"

#define RAM_PAGES 2048u
#define NR_PAGES  (2 * RAM_PAGES)

static void walk(volatile uint64_t *at, bool is_write)
{
	for (uint32_t i = 0; i < NR_PAGES; i++) {
		volatile uint64_t *word = &at[(uint64_t)i * 1031 % NR_PAGES * 512];

		if (is_write)
			*word = *word + 1;
		else if (!*word)
			__builtin_trap();
	}
}

/* Among the pages in frames that came back from swap: are most copied, or few? */
static bool expect(const char *what, uint64_t *at, bool want_most)
{
	uint32_t nr = 0, nr_copied = 0;

	for (uint32_t i = 0; i < NR_PAGES; i++) {
		struct vpn vpn = vpn_of((uintptr_t)at + i * PAGE_BYTES);
		struct pt_leaf leaf = ptab_walk(&pg.ptab, vpn);

		lock_acquire(leaf.lock);
		uint64_t pte = *leaf_pte(leaf, vpn);
		if (pte_state(pte) == PAGE_MAPPED) {
			struct swap_ref ref = frame_of(&pg.frames, pte_frame(pte))->ref;

			nr++;
			nr_copied += !swap_ref_is_none(ref) && swap_is_in_memory(pg.swap, ref);
		}
		lock_release(leaf.lock);
	}
	bool is_good = nr > RAM_PAGES / 8 && (want_most ? nr_copied > nr / 2 : nr_copied < nr / 4);
	printf("%s: of %u pages in frames %u have a copy: %s\n", what, nr, nr_copied,
	    is_good ? "good" : "bad");
	return is_good;
}

int main(int argc, char **argv)
{
	bool is_good;

	if (argc < 3 || !start_alone(argv[1], argv[2], RAM_PAGES, "gclock", "lz4"))
		return 2;
	uint64_t *at = map_alone(NR_PAGES * PAGE_BYTES);
	for (int i = 0; i < 4; i++)
		walk(at, true);
	is_good = expect("written", at, false);
	for (int i = 0; i < 4; i++)
		walk(at, false);
	is_good &= expect("read", at, true);
	pager_check();
	return !is_good;
}
