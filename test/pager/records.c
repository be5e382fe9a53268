// SPDX-License-Identifier: MIT
/*
 * Records at random places of memory four times as large as RAM: records HOW NUMBER. HOW is "above"
 * (each begins near a page's end and goes on in the next), "below" (its header is behind it: first
 * the next page is touched, then the page), "mixed" (half of them as above, half end where they
 * begin, elsewhere in a page) or "alone" (all of these end where they begin). What it counts as
 * faults and reads is the caller's to look at; that every value is right is looked at here.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/types.h"
#include "check.h"

#define NR_PAGES  4096u
#define BYTES     (NR_PAGES * PAGE_BYTES)
#define NEAR_END  3900u
#define BEHIND    100u
#define SOMEWHERE 900u

static char *area;

static void look_at(uint64_t page, size_t offset)
{
	uint32_t value;

	memcpy(&value, area + page * PAGE_BYTES + offset, sizeof(value));
	CHECK(value == (uint32_t)(page * 31 + offset));
}

static void put(uint64_t page, size_t offset)
{
	uint32_t value = (uint32_t)(page * 31 + offset);

	memcpy(area + page * PAGE_BYTES + offset, &value, sizeof(value));
}

int main(int argc, char **argv)
{
	CHECK(argc == 3);
	const char *how = argv[1];
	uint64_t nr = strtoul(argv[2], NULL, 10);

	area = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(area != MAP_FAILED);
	for (uint64_t page = 0; page < NR_PAGES; page++) {
		put(page, NEAR_END);
		put(page, BEHIND);
		put(page, SOMEWHERE);
	}
	for (uint64_t i = 0; i < nr; i++) {
		uint64_t page = random_below(NR_PAGES - 1);
		bool is_alone = !strcmp(how, "alone") || (!strcmp(how, "mixed") && i % 2);

		if (!strcmp(how, "below")) {
			look_at(page + 1, BEHIND);
			look_at(page, SOMEWHERE);
		} else if (is_alone) {
			look_at(page, SOMEWHERE);
		} else {
			look_at(page, NEAR_END);
			look_at(page + 1, BEHIND);
		}
	}
	return 0;
}
