// SPDX-License-Identifier: MIT
/*
 * The mapping calls: mmap and munmap, and what all of them share. Each holds the map lock
 * exclusively, so that no fault looks at a region that is changing; pages that are BUSY or READING
 * are waited for, before the lock is taken as far as can be. What is not managed goes to the
 * kernel untouched.
 *
 * Managed mappings carry the program's protections in the kernel too: a forbidden access is a
 * true SIGSEGV. (UFFDIO_COPY fills read-only and PROT_NONE mappings just the same.)
 */
#include "pager/mapping.h"

#include <errno.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/syscall.h>

#include "base/ensure.h"

/* What a managed mapping may not be: shared, a file, huge, a stack that grows (or, since the kernel
 * must be able to build a signal frame there, any stack), or placed below 4 GiB. */
#define FOREIGN_FLAGS (MAP_HUGETLB | MAP_GROWSDOWN | MAP_STACK | MAP_32BIT | MAP_SYNC)

/* End of the addresses that a program may use. */
#define TASK_END 0x7ffffffff000ull

/* Whether a page of the range waits for its bytes. Map lock held exclusively: no other begins to.
 */
static bool has_reading(uintptr_t start, uintptr_t end)
{
	struct vpn vpn = vpn_of(MAX(start, WINDOW_START)), last = vpn_of(MIN(end, WINDOW_END));

	while ((vpn = ptab_next(&pg.ptab, vpn, last)).v < last.v) {
		struct pt_leaf leaf = ptab_walk(&pg.ptab, vpn);
		struct vpn stop = {MIN(leaf_end(vpn).v, last.v)};

		for (; vpn.v < stop.v; vpn.v++)
			if (pte_state(__atomic_load_n(leaf_pte(leaf, vpn), __ATOMIC_RELAXED)) ==
			    PAGE_READING)
				return true;
	}
	return false;
}

static bool has_discarded; /* [map_lock] since mapping_begin() */

uint64_t mapping_begin(uintptr_t start, uintptr_t end)
{
	uint64_t mask = sys_signals_block(false);

	pager_enter();
	/* Other threads that go on touching the range could keep this one waiting for ever. */
	for (int tries = 0; tries < 4; tries++) {
		rwlock_write(&pg.map_lock);
		if (!has_reading(start, end))
			return mask;
		rwlock_write_done(&pg.map_lock);
		mapping_each_page(start, end, mapping_page_still, NULL);
	}
	rwlock_write(&pg.map_lock);
	return mask;
}

long mapping_end(uint64_t mask, long result)
{
	bool do_drop = has_discarded;

	has_discarded = false;
	rwlock_write_done(&pg.map_lock);
	if (do_drop)
		swap_tier_drop_dead(pg.swap);
	pager_publish(false);
	pager_leave();
	sys_signals_restore(mask);
	return result;
}

struct piece mapping_piece(uintptr_t at, uintptr_t end)
{
	struct piece p = {.start = at, .end = end, .kind = PIECE_KERNEL};

	if (at < WINDOW_START) {
		p.end = MIN(end, WINDOW_START);
	} else if (at < WINDOW_END) {
		uint32_t i = region_index(&pg.regions, at);
		const struct region *r = i < pg.regions.nr ? &pg.regions.r[i] : NULL;

		p.kind = PIECE_HOLE;
		p.end = MIN(end, WINDOW_END);
		if (r && r->start > at) {
			p.end = MIN(p.end, r->start);
		} else if (r) {
			p.end = MIN(p.end, r->end);
			p.kind = r->is_foreign ? PIECE_KERNEL : PIECE_MANAGED;
			p.r = *r;
		}
	}
	if (!in_window(at))
		p.r.prot = PROT_READ | PROT_WRITE | PROT_EXEC;
	return p;
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
	struct vpn vpn = vpn_of(MAX(start, WINDOW_START)), last = vpn_of(MIN(end, WINDOW_END));

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

