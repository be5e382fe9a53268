// SPDX-License-Identifier: MIT
/*
 * The software MMU against a naive model: a list of pages for each space, searched from the start.
 * Random operations over several spaces; every outcome must be equal, through the tables alone and
 * through TLBs of several shapes that are invalidated as an operating system must.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "faultline/mmu.h"
#include "support.h"

#define NR_SPACES 4
#define MAX_PAGES 4000
#define NR_FRAMES 900000u
#ifdef __SANITIZE_THREAD__
#define NR_OPS 30000 /* one thread: nothing to be found that way, and it takes a minute */
#else
#define NR_OPS 300000 /* four times that in all */
#endif

struct page {
	int space;
	uint64_t va, bytes, frame;
	uint32_t prot;
	bool is_cow, is_accessed, is_dirty;
};

struct model {
	struct rng rng;
	struct fl_phys *phys;
	struct fl_space *space[NR_SPACES];
	struct fl_mmu *mmu; /* NULL: tables only */
	uint32_t nr;
	struct page page[MAX_PAGES];
};

static const uint64_t bases[] = {
    0, 0x3fffe000, 0x40000000, 0x7fff40000000, 0xffff800000000000, 0xfffffffffff00000};

/* Few enough places that operations meet, in every part of the tables; the last base is the end of
 * the address space. */
static uint64_t random_va(struct model *m)
{
	unsigned base = rng_below(&m->rng, ARRAY_LEN(bases));
	uint64_t span = base == ARRAY_LEN(bases) - 1 ? 256 : 1100;
	uint64_t va = bases[base] + rng_below(&m->rng, (uint32_t)span) * 4096ull;

	if (rng_below(&m->rng, 4) == 0)
		va &= ~0x1fffffull;
	return fl_is_canonical(va) ? va : 0x7ffffffff000;
}

static uint32_t random_prot(struct model *m)
{
	uint32_t prot = rng_below(&m->rng, 16);

	return prot & FL_READ ? prot : prot & FL_USER;
}

static struct page *find(struct model *m, int space, uint64_t va)
{
	for (uint32_t i = 0; i < m->nr; i++)
		if (m->page[i].space == space && va - m->page[i].va < m->page[i].bytes)
			return &m->page[i];
	return NULL;
}

static bool overlaps(const struct page *p, int space, uint64_t first, uint64_t last)
{
	return p->space == space && p->va <= last && p->va + p->bytes - 1 >= first;
}

static enum fl_page size_of(uint64_t bytes)
{
	return bytes == 4096 ? FL_PAGE_4K : bytes == 2 << 20 ? FL_PAGE_2M : FL_PAGE_1G;
}

static void invalidate(struct model *m, int space, uint64_t va)
{
	if (m->mmu)
		fl_mmu_invalidate(m->mmu, m->space[space], va);
}

static void add(
    struct model *m, int space, uint64_t va, uint64_t bytes, uint64_t frame, uint32_t prot)
{
	cr_assert_lt(m->nr, MAX_PAGES);
	m->page[m->nr++] = (struct page){space, va, bytes, frame, prot, false, false, false};
}

static bool frame_is_used(struct model *m, uint64_t frame, uint64_t nr)
{
	for (uint32_t i = 0; i < m->nr; i++)
		if (m->page[i].frame < frame + nr &&
		    frame < m->page[i].frame + m->page[i].bytes / 4096)
			return true;
	return false;
}

