// SPDX-License-Identifier: MIT
/*
 * The compressed tier under a store: pages of all kinds in and out at random against a model that
 * knows each page's stamp, while the tier's share moves; alone, by several threads, and over forks.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support.h"
#include "swap/backend.h"
#include "swap/checksum.h"
#include "swap/codec.h"
#include "swap/store.h"

#define SWAP_BYTES (64ull << 20)
#define TIER_PAGES 1024u
#define NR_MODEL   6000u
#define BATCH      48u

static struct swap *swap;
static _Atomic int32_t budget;    /* pages left to the tier */
static _Atomic uint32_t nr_waits; /* it would have waited for some */

static bool take(uint32_t nr, bool may_wait)
{
	atomic_fetch_add(&nr_waits, may_wait);
	if (atomic_fetch_sub(&budget, (int32_t)nr) >= (int32_t)nr)
		return true;
	atomic_fetch_add(&budget, (int32_t)nr);
	return false;
}

static void give(uint32_t nr)
{
	atomic_fetch_add(&budget, (int32_t)nr);
}

static void open_tier_of(const char *codec, uint64_t swap_bytes)
{
	const struct swap_tier_memory memory = {.nr_pages = TIER_PAGES, .take = take, .give = give};
	const char *how;

	checksum_seed();
	atomic_store(&budget, TIER_PAGES + 128);
	cr_assert_eq(swap_open(scratch_dir(), swap_bytes, &swap, &how), 0);
	cr_assert_eq(swap_tier_enable(swap, codec, &memory), 0);
	swap_tier_share(swap, TIER_PAGES / 2);
}

static void open_tier(void)
{
	open_tier_of("lz4", SWAP_BYTES);
}

static void close_tier(void)
{
	swap_check(swap);
	swap_close(swap);
}

static uint64_t rnd(uint64_t *rng)
{
	*rng ^= *rng << 13;
	*rng ^= *rng >> 7;
	*rng ^= *rng << 17;
	return *rng;
}

/* A page that only @stamp has: its first @words words are random, so that it compresses to about
 * 8 * @words bytes. */
static void fill(uint64_t *page, uint64_t stamp, uint32_t words)
{
	uint64_t rng = stamp * 0x9e3779b97f4a7c15ull | 1;

	for (uint32_t i = 0; i < 512; i++)
		page[i] = i < words ? rnd(&rng) : stamp;
	page[0] = stamp;
}

static uint32_t words_of(uint64_t stamp)
{
	static const uint32_t words[] = {1, 40, 128, 128, 256, 300, 420, 512};

	return words[stamp % 8];
}

static struct swap_page page_of(char *buf, uint64_t stamp)
{
	fill((uint64_t *)buf, stamp, words_of(stamp));
	return (struct swap_page){.buf = buf, .ref = SWAP_REF_NONE, .checksum = page_checksum(buf)};
}

static void expect_page(const char *buf, uint64_t stamp)
{
	uint64_t want[512];

	fill(want, stamp, words_of(stamp));
	cr_assert_eq(memcmp(buf, want, PAGE_BYTES), 0);
}

struct model {
	struct swap_ref ref[NR_MODEL];
	uint64_t stamp[NR_MODEL]; /* 0: not in swap */
	uint64_t rng, next;
	uint32_t nr;
	char *mem;
};

static void model_init(struct model *m, uint64_t seed, uint32_t nr)
{
	memset(m, 0, sizeof(*m));
	m->rng = seed * 0x9e3779b97f4a7c15ull | 1;
	m->next = seed << 40 | 8;
	m->nr = nr;
	m->mem = pages_new(BATCH);
}

static void model_write(struct model *m)
{
	struct swap_page pages[BATCH];
	uint32_t which[BATCH], nr = 1 + rnd(&m->rng) % BATCH, first = rnd(&m->rng) % m->nr;

	for (uint32_t i = 0; i < nr; i++) {
		which[i] = (first + i) % m->nr;
		pages[i] = page_of(m->mem + i * PAGE_BYTES, ++m->next);
	}
	swap_write(swap, pages, nr);
	for (uint32_t i = 0; i < nr; i++) {
		cr_assert_eq(pages[i].result, 0, "%d", pages[i].result);
		if (m->stamp[which[i]])
			swap_free(swap, m->ref[which[i]]);
		m->stamp[which[i]] = *(uint64_t *)pages[i].buf;
		m->ref[which[i]] = pages[i].ref;
	}
}

