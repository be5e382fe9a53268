// SPDX-License-Identifier: MIT
/*
 * How often the pager makes the kernel flush other CPUs' TLBs, as its counters have it: seldom for
 * pages that leave, and in a fault only for the first write to a page that was read.
 *
 *     shootdowns ENGINE RECLAIM
 */
#include <stdio.h>
#include <sys/mman.h>

#include "alone.h"

#define RAM_PAGES 8192u
#define NR_PAGES  (2 * RAM_PAGES)

/* A few pages in each stretch of 2 MiB: too few for guess.c to foresee a write to one of them. */
#define NR_STRETCHES 1024u
#define PER_STRETCH  4u
#define NR_SPARSE    (NR_STRETCHES * PER_STRETCH)
#define SPARSE_BYTES ((size_t)NR_STRETCHES * PTAB_ENTRIES * PAGE_BYTES)

enum access_kind { READS, WRITES, BOTH };

struct tally {
	uint64_t by[FL_NR_SHOOTDOWNS], unmapped, first_writes, faults;
};

static char *area, *sparse;
static bool is_bad;

static struct tally now_counted(void)
{
	const struct fl_process *p = pg.telemetry.p;
	struct tally t;

	pager_refresh_counters(); /* a thread goes on before the engine's has counted its fault */
	for (int i = 0; i < FL_NR_SHOOTDOWNS; i++)
		t.by[i] = p->shootdowns[i];
	t.unmapped = p->unmapped_pages;
	t.first_writes = p->minor_write;
	t.faults = p->minor_zero + p->minor_refill + p->minor_write + p->major;
	return t;
}

static struct tally since(const struct tally *before)
{
	struct tally t = now_counted();

	for (int i = 0; i < FL_NR_SHOOTDOWNS; i++)
		t.by[i] -= before->by[i];
	t.unmapped -= before->unmapped;
	t.first_writes -= before->first_writes;
	t.faults -= before->faults;
	return t;
}

static char *random_page(uint32_t i)
{
	return area + (size_t)i * 1031 % NR_PAGES * PAGE_BYTES;
}

static char *next_page(uint32_t i)
{
	return area + (size_t)i * PAGE_BYTES;
}

static char *sparse_page(uint32_t i)
{
	/* 37: a step that no readahead follows. */
	return sparse +
	       ((size_t)i / PER_STRETCH * PTAB_ENTRIES + i % PER_STRETCH * 37) * PAGE_BYTES;
}

static struct tally walk(char *(*page)(uint32_t), uint32_t nr, enum access_kind how)
{
	static uint64_t stamp; /* no content twice */
	struct tally before = now_counted();

	for (uint32_t i = 0; i < nr; i++) {
		volatile uint64_t *word = (uint64_t *)page(i);

		if (how != WRITES && !*word)
			__builtin_trap();
		if (how != READS)
			*word = ++stamp;
	}
	return since(&before);
}

static void evict_sparse(void)
{
	if (pager_madvise((uintptr_t)sparse, SPARSE_BYTES, MADV_PAGEOUT))
		__builtin_trap();
}

static uint64_t calls_to_evict(const struct tally *t)
{
	return t->by[FL_SHOOTDOWN_PROTECT] + t->by[FL_SHOOTDOWN_UNMAP];
}

static void expect(const char *what, bool is_good, const struct tally *t)
{
	printf("%s: %s: %llu faults, of them %llu first writes; shootdowns: first writes %llu, "
	       "other faults %llu, %llu to protect and %llu to unmap %llu pages\n",
	    what, is_good ? "good" : "bad", (unsigned long long)t->faults,
	    (unsigned long long)t->first_writes, (unsigned long long)t->by[FL_SHOOTDOWN_WRITE],
	    (unsigned long long)t->by[FL_SHOOTDOWN_FAULT],
	    (unsigned long long)t->by[FL_SHOOTDOWN_PROTECT],
	    (unsigned long long)t->by[FL_SHOOTDOWN_UNMAP], (unsigned long long)t->unmapped);
	is_bad |= !is_good;
}

