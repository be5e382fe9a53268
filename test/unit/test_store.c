// SPDX-License-Identifier: MIT
#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support.h"
#include "swap/backend.h"
#include "swap/checksum.h"
#include "swap/slots.h"
#include "swap/store.h"

#define SWAP_BYTES (64ull << 20)

static struct swap *swap;
static const char *how;

static void open_store(void)
{
	checksum_seed();
	cr_assert_eq(swap_open(scratch_dir(), SWAP_BYTES, &swap, &how), 0);
}

static void close_store(void)
{
	swap_close(swap);
}

static uint64_t used_pages(void)
{
	struct swap_stats s;

	swap_stats(swap, &s);
	return s.used_bytes / PAGE_BYTES;
}

/* Write @nr pages stamped @stamp, @stamp + 1, ...; refs are set where result is 0. */
static void write_stamped(struct swap_page *pages, uint64_t stamp, uint32_t nr)
{
	static __thread char *mem;

	if (!mem)
		mem = pages_new(1024);
	for (uint32_t i = 0; i < nr; i++) {
		char *buf = mem + (size_t)i * PAGE_BYTES;

		page_stamp(buf, stamp + i);
		pages[i] = (struct swap_page){.buf = buf,
		    .ref = SWAP_REF_NONE,
		    .checksum = page_checksum(buf),
		    .result = -12345};
	}
	swap_write(swap, pages, nr);
}

/* Read one page. Return: its result, or -EUCLEAN if it claims success and is wrong. */
static int read_stamped(struct swap_ref ref, uint64_t stamp)
{
	static __thread char *buf;

	if (!buf)
		buf = pages_new(1);
	memset(buf, 0xee, PAGE_BYTES);
	struct swap_page page = {.buf = buf, .ref = ref, .result = -12345};
	swap_read(swap, &page, 1, SWAP_SLEEP);
	if (!page.result && !page_has_stamp(buf, stamp))
		return -EUCLEAN;
	return page.result;
}

static int nr_open_fds(void)
{
	int nr = 0;
	DIR *d = opendir("/proc/self/fd");

	while (readdir(d))
		nr++;
	closedir(d);
	return nr - 3; /* ., .., and d */
}

/* A reader that counts how often it is told of each page. */
struct counter {
	struct swap_reader reader;
	uint32_t nr_told[300];
};

static void count_pages(struct swap_reader *r, uint32_t from, uint32_t to)
{
	struct counter *c = container_of(r, struct counter, reader);

	for (uint32_t i = from; i < to; i++)
		c->nr_told[i]++;
}

static void expect_told_once(const struct counter *c, uint32_t nr)
{
	for (uint32_t i = 0; i < 300; i++)
		cr_expect_eq(c->nr_told[i], i < nr, "page %u", i);
}

static void wipe(struct swap_page *pages, uint32_t nr)
{
	for (uint32_t i = 0; i < nr; i++) {
		memset(pages[i].buf, 0xee, PAGE_BYTES);
		pages[i].from = SWAP_FROM_NOWHERE;
	}
}

/* --- one process --- */

Test(store, never_swapped_opens_nothing_more, .init = open_store)
{
	cr_expect(swap_owns_fd(swap, open("/dev/null", O_RDONLY)) == false);
	int before = nr_open_fds();

	for (int i = 0; i < 3; i++) {
		cr_expect_eq(swap_fork_prepare(swap), 0);
		swap_fork_parent(swap);
	}
	cr_expect_eq(nr_open_fds(), before);
	cr_expect_eq(used_pages(), 0);
	swap_close(swap);
	cr_expect_eq(nr_open_fds(), before - 2); /* the directory, and a file for later */
}

Test(store, neighbours_in_one_transfer, .init = open_store, .fini = close_store)
{
	struct swap_page pages[64];
	struct swap_stats s;

	write_stamped(pages, 1000, 64);
	swap_stats(swap, &s);
	cr_expect_eq(s.write_ops, 1);
	cr_expect_eq(s.written_bytes, 64 * PAGE_BYTES);
	for (uint32_t i = 1; i < 64; i++)
		cr_expect_eq(pages[i].ref.v, pages[i - 1].ref.v + 1);
	for (uint32_t i = 0; i < 64; i++) {
		memset(pages[i].buf, 0, PAGE_BYTES);
		pages[i].checksum = 0;
	}
	swap_read(swap, pages, 64, SWAP_SLEEP);
	for (uint32_t i = 0; i < 64; i++) {
		cr_expect(!pages[i].result && page_has_stamp(pages[i].buf, 1000 + i));
		cr_expect_eq(pages[i].checksum, page_checksum(pages[i].buf));
	}
	swap_stats(swap, &s);
	cr_expect_eq(s.read_ops, 1);
	cr_expect_eq(s.read_bytes, 64 * PAGE_BYTES);
	cr_expect_eq(swap_capacity_bytes(swap), SWAP_BYTES - 64 * PAGE_BYTES);
}

