// SPDX-License-Identifier: MIT
/* What the machine's own page faults cost, which differ tenfold between machines. */
#include "base/meta.h"
#include "base/sys.h"
#include "pager/internal.h"

#define NR_TOUCHES 15u /* of which the median counts */

static uint64_t median(uint64_t *ns, uint32_t nr)
{
	for (uint32_t i = 1; i < nr; i++)
		for (uint32_t j = i; j && ns[j - 1] > ns[j]; j--) {
			uint64_t t = ns[j];

			ns[j] = ns[j - 1];
			ns[j - 1] = t;
		}
	return ns[nr / 2];
}

uint64_t machine_touch_ns(void)
{
	uint64_t ns[NR_TOUCHES] = {0};
	volatile char *pages = meta_map(NR_TOUCHES * PAGE_BYTES);

	for (uint32_t i = 0; pages && i < NR_TOUCHES; i++) {
		uint64_t began = now_ns();

		pages[i * PAGE_BYTES] = 1;
		ns[i] = now_ns() - began;
	}
	meta_unmap((void *)pages, NR_TOUCHES * PAGE_BYTES);
	return median(ns, NR_TOUCHES);
}
