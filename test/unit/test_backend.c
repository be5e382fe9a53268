// SPDX-License-Identifier: MIT
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support.h"
#include "swap/backend.h"

#define NR_SLOTS 512u
#define MAX_IOS  100u /* more than a ring takes at once */

static int dir_fd = -1;
static struct swap_backend *backend;
static const char *how;

static void open_backend(void)
{
	dir_fd = open(scratch_dir(), O_PATH | O_DIRECTORY | O_CLOEXEC);
	cr_assert_geq(dir_fd, 0);
	cr_assert_eq(backend_uring_open(dir_fd, &backend, &how), 0);
	cr_assert_geq(backend->ops->grow(backend, NR_SLOTS), NR_SLOTS);
}

static void close_backend(void)
{
	backend->ops->close(backend);
	close(dir_fd);
}

/* Up to MAX_IOS transfers of up to four pages each, at slots of their own, in scattered memory. */
struct job {
	uint32_t nr;
	struct swap_io ios[MAX_IOS];
	struct iovec iov[MAX_IOS * 4];
	uint64_t stamp[MAX_IOS * 4];
	char *mem;
};

static void job_make(
    struct job *j, struct rng *rng, uint32_t first_slot, uint32_t nr, bool is_write, uint64_t stamp)
{
	uint32_t nr_iov = 0, slot = first_slot;

	if (!j->mem)
		j->mem = pages_new(MAX_IOS * 8);
	j->nr = nr;
	for (uint32_t i = 0; i < nr; i++) {
		uint32_t pages = 1 + rng_below(rng, 4);

		j->ios[i] = (struct swap_io){.first = {slot},
		    .is_write = is_write,
		    .nr_iov = pages,
		    .iov = &j->iov[nr_iov],
		    .may_spin = !is_write && slot % 2,
		    .result = -12345};
		for (uint32_t k = 0; k < pages; k++, slot++, nr_iov++) {
			char *buf = j->mem + (size_t)nr_iov * 2 * PAGE_BYTES; /* never neighbours */

			j->iov[nr_iov] = (struct iovec){buf, PAGE_BYTES};
			j->stamp[nr_iov] = stamp + slot;
			if (is_write)
				page_stamp(buf, stamp + slot);
			else
				memset(buf, 0, PAGE_BYTES);
		}
	}
}

static bool job_io_is_right(const struct job *j, uint32_t i)
{
	for (uint32_t k = 0; k < j->ios[i].nr_iov; k++) {
		size_t at = (size_t)(&j->ios[i].iov[k] - j->iov);

		if (!page_has_stamp(j->iov[at].iov_base, j->stamp[at]))
			return false;
	}
	return true;
}

static void count_done(struct swap_io *io)
{
	++*(uint32_t *)io->arg;
}

/* By begin() and wait(), if it can begin. Return: as transfer(). */
static int fly(struct job *j)
{
	uint32_t nr_told[MAX_IOS] = {0}, nr_before = 0;
	struct swap_flight fl;
	int err = 0;

	for (uint32_t i = 0; i < j->nr; i++) {
		j->ios[i].done = count_done;
		j->ios[i].arg = &nr_told[i];
	}
	if (backend->ops->begin(backend, &fl, j->ios, j->nr))
		while (backend->ops->wait(backend, &fl)) {
			cr_expect_geq(fl.nr_done, nr_before);
			nr_before = fl.nr_done;
		}
	else
		backend->ops->transfer(backend, j->ios, j->nr);
	for (uint32_t i = 0; i < j->nr; i++) {
		cr_expect_eq(nr_told[i], 1, "transfer %u was told of %u times", i, nr_told[i]);
		err = err ? err : j->ios[i].result;
	}
	return err;
}