Test(store, a_reader_is_told_of_each_page_once, .init = open_store, .fini = close_store)
{
	struct counter c = {.reader = {count_pages}};
	struct swap_page pages[300];
	struct swap_stats s;

	write_stamped(pages, 1000, 300);
	wipe(pages, 300);
	swap_read_rest(swap, pages, 300, SWAP_SLEEP, &c.reader);
	expect_told_once(&c, 300);
	for (uint32_t i = 0; i < 300; i++)
		cr_expect(!pages[i].result && page_has_stamp(pages[i].buf, 1000 + i));
	swap_stats(swap, &s);
	cr_expect_eq(s.read_ops, 5, "in pieces of 64: four of 256 pages, one of 44");
}

Test(store, two_reads_under_way, .init = open_store, .fini = close_store)
{
	struct counter c[2] = {{.reader = {count_pages}}, {.reader = {count_pages}}};
	struct swap_page pages[2][200];
	struct swap_reading *g[2], *third;
	struct counter none = {.reader = {count_pages}};

	for (uint32_t k = 0; k < 2; k++) {
		char *mem = pages_new(200);

		write_stamped(pages[k], 1000 * k, 200);
		for (uint32_t i = 0; i < 200; i++)
			pages[k][i].buf = mem + (size_t)i * PAGE_BYTES;
		wipe(pages[k], 200);
	}
	/* One of them lies apart in swap. */
	struct swap_page apart = pages[0][3];
	pages[0][3] = pages[0][150];
	pages[0][150] = apart;
	for (uint32_t k = 0; k < 2; k++)
		cr_assert(swap_read_begin(swap, pages[k], 200, &c[k].reader, &g[k]));
	cr_expect_not(swap_read_begin(swap, pages[0], 200, &none.reader, &third));
	while (swap_read_wait(g[1]))
		;
	expect_told_once(&c[1], 200);
	while (swap_read_wait(g[0]))
		;
	expect_told_once(&c[0], 200);
	expect_told_once(&none, 0);
	for (uint32_t k = 0; k < 2; k++)
		for (uint32_t i = 0; i < 200; i++) {
			uint32_t was = k || (i != 3 && i != 150) ? i : 153 - i;

			cr_expect(
			    !pages[k][i].result && page_has_stamp(pages[k][i].buf, 1000 * k + was));
		}
	cr_expect(swap_read_begin(swap, pages[0], 1, &c[0].reader, &third), "one is free again");
	while (swap_read_wait(third))
		;
}

#define MODEL_PAGES 1500u

struct model {
	struct swap_ref ref; /* SWAP_REF_NONE: not in swap */
	uint64_t stamp;
};

static uint64_t next_stamp = 1;

static void model_write(struct model *m, struct rng *rng)
{
	struct swap_page pages[300];
	uint32_t who[300], nr = 0, want = 1 + rng_below(rng, 300);

	for (uint32_t i = rng_below(rng, MODEL_PAGES); i < MODEL_PAGES && nr < want; i++)
		if (swap_ref_is_none(m[i].ref))
			who[nr++] = i;
	write_stamped(pages, next_stamp, nr);
	for (uint32_t i = 0; i < nr; i++) {
		cr_assert_eq(pages[i].result, 0);
		m[who[i]] = (struct model){pages[i].ref, next_stamp + i};
	}
	next_stamp += nr;
}

static void model_read(struct model *m, struct rng *rng)
{
	static char *mem;
	struct swap_page pages[300];
	uint64_t stamp[300];
	uint32_t nr = 0, want = 1 + rng_below(rng, 300), step = 1 + rng_below(rng, 3);

	if (!mem)
		mem = pages_new(300);
	for (uint32_t i = rng_below(rng, MODEL_PAGES); i < MODEL_PAGES && nr < want; i += step) {
		if (swap_ref_is_none(m[i].ref))
			continue;
		char *buf = mem + (size_t)nr * PAGE_BYTES;

		memset(buf, 0, PAGE_BYTES);
		stamp[nr] = m[i].stamp;
		pages[nr++] = (struct swap_page){.buf = buf, .ref = m[i].ref, .result = -12345};
	}
	swap_read(swap, pages, nr, SWAP_SLEEP);
	for (uint32_t i = 0; i < nr; i++) {
		cr_assert_eq(pages[i].result, 0);
		cr_assert(page_has_stamp(pages[i].buf, stamp[i]));
	}
}