static void do_map(struct model *m)
{
	unsigned dice = rng_below(&m->rng, 400);
	uint64_t unit = dice == 0 ? 1ull << 30 : dice < 60 ? 2ull << 20 : 4096;
	int space = (int)rng_below(&m->rng, NR_SPACES), err, want = 0;
	uint64_t va = random_va(m), bytes = unit * (1 + rng_below(&m->rng, 3));
	uint32_t prot = random_prot(m);
	struct fl_mapping got;

	if (rng_below(&m->rng, 8))
		va &= ~(unit - 1);
	if (m->nr > MAX_PAGES - 2000)
		return;
	if (va % unit || va + bytes - 1 < va || !fl_is_canonical(va + bytes - 1))
		want = -EINVAL;
	for (uint32_t i = 0; !want && i < m->nr; i++)
		if (overlaps(&m->page[i], space, va, va + bytes - 1))
			want = -EEXIST;
	err = fl_space_map(m->space[space], va, bytes, size_of(unit), FL_FRAME_NONE, prot);
	if (!want && unit > 4096 && err == -ENOMEM)
		return; /* no aligned run; that nothing changed is seen later */
	cr_assert_eq(err, want, "map %llx + %llx: %d, not %d", (unsigned long long)va,
	    (unsigned long long)bytes, err, want);
	for (uint64_t at = va; !err && at - va < bytes; at += unit) {
		cr_assert_eq(fl_space_next(m->space[space], at, &got), 0);
		cr_assert(!frame_is_used(m, got.frame, unit / 4096));
		add(m, space, at, unit, got.frame, prot);
	}
}

/* What unmap and protect say to a range: the number of pages, or why not. */
static int64_t count(struct model *m, int space, uint64_t va, uint64_t bytes, bool no_holes)
{
	uint64_t last = va + bytes - 1, covered = 0;
	int64_t nr = 0;

	if (last < va || !fl_is_canonical(last))
		return -EINVAL;
	for (uint32_t i = 0; i < m->nr; i++) {
		struct page *p = &m->page[i];

		if (!overlaps(p, space, va, last))
			continue;
		if (p->va < va || p->va + p->bytes - 1 > last)
			return -EBUSY;
		nr++;
		covered += p->bytes;
	}
	return no_holes && covered != bytes ? -ENOENT : nr;
}

/* Both may hold: a hole and a large page that sticks out. */
static bool is_equal_error(int64_t got, int64_t want)
{
	return got == want || ((got == -EBUSY || got == -ENOENT) && want == -EBUSY);
}

static void do_change(struct model *m, bool is_unmap)
{
	int space = (int)rng_below(&m->rng, NR_SPACES);
	uint64_t va = random_va(m);
	uint64_t bytes = 4096ull * (1 + rng_below(&m->rng, rng_below(&m->rng, 8) ? 8 : 1600));
	struct page *hit = find(m, space, va);
	uint32_t prot = random_prot(m);
	int64_t want, got;

	if (hit && rng_below(&m->rng, 2)) {
		va = hit->va;
		bytes = hit->bytes;
	}
	want = count(m, space, va, bytes, !is_unmap);
	got = is_unmap ? fl_space_unmap(m->space[space], va, bytes)
	               : fl_space_protect(m->space[space], va, bytes, prot);
	cr_assert(is_equal_error(got, want), "%s %llx + %llx: %lld, not %lld",
	    is_unmap ? "unmap" : "protect", (unsigned long long)va, (unsigned long long)bytes,
	    (long long)got, (long long)want);
	for (uint32_t i = 0; got > 0 && i < m->nr; i++) {
		struct page *p = &m->page[i];

		if (!overlaps(p, space, va, va + bytes - 1))
			continue;
		invalidate(m, space, p->va);
		p->prot = prot;
		if (is_unmap)
			m->page[i--] = m->page[--m->nr];
	}
}

static void do_share(struct model *m)
{
	int from = (int)rng_below(&m->rng, NR_SPACES), to = (int)rng_below(&m->rng, NR_SPACES);
	struct page *p = m->nr ? &m->page[rng_below(&m->rng, m->nr)] : NULL;
	uint64_t to_va = random_va(m);
	bool is_cow = rng_below(&m->rng, 2);
	int want = 0, err;

	if (!p || m->nr > MAX_PAGES - 2000)
		return;
	from = p->space;
	if (rng_below(&m->rng, 2))
		to_va = p->va;
	if (to_va % p->bytes || (!is_cow && p->is_cow))
		want = -EINVAL;
	for (uint32_t i = 0; !want && i < m->nr; i++)
		if (overlaps(&m->page[i], to, to_va, to_va + p->bytes - 1))
			want = -EEXIST;
	err = fl_space_share(m->space[to], to_va, m->space[from], p->va, is_cow);
	cr_assert_eq(err, want, "share: %d, not %d", err, want);
	if (err)
		return;
	p->is_cow = is_cow;
	invalidate(m, from, p->va);
	add(m, to, to_va, p->bytes, p->frame, p->prot);
	m->page[m->nr - 1].is_cow = is_cow;
}

