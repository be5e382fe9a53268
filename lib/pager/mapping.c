// SPDX-License-Identifier: MIT
/*
 * The mapping calls. Each holds the map lock exclusively, so that no fault looks at a region
 * that is changing; pages that are BUSY or READING are waited for. What is not managed goes to the
 * kernel untouched.
 *
 * Managed mappings carry the program's protections in the kernel too: a forbidden access is a
 * true SIGSEGV. (UFFDIO_COPY fills read-only and PROT_NONE mappings just the same.)
 */
#include "pager/mapping.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "base/ensure.h"
#include "base/sys.h"

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ  22
#define MADV_POPULATE_WRITE 23
#endif

/* What a managed mapping may not be: shared, a file, huge, locked, a stack that grows (or, since
 * the kernel must be able to build a signal frame there, any stack), or placed below 4 GiB. */
#define FOREIGN_FLAGS (MAP_HUGETLB | MAP_GROWSDOWN | MAP_LOCKED | MAP_STACK | MAP_32BIT | MAP_SYNC)

static long raw_mmap(uintptr_t addr, size_t len, int prot, int flags, int fd, off_t offset)
{
	return sys_call6(SYS_mmap, (long)addr, (long)len, prot, flags, fd, offset);
}

long mapping_raw_munmap(uintptr_t addr, size_t len)
{
	return sys_call2(SYS_munmap, (long)addr, (long)len);
}

uint64_t mapping_begin(void)
{
	uint64_t mask = sys_signals_block(false);

	pager_enter();
	rwlock_write(&pg.map_lock);
	return mask;
}

long mapping_end(uint64_t mask, long result)
{
	rwlock_write_done(&pg.map_lock);
	pager_publish(false);
	pager_leave();
	sys_signals_restore(mask);
	return result;
}

/* --- pages of a range --- */

/* Wait until the page at @pte is neither BUSY nor READING. L1 lock held, dropped while waiting. */
static void wait_until_still(struct pt_leaf leaf, struct vpn vpn)
{
	uint64_t *pte = leaf_pte(leaf, vpn);

	while (*pte & PTE_BUSY || pte_state(*pte) == PAGE_READING) {
		uint32_t ticket = event_begin(page_event(vpn));

		lock_release(leaf.lock);
		event_wait(page_event(vpn), ticket);
		lock_acquire(leaf.lock);
	}
}

void mapping_each_page(uintptr_t start, uintptr_t end, page_fn *fn, void *arg)
{
	struct vpn vpn = vpn_of(start), last = vpn_of(end);

	while ((vpn = ptab_next(&pg.ptab, vpn, last)).v < last.v) {
		struct pt_leaf leaf = ptab_walk(&pg.ptab, vpn);
		struct vpn stop = {MIN(leaf_end(vpn).v, last.v)};

		lock_acquire(leaf.lock);
		for (; vpn.v < stop.v; vpn.v++) {
			if (!*leaf_pte(leaf, vpn))
				continue;
			wait_until_still(leaf, vpn);
			if (*leaf_pte(leaf, vpn))
				fn(leaf, vpn, arg);
		}
		lock_release(leaf.lock);
	}
}

/* The frame of a MAPPED or HELD page is not needed any more. L1 lock held. */
static void release_frame(struct frame_nr nr)
{
	struct frame *f = frame_of(&pg.frames, nr);

	policy_removed(nr);
	if (atomic_load(&f->flags) & FRAME_WRITING) {
		atomic_fetch_or(&f->flags, FRAME_ORPHAN);
		return;
	}
	ref_free(f->ref);
	if (f->buf != BUF_NONE)
		buf_give(&pg.frames, f->buf);
	f->buf = BUF_NONE;
	frame_give(&pg.frames, nr);
}

/* Forget a page and its bytes. @arg: uint32_t counter of the places to give back. */
static void discard_page(struct pt_leaf leaf, struct vpn vpn, void *arg)
{
	uint64_t *pte = leaf_pte(leaf, vpn);
	uint32_t *nr_places = arg;
	enum page_state state = pte_state(*pte);

	if (state == PAGE_SWAPPED) {
		swap_free(pg.swap, (struct swap_ref){pte_payload(*pte)});
	} else if (state != PAGE_NONE) {
		release_frame(pte_frame(*pte));
		*nr_places += state == PAGE_MAPPED;
	}
	if (state != PAGE_NONE)
		atomic_fetch_sub_explicit(&pg.nr_populated, 1, memory_order_relaxed);
	event_log(&pg.telemetry, EVENT_DISCARD, vpn, UINT32_MAX);
	*pte = 0;
}