static void model_free(struct model *m, struct rng *rng)
{
	uint32_t from = rng_below(rng, MODEL_PAGES), nr = rng_below(rng, 400);

	for (uint32_t i = from; i < MIN(from + nr, MODEL_PAGES); i++) {
		if (swap_ref_is_none(m[i].ref) || rng_below(rng, 4) == 0)
			continue;
		swap_free(swap, m[i].ref);
		m[i].ref = SWAP_REF_NONE;
	}
}

Test(store, random_operations_equal_the_model, .init = open_store, .fini = close_store,
    .timeout = 120)
{
	struct rng rng = rng_new("store");
	static struct model m[MODEL_PAGES];
	uint64_t nr = 0;

	for (uint32_t i = 0; i < MODEL_PAGES; i++)
		m[i].ref = SWAP_REF_NONE;
	for (int step = 0; step < 1500; step++) {
		uint32_t dice = rng_below(&rng, 3);

		if (dice == 0)
			model_write(m, &rng);
		else if (dice == 1)
			model_read(m, &rng);
		else
			model_free(m, &rng);
	}
	for (uint32_t i = 0; i < MODEL_PAGES; i++) {
		if (swap_ref_is_none(m[i].ref))
			continue;
		nr++;
		cr_expect_eq(read_stamped(m[i].ref, m[i].stamp), 0);
	}
	cr_expect_eq(used_pages(), nr);
}

Test(store, full_swap_says_so_and_recovers)
{
	struct swap_page pages[100], more[1];

	checksum_seed();
	cr_assert_eq(swap_open(scratch_dir(), 60 * PAGE_BYTES, &swap, &how), 0);
	write_stamped(pages, 1, 100);
	for (uint32_t i = 0; i < 100; i++)
		cr_expect_eq(pages[i].result, i < 60 ? 0 : -ENOSPC, "page %u", i);
	cr_expect_eq(swap_capacity_bytes(swap), 0);
	for (uint32_t i = 0; i < 60; i++)
		cr_expect_eq(read_stamped(pages[i].ref, 1 + i), 0);
	swap_free(swap, pages[7].ref);
	write_stamped(more, 500, 1);
	cr_expect_eq(more[0].result, 0);
	cr_expect_eq(read_stamped(more[0].ref, 500), 0);
	swap_close(swap);
}

/* A limit on file sizes that the program sets itself, or a disk that runs full: what is there
 * stays readable, and the places that exist are used again. */
Test(store, disk_full_is_survived, .init = open_store, .fini = close_store)
{
	struct rlimit limit = {50 * PAGE_BYTES, RLIM_INFINITY};
	struct swap_page pages[100];

	setrlimit(RLIMIT_FSIZE, &limit);
	for (int round = 0; round < 3; round++) {
		uint32_t nr = 0;

		write_stamped(pages, 1, 100);
		for (uint32_t i = 0; i < 100; i++) {
			cr_expect(pages[i].result == 0 || pages[i].result == -ENOSPC);
			if (pages[i].result)
				continue;
			nr++;
			cr_expect_eq(read_stamped(pages[i].ref, 1 + i), 0);
			swap_free(swap, pages[i].ref);
		}
		cr_expect_eq(nr, 50, "round %d", round);
		write_stamped(pages, 1, 30);
		for (uint32_t i = 0; i < 30; i++) {
			cr_assert_eq(pages[i].result, 0);
			swap_free(swap, pages[i].ref);
		}
	}
	limit.rlim_cur = RLIM_INFINITY;
	setrlimit(RLIMIT_FSIZE, &limit);
}

Test(store, bad_directories_show_at_once)
{
	swap = NULL;
	cr_expect_eq(swap_open("/nonexistent", 0, &swap, &how), -ENOENT);
	cr_expect_eq(swap_open("/dev/null", 0, &swap, &how), -ENOTDIR);
	cr_expect_lt(swap_open("/proc", 0, &swap, &how), 0);
	cr_expect_eq(swap_open(scratch_dir(), 100, &swap, &how), -ENOSPC);
	cr_expect_null(swap);
	swap_close(NULL);
}

/* --- failures --- */

static struct swap_backend *faulty;

static struct swap_backend *wrap_faulty(struct swap_backend *b)
{
	return faulty = backend_faulty_open(b);
}

static void open_faulty(void)
{
	swap_wrap_backend = wrap_faulty;
	open_store();
}

