// SPDX-License-Identifier: MIT
/*
 * The mapping calls. Each holds the map lock exclusively, so that no fault looks at a region
 * that is changing; pages that are BUSY or READING are waited for. What is not managed goes to the
 * kernel untouched.
 *
 * Managed mappings carry the program's protections in the kernel too: a forbidden access is a
 * true SIGSEGV. (UFFDIO_COPY fills read-only and PROT_NONE mappings just the same.)
 */
#include "pager/internal.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "base/ensure.h"
#include "base/sys.h"

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ  22
#define MADV_POPULATE_WRITE 23
#endif
#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif

/* What a managed mapping may not be: shared, a file, huge, locked, a stack that grows (or, since
 * the kernel must be able to build a signal frame there, any stack), or placed below 4 GiB. */
#define FOREIGN_FLAGS (MAP_HUGETLB | MAP_GROWSDOWN | MAP_LOCKED | MAP_STACK | MAP_32BIT | MAP_SYNC)

static long raw_mmap(uintptr_t addr, size_t len, int prot, int flags, int fd, off_t offset)
{
	return sys_call6(SYS_mmap, (long)addr, (long)len, prot, flags, fd, offset);
}

static long raw_munmap(uintptr_t addr, size_t len)
{
	return sys_call2(SYS_munmap, (long)addr, (long)len);
}

/* Signals are blocked while a mapping call holds locks: a handler of the program that touched
 * managed memory would wait for its own thread. Return: the mask before. */
static uint64_t call_begin(void)
{
	uint64_t mask = sys_signals_block(false);

	pager_enter();
	rwlock_write(&pg.map_lock);
	return mask;
}

static long call_end(uint64_t mask, long result)
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

typedef void page_fn(struct pt_leaf leaf, struct vpn vpn, void *arg);

/* Call @fn, L1 lock held, for every page of the range that is not NONE, once it is still. */
static void for_each_page(uintptr_t start, uintptr_t end, page_fn *fn, void *arg)
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

/* Forget all pages of the range. Return: places to give back once the kernel has unmapped them. */
static uint32_t discard_range(uintptr_t start, uintptr_t end)
{
	uint32_t nr_places = 0;

	for_each_page(start, end, discard_page, &nr_places);
	return nr_places;
}

static void give_back(uint32_t nr_places)
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

/* Make the kernel's mapping for a managed range and register it. Undone on failure. */
static int map_managed(uintptr_t addr, size_t len, int prot, int fixed)
{
	long p =
	    raw_mmap(addr, len, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | fixed, -1, 0);

	if (p < 0)
		return (int)p;
	if ((uintptr_t)p != addr) {
		raw_munmap((uintptr_t)p, len);
		return -EEXIST;
	}
	long err = sys_call3(SYS_madvise, p, (long)len, MADV_NOHUGEPAGE);
	/* Not inherited: a child made behind our back dies of a touch instead of reading zeros. */
	if (!err || err == -EINVAL) /* EINVAL: a kernel without huge pages */
		err = sys_call3(SYS_madvise, p, (long)len, MADV_DONTFORK);
	if (!err)
		err = transport_register(&pg.transport, addr, len);
	if (err)
		raw_munmap(addr, len);
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
	int err = map_managed(addr, len, prot, MAP_FIXED_NOREPLACE);
	if (err)
		return err == -EEXIST ? -ENOMEM : err;
	err = region_add(
	    &pg.regions, (struct region){.start = addr, .end = addr + len, .prot = prot});
	if (err) {
		raw_munmap(addr, len);
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
	uint32_t places = discard_range(addr, addr + len);
	int err = region_remove(&pg.regions, addr, addr + len);
	if (err)
		return err;
	if (is_managed) {
		result = map_managed(addr, len, prot, MAP_FIXED);
		if (!result)
			result = (long)addr;
	} else {
		result = raw_mmap(addr, len, prot, flags, fd, offset);
	}
	if (result < 0)
		raw_munmap(addr, len); /* as the kernel: what was there is gone */
	else
		region_add(&pg.regions,
		    (struct region){
		        .start = addr, .end = addr + len, .prot = prot, .is_foreign = !is_managed});
	give_back(places);
	return result;
}

long pager_mmap(uintptr_t addr, size_t len, int prot, int flags, int fd, off_t offset)
{
	bool is_fixed = flags & (MAP_FIXED | MAP_FIXED_NOREPLACE);
	bool is_ours = is_fixed ? in_window(addr) : is_manageable(len, prot, flags);

	if (!pg.running || !is_ours || len == 0 || len > WINDOW_END - WINDOW_START)
		return raw_mmap(addr, len, prot, flags, fd, offset);
	len = page_round_up(len);
	uint64_t mask = call_begin();
	long result = is_fixed ? mmap_fixed(addr, len, prot, flags, fd, offset)
	                       : mmap_anywhere(addr, len, prot);
	result = call_end(mask, result);
	if (result >= 0 && flags & MAP_POPULATE)
		pager_madvise((uintptr_t)result, len, MADV_POPULATE_READ);
	return result;
}

static bool touches_window(uintptr_t addr, size_t len)
{
	return addr < WINDOW_END && addr + len > WINDOW_START;
}

long pager_munmap(uintptr_t addr, size_t len)
{

	if (!pg.running || !touches_window(addr, len) || addr & PAGE_MASK || !len ||
	    addr + page_round_up(len) < addr)
		return raw_munmap(addr, len);
	len = page_round_up(len);
	uint64_t mask = call_begin();
	uint32_t places = discard_range(addr, addr + len);
	long err = region_remove(&pg.regions, addr, addr + len);
	if (!err)
		err = raw_munmap(addr, len);
	give_back(places);
	return call_end(mask, err);
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
		swap_read(pg.swap, &page, 1);
		lock_acquire(leaf.lock);
		/* Unreadable: left absent and unmanaged it would read as zeros. */
		ensure(page.result == 0);
		ensure(!transport_map(&pg.transport, vpn, buf, 1, false));
	}
	discard_page(leaf, vpn, arg);
}

