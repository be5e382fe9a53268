// SPDX-License-Identifier: MIT
/*
 * An ordinary program under Faultline: what its mapping calls do that the kernel's alone do not, or
 * that map_fuzz.c cannot compare: residency, locks within the budget, limits, many mappings,
 * addresses.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/shm.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/types.h"
#include "check.h"

#define RW   (PROT_READ | PROT_WRITE)
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)

static char *map(size_t pages, int prot, int flags)
{
	char *p = mmap(NULL, pages * PAGE_BYTES, prot, ANON | flags, -1, 0);

	CHECK(p != MAP_FAILED);
	return p;
}

static void fill(char *p, size_t pages, uint64_t stamp)
{
	for (size_t i = 0; i < pages; i++)
		((volatile uint64_t *)(p + i * PAGE_BYTES))[i % 512] = stamp + i + 1;
}

static bool is_filled(const char *p, size_t pages, uint64_t stamp)
{
	for (size_t i = 0; i < pages; i++)
		if (((const volatile uint64_t *)(p + i * PAGE_BYTES))[i % 512] != stamp + i + 1)
			return false;
	return true;
}

static unsigned nr_resident(char *p, size_t pages)
{
	static unsigned char vec[4096];
	unsigned nr = 0;

	CHECK(mincore(p, pages * PAGE_BYTES, vec) == 0);
	for (size_t i = 0; i < pages; i++)
		nr += vec[i] & 1;
	return nr;
}

/* 128 frames. */
static void test_residency(void)
{
	char *p = map(1024, RW, 0);

	CHECK(nr_resident(p, 1024) == 0);
	fill(p, 1024, 7);
	unsigned nr = nr_resident(p, 1024);
	CHECK(nr > 16 && nr <= 128);
	CHECK(madvise(p, 1024 * PAGE_BYTES, MADV_PAGEOUT) == 0);
	CHECK(nr_resident(p, 1024) == 0);
	CHECK(is_filled(p, 1024, 7));
	CHECK(madvise(p, 1024 * PAGE_BYTES, MADV_PAGEOUT) == 0);
	CHECK(madvise(p, 16 * PAGE_BYTES, MADV_WILLNEED) == 0);
	/* Not at once: nobody waits for it. */
	for (int i = 0; i < 5000 && nr_resident(p, 16) < 16; i++)
		usleep(1000);
	CHECK(nr_resident(p, 16) == 16);
	CHECK(is_filled(p, 1024, 7));
	CHECK(madvise(p, 1024 * PAGE_BYTES, MADV_DONTNEED) == 0 && nr_resident(p, 1024) == 0);
	CHECK(p[0] == 0 && munmap(p, 1024 * PAGE_BYTES) == 0);
	p = map(64, RW, MAP_POPULATE);
	CHECK(nr_resident(p, 64) == 64 && munmap(p, 64 * PAGE_BYTES) == 0);
}

/* Pages resident after the first @touched of a scan of @p, which is in swap. */
static unsigned resident_by_scan(char *p, unsigned touched)
{
	CHECK(madvise(p, 64 * PAGE_BYTES, MADV_PAGEOUT) == 0 && nr_resident(p, 64) == 0);
	CHECK(is_filled(p, touched, 9));
	return nr_resident(p, 64);
}