Test(store, failed_write_goes_elsewhere, .init = open_faulty, .fini = close_store)
{
	struct swap_page pages[300]; /* two transfers */
	struct swap_stats s;

	write_stamped(pages, 1, 10);
	for (uint32_t n = 0; n < 2; n++) {
		backend_faulty_arm(faulty, n, -EIO);
		write_stamped(pages, 100, 300);
		cr_expect(backend_faulty_fired(faulty));
		for (uint32_t i = 0; i < 300; i++) {
			cr_expect_eq(pages[i].result, 0);
			cr_expect_eq(read_stamped(pages[i].ref, 100 + i), 0);
		}
		swap_stats(swap, &s);
		cr_expect_eq(s.write_errors, n + 1);
	}
	cr_expect_eq(used_pages(), 610);
}

static uint32_t nr_transfers_to_fail;

static int failing_transfer(struct swap_backend *b, struct swap_io *ios, uint32_t nr)
{
	const struct swap_backend_ops *ops = faulty->ops;

	if (!nr_transfers_to_fail)
		return ops->transfer(faulty, ios, nr);
	nr_transfers_to_fail--;
	for (uint32_t i = 0; i < nr; i++)
		ios[i].result = -EIO;
	return -EIO;
}

static int64_t failing_grow(struct swap_backend *b, uint32_t nr)
{
	return faulty->ops->grow(faulty, nr);
}

static void failing_close(struct swap_backend *b)
{
	faulty->ops->close(faulty);
}

static bool failing_owns_fd(struct swap_backend *b, int fd)
{
	return faulty->ops->owns_fd(faulty, fd);
}

static const struct swap_backend_ops failing_ops = {
    .name = "failing",
    .transfer = failing_transfer,
    .grow = failing_grow,
    .close = failing_close,
    .owns_fd = failing_owns_fd,
};

static struct swap_backend failing = {&failing_ops};

static struct swap_backend *wrap_failing(struct swap_backend *b)
{
	faulty = b;
	return &failing;
}

Test(store, write_that_fails_twice_is_reported)
{
	struct swap_page pages[50];

	swap_wrap_backend = wrap_failing;
	open_store();
	nr_transfers_to_fail = 2;
	write_stamped(pages, 1, 50);
	for (uint32_t i = 0; i < 50; i++) {
		cr_expect_eq(pages[i].result, -EIO);
		cr_expect(swap_ref_is_none(pages[i].ref));
	}
	cr_expect_eq(used_pages(), 0);
	write_stamped(pages, 1, 50);
	for (uint32_t i = 0; i < 50; i++)
		cr_expect_eq(read_stamped(pages[i].ref, 1 + i), 0);
	close_store();
}

Test(store, bad_sector_costs_one_page, .init = open_faulty, .fini = close_store)
{
	struct swap_page pages[50];
	struct swap_stats s;

	write_stamped(pages, 1, 50);
	/* The run fails; read again page by page, the third of them fails again. */
	nr_transfers_to_fail = 0;
	backend_faulty_arm(faulty, 0, -EIO);
	swap_read(swap, pages, 50, SWAP_SLEEP);
	cr_expect(backend_faulty_fired(faulty));
	for (uint32_t i = 0; i < 50; i++)
		cr_expect(!pages[i].result && page_has_stamp(pages[i].buf, 1 + i));
	swap_stats(swap, &s);
	cr_expect_eq(s.read_errors, 1);
	backend_faulty_arm(faulty, 0, -EIO);
	cr_expect_eq(read_stamped(pages[3].ref, 4), -EIO);
}

/* No bit flips past the checksum. */
Test(store, flipped_bit_is_an_error_never_data, .init = open_faulty, .fini = close_store)
{
	struct swap_page pages[20];
	struct swap_stats s;

	write_stamped(pages, 1, 20);
	for (uint32_t n = 0; n < 20; n++) {
		backend_faulty_arm(faulty, n, 0);
		for (uint32_t i = 0; i < 20; i++)
			pages[i].from = SWAP_FROM_NOWHERE;
		swap_read(swap, pages, 20, SWAP_SLEEP);
		cr_expect(backend_faulty_fired(faulty));
		for (uint32_t i = 0; i < 20; i++)
			cr_expect_eq(pages[i].result, i == n ? -EBADMSG : 0);
		swap_stats(swap, &s);
		cr_expect_eq(s.checksum_errors, n + 1);
	}
}

Test(store, a_reader_is_told_of_what_failed, .init = open_faulty, .fini = close_store)
{
	struct swap_page pages[200];
	struct swap_reading *g;

	write_stamped(pages, 1, 200);
	for (uint32_t n = 0; n < 200; n += 7) {
		struct counter c = {.reader = {count_pages}};

		wipe(pages, 200);
		backend_faulty_arm(faulty, n, 0);
		cr_expect_not(swap_read_begin(swap, pages, 200, &c.reader, &g), "it cannot");
		swap_read_rest(swap, pages, 200, SWAP_SLEEP, &c.reader);
		cr_expect(backend_faulty_fired(faulty));
		expect_told_once(&c, 200);
		for (uint32_t i = 0; i < 200; i++)
			cr_expect_eq(pages[i].result, i == n ? -EBADMSG : 0);
	}
}

