// SPDX-License-Identifier: MIT
/* The walk through the tables, inside. */
#ifndef FL_MMU_WALK_H
#define FL_MMU_WALK_H

#include "mmu/space.h"

/* Where a walk begins, and what the levels above it granted: from CR3, or from
 * a paging-structure cache. */
struct walk_start {
	uint64_t table; /* frame; need not be a table any more, if a cache says so */
	uint32_t level;
	uint32_t prot; /* FL_WRITE, FL_EXEC, FL_USER as far as granted above */
};

static inline struct walk_start walk_from_root(const struct fl_space *space)
{
	return (struct walk_start){space->root, ROOT_LEVEL, FL_READ | FL_WRITE | FL_EXEC | FL_USER};
}

/*
 * Walk to @va for @access in @mode; @is_marking: set accessed and dirty bits if it is allowed. @va
 * is canonical. Return: 0 or -EFAULT, with @ret filled.
 */
int walk_tables(struct fl_phys *phys, struct walk_start start, uint64_t va, enum fl_access access,
    enum fl_mode mode, bool is_marking, struct fl_walk *ret);

/* What @prot denies. Return: FL_FAULT_NONE or the first of the kinds, in fl_fault's order. */
enum fl_fault_kind prot_denies(uint32_t prot, enum fl_access access, enum fl_mode mode);

/* What a level with @entry grants, as FL_ bits. */
uint32_t entry_grants(uint64_t entry);

/* The page-fault error code. */
uint32_t fault_code(enum fl_fault_kind kind, enum fl_access access, enum fl_mode mode);

/* The fault of an address that is not canonical. */
struct fl_fault fault_non_canonical(uint64_t va, enum fl_access access, enum fl_mode mode);

#endif
