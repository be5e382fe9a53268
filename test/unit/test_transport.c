// SPDX-License-Identifier: MIT
/* What of the transport needs no userfaultfd. */
#include <criterion/criterion.h>
#include <limits.h>
#include <sys/mman.h>
#include <sys/uio.h>

#include "frame/transport.h"

#define NR_RUNS (2 * IOV_MAX + 1)

static struct fl_process record;
static struct telemetry telemetry = {.p = &record};

static uint64_t nr_calls(void)
{
	return record.shootdowns[FL_SHOOTDOWN_UNMAP];
}

/* process_madvise() takes IOV_MAX runs at a time: that more are refused says nothing about it. */
Test(transport, more_runs_than_one_call_takes_are_dropped)
{
	static struct iovec runs[NR_RUNS];
	char *at = mmap(NULL, 2ull * NR_RUNS * PAGE_BYTES, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct transport t;

	cr_assert_neq(at, MAP_FAILED);
	for (size_t i = 0; i < 2ull * NR_RUNS; i++)
		at[i * PAGE_BYTES] = 1;
	for (size_t i = 0; i < NR_RUNS; i++)
		runs[i] = (struct iovec){at + 2 * i * PAGE_BYTES, PAGE_BYTES};
	transport_init(&t, -1, &telemetry);
	cr_assert_eq(transport_drop(&t, runs, 2, FL_SHOOTDOWN_UNMAP), 0);
	bool has_no_vector = t.no_vector; /* of this kernel */
	uint64_t nr_first = nr_calls();

	cr_expect_eq(nr_first, has_no_vector ? 2 : 1);
	cr_assert_eq(transport_drop(&t, runs, NR_RUNS, FL_SHOOTDOWN_UNMAP), 0);
	cr_expect_eq(t.no_vector, has_no_vector);
	/* The last run is one too few for a vector. */
	cr_expect_eq(nr_calls() - nr_first, has_no_vector ? NR_RUNS : 3);
	t.no_vector = true;
	cr_assert_eq(transport_drop(&t, runs, 5, FL_SHOOTDOWN_OTHER), 0);
	cr_expect_eq(record.shootdowns[FL_SHOOTDOWN_OTHER], 5);
	for (size_t i = 0; i < 2ull * NR_RUNS; i++)
		cr_assert_eq(at[i * PAGE_BYTES], (char)(i % 2), "page %zu", i);
	transport_fini(&t);
	munmap(at, 2ull * NR_RUNS * PAGE_BYTES);
}