/* Take a range out of management, its bytes in place: it becomes executable. */
static int unmanage(uintptr_t start, uintptr_t end, int prot)
{
	uint32_t places = 0;

	for_each_page(start, end, release_page, &places);
	for (uint32_t i = region_index(&pg.regions, start); i < pg.regions.nr; i++) {
		const struct region *r = &pg.regions.r[i];
		uintptr_t from = MAX(r->start, start), to = MIN(r->end, end);

		if (from >= to)
			break;
		if (!r->is_foreign)
			transport_unregister(&pg.transport, from, to - from);
	}
	sys_call3(SYS_madvise, (long)start, (long)(end - start), MADV_DOFORK);
	give_back(places);
	return region_protect(&pg.regions, start, end, prot, true);
}

long pager_mprotect(uintptr_t addr, size_t len, int prot)
{

	if (!pg.running || !touches_window(addr, len) || addr & PAGE_MASK || !len ||
	    addr + page_round_up(len) < addr)
		return sys_call3(SYS_mprotect, (long)addr, (long)len, prot);
	len = page_round_up(len);
	uintptr_t end = addr + len;
	bool can_access = prot & (PROT_READ | PROT_WRITE | PROT_EXEC);
	uint64_t mask = call_begin();
	if (!region_covers(&pg.regions, addr, end))
		return call_end(mask, -ENOMEM);
	/* Reclaim reads a page through its mapping unless told that it cannot: tell it before. */
	if (!can_access)
		for_each_page(addr, end, mark_access, &can_access);
	long err = sys_call3(SYS_mprotect, (long)addr, (long)len, prot & ~PROT_EXEC);
	if (!err && can_access)
		for_each_page(addr, end, mark_access, &can_access);
	if (!err && prot & PROT_EXEC)
		err = unmanage(addr, end, prot);
	else if (!err)
		err = region_protect(&pg.regions, addr, end, prot, false);
	if (!err && prot & PROT_EXEC)
		err = sys_call3(SYS_mprotect, (long)addr, (long)len, prot);
	return call_end(mask, err);
}

/* --- madvise --- */

static long discard_advice(uintptr_t addr, size_t len)
{
	uint64_t mask = call_begin();
	long err;

	if (!region_covers(&pg.regions, addr, addr + len)) {
		err = -ENOMEM;
	} else {
		uint32_t places = discard_range(addr, addr + len);

		err = sys_call3(SYS_madvise, (long)addr, (long)len, MADV_DONTNEED);
		give_back(places);
	}
	return call_end(mask, err);
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
	case MADV_WIPEONFORK: /* refused, as by a kernel without it: callers have a way around */
	case MADV_REMOVE:
	case MADV_HWPOISON:
		return -EINVAL;
	default: /* hints about access and huge pages: may be ignored */
		return 0;
	}
}