	if (tlb_is_on() && state == PAGE_MAPPED)
		tlb_unmapped(vpn, false);
	else if (tlb_is_on())
		tlb_forget(vpn);
	if (state == PAGE_SWAPPED) {
		writeback_forget(*pte);
		swap_free(pg.swap, (struct swap_ref){pte_payload(*pte)});
	} else if (state != PAGE_NONE) {
		release_frame(pte_frame(*pte));
		*nr_places += state == PAGE_MAPPED;
	}
	if (state != PAGE_NONE)
		atomic_fetch_sub_explicit(&pg.nr_populated, 1, memory_order_relaxed);
	/* There is room in RAM or in swap that was not there. */
	if (state != PAGE_NONE && atomic_load(&pg.nospace_streak))
		atomic_store(&pg.nospace_streak, 0);
	event_log(&pg.telemetry, EVENT_DISCARD, vpn, UINT32_MAX);
	*pte = 0;
}

uint32_t mapping_discard(uintptr_t start, uintptr_t end)
{
	uint32_t nr_places = 0;

	has_discarded = true;
	mapping_each_page(start, end, discard_page, &nr_places);
	return nr_places;
}

void mapping_page_still(struct pt_leaf leaf, struct vpn vpn, void *arg)
{
	(void)leaf;
	(void)vpn;
	(void)arg;
}

void mapping_page_dirty(struct pt_leaf leaf, struct vpn vpn, void *arg)
{
	uint64_t *pte = leaf_pte(leaf, vpn);

	(void)arg;
	if (pte_state(*pte) == PAGE_MAPPED)
		pte_set(pte, PAGE_MAPPED, pte_payload(*pte), PTE_DIRTY);
}

void mapping_hold_still(uintptr_t start, uintptr_t end)
{
	reclaim_stop();
	mapping_each_page(start, end, mapping_page_still, NULL);
}

void mapping_give_back(uint32_t nr_places)
{
	places_give(&pg.frames, nr_places);
	event_signal(&pg.frames.freed);
}

/* --- mmap --- */

static bool is_manageable(size_t len, int prot, int flags)
{
	return !atomic_load(&pg.stays_resident) && (flags & MAP_TYPE) == MAP_PRIVATE &&
	       flags & MAP_ANONYMOUS && !(flags & FOREIGN_FLAGS) &&
	       !(prot & ~(PROT_READ | PROT_WRITE)) && len >= pg.config.min_map_bytes;
}

int mapping_make(uintptr_t addr, size_t len, int prot, int fixed)
{
	long p =
	    raw_mmap(addr, len, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | fixed, -1, 0);

	if (p < 0)
		return (int)p;
	if ((uintptr_t)p != addr) {
		raw_munmap((uintptr_t)p, len);
		return -EEXIST;
	}
	long err = raw_madvise(addr, len, MADV_NOHUGEPAGE);
	/* Not inherited: a child made behind our back dies of a touch instead of reading zeros. */
	if (!err || err == -EINVAL) /* EINVAL: a kernel without huge pages */
		err = raw_madvise(addr, len, MADV_DONTFORK);
	if (!err)
		err = transport_register(&pg.transport, addr, len);
	if (err)
		raw_munmap(addr, len);
	return (int)err;
}

int mapping_cut_out(uintptr_t start, uintptr_t end)
{
	const struct region *r = region_find(&pg.regions, start);

	if (!r || r->start == start || r->end <= end)
		return 0;
	if (!raw_madvise(start, end - start, MADV_DONTDUMP))
		return 0;
	raw_madvise(start, end - start, MADV_DODUMP);
	return -ENOMEM;
}

/* Pages with a file behind them are on no way out when that goes, and its number is another's: a
 * write under way would take that one for theirs. Return: to be ended by reclaim_go_on(). */
static bool hold_backed(uintptr_t start, uintptr_t end)
{
	bool is = source_is_in(start, end);

	if (is)
		mapping_hold_still(start, end);
	return is;
}

