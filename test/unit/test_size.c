// SPDX-License-Identifier: MIT
#include <criterion/criterion.h>
#include <errno.h>

#include "base/size.h"

Test(size, accepts_what_users_write)
{
	static const struct {
		const char *text;
		uint64_t bytes;
	} cases[] = {
	    {"0", 0},
	    {"67108864", 64ull << 20},
	    {"64M", 64ull << 20},
	    {"64m", 64ull << 20},
	    {"64MiB", 64ull << 20},
	    {"64MB", 64ull << 20},
	    {"1.5G", 3ull << 29},
	    {"0.5k", 512},
	    {"2T", 2ull << 40},
	    {"12B", 12},
	    {"18446744073709551615", UINT64_MAX},
	    {"16777215T", 16777215ull << 40},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		uint64_t bytes = 99;

		cr_expect_eq(size_parse(cases[i].text, &bytes), 0, "%s", cases[i].text);
		cr_expect_eq(bytes, cases[i].bytes, "%s: %lu", cases[i].text, (unsigned long)bytes);
	}
}

Test(size, refuses_the_rest)
{
	static const struct {
		const char *text;
		int error;
	} cases[] = {
	    {"", -EINVAL}, {"M", -EINVAL}, {"-1", -EINVAL}, {"+1", -EINVAL}, {" 1", -EINVAL},
	    {"1 ", -EINVAL}, {"1X", -EINVAL}, {"1MM", -EINVAL}, {"1Mi!", -EINVAL}, {"1.M", -EINVAL},
	    {".5M", -EINVAL}, {"1.5", -EINVAL}, {"0x10", -EINVAL}, {"1e3", -EINVAL},
	    {"18446744073709551616", -ERANGE}, {"99999999999999999999999", -ERANGE},
	    {"16777216T", -ERANGE}, {"16777215.9999999999T", 0}, /* just fits */
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		uint64_t bytes = 99;

		cr_expect_eq(
		    size_parse(cases[i].text, &bytes), cases[i].error, "%s", cases[i].text);
		cr_expect(!cases[i].error || bytes == 99, "%s: written on failure", cases[i].text);
	}
}