static void write_and_read(struct job *j, uint64_t seed, uint32_t slot, uint32_t nr)
{
	struct rng rng = {seed};

	job_make(j, &rng, slot, nr, true, seed * 100000);
	cr_assert_eq(backend->ops->transfer(backend, j->ios, nr), 0);
	rng = (struct rng){seed};
	job_make(j, &rng, slot, nr, false, seed * 100000);
	cr_assert_eq(backend->ops->transfer(backend, j->ios, nr), 0);
	for (uint32_t i = 0; i < nr; i++) {
		cr_assert_eq(j->ios[i].result, 0);
		cr_assert(job_io_is_right(j, i), "transfer %u of %u", i, nr);
	}
}

Test(backend, reads_what_was_written, .init = open_backend, .fini = close_backend)
{
	static struct job j;
	struct rng rng = rng_new("backend");

	fprintf(stderr, "backend: %s\n", how);
	write_and_read(&j, 1, 0, 1);
	write_and_read(&j, 2, 5, 2);
	for (uint64_t i = 3; i < 40; i++)
		write_and_read(&j, i, rng_below(&rng, 100), 1 + rng_below(&rng, MAX_IOS));
}

/* One transfer of more pieces than one system call takes. */
Test(backend, very_long_transfer, .init = open_backend, .fini = close_backend)
{
	enum { NR = 2500 };
	static struct iovec iov[NR];
	char *mem = pages_new(2 * NR);
	struct swap_io io = {.first = {3}, .is_write = true, .nr_iov = NR, .iov = iov};
	struct swap_io both[2];

	cr_assert_geq(backend->ops->grow(backend, 2 * NR + 10), 2 * NR + 10);
	for (uint32_t i = 0; i < NR; i++) {
		iov[i] = (struct iovec){mem + (size_t)(2 * i) * PAGE_BYTES, PAGE_BYTES};
		page_stamp(iov[i].iov_base, i);
	}
	both[0] = both[1] = io;
	both[1].first.v = 3 + NR;
	cr_assert_eq(backend->ops->transfer(backend, both, 2), 0);
	memset(mem, 0, (size_t)(2 * NR) * PAGE_BYTES);
	io.is_write = false;
	io.first.v = 3 + NR;
	cr_assert_eq(backend->ops->transfer(backend, &io, 1), 0);
	for (uint32_t i = 0; i < NR; i++)
		cr_assert(page_has_stamp(iov[i].iov_base, i));
}

Test(backend, reading_past_the_end_is_an_error, .init = open_backend, .fini = close_backend)
{
	struct iovec iov[2] = {{pages_new(1), PAGE_BYTES}, {pages_new(1), PAGE_BYTES}};
	/* Beyond what grow() rounds up to: short at once, and short after nothing. */
	struct swap_io ios[3] = {
	    {.first = {1u << 20}, .nr_iov = 1, .iov = iov},
	    {.first = {1u << 20}, .nr_iov = 2, .iov = iov},
	    {.first = {0}, .nr_iov = 1, .iov = &iov[1]},
	};

	cr_expect_eq(backend->ops->transfer(backend, &ios[0], 1), -EIO);
	cr_expect_eq(backend->ops->transfer(backend, ios, 3), -EIO);
	cr_expect_eq(ios[0].result, -EIO);
	cr_expect_eq(ios[1].result, -EIO);
	cr_expect_eq(ios[2].result, 0);
}

Test(backend, descriptors_are_high_and_close_on_exec, .init = open_backend, .fini = close_backend)
{
	static struct job j;
	int nr_owned = 0;

	write_and_read(&j, 1, 0, 20); /* makes a ring */
	for (int fd = 0; fd < 1024; fd++) {
		if (!backend->ops->owns_fd(backend, fd))
			continue;
		nr_owned++;
		cr_expect_geq(fd, 192);
		cr_expect_eq(fcntl(fd, F_GETFD), FD_CLOEXEC);
	}
	cr_expect_geq(nr_owned, 1);
	cr_expect_not(backend->ops->owns_fd(backend, -1));
	cr_expect_not(backend->ops->owns_fd(backend, dir_fd));
}

