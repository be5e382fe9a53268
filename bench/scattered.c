// SPDX-License-Identifier: MIT
/*
 * What it matters to a disk where in memory its data goes: scattered [DIRECTORY] reads and writes
 * a file there (/var/tmp) with O_DIRECT, a MiB at a time, by buffers in pages of 2 MiB, in pages
 * of 4 KiB that follow each other, and in such pages in random order. Prints MB/s, medians of
 * ROUNDS rounds with the least and the largest, all in turn.
 *
 * Exit status: 0, also without O_DIRECT, which one line says; 1 if a page has lost its number.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "common.h"

#define PAGE       4096ull
#define HUGE       (2ull << 20)
#define POOL       (32ull << 20)
#define NR_BUFS    (POOL / PAGE)
#define FILE_PAGES (256ull << 20 >> 12)
#define AT_ONCE    256u /* pages */
#define ROUNDS     5

enum place { LARGE, SMALL, RANDOM, NR_PLACES };

static const char *const names[] = {"2 MiB pages", "4 KiB, in order", "4 KiB, scattered"};
static char *pool[NR_PLACES];
static uint32_t order[NR_PLACES][NR_BUFS];
static uint64_t nr_wrong;

static void die(const char *what)
{
	perror(what);
	exit(2);
}

static void make_pool(enum place place)
{
	char *p = map_or_die(POOL + HUGE);
	uint64_t rng = 1;

	pool[place] = p + (HUGE - (uintptr_t)p % HUGE) % HUGE;
	madvise(pool[place], POOL, place == LARGE ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
	for (uint32_t i = 0; i < NR_BUFS; i++)
		order[place][i] = i;
	for (uint32_t i = NR_BUFS - 1; i && place == RANDOM; i--) {
		uint32_t k = (uint32_t)random_below(&rng, i + 1), was = order[place][i];

		order[place][i] = order[place][k];
		order[place][k] = was;
	}
	memset(pool[place], 1, POOL);
}

/* The file once. Return: MB/s. */
static double pass(int fd, enum place place, int is_write)
{
	double began = now();

	for (uint64_t page = 0; page < FILE_PAGES; page += AT_ONCE) {
		struct iovec iov[AT_ONCE];

		for (uint32_t i = 0; i < AT_ONCE; i++) {
			char *buf = pool[place] + order[place][(page + i) % NR_BUFS] * PAGE;

			if (is_write)
				*(uint64_t *)buf = page + i;
			iov[i] = (struct iovec){buf, PAGE};
		}
		off_t at = (off_t)(page * PAGE);
		ssize_t n = is_write ? pwritev(fd, iov, AT_ONCE, at) : preadv(fd, iov, AT_ONCE, at);
		if (n != (ssize_t)(AT_ONCE * PAGE))
			die(is_write ? "pwritev" : "preadv");
		for (uint32_t i = 0; i < AT_ONCE && !is_write; i++)
			nr_wrong += *(uint64_t *)iov[i].iov_base != page + i;
	}
	return (double)(FILE_PAGES * PAGE) / 1e6 / (now() - began);
}

static void print(double speeds[NR_PLACES][2][ROUNDS])
{
	printf("%-18s %22s %22s   (MB/s)\n", "", "read", "written");
	for (int place = 0; place < NR_PLACES; place++) {
		printf("%-18s", names[place]);
		for (int is_write = 0; is_write < 2; is_write++) {
			double *v = speeds[place][is_write], middle = median(v, ROUNDS);

			printf(" %8.0f (%.0f-%.0f)", middle, v[0], v[ROUNDS - 1]);
		}
		printf("\n");
	}
}

int main(int argc, char **argv)
{
	static double speeds[NR_PLACES][2][ROUNDS];
	const char *dir = argc > 1 ? argv[1] : "/var/tmp";
	int fd = open(dir, O_TMPFILE | O_RDWR | O_DIRECT, 0600);

	if (fd < 0 && (errno == EINVAL || errno == EOPNOTSUPP)) {
		printf("no O_DIRECT in %s\n", dir);
		return 0;
	}
	if (fd < 0)
		die(dir);
	for (int place = 0; place < NR_PLACES; place++)
		make_pool(place);
	pass(fd, LARGE, 1); /* blocks, which the first writes have to find */
	for (int round = 0; round < ROUNDS; round++)
		for (int is_write = 1; is_write >= 0; is_write--)
			for (int place = 0; place < NR_PLACES; place++)
				speeds[place][is_write][round] = pass(fd, place, is_write);
	print(speeds);
	return nr_wrong != 0;
}
