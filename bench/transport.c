// SPDX-License-Identifier: MIT
/*
 * How pages go in and out of a program: copied, as lib/frame/transport.c does (UFFDIO_COPY, write-
 * protected, or writable where a write is foreseen; out: UFFDIO_WRITEPROTECT if the page is dirty,
 * memcpy, one process_madvise for many), or moved (UFFDIO_MOVE, Linux 6.8, which needs no
 * protection). Prints a table of microseconds a page, medians of ROUNDS rounds: with one thread,
 * and beside a second one that runs in the same memory, so that a changed mapping is flushed on its
 * CPU, too. Each page has its number in it, which is looked at (and so the page touched) where it
 * arrives; what was moved out is read as what was copied out is, as a pager computes a checksum.
 *
 * Exit status: 0, also without userfaultfd or UFFDIO_MOVE, which one line says; 1 if a page came
 * with another's bytes. A page that does not come is a SIGBUS.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
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
#define ROUNDS           7
#define NR_STEPS         8
#define NR_COLUMNS       6
#define BATCH            512u /* of pages that are taken away by one call */
#define PIDFD_SELF_GROUP (-10001)

/* One pool for each way: a page that was moved is a new mapping to the next copy. */
static char *program, *copied, *moved;
static uint32_t order[NR_PAGES];
static uint32_t run; /* pages side by side that go together */
static int uffd;
static bool has_process_madvise = true;
static uint64_t nr_wrong;

static void die(const char *what)
{
	perror(what);
	exit(2);
}

static void expect_page(const char *at, uint32_t page)
{
	nr_wrong += *(const volatile uint64_t *)at != mix(page);
}

static void copy_in(uint32_t page, bool is_protected)
{
	struct uffdio_copy c = {.dst = (uintptr_t)program + page * PAGE,
	    .src = (uintptr_t)copied + page * PAGE,
	    .len = run * PAGE,
	    .mode = is_protected ? UFFDIO_COPY_MODE_WP : 0};

	while (ioctl(uffd, UFFDIO_COPY, &c))
		if (errno != EAGAIN)
			die("UFFDIO_COPY");
}

static void drop(struct iovec *runs, uint32_t nr)
{
	if (has_process_madvise && syscall(SYS_process_madvise, PIDFD_SELF_GROUP, runs, (long)nr,
	                               MADV_DONTNEED, 0) == (long)(nr * run * PAGE))
		return;
	has_process_madvise = false; /* before Linux 6.14 */
	for (uint32_t i = 0; i < nr; i++)
		if (madvise(runs[i].iov_base, runs[i].iov_len, MADV_DONTNEED))
			die("madvise");
}

/* Linux 6.18 answers EEXIST to a call that it tried again by itself after the page had moved. */
static void move(char *to, const char *from)
{
	uint64_t done = 0, len = run * PAGE;
	bool again = false;

	while (done < len) {
		struct uffdio_move m = {
		    .dst = (uintptr_t)to + done, .src = (uintptr_t)from + done, .len = len - done};
		int err = ioctl(uffd, UFFDIO_MOVE, &m) ? errno : 0;

		if (m.move > 0)
			done += (uint64_t)m.move;
		else if (err == EEXIST && again)
			done += PAGE;
		else if (err && err != EAGAIN)
			die("UFFDIO_MOVE");
		again = err == EAGAIN;
	}
}

static void copy_all_in(bool is_protected)
{
	for (uint32_t i = 0; i < NR_PAGES; i += run) {
		copy_in(order[i], is_protected);
		for (uint32_t k = 0; k < run; k++)
			expect_page(program + (order[i] + k) * PAGE, order[i] + k);
	}
}

static void all_copied_in(void)
{
	copy_all_in(true);
}

static void all_copied_in_writable(void)
{
	copy_all_in(false);
}

static void protect(const char *at, bool on)
{
	struct uffdio_writeprotect wp = {
	    .range = {.start = (uintptr_t)at, .len = run * PAGE},
	    .mode = on ? UFFDIO_WRITEPROTECT_MODE_WP : 0,
	};

	while (ioctl(uffd, UFFDIO_WRITEPROTECT, &wp))
		if (errno != EAGAIN)
			die("UFFDIO_WRITEPROTECT");
}

static void copy_out(bool is_dirty)
{
	struct iovec runs[BATCH];
	uint32_t nr = 0;

	for (uint32_t i = 0; i < NR_PAGES; i += run) {
		char *from = program + order[i] * PAGE;

		if (is_dirty)
			protect(from, true);
		memcpy(copied + order[i] * PAGE, from, run * PAGE);
		runs[nr++] = (struct iovec){.iov_base = from, .iov_len = run * PAGE};
		if (nr * run == BATCH) {
			drop(runs, nr);
			nr = 0;
		}
	}
}

static void all_copied_out_clean(void)
{
	copy_out(false);
}

static void all_copied_out_dirty(void)
{
	copy_out(true);
}