int mapping_unmap(uintptr_t start, uintptr_t end)
{
	int err = mapping_cut_out(start, end);

	if (!err)
		err = source_flush(start, end);
	if (err)
		return err;
	bool is_held = hold_backed(start, end);
	uint32_t places = mapping_discard(start, end);
	err = region_remove(&pg.regions, start, end);
	if (!err)
		err = (int)raw_munmap(start, end - start);
	source_sweep();
	if (is_held)
		reclaim_go_on();
	mapping_give_back(places);
	return err;
}

/* Anywhere in the window. */
static long mmap_anywhere(uintptr_t hint, size_t len, int prot, uint8_t marks, uint16_t source)
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
	err = region_add(&pg.regions,
	    (struct region){
	        .start = addr, .end = addr + len, .prot = prot, .marks = marks, .source = source});
	if (err) {
		raw_munmap(addr, len);
		return err;
	}
	return (long)addr;
}

/* At a fixed address in the window, over whatever is there. In the window even a small mapping is
 * managed: it may be a piece of a larger one. */
static long mmap_fixed(uintptr_t addr, size_t len, int prot, uint8_t marks)
{
	int err = mapping_cut_out(addr, addr + len);

	if (!err)
		err = source_flush(addr, addr + len);
	if (err)
		return err;
	bool is_held = hold_backed(addr, addr + len);
	uint32_t places = mapping_discard(addr, addr + len);
	err = region_remove(&pg.regions, addr, addr + len);
	if (!err)
		err = mapping_make(addr, len, prot, MAP_FIXED);
	if (!err)
		err = region_add(&pg.regions,
		    (struct region){
		        .start = addr, .end = addr + len, .prot = prot, .marks = marks});
	if (err)
		raw_munmap(addr, len); /* what was there is gone */
	source_sweep();
	if (is_held)
		reclaim_go_on();
	mapping_give_back(places);
	return err ? err : (long)addr;
}

void mapping_replaced(uintptr_t start, uintptr_t end, int prot)
{
	start = MAX(start, WINDOW_START);
	end = MIN(end, WINDOW_END);
	if (start >= end)
		return;
	uint32_t places = mapping_discard(start, end);
	int err = region_remove(&pg.regions, start, end);
	if (!err && prot >= 0)
		err = region_add(&pg.regions,
		    (struct region){.start = start, .end = end, .prot = prot, .is_foreign = true});
	ensure(!err); /* the kernel would have refused so many mappings */
	source_sweep();
	mapping_give_back(places);
}

/* Whether the kernel, which has refused to map something else there, has unmapped what was there.
 */
static bool is_gone(uintptr_t start, uintptr_t end)
{
	unsigned char vec;
	struct piece p;

	for (uintptr_t at = start; at < end; at = p.end) {
		p = mapping_piece(at, end);
		if (p.kind == PIECE_MANAGED)
			return sys_call3(SYS_mincore, (long)at, PAGE_BYTES, (long)&vec) == -ENOMEM;
	}
	return false;
}

/* What the kernel is to map at a fixed address, in the window at least partly. */
struct foreign {
	uintptr_t addr;
	size_t len;
	int prot, flags, fd; /* fd: for shmat, the segment */
	off_t offset;
	bool is_segment;
};

static long map_foreign(const struct foreign *f)
{
	uintptr_t end = f->addr + f->len;

	/* Our own pages lie above the window. */
	if (end > SYS_GATE_PAGE)
		return -ENOMEM;
	long result = source_flush(f->addr, end);
	if (result)
		return result;
	mapping_hold_still(f->addr, end);
	result = f->is_segment ? sys_call3(SYS_shmat, f->fd, (long)f->addr, f->flags)
	                       : raw_mmap(f->addr, f->len, f->prot, f->flags, f->fd, f->offset);
	if (result >= 0)
		mapping_replaced(f->addr, end, f->prot);
	else if (is_gone(f->addr, end))
		mapping_replaced(f->addr, end, -1);
	reclaim_go_on();
	return result;
}