static void do_copy(struct model *m)
{
	int space = (int)rng_below(&m->rng, NR_SPACES), err, want;
	uint64_t va = random_va(m);
	struct page *p = find(m, space, va);
	uint64_t nr = p ? p->bytes / 4096 : 0, old = p ? p->frame : 0;
	struct fl_mapping got;
	uint32_t users = 0;

	if (nr > 512 && rng_below(&m->rng, 50))
		return; /* copying a GiB takes its time */
	for (uint32_t i = 0; p && i < m->nr; i++)
		users +=
		    m->page[i].frame < old + nr && old < m->page[i].frame + m->page[i].bytes / 4096;
	want = !p ? -ENOENT : !p->is_cow || !(p->prot & FL_WRITE) ? -EACCES : users > 1;
	if (want == 1 && nr > 512)
		return;
	err = fl_space_copy(m->space[space], va);
	if (err == -ENOMEM && nr > 1)
		return;
	cr_assert_eq(err, want, "copy: %d, not %d", err, want);
	if (err < 0)
		return;
	invalidate(m, space, va);
	p->is_cow = false;
	cr_assert_eq(fl_space_next(m->space[space], va, &got), 0);
	if (err)
		cr_assert(!frame_is_used(m, got.frame, nr));
	else
		cr_assert_eq(got.frame, old);
	p->frame = got.frame;
}

static void do_split(struct model *m)
{
	int space = (int)rng_below(&m->rng, NR_SPACES), err;
	uint64_t va = random_va(m);
	struct page *p = find(m, space, va), old;
	int want = !p ? -ENOENT : p->bytes == 4096 ? -EINVAL : 0;

	if (!want && m->nr > MAX_PAGES - 2000)
		return;
	err = fl_space_split(m->space[space], va);
	cr_assert_eq(err, want, "split: %d, not %d", err, want);
	if (err)
		return;
	invalidate(m, space, va);
	old = *p;
	*p = m->page[--m->nr];
	for (uint64_t i = 0; i < 512; i++) {
		uint64_t bytes = old.bytes / 512;

		add(m, space, old.va + i * bytes, bytes, old.frame + i * bytes / 4096, old.prot);
		m->page[m->nr - 1].is_cow = old.is_cow;
		m->page[m->nr - 1].is_accessed = old.is_accessed;
		m->page[m->nr - 1].is_dirty = old.is_dirty;
	}
}

static void do_clear(struct model *m)
{
	int space = (int)rng_below(&m->rng, NR_SPACES);
	uint64_t va = random_va(m);
	bool accessed = rng_below(&m->rng, 2), dirty = rng_below(&m->rng, 2);
	struct page *p = find(m, space, va);

	cr_assert_eq(fl_space_clear(m->space[space], va, accessed, dirty), p ? 0 : -ENOENT);
	if (!p)
		return;
	p->is_accessed &= !accessed;
	p->is_dirty &= !dirty;
	invalidate(m, space, va);
}

/* The level at which the walk ends for a page that is not there: the first that leads nowhere. */
static uint32_t missing_level(struct model *m, int space, uint64_t va)
{
	for (uint32_t level = 4; level > 1; level--) {
		uint64_t block = 4096ull << (9 * (level - 1));
		bool is_there = false;

		for (uint32_t i = 0; i < m->nr && !is_there; i++)
			is_there =
			    overlaps(&m->page[i], space, va & ~(block - 1), va | (block - 1));
		if (!is_there)
			return level;
	}
	return 1;
}

