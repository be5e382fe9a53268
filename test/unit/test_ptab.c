// SPDX-License-Identifier: MIT
#include <criterion/criterion.h>

#include "mmu/ptab.h"

Test(ptab, empty_table_has_no_leaves)
{
	struct ptab pt;

	cr_assert_eq(ptab_init(&pt), 0);
	cr_expect_null(ptab_walk(&pt, (struct vpn){0x400000000}).pte);
	cr_expect_eq(ptab_next(&pt, (struct vpn){0}, (struct vpn){1ull << 36}).v, 1ull << 36);
	cr_expect_eq(atomic_load(&pt.nr_tables), 1);
}

Test(ptab, walk_finds_what_create_made)
{
	struct ptab pt;
	const struct vpn far[] = {
	    {0x400000000}, {0x4000001ff}, {0x400000200}, {0x440000000}, {0x4ffffffff}};

	cr_assert_eq(ptab_init(&pt), 0);
	for (size_t i = 0; i < ARRAY_LEN(far); i++) {
		struct pt_leaf leaf = ptab_walk_create(&pt, far[i]);

		cr_assert_not_null(leaf.pte);
		*leaf_pte(leaf, far[i]) = i + 1;
	}
	for (size_t i = 0; i < ARRAY_LEN(far); i++) {
		struct pt_leaf leaf = ptab_walk(&pt, far[i]);

		cr_expect_eq(*leaf_pte(leaf, far[i]), i + 1);
	}

	/* L4; an L3 and an L2 each for three far ends; 0x4000001ff shares an L1 with its neighbour.
	 */
	cr_expect_eq(atomic_load(&pt.nr_tables), 1 + 3 + 3 + 4);
}

Test(ptab, next_skips_absent_branches)
{
	struct ptab pt;
	struct vpn a = {0x400000000}, b = {0x412345678}, end = {0x500000000};

	cr_assert_eq(ptab_init(&pt), 0);
	ptab_walk_create(&pt, a);
	ptab_walk_create(&pt, b);
	cr_expect_eq(ptab_next(&pt, (struct vpn){0x3fffffff0}, end).v, a.v);
	cr_expect_eq(ptab_next(&pt, (struct vpn){a.v + 5}, end).v, a.v + 5);
	cr_expect_eq(ptab_next(&pt, leaf_end(a), end).v, b.v & ~511ull);
	cr_expect_eq(ptab_next(&pt, leaf_end(b), end).v, end.v);
	cr_expect_eq(ptab_next(&pt, leaf_end(a), b).v, b.v & ~511ull);
}

Test(ptab, entries_keep_state_payload_and_flags)
{
	for (int state = PAGE_MAPPED; state <= PAGE_SWAPPED; state++) {
		uint64_t pte =
		    pte_make((enum page_state)state, 0xfedcba9876, PTE_DIRTY | PTE_NO_ACCESS);

		cr_expect_eq(pte_state(pte), (enum page_state)state);
		cr_expect_eq(pte_payload(pte), 0xfedcba9876ull);
		cr_expect(pte & PTE_DIRTY && pte & PTE_NO_ACCESS);
		cr_expect_eq(!!(pte & PTE_PRESENT), state == PAGE_MAPPED);
		cr_expect_eq(!!(pte & PTE_WRITE), state == PAGE_MAPPED);
	}
}