/* What it was tried with is given back: to discard a block at the end takes time. */
Test(backend, has_no_block_before_it_grows)
{
	struct stat st = {.st_blocks = -1};

	dir_fd = open(scratch_dir(), O_PATH | O_DIRECTORY | O_CLOEXEC);
	cr_assert_eq(backend_uring_open(dir_fd, &backend, &how), 0);
	for (int fd = 0; fd < 1024; fd++)
		if (backend->ops->owns_fd(backend, fd))
			cr_expect_eq(fstat(fd, &st), 0);
	cr_expect_eq(st.st_blocks, 0);
	close_backend();
}

static void *many_transfers(void *arg)
{
	uintptr_t me = (uintptr_t)arg;
	struct job *j = calloc(1, sizeof(*j));

	for (uint64_t i = 0; i < 30; i++)
		write_and_read(
		    j, 1 + me * 1000 + i, (uint32_t)me * 600, 1 + (uint32_t)(i * 7 % MAX_IOS));
	free(j);
	return NULL;
}

Test(backend, many_threads_at_once, .init = open_backend, .fini = close_backend, .timeout = 60)
{
	pthread_t t[12]; /* more than there are rings */

	cr_assert_gt(backend->ops->grow(backend, 12 * 600), 0);
	for (uintptr_t i = 0; i < ARRAY_LEN(t); i++)
		cr_assert_eq(pthread_create(&t[i], NULL, many_transfers, (void *)i), 0);
	for (uint32_t i = 0; i < ARRAY_LEN(t); i++)
		pthread_join(t[i], NULL);
}

static void child_reads(bool say_so)
{
	static struct job j;
	struct rng rng = {9};
	int status;

	write_and_read(&j, 9, 0, 30);
	fflush(NULL);
	pid_t pid = fork();
	if (!pid) {
		/* Without fork_child() as a vfork child would: the rings must not be touched. */
		if (say_so)
			backend->ops->fork_child(backend);
		job_make(&j, &rng, 0, 30, false, 900000);
		if (backend->ops->transfer(backend, j.ios, 30))
			_exit(1);
		for (uint32_t i = 0; i < 30; i++)
			if (!job_io_is_right(&j, i))
				_exit(2);
		backend->ops->close(backend);
		_exit(0);
	}
	cr_assert_gt(pid, 0);
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_expect_eq(status, 0, "%x", (unsigned)status);
	write_and_read(&j, 10, 0, 30); /* the parent's ring is as it was */
}

Test(backend, forked_child_reads, .init = open_backend, .fini = close_backend)
{
	child_reads(true);
}

Test(backend, other_process_keeps_off_the_rings, .init = open_backend, .fini = close_backend)
{
	child_reads(false);
}

/* The n-th system call fails, for each n: the error is reported, the others' transfers are not
 * touched by it, and the backend works afterwards. */
static void fail_each_call(long error, bool may_be_repaired)
{
	static struct job j;
	struct rng rng = {77};
	bool fired = true, any_fired = false;

	job_make(&j, &rng, 0, 40, true, 500);
	cr_assert_eq(backend->ops->transfer(backend, j.ios, 40), 0);
	for (long n = 0; fired; n++) {
		bool is_flight = n % 3 == 2;

		rng = (struct rng){77};
		job_make(&j, &rng, 0, n % 3 ? 40 : 1, false, 500);
		inject(-1, n / 3, error);
		int err = is_flight ? fly(&j) : backend->ops->transfer(backend, j.ios, j.nr);
		fired = inject_stop() || any_fired;
		any_fired = fired && n % 3 == 1;
		cr_expect(err == 0 || (fired && !may_be_repaired), "call %ld: %d", n, err);
		for (uint32_t i = 0; i < j.nr; i++)
			if (!j.ios[i].result)
				cr_expect(job_io_is_right(&j, i), "call %ld, transfer %u", n, i);
			else
				cr_expect_eq(j.ios[i].result, error);
		fired |= n % 3 != 2; /* ends when neither of the longer ones has met it */
		cr_assert_lt(n, 1000);
	}
	write_and_read(&j, 3, 0, 40);
}

