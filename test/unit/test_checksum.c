// SPDX-License-Identifier: MIT
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include <sys/syscall.h>

#include "support.h"
#include "swap/checksum.h"

static char page[PAGE_BYTES] __attribute__((aligned(PAGE_BYTES)));

Test(checksum, every_bit_counts)
{
	checksum_seed();
	page_stamp(page, 1);
	uint64_t sum = page_checksum(page);

	for (size_t bit = 0; bit < PAGE_BYTES * 8; bit++) {
		page[bit / 8] ^= (char)(1 << bit % 8);
		cr_assert_neq(page_checksum(page), sum, "bit %zu", bit);
		page[bit / 8] ^= (char)(1 << bit % 8);
	}
	cr_expect_eq(page_checksum(page), sum);
}

Test(checksum, does_not_depend_on_the_address)
{
	char *two = pages_new(2);

	checksum_seed();
	page_stamp(two, 5);
	page_stamp(two + PAGE_BYTES, 5);
	cr_expect_eq(page_checksum(two), page_checksum(two + PAGE_BYTES));
}

Test(checksum, each_seed_is_another)
{
	checksum_seed();
	uint64_t sum = page_checksum(page);
	checksum_seed();
	cr_expect_neq(page_checksum(page), sum);
}

Test(checksum, seeds_without_getrandom)
{
	inject(SYS_getrandom, 0, -ENOSYS);
	checksum_seed();
	cr_expect(inject_stop());
	uint64_t sum = page_checksum(page);
	page[0] = 1;
	cr_expect_neq(page_checksum(page), sum);
	checksum_seed();
	page[0] = 0;
	cr_expect_neq(page_checksum(page), sum);
}

Test(checksum, zero_means_every_byte)
{
	cr_expect(page_is_zero(page));
	for (size_t i = 0; i < PAGE_BYTES; i++) {
		page[i] = (char)0x80;
		cr_assert_not(page_is_zero(page), "byte %zu", i);
		page[i] = 0;
	}
	cr_expect(page_is_zero(page));
}
