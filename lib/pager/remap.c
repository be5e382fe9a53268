// SPDX-License-Identifier: MIT
/*
 * mremap: grows and shrinks a managed mapping in place, or moves it with all its pages.
 */
#include <errno.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "base/ensure.h"
#include "base/sys.h"
#include "pager/mapping.h"

#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif

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
		mapping_each_page(old, old + len, mapping_page_dirty, NULL);
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
	mapping_each_page(old, old + len, stand_still, NULL);
	int err = move_mapping(old, to, len, prot);
	if (!err)
		mapping_each_page(old, old + len, move_page, &delta);
	reclaim_go_on();
	return err;
}

/* Grow by a new mapping behind the old one. Return: 0 or -errno. */
static int extend(uintptr_t start, uintptr_t end, int prot)
{
	int err = mapping_make(start, end - start, prot, MAP_FIXED_NOREPLACE);

	if (err)
		return err;
	err = region_add(&pg.regions, (struct region){.start = start, .end = end, .prot = prot});
	if (err)
		mapping_raw_munmap(start, end - start);
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
		uint32_t places = mapping_discard(old + len, old + old_len);

		mapping_raw_munmap(old + len, old_len - len);
		region_remove(&pg.regions, old + len, old + old_len);
		mapping_give_back(places);
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
	uint32_t places = mapping_discard(to, to + new_len);
	int err = region_remove(&pg.regions, to, to + new_len);
	if (!err)
		err = (int)mapping_raw_munmap(to, new_len);
	mapping_give_back(places);
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
		uint32_t places = mapping_discard(new_end, old_end);
		int err = region_remove(&pg.regions, new_end, old_end);
		if (!err)
			err = (int)mapping_raw_munmap(new_end, old_len - new_len);
		mapping_give_back(places);
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
	uint64_t mask = mapping_begin();
	return mapping_end(mask, mremap_managed(old, old_len, new_len, flags, new_addr));
}
