// SPDX-License-Identifier: MIT
/*
 * mprotect of any sub-range, and leaving management: a range that becomes executable, or a stack,
 * goes to the program for good, its bytes in place.
 */
#include <errno.h>
#include <sys/mman.h>

#include "base/ensure.h"
#include "pager/mapping.h"

/* PROT_SEM means nothing on x86; PROT_GROWSDOWN and _GROWSUP the kernel judges. */
#define KNOWN_PROTS \
	(PROT_READ | PROT_WRITE | PROT_EXEC | 8 /* SEM */ | PROT_GROWSDOWN | PROT_GROWSUP)

static bool is_accessible(int prot)
{
	return prot & (PROT_READ | PROT_WRITE | PROT_EXEC);
}

static void mark_access(struct pt_leaf leaf, struct vpn vpn, void *arg)
{
	uint64_t *pte = leaf_pte(leaf, vpn);

	*pte = *(bool *)arg ? *pte & ~PTE_NO_ACCESS : *pte | PTE_NO_ACCESS;
}

/* The page goes to the program for good: present. */
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
	(void)arg;
}

int mapping_unmanage(uintptr_t start, uintptr_t end, int prot)
{
	const struct region *r = region_find(&pg.regions, start);
	uint8_t marks = r->marks;

	int err = source_flush(start, end);

	if (err)
		return err;
	/* What is present stays so between the two: no reclaim. */
	mapping_hold_still(start, end);
	if (r->source)
		err = source_unmanage(r, start, end, prot);
	if (err) {
		reclaim_go_on();
		return err;
	}
	if (!source_is_shared(r->source)) /* else the kernel has the file there now */
		mapping_each_page(start, end, release_page, NULL);
	uint32_t places = mapping_discard(start, end);
	transport_unregister(&pg.transport, start, end - start);
	if (!(marks & REGION_DONTFORK))
		raw_madvise(start, end - start, MADV_DOFORK);
	if (marks & REGION_WIPEONFORK)
		raw_madvise(start, end - start, MADV_WIPEONFORK);
	err = region_protect(&pg.regions, start, end, prot, true);
	source_sweep();
	reclaim_go_on();
	mapping_give_back(places);
	return err;
}

int pager_release(uintptr_t addr, size_t len)
{
	uintptr_t end = page_round_up(addr + len), start = addr & ~PAGE_MASK;
	int err = 0;
	struct piece p;

	if (!pg.running || !touches_window(addr, len))
		return 0;
	uint64_t mask = mapping_begin(start, end);
	for (; start < end && !err; start = p.end) {
		p = mapping_piece(start, end);
		if (p.kind == PIECE_MANAGED)
			err = mapping_unmanage(p.start, p.end, p.r.prot);
	}
	return (int)mapping_end(mask, err);
}

/* Part of one managed region becomes executable, and leaves. */
static long make_executable(const struct piece *p, int prot)
{
	int err = mapping_cut_out(p->start, p->end);

	/* What is refused (the bits of @prot, a policy) is refused while nothing has changed. */
	if (!err)
		err = (int)raw_mprotect(p->start, p->end - p->start, prot);
	return err ? err : mapping_unmanage(p->start, p->end, prot);
}

static long protect_managed(const struct piece *p, int prot)
{
	bool could = is_accessible(p->r.prot), can = is_accessible(prot);

	if (prot & PROT_EXEC)
		return make_executable(p, prot);
	if (!source_allows(p->r.source, prot))
		return -EACCES;
	/* Reclaim reads a page through its mapping unless told that it cannot: tell it before. */
	if (could && !can)
		mapping_each_page(p->start, p->end, mark_access, &can);
	long err = raw_mprotect(p->start, p->end - p->start, prot);
	if (err ? could && !can : can && !could)
		mapping_each_page(p->start, p->end, mark_access, err ? &could : &can);
	if (!err)
		err = region_protect(&pg.regions, p->start, p->end, prot, false);
	/* Reserved memory counts as locked only now; there may be no frames for it. */
	if (!err && can && !could && p->r.marks & REGION_LOCKED && mlock_may(0))
		mlock_set(p->start, p->end, false);
	return err;
}

/* Return: 0 or -errno; *@ret_populate: whether locked memory became accessible. */
static long protect_pieces(uintptr_t addr, uintptr_t end, int prot, bool *ret_populate)
{
	long err = 0;

	/* Up to a hole the kernel changes what there is, and then says ENOMEM. */
	for (struct piece p; addr < end && !err; addr = p.end) {
		p = mapping_piece(addr, end);
		if (p.kind == PIECE_HOLE)
			return -ENOMEM;
		if (p.kind == PIECE_MANAGED) {
			err = protect_managed(&p, prot);
			*ret_populate |= p.r.marks & REGION_LOCKED;
			continue;
		}
		err = raw_mprotect(p.start, p.end - p.start, prot);
		if (!err && in_window(p.start))
			err = region_protect(&pg.regions, p.start, p.end, prot, false);
	}
	return err;
}

long pager_mprotect(uintptr_t addr, size_t len, int prot)
{
	size_t bytes = page_round_up(len);
	bool populate = false;

	if (!pg.running || !touches_window(addr, bytes) || addr & PAGE_MASK || !bytes ||
	    addr + bytes < addr)
		return raw_mprotect(addr, len, prot);
	if (prot & ~KNOWN_PROTS)
		return -EINVAL;
	uint64_t mask = mapping_begin(addr, addr + bytes);
	long err = mapping_end(mask, protect_pieces(addr, addr + bytes, prot, &populate));
	if (!err && populate && prot & PROT_WRITE)
		mapping_populate(addr, addr + bytes, POPULATE_LOCK);
	return err;
}