static void test_access_advice(void)
{
	char *p = map(64, RW, 0), *q = map(64, RW, 0);
	pid_t pid;
	int status;

	/* Zero-filled: nobody asks for what is random before it is touched. */
	CHECK(madvise(q, 64 * PAGE_BYTES, MADV_RANDOM) == 0);
	fill(p, 17, 9);
	fill(q, 17, 9);
	CHECK(nr_resident(p, 64) > 17 && nr_resident(q, 64) == 17);
	fill(p, 64, 9);
	fill(q, 64, 9);
	/* By the streams before, the next page may be expected as well. */
	CHECK(resident_by_scan(p, 1) <= 2 && resident_by_scan(p, 11) > 11);
	CHECK(resident_by_scan(q, 1) == 1 && resident_by_scan(q, 11) == 11);
	CHECK(madvise(p, 64 * PAGE_BYTES, MADV_SEQUENTIAL) == 0 && resident_by_scan(p, 1) > 2);
	/* It is the mapping's: it moves with it, and is the child's too. */
	char *moved =
	    mremap(q, 64 * PAGE_BYTES, 64 * PAGE_BYTES, MREMAP_MAYMOVE | MREMAP_DONTUNMAP);
	CHECK(moved != MAP_FAILED && resident_by_scan(moved, 11) == 11);
	CHECK(mprotect(moved + 64 * PAGE_BYTES / 2, PAGE_BYTES, PROT_READ) == 0);
	CHECK(resident_by_scan(moved, 11) == 11);
	pid = fork();
	if (!pid) {
		CHECK(resident_by_scan(moved, 11) == 11 && resident_by_scan(p, 1) > 2);
		_exit(0);
	}
	CHECK(waitpid(pid, &status, 0) == pid && status == 0);
	CHECK(posix_madvise(moved, 64 * PAGE_BYTES, POSIX_MADV_NORMAL) == 0);
	CHECK(resident_by_scan(moved, 11) > 11);
	CHECK(munmap(p, 64 * PAGE_BYTES) == 0 && munmap(q, 64 * PAGE_BYTES) == 0);
	CHECK(munmap(moved, 64 * PAGE_BYTES) == 0);
}

