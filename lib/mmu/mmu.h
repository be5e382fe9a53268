// SPDX-License-Identifier: MIT
/* One processor's MMU, inside. */
#ifndef FL_MMU_MMU_H
#define FL_MMU_MMU_H

#include "mmu/tlb.h"

#define NR_PSC 3u

struct fl_mmu {
	struct fl_mmu_head head; /* first: the inline functions cast to it */
	struct fl_phys *phys;
	uint32_t nr_levels;
	struct tlb_level level[2];
	struct psc psc[NR_PSC]; /* [0] = level 4 */

	/* The current space by value: it may be closed before we leave it. */
	bool has_space;
	uint64_t root;
	uint16_t asid;
	enum fl_mode mode;

	uint32_t nr_asids;    /* 0: none; all entries have ASID 0 */
	uint32_t next_asid;   /* the one to be given away next */
	uint64_t *asid_space; /* [asid] = id of its space; 0 = nobody's */
	uint64_t only_space;  /* without ASIDs: id of the current space */

	fl_fault_handler *handler;
	void *handler_context;

	uint64_t clock_at_reset;
	struct fl_mmu_counts counts; /* .accesses and level[0].hits follow from the clock */
};

/* Whether a configuration keeps to what faultline/mmu.h allows. */
bool config_is_valid(const struct fl_mmu_config *config);

/* Drop all entries for @va that the space @asid would use, pieces included. */
void mmu_drop_page(struct fl_mmu *m, uint64_t va, uint16_t asid);

/* Take out of the inline index what stands for @e / everything. */
void fast_forget(struct fl_mmu *m, const struct tlb_entry *e);
void fast_forget_all(struct fl_mmu *m);

#endif
