// SPDX-License-Identifier: MIT
/*
 * madvise, mincore and msync. A range is walked piece by piece as the kernel walks its mappings:
 * over holes, with ENOMEM at the end. What is not managed in it goes to the kernel.
 */
#include <errno.h>
#include <sys/mman.h>

#include "pager/mapping.h"

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ  22
#define MADV_POPULATE_WRITE 23
#endif
#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED 24
#endif

/* --- bringing pages in --- */

/* Into the pager, with signals blocked. Return: what gate_leave() wants. */
static uint64_t gate_enter(void)
{
	uint64_t mask = sys_signals_block(false);

	pager_enter();
	return mask;
}

static void gate_leave(uint64_t mask)
{
	pager_leave();
	sys_signals_restore(mask);
}

static struct piece piece_now(uintptr_t at, uintptr_t end)
{
	uint64_t mask = gate_enter();

	rwlock_read(&pg.map_lock);
	struct piece p = mapping_piece(at, end);
	rwlock_read_done(&pg.map_lock);
	gate_leave(mask);
	return p;
}

/* Touch the pages of a managed piece, *@budget at most. */
static long populate_piece(const struct piece *p, enum populate how, uint64_t *budget)
{
	int prot = p->r.prot, need = how == POPULATE_WRITE ? PROT_WRITE : PROT_READ | PROT_WRITE;
	bool is_lock = how == POPULATE_LOCK || how == POPULATE_ALL_LOCKED;
	bool is_write = how == POPULATE_WRITE || (is_lock && prot & PROT_WRITE);

	if (how == POPULATE_ALL_LOCKED && !(p->r.marks & REGION_LOCKED))
		return 0;
	if (!(prot & need))
		return -EFAULT;
	for (uintptr_t at = p->start; at < p->end && *budget; at += PAGE_BYTES) {
		if (how == POPULATE_SWAPPED && page_state_now(vpn_of(at)) != PAGE_SWAPPED)
			continue;
		enum fault_result r = pager_fault(at, is_write ? ACCESS_WRITE : ACCESS_READ);
		if (r == FAULT_IO_ERROR)
			return -EIO;
		if (r == FAULT_INVALID) /* unmapped or protected meanwhile */
			return -ENOMEM;
		--*budget;
	}
	return 0;
}

long mapping_populate(uintptr_t start, uintptr_t end, enum populate how)
{
	uint64_t mask = sys_signals_block(false);
	uint64_t budget = how == POPULATE_SWAPPED ? frames_usable() / 4 : UINT64_MAX;
	long err = 0;

	for (struct piece p; start < end && !err; start = p.end) {
		p = piece_now(start, end);
		if (p.kind == PIECE_HOLE)
			err = -ENOMEM;
		else if (p.kind == PIECE_MANAGED)
			err = populate_piece(&p, how, &budget);
		else if (how == POPULATE_READ || how == POPULATE_WRITE)
			err = raw_madvise(p.start, p.end - p.start,
			    how == POPULATE_WRITE ? MADV_POPULATE_WRITE : MADV_POPULATE_READ);
		/* The kernel reads ahead, and locks, as much as it can. */
		if (how == POPULATE_SWAPPED || how == POPULATE_ALL_LOCKED)
			err = 0;
	}
	sys_signals_restore(mask);
	return err;
}

/* --- madvise --- */

static bool is_evictable(uint64_t pte)
{
	enum page_state state = pte_state(pte);

	return (state == PAGE_MAPPED || state == PAGE_HELD) && !(pte & (PTE_BUSY | PTE_LOCKED));
}

/* Frames of pages of [vpn, stop), in one L1 table, that may be evicted. Return: how many there are;
 * @max at most are written. */
static uint32_t evictable(
    struct vpn vpn, struct vpn stop, struct frame_nr *ret_frames, uint32_t max)
{
	struct pt_leaf leaf = ptab_walk(&pg.ptab, vpn);
	uint32_t nr = 0;

	lock_acquire(leaf.lock);
	for (; vpn.v < stop.v; vpn.v++) {
		uint64_t pte = *leaf_pte(leaf, vpn);

		if (!is_evictable(pte))
			continue;
		if (nr < max)
			ret_frames[nr] = pte_frame(pte);
		nr++;
	}
	lock_release(leaf.lock);
	return nr;
}

/* What is resident is the first to be evicted when there is need. */
static void make_cold(uintptr_t start, uintptr_t end)
{
	struct vpn vpn = vpn_of(MAX(start, WINDOW_START)), last = vpn_of(MIN(end, WINDOW_END));

	for (; (vpn = ptab_next(&pg.ptab, vpn, last)).v < last.v; vpn = leaf_end(vpn)) {
		struct vpn stop = {MIN(leaf_end(vpn).v, last.v)};
		struct pt_leaf leaf = ptab_walk(&pg.ptab, vpn);
		struct frame_nr frames[PTAB_ENTRIES];
		uint32_t nr = 0;

		lock_acquire(leaf.lock);
		for (struct vpn page = vpn; page.v < stop.v; page.v++)
			if (is_evictable(*leaf_pte(leaf, page)))
				frames[nr++] = pte_frame(*leaf_pte(leaf, page));
		reclaim_cold(frames, nr);
		lock_release(leaf.lock);
	}
}