/* --- mremap --- */

/* The page's entry goes @arg pages up. L1 lock held, dropped and taken again. */
static void move_page(struct pt_leaf leaf, struct vpn vpn, void *arg)
{
	struct vpn to = {vpn.v + (uint64_t) * (int64_t *)arg};
	uint64_t *from_pte = leaf_pte(leaf, vpn);
	uint64_t pte = *from_pte;
	enum page_state state = pte_state(pte);

	/* The kernel forgets write-protection when it moves a mapping: nothing is known clean. */
	if (state == PAGE_MAPPED)
		pte = pte_make(state, pte_payload(pte), (pte & PTE_NO_ACCESS) | PTE_DIRTY);
	*from_pte = 0;
	lock_release(leaf.lock);
	struct pt_leaf dest = ptab_walk(&pg.ptab, to);
	lock_acquire(dest.lock);
	*leaf_pte(dest, to) = pte;
	if (state == PAGE_MAPPED || state == PAGE_HELD)
		atomic_store(&frame_of(&pg.frames, pte_frame(pte))->vpn, to.v);
	lock_release(dest.lock);
	lock_acquire(leaf.lock);
	event_log(&pg.telemetry, EVENT_MOVE, to, UINT32_MAX);
}

static void stand_still(struct pt_leaf leaf, struct vpn vpn, void *arg)
{
	(void)leaf;
	(void)vpn;
	(void)arg;
}

