// SPDX-License-Identifier: MIT
/*
 * mlock and its like, within the budget. A locked region's pages carry PTE_LOCKED: once MAPPED they
 * are unknown to the policy, so that reclaim never chooses them. The kernel is not told, since it
 * would refuse to unmap for us.
 *
 * As in the kernel, what counts is the size of locked mappings, touched or not; but for those that
 * are PROT_NONE, which hold nothing. Beside RLIMIT_MEMLOCK there is the budget: an eighth of the
 * places, and 16 at least, stay unlocked, or nothing else could run.
 */
#include <errno.h>
#include <linux/capability.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "base/ensure.h"
#include "pager/mapping.h"

#ifndef MLOCK_ONFAULT
#define MLOCK_ONFAULT 1
#endif
#ifndef MCL_ONFAULT
#define MCL_ONFAULT 4
#endif

#define MIN_UNLOCKED 16u

static uint64_t countable_bytes(const struct region *r, uintptr_t start, uintptr_t end)
{
	bool counts = !r->is_foreign && r->prot & (PROT_READ | PROT_WRITE);

	return counts && r->start < end && r->end > start ? MIN(r->end, end) - MAX(r->start, start)
	                                                  : 0;
}

/* Bytes of managed memory that can be locked; that are locked: with or without REGION_LOCKED. */
static uint64_t bytes_marked(uintptr_t start, uintptr_t end, uint8_t mark)
{
	uint64_t bytes = 0;

	for (uint32_t i = region_index(&pg.regions, start); i < pg.regions.nr; i++) {
		const struct region *r = &pg.regions.r[i];

		if (r->start >= end)
			break;
		if ((r->marks & REGION_LOCKED) == mark)
			bytes += countable_bytes(r, start, end);
	}
	return bytes;
}

static bool is_privileged(void)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2] = {{0}};

	return !sys_call2(SYS_capget, (long)&head, (long)data) &&
	       data[0].effective & 1u << CAP_IPC_LOCK;
}

static bool fits(uint64_t locked, uint32_t places)
{
	uint32_t kept = MIN(MAX(places / 8, MIN_UNLOCKED), places);

	return locked >> PAGE_SHIFT <= places - kept;
}

bool mlock_fits(uint32_t places)
{
	return fits(bytes_marked(WINDOW_START, WINDOW_END, REGION_LOCKED), places);
}

int mlock_may(size_t bytes)
{
	uint64_t locked = bytes_marked(WINDOW_START, WINDOW_END, REGION_LOCKED) + bytes;
	struct rlimit limit = {0};

	if (!is_privileged()) {
		sys_call4(SYS_prlimit64, 0, RLIMIT_MEMLOCK, 0, (long)&limit);
		if (!limit.rlim_cur)
			return -EPERM;
		if (locked > limit.rlim_cur)
			return -ENOMEM;
	}
	return fits(locked, frames_usable()) ? 0 : -ENOMEM;
}

uint8_t mlock_marks(int flags)
{
	return flags & MAP_LOCKED || atomic_load(&pg.lock_future) & MCL_FUTURE ? REGION_LOCKED : 0;
}

bool mlock_populates(void)
{
	return (atomic_load(&pg.lock_future) & (MCL_FUTURE | MCL_ONFAULT)) == MCL_FUTURE;
}

static void page_lock(struct pt_leaf leaf, struct vpn vpn, void *arg)
{
	uint64_t *pte = leaf_pte(leaf, vpn);
	enum page_state state = pte_state(*pte);

	(void)arg;
	*pte |= PTE_LOCKED;
	if (state == PAGE_MAPPED || state == PAGE_HELD)
		policy_removed(pte_frame(*pte));
}

static void page_unlock(struct pt_leaf leaf, struct vpn vpn, void *arg)
{
	uint64_t *pte = leaf_pte(leaf, vpn);
	enum page_state state = pte_state(*pte);
	bool is_resident = state == PAGE_MAPPED || state == PAGE_HELD;

	(void)arg;
	if (!(*pte & PTE_LOCKED))
		return;
	*pte &= ~PTE_LOCKED;
	/* One that is HELD and being written is on its way out. */
	if (is_resident &&
	    (state == PAGE_MAPPED ||
	        !(atomic_load(&frame_of(&pg.frames, pte_frame(*pte))->flags) & FRAME_WRITING)))
		policy_insert(pte_frame(*pte), DISTANCE_NEVER);
}