/* Evict what is resident, however recently it was used, until that gets no further. */
static void page_out(uintptr_t start, uintptr_t end)
{
	struct vpn vpn = vpn_of(MAX(start, WINDOW_START)), last = vpn_of(MIN(end, WINDOW_END));
	/* Each needs a buffer, and finds one as long as the pool is not full. */
	uint32_t max = MIN(MAX(pg.frames.nr_bufs / 8, 1u), PTAB_ENTRIES);

	for (; (vpn = ptab_next(&pg.ptab, vpn, last)).v < last.v; vpn = leaf_end(vpn)) {
		struct vpn stop = {MIN(leaf_end(vpn).v, last.v)};
		struct frame_nr frames[PTAB_ENTRIES];
		uint32_t nr, before = UINT32_MAX;

		for (int idle = 0; idle < 3; idle++) {
			nr = evictable(vpn, stop, frames, max);
			if (!nr)
				break;
			if (nr < before)
				idle = 0;
			before = nr;
			reclaim_frames(frames, MIN(nr, max));
		}
	}
}

static bool is_known(int advice)
{
	static const uint8_t known[] = {MADV_NORMAL, MADV_RANDOM, MADV_SEQUENTIAL, MADV_WILLNEED,
	    MADV_DONTNEED, MADV_FREE, MADV_DONTFORK, MADV_DOFORK, MADV_MERGEABLE, MADV_UNMERGEABLE,
	    MADV_HUGEPAGE, MADV_NOHUGEPAGE, MADV_DONTDUMP, MADV_DODUMP, MADV_WIPEONFORK,
	    MADV_KEEPONFORK, MADV_COLD, MADV_PAGEOUT, MADV_POPULATE_READ, MADV_POPULATE_WRITE,
	    MADV_DONTNEED_LOCKED};

	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (known[i] == advice)
			return true;
	return false;
}

static long discard_piece(const struct piece *p)
{
	long err = source_flush(p->start, p->end);

	if (err)
		return err;
	uint32_t places = mapping_discard(p->start, p->end);
	err = raw_madvise(p->start, p->end - p->start, MADV_DONTNEED);

	mapping_give_back(places);
	return err;
}

static long mark_piece(const struct piece *p, uint8_t set, uint8_t clear)
{
	return region_mark(&pg.regions, p->start, p->end, set, clear);
}

/* Advice about part of a managed region, as far as it is followed under the map lock. */
static long advise_piece(const struct piece *p, int advice)
{
	bool is_locked = p->r.marks & REGION_LOCKED;

	switch (advice) {
	case MADV_DONTNEED:
	case MADV_FREE: /* at once: allowed, and no page need be watched */
		return is_locked ? -EINVAL : discard_piece(p);
	case MADV_DONTNEED_LOCKED:
		return discard_piece(p);
	case MADV_COLD:
	case MADV_PAGEOUT:
		return is_locked ? -EINVAL : 0;
	case MADV_DONTFORK:
		return mark_piece(p, REGION_DONTFORK, 0);
	case MADV_DOFORK:
		return mark_piece(p, 0, REGION_DONTFORK);
	case MADV_WIPEONFORK:
		return mark_piece(p, REGION_WIPEONFORK, 0);
	case MADV_KEEPONFORK:
		return mark_piece(p, 0, REGION_WIPEONFORK);
	case MADV_NORMAL:
		return mark_piece(p, 0, REGION_RANDOM | REGION_SEQUENTIAL);
	case MADV_RANDOM:
		return mark_piece(p, REGION_RANDOM, REGION_SEQUENTIAL);
	case MADV_SEQUENTIAL:
		return mark_piece(p, REGION_SEQUENTIAL, REGION_RANDOM);
	case MADV_DONTDUMP:
	case MADV_DODUMP:
		return raw_madvise(p->start, p->end - p->start, advice);
	default: /* hints that have no meaning here, huge pages among them */
		return 0;
	}
}

static long advise_pieces(uintptr_t addr, uintptr_t end, int advice)
{
	long err = 0;
	bool has_hole = false;

	for (struct piece p; addr < end && !err; addr = p.end) {
		p = mapping_piece(addr, end);
		if (p.kind == PIECE_HOLE)
			has_hole = true;
		else if (p.kind == PIECE_MANAGED)
			err = advise_piece(&p, advice);
		else
			err = raw_madvise(p.start, p.end - p.start, advice);
	}
	return !err && has_hole ? -ENOMEM : err;
}

static struct vpn clamp(uintptr_t addr)
{
	return vpn_of(MIN(MAX(addr, WINDOW_START), WINDOW_END));
}

static bool announce(uintptr_t start, uintptr_t end)
{
	uint64_t mask = gate_enter();
	bool is_asked = readahead_announce(clamp(start), clamp(end));

	gate_leave(mask);
	return is_asked;
}