/* Pages have left, by at most @per_100 calls for a hundred of them. */
static bool left_by(const struct tally *t, uint64_t per_100)
{
	uint64_t calls = calls_to_evict(t);

	return t->unmapped >= NR_PAGES / 4 && calls && calls * 100 <= t->unmapped * per_100;
}

/* Hardly one of @nr touches found a page that is to be made writable: at most one in a hundred. Of
 * pages that were written before there is none: a fault that comes upon one of those was on its way
 * when it was mapped, and it says that the page was absent. (Under `uffd` a thread whose sleep was
 * cut short sends its message twice: seen once in 300,000 touches.) */
static bool is_rare(const struct tally *t, uint32_t nr)
{
	uint64_t max_others = strcmp(pg.engine->name, "uffd") ? 0 : 2;

	return t->by[FL_SHOOTDOWN_WRITE] <= nr / 100 && t->by[FL_SHOOTDOWN_FAULT] <= max_others;
}

static bool counts_agree(const struct tally *t)
{
	return t->by[FL_SHOOTDOWN_WRITE] == t->first_writes;
}

int main(int argc, char **argv)
{
	struct tally t;

	if (argc < 3 || !start_alone(argv[1], argv[2], RAM_PAGES, "gclock", "off"))
		return 2;
	area = map_alone(NR_PAGES * PAGE_BYTES);
	sparse = map_alone(SPARSE_BYTES);

	walk(next_page, NR_PAGES, WRITES);
	/* Each window is mapped before its first page is written: a write then opens a run. */
	t = walk(next_page, NR_PAGES, BOTH);
	expect("scan that reads, then writes, once",
	    t.by[FL_SHOOTDOWN_WRITE] >= 8 && t.by[FL_SHOOTDOWN_WRITE] <= NR_PAGES / 8 &&
	        counts_agree(&t),
	    &t);
	walk(next_page, NR_PAGES, WRITES);
	uint64_t nr_put_back = pg.nr_put_back;
	t = walk(next_page, NR_PAGES, WRITES);
	/* No more are chosen than there are buffers, or they would go round in the policy. */
	nr_put_back = pg.nr_put_back - nr_put_back;
	printf("%llu pages put back, ", (unsigned long long)nr_put_back);
	expect("writing scan",
	    left_by(&t, 15) && is_rare(&t, NR_PAGES) && counts_agree(&t) &&
	        nr_put_back < 2 * NR_PAGES,
	    &t);
	/* What the first leaves in RAM was expected to be written. */
	walk(next_page, NR_PAGES, READS);
	walk(next_page, NR_PAGES, READS);
	t = walk(next_page, NR_PAGES, READS);
	expect("scan", left_by(&t, 5) && !t.by[FL_SHOOTDOWN_WRITE], &t);
	walk(random_page, NR_PAGES, READS);
	t = walk(random_page, NR_PAGES, READS);
	expect("random reads", left_by(&t, 5) && !t.by[FL_SHOOTDOWN_WRITE], &t);

	/* Dirty pages that lie apart are protected one by one before they are copied. */
	walk(random_page, NR_PAGES, WRITES);
	t = walk(random_page, NR_PAGES, WRITES);
	expect("random writes", left_by(&t, 110) && is_rare(&t, NR_PAGES) && counts_agree(&t), &t);
	walk(random_page, NR_PAGES, BOTH);
	t = walk(random_page, NR_PAGES, BOTH);
	expect("reads, then writes, foreseen", is_rare(&t, NR_PAGES) && counts_agree(&t), &t);
	walk(sparse_page, NR_SPARSE, WRITES);
	evict_sparse();
	t = walk(sparse_page, NR_SPARSE, WRITES);
	expect("writes, not foreseen",
	    t.faults >= NR_SPARSE && !t.by[FL_SHOOTDOWN_WRITE] && counts_agree(&t), &t);
	evict_sparse();
	t = walk(sparse_page, NR_SPARSE, BOTH);
	expect("reads, then writes, not foreseen",
	    t.first_writes >= NR_SPARSE * 9 / 10 && t.first_writes <= NR_SPARSE && counts_agree(&t),
	    &t);
	pager_check();
	return is_bad;
}