static struct fl_fault expect_fault(
    struct model *m, int space, uint64_t va, enum fl_access access, enum fl_mode mode)
{
	struct page *p = find(m, space, va);
	struct fl_fault f = {.kind = FL_FAULT_NONE};
	uint32_t page_level = !p ? 0 : p->bytes == 4096 ? 1 : p->bytes == 2 << 20 ? 2 : 3;

	if (!p || !(p->prot & FL_READ)) {
		f.kind = FL_FAULT_NOT_PRESENT;
		f.level = p ? page_level : missing_level(m, space, va);
		return f;
	}
	if (mode == FL_MODE_USER && !(p->prot & FL_USER))
		f.kind = FL_FAULT_SUPERVISOR;
	else if (access == FL_ACCESS_WRITE && (!(p->prot & FL_WRITE) || p->is_cow))
		f.kind = FL_FAULT_READ_ONLY;
	else if (access == FL_ACCESS_EXEC && !(p->prot & FL_EXEC))
		f.kind = FL_FAULT_NO_EXECUTE;
	f.level = f.kind ? page_level : 0;
	f.is_cow = f.kind == FL_FAULT_READ_ONLY && p->prot & FL_WRITE;
	return f;
}

static void do_translate(struct model *m)
{
	int space = (int)rng_below(&m->rng, NR_SPACES), err;
	uint64_t va = random_va(m) + rng_below(&m->rng, 4096);
	enum fl_access access = (enum fl_access)rng_below(&m->rng, 3);
	enum fl_mode mode = (enum fl_mode)rng_below(&m->rng, 2);
	struct fl_fault want = expect_fault(m, space, va, access, mode), got;
	struct page *p = find(m, space, va);
	uint64_t pa;

	if (m->mmu && rng_below(&m->rng, 8)) {
		struct fl_translation t;

		cr_assert_eq(fl_mmu_switch(m->mmu, m->space[space]), 0);
		fl_mmu_set_mode(m->mmu, mode);
		err = fl_mmu_translate(m->mmu, va, access, &t);
		got = t.fault;
		pa = t.pa;
	} else {
		struct fl_walk w;

		err = fl_space_translate(m->space[space], va, access, mode, &w);
		got = w.fault;
		pa = w.pa;
	}
	cr_assert_eq(err, want.kind ? -EFAULT : 0);
	cr_assert_eq(got.kind, want.kind, "%llx: %s, not %s", (unsigned long long)va,
	    fl_fault_name(got.kind), fl_fault_name(want.kind));
	if (err) {
		cr_assert_eq(got.level, want.level, "%llx: level %u, not %u",
		    (unsigned long long)va, got.level, want.level);
		cr_assert_eq(got.is_cow, want.is_cow);
		return;
	}
	cr_assert_eq(pa, p->frame * 4096 + (va - p->va));
	p->is_accessed = true;
	p->is_dirty |= access == FL_ACCESS_WRITE;
}

static uint64_t tables_of(struct model *m, int space)
{
	uint64_t nr = 1;

	/* A table exists for each block of 2 MiB (1 GiB, 512 GiB) that has a smaller page. */
	for (uint32_t level = 2; level <= 4; level++) {
		uint64_t block = 4096ull << (9 * (level - 1));

		for (uint32_t i = 0; i < m->nr; i++) {
			struct page *p = &m->page[i];
			bool is_first = p->space == space && p->bytes < block;

			for (uint32_t k = 0; k < i && is_first; k++)
				is_first = m->page[k].space != space || m->page[k].bytes >= block ||
				           m->page[k].va / block != p->va / block;
			nr += is_first;
		}
	}
	return nr;
}