/* Not measured: what first writes to clean pages cost is not the question here. */
static void make_writable(void)
{
	for (uint32_t i = 0; i < NR_PAGES; i += run) {
		protect(program + order[i] * PAGE, false);
		for (uint32_t k = 0; k < run; k++)
			*(volatile uint64_t *)(program + (order[i] + k) * PAGE) = mix(order[i] + k);
	}
}

static void all_moved_in(void)
{
	for (uint32_t i = 0; i < NR_PAGES; i += run) {
		move(program + order[i] * PAGE, moved + order[i] * PAGE);
		for (uint32_t k = 0; k < run; k++)
			expect_page(program + (order[i] + k) * PAGE, order[i] + k);
	}
}

static void all_moved_out(void)
{
	static char seen[64 * PAGE];

	for (uint32_t i = 0; i < NR_PAGES; i += run) {
		char *to = moved + order[i] * PAGE;

		move(to, program + order[i] * PAGE);
		memcpy(seen, to, run * PAGE);
		for (uint32_t k = 0; k < run; k++)
			expect_page(seen + k * PAGE, order[i] + k);
	}
}

static double us_per_page(void (*all)(void))
{
	double start = now();

	all();
	return (now() - start) / NR_PAGES * 1e6;
}

/* In the order of the table's columns. */
static void measure(double *ret_us)
{
	static void (*const steps[NR_STEPS])(void) = {all_copied_in, all_copied_out_clean,
	    all_copied_in_writable, all_copied_out_clean, all_copied_in, all_copied_out_dirty,
	    all_moved_in, all_moved_out};
	static const int column[NR_STEPS] = {0, 3, 1, -1, -1, 4, 2, 5};
	double us[NR_STEPS][ROUNDS];

	for (int round = 0; round < ROUNDS; round++)
		for (int s = 0; s < NR_STEPS; s++) {
			if (steps[s] == all_copied_out_dirty)
				make_writable();
			us[s][round] = us_per_page(steps[s]);
		}
	for (int s = 0; s < NR_STEPS; s++)
		if (column[s] >= 0)
			ret_us[column[s]] = median(us[s], ROUNDS);
}

/* Runs at random places: all pages of the pool, @run by @run. */
static void shuffle(void)
{
	uint64_t state = 1;
	uint32_t nr = NR_PAGES / run;

	for (uint32_t i = 0; i < nr; i++)
		order[i * run] = i * run;
	for (uint32_t i = nr - 1; i; i--) {
		uint32_t *a = &order[i * run], *b = &order[random_below(&state, i + 1) * run];
		uint32_t was = *a;

		*a = *b;
		*b = was;
	}
}

static char *map_pages(void)
{
	char *at = map_or_die(NR_PAGES * PAGE);

	madvise(at, NR_PAGES * PAGE, MADV_NOHUGEPAGE);
	return at;
}

static void register_pages(const char *at)
{
	struct uffdio_register r = {
	    .range = {.start = (uintptr_t)at, .len = NR_PAGES * PAGE},
	    .mode = UFFDIO_REGISTER_MODE_MISSING | UFFDIO_REGISTER_MODE_WP,
	};

	if (ioctl(uffd, UFFDIO_REGISTER, &r))
		die("UFFDIO_REGISTER");
}

int main(void)
{
	struct uffdio_api api = {
	    .api = UFFD_API, .features = UFFD_FEATURE_MOVE | UFFD_FEATURE_SIGBUS};

	uffd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY);
	if (uffd < 0 || ioctl(uffd, UFFDIO_API, &api)) {
		printf("skipped transport: no userfaultfd with UFFDIO_MOVE here: %s\n",
		    strerror(errno));
		return 0;
	}
	program = map_pages();
	copied = map_pages();
	moved = map_pages();
	for (uint32_t i = 0; i < NR_PAGES; i++)
		*(uint64_t *)(copied + i * PAGE) = *(uint64_t *)(moved + i * PAGE) = mix(i);
	register_pages(program);
	register_pages(moved);

	puts("| us a page | copied in | writable | moved in | copied out, clean | dirty | moved "
	     "out |\n"
	     "|---|---|---|---|---|---|---|");
	for (int threads = 1; threads <= 2; threads++) {
		if (threads == 2)
			beside_start();
		for (run = 1; run <= 64; run *= 64) {
			double us[NR_COLUMNS];

			shuffle();
			measure(us);
			printf("| %s, %d thread%s", run == 1 ? "one page" : "runs of 64", threads,
			    threads > 1 ? "s" : "");
			for (int i = 0; i < NR_COLUMNS; i++)
				printf(" | %.2f", us[i]);
			puts(" |");
			fflush(stdout);
		}
	}
	beside_stop();
	if (nr_wrong)
		printf("FAILED transport: %llu pages came with other bytes\n",
		    (unsigned long long)nr_wrong);
	else
		puts("ok transport");
	return nr_wrong != 0;
}
