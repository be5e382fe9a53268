// SPDX-License-Identifier: MIT
/* What the files of the mapping calls share. All but mapping_begin(): map lock held exclusively. */
#ifndef FL_PAGER_MAPPING_H
#define FL_PAGER_MAPPING_H

#include <sys/syscall.h>

#include "base/sys.h"
#include "pager/internal.h"

/*
 * Begin a mapping call: signals blocked (a handler of the program that touched managed memory would
 * wait for its own thread), inside the gate, map lock held. Reads of pages of [start, end) that are
 * under way are waited for before that, so that other threads' faults do not wait with this one.
 * Return: the signal mask before.
 */
uint64_t mapping_begin(uintptr_t start, uintptr_t end);
/* End it. Return: @result. */
long mapping_end(uint64_t mask, long result);

/* --- what there is in a range --- */

enum piece_kind {
	PIECE_HOLE,    /* in the window, nothing mapped */
	PIECE_MANAGED, /* part of region `r` */
	PIECE_KERNEL,  /* not ours: outside the window, or a foreign region `r` in it */
};

struct piece {
	uintptr_t start, end;
	enum piece_kind kind;
	/* The region that it is part of; r.end == 0: none. Then only `prot` says something, outside
	 * the window: of what is there nothing is known, and it is taken to be usable. */
	struct region r;
};

/* Return: the piece that begins at @at, @end at most. */
struct piece mapping_piece(uintptr_t at, uintptr_t end);

/* --- pages of a range; only those in the window --- */

typedef void page_fn(struct pt_leaf leaf, struct vpn vpn, void *arg);

/* Call @fn, L1 lock held, for every page of the range that is not NONE, once it is neither BUSY nor
 * READING. */
void mapping_each_page(uintptr_t start, uintptr_t end, page_fn *fn, void *arg);

/* A page_fn: a mapped page is not known to be clean any more, its write-protection was lost. */
void mapping_page_dirty(struct pt_leaf leaf, struct vpn vpn, void *arg);
/* A page_fn that does nothing: wait for reads and reclaim of the pages. */
void mapping_page_still(struct pt_leaf leaf, struct vpn vpn, void *arg);

/* Forget all pages of the range. Return: places to give back once the kernel has unmapped them. */
uint32_t mapping_discard(uintptr_t start, uintptr_t end);
void mapping_give_back(uint32_t nr_places);

/* --- mappings --- */

/* Make the kernel's mapping for a managed range and register it; @fixed: MAP_FIXED or
 * MAP_FIXED_NOREPLACE. Return: 0, or -errno with nothing left behind. */
int mapping_make(uintptr_t addr, size_t len, int prot, int fixed);

/*
 * Make the range a mapping of its own to the kernel, where it is the middle of one: of what may be
 * done to it then, the kernel refuses nothing for want of mappings (vm.max_map_count), and a call
 * that fails has changed nothing. Return: 0 or -ENOMEM.
 */
int mapping_cut_out(uintptr_t start, uintptr_t end);

/* Unmap everything in the range. Return: 0, or -errno with nothing changed. */
int mapping_unmap(uintptr_t start, uintptr_t end);

/* The kernel has replaced what was in the range, of which the part in the window is a foreign
 * region now (@prot >= 0), or nothing. No reclaim since before that: mapping_hold_still(). */
void mapping_replaced(uintptr_t start, uintptr_t end, int prot);

/* No page of the range changes until reclaim_go_on(). */
void mapping_hold_still(uintptr_t start, uintptr_t end);

/* Take a range of one managed region out of management, its bytes in place. Return: 0 or -errno. */
int mapping_unmanage(uintptr_t start, uintptr_t end, int prot);

/* --- mlock.c --- */

/* Whether @bytes more may be locked. Return: 0; -EPERM: not allowed to lock at all; -ENOMEM: over
 * RLIMIT_MEMLOCK, or too few frames would be left. */
int mlock_may(size_t bytes);
/* Whether what is locked could stay so with @places pages mapped at most. */
bool mlock_fits(uint32_t places);
/* The marks that a new mapping gets; @flags as mmap's. */
uint8_t mlock_marks(int flags);
/* Whether a new mapping is brought in at once. */
bool mlock_populates(void);
/* Make the managed part of a range locked or not. */
void mlock_set(uintptr_t start, uintptr_t end, bool locked);
/* In a forked child: locks are not inherited. */
void mlock_become_child(void);

/* --- advise.c --- */

enum populate {
	POPULATE_READ,       /* as MADV_POPULATE_READ */
	POPULATE_WRITE,      /* as MADV_POPULATE_WRITE */
	POPULATE_LOCK,       /* writable where the program may write */
	POPULATE_ALL_LOCKED, /* the same, but only what is locked; errors do not matter */
	POPULATE_SWAPPED, /* only what is in swap, as far as there are frames to spare; likewise */
};

/* Bring in every page of the range, as by a touch; what is not managed too. Return: 0, -ENOMEM (a
 * hole), -EFAULT (not accessible) or -EIO. Context: thread, nothing held. */
long mapping_populate(uintptr_t start, uintptr_t end, enum populate how);

static inline bool touches_window(uintptr_t addr, size_t len)
{
	return addr < WINDOW_END && addr + len > WINDOW_START;
}

static inline long raw_mmap(uintptr_t addr, size_t len, int prot, int flags, int fd, off_t offset)
{
	return sys_call6(SYS_mmap, (long)addr, (long)len, prot, flags, fd, offset);
}

static inline long raw_munmap(uintptr_t addr, size_t len)
{
	return sys_call2(SYS_munmap, (long)addr, (long)len);
}

static inline long raw_madvise(uintptr_t addr, size_t len, int advice)
{
	return sys_call3(SYS_madvise, (long)addr, (long)len, advice);
}

static inline long raw_mprotect(uintptr_t addr, size_t len, int prot)
{
	return sys_call3(SYS_mprotect, (long)addr, (long)len, prot);
}

#endif