uint32_t mapping_discard(uintptr_t start, uintptr_t end)
{
	uint32_t nr_places = 0;

	mapping_each_page(start, end, discard_page, &nr_places);
	return nr_places;
}

void mapping_give_back(uint32_t nr_places)
{
	places_give(&pg.frames, nr_places);
	event_signal(&pg.frames.freed);
}

/* --- mmap --- */

static bool is_manageable(size_t len, int prot, int flags)
{
	return (flags & MAP_TYPE) == MAP_PRIVATE && flags & MAP_ANONYMOUS &&
	       !(flags & FOREIGN_FLAGS) && !(prot & ~(PROT_READ | PROT_WRITE)) &&
	       len >= pg.config.min_map_bytes;
}

int mapping_make(uintptr_t addr, size_t len, int prot, int fixed)
{
	long p =
	    raw_mmap(addr, len, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | fixed, -1, 0);

	if (p < 0)
		return (int)p;
	if ((uintptr_t)p != addr) {
		mapping_raw_munmap((uintptr_t)p, len);
		return -EEXIST;
	}
	long err = sys_call3(SYS_madvise, p, (long)len, MADV_NOHUGEPAGE);
	/* Not inherited: a child made behind our back dies of a touch instead of reading zeros. */
	if (!err || err == -EINVAL) /* EINVAL: a kernel without huge pages */
		err = sys_call3(SYS_madvise, p, (long)len, MADV_DONTFORK);
	if (!err)
		err = transport_register(&pg.transport, addr, len);
	if (err)
		mapping_raw_munmap(addr, len);
	return (int)err;
}

/* Anywhere in the window. */
static long mmap_anywhere(uintptr_t hint, size_t len, int prot)
{
	uintptr_t addr = hint & ~PAGE_MASK;

	if (!in_window(addr) || addr + len > WINDOW_END ||
	    region_overlaps(&pg.regions, addr, addr + len))
		addr = region_find_free(&pg.regions, len);
	if (!addr)
		return -ENOMEM;
	int err = mapping_make(addr, len, prot, MAP_FIXED_NOREPLACE);
	if (err)
		return err == -EEXIST ? -ENOMEM : err;
	err = region_add(
	    &pg.regions, (struct region){.start = addr, .end = addr + len, .prot = prot});
	if (err) {
		mapping_raw_munmap(addr, len);
		return err;
	}
	return (long)addr;
}

/* At a fixed address in the window, over whatever is there. */
static long mmap_fixed(uintptr_t addr, size_t len, int prot, int flags, int fd, off_t offset)
{
	/* In the window even a small mapping is managed: it may be a piece of a larger one. */
	bool is_managed = is_manageable(MAX(len, pg.config.min_map_bytes), prot, flags);
	long result;

	if (addr & PAGE_MASK || addr + len > WINDOW_END)
		return -EINVAL;
	if (flags & MAP_FIXED_NOREPLACE && region_overlaps(&pg.regions, addr, addr + len))
		return -EEXIST;
	uint32_t places = mapping_discard(addr, addr + len);
	int err = region_remove(&pg.regions, addr, addr + len);
	if (err)
		return err;
	if (is_managed) {
		result = mapping_make(addr, len, prot, MAP_FIXED);
		if (!result)
			result = (long)addr;
	} else {
		result = raw_mmap(addr, len, prot, flags, fd, offset);
	}
	if (result < 0)
		mapping_raw_munmap(addr, len); /* as the kernel: what was there is gone */
	else
		region_add(&pg.regions,
		    (struct region){
		        .start = addr, .end = addr + len, .prot = prot, .is_foreign = !is_managed});
	mapping_give_back(places);
	return result;
}

long pager_mmap(uintptr_t addr, size_t len, int prot, int flags, int fd, off_t offset)
{
	bool is_fixed = flags & (MAP_FIXED | MAP_FIXED_NOREPLACE);
	bool is_ours = is_fixed ? in_window(addr) : is_manageable(len, prot, flags);

	if (!pg.running || !is_ours || len == 0 || len > WINDOW_END - WINDOW_START)
		return raw_mmap(addr, len, prot, flags, fd, offset);
	len = page_round_up(len);
	uint64_t mask = mapping_begin();
	long result = is_fixed ? mmap_fixed(addr, len, prot, flags, fd, offset)
	                       : mmap_anywhere(addr, len, prot);
	result = mapping_end(mask, result);
	if (result >= 0 && flags & MAP_POPULATE)
		pager_madvise((uintptr_t)result, len, MADV_POPULATE_READ);
	return result;
}