static void test_segment(void)
{
	int id = shmget(IPC_PRIVATE, 1024 * PAGE_BYTES, 0600);
	char *a = map(1024, RW, 0), *hole = map(1024, RW, 0);

	CHECK(id >= 0);
	fill(a, 1024, 4);
	CHECK(munmap(hole, 1024 * PAGE_BYTES) == 0);
	char *s = shmat(id, hole, 0);
	CHECK(s == hole);
	fill(s, 1024, 5);
	CHECK(shmat(id, a, 0) == (void *)-1 && errno == EINVAL && is_filled(a, 1024, 4));
	CHECK(shmat(id, a, SHM_REMAP) == a && is_filled(a, 1024, 5));
	fill(a, 1024, 6);
	CHECK(is_filled(s, 1024, 6));
	CHECK(shmdt(s) == 0 && shmdt(a) == 0 && shmctl(id, IPC_RMID, 0) == 0);
	s = mmap(hole, 1024 * PAGE_BYTES, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	CHECK(s == hole && !*s);
	fill(s, 1024, 7);
	CHECK(is_filled(s, 1024, 7) && munmap(s, 1024 * PAGE_BYTES) == 0);
}

/* Of two halves that were used alike, the cold one goes first; and nothing goes without need. */
static void test_cold(void)
{
	char *p = map(96, RW, 0), *q = map(60, RW, 0);

	CHECK(madvise(p, 96 * PAGE_BYTES, MADV_RANDOM) == 0);
	CHECK(madvise(q, 60 * PAGE_BYTES, MADV_RANDOM) == 0);
	for (int round = 0; round < 2; round++) {
		char *cold = round ? p + 48 * PAGE_BYTES : p;

		fill(p, 96, 5);
		CHECK(is_filled(p, 96, 5));
		unsigned before = nr_resident(p, 96);
		CHECK(before > 80 && madvise(cold, 48 * PAGE_BYTES, MADV_COLD) == 0);
		CHECK(nr_resident(p, 96) == before);
		fill(q, 60, 6);
		CHECK(nr_resident(cold, 48) < nr_resident(round ? p : p + 48 * PAGE_BYTES, 48));
		CHECK(is_filled(p, 96, 5) && is_filled(q, 60, 6));
		CHECK(madvise(q, 60 * PAGE_BYTES, MADV_PAGEOUT) == 0);
	}
	CHECK(munmap(p, 96 * PAGE_BYTES) == 0 && munmap(q, 60 * PAGE_BYTES) == 0);
}

static void test_lock(void)
{
	char *locked = map(40, RW, 0), *p = map(1024, RW, 0);

	fill(locked, 40, 3);
	fill(p, 1024, 4);
	CHECK(mlock(locked, 40 * PAGE_BYTES) == 0 && nr_resident(locked, 40) == 40);
	for (int round = 0; round < 3; round++) {
		CHECK(is_filled(p, 1024, 4) && nr_resident(locked, 40) == 40);
		fill(p, 1024, 4);
	}
	CHECK(mlock(p, 1024 * PAGE_BYTES) == -1 && errno == ENOMEM);
	CHECK(mlockall(MCL_CURRENT) == -1 && errno == ENOMEM);
	CHECK(is_filled(locked, 40, 3) && is_filled(p, 1024, 4));
	/* Not the child's, who starts with all of it to page. */
	pid_t pid = fork();
	if (!pid) {
		CHECK(is_filled(p, 1024, 4) && is_filled(locked, 40, 3) && is_filled(p, 1024, 4));
		CHECK(madvise(locked, 40 * PAGE_BYTES, MADV_PAGEOUT) == 0);
		CHECK(nr_resident(locked, 40) == 0 && is_filled(locked, 40, 3));
		_exit(0);
	}
	int status;
	CHECK(waitpid(pid, &status, 0) == pid && status == 0);
	CHECK(madvise(locked, PAGE_BYTES, MADV_PAGEOUT) == -1 && errno == EINVAL);
	CHECK(munlockall() == 0 && madvise(locked, 40 * PAGE_BYTES, MADV_PAGEOUT) == 0);
	CHECK(nr_resident(locked, 40) == 0 && is_filled(locked, 40, 3));
	CHECK(mlockall(MCL_FUTURE) == 0);
	char *future = map(16, RW, 0);
	CHECK(nr_resident(future, 16) == 16 && is_filled(p, 1024, 4));
	CHECK(nr_resident(future, 16) == 16 && munlockall() == 0);
	CHECK(munmap(future, 16 * PAGE_BYTES) == 0);
	future = map(16, RW, MAP_LOCKED);
	CHECK(nr_resident(future, 16) == 16 && is_filled(p, 1024, 4));
	CHECK(nr_resident(future, 16) == 16);
	CHECK(munmap(future, 16 * PAGE_BYTES) == 0 && munmap(p, 1024 * PAGE_BYTES) == 0);
	CHECK(munmap(locked, 40 * PAGE_BYTES) == 0);
}

/* RLIMIT_MEMLOCK binds who has no CAP_IPC_LOCK. */
static void test_lock_limit(void)
{
	struct rlimit limit = {16 * PAGE_BYTES, 16 * PAGE_BYTES};
	char *p = map(64, RW, 0);
	int status;
	pid_t pid = fork();

	if (!pid) {
		CHECK(setrlimit(RLIMIT_MEMLOCK, &limit) == 0 && (geteuid() || !setuid(65534)));
		CHECK(mlock(p, 16 * PAGE_BYTES) == 0);
		CHECK(mlock(p, 17 * PAGE_BYTES) == -1 && errno == ENOMEM);
		CHECK(mlock(p, 16 * PAGE_BYTES) == 0);
		CHECK(mmap(NULL, 1 << 20, RW, ANON | MAP_LOCKED, -1, 0) == MAP_FAILED &&
		      errno == EAGAIN);
		limit.rlim_cur = 0;
		CHECK(setrlimit(RLIMIT_MEMLOCK, &limit) == 0);
		CHECK(mlock(p, PAGE_BYTES) == -1 && errno == EPERM);
		_exit(0);
	}
	CHECK(waitpid(pid, &status, 0) == pid && status == 0 && munmap(p, 64 * PAGE_BYTES) == 0);
}

/* A limit is about the program's own memory, however large the pager's tables are. */
static void test_own_limit(int what)
{
	const struct rlimit limit = {(size_t)192 << 20, (size_t)200 << 20};
	struct rlimit now;
	int status;
	char *p = map(512, RW, 0);

	fill(p, 512, 3);
	pid_t pid = fork();
	if (!pid) {
		CHECK(is_filled(p, 512, 3)); /* the child's tables are there by now */
		CHECK(setrlimit(what, &limit) == 0 && getrlimit(what, &now) == 0);
		CHECK(now.rlim_cur == limit.rlim_cur && now.rlim_max == limit.rlim_max);
		char *q = map(8192, RW, 0);
		CHECK(mmap(NULL, (size_t)512 << 20, RW, ANON, -1, 0) == MAP_FAILED &&
		      errno == ENOMEM);
		fill(q, 8192, 4);
		CHECK(is_filled(q, 8192, 4) && is_filled(p, 512, 3));
		now.rlim_cur = 0;
		CHECK(prlimit(0, what, NULL, &now) == 0 && now.rlim_cur == limit.rlim_cur);
		_exit(0);
	}
	CHECK(waitpid(pid, &status, 0) == pid && status == 0 && munmap(p, 512 * PAGE_BYTES) == 0);
}

/* As plain: a mapping over the limit is refused, and nothing is lost by it. */
static void test_limits(void)
{
	static const int what[] = {RLIMIT_AS, RLIMIT_DATA};
	int status;

	for (int i = 0; i < 2; i++) {
		char *p = map(512, RW, 0);
		fill(p, 512, 9);
		pid_t pid = fork();
		if (!pid) {
			/* What libraries have mapped already must fit. */
			struct rlimit limit = {(size_t)2 << 30, (size_t)2 << 30};
			CHECK(setrlimit(what[i], &limit) == 0);
			CHECK(mmap(NULL, (size_t)3 << 30, RW, ANON, -1, 0) == MAP_FAILED);
			CHECK(errno == ENOMEM);
			CHECK(mremap(p, 512 * PAGE_BYTES, (size_t)3 << 30, MREMAP_MAYMOVE) ==
			      MAP_FAILED);
			CHECK(errno == ENOMEM && is_filled(p, 512, 9));
			char *q = map(512, RW, 0);
			fill(q, 512, 10);
			CHECK(is_filled(p, 512, 9) && is_filled(q, 512, 10));
			_exit(0);
		}
		CHECK(waitpid(pid, &status, 0) == pid && status == 0);
		CHECK(munmap(p, 512 * PAGE_BYTES) == 0);
	}
}

static double seconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

/* Return: how long NR mmap and as many munmap in random order took. */
static double time_many(unsigned nr, bool alternate)
{
	static char *at[30000];
	uint64_t rng = 88172645463325252ull;
	double began = seconds();

	for (unsigned i = 0; i < nr; i++) {
		at[i] = map(16, alternate && i & 1 ? PROT_READ : RW, 0);
		if (!(alternate && i & 1))
			*(volatile unsigned *)at[i] = i;
	}
	for (unsigned i = nr; i > 1; i--) {
		rng ^= rng << 13, rng ^= rng >> 7, rng ^= rng << 17;
		unsigned j = (unsigned)(rng >> 11) % i;
		char *p = at[i - 1];

		at[i - 1] = at[j];
		at[j] = p;
	}
	for (unsigned i = 0; i < nr; i++)
		CHECK(munmap(at[i], 16 * PAGE_BYTES) == 0);
	return seconds() - began;
}

/* Refused for want of mappings, as by the kernel, with everything as it was. */
static void test_too_many(void)
{
	size_t pages = 160000, i;
	char *p = map(pages, RW, 0);

	fill(p, 1000, 5);
	for (i = 1; i < pages; i += 2)
		if (mprotect(p + i * PAGE_BYTES, PAGE_BYTES, PROT_READ))
			break;
	CHECK(i < pages && errno == ENOMEM && i > 20000);
	CHECK(munmap(p + (pages - 10) * PAGE_BYTES, PAGE_BYTES) == -1 && errno == ENOMEM);
	CHECK(is_filled(p, 1000, 5) && p[(pages - 10) * PAGE_BYTES] == 0);
	CHECK(munmap(p, pages * PAGE_BYTES) == 0);
}

static bool is_in_maps(const void *p, size_t bytes, const char *prot)
{
	char line[512], want[64];
	FILE *f = fopen("/proc/self/maps", "r");
	bool found = false;

	snprintf(
	    want, sizeof(want), "%lx-%lx %s", (unsigned long)p, (unsigned long)p + bytes, prot);
	while (fgets(line, sizeof(line), f))
		found |= !strncmp(line, want, strlen(want));
	fclose(f);
	return found;
}

static void test_addresses(void)
{
	const size_t len = 64 * PAGE_BYTES;
	char *far = (char *)0x200000000000, *p;

	/* A hint outside the window is only a hint; a fixed address is kept, unmanaged. */
	p = mmap(far, len, RW, ANON, -1, 0);
	CHECK(p != MAP_FAILED && in_window((uintptr_t)p) && munmap(p, len) == 0);
	p = mmap(far, len, RW, ANON | MAP_FIXED_NOREPLACE, -1, 0);
	CHECK(p == far);
	fill(p, 64, 1);
	CHECK(
	    mmap(far, len, RW, ANON | MAP_FIXED_NOREPLACE, -1, 0) == MAP_FAILED && errno == EEXIST);
	CHECK(is_filled(p, 64, 1) && munmap(p, len) == 0);
	/* One in the window is taken. */
	p = map(256, PROT_NONE, MAP_NORESERVE);
	CHECK(munmap(p, 256 * PAGE_BYTES) == 0);
	CHECK(mmap(p + len, len, RW, ANON, -1, 0) == p + len && munmap(p + len, len) == 0);
	/* A reservation, committed by mprotect and by mmap. */
	p = map(256, PROT_NONE, MAP_NORESERVE);
	CHECK(mprotect(p + len, len, RW) == 0);
	CHECK(mmap(p + 2 * len, len, RW, ANON | MAP_FIXED, -1, 0) == p + 2 * len);
	fill(p + len, 128, 2);
	CHECK(is_filled(p + len, 128, 2) && nr_resident(p, 64) == 0);
	CHECK(is_in_maps(p, len, "---p") && is_in_maps(p + 3 * len, len, "---p"));
	CHECK(mprotect(p + len, len, PROT_READ) == 0 && is_in_maps(p + len, len, "r--p"));
	CHECK(munmap(p, 256 * PAGE_BYTES) == 0);
}

/* Grown after advice, what is one mapping to the program is several to the kernel: it goes to an
 * address outside, and is resized there, all the same. */
static char *map_grown(size_t pages, uint64_t stamp)
{
	char *p = map(pages / 2, RW, 0);

	fill(p, pages / 2, stamp);
	CHECK(madvise(p, pages / 2 * PAGE_BYTES, MADV_DONTDUMP) == 0);
	p = mremap(p, pages / 2 * PAGE_BYTES, pages * PAGE_BYTES, MREMAP_MAYMOVE);
	CHECK(p != MAP_FAILED && is_filled(p, pages / 2, stamp));
	fill(p, pages, stamp);
	return p;
}

static void test_move_out(void)
{
	const int fixed = MREMAP_MAYMOVE | MREMAP_FIXED;
	char *far = (char *)0x200000000000, *p = map_grown(256, 1);

	CHECK(mremap(p, 256 * PAGE_BYTES, 300 * PAGE_BYTES, fixed, far) == far);
	CHECK(is_filled(far, 256, 1) && far[299 * PAGE_BYTES] == 0);
	fill(far, 300, 2);
	p = mremap(far, 300 * PAGE_BYTES, 400 * PAGE_BYTES, MREMAP_MAYMOVE);
	CHECK(p != MAP_FAILED && is_filled(p, 300, 2) && munmap(p, 400 * PAGE_BYTES) == 0);
	p = map_grown(32, 3);
	CHECK(mremap(p, 32 * PAGE_BYTES, 24 * PAGE_BYTES, fixed, far) == far);
	CHECK(is_filled(far, 24, 3) && munmap(far, 24 * PAGE_BYTES) == 0);
	p = map_grown(32, 4);
	CHECK(mremap(p, 32 * PAGE_BYTES, 32 * PAGE_BYTES, fixed, far) == far);
	p = mremap(far, 32 * PAGE_BYTES, 64 * PAGE_BYTES, MREMAP_MAYMOVE);
	CHECK(p != MAP_FAILED && is_filled(p, 32, 4) && munmap(p, 64 * PAGE_BYTES) == 0);
	p = map_grown(32, 5);
	CHECK(mprotect(p, 32 * PAGE_BYTES, PROT_READ) == 0);
	CHECK(mremap(p, 32 * PAGE_BYTES, 40 * PAGE_BYTES, fixed, far) == far);
	CHECK(is_filled(far, 32, 5) && is_in_maps(far, 40 * PAGE_BYTES, "r--p"));
	CHECK(munmap(far, 40 * PAGE_BYTES) == 0);
}

/* From outside the window into it: what lies there now may be read into as before. */
static void test_move_in(void)
{
	const size_t len = 8 * PAGE_BYTES;
	char *far = (char *)0x200000000000, *p = map(64, RW, 0);
	int fd = open("/proc/self/exe", O_RDONLY);

	CHECK(fd >= 0);
	CHECK(mmap(far, len, RW, ANON | MAP_FIXED_NOREPLACE, -1, 0) == far);
	fill(far, 8, 7);
	char *q = p + 16 * PAGE_BYTES;
	CHECK(mremap(far, len, len, MREMAP_MAYMOVE | MREMAP_FIXED, q) == q);
	CHECK(is_filled(q, 8, 7) && read(fd, q, len) > (ssize_t)(2 * PAGE_BYTES));
	CHECK(q[0] == '\x7f' && q[1] == 'E' && close(fd) == 0);
	CHECK(munmap(p, 64 * PAGE_BYTES) == 0);
}

/* Over the window's borders; in a child, since the allocator's memory lies there. */
static void test_borders(void)
{
	const size_t len = 64 * PAGE_BYTES;
	char *p = (char *)WINDOW_START - len;
	int status;
	pid_t pid = fork();

	if (!pid) {
		CHECK(mmap(p, 2 * len, RW, ANON | MAP_FIXED, -1, 0) == p);
		fill(p, 128, 6);
		CHECK(mprotect(p, 2 * len, PROT_READ) == 0 && is_filled(p, 128, 6));
		CHECK(mincore(p, 2 * len, (unsigned char[128]){0}) == 0);
		CHECK(madvise(p, 2 * len, MADV_DONTNEED) == 0 && p[len - 1] == 0 && p[len] == 0);
		CHECK(munmap(p, 2 * len) == 0 && mincore(p + len, 1, (unsigned char[1]){0}) == -1);
		/* Not where the pager's own pages are. */
		CHECK(mmap((char *)WINDOW_END - len, 2 * len, RW, ANON | MAP_FIXED, -1, 0) ==
		      MAP_FAILED);
		_exit(0);
	}
	CHECK(waitpid(pid, &status, 0) == pid && status == 0);
}

/* Managed memory is not executable, whether the page is there or not. */
static void test_fetch(void)
{
	char *p = map(64, RW, 0);
	int status;

	fill(p, 32, 1);
	for (int i = 1; i <= 33; i += 32) {
		pid_t pid = fork();
		if (!pid) {
			alarm(10);
			((void (*)(void))(uintptr_t)(p + i * PAGE_BYTES))();
			_exit(0);
		}
		CHECK(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status));
		CHECK(WTERMSIG(status) == SIGSEGV);
	}
	CHECK(munmap(p, 64 * PAGE_BYTES) == 0);
}