static void withdraw(uintptr_t start, uintptr_t end)
{
	uint64_t mask = gate_enter();

	readahead_withdraw(clamp(start), clamp(end));
	gate_leave(mask);
}

long pager_madvise(uintptr_t addr, size_t len, int advice)
{
	size_t bytes = page_round_up(len);

	if (!pg.running || !touches_window(addr, bytes))
		return raw_madvise(addr, len, advice);
	if (!is_known(advice) || addr & PAGE_MASK || bytes < len || addr + bytes < addr)
		return -EINVAL;
	if (!bytes)
		return 0;
	if (advice == MADV_POPULATE_READ || advice == MADV_POPULATE_WRITE) {
		long err = mapping_populate(addr, addr + bytes,
		    advice == MADV_POPULATE_READ ? POPULATE_READ : POPULATE_WRITE);

		return err == -EFAULT ? -EINVAL : err;
	}
	/* First: mapping_begin() waits for what is being read, and nothing more is read after it.
	 */
	if (advice == MADV_PAGEOUT)
		withdraw(addr, addr + bytes);
	uint64_t mask = mapping_begin(addr, addr + bytes);
	long err = mapping_end(mask, advise_pieces(addr, addr + bytes, advice));
	if (err && err != -ENOMEM)
		return err;
	if (advice == MADV_WILLNEED) {
		if (!announce(addr, addr + bytes))
			mapping_populate(addr, addr + bytes, POPULATE_SWAPPED);
	} else if (advice == MADV_PAGEOUT || advice == MADV_COLD) {
		mask = gate_enter();
		if (advice == MADV_PAGEOUT)
			page_out(addr, addr + bytes);
		else
			make_cold(addr, addr + bytes);
		gate_leave(mask);
	}
	return err;
}

/* --- mincore, msync --- */

/* Whether the page has a frame: mapped, held, or being read. */
static bool is_resident(uintptr_t addr)
{
	enum page_state state = page_state_now(vpn_of(addr));

	return state != PAGE_NONE && state != PAGE_SWAPPED;
}

static long mincore_pieces(uintptr_t addr, uintptr_t end, unsigned char *vec)
{
	long err = 0;

	for (struct piece p; addr < end && !err; addr = p.end) {
		p = mapping_piece(addr, end);
		if (p.kind == PIECE_HOLE)
			return -ENOMEM;
		if (p.kind == PIECE_KERNEL)
			err = sys_call3(
			    SYS_mincore, (long)p.start, (long)(p.end - p.start), (long)vec);
		else
			for (size_t i = 0; i < (p.end - p.start) / PAGE_BYTES; i++)
				vec[i] = is_resident(p.start + i * PAGE_BYTES);
		vec += (p.end - p.start) / PAGE_BYTES;
	}
	return err;
}

long pager_mincore(uintptr_t addr, size_t len, unsigned char *vec)
{
	size_t bytes = page_round_up(len);

	if (!pg.running || !touches_window(addr, bytes) || addr & PAGE_MASK || bytes < len ||
	    addr + bytes < addr)
		return sys_call3(SYS_mincore, (long)addr, (long)len, (long)vec);
	uint64_t mask = mapping_begin(0, 0);
	return mapping_end(mask, mincore_pieces(addr, addr + bytes, vec));
}

size_t pager_reach(uintptr_t addr, size_t len, int prot)
{
	uintptr_t end = addr + len, at = addr;

	if (!pg.running || end < addr || !touches_window(addr, len))
		return len;
	uint64_t mask = gate_enter();

	rwlock_read(&pg.map_lock);
	for (struct piece p; at < end; at = p.end) {
		p = mapping_piece(at, end);
		if (p.kind == PIECE_HOLE || !(p.r.prot & prot))
			break;
	}
	rwlock_read_done(&pg.map_lock);
	gate_leave(mask);
	return at - addr;
}

long pager_msync(uintptr_t addr, size_t len, int flags)
{
	size_t bytes = page_round_up(len);
	bool has_hole = false;
	long err = 0;

	if (!pg.running || !touches_window(addr, bytes) || addr & PAGE_MASK || bytes < len ||
	    addr + bytes < addr || flags & ~(MS_ASYNC | MS_INVALIDATE | MS_SYNC) ||
	    (flags & MS_ASYNC && flags & MS_SYNC))
		return sys_call3(SYS_msync, (long)addr, (long)len, flags);
	uintptr_t end = addr + bytes;
	for (struct piece p; addr < end && !err; addr = p.end) {
		p = piece_now(addr, end);
		has_hole |= p.kind == PIECE_HOLE;
		if (p.kind == PIECE_KERNEL) /* may write a file: under no lock */
			err = sys_call3(SYS_msync, (long)p.start, (long)(p.end - p.start), flags);
		else if (p.r.marks & REGION_LOCKED && flags & MS_INVALIDATE)
			err = -EBUSY;
		else if (p.r.source && flags & MS_SYNC)
			err = source_sync(p.start, p.end);
	}
	return !err && has_hole ? -ENOMEM : err;
}
