// SPDX-License-Identifier: MIT
/* What mapping.c shares with remap.c. All but mapping_begin(): map lock held exclusively. */
#ifndef FL_PAGER_MAPPING_H
#define FL_PAGER_MAPPING_H

#include "pager/internal.h"

/*
 * Begin a mapping call: signals blocked (a handler of the program that touched managed memory would
 * wait for its own thread), inside the gate, map lock held. Return: the signal mask before.
 */
uint64_t mapping_begin(void);
/* End it. Return: @result. */
long mapping_end(uint64_t mask, long result);

typedef void page_fn(struct pt_leaf leaf, struct vpn vpn, void *arg);

/* Call @fn, L1 lock held, for every page of the range that is not NONE, once it is neither BUSY nor
 * READING. */
void mapping_each_page(uintptr_t start, uintptr_t end, page_fn *fn, void *arg);

/* A page_fn: a mapped page is not known to be clean any more, its write-protection was lost. */
void mapping_page_dirty(struct pt_leaf leaf, struct vpn vpn, void *arg);

/* Forget all pages of the range. Return: places to give back once the kernel has unmapped them. */
uint32_t mapping_discard(uintptr_t start, uintptr_t end);
void mapping_give_back(uint32_t nr_places);

/* Make the kernel's mapping for a managed range and register it; @fixed: MAP_FIXED or
 * MAP_FIXED_NOREPLACE. Return: 0, or -errno with nothing left behind. */
int mapping_make(uintptr_t addr, size_t len, int prot, int fixed);

long mapping_raw_munmap(uintptr_t addr, size_t len);

static inline bool touches_window(uintptr_t addr, size_t len)
{
	return addr < WINDOW_END && addr + len > WINDOW_START;
}

#endif