/* Locked by a system call that nobody sees, memory is paged all the same. */
static void test_raw_lock(void)
{
	char *p = map(1024, RW, 0);

	fill(p, 1024, 1);
	CHECK(geteuid() || syscall(SYS_mlockall, MCL_CURRENT) == 0);
	CHECK(is_filled(p, 1024, 1) && is_filled(p, 1024, 1));
	fill(p, 1024, 2);
	CHECK(is_filled(p, 1024, 2) && munlockall() == 0 && is_filled(p, 1024, 2));
	CHECK(munmap(p, 1024 * PAGE_BYTES) == 0);
}

int main(int argc, char **argv)
{
	bool is_paged;

	char *p = map(64, RW, 0);
	is_paged = in_window((uintptr_t)p);
	munmap(p, 64 * PAGE_BYTES);
	if (argc > 1) { /* a time to compare: map-calls NR */
		unsigned nr = (unsigned)atoi(argv[1]);
		double same = time_many(nr, false), other = time_many(nr, true);

		printf("%u mmap and munmap: %.2f s alike, %.2f s of two kinds\n", nr, same, other);
		return 0;
	}
	CHECK(is_paged);
	test_residency();
	test_access_advice();
	test_cold();
	test_own_limit(RLIMIT_AS);
	test_own_limit(RLIMIT_DATA);
	test_segment();
	test_lock();
	test_lock_limit();
	test_limits();
	test_addresses();
	test_move_out();
	test_move_in();
	test_borders();
	test_fetch();
	test_raw_lock();
	test_too_many();
	double same = time_many(15000, false), other = time_many(15000, true);
	printf("15000 mmap and munmap: %.2f s alike, %.2f s of two kinds\n", same, other);
	return 0;
}
