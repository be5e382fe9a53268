// SPDX-License-Identifier: MIT
/*
 * mremap: grows and shrinks a managed mapping in place, or moves it with all its pages. What goes
 * to an address outside the window leaves management; what comes into the window from outside is
 * there, but not managed.
 *
 * Arguments are refused in the kernel's order, with its errors. A range of more than one region may
 * only be moved as it is (as since Linux 6.17) or shrunk.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "base/ensure.h"
#include "pager/mapping.h"
#include "swap/checksum.h"

#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif

struct remap {
	uintptr_t old;
	size_t old_len, new_len;
	int flags;
	uintptr_t to; /* MREMAP_FIXED */
};

static bool moves_always(const struct remap *m)
{
	return m->flags & (MREMAP_FIXED | MREMAP_DONTUNMAP);
}

/* The page's entry goes @arg pages up. L1 lock held, dropped and taken again. */
static void move_page(struct pt_leaf leaf, struct vpn vpn, void *arg)
{
	struct vpn to = {vpn.v + (uint64_t) * (int64_t *)arg};
	uint64_t *from_pte = leaf_pte(leaf, vpn);
	uint64_t pte = *from_pte;
	enum page_state state = pte_state(pte);

	/* The kernel forgets write-protection when it moves a mapping: nothing is known clean. */
	if (tlb_is_on() && state == PAGE_MAPPED)
		tlb_unmapped(vpn, false); /* touched since pager_mremap() flushed it */
	else if (tlb_is_on())
		tlb_forget(vpn);
	if (state == PAGE_MAPPED)
		pte = pte_make(
		    state, pte_payload(pte), (pte & (PTE_NO_ACCESS | PTE_LOCKED)) | PTE_DIRTY);
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

	long err = raw_mprotect(old, len, PROT_NONE);
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
	ensure(raw_mprotect(at, len, prot) == 0);
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
	mapping_hold_still(old, old + len);
	int err = move_mapping(old, to, len, prot);
	if (!err)
		mapping_each_page(old, old + len, move_page, &delta);
	reclaim_go_on();
	return err;
}

/* A new mapping [start, end), like @like. Return: 0 or -errno. */
static int extend(uintptr_t start, uintptr_t end, const struct region *like)
{
	struct region r = {.start = start, .end = end, .prot = like->prot, .marks = like->marks};
	int err = mapping_make(start, end - start, r.prot, MAP_FIXED_NOREPLACE);

	if (err)
		return err == -EEXIST ? -ENOMEM : err;
	err = region_add(&pg.regions, r);
	if (err)
		raw_munmap(start, end - start);
	return err;
}

/* Move [old, old + len), part of region @r, to the free range at @to. Return: 0, or -errno with
 * nothing changed. */
static int move_region(uintptr_t old, uintptr_t to, size_t len, const struct region *r)
{
	int err = mapping_cut_out(old, old + len);

	if (!err)
		err = move_range(old, to, len, r->prot);
	if (err)
		return err;
	err = region_remove(&pg.regions, old, old + len);
	if (!err)
		err = region_add(&pg.regions,
		    (struct region){
		        .start = to, .end = to + len, .prot = r->prot, .marks = r->marks});
	ensure(!err); /* one taken out, one put in */
	return 0;
}

/* To @to, which is free. What is more there than here is mapped first: it is what may fail. */
static long move_to(const struct remap *m, uintptr_t to, const struct region *r)
{
	size_t len = MIN(m->old_len, m->new_len);
	struct region left = *r;

	if (m->new_len > len) {
		int err = extend(to + len, to + m->new_len, r);

		if (err)
			return err;
	}
	int err = move_region(m->old, to, len, r);
	if (err) {
		if (m->new_len > len)
			mapping_unmap(to + len, to + m->new_len);
		return err;
	}
	/* The old place stays mapped, and is empty: a thread that touched it waits for our lock. */
	left.marks &= (uint8_t)~REGION_LOCKED;
	if (m->flags & MREMAP_DONTUNMAP && extend(m->old, m->old + len, &left))
		return -ENOMEM;
	return (long)to;
}

/* The kernel moves it: what is not managed, or shall not be where it goes. */
static long remap_by_kernel(const struct remap *m, int prot)
{
	bool is_fixed = m->flags & MREMAP_FIXED;
	uintptr_t to = is_fixed ? m->to : 0;

	if (is_fixed && to < WINDOW_END && to + m->new_len > SYS_GATE_PAGE)
		return -ENOMEM;
	long r = is_fixed ? source_flush(to, to + m->new_len) : 0;
	if (r)
		return r;
	mapping_hold_still(to, is_fixed ? to + m->new_len : 0);
	r = sys_call5(
	    SYS_mremap, (long)m->old, (long)m->old_len, (long)m->new_len, m->flags, (long)m->to);
	if (r >= 0 && !(m->flags & MREMAP_DONTUNMAP))
		mapping_replaced(m->old, m->old + m->old_len, -1);
	if (r >= 0)
		mapping_replaced((uintptr_t)r, (uintptr_t)r + m->new_len, prot);
	reclaim_go_on();
	return r;
}

