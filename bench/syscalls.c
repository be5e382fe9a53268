// SPDX-License-Identifier: MIT
/*
 * What a system call costs: one line a case, its name and the median of many rounds in
 * nanoseconds. Run plain and paged by bench/syscalls, with RAM enough for everything.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define NR_ROUNDS   31
#define BIG_BYTES   (1u << 20)
#define SMALL_BYTES 64u

static char *managed;         /* large enough to be paged */
static char plain[BIG_BYTES]; /* static memory, which is not */
static int file, zero, null;

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static void getppid_call(void)
{
	syscall(SYS_getppid);
}

static void read_plain(void)
{
	if (read(zero, plain, SMALL_BYTES) < 0)
		abort();
}

static void read_managed(void)
{
	if (read(zero, managed, SMALL_BYTES) < 0)
		abort();
}

static void write_managed(void)
{
	if (write(null, managed, SMALL_BYTES) < 0)
		abort();
}

static void stat_managed(void)
{
	if (stat("/", (struct stat *)managed))
		abort();
}

static void readv_managed(void)
{
	struct iovec v = {managed, SMALL_BYTES};

	if (readv(zero, &v, 1) < 0)
		abort();
}

static void big_plain(void)
{
	if (pread(file, plain, BIG_BYTES, 0) != BIG_BYTES)
		abort();
}

static void big_managed(void)
{
	if (pread(file, managed, BIG_BYTES, 0) != BIG_BYTES)
		abort();
}

static const struct {
	const char *name;
	void (*call)(void);
	int nr; /* calls a round */
} cases[] = {
    {"getppid", getppid_call, 20000},
    {"read-64-unmanaged", read_plain, 20000},
    {"read-64", read_managed, 5000},
    {"write-64", write_managed, 5000},
    {"stat", stat_managed, 5000},
    {"readv-64", readv_managed, 5000},
    {"pread-1M-unmanaged", big_plain, 50},
    {"pread-1M", big_managed, 50},
};

static double measure(void (*call)(void), int nr)
{
	double ns[NR_ROUNDS];

	for (int round = 0; round < NR_ROUNDS; round++) {
		uint64_t began = now_ns();

		for (int i = 0; i < nr; i++)
			call();
		ns[round] = (double)(now_ns() - began) / nr;
	}
	qsort(ns, NR_ROUNDS, sizeof(*ns), compare);
	return ns[NR_ROUNDS / 2];
}

int main(void)
{
	char path[] = "/tmp/bench-syscalls.XXXXXX";

	managed =
	    mmap(NULL, 4 * BIG_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	zero = open("/dev/zero", O_RDONLY);
	null = open("/dev/null", O_WRONLY);
	file = mkstemp(path);
	if (managed == MAP_FAILED || file < 0 || zero < 0 || null < 0)
		return 1;
	unlink(path);
	memset(managed, 1, 4 * BIG_BYTES);
	memset(plain, 2, sizeof(plain));
	if (write(file, plain, BIG_BYTES) != BIG_BYTES)
		return 1;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		printf("%s %.1f\n", cases[i].name, measure(cases[i].call, cases[i].nr));
	return 0;
}
