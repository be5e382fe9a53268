// SPDX-License-Identifier: MIT
/* What of the transport needs no userfaultfd. */
#include <criterion/criterion.h>
#include <limits.h>
#include <sys/mman.h>
#include <sys/uio.h>

#include "frame/transport.h"

#define NR_RUNS (2 * IOV_MAX + 1)

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
	transport_init(&t, -1);
	cr_assert_eq(transport_drop(&t, runs, 2), 0);
	bool has_no_vector = t.no_vector; /* of this kernel */

	cr_assert_eq(transport_drop(&t, runs, NR_RUNS), 0);
	cr_expect_eq(t.no_vector, has_no_vector);
	for (size_t i = 0; i < 2ull * NR_RUNS; i++)
		cr_assert_eq(at[i * PAGE_BYTES], (char)(i % 2), "page %zu", i);
	transport_fini(&t);
	munmap(at, 2ull * NR_RUNS * PAGE_BYTES);
}