static void compare(struct model *m)
{
	struct fl_space_stats stats;
	struct fl_mapping got;
	uint32_t nr = 0;

	for (int s = 0; s < NR_SPACES; s++) {
		uint64_t va = 0;

		while (fl_space_next(m->space[s], va, &got) == 0) {
			struct page *p = find(m, s, got.va);

			cr_assert(p && p->va == got.va && p->frame == got.frame);
			cr_assert_eq(p->bytes, fl_page_bytes(got.page));
			cr_assert_eq(p->prot, got.prot);
			cr_assert_eq(p->is_cow, got.is_cow);
			cr_assert_eq(
			    p->is_accessed, got.is_accessed, "%llx", (unsigned long long)got.va);
			cr_assert_eq(p->is_dirty, got.is_dirty);
			nr++;
			va = got.va + p->bytes;
			if (!va)
				break;
		}
		fl_space_stats(m->space[s], &stats);
		cr_assert_eq(stats.nr_tables, tables_of(m, s));
	}
	cr_assert_eq(nr, m->nr);
}

static void do_one(struct model *m)
{
	unsigned dice = rng_below(&m->rng, 100);

	if (dice < 50)
		do_translate(m);
	else if (dice < 65)
		do_map(m);
	else if (dice < 78)
		do_change(m, true);
	else if (dice < 85)
		do_change(m, false);
	else if (dice < 91)
		do_share(m);
	else if (dice < 95)
		do_copy(m);
	else if (dice < 99)
		do_clear(m);
	else if (rng_below(&m->rng, 10) == 0)
		do_split(m);
}

static void unmap_all(struct model *m)
{
	struct fl_space_stats stats;
	struct fl_phys_stats phys;

	for (int s = 0; s < NR_SPACES; s++) {
		cr_assert_geq(fl_space_unmap(m->space[s], 0, 1ull << 47), 0);
		cr_assert_geq(fl_space_unmap(m->space[s], ~0ull << 47, 1ull << 47), 0);
		fl_space_stats(m->space[s], &stats);
		cr_expect_eq(stats.nr_tables, 1);
		cr_expect_eq(stats.nr_pages[0] + stats.nr_pages[1] + stats.nr_pages[2], 0);
	}
	fl_phys_stats(m->phys, &phys);
	cr_expect_eq(phys.nr_tables, NR_SPACES);
	cr_expect_eq(phys.nr_data, 0);
	cr_expect_eq(phys.nr_free, NR_FRAMES - NR_SPACES);
}

static void run_model(const char *name, const struct fl_mmu_config *config)
{
	struct model *m = calloc(1, sizeof(*m));

	m->rng = rng_new(name);
	m->phys = fl_phys_open(NR_FRAMES);
	cr_assert_not_null(m->phys);
	for (int s = 0; s < NR_SPACES; s++)
		cr_assert_not_null(m->space[s] = fl_space_open(m->phys));
	if (config)
		cr_assert_eq(fl_mmu_open(m->phys, config, &m->mmu), 0);
	for (int i = 0; i < NR_OPS; i++) {
		do_one(m);
		if (i % 10000 == 0)
			compare(m);
	}
	compare(m);
	unmap_all(m);
	fl_mmu_close(m->mmu);
	for (int s = 0; s < NR_SPACES; s++)
		fl_space_close(m->space[s]);
	fl_phys_close(m->phys);
	free(m);
}

Test(mmu_model, tables_alone, .timeout = 120)
{
	run_model("tables alone", NULL);
}

Test(mmu_model, two_levels_and_asids, .timeout = 120)
{
	struct fl_mmu_config config = *fl_mmu_preset_find("intel-skylake");

	config.nr_asids = 3; /* fewer than spaces: they are given from one to another */
	run_model("two levels and ASIDs", &config);
}

Test(mmu_model, smashed_pages_and_a_structure_cache, .timeout = 120)
{
	run_model("smashed pages", fl_mmu_preset_find("amd-jaguar"));
}

Test(mmu_model, plru_and_all_structure_caches, .timeout = 120)
{
	struct fl_mmu_config config = {
	    .nr_levels = 2,
	    .level = {{1, {{1, 8, 1, FL_PLRU}}}, {1, {{4, 6, 3, FL_RANDOM}}}},
	    .nr_asids = 16,
	    .psc = {2, 2, 4},
	    .seed = 5,
	};

	run_model("structure caches", &config);
}
