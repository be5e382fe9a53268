// SPDX-License-Identifier: MIT
/*
 * A file that is unmapped takes its pages along: a private mapping of one is unmapped while other
 * threads page it out to a slow disk, and a shared mapping of another file takes its place. None of
 * the first one's bytes may get into the second file.
 *
 *     gone ENGINE RECLAIM
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "alone.h"
#include "check.h"

#define RAM_PAGES  8192u
#define NR_PAGES   2000u
#define BYTES      (NR_PAGES * PAGE_BYTES)
#define ROUNDS     20
#define NR_THREADS 3
#define WRITE_US   5000

static char *_Atomic where; /* what is to be paged out */
static _Atomic bool is_over;
static const struct swap_backend_ops *inner;

static int slow_transfer(struct swap_backend *b, struct swap_io *ios, uint32_t nr)
{
	if (nr && ios[0].is_write)
		usleep(WRITE_US);
	return inner->transfer(b, ios, nr);
}

static struct swap_backend *slow_down(struct swap_backend *b)
{
	return with_transfer(b, slow_transfer, &inner);
}

static void *page_out(void *unused)
{
	(void)unused;
	while (!atomic_load(&is_over)) {
		char *p = atomic_load(&where);

		if (p)
			pager_madvise((uintptr_t)p, BYTES, MADV_PAGEOUT);
	}
	return NULL;
}

static int file_of(char c)
{
	static char page[PAGE_BYTES];
	int fd = open("/var/tmp", O_TMPFILE | O_RDWR, 0600);

	CHECK(fd >= 0);
	memset(page, c, sizeof(page));
	for (unsigned i = 0; i < NR_PAGES; i++)
		CHECK(pwrite(fd, page, PAGE_BYTES, (off_t)(i * PAGE_BYTES)) == PAGE_BYTES);
	return fd;
}

static char *map_file(int fd, bool is_shared)
{
	long p = pager_map_file(BYTES, PROT_READ | PROT_WRITE, fd, 0, is_shared);

	CHECK(p > 0);
	return (char *)p;
}

/* Return: how many of the file's pages are not all @c. */
static unsigned count_wrong(int fd, char c)
{
	static char page[PAGE_BYTES], right[PAGE_BYTES];
	unsigned nr = 0;

	memset(right, c, sizeof(right));
	for (unsigned i = 0; i < NR_PAGES; i++) {
		CHECK(pread(fd, page, PAGE_BYTES, (off_t)(i * PAGE_BYTES)) == PAGE_BYTES);
		nr += memcmp(page, right, PAGE_BYTES) != 0;
	}
	return nr;
}

int main(int argc, char **argv)
{
	pthread_t threads[NR_THREADS];
	unsigned nr_wrong = 0, nr_same = 0;

	swap_wrap_backend = slow_down;
	if (argc < 3 || !start_alone(argv[1], argv[2], RAM_PAGES, "gclock", "off"))
		return 2;
	int old = file_of('a'), other = file_of('b');
	for (int i = 0; i < NR_THREADS; i++)
		CHECK(pthread_create(&threads[i], NULL, page_out, NULL) == 0);
	for (unsigned round = 0; round < ROUNDS && !nr_wrong; round++) {
		char *p = map_file(old, false);

		for (unsigned i = 0; i < NR_PAGES; i++)
			memset(p + i * PAGE_BYTES, 'X', PAGE_BYTES);
		atomic_store(&where, p);
		usleep(1000 + round * 337 % 5000);
		CHECK(pager_munmap((uintptr_t)p, BYTES) == 0);
		char *shared = map_file(other, true);
		nr_same += shared == p;
		usleep(3 * WRITE_US);
		CHECK(pager_munmap((uintptr_t)shared, BYTES) == 0);
		atomic_store(&where, NULL);
		nr_wrong = count_wrong(other, 'b');
	}
	atomic_store(&is_over, true);
	for (int i = 0; i < NR_THREADS; i++)
		CHECK(pthread_join(threads[i], NULL) == 0);
	pager_check();
	CHECK(count_wrong(old, 'a') == 0);
	printf("%s: %u pages of the other file are wrong, which took the place of the first %u "
	       "times\n",
	    nr_wrong || !nr_same ? "bad" : "good", nr_wrong, nr_same);
	return nr_wrong || !nr_same;
}