/* Open, write, fork, read, free, close, with the n-th system call failing, for each n. */
static void use_store(long error)
{
	struct swap_page pages[40];
	const char *untouched = "untouched";

	swap = NULL;
	how = untouched;
	int err = swap_open(scratch_dir(), SWAP_BYTES, &swap, &how);
	if (err) {
		cr_expect(err == error || err == -ENOMEM, "%d", err); /* ENOMEM: of mmap, always */
		cr_expect(swap == NULL && how == untouched);
		return;
	}
	write_stamped(pages, 1, 40);
	err = swap_fork_prepare(swap);
	cr_expect(err == 0 || err == -ENOMEM, "%d", err);
	if (!err)
		swap_fork_parent(swap);
	for (uint32_t i = 0; i < 40; i++) {
		if (pages[i].result)
			continue;
		err = read_stamped(pages[i].ref, 1 + i);
		cr_expect(err == 0 || err == error, "%d", err);
		swap_free(swap, pages[i].ref);
	}
	cr_expect_eq(used_pages(), 0);
	swap_close(swap);
}

static void fail_each_call(long error)
{
	struct swap_page warm_up[1];
	int before = nr_open_fds();

	read_stamped((open_store(), write_stamped(warm_up, 1, 1), warm_up[0].ref), 1);
	close_store();
	for (long n = 0;; n++) {
		inject(-1, n, error);
		use_store(error);
		if (!inject_stop())
			break;
		/* A close() that was made to fail leaves its descriptor: one at most. */
		cr_expect_leq(nr_open_fds(), before + 1, "call %ld", n);
		before = nr_open_fds();
		cr_assert_lt(n, 1000);
	}
}

Test(store, each_call_fails_with_enomem, .timeout = 120)
{
	fail_each_call(-ENOMEM);
}

Test(store, each_call_fails_with_eio, .timeout = 120)
{
	fail_each_call(-EIO);
}

Test(store, each_call_fails_with_emfile, .timeout = 120)
{
	fail_each_call(-EMFILE);
}

/* --- threads --- */

static void *churn(void *arg)
{
	struct rng rng = {(uintptr_t)arg};
	struct swap_page pages[30];

	for (uint32_t round = 0; round < 60; round++) {
		uint32_t nr = 1 + rng_below(&rng, 30);
		uint64_t stamp = (uintptr_t)arg * 1000000 + round * 100;

		write_stamped(pages, stamp, nr);
		for (uint32_t i = 0; i < nr; i++) {
			if (pages[i].result || read_stamped(pages[i].ref, stamp + i))
				abort();
			swap_free(swap, pages[i].ref);
		}
	}
	return NULL;
}

Test(store, many_threads_at_once, .init = open_store, .fini = close_store, .timeout = 120)
{
	pthread_t t[8];

	for (uintptr_t i = 0; i < ARRAY_LEN(t); i++)
		cr_assert_eq(pthread_create(&t[i], NULL, churn, (void *)(i + 1)), 0);
	for (uint32_t i = 0; i < ARRAY_LEN(t); i++)
		pthread_join(t[i], NULL);
	cr_expect_eq(used_pages(), 0);
}

/* --- fork --- */

