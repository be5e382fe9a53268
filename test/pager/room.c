// SPDX-License-Identifier: MIT
/*
 * Swap that was full is not full for ever: room PAGES pages out more than swap holds, gives all of
 * it back, and fills PAGES once more, which is more than RAM. To be run with --exact, with RAM and
 * swap that have room for PAGES together.
 */
#include <stdlib.h>
#include <sys/mman.h>

#include "base/types.h"
#include "check.h"

static uint64_t *map_filled(size_t pages)
{
	uint64_t *p = mmap(
	    NULL, pages * PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(p != MAP_FAILED);
	for (size_t i = 0; i < pages * PAGE_BYTES / sizeof(*p); i++)
		p[i] = random_below(UINT64_MAX);
	return p;
}

int main(int argc, char **argv)
{
	CHECK(argc == 2);
	size_t pages = strtoul(argv[1], NULL, 10), most = pages * 3 / 4;
	uint64_t *p = map_filled(most);

	for (int i = 0; i < 6; i++)
		CHECK(madvise(p, most * PAGE_BYTES, MADV_PAGEOUT) == 0);
	CHECK(munmap(p, most * PAGE_BYTES) == 0);
	map_filled(pages);
	return 0;
}