Test(backend, io_error_in_each_call, .init = open_backend, .fini = close_backend)
{
	fail_each_call(-EIO, false);
}

Test(backend, interruption_of_each_call, .init = open_backend, .fini = close_backend)
{
	fail_each_call(-EINTR, true);
}

Test(backend, scarcity_in_each_call, .init = open_backend, .fini = close_backend)
{
	fail_each_call(-EAGAIN, true);
}

Test(backend, two_flights_beside_a_transfer, .init = open_backend, .fini = close_backend)
{
	static struct job j[2], other;
	struct swap_flight fl[2];
	uint32_t nr_told = 0;
	bool is_left[2];

	for (uint32_t k = 0; k < 2; k++) {
		struct rng rng = {k + 1};

		job_make(&j[k], &rng, 170 * k, 40, true, 1000 * k);
		cr_assert_eq(backend->ops->transfer(backend, j[k].ios, 40), 0);
		rng = (struct rng){k + 1};
		job_make(&j[k], &rng, 170 * k, 40, false, 1000 * k);
		for (uint32_t i = 0; i < 40; i++) {
			j[k].ios[i].done = count_done;
			j[k].ios[i].arg = &nr_told;
		}
		is_left[k] = backend->ops->begin(backend, &fl[k], j[k].ios, 40);
		cr_assert(is_left[k]);
	}
	write_and_read(&other, 9, 340, 40);
	while (is_left[0] || is_left[1])
		for (uint32_t k = 0; k < 2; k++)
			is_left[k] = is_left[k] && backend->ops->wait(backend, &fl[k]);
	cr_expect_eq(nr_told, 2 * 40);
	for (uint32_t k = 0; k < 2; k++)
		for (uint32_t i = 0; i < 40; i++)
			cr_expect(!j[k].ios[i].result && job_io_is_right(&j[k], i));
}

Test(backend, works_without_io_uring)
{
	static struct job j;

	dir_fd = open(scratch_dir(), O_PATH | O_DIRECTORY | O_CLOEXEC);
	inject(SYS_io_uring_setup, 0, -EPERM);
	cr_assert_eq(backend_uring_open(dir_fd, &backend, &how), 0);
	cr_expect(inject_stop());
	cr_expect(strstr(how, "blocking"), "%s", how);
	inject(SYS_io_uring_setup, 0, -EPERM);
	cr_assert_gt(backend->ops->grow(backend, NR_SLOTS), 0);
	write_and_read(&j, 1, 0, 1);
	write_and_read(&j, 2, 0, 80);
	inject_stop();
	close_backend();
}

static long refuse_o_direct(long nr)
{
	static int nr_opens;

	return nr == SYS_openat && nr_opens++ == 0 ? -EINVAL : 0;
}

static long refuse_fallocate(long nr)
{
	return nr == SYS_fallocate ? -EOPNOTSUPP : 0;
}

Test(backend, works_buffered)
{
	static struct job j;

	dir_fd = open(scratch_dir(), O_PATH | O_DIRECTORY | O_CLOEXEC);
	sys_inject = refuse_o_direct;
	cr_assert_eq(backend_uring_open(dir_fd, &backend, &how), 0);
	sys_inject = NULL;
	cr_expect(strstr(how, "buffered"), "%s", how);
	cr_assert_gt(backend->ops->grow(backend, NR_SLOTS), 0);
	write_and_read(&j, 1, 0, 90);
	close_backend();
}

Test(backend, works_on_tmpfs)
{
	static struct job j;

	dir_fd = open("/dev/shm", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dir_fd < 0)
		cr_skip("no /dev/shm");
	cr_assert_eq(backend_uring_open(dir_fd, &backend, &how), 0);
	fprintf(stderr, "tmpfs: %s\n", how);
	write_and_read(&j, 1, 0, 90);
	close_backend();
}