static void model_read(struct model *m, bool is_random, bool offers)
{
	struct swap_page pages[BATCH];
	uint32_t which[BATCH], nr = 0, at = rnd(&m->rng) % m->nr;
	/* One alone brings its chunk along. */
	uint32_t want = rnd(&m->rng) % 2 ? 1 : 1 + rnd(&m->rng) % BATCH;

	for (uint32_t i = 0; i < want; i++, at = is_random ? rnd(&m->rng) % m->nr : at + 1) {
		if (!m->stamp[at % m->nr])
			continue;
		which[nr] = at % m->nr;
		pages[nr] =
		    (struct swap_page){.buf = m->mem + nr * PAGE_BYTES, .ref = m->ref[at % m->nr]};
		nr++;
	}
	if (rnd(&m->rng) % 2) {
		swap_read_memory(swap, pages, nr);
		swap_read_rest(swap, pages, nr, SWAP_SLEEP, NULL);
	} else {
		swap_read(swap, pages, nr, SWAP_SLEEP);
	}
	for (uint32_t i = 0; i < nr; i++) {
		cr_assert_eq(pages[i].result, 0);
		expect_page(pages[i].buf, m->stamp[which[i]]);
		cr_assert_eq(pages[i].checksum, page_checksum(pages[i].buf));
	}
	if (!offers || is_random)
		return;
	swap_offer(swap, pages, nr);
	for (uint32_t i = 0; i < nr; i++)
		if (!pages[i].result) {
			swap_free(swap, m->ref[which[i]]);
			m->ref[which[i]] = pages[i].ref;
		}
}

static void model_free(struct model *m, uint32_t max)
{
	uint32_t nr = 1 + rnd(&m->rng) % max, at = rnd(&m->rng) % m->nr;

	for (uint32_t i = 0; i < nr; i++, at++) {
		if (m->stamp[at % m->nr])
			swap_free(swap, m->ref[at % m->nr]);
		m->stamp[at % m->nr] = 0;
	}
}

static void model_step(struct model *m)
{
	switch (rnd(&m->rng) % 8) {
	case 0:
	case 1:
	case 2:
		model_write(m);
		break;
	case 3:
	case 4:
		model_read(m, true, false);
		break;
	case 5:
		model_read(m, false, true);
		break;
	case 6:
		model_free(m, rnd(&m->rng) % 64 ? BATCH : m->nr);
		break;
	default:
		if (rnd(&m->rng) % 16 == 0)
			swap_tier_share(swap, rnd(&m->rng) % TIER_PAGES);
		swap_tier_trim(swap);
	}
}

static void model_end(struct model *m)
{
	for (uint32_t i = 0; i < m->nr; i++) {
		if (!m->stamp[i])
			continue;
		struct swap_page page = {.buf = m->mem, .ref = m->ref[i]};

		swap_read(swap, &page, 1, SWAP_SLEEP);
		cr_assert_eq(page.result, 0);
		expect_page(m->mem, m->stamp[i]);
		swap_free(swap, m->ref[i]);
	}
}

static void expect_empty(void)
{
	struct swap_stats s;

	swap_tier_share(swap, 0);
	for (int i = 0; i < 20; i++)
		swap_tier_trim(swap);
	swap_check(swap);
	swap_stats(swap, &s);
	cr_expect_eq(s.used_bytes, 0);
	/* The chunk being filled may stay. */
	cr_expect_leq(s.tier_bytes, 8 * PAGE_BYTES);
	cr_expect_eq((uint64_t)atomic_load(&budget) + (s.tier_bytes + s.desk_bytes) / PAGE_BYTES,
	    TIER_PAGES + 128);
}

static void run_model(uint32_t steps)
{
	static struct model m;

	model_init(&m, 1, NR_MODEL);
	for (uint32_t i = 0; i < steps; i++) {
		model_step(&m);
		if (i % 500 == 0)
			swap_check(swap);
	}
	struct swap_stats s;
	swap_stats(swap, &s);
	cr_expect_gt(s.tier_hits, 0);
	cr_expect_gt(s.packed_reads, 0);
	model_end(&m);
	expect_empty();
}

Test(tier, random_against_model, .init = open_tier, .fini = close_tier)
{
	run_model(12000);
}

Test(tier, random_against_model_zstd, .fini = close_tier)
{
	open_tier_of("zstd", SWAP_BYTES);
	run_model(3000);
}

static void *run_thread(void *arg)
{
	struct model *m = arg;

	for (uint32_t i = 0; i < 3000; i++)
		model_step(m);
	model_end(m);
	return NULL;
}