long pager_shmat(int id, uintptr_t addr, int flags)
{
	uintptr_t at = flags & SHM_RND ? addr & ~(uintptr_t)PAGE_MASK : addr;
	struct shmid_ds segment;

	if (!pg.running || !addr || at & PAGE_MASK ||
	    sys_call3(SYS_shmctl, id, IPC_STAT, (long)&segment))
		return sys_call3(SYS_shmat, id, (long)addr, flags);
	struct foreign f = {
	    .addr = at,
	    .len = page_round_up(segment.shm_segsz),
	    .prot = PROT_READ | (flags & SHM_RDONLY ? 0 : PROT_WRITE),
	    .flags = flags,
	    .fd = id,
	    .is_segment = true,
	};
	if (!touches_window(f.addr, f.len))
		return sys_call3(SYS_shmat, id, (long)addr, flags);
	uint64_t mask = mapping_begin(f.addr, f.addr + f.len);
	return mapping_end(mask, map_foreign(&f));
}

static long mmap_managed(uintptr_t addr, size_t len, int prot, int flags)
{
	uint8_t marks = mlock_marks(flags);
	/* Reserved memory counts as locked when it becomes accessible (protect.c). */
	int err = marks && prot & (PROT_READ | PROT_WRITE) ? mlock_may(len) : 0;

	if (err)
		return err == -EPERM ? -EPERM : -EAGAIN;
	if (!(flags & (MAP_FIXED | MAP_FIXED_NOREPLACE)))
		return mmap_anywhere(addr, len, prot, marks, 0);
	if (flags & MAP_FIXED_NOREPLACE && region_overlaps(&pg.regions, addr, addr + len))
		return -EEXIST;
	return mmap_fixed(addr, len, prot, marks);
}

/* MAP_POPULATE, and what is locked. More than there are frames would only push out itself. */
static void populate_new(uintptr_t addr, size_t len, int prot, int flags)
{
	bool is_wanted = (flags & MAP_POPULATE && !(flags & MAP_NONBLOCK)) || flags & MAP_LOCKED ||
	                 mlock_populates();

	if (is_wanted && prot & (PROT_READ | PROT_WRITE))
		mapping_populate(
		    addr, addr + MIN(len, (size_t)frames_usable() << PAGE_SHIFT), POPULATE_LOCK);
}

long pager_mmap(uintptr_t addr, size_t len, int prot, int flags, int fd, off_t offset)
{
	bool is_fixed = flags & (MAP_FIXED | MAP_FIXED_NOREPLACE);
	bool is_ours;

	if (!pg.running || !len || len > WINDOW_END - WINDOW_START || offset & (off_t)PAGE_MASK)
		return raw_mmap(addr, len, prot, flags, fd, offset);
	if (is_fixed) {
		is_ours = in_window(addr) && addr + len <= WINDOW_END &&
		          is_manageable(MAX(len, pg.config.min_map_bytes), prot, flags);
		if (!touches_window(addr, len) || addr & PAGE_MASK || addr + len > TASK_END)
			return raw_mmap(addr, len, prot, flags, fd, offset);
	} else {
		is_ours = is_manageable(len, prot, flags);
		/* A hint is a hint: nothing comes into the window that we do not know of. */
		if (!is_ours)
			return raw_mmap(
			    touches_window(addr, len) ? 0 : addr, len, prot, flags, fd, offset);
	}
	len = page_round_up(len);
	uint64_t mask = is_fixed ? mapping_begin(addr, addr + len) : mapping_begin(0, 0);
	long result;
	if (is_ours && !atomic_load(&pg.stays_resident)) /* still, now that the lock is held */
		result = mmap_managed(addr, len, prot, flags);
	else if (is_fixed)
		result = map_foreign(&(struct foreign){.addr = addr,
		    .len = len,
		    .prot = prot,
		    .flags = flags,
		    .fd = fd,
		    .offset = offset});
	else
		result =
		    raw_mmap(touches_window(addr, len) ? 0 : addr, len, prot, flags, fd, offset);
	result = mapping_end(mask, result);
	if (result >= 0 && is_ours && !atomic_load(&pg.stays_resident))
		populate_new((uintptr_t)result, len, prot, flags);
	return result;
}

