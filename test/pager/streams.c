// SPDX-License-Identifier: MIT
/*
 * Streams, read ahead by a thread that has two windows under way, beside what may meet them: forks,
 * pages paged out, areas given back, protected otherwise and mapped anew while they are read.
 * streams SECONDS: every value must be right, and it must end.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>

#include "base/types.h"
#include "check.h"

#define NR_PAGES 8192u
#define WORDS    (PAGE_BYTES / sizeof(uint64_t))
#define BYTES    (NR_PAGES * PAGE_BYTES)

static _Atomic uint64_t *area;    /* scanned; its values stay */
static _Atomic uint64_t *scratch; /* comes and goes */
static _Atomic bool is_over;
static uint32_t nr_calls, nr_forks;

static _Atomic uint64_t *word_of(uint64_t page)
{
	return area + page * WORDS + page % WORDS;
}

static void fill(void)
{
	for (uint64_t page = 0; page < NR_PAGES; page++)
		atomic_store(word_of(page), page * 31 + 1);
}

/* @step pages from one to the next, all of them in the end. */
static void scan(int64_t step, bool is_write)
{
	uint64_t nr_columns = (uint64_t)(step < 0 ? -step : step);

	for (uint64_t column = 0; column < nr_columns; column++)
		for (uint64_t i = column; i < NR_PAGES; i += nr_columns) {
			uint64_t page = step < 0 ? NR_PAGES - 1 - i : i;

			CHECK(atomic_load(word_of(page)) == page * 31 + 1);
			if (is_write)
				atomic_store(word_of(page), page * 31 + 1);
		}
}

static void fork_and_look(void)
{
	uint64_t first = random_below(NR_PAGES - 600);
	pid_t pid = fork();

	CHECK(pid >= 0);
	if (pid == 0) {
		for (uint64_t page = first; page < first + 600; page++)
			if (atomic_load(word_of(page)) != page * 31 + 1)
				_exit(1);
		_exit(0);
	}
	int status;
	CHECK(waitpid(pid, &status, 0) == pid && status == 0);
	nr_forks++;
}

/* One call of those that wait for pages that are being read. */
static void call(void)
{
	uint64_t nr = 1 + random_below(1024), first = random_below(NR_PAGES - nr);
	char *at = (char *)area + first * PAGE_BYTES;

	nr_calls++;
	switch (random_below(6)) {
	case 0:
		fork_and_look();
		break;
	case 1:
		CHECK(madvise(at, nr * PAGE_BYTES, MADV_PAGEOUT) == 0);
		break;
	case 2: /* to the same, by a call that goes through all of it */
		CHECK(mprotect(at, nr * PAGE_BYTES, PROT_READ | PROT_WRITE) == 0);
		break;
	case 3:
		CHECK(madvise(at, nr * PAGE_BYTES, MADV_WILLNEED) == 0);
		break;
	case 4:
		CHECK(madvise((void *)scratch, BYTES / 8, MADV_DONTNEED) == 0);
		break;
	default:
		CHECK(munmap((void *)scratch, BYTES / 8) == 0);
		scratch = mmap(
		    NULL, BYTES / 8, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		CHECK(scratch != MAP_FAILED);
		for (uint64_t page = 0; page < NR_PAGES / 8; page += 3)
			atomic_store(scratch + page * WORDS, page);
	}
}

static void *disturb(void *arg)
{
	(void)arg;
	while (!atomic_load(&is_over)) {
		struct timespec pause = {.tv_nsec = (long)random_below(2000000)};

		call();
		nanosleep(&pause, NULL);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	static const int64_t steps[] = {1, -1, 1, 3, 1, -2};
	double seconds = argc > 1 ? atof(argv[1]) : 2;
	uint32_t nr_scans = 0;
	pthread_t thread;

	area = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	scratch = mmap(NULL, BYTES / 8, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(area != MAP_FAILED && scratch != MAP_FAILED);
	fill();
	CHECK(pthread_create(&thread, NULL, disturb, NULL) == 0);
	for (time_t end = time(NULL) + (time_t)seconds + 1; time(NULL) < end; nr_scans++)
		scan(steps[nr_scans % 6], nr_scans % 4 == 3);
	atomic_store(&is_over, true);
	CHECK(pthread_join(thread, NULL) == 0);
	printf("%u scans, %u calls, %u of them forks\n", nr_scans, nr_calls, nr_forks);
	return 0;
}