Test(tier, random_by_threads, .init = open_tier, .fini = close_tier)
{
	static struct model m[4];
	pthread_t threads[4];

	for (uint32_t i = 0; i < 4; i++) {
		model_init(&m[i], i + 1, NR_MODEL / 4);
		cr_assert_eq(pthread_create(&threads[i], NULL, run_thread, &m[i]), 0);
	}
	for (uint32_t i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	expect_empty();
}

/* A process, its child and its grandchild: each reads what it inherited and writes anew. */
static void run_generation(struct model *m, uint32_t depth)
{
	for (uint32_t i = 0; i < 600; i++)
		model_step(m);
	if (!depth)
		return;
	cr_assert_eq(swap_fork_prepare(swap), 0);
	pid_t pid = fork();
	cr_assert_geq(pid, 0);
	if (!pid) {
		swap_fork_child(swap);
		m->next |= (uint64_t)depth << 50;
		run_generation(m, depth - 1);
		model_end(m);
		swap_check(swap);
		_exit(0);
	}
	swap_fork_parent(swap);
	for (uint32_t i = 0; i < 600; i++)
		model_step(m);
	int status;
	waitpid(pid, &status, 0);
	cr_assert_eq(status, 0);
}

Test(tier, generations, .init = open_tier, .fini = close_tier)
{
	static struct model m;

	model_init(&m, 3, NR_MODEL);
	for (int i = 0; i < 4; i++)
		run_generation(&m, 3);
	model_end(&m);
	/* Slots kept for children that are gone come back with the frees. */
	swap_check(swap);
}

/* Write pages until swap refuses them; nothing that it took is lost. Room comes back with frees. */
Test(tier, full_disk)
{
	static struct model m;
	struct swap_page page;
	uint32_t nr = 0;

	open_tier_of("lz4", 1 << 20);
	model_init(&m, 5, NR_MODEL);
	for (; nr < NR_MODEL; nr++) {
		page = page_of(m.mem, 8 * (nr + 1) + 2); /* 4:1 */
		swap_write(swap, &page, 1);
		if (page.result)
			break;
		m.stamp[nr] = 8 * (nr + 1) + 2;
		m.ref[nr] = page.ref;
	}
	cr_expect_lt(nr, NR_MODEL);
	cr_expect_eq(page.result, -ENOSPC);
	/* What 512 pages of memory and 256 of swap hold of such pages, but for a few. */
	cr_expect_geq(nr, 2500, "%u", nr);
	for (uint32_t i = 0; i < nr; i += 2) {
		swap_free(swap, m.ref[i]);
		m.stamp[i] = 0;
	}
	page = page_of(m.mem, 2);
	swap_write(swap, &page, 1);
	cr_expect_eq(page.result, 0);
	swap_free(swap, page.ref);
	model_end(&m);
	expect_empty();
	close_tier();
}

static struct swap_backend *faulty;

static struct swap_backend *make_faulty(struct swap_backend *b)
{
	faulty = backend_faulty_open(b);
	return faulty;
}

static void read_back(struct model *m, int want)
{
	uint32_t nr_failed = 0;

	for (uint32_t i = 0; i < m->nr; i++) {
		if (!m->stamp[i])
			continue;
		struct swap_page page = {.buf = m->mem, .ref = m->ref[i]};

		swap_read(swap, &page, 1, SWAP_SLEEP);
		if (page.result) {
			cr_expect_eq(page.result, want);
			nr_failed++;
		} else {
			expect_page(m->mem, m->stamp[i]);
		}
	}
	cr_expect_leq(nr_failed, 1);
}

Test(tier, faults_of_the_disk)
{
	static const int errors[] = {-EIO, -ENOSPC, 0};
	static struct model m;

	swap_wrap_backend = make_faulty;
	open_tier();
	model_init(&m, 7, 2000);
	swap_tier_share(swap, 64);
	model_write(&m);
	for (uint32_t i = 0; i < 60; i++) {
		for (int k = 0; k < 40; k++)
			model_write(&m);
		/* One that a write meets costs nothing. */
		backend_faulty_arm(faulty, i % 7, i % 2 ? -EIO : -ENOSPC);
		for (int k = 0; k < 40; k++)
			model_write(&m);
		backend_faulty_arm(faulty, i * 11, errors[i % 3]);
		read_back(&m, errors[i % 3] ? errors[i % 3] : -EBADMSG);
		backend_faulty_arm(faulty, UINT32_MAX, 0);
		swap_check(swap);
	}
	model_end(&m);
	expect_empty();
	close_tier();
}

static const struct swap_backend_ops *kept_ops;
static uint64_t loses; /* one write in so many */

/* The disk says that it has written, and has not. */
static int lossy_transfer(struct swap_backend *b, struct swap_io *ios, uint32_t nr)
{
	static uint64_t rng = 11;
	int err = 0;

	for (uint32_t i = 0; i < nr; i++)
		if (ios[i].is_write && loses && rnd(&rng) % loses == 0)
			ios[i].result = 0;
		else if (kept_ops->transfer(b, &ios[i], 1))
			err = ios[i].result;
	return err;
}

static struct swap_backend *make_lossy(struct swap_backend *b)
{
	static struct swap_backend_ops ops;

	faulty = backend_faulty_open(b);
	kept_ops = faulty->ops;
	ops = *kept_ops;
	ops.transfer = lossy_transfer;
	faulty->ops = &ops;
	return faulty;
}

/* What is in its place was written there before: whole, entries of the same numbers and lengths. */
Test(tier, a_lost_write_is_an_error_never_data)
{
	struct swap_page pages[BATCH];
	char *mem = pages_new(BATCH);
	uint32_t nr_lost = 0;

	swap_wrap_backend = make_lossy;
	open_tier_of("lz4", 32 * PAGE_BYTES);
	for (uint64_t round = 0; round < 40; round++) {
		loses = round < 4 ? 0 : 2;
		swap_tier_share(swap, 64);
		for (uint64_t i = 0; i < BATCH; i++) /* 1 KiB each */
			pages[i] = page_of(mem + i * PAGE_BYTES, (round * BATCH + i + 1) * 8 + 2);
		swap_write(swap, pages, BATCH);
		swap_tier_share(swap, 0);
		while (swap_tier_trim(swap))
			;
		for (uint64_t i = BATCH; i-- > 0;) {
			cr_assert_eq(pages[i].result, 0);
			swap_read(swap, &pages[i], 1, SWAP_SLEEP);
			if (pages[i].result)
				nr_lost++;
			else
				expect_page(pages[i].buf, (round * BATCH + i + 1) * 8 + 2);
			swap_free(swap, pages[i].ref);
		}
	}
	cr_expect_gt(nr_lost, 5 * BATCH);
	cr_expect_lt(nr_lost, 36 * BATCH);
	expect_empty();
	close_tier();
}

/* Pages of 1 KiB, 31 to a chunk. */
static void write_some(struct swap_page *pages, uint32_t from, uint32_t to, char *buf)
{
	for (uint32_t i = from; i < to; i++) {
		pages[i] = page_of(buf, (i + 1) * 8 + 2);
		swap_write(swap, &pages[i], 1);
		cr_assert_eq(pages[i].result, 0);
	}
}

/* Sparse chunks on disk are cleaned, though some of them are not what was written. */
Test(tier, a_bad_chunk_does_not_stop_cleaning)
{
	enum { NR_OLD = 4000, NR = 4600, KEPT = 25 };
	static struct swap_page pages[NR];
	char *mem = pages_new(1);
	struct swap_stats s;

	swap_wrap_backend = make_lossy;
	open_tier();
	swap_tier_share(swap, 64);
	write_some(pages, 0, 300, mem);
	loses = 1;
	write_some(pages, 300, 700, mem);
	loses = 0;
	write_some(pages, 700, NR_OLD, mem);
	/* One or two in each chunk are left. */
	for (uint32_t i = 0; i < NR_OLD; i++)
		if (i % KEPT)
			swap_free(swap, pages[i].ref);
	/* Each chunk that is written has one cleaned, down to as many as there are others, and 32.
	 */
	write_some(pages, NR_OLD, NR, mem);
	for (uint32_t round = 0; round < 10; round++)
		for (uint32_t i = NR_OLD; i < NR; i++) {
			swap_free(swap, pages[i].ref);
			write_some(pages, i, i + 1, mem);
		}
	swap_stats(swap, &s);
	cr_expect_lt(s.used_bytes / PAGE_BYTES, 90 * 8, "%llu", (unsigned long long)s.used_bytes);
	uint32_t nr_bad = 0;
	for (uint32_t i = 0; i < NR; i++) {
		if (i < NR_OLD && i % KEPT)
			continue;
		pages[i].buf = mem;
		swap_read(swap, &pages[i], 1, SWAP_SLEEP);
		nr_bad += pages[i].result != 0;
		if (!pages[i].result)
			expect_page(mem, (i + 1) * 8 + 2);
		swap_free(swap, pages[i].ref);
	}
	cr_expect_gt(nr_bad, 0);
	cr_expect_leq(nr_bad, 2 * 400 / KEPT);
	expect_empty();
	close_tier();
}

/* Pages that do not compress never come into the tier, and soon are hardly tried. */
Test(tier, incompressible, .init = open_tier, .fini = close_tier)
{
	char *mem = pages_new(BATCH);
	struct swap_page pages[BATCH];
	struct swap_stats s;

	for (uint32_t round = 0; round < 100; round++) {
		for (uint32_t i = 0; i < BATCH; i++)
			pages[i] = page_of(mem + i * PAGE_BYTES, (round * BATCH + i + 1) * 8 + 7);
		swap_write(swap, pages, BATCH);
		for (uint32_t i = 0; i < BATCH; i++) {
			cr_assert_eq(pages[i].result, 0);
			swap_free(swap, pages[i].ref);
		}
	}
	swap_stats(swap, &s);
	cr_expect_eq(s.tier_bytes, 0);
	cr_expect_eq(s.packed_pages, 0);
	cr_expect_lt(s.unpacked_pages, 200);
	/* And pages that do are noticed. */
	for (uint32_t round = 0; round < 10; round++) {
		for (uint32_t i = 0; i < BATCH; i++)
			pages[i] = page_of(mem + i * PAGE_BYTES, (round * BATCH + i + 1) * 8 + 2);
		swap_write(swap, pages, BATCH);
		for (uint32_t i = 0; i < BATCH; i++)
			swap_free(swap, pages[i].ref);
	}
	swap_stats(swap, &s);
	cr_expect_gt(s.packed_pages, 300);
}

static void write_packed(struct model *m)
{
	for (uint32_t i = 0; i < m->nr; i++) {
		struct swap_page page = page_of(m->mem, m->stamp[i] = (i + 1) * 8 + 2);

		swap_write(swap, &page, 1);
		cr_assert_eq(page.result, 0);
		m->ref[i] = page.ref;
	}
}

/* Memory of pages that are freed here and there is given back, not only that of whole chunks. */
Test(tier, holes_are_squeezed_out, .init = open_tier, .fini = close_tier)
{
	static struct model m;
	struct swap_stats s;

	model_init(&m, 9, 1200);
	write_packed(&m);
	swap_stats(swap, &s);
	uint64_t before = s.tier_bytes;
	for (uint32_t i = 0; i < m.nr; i++)
		if (i % 4) {
			swap_free(swap, m.ref[i]);
			m.stamp[i] = 0;
		}
	for (int i = 0; i < 4; i++)
		swap_tier_trim(swap);
	swap_stats(swap, &s);
	cr_expect_leq(s.tier_bytes, before / 2);
	swap_check(swap);
	model_end(&m);
	expect_empty();
}

static enum swap_from read_from(struct model *m, uint32_t i)
{
	struct swap_page page = {.buf = m->mem, .ref = m->ref[i]};

	swap_read(swap, &page, 1, SWAP_SLEEP);
	cr_assert_eq(page.result, 0);
	expect_page(page.buf, m->stamp[i]);
	return page.from;
}

static void push_to_disk(void)
{
	swap_tier_share(swap, 0);
	for (int i = 0; i < 100; i++)
		swap_tier_trim(swap);
}

/* Where a page is says where it came from. */
Test(tier, says_where_pages_come_from, .init = open_tier, .fini = close_tier)
{
	static struct model m;

	model_init(&m, 3, 1200);
	write_packed(&m);
	cr_expect_eq(read_from(&m, 0), SWAP_FROM_TIER);
	push_to_disk();
	cr_expect_eq(read_from(&m, 0), SWAP_FROM_PACKED);
	model_end(&m);
	expect_empty();
}

static uint64_t nr_reads(void)
{
	struct swap_stats s;

	swap_stats(swap, &s);
	return s.read_ops;
}

/* With room for it, what was packed together comes back together: a read for some thirty pages. */
Test(tier, comes_back_by_the_chunk, .init = open_tier, .fini = close_tier)
{
	static struct model m;
	struct swap_stats s;

	model_init(&m, 6, 1200);
	write_packed(&m);
	push_to_disk();
	swap_tier_share(swap, TIER_PAGES / 2);
	atomic_store(&nr_waits, 0);
	for (uint32_t i = 0; i < m.nr; i++)
		read_from(&m, (i * 7) % m.nr);
	cr_expect_eq(atomic_load(&nr_waits), 0);
	cr_expect_lt(nr_reads(), m.nr / 20, "%lu", nr_reads());
	swap_stats(swap, &s);
	cr_expect_eq(s.tier_hits + s.packed_reads, m.nr);
	swap_check(swap);
	model_end(&m);
	expect_empty();
}

/* Nothing else has to leave memory for that, and what nobody wants is not read for long. */
Test(tier, comes_back_only_to_be_used, .init = open_tier, .fini = close_tier)
{
	static struct model m;
	struct swap_stats s;

	model_init(&m, 7, 1200);
	write_packed(&m);
	push_to_disk();
	for (uint32_t i = 0; i < m.nr; i += 40)
		cr_expect_eq(read_from(&m, i), SWAP_FROM_PACKED);
	swap_stats(swap, &s);
	cr_expect_lt(s.read_bytes, m.nr / 40 * 4 * PAGE_BYTES, "%lu", s.read_bytes);
	for (uint32_t round = 0; round < 40; round++) {
		swap_tier_share(swap, TIER_PAGES / 2);
		for (uint32_t i = 0; i < m.nr; i += 40)
			read_from(&m, i);
		push_to_disk();
	}
	uint64_t before = s.read_bytes;
	swap_stats(swap, &s);
	/* A chunk is eight pages, an entry in one or two. */
	cr_expect_lt(s.read_bytes - before, 40 * m.nr / 40 * 3 * PAGE_BYTES, "%lu", s.read_bytes);
	model_end(&m);
	expect_empty();
}

/* A chunk that was damaged on its way back is not taken for what was written. */
Test(tier, comes_back_unharmed)
{
	static struct model m;

	swap_wrap_backend = make_faulty;
	open_tier();
	model_init(&m, 8, 600);
	write_packed(&m);
	for (uint32_t round = 0; round < 64; round++) {
		push_to_disk();
		swap_tier_share(swap, TIER_PAGES / 2);
		/* Some page of the first chunk that is read. */
		backend_faulty_arm(faulty, round % 8, 0);
		uint32_t nr_packed = 0;
		for (uint32_t i = 0; i < m.nr; i++)
			nr_packed += read_from(&m, i) == SWAP_FROM_PACKED;
		/* One of each chunk, and another one of that. */
		cr_expect(
		    nr_packed >= m.nr / 31 + 1 && nr_packed <= m.nr / 30 + 2, "%u", nr_packed);
		cr_expect(backend_faulty_fired(faulty));
		swap_check(swap);
	}
	model_end(&m);
	expect_empty();
	close_tier();
}

/* A page that is written to gives up its copy in memory, but not one that is on disk. */
Test(tier, forgets_what_is_in_memory, .init = open_tier, .fini = close_tier)
{
	static struct model m;

	model_init(&m, 5, 100);
	write_packed(&m);
	cr_expect(!swap_forget_memory(swap, SWAP_REF_NONE));
	cr_expect(swap_forget_memory(swap, m.ref[0]));
	m.stamp[0] = 0;
	push_to_disk();
	cr_expect(!swap_forget_memory(swap, m.ref[1]));
	model_end(&m);
	expect_empty();
}

static uint32_t nr_wanted(const struct model *m)
{
	uint32_t nr = 0;

	for (uint32_t i = 0; i < m->nr; i++)
		nr += swap_wants(swap, m->ref[i]);
	return nr;
}

/* While offers do not pay, few are wanted, always the same: enough to see when they would. */
Test(tier, few_are_wanted_while_that_does_not_pay, .init = open_tier, .fini = close_tier)
{
	static struct model m;

	model_init(&m, 4, 1200);
	write_packed(&m);
	cr_expect_eq(nr_wanted(&m), 0); /* all are there */
	push_to_disk();
	swap_tier_share(swap, TIER_PAGES / 2);
	cr_expect_eq(nr_wanted(&m), m.nr);
	swap_tier_offers(swap, false);
	uint32_t few = nr_wanted(&m);
	cr_expect(few > m.nr / 32 && few < m.nr / 8, "%u of %u", few, m.nr);
	cr_expect_eq(nr_wanted(&m), few);
	swap_tier_offers(swap, true);
	cr_expect_eq(nr_wanted(&m), m.nr);
	model_end(&m);
	expect_empty();
}
