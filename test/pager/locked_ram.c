// SPDX-License-Identifier: MIT
/*
 * Locked memory, the compressed tier and RAM that changes, all in one program:
 * locked-ram FAULTLINE, run with 4 MiB of 8 that it may have. What is locked stays resident and
 * right while pages that compress well, four times as many as there are frames, are paged beside
 * it; RAM that would not hold what is locked is refused, and nothing has changed then.
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/types.h"
#include "check.h"

#define NR_FRAMES  1024u
#define NR_OTHER   (4 * NR_FRAMES)
#define MAX_LOCKED (NR_FRAMES * 3 / 4)

static const char *faultline;
static char *other, *locked;
static _Atomic bool is_over;
static _Atomic unsigned long nr_rounds;

static char *map(size_t pages)
{
	char *p = mmap(
	    NULL, pages * PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(p != MAP_FAILED);
	return p;
}

static uint64_t *word(char *p, size_t page)
{
	return (uint64_t *)(p + page * PAGE_BYTES) + page % 512;
}

static void check_locked(unsigned nr)
{
	static unsigned char vec[MAX_LOCKED];

	CHECK(mincore(locked, (size_t)nr * PAGE_BYTES, vec) == 0);
	for (unsigned i = 0; i < nr; i++) {
		CHECK(vec[i] & 1);
		CHECK(*word(locked, i) == i * 7 + 1);
	}
}

/* Everything over and over, in an order that no readahead knows. */
static void *page_others(void *unused)
{
	uint64_t stamp = 0;

	(void)unused;
	for (size_t i = 0; i < NR_OTHER; i++)
		*word(other, i) = i;
	while (!is_over) {
		for (size_t k = 0; k < NR_OTHER; k++) {
			size_t i = k * 2029 % NR_OTHER;

			CHECK(*word(other, i) == stamp + i);
			*word(other, i) = stamp + 1 + i;
		}
		stamp++;
		nr_rounds++;
	}
	return NULL;
}

static void wait_for_rounds(unsigned nr)
{
	for (unsigned long goal = nr_rounds + nr; nr_rounds < goal;)
		usleep(1000);
}

/* Return: whether RAM was changed. */
static bool set_ram(unsigned kib)
{
	char command[500];

	snprintf(command, sizeof(command), "%s ram %d %uK >&2", faultline, (int)getpid(), kib);
	int status = system(command);
	CHECK(WIFEXITED(status) && (WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == 125));
	return WEXITSTATUS(status) == 0;
}

static void lock(unsigned nr)
{
	CHECK(mlock(locked, (size_t)nr * PAGE_BYTES) == 0);
	wait_for_rounds(2);
	check_locked(nr);
}

int main(int argc, char **argv)
{
	pthread_t thread;

	CHECK(argc == 2);
	faultline = argv[1];
	other = map(NR_OTHER);
	locked = map(NR_FRAMES * 2);
	for (unsigned i = 0; i < MAX_LOCKED; i++)
		*word(locked, i) = i * 7 + 1;
	CHECK(pthread_create(&thread, NULL, page_others, NULL) == 0);
	wait_for_rounds(3); /* the tier has its share */
	lock(100);
	lock(MAX_LOCKED);
	CHECK(mlock(locked, (size_t)NR_FRAMES * PAGE_BYTES) == -1 && errno == ENOMEM);
	wait_for_rounds(1);
	/* They would fit, but hardly anything beside them. */
	CHECK(!set_ram(3968));
	check_locked(MAX_LOCKED);
	wait_for_rounds(1);
	CHECK(set_ram(8192));
	wait_for_rounds(2);
	check_locked(MAX_LOCKED);
	CHECK(set_ram(4096));
	wait_for_rounds(1);
	check_locked(MAX_LOCKED);
	CHECK(munlock(locked + 100 * PAGE_BYTES, (MAX_LOCKED - 100) * PAGE_BYTES) == 0);
	CHECK(set_ram(3328) && set_ram(2304));
	wait_for_rounds(2);
	check_locked(100);
	is_over = true;
	CHECK(pthread_join(thread, NULL) == 0);
	printf("%lu rounds\n", nr_rounds);
	return 0;
}