long pager_munmap(uintptr_t addr, size_t len)
{
	if (!pg.running || !touches_window(addr, len) || addr & PAGE_MASK || !len ||
	    addr + page_round_up(len) < addr)
		return mapping_raw_munmap(addr, len);
	len = page_round_up(len);
	uint64_t mask = mapping_begin();
	uint32_t places = mapping_discard(addr, addr + len);
	long err = region_remove(&pg.regions, addr, addr + len);
	if (!err)
		err = mapping_raw_munmap(addr, len);
	mapping_give_back(places);
	return mapping_end(mask, err);
}

/* --- mprotect --- */

static void mark_access(struct pt_leaf leaf, struct vpn vpn, void *arg)
{
	uint64_t *pte = leaf_pte(leaf, vpn);

	*pte = *(bool *)arg ? *pte & ~PTE_NO_ACCESS : *pte | PTE_NO_ACCESS;
}

/* The page goes to the program for good: present, and none of ours. @arg: as discard_page. */
static void release_page(struct pt_leaf leaf, struct vpn vpn, void *arg)
{
	static char buf[PAGE_BYTES] __attribute__((aligned(4096))); /* map lock held exclusively */
	uint64_t *pte = leaf_pte(leaf, vpn);
	enum page_state state = pte_state(*pte);

	if (state == PAGE_HELD) {
		struct frame *f = frame_of(&pg.frames, pte_frame(*pte));

		ensure(!transport_map(&pg.transport, vpn, buf_addr(&pg.frames, f->buf), 1, false));
	} else if (state == PAGE_SWAPPED) {
		struct swap_page page = {.buf = buf, .ref = {pte_payload(*pte)}};

		lock_release(leaf.lock);
		swap_read(pg.swap, &page, 1, SWAP_SLEEP);
		lock_acquire(leaf.lock);
		/* Unreadable: left absent and unmanaged it would read as zeros. */
		ensure(page.result == 0);
		ensure(!transport_map(&pg.transport, vpn, buf, 1, false));
	}
	discard_page(leaf, vpn, arg);
}

/* Take a range out of management, its bytes in place. */
static int unmanage(uintptr_t start, uintptr_t end, int prot)
{
	uint32_t places = 0;

	mapping_each_page(start, end, release_page, &places);
	for (uint32_t i = region_index(&pg.regions, start); i < pg.regions.nr; i++) {
		const struct region *r = &pg.regions.r[i];
		uintptr_t from = MAX(r->start, start), to = MIN(r->end, end);

		if (from >= to)
			break;
		if (!r->is_foreign)
			transport_unregister(&pg.transport, from, to - from);
	}
	sys_call3(SYS_madvise, (long)start, (long)(end - start), MADV_DOFORK);
	mapping_give_back(places);
	return region_protect(&pg.regions, start, end, prot, true);
}

int pager_release(uintptr_t addr, size_t len)
{
	uintptr_t end = page_round_up(addr + len), start = addr & ~PAGE_MASK;
	int err = 0;

	if (!pg.running || !touches_window(addr, len))
		return 0;
	uint64_t mask = mapping_begin();
	while (start < end && !err) {
		uint32_t i = region_index(&pg.regions, start);

		if (i == pg.regions.nr || pg.regions.r[i].start >= end)
			break;
		struct region r = pg.regions.r[i];
		uintptr_t from = MAX(r.start, start), to = MIN(r.end, end);
		if (!r.is_foreign)
			err = unmanage(from, to, r.prot);
		start = to;
	}
	return (int)mapping_end(mask, err);
}

long pager_mprotect(uintptr_t addr, size_t len, int prot)
{
	if (!pg.running || !touches_window(addr, len) || addr & PAGE_MASK || !len ||
	    addr + page_round_up(len) < addr)
		return sys_call3(SYS_mprotect, (long)addr, (long)len, prot);
	len = page_round_up(len);
	uintptr_t end = addr + len;
	bool can_access = prot & (PROT_READ | PROT_WRITE | PROT_EXEC);
	uint64_t mask = mapping_begin();
	/* Up to a hole the kernel changes what there is, and then says ENOMEM. */
	uintptr_t hole = region_hole(&pg.regions, addr, end);
	bool has_hole = hole < end;
	end = hole;
	if (end == addr)
		return mapping_end(mask, -ENOMEM);
	/* Reclaim reads a page through its mapping unless told that it cannot: tell it before. */
	if (!can_access)
		mapping_each_page(addr, end, mark_access, &can_access);
	long err = sys_call3(SYS_mprotect, (long)addr, (long)(end - addr), prot & ~PROT_EXEC);
	if (!err && can_access)
		mapping_each_page(addr, end, mark_access, &can_access);
	if (!err && prot & PROT_EXEC)
		err = unmanage(addr, end, prot);
	else if (!err)
		err = region_protect(&pg.regions, addr, end, prot, false);
	if (!err && prot & PROT_EXEC)
		err = sys_call3(SYS_mprotect, (long)addr, (long)(end - addr), prot);
	return mapping_end(mask, !err && has_hole ? -ENOMEM : err);
}