long pager_map(size_t len, int prot)
{
	if (!len || len > WINDOW_END - WINDOW_START)
		return len ? -ENOMEM : -EINVAL;
	len = page_round_up(len);
	uint64_t mask = mapping_begin(0, 0);
	long result =
	    atomic_load(&pg.stays_resident)
	        ? raw_mmap(0, len, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
	        : mmap_managed(0, len, prot, 0);
	return mapping_end(mask, result);
}

/* Map lock held exclusively. */
static long map_file(size_t len, int prot, int fd, uint64_t file_page, bool is_shared)
{
	int nr = source_open(fd, file_page, is_shared, prot);

	if (nr < 0)
		return nr;
	long at = mmap_anywhere(0, len, prot, mlock_marks(0), (uint16_t)nr);
	if (at >= 0)
		source_place((uint16_t)nr, vpn_of((uintptr_t)at));
	else
		source_sweep();
	return at;
}

long pager_map_file(size_t len, int prot, int fd, off_t offset, bool is_shared)
{
	if (!len || offset < 0 || offset & (off_t)PAGE_MASK)
		return -EINVAL;
	if (len > WINDOW_END - WINDOW_START)
		return -ENOMEM;
	len = page_round_up(len);
	uint64_t mask = mapping_begin(0, 0);
	long result = atomic_load(&pg.stays_resident)
	                  ? raw_mmap(0, len, prot, is_shared ? MAP_SHARED : MAP_PRIVATE, fd, offset)
	                  : map_file(len, prot, fd, (uint64_t)offset >> PAGE_SHIFT, is_shared);
	return mapping_end(mask, result);
}

long pager_munmap(uintptr_t addr, size_t len)
{
	size_t bytes = page_round_up(len);

	if (!pg.running || !touches_window(addr, bytes) || addr & PAGE_MASK || !bytes ||
	    addr + bytes < addr || addr + bytes > TASK_END)
		return raw_munmap(addr, len);
	uint64_t mask = mapping_begin(addr, addr + bytes);
	return mapping_end(mask, mapping_unmap(addr, addr + bytes));
}

/* --- fork --- */

static long apply_to_regions(bool seal)
{
	long err = 0;

	for (uint32_t i = 0; i < pg.regions.nr; i++) {
		const struct region *r = &pg.regions.r[i];
		long addr = (long)r->start, len = (long)(r->end - r->start);

		/* MADV_DONTFORK is what the kernel has been told all along. */
		if (r->is_foreign || r->marks & REGION_DONTFORK)
			continue;
		long e = sys_call3(SYS_mprotect, addr, len, seal ? PROT_NONE : r->prot);
		if (seal)
			COUNT(&pg.telemetry, shootdowns[FL_SHOOTDOWN_OTHER], 1);
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

/* What the program's MADV_DONTFORK and MADV_WIPEONFORK keep from its child, and frames of shared
 * files. */
static void keep_from_child(void)
{
	for (uint32_t i = pg.regions.nr; i--;) {
		struct region r = pg.regions.r[i];

		/* What is shared was written before, and is the parent's to write again. */
		if (!(r.marks & (REGION_DONTFORK | REGION_WIPEONFORK)) &&
		    !source_is_shared(r.source))
			continue;
		uint32_t places = mapping_discard(r.start, r.end);
		if (r.marks & REGION_DONTFORK)
			region_remove(&pg.regions, r.start, r.end);
		else
			ensure(!raw_madvise(r.start, r.end - r.start, MADV_DONTNEED));
		mapping_give_back(places);
	}
}

void mapping_become_child(void)
{
	keep_from_child();
	mlock_become_child();
	mapping_each_page(WINDOW_START, WINDOW_END, mapping_page_dirty, NULL);
}
