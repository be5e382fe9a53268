// SPDX-License-Identifier: MIT
/*
 * MADV_WILLNEED, which a thread of the pager follows, beside what may meet it: handlers that touch
 * what is in swap, forks, pages paged out, given back and mapped anew, areas without access, more
 * announcements than are kept. announced SECONDS: every value must be right, and it must end.
 */
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>

#include "base/types.h"
#include "check.h"

#define NR_AREAS 8u
#define NR_PAGES 1024u /* of each */
#define BYTES    (NR_PAGES * PAGE_BYTES)

static uint32_t *area[NR_AREAS];
static uint32_t written[NR_AREAS]; /* what it was filled with; 0: nothing */
static volatile uint32_t nr_handled;

static void look_at(unsigned i, uint64_t page)
{
	CHECK(
	    area[i][page * (PAGE_BYTES / 4) + page % 1000] == (written[i] ? written[i] + page : 0));
}

static void fill(unsigned i)
{
	written[i] = 1 + (uint32_t)random_below(1u << 30);
	for (uint64_t page = 0; page < NR_PAGES; page++)
		area[i][page * (PAGE_BYTES / 4) + page % 1000] = written[i] + (uint32_t)page;
}

/* Area 0 is only read. */
static void on_alarm(int signo)
{
	(void)signo;
	nr_handled++;
	for (uint64_t page = nr_handled * 37 % 128; page < NR_PAGES; page += 128)
		look_at(0, page);
}

static void announce(unsigned i)
{
	uint64_t first = random_below(NR_PAGES), nr = 1 + random_below(NR_PAGES - first);

	CHECK(madvise((char *)area[i] + first * PAGE_BYTES, nr * PAGE_BYTES, MADV_WILLNEED) == 0);
}

static void replace(unsigned i)
{
	CHECK(mmap(area[i], BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
	          -1, 0) == area[i]);
	written[i] = 0;
}

static void forbid_for_a_while(unsigned i)
{
	CHECK(mprotect(area[i], BYTES / 2, PROT_NONE) == 0);
	CHECK(madvise(area[i], BYTES, MADV_WILLNEED) == 0);
	announce((unsigned)random_below(NR_AREAS));
	CHECK(mprotect(area[i], BYTES / 2, PROT_READ | PROT_WRITE) == 0);
}

static void fork_one(void)
{
	int status;
	pid_t pid = fork();

	CHECK(pid >= 0);
	if (!pid) {
		for (int n = 0; n < 200; n++)
			look_at((unsigned)random_below(NR_AREAS), random_below(NR_PAGES));
		announce((unsigned)random_below(NR_AREAS));
		look_at((unsigned)random_below(NR_AREAS), random_below(NR_PAGES));
		_exit(0);
	}
	while (waitpid(pid, &status, 0) < 0)
		CHECK(errno == EINTR);
	CHECK(status == 0);
}

int main(int argc, char **argv)
{
	const struct itimerval often = {{0, 4000}, {0, 4000}}, never = {{0, 0}, {0, 0}};
	time_t end = time(NULL) + (argc > 1 ? atoi(argv[1]) : 2);
	unsigned nr = 0;

	for (unsigned i = 0; i < NR_AREAS; i++) {
		area[i] =
		    mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		CHECK(area[i] != MAP_FAILED);
		fill(i);
	}
	CHECK(signal(SIGALRM, on_alarm) != SIG_ERR);
	CHECK(setitimer(ITIMER_REAL, &often, NULL) == 0);
	for (; time(NULL) < end; nr++) {
		unsigned i = 1 + (unsigned)random_below(NR_AREAS - 1);

		for (uint64_t n = random_below(12); n > 0; n--)
			announce((unsigned)random_below(NR_AREAS));
		switch (random_below(8)) {
		case 0:
			replace(i);
			break;
		case 1:
			fill(i);
			break;
		case 2:
			forbid_for_a_while(i);
			break;
		case 3:
			fork_one();
			break;
		default:
			CHECK(madvise(area[i], BYTES, MADV_PAGEOUT) == 0);
		}
		for (int n = 0; n < 50; n++)
			look_at((unsigned)random_below(NR_AREAS), random_below(NR_PAGES));
	}
	CHECK(setitimer(ITIMER_REAL, &never, NULL) == 0);
	for (unsigned i = 0; i < NR_AREAS; i++)
		for (uint64_t page = 0; page < NR_PAGES; page++)
			look_at(i, page);
	printf("%u rounds, %u signals\n", nr, nr_handled);
	return 0;
}