/* --- madvise --- */

static long discard_advice(uintptr_t addr, size_t len)
{
	uint64_t mask = mapping_begin();
	uint32_t places = mapping_discard(addr, addr + len);
	/* Over a hole the kernel discards what there is, and then says ENOMEM. */
	long err = sys_call3(SYS_madvise, (long)addr, (long)len, MADV_DONTNEED);

	mapping_give_back(places);
	return mapping_end(mask, err);
}

static long populate(uintptr_t addr, size_t len, enum access access)
{
	uint64_t mask = sys_signals_block(false);
	long err = 0;

	for (uintptr_t at = addr; at < addr + len && !err; at += PAGE_BYTES) {
		enum fault_result r = pager_fault(at, access);

		if (r == FAULT_INVALID)
			err = -ENOMEM;
		else if (r == FAULT_IO_ERROR)
			err = -EIO;
	}
	sys_signals_restore(mask);
	return err;
}

long pager_madvise(uintptr_t addr, size_t len, int advice)
{
	if (!pg.running || !touches_window(addr, len))
		return sys_call3(SYS_madvise, (long)addr, (long)len, advice);
	if (addr & PAGE_MASK || page_round_up(len) < len)
		return -EINVAL;
	len = page_round_up(len);
	if (!len)
		return 0;
	switch (advice) {
	case MADV_DONTNEED:
	case MADV_FREE:
		return discard_advice(addr, len);
	case MADV_POPULATE_READ:
		return populate(addr, len, ACCESS_READ);
	case MADV_POPULATE_WRITE:
		return populate(addr, len, ACCESS_WRITE);
	case MADV_DONTDUMP:
	case MADV_DODUMP:
		return sys_call3(SYS_madvise, (long)addr, (long)len, advice);
	case MADV_NORMAL:
	case MADV_RANDOM:
	case MADV_SEQUENTIAL:
	case MADV_WILLNEED:
	case MADV_COLD:
	case MADV_PAGEOUT:
	case MADV_DONTFORK: /* a child sees its parent's memory all the same */
	case MADV_DOFORK:
	case MADV_KEEPONFORK:
	case MADV_MERGEABLE:
	case MADV_UNMERGEABLE:
	case MADV_HUGEPAGE:
	case MADV_NOHUGEPAGE:
		return 0; /* hints: not acted on yet */
	default:          /* WIPEONFORK too, as by a kernel without it: callers have a way around */
		return -EINVAL;
	}
}

/* --- fork --- */

void mapping_page_dirty(struct pt_leaf leaf, struct vpn vpn, void *arg)
{
	uint64_t *pte = leaf_pte(leaf, vpn);

	(void)arg;
	if (pte_state(*pte) == PAGE_MAPPED)
		pte_set(pte, PAGE_MAPPED, pte_payload(*pte), PTE_DIRTY);
}

static long apply_to_regions(bool seal)
{
	long err = 0;

	for (uint32_t i = 0; i < pg.regions.nr; i++) {
		const struct region *r = &pg.regions.r[i];
		long addr = (long)r->start, len = (long)(r->end - r->start);

		if (r->is_foreign)
			continue;
		long e = sys_call3(SYS_mprotect, addr, len, seal ? PROT_NONE : r->prot);
		if (!e)
			e = sys_call3(SYS_madvise, addr, len, seal ? MADV_DOFORK : MADV_DONTFORK);
		if (e && !err)
			err = e;
	}
	return err;
}

int mapping_seal(void)
{
	return (int)apply_to_regions(true);
}

int mapping_unseal(void)
{
	return (int)apply_to_regions(false);
}

int mapping_register_all(void)
{
	for (uint32_t i = 0; i < pg.regions.nr; i++) {
		const struct region *r = &pg.regions.r[i];
		int err = 0;

		if (!r->is_foreign)
			err = transport_register(&pg.transport, r->start, r->end - r->start);
		if (err)
			return err;
	}
	return 0;
}

void mapping_forget_clean(void)
{
	mapping_each_page(WINDOW_START, WINDOW_END, mapping_page_dirty, NULL);
}