/* Whether the range, whose mapping ends with it, is one mapping to the kernel: asked to enlarge it
 * in place, it says EFAULT before anything else if not. */
static bool is_one_mapping(uintptr_t start, size_t len)
{
	long r = sys_call4(SYS_mremap, (long)start, (long)len, (long)(len + PAGE_BYTES), 0);

	if (r >= 0)
		raw_munmap(start + len, PAGE_BYTES);
	return r != -EFAULT;
}

/* Copy what is not all zeros, and let go of the source on the way: it may be large. */
static void copy_out(uintptr_t from, uintptr_t to, size_t len)
{
	const size_t step = (size_t)512 * PAGE_BYTES;
	size_t done = 0;

	for (size_t at = 0; at < len; at += PAGE_BYTES) {
		const void *page = (const void *)(from + at);

		if (!page_is_zero(page))
			memcpy((void *)(to + at), page, PAGE_BYTES);
		if (at + PAGE_BYTES - done == step || at + PAGE_BYTES == len) {
			raw_madvise(from + done, at + PAGE_BYTES - done, MADV_DONTNEED);
			done = at + PAGE_BYTES;
		}
	}
}

/*
 * The range is not managed any more, and goes to m->to outside the window. What the program knows
 * as one mapping is several to the kernel, which so would not resize it, now or later: it is made
 * anew there, and the bytes are copied.
 */
static long move_by_copy(const struct remap *m, const struct region *r)
{
	const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED;
	size_t len = MIN(m->old_len, m->new_len);
	long to = raw_mprotect(m->old, m->old_len, PROT_READ | PROT_WRITE);

	if (to)
		return to;
	to = raw_mmap(m->to, m->new_len, PROT_READ | PROT_WRITE, flags, -1, 0);
	if (to >= 0) {
		copy_out(m->old, m->to, len);
		if (r->marks & REGION_DONTFORK)
			raw_madvise(m->to, m->new_len, MADV_DONTFORK);
		if (r->marks & REGION_WIPEONFORK)
			raw_madvise(m->to, m->new_len, MADV_WIPEONFORK);
		ensure(raw_mprotect(m->to, m->new_len, r->prot) == 0);
	}
	if (to >= 0 && !(m->flags & MREMAP_DONTUNMAP))
		raw_munmap(m->old, m->old_len);
	else
		raw_mprotect(m->old, m->old_len, r->prot);
	return to;
}

/* What is managed leaves the window. */
static long move_out(const struct remap *m, const struct region *r)
{
	const struct region as_it_was = *r;
	int err = mapping_unmanage(m->old, m->old + m->old_len, r->prot);

	if (err)
		return err;
	/* Over the window's border, of which the kernel is the better judge. */
	if (touches_window(m->to, m->new_len) || is_one_mapping(m->old, m->old_len))
		return remap_by_kernel(m, as_it_was.prot);
	long to = move_by_copy(m, &as_it_was);
	if (to >= 0 && !(m->flags & MREMAP_DONTUNMAP))
		mapping_replaced(m->old, m->old + m->old_len, -1);
	return to;
}

/* In the window every address of the target is ours to give. */
static bool is_target_managed(const struct remap *m)
{
	return !(m->flags & MREMAP_FIXED) || (in_window(m->to) && m->to + m->new_len <= WINDOW_END);
}

/* What lies in one piece @p goes elsewhere. */
static long move_one(const struct remap *m, const struct piece *p)
{
	uintptr_t to = m->to;
	long err = 0;

	if (p->kind == PIECE_KERNEL)
		return remap_by_kernel(m, p->r.prot);
	if (!is_target_managed(m))
		return move_out(m, &p->r);
	if (m->flags & MREMAP_FIXED)
		err = mapping_unmap(m->to, m->to + m->new_len);
	else
		to = region_find_free(&pg.regions, m->new_len);
	if (err)
		return err;
	return to ? move_to(m, to, &p->r) : -ENOMEM;
}

/* The same length to a fixed address, piece by piece. What is behind a hole stays. */
static long move_pieces(const struct remap *m)
{
	uintptr_t end = m->old + m->old_len;
	struct piece p;
	long r = 0;

	for (uintptr_t at = m->old; at < end && r >= 0; at = p.end) {
		struct remap part = *m;

		p = mapping_piece(at, end);
		part.old = at;
		part.old_len = part.new_len = p.end - at;
		part.to = m->to + (at - m->old);
		if (p.kind != PIECE_HOLE)
			r = move_one(&part, &p);
	}
	return r < 0 ? r : (long)m->to;
}