Test(backend, works_without_fallocate, .init = open_backend, .fini = close_backend)
{
	static struct job j;
	uint32_t far = 1u << 18;

	sys_inject = refuse_fallocate;
	cr_assert_geq(backend->ops->grow(backend, far + 1000), far + 1000);
	sys_inject = NULL;
	write_and_read(&j, 1, far, 90);
}

Test(backend, opening_reports_each_failure)
{
	const char *untouched = how = "untouched";

	dir_fd = open(scratch_dir(), O_PATH | O_DIRECTORY | O_CLOEXEC);
	for (long n = 0;; n++) {
		backend = NULL;
		how = untouched;
		inject(-1, n, -ENOMEM);
		int err = backend_uring_open(dir_fd, &backend, &how);
		if (!inject_stop())
			break;
		cr_expect((err == 0) == (backend != NULL));
		cr_expect(err == 0 || how == untouched);
		if (!err)
			backend->ops->close(backend);
		cr_assert_lt(n, 100);
	}
	backend->ops->close(backend);
	for (int fd = 100; fd < 1024; fd++)
		cr_expect_eq(fcntl(fd, F_GETFD), -1, "fd %d left open", fd);
}

Test(backend, bad_directories)
{
	int fd = open("/proc", O_PATH | O_DIRECTORY);

	int err = backend_uring_open(fd, &backend, &how);
	cr_expect(err < 0, "/proc: %d", err);
	cr_expect_eq(backend_uring_open(-1, &backend, &how), -EBADF);
	fd = open("/dev/null", O_RDONLY);
	cr_expect_eq(backend_uring_open(fd, &backend, &how), -ENOTDIR);
}

/* SIGXFSZ would end the test. */
Test(backend, file_size_limit_is_a_full_disk, .init = open_backend, .fini = close_backend)
{
	struct rlimit limit = {1000 * PAGE_BYTES, RLIM_INFINITY};
	static struct job j;

	cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
	cr_expect_eq(backend->ops->grow(backend, 1001), -ENOSPC);
	cr_expect_geq(backend->ops->grow(backend, 1000), 1000);
	write_and_read(&j, 1, 0, 90);
	limit.rlim_cur = 100;
	cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
	cr_expect_eq(backend->ops->grow(backend, 10), -ENOSPC);
	struct swap_backend *other;
	cr_expect_eq(backend_uring_open(dir_fd, &other, &how), -ENOSPC);
	limit.rlim_cur = RLIM_INFINITY;
	setrlimit(RLIMIT_FSIZE, &limit);
}

Test(backend, faulty_fails_what_it_is_told, .init = open_backend, .fini = close_backend)
{
	static struct job j;
	struct rng rng = {5};

	backend = backend_faulty_open(backend);
	cr_assert(backend);
	write_and_read(&j, 5, 0, 20);
	for (uint32_t n = 0; n < 20; n++) {
		rng = (struct rng){5};
		job_make(&j, &rng, 0, 20, false, 500000);
		backend_faulty_arm(backend, n, -EIO);
		cr_expect_eq(backend->ops->transfer(backend, j.ios, 20), -EIO);
		cr_expect(backend_faulty_fired(backend));
		for (uint32_t i = 0; i < 20; i++)
			cr_expect_eq(j.ios[i].result, i == n ? -EIO : 0);
	}
	rng = (struct rng){5};
	job_make(&j, &rng, 0, 20, false, 500000);
	backend_faulty_arm(backend, 0, 0);
	cr_expect_eq(backend->ops->transfer(backend, j.ios, 20), 0);
	cr_expect_not(job_io_is_right(&j, 0));
	for (uint32_t i = 1; i < 20; i++)
		cr_expect(job_io_is_right(&j, i));
}