/* Children report by their exit status: 0, or the line of what was wrong. */
#define child_check(cond)                                                         \
	do {                                                                      \
		if (!(cond)) {                                                    \
			fprintf(stderr, "child: %s, line %d\n", #cond, __LINE__); \
			_exit(1);                                                 \
		}                                                                 \
	} while (0)

static void expect_ends_well(pid_t pid)
{
	int status;

	cr_assert_gt(pid, 0);
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_expect_eq(status, 0, "child: %x", (unsigned)status);
}

static pid_t store_fork(void)
{
	int err = swap_fork_prepare(swap);

	if (err)
		return err;
	fflush(NULL);
	pid_t pid = fork();
	if (pid)
		swap_fork_parent(swap);
	else
		swap_fork_child(swap);
	return pid;
}

struct gate {
	int fds[2];
};

static struct gate gate_new(void)
{
	struct gate g;

	cr_assert_eq(pipe(g.fds), 0);
	return g;
}

static void gate_open(struct gate *g)
{
	close(g->fds[1]);
	close(g->fds[0]);
}

/* In a child: wait until the parent opens it. */
static void gate_pass(struct gate *g)
{
	char c;

	close(g->fds[1]);
	if (read(g->fds[0], &c, 1) != 0)
		_exit(99);
}

Test(store, child_reads_what_its_parent_had, .init = open_store, .fini = close_store)
{
	struct swap_page pages[100], fresh[100];
	struct gate gate = gate_new();

	write_stamped(pages, 1, 100);
	pid_t pid = store_fork();
	if (!pid) {
		gate_pass(&gate);
		for (uint32_t i = 0; i < 100; i++)
			child_check(read_stamped(pages[i].ref, 1 + i) == 0);
		/* Its own swap is another one. */
		write_stamped(fresh, 9000, 100);
		for (uint32_t i = 0; i < 100; i++) {
			child_check(fresh[i].result == 0 && fresh[i].ref.v != pages[i].ref.v);
			child_check(read_stamped(fresh[i].ref, 9000 + i) == 0);
			child_check(read_stamped(pages[i].ref, 1 + i) == 0);
		}
		swap_close(swap);
		_exit(0);
	}
	/* The parent gives up half of them and writes over what it gets for it. */
	for (uint32_t i = 0; i < 50; i++)
		swap_free(swap, pages[i].ref);
	for (int round = 0; round < 50; round++) {
		write_stamped(fresh, 5000, 100);
		for (uint32_t i = 0; i < 100; i++) {
			cr_assert_eq(fresh[i].result, 0);
			for (uint32_t k = 0; k < 100; k++)
				cr_assert_neq(fresh[i].ref.v, pages[k].ref.v);
			swap_free(swap, fresh[i].ref);
		}
	}
	gate_open(&gate);
	expect_ends_well(pid);
	for (uint32_t i = 50; i < 100; i++)
		cr_expect_eq(read_stamped(pages[i].ref, 1 + i), 0);
}

/* A store of exactly the pages written: the parent gets room only when nobody reads any more. */
static void open_small(void)
{
	checksum_seed();
	cr_assert_eq(swap_open(scratch_dir(), 40 * PAGE_BYTES, &swap, &how), 0);
}

static void free_all(struct swap_page *pages, uint32_t nr)
{
	for (uint32_t i = 0; i < nr; i++)
		swap_free(swap, pages[i].ref);
}

static uint32_t nr_written(void)
{
	struct swap_page pages[40];
	uint32_t nr = 0;

	write_stamped(pages, 7000, 40);
	for (uint32_t i = 0; i < 40; i++)
		if (!pages[i].result) {
			nr++;
			swap_free(swap, pages[i].ref);
		}
	return nr;
}

Test(store, slots_come_back_when_the_child_ends, .init = open_small, .fini = close_store)
{
	struct swap_page pages[40];
	struct gate gate = gate_new();

	write_stamped(pages, 1, 40);
	pid_t pid = store_fork();
	if (!pid) {
		gate_pass(&gate);
		_exit(0);
	}
	free_all(pages, 40);
	cr_expect_eq(nr_written(), 0);
	gate_open(&gate);
	expect_ends_well(pid);
	cr_expect_eq(nr_written(), 40);
}

Test(store, slots_come_back_when_the_child_execs, .init = open_small, .fini = close_store)
{
	struct swap_page pages[40];
	int out[2];
	char c;

	cr_assert_eq(pipe(out), 0);
	write_stamped(pages, 1, 40);
	pid_t pid = store_fork();
	if (!pid) {
		dup2(out[1], 1);
		execlp("sh", "sh", "-c", "echo x; exec sleep 60", NULL);
		_exit(1);
	}
	cr_assert_eq(read(out[0], &c, 1), 1); /* it is another program now, and alive */
	free_all(pages, 40);
	cr_expect_eq(nr_written(), 40);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

Test(store, slots_come_back_when_the_child_frees_them, .init = open_small, .fini = close_store)
{
	struct swap_page pages[40];
	struct gate freed = gate_new(), gate = gate_new();
	char c;

	write_stamped(pages, 1, 40);
	pid_t pid = store_fork();
	if (!pid) {
		for (uint32_t i = 0; i < 40; i++)
			child_check(read_stamped(pages[i].ref, 1 + i) == 0);
		free_all(pages, 40);
		child_check(write(freed.fds[1], "x", 1) == 1);
		gate_pass(&gate);
		_exit(0);
	}
	free_all(pages, 40);
	cr_assert_eq(read(freed.fds[0], &c, 1), 1);
	cr_expect_eq(nr_written(), 40);
	gate_open(&gate);
	expect_ends_well(pid);
}

Test(store, grandchild_keeps_the_slots, .init = open_small, .fini = close_store)
{
	struct swap_page pages[40];
	struct gate gate = gate_new();
	int result[2];
	char c = 'x';

	cr_assert_eq(pipe(result), 0);
	write_stamped(pages, 1, 40);
	pid_t pid = store_fork();
	if (!pid) {
		struct swap_page own[40];

		write_stamped(own, 300, 40);
		pid = store_fork();
		if (!pid) {
			gate_pass(&gate);
			for (uint32_t i = 0; i < 40; i++) {
				child_check(read_stamped(pages[i].ref, 1 + i) == 0);
				child_check(read_stamped(own[i].ref, 300 + i) == 0);
			}
			child_check(write(result[1], "o", 1) == 1);
			_exit(0);
		}
		child_check(pid > 0);
		_exit(0); /* before its own child */
	}
	close(result[1]);
	expect_ends_well(pid);
	free_all(pages, 40);
	cr_expect_eq(nr_written(), 0);
	gate_open(&gate);
	cr_expect_eq(read(result[0], &c, 1), 1);
	cr_expect_eq(c, 'o');
	cr_expect_eq(read(result[0], &c, 1), 0); /* it has ended */
	cr_expect_eq(nr_written(), 40);
}

Test(store, fork_that_failed_leaves_no_trace, .init = open_small, .fini = close_store)
{
	struct swap_page pages[40];

	write_stamped(pages, 1, 40);
	int before = nr_open_fds();
	for (int i = 0; i < 200; i++) {
		cr_assert_eq(swap_fork_prepare(swap), 0);
		swap_fork_parent(swap);
	}
	free_all(pages, 40);
	cr_expect_eq(nr_written(), 40);
	cr_expect_eq(nr_open_fds(), before);
}

Test(store, thousand_forks_leak_nothing, .init = open_store, .fini = close_store, .timeout = 120)
{
	struct swap_page pages[10];

	write_stamped(pages, 1, 10);
	int before = nr_open_fds();
	for (int i = 0; i < 1000; i++) {
		pid_t pid = store_fork();

		if (!pid)
			_exit(read_stamped(pages[i % 10].ref, 1 + (uint64_t)i % 10) ? 1 : 0);
		expect_ends_well(pid);
	}
	cr_expect_leq(nr_open_fds(), before + 1);
}

Test(store, many_children_at_once_share_an_entry, .init = open_store, .fini = close_store,
    .timeout = 120)
{
	enum { NR = 150 };
	struct swap_page pages[NR];
	struct gate gate = gate_new();
	pid_t pids[NR];

	write_stamped(pages, 1, 2);
	int before = nr_open_fds();
	for (uint32_t i = 2; i < NR; i++) {
		/* Each child sees one page more, and one less: the parent frees as it goes. */
		write_stamped(&pages[i], 1 + i, 1);
		cr_assert_eq(pages[i].result, 0);
		pids[i] = store_fork();
		if (!pids[i]) {
			gate_pass(&gate);
			for (uint32_t k = i - 2; k <= i; k++)
				child_check(read_stamped(pages[k].ref, 1 + k) == 0);
			_exit(0);
		}
		cr_assert_gt(pids[i], 0);
		swap_free(swap, pages[i - 2].ref);
	}
	cr_expect_leq(nr_open_fds(), before + 70);
	gate_open(&gate);
	for (uint32_t i = 2; i < NR; i++)
		expect_ends_well(pids[i]);
	/* Two more forks: the first makes the shared entry an ordinary one, the second ends it. */
	for (int i = 0; i < 2; i++) {
		cr_assert_eq(swap_fork_prepare(swap), 0);
		swap_fork_parent(swap);
	}
	cr_expect_leq(nr_open_fds(), before + 1);
}

Test(store, fork_without_descriptors_keeps_the_slots, .init = open_small, .fini = close_store)
{
	struct swap_page pages[40];

	write_stamped(pages, 1, 40);
	cr_assert_eq(read_stamped(pages[0].ref, 1), 0);
	for (int round = 0; round < 3; round++) {
		struct gate gate = gate_new();
		struct rlimit old, none;

		getrlimit(RLIMIT_NOFILE, &old);
		none = (struct rlimit){3, old.rlim_max};
		setrlimit(RLIMIT_NOFILE, &none);
		pid_t pid = store_fork();
		setrlimit(RLIMIT_NOFILE, &old);
		if (!pid) {
			gate_pass(&gate);
			for (uint32_t i = 0; i < 40; i++)
				child_check(read_stamped(pages[i].ref, 1 + i) == 0);
			_exit(0);
		}
		gate_open(&gate);
		expect_ends_well(pid);
	}
	free_all(pages, 40);
	cr_expect_eq(nr_written(), 0); /* for good: there is no telling when they are not read */
}

/* Each generation writes a page and forks; the last reads them all. */
static int deepen(struct swap_ref *refs, uint32_t depth, uint32_t max, bool writes)
{
	struct swap_page page;
	int status;

	if (writes || depth == 0) {
		write_stamped(&page, 1000 + depth, 1);
		if (page.result)
			return 10;
		refs[depth] = page.ref;
	}
	if (depth == max) {
		for (uint32_t i = 0; i <= depth; i++)
			if ((writes || i == 0) && read_stamped(refs[i], 1000 + i))
				return 11;
		return 0;
	}
	pid_t pid = store_fork();
	if (pid == -EAGAIN)
		return 12;
	if (pid < 0)
		return 13;
	if (!pid)
		_exit(deepen(refs, depth + 1, max, writes));
	if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		return 14;
	return WEXITSTATUS(status);
}

Test(store, chain_of_processes, .init = open_store, .timeout = 120)
{
	static struct swap_ref refs[61];

	cr_expect_eq(deepen(refs, 0, 60, true), 0);
}

Test(store, chain_of_processes_without_slots, .init = open_store, .timeout = 120)
{
	static struct swap_ref refs[61];

	cr_expect_eq(deepen(refs, 0, 60, false), 0);
}

/* The kernel takes its time over very deep chains; the store does not know whether there was a
 * real fork, so here the process simply goes on as its own child. */
Test(store, as_many_generations_as_promised, .init = open_store, .fini = close_store)
{
	struct swap_page pages[SWAP_NR_GENERATIONS + 1];
	uint32_t nr = 0;

	for (;; nr++) {
		write_stamped(&pages[nr], nr, 1);
		cr_assert_eq(pages[nr].result, 0);
		int err = swap_fork_prepare(swap);
		if (err) {
			cr_expect_eq(err, -EAGAIN);
			break;
		}
		swap_fork_child(swap);
		cr_assert_lt(nr, SWAP_NR_GENERATIONS);
	}
	cr_expect_eq(nr, SWAP_NR_GENERATIONS - 1);
	for (uint32_t i = 0; i <= nr; i++)
		cr_expect_eq(read_stamped(pages[i].ref, i), 0);
	/* One of them is not needed any more, and its index is free for the next. */
	int before = nr_open_fds();
	swap_free(swap, pages[100].ref);
	cr_expect_eq(nr_open_fds(), before - 2);
	cr_assert_eq(swap_fork_prepare(swap), 0);
	swap_fork_child(swap);
	write_stamped(&pages[100], 100, 1);
	for (uint32_t i = 0; i <= nr; i++)
		cr_expect_eq(read_stamped(pages[i].ref, i), 0, "generation %u", i);
}

Test(store, generations_without_slots_cost_nothing, .init = open_store, .fini = close_store)
{
	struct swap_page page;

	write_stamped(&page, 1, 1);
	int before = nr_open_fds();
	for (int i = 0; i < 1000; i++) {
		struct swap_page own;

		if (i % 2) { /* had one, and gave it back */
			write_stamped(&own, 2, 1);
			swap_free(swap, own.ref);
		}
		cr_assert_eq(swap_fork_prepare(swap), 0);
		swap_fork_child(swap);
		cr_expect_eq(read_stamped(page.ref, 1), 0);
	}
	cr_expect_leq(nr_open_fds(), before + 2); /* the last one's own file too */
}

Test(store, owns_its_descriptors_and_no_others, .init = open_store, .fini = close_store)
{
	bool was_open[1024];
	struct swap_page pages[100];

	close_store();
	for (int fd = 0; fd < 1024; fd++)
		was_open[fd] = fcntl(fd, F_GETFD) >= 0;
	open_store();
	write_stamped(pages, 1, 100);
	swap_read(swap, pages, 1, SWAP_SLEEP);
	for (uint32_t i = 1; i < 100; i += 2)
		swap_free(swap, pages[i].ref); /* scattered: the ring has work */
	write_stamped(pages, 1, 100);
	pid_t pid = store_fork();
	for (int fd = 0; fd < 1024; fd++) {
		bool is_new = !was_open[fd] && fcntl(fd, F_GETFD) >= 0;

		if (!pid)
			child_check(swap_owns_fd(swap, fd) == is_new);
		else
			cr_expect_eq(swap_owns_fd(swap, fd), is_new, "fd %d", fd);
		if (is_new && pid)
			cr_expect_eq(fcntl(fd, F_GETFD), FD_CLOEXEC, "fd %d", fd);
		if (is_new && pid)
			cr_expect_geq(fd, 192);
	}
	if (!pid)
		_exit(0);
	expect_ends_well(pid);
}