/* Move the kernel's mapping; page by page where it is more than one to the kernel. */
static long raw_move(uintptr_t old, uintptr_t to, size_t len)
{
	const int flags = MREMAP_MAYMOVE | MREMAP_FIXED;
	long r = sys_call5(SYS_mremap, (long)old, (long)len, (long)len, flags, (long)to);

	if (r != -EFAULT)
		return r < 0 ? r : 0;
	for (size_t at = 0; at < len; at += PAGE_BYTES) {
		r = sys_call5(
		    SYS_mremap, (long)(old + at), PAGE_BYTES, PAGE_BYTES, flags, (long)(to + at));
		/* Half moved: no way back that could not fail too. */
		ensure(r >= 0 || at == 0);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Nothing of [start, end) is known to be clean any more: write-protection was lost. */
static void forget_clean(struct pt_leaf leaf, struct vpn vpn, void *arg)
{
	uint64_t *pte = leaf_pte(leaf, vpn);

	(void)arg;
	if (pte_state(*pte) == PAGE_MAPPED)
		pte_set(pte, PAGE_MAPPED, pte_payload(*pte), PTE_DIRTY);
}

/*
 * Move the kernel's mapping. It is unregistered before: a registered mapping that lands beside
 * another one is merged with it, and then the kernel drops the registration of both (seen on
 * Linux 6.18; without EVENT_REMAP a moved mapping loses its userfaultfd). And it is inaccessible
 * meanwhile: absent pages of an unregistered mapping read as zeros; this way a thread that touches
 * one waits for the map lock.
 */
static int move_mapping(uintptr_t old, uintptr_t to, size_t len, int prot)
{
	uintptr_t at = to;

	long err = sys_call3(SYS_mprotect, (long)old, (long)len, PROT_NONE);
	if (err)
		return (int)err;
	err = transport_unregister(&pg.transport, old, len);
	if (!err)
		err = raw_move(old, to, len);
	if (err) {
		at = old;
		for_each_page(old, old + len, forget_clean, NULL);
	}
	/* Unregistered, absent pages would read as zeros. */
	ensure(transport_register(&pg.transport, at, len) == 0);
	ensure(sys_call3(SYS_mprotect, (long)at, (long)len, prot) == 0);
	return (int)err;
}

/*
 * Move the pages of [old, old + len) to the free range at @to, mapping included. With the map lock
 * held exclusively and reclaim locked out, no entry changes but by our own hand; only writes and
 * reads under way must end first.
 */
static int move_range(uintptr_t old, uintptr_t to, size_t len, int prot)
{
	int64_t delta = ((int64_t)to - (int64_t)old) / (int64_t)PAGE_BYTES;

	for (struct vpn v = vpn_of(to); v.v < vpn_of(to + len).v; v = leaf_end(v))
		if (!ptab_walk_create(&pg.ptab, v).pte)
			return -ENOMEM;
	reclaim_stop();
	for_each_page(old, old + len, stand_still, NULL);
	int err = move_mapping(old, to, len, prot);
	if (!err)
		for_each_page(old, old + len, move_page, &delta);
	reclaim_go_on();
	return err;
}

/* Grow by a new mapping behind the old one. Return: 0 or -errno. */
static int extend(uintptr_t start, uintptr_t end, int prot)
{
	int err = map_managed(start, end - start, prot, MAP_FIXED_NOREPLACE);

	if (err)
		return err;
	err = region_add(&pg.regions, (struct region){.start = start, .end = end, .prot = prot});
	if (err)
		raw_munmap(start, end - start);
	return err;
}

/* The whole mapping to @to, which is free, @new_len long there. */
static long mremap_to(uintptr_t old, size_t old_len, uintptr_t to, size_t new_len, int prot)
{
	size_t len = MIN(old_len, new_len);
	int err = move_range(old, to, len, prot);

	if (err)
		return err;
	err = region_remove(&pg.regions, old, old + len);
	if (!err)
		err = region_add(
		    &pg.regions, (struct region){.start = to, .end = to + len, .prot = prot});
	ensure(!err); /* one taken out, one put in */
	if (old_len > len) {
		uint32_t places = discard_range(old + len, old + old_len);

		raw_munmap(old + len, old_len - len);
		region_remove(&pg.regions, old + len, old + old_len);
		give_back(places);
	}
	if (new_len > len) {
		err = extend(to + len, to + new_len, prot);
		if (err)
			return err; /* moved, but not grown: as far as we got */
	}
	return (long)to;
}

static long mremap_fixed(uintptr_t old, size_t old_len, size_t new_len, uintptr_t to, int prot)
{
	if (to & PAGE_MASK || !in_window(to) || to + new_len > WINDOW_END ||
	    (to < old + old_len && old < to + new_len))
		return -EINVAL;
	uint32_t places = discard_range(to, to + new_len);
	int err = region_remove(&pg.regions, to, to + new_len);
	if (!err)
		err = (int)raw_munmap(to, new_len);
	give_back(places);
	return err ? err : mremap_to(old, old_len, to, new_len, prot);
}

static long mremap_managed(uintptr_t old, size_t old_len, size_t new_len, int flags, uintptr_t to)
{
	const struct region *r = region_find(&pg.regions, old);

	if (!r || r->is_foreign || r->end < old + old_len)
		return -EFAULT;
	int prot = r->prot;
	if (flags & MREMAP_FIXED)
		return mremap_fixed(old, old_len, new_len, to, prot);
	uintptr_t old_end = old + old_len, new_end = old + new_len;
	if (new_len <= old_len) {
		if (new_len == old_len)
			return (long)old;
		uint32_t places = discard_range(new_end, old_end);
		int err = region_remove(&pg.regions, new_end, old_end);
		if (!err)
			err = (int)raw_munmap(new_end, old_len - new_len);
		give_back(places);
		return err ? err : (long)old;
	}
	if (new_end <= WINDOW_END && !region_overlaps(&pg.regions, old_end, new_end)) {
		int err = extend(old_end, new_end, prot);

		if (!err)
			return (long)old;
	}
	if (!(flags & MREMAP_MAYMOVE))
		return -ENOMEM;
	to = region_find_free(&pg.regions, new_len);
	return to ? mremap_to(old, old_len, to, new_len, prot) : -ENOMEM;
}

long pager_mremap(uintptr_t old, size_t old_len, size_t new_len, int flags, uintptr_t new_addr)
{
	bool to_window = flags & MREMAP_FIXED && in_window(new_addr);

	if (!pg.running || (!touches_window(old, old_len) && !to_window))
		return sys_call5(
		    SYS_mremap, (long)old, (long)old_len, (long)new_len, flags, (long)new_addr);
	/* Not in this release: out of or into management, and copies that leave a hole. */
	if (!in_window(old) || flags & MREMAP_DONTUNMAP || old & PAGE_MASK || !old_len ||
	    !new_len || flags & ~(MREMAP_MAYMOVE | MREMAP_FIXED) ||
	    new_len > WINDOW_END - WINDOW_START)
		return -EINVAL;
	old_len = page_round_up(old_len);
	new_len = page_round_up(new_len);
	uint64_t mask = call_begin();
	return call_end(mask, mremap_managed(old, old_len, new_len, flags, new_addr));
}

/* --- fork --- */

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
	for_each_page(WINDOW_START, WINDOW_END, forget_clean, NULL);
}
