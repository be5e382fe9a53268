// SPDX-License-Identifier: MIT
/* Named TLB configurations, and what a configuration must be; see faultline/mmu.h. */
#include <errno.h>

#include "mmu/mmu.h"

#define K (1u << FL_PAGE_4K)
#define M (1u << FL_PAGE_2M)
#define G (1u << FL_PAGE_1G)

#define MAX_ENTRIES   65536u
#define MAX_PLRU_WAYS 64u
#define MAX_ASIDS     4096u /* x86: 12 bits of PCID */
#define MAX_PSC       1024u

static const struct fl_mmu_config presets[] = {
    {
        .name = "intel-skylake",
        .source = "Intel 64 and IA-32 Architectures Optimization Reference Manual, 248966-045 "
                  "(2022), table 2-15, \"TLB Parameters of the Skylake Client Microarchitecture\": "
                  "DTLB and STLB. Paging-structure caches exist (SDM 3A, 4.10.3), but their sizes "
                  "are not given: none here. Replacement is not given: LRU here.",
        .nr_levels = 2,
        .level =
            {
                {3, {{16, 4, K, FL_LRU}, {8, 4, M, FL_LRU}, {1, 4, G, FL_LRU}}},
                {2, {{128, 12, K | M, FL_LRU}, {4, 4, G, FL_LRU}}},
            },
        .nr_asids = MAX_ASIDS,
    },
    {
        .name = "amd-zen",
        .source = "AMD, Software Optimization Guide for AMD Family 17h Processors, 55723 rev. 3.00 "
                  "(2017), section 2.7: L1 and L2 DTLB; 1 GiB pages are smashed into 2 MiB "
                  "entries in L2. The page walk cache is not modelled, and L2 is indexed plainly. "
                  "Replacement is not given: LRU here. PCIDs came with Zen 3: no ASIDs.",
        .nr_levels = 2,
        .level =
            {
                {1, {{1, 64, K | M | G, FL_LRU}}},
                {1, {{128, 12, K | M, FL_LRU}}},
            },
    },
    {
        .name = "amd-jaguar",
        .source = "AMD, Software Optimization Guide for AMD Family 16h Processors, 52128 rev. 1.1 "
                  "(2013), section 2.6: DTLBs; 1 GiB pages are smashed into 2 MiB entries; a page "
                  "directory cache of 16 entries. Replacement is not given: LRU here. No PCIDs.",
        .nr_levels = 2,
        .level =
            {
                {2, {{1, 40, K, FL_LRU}, {1, 8, M, FL_LRU}}},
                {2, {{128, 4, K, FL_LRU}, {128, 2, M, FL_LRU}}},
            },
        .psc = {0, 0, 16},
    },
};

const struct fl_mmu_config *fl_mmu_preset(size_t i)
{
	return i < ARRAY_LEN(presets) ? &presets[i] : NULL;
}

const struct fl_mmu_config *fl_mmu_preset_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(presets); i++)
		if (!strcmp(presets[i].name, name))
			return &presets[i];
	return NULL;
}

uint64_t fl_mmu_reach(const struct fl_mmu_config *config, uint32_t level, enum fl_page page)
{
	uint32_t nr[FL_NR_PAGES] = {0};

	if (level >= config->nr_levels || page >= FL_NR_PAGES)
		return 0;
	const struct fl_tlb_level *l = &config->level[level];
	for (uint32_t i = 0; i < l->nr_units; i++)
		for (int size = 0; size < FL_NR_PAGES; size++)
			if (l->unit[i].pages & 1u << size)
				nr[size] = l->unit[i].sets * l->unit[i].ways;
	for (int size = (int)page; size >= 0; size--)
		if (nr[size])
			return nr[size] * fl_page_bytes((enum fl_page)size);
	return 0;
}

static bool unit_is_valid(const struct fl_tlb_unit *u)
{
	if (!u->sets || u->sets & (u->sets - 1) || !u->ways || u->ways > MAX_ENTRIES ||
	    u->sets > MAX_ENTRIES / u->ways)
		return false;
	if (u->replacement > FL_CLOCK || (u->replacement == FL_PLRU && u->ways > MAX_PLRU_WAYS))
		return false;
	return u->pages && !(u->pages & ~(K | M | G));
}

bool config_is_valid(const struct fl_mmu_config *config)
{
	if (config->nr_levels > ARRAY_LEN(config->level) || config->nr_asids > MAX_ASIDS)
		return false;
	for (uint32_t i = 0; i < ARRAY_LEN(config->psc); i++)
		if (config->psc[i] > MAX_PSC)
			return false;
	for (uint32_t l = 0; l < config->nr_levels; l++) {
		const struct fl_tlb_level *level = &config->level[l];
		uint32_t held = 0;

		if (level->nr_units > ARRAY_LEN(level->unit))
			return false;
		for (uint32_t i = 0; i < level->nr_units; i++) {
			if (!unit_is_valid(&level->unit[i]) || held & level->unit[i].pages)
				return false;
			held |= level->unit[i].pages;
		}
	}
	return true;
}