/* MREMAP_FIXED, MREMAP_DONTUNMAP. */
static long move_always(const struct remap *m, const struct piece *p)
{
	struct remap rest = *m;

	rest.old_len = MIN(m->old_len, m->new_len);
	if (m->old_len == m->new_len && m->flags & MREMAP_FIXED)
		return move_pieces(m);
	if (p->end < m->old + rest.old_len)
		return -EFAULT;
	if (m->new_len > m->old_len && p->r.marks & REGION_LOCKED &&
	    mlock_may(m->new_len - m->old_len))
		return -EAGAIN;
	if (rest.old_len < m->old_len) {
		int err = mapping_unmap(m->old + rest.old_len, m->old + m->old_len);

		if (err)
			return err;
	}
	return move_one(&rest, p);
}

static long grow(const struct remap *m, const struct piece *p)
{
	uintptr_t old_end = m->old + m->old_len, new_end = m->old + m->new_len;

	if (p->end < old_end)
		return -EFAULT;
	if (p->kind == PIECE_KERNEL)
		return remap_by_kernel(m, p->r.prot);
	if (p->r.marks & REGION_LOCKED && mlock_may(m->new_len - m->old_len))
		return -EAGAIN;
	if (new_end <= WINDOW_END && !region_overlaps(&pg.regions, old_end, new_end) &&
	    !extend(old_end, new_end, &p->r))
		return (long)m->old;
	if (!(m->flags & MREMAP_MAYMOVE))
		return -ENOMEM;
	uintptr_t to = region_find_free(&pg.regions, m->new_len);
	return to ? move_to(m, to, &p->r) : -ENOMEM;
}

static long remap(const struct remap *m)
{
	struct piece p = mapping_piece(m->old, m->old + MAX(m->old_len, PAGE_BYTES));
	uintptr_t new_end = m->old + m->new_len, old_end = m->old + m->old_len;

	if (p.kind == PIECE_HOLE)
		return -EFAULT;
	if (!m->old_len)
		return -EINVAL; /* it would be a second mapping of shared memory */
	if (!moves_always(m) && m->new_len <= m->old_len) {
		long err = new_end < old_end ? mapping_unmap(new_end, old_end) : 0;

		return err ? err : (long)m->old;
	}
	return moves_always(m) ? move_always(m, &p) : grow(m, &p);
}

static bool is_valid(const struct remap *m)
{
	if (m->flags & ~(MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP) || m->old & PAGE_MASK ||
	    !m->new_len || m->old + m->old_len < m->old)
		return false;
	if (!moves_always(m))
		return true;
	if (!(m->flags & MREMAP_MAYMOVE) ||
	    (m->flags & MREMAP_DONTUNMAP && m->old_len != m->new_len))
		return false;
	return !(m->flags & MREMAP_FIXED) ||
	       (!(m->to & PAGE_MASK) && m->to + m->new_len >= m->to &&
	           (m->to >= m->old + m->old_len || m->old >= m->to + m->new_len));
}

/* Which page of its file belongs to an address is not to change. */
static bool is_file_backed(uintptr_t start, uintptr_t end)
{
	for (uint32_t i = region_index(&pg.regions, start);
	     i < pg.regions.nr && pg.regions.r[i].start < end; i++)
		if (pg.regions.r[i].source)
			return true;
	return false;
}

/* What moves is not in the TLB where it goes. */
static void flush_tlb(uintptr_t start, uintptr_t end)
{
	uint64_t mask = sys_signals_block(false);

	pager_enter();
	tlb_flush(start, end);
	pager_leave();
	sys_signals_restore(mask);
}

long pager_mremap(uintptr_t old, size_t old_len, size_t new_len, int flags, uintptr_t new_addr)
{
	struct remap m = {.old = old,
	    .old_len = page_round_up(old_len),
	    .new_len = page_round_up(new_len),
	    .flags = flags,
	    .to = new_addr};
	bool to_window = flags & MREMAP_FIXED && touches_window(new_addr, m.new_len);

	if (!pg.running || (!touches_window(old, MAX(m.old_len, PAGE_BYTES)) && !to_window))
		return sys_call5(
		    SYS_mremap, (long)old, (long)old_len, (long)new_len, flags, (long)new_addr);
	if (!is_valid(&m))
		return -EINVAL;
	if (m.new_len > WINDOW_END - WINDOW_START)
		return -ENOMEM;
	if (tlb_is_on() && in_window(old))
		flush_tlb(old, old + m.old_len);
	uint64_t mask = mapping_begin(old, old + m.old_len);
	long result = is_file_backed(old, old + MAX(m.old_len, PAGE_BYTES)) ? -EINVAL : remap(&m);
	result = mapping_end(mask, result);
	if (result >= 0 && m.new_len > m.old_len)
		mapping_populate((uintptr_t)result + m.old_len, (uintptr_t)result + m.new_len,
		    POPULATE_ALL_LOCKED);
	return result;
}
