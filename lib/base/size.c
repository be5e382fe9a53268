// SPDX-License-Identifier: MIT
/* Parsing sizes; see size.h. */
#include "base/size.h"

#include <errno.h>

static int suffix_shift(const char *s)
{
	static const char units[] = "KMGT";
	int shift = 0;

	if (!*s)
		return 0;
	for (int i = 0; units[i]; i++)
		if ((*s & ~0x20) == units[i])
			shift = 10 * (i + 1);
	if (!shift)
		return s[0] == 'B' && !s[1] ? 0 : -EINVAL;
	s++;
	if (*s == 'i')
		s++;
	if (*s == 'B')
		s++;
	return *s ? -EINVAL : shift;
}

int size_parse(const char *text, uint64_t *ret_bytes)
{
	uint64_t whole = 0, fraction = 0, scale = 1;
	const char *s = text;

	if (*s < '0' || *s > '9')
		return -EINVAL;
	for (; *s >= '0' && *s <= '9'; s++)
		if (__builtin_mul_overflow(whole, 10u, &whole) ||
		    __builtin_add_overflow(whole, (uint64_t)(*s - '0'), &whole))
			return -ERANGE;
	if (*s == '.') {
		if (s[1] < '0' || s[1] > '9')
			return -EINVAL;
		for (s++; *s >= '0' && *s <= '9'; s++) {
			if (scale >= 1000000)
				continue;
			fraction = fraction * 10 + (uint64_t)(*s - '0');
			scale *= 10;
		}
	}
	int shift = suffix_shift(s);
	if (shift < 0)
		return shift;
	if (scale > 1 && !shift)
		return -EINVAL; /* half a byte */
	if (whole > UINT64_MAX >> shift)
		return -ERANGE;
	if (__builtin_add_overflow(whole << shift, (fraction << shift) / scale, ret_bytes))
		return -ERANGE;
	return 0;
}
