// SPDX-License-Identifier: MIT
/*
 * What it would cost to keep the program's memory in a memfd. A page that is unmapped there stays
 * in the file: the kernel itself maps it again at the next touch, without a signal and a copy, so
 * that to ask whether it is used is cheaper than with private memory (bench/limits: a refill). What
 * else a pager does to a page is done too, and beside it to private memory: copied in, and given
 * up. Prints a table of microseconds a page, medians of ROUNDS rounds, in random order: with one
 * thread, and beside a second one that runs in the same memory, so that what is unmapped is flushed
 * on its CPU, too.
 *
 * Exit status: 0, also without userfaultfd, which one line says; 1 if a page has lost its number.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "common.h"
#include "fault/uffd_abi.h"

#define PAGE             4096ull
#define NR_PAGES         8192u
#define ROUNDS           5
#define BATCH            64u /* scattered pages that are unmapped by one call */
#define PIDFD_SELF_GROUP (-10001)

enum step { SHARED_IN, UNMAP, TOUCH, SHARED_OUT, PRIVATE_IN, PRIVATE_OUT, NR_STEPS };

static char *private, *shared, *source;
static int file, uffd;
static uint32_t order[NR_PAGES];
static uint64_t nr_wrong;
static void die(const char *what)
{
	perror(what);
	exit(2);
}

static void shuffle(void)
{
	uint64_t rng = 1;

	for (uint32_t i = 0; i < NR_PAGES; i++)
		order[i] = i;
	for (uint32_t i = NR_PAGES - 1; i; i--) {
		uint32_t k = (uint32_t)random_below(&rng, i + 1), was = order[i];

		order[i] = order[k];
		order[k] = was;
	}
}

static void copy_in(char *area)
{
	for (uint32_t i = 0; i < NR_PAGES; i++) {
		struct uffdio_copy c = {.dst = (uintptr_t)area + order[i] * PAGE,
		    .src = (uintptr_t)source + order[i] * PAGE,
		    .len = PAGE};

		while (ioctl(uffd, UFFDIO_COPY, &c))
			if (errno != EAGAIN)
				die("UFFDIO_COPY");
	}
}

static void unmap(char *area)
{
	for (uint32_t i = 0; i < NR_PAGES; i += BATCH) {
		struct iovec pages[BATCH];

		for (uint32_t k = 0; k < BATCH; k++)
			pages[k] = (struct iovec){area + order[i + k] * PAGE, PAGE};
		if (syscall(SYS_process_madvise, PIDFD_SELF_GROUP, pages, (long)BATCH,
		        MADV_DONTNEED, 0) == (long)(BATCH * PAGE))
			continue;
		for (uint32_t k = 0; k < BATCH; k++) /* before Linux 6.14 */
			if (madvise(pages[k].iov_base, PAGE, MADV_DONTNEED))
				die("madvise");
	}
}

static void touch_shared(void)
{
	for (uint32_t i = 0; i < NR_PAGES; i++)
		nr_wrong += *(const volatile uint64_t *)(shared + order[i] * PAGE) != mix(order[i]);
}

static void punch(void)
{
	for (uint32_t i = 0; i < NR_PAGES; i++)
		if (fallocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		        (off_t)(order[i] * PAGE), PAGE))
			die("fallocate");
}

static void do_step(enum step step)
{
	switch (step) {
	case SHARED_IN:
		copy_in(shared);
		break;
	case UNMAP:
		unmap(shared);
		break;
	case TOUCH:
		touch_shared();
		break;
	case SHARED_OUT:
		punch();
		break;
	case PRIVATE_IN:
		copy_in(private);
		break;
	case PRIVATE_OUT:
	case NR_STEPS:
		unmap(private);
		break;
	}
}

static void measure(double *ret_us)
{
	double us[NR_STEPS][ROUNDS];

	for (int round = 0; round < ROUNDS; round++)
		for (enum step step = 0; step < NR_STEPS; step++) {
			double start = now();

			do_step(step);
			us[step][round] = (now() - start) * 1e6 / NR_PAGES;
		}
	for (enum step step = 0; step < NR_STEPS; step++)
		ret_us[step] = median(us[step], ROUNDS);
}

static void register_pages(char *area)
{
	struct uffdio_register r = {.range = {(uintptr_t)area, NR_PAGES * PAGE},
	    .mode = UFFDIO_REGISTER_MODE_MISSING | UFFDIO_REGISTER_MODE_WP};

	if (ioctl(uffd, UFFDIO_REGISTER, &r))
		die("UFFDIO_REGISTER");
}

int main(void)
{
	struct uffdio_api api = {.api = UFFD_API,
	    .features =
	        UFFD_FEATURE_SIGBUS | UFFD_FEATURE_MISSING_SHMEM | UFFD_FEATURE_WP_HUGETLBFS_SHMEM};

	uffd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY);
	if (uffd < 0 || ioctl(uffd, UFFDIO_API, &api)) {
		printf(
		    "skipped shared: no userfaultfd for shared memory here: %s\n", strerror(errno));
		return 0;
	}
	refuse_huge_pages();
	file = memfd_create("shared", MFD_CLOEXEC);
	if (file < 0 || ftruncate(file, (off_t)(NR_PAGES * PAGE)))
		die("memfd_create");
	shared = mmap(NULL, NR_PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	if (shared == MAP_FAILED)
		die("mmap");
	private = map_or_die(NR_PAGES * PAGE);
	source = map_or_die(NR_PAGES * PAGE);
	for (uint32_t i = 0; i < NR_PAGES; i++)
		*(uint64_t *)(source + i * PAGE) = mix(i);
	register_pages(private);
	register_pages(shared);
	shuffle();

	puts("| us a page | shared: copied in | unmapped | touched again | given up | private: "
	     "copied "
	     "in | given up |\n"
	     "|---|---|---|---|---|---|---|");
	for (int threads = 1; threads <= 2; threads++) {
		double us[NR_STEPS];

		if (threads == 2)
			beside_start();
		measure(us);
		printf("| %d thread%s", threads, threads > 1 ? "s" : "");
		for (enum step step = 0; step < NR_STEPS; step++)
			printf(" | %.2f", us[step]);
		puts(" |");
	}
	beside_stop();
	if (nr_wrong)
		printf("FAILED shared: %llu pages have lost their number\n",
		    (unsigned long long)nr_wrong);
	else
		puts("ok shared");
	return nr_wrong != 0;
}
