// SPDX-License-Identifier: MIT
/*
 * Swap is full, and several threads evict the same pages while another writes to them: what cannot
 * be written stays, and stays right.
 *
 *     full ENGINE MILLISECONDS
 */
#include <pthread.h>
#include <stdatomic.h>

#include "api.h"

#define NR_PAGES   1024u
#define NR_THREADS 3

static char *area;
static _Atomic bool is_over;

static void *evict(void *unused)
{
	(void)unused;
	while (!atomic_load(&is_over))
		(void)fl_evict(area, NR_PAGES * PAGE);
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t threads[NR_THREADS];
	uint64_t x = 1, writes[NR_PAGES] = {0};

	EXPECT(argc == 3);
	int err = fl_open(
	    &(struct fl_options){.ram_bytes = 8 * MIB, .swap_bytes = MIB, .engine = argv[1]}, NULL,
	    0);
	EXPECT(!err || err == -EALREADY); /* under the command, which gives swap as it likes */
	EXPECT(!fl_map(NR_PAGES * PAGE, RW, (void **)&area));
	for (size_t page = 0; page < NR_PAGES; page++)
		for (size_t i = 1; i < PAGE / sizeof(x); i++)
			word(area, page)[i] = x = x * 6364136223846793005u + 1442695040888963407u;
	for (int i = 0; i < NR_THREADS; i++)
		EXPECT(!pthread_create(&threads[i], NULL, evict, NULL));
	for (long ms = 0; ms < atol(argv[2]); ms++) {
		size_t page = (size_t)ms * 7919 % NR_PAGES;

		EXPECT(*word(area, page) == writes[page]);
		*word(area, page) = ++writes[page];
		usleep(1000);
	}
	atomic_store(&is_over, true);
	for (int i = 0; i < NR_THREADS; i++)
		pthread_join(threads[i], NULL);
	x = 1;
	for (size_t page = 0; page < NR_PAGES; page++) {
		EXPECT(*word(area, page) == writes[page]);
		for (size_t i = 1; i < PAGE / sizeof(x); i++) {
			x = x * 6364136223846793005u + 1442695040888963407u;
			EXPECT(word(area, page)[i] == x);
		}
	}
	return 0;
}
