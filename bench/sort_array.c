// SPDX-License-Identifier: MIT
/*
 * A descending array of 64-bit numbers, sorted in place by several threads (as umapsort does it
 * over mapped files): each level of the quicksort is two scans that meet, one backward.
 */
#include "common.h"

#include <getopt.h>
#include <stdio.h>

int main(int argc, char **argv)
{
	static const struct option longs[] = {
	    {"footprint", 1, NULL, 'f'}, {"threads", 1, NULL, 't'}, {0}};
	uint64_t footprint = 256u << 20, wrong = 0;
	uint32_t threads = 4;
	int c;
	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		if (c == 'f')
			footprint = number_or_die("--footprint", optarg);
		else if (c == 't')
			threads = (uint32_t)number_or_die("--threads", optarg);
		else
			return 2;
	}
	size_t n = footprint / sizeof(uint64_t);
	uint64_t *a = map_or_die(footprint);
	double start = now();
	for (size_t i = 0; i < n; i++)
		a[i] = n - i;
	double filled = now();
	sort_u64(a, n, threads);
	double sorted = now();
	for (size_t i = 0; i < n; i++)
		wrong += a[i] != i + 1;
	printf("{\"numbers\": %zu, \"threads\": %u, \"fill_s\": %.3f, \"sort_s\": %.3f, "
	       "\"seconds\": %.3f, \"wrong\": %llu}\n",
	    n, threads, filled - start, sorted - filled, now() - start, (unsigned long long)wrong);
	return wrong != 0;
}