void mlock_set(uintptr_t start, uintptr_t end, bool locked)
{
	if (region_mark(&pg.regions, start, end, locked ? REGION_LOCKED : 0, REGION_LOCKED))
		return; /* too many regions: neither is promised */
	mapping_each_page(start, end, locked ? page_lock : page_unlock, NULL);
}

void mlock_become_child(void)
{
	atomic_store(&pg.lock_future, 0);
	if (bytes_marked(WINDOW_START, WINDOW_END, REGION_LOCKED))
		mlock_set(WINDOW_START, WINDOW_END, false);
}

/* Lock (@nr SYS_mlock2) or unlock (SYS_munlock) what there is up to the first hole. */
static long lock_pieces(uintptr_t start, uintptr_t end, long nr, long flags)
{
	long err = 0;

	for (struct piece p; start < end; start = p.end) {
		p = mapping_piece(start, end);
		if (p.kind == PIECE_HOLE)
			return -ENOMEM;
		/* That it cannot be brought in does not keep what is behind it from being locked.
		 */
		if (p.kind == PIECE_KERNEL)
			err = sys_call3(nr, (long)p.start, (long)(p.end - p.start), flags) ?: err;
		else
			mlock_set(p.start, p.end, nr == SYS_mlock2);
	}
	return err;
}

long pager_mlock(uintptr_t addr, size_t len, unsigned flags)
{
	uintptr_t start = addr & ~PAGE_MASK, end = page_round_up(addr + len);

	if (!pg.running || !touches_window(start, end - start) ||
	    flags & ~(unsigned)MLOCK_ONFAULT || end <= start)
		return flags ? sys_call3(SYS_mlock2, (long)addr, (long)len, flags)
		             : sys_call2(SYS_mlock, (long)addr, (long)len);
	uint64_t mask = mapping_begin(start, end);
	long err = mlock_may(bytes_marked(start, end, 0));
	if (!err)
		err = lock_pieces(start, end, SYS_mlock2, flags);
	err = mapping_end(mask, err);
	if (err || flags & MLOCK_ONFAULT)
		return err;
	return mapping_populate(start, end, POPULATE_LOCK) ? -ENOMEM : 0;
}

long pager_munlock(uintptr_t addr, size_t len)
{
	uintptr_t start = addr & ~PAGE_MASK, end = page_round_up(addr + len);

	if (!pg.running || !touches_window(start, end - start) || end <= start)
		return sys_call2(SYS_munlock, (long)addr, (long)len);
	uint64_t mask = mapping_begin(start, end);
	return mapping_end(mask, lock_pieces(start, end, SYS_munlock, 0));
}

static void lock_all(void)
{
	for (uint32_t i = 0; i < pg.regions.nr; i++) {
		struct region r = pg.regions.r[i];

		if (!r.is_foreign && !(r.marks & REGION_LOCKED)) {
			mlock_set(r.start, r.end, true);
			i = region_index(&pg.regions, r.start); /* perhaps merged */
		}
	}
}

long pager_mlockall(int flags)
{
	if (!pg.running || !flags || flags & ~(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) ||
	    flags == MCL_ONFAULT)
		return sys_call1(SYS_mlockall, flags);
	uint64_t mask = mapping_begin(0, 0);
	long err = mlock_may(flags & MCL_CURRENT ? bytes_marked(WINDOW_START, WINDOW_END, 0) : 0);
	if (!err) {
		atomic_store(&pg.lock_future, (uint32_t)flags & (MCL_FUTURE | MCL_ONFAULT));
		if (flags & MCL_CURRENT)
			lock_all();
	}
	err = mapping_end(mask, err);
	if (!err && flags & MCL_CURRENT && !(flags & MCL_ONFAULT))
		mapping_populate(WINDOW_START, WINDOW_END, POPULATE_ALL_LOCKED);
	return err;
}

long pager_munlockall(void)
{
	if (pg.running) {
		uint64_t mask = mapping_begin(0, 0);

		atomic_store(&pg.lock_future, 0);
		mlock_set(WINDOW_START, WINDOW_END, false);
		mapping_end(mask, 0);
	}
	return sys_call0(SYS_munlockall);
}
