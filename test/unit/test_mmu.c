// SPDX-License-Identifier: MIT
/* The software MMU: faults, bits, sharing, large pages, load and store; see faultline/mmu.h. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "faultline/mmu.h"

#define RW  (FL_READ | FL_WRITE | FL_USER)
#define RWX (RW | FL_EXEC)
#define VA  0x7f1234567000ull
#define MIB 0x100000ull
#define GIB 0x40000000ull

static struct fl_phys *phys;
static struct fl_space *space;
static struct fl_mmu *mmu;

static void set_up(void)
{
	phys = fl_phys_open(1 << 20);
	space = fl_space_open(phys);
	cr_assert(phys && space);
	cr_assert_eq(fl_mmu_open(phys, NULL, &mmu), 0);
	cr_assert_eq(fl_mmu_switch(mmu, space), 0);
}

static void tear_down(void)
{
	struct fl_phys_stats stats;

	fl_mmu_close(mmu);
	fl_space_close(space);
	fl_phys_stats(phys, &stats);
	cr_expect_eq(stats.nr_free, stats.nr_frames);
	fl_phys_close(phys);
}

TestSuite(mmu, .init = set_up, .fini = tear_down);

static int map(uint64_t va, uint64_t bytes, enum fl_page page, uint32_t prot)
{
	return fl_space_map(space, va, bytes, page, FL_FRAME_NONE, prot);
}

/* The fault of an access, through the tables and through the MMU alike. */
static struct fl_fault fault_of(uint64_t va, enum fl_access access, enum fl_mode mode)
{
	struct fl_translation t;
	struct fl_walk w;

	fl_mmu_set_mode(mmu, mode);
	cr_expect_eq(
	    fl_space_walk(space, va, access, mode, &w), fl_mmu_translate(mmu, va, access, &t));
	cr_expect_eq(w.fault.kind, t.fault.kind);
	cr_expect_eq(w.fault.level, t.fault.level);
	cr_expect_eq(w.fault.code, t.fault.code);
	return w.fault;
}

static void expect_fault(uint64_t va, enum fl_access access, enum fl_mode mode,
    enum fl_fault_kind kind, uint32_t level, uint32_t code)
{
	struct fl_fault f = fault_of(va, access, mode);

	cr_expect_eq(f.kind, kind, "%llx: %s, not %s", (unsigned long long)va,
	    fl_fault_name(f.kind), fl_fault_name(kind));
	cr_expect_eq(f.level, level, "%llx: level %u", (unsigned long long)va, f.level);
	cr_expect_eq(f.code, code, "%llx: code %u", (unsigned long long)va, f.code);
	cr_expect_eq(f.va, va);
}

Test(mmu, not_present_names_the_level)
{
	cr_assert_eq(map(VA, 4096, FL_PAGE_4K, RW), 0);
	expect_fault(VA, FL_ACCESS_READ, FL_MODE_USER, FL_FAULT_NONE, 0, 0);
	expect_fault(VA + 4096, FL_ACCESS_READ, FL_MODE_USER, FL_FAULT_NOT_PRESENT, 1, 4);
	expect_fault(VA + 2 * MIB, FL_ACCESS_WRITE, FL_MODE_USER, FL_FAULT_NOT_PRESENT, 2, 6);
	expect_fault(VA + GIB, FL_ACCESS_EXEC, FL_MODE_SUPERVISOR, FL_FAULT_NOT_PRESENT, 3, 16);
	expect_fault(
	    VA - 512 * GIB, FL_ACCESS_READ, FL_MODE_SUPERVISOR, FL_FAULT_NOT_PRESENT, 4, 0);
}

Test(mmu, rights_are_enforced)
{
	cr_assert_eq(map(0x1000, 4096, FL_PAGE_4K, FL_READ | FL_USER), 0);
	cr_assert_eq(map(0x2000, 4096, FL_PAGE_4K, FL_READ | FL_WRITE | FL_EXEC), 0);
	cr_assert_eq(map(0x200000, 2 * MIB, FL_PAGE_2M, FL_READ | FL_USER), 0);
	expect_fault(0x1000, FL_ACCESS_WRITE, FL_MODE_USER, FL_FAULT_READ_ONLY, 1, 7);
	expect_fault(0x1000, FL_ACCESS_WRITE, FL_MODE_SUPERVISOR, FL_FAULT_READ_ONLY, 1, 3);
	expect_fault(0x1fff, FL_ACCESS_EXEC, FL_MODE_USER, FL_FAULT_NO_EXECUTE, 1, 21);
	expect_fault(0x2000, FL_ACCESS_READ, FL_MODE_USER, FL_FAULT_SUPERVISOR, 1, 5);
	expect_fault(0x2000, FL_ACCESS_WRITE, FL_MODE_SUPERVISOR, FL_FAULT_NONE, 0, 0);
	expect_fault(0x2000, FL_ACCESS_WRITE, FL_MODE_USER, FL_FAULT_SUPERVISOR, 1, 7);
	expect_fault(0x3fffff, FL_ACCESS_WRITE, FL_MODE_USER, FL_FAULT_READ_ONLY, 2, 7);
}

Test(mmu, rights_above_the_page_count_too)
{
	cr_assert_eq(map(VA, 4096, FL_PAGE_4K, RWX), 0);
	cr_assert_eq(fl_space_restrict(space, VA, 3, FL_USER), 0);
	expect_fault(VA, FL_ACCESS_WRITE, FL_MODE_USER, FL_FAULT_READ_ONLY, 3, 7);
	expect_fault(VA, FL_ACCESS_EXEC, FL_MODE_USER, FL_FAULT_NO_EXECUTE, 3, 21);
	expect_fault(VA, FL_ACCESS_READ, FL_MODE_USER, FL_FAULT_NONE, 0, 0);
	cr_assert_eq(fl_space_restrict(space, VA, 2, 0), 0);
	fl_mmu_invalidate(mmu, space, VA);
	expect_fault(VA, FL_ACCESS_READ, FL_MODE_USER, FL_FAULT_SUPERVISOR, 2, 5);
	cr_expect_eq(fl_space_restrict(space, VA, 1, 0), -EINVAL);
	cr_expect_eq(fl_space_restrict(space, VA, 5, 0), -EINVAL);
	cr_expect_eq(fl_space_restrict(space, VA + GIB, 2, 0), -ENOENT);
}

Test(mmu, addresses_must_be_canonical)
{
	expect_fault(0x800000000000, FL_ACCESS_READ, FL_MODE_USER, FL_FAULT_NON_CANONICAL, 0, 0);
	expect_fault(
	    0xffff7fffffffffff, FL_ACCESS_READ, FL_MODE_USER, FL_FAULT_NON_CANONICAL, 0, 0);
	cr_expect_eq(map(0x7ffffffff000, 8192, FL_PAGE_4K, RW), -EINVAL);
	cr_expect_eq(map(0x800000000000, 4096, FL_PAGE_4K, RW), -EINVAL);
	cr_expect_eq(map(0x7ffffffff000, 4096, FL_PAGE_4K, RW), 0);
	cr_expect_eq(map(0xffff800000000000, 4096, FL_PAGE_4K, RW), 0);
	cr_expect_eq(map(0xfffffffffffff000, 4096, FL_PAGE_4K, RW), 0);
	expect_fault(~0ull, FL_ACCESS_WRITE, FL_MODE_USER, FL_FAULT_NONE, 0, 0);
	cr_expect_eq(fl_space_unmap(space, 0xfffffffffffff000, 8192), -EINVAL);
	cr_expect_eq(fl_space_unmap(space, 0xfffffffffffff000, 4096), 1);
}

Test(mmu, bad_mappings_are_refused)
{
	uint64_t frame = fl_phys_alloc(phys, FL_PAGE_4K);

	cr_expect_eq(map(VA, 0, FL_PAGE_4K, RW), -EINVAL);
	cr_expect_eq(map(VA + 1, 4096, FL_PAGE_4K, RW), -EINVAL);
	cr_expect_eq(map(VA, 4097, FL_PAGE_4K, RW), -EINVAL);
	cr_expect_eq(map(0x1000, 2 * MIB, FL_PAGE_2M, RW), -EINVAL);
	cr_expect_eq(map(2 * MIB, GIB, FL_PAGE_1G, RW), -EINVAL);
	cr_expect_eq(map(2 * MIB, 4096, FL_PAGE_2M, RW), -EINVAL);
	cr_expect_eq(map(VA, 4096, FL_NR_PAGES, RW), -EINVAL);
	cr_expect_eq(map(VA, 4096, FL_PAGE_4K, FL_WRITE | FL_USER), -EINVAL);
	cr_expect_eq(map(VA, 4096, FL_PAGE_4K, FL_EXEC), -EINVAL);
	cr_expect_eq(map(VA, 4096, FL_PAGE_4K, 64), -EINVAL);
	cr_expect_eq(fl_space_map(space, VA, 4096, FL_PAGE_4K, frame + 1, RW), -EINVAL);
	cr_expect_eq(fl_space_map(space, VA, 4096, FL_PAGE_4K, 1ull << 50, RW), -EINVAL);
	cr_expect_eq(fl_space_map(space, 0, 2 * MIB, FL_PAGE_2M, frame, RW), -EINVAL);
	cr_expect_eq(fl_space_map(space, VA, 8192, FL_PAGE_4K, frame, RW), -EINVAL);
	cr_expect_eq(fl_space_map(space, VA, 4096, FL_PAGE_4K, frame, RW), 0);
	cr_expect_eq(fl_space_map(space, VA, 4096, FL_PAGE_4K, frame, RW), -EEXIST);
	cr_expect_eq(fl_phys_refs(phys, frame), 2);
	cr_expect_eq(fl_phys_put(phys, frame, FL_PAGE_4K), 0);
	cr_expect_eq(fl_space_unmap(space, VA, 4096), 1);
	cr_expect_eq(fl_phys_put(phys, frame, FL_PAGE_4K), -EINVAL);
	cr_expect_null(fl_phys_open(0));
	cr_expect_null(fl_phys_open((1ull << 28) + 1));
}

Test(mmu, accessed_and_dirty_bits)
{
	struct fl_mapping m;
	struct fl_walk w;

	cr_assert_eq(map(VA, 4096, FL_PAGE_4K, FL_READ | FL_USER), 0);
	fl_space_next(space, VA, &m);
	cr_expect(!m.is_accessed && !m.is_dirty);
	/* Neither a look nor a fault sets them. */
	fl_space_walk(space, VA, FL_ACCESS_READ, FL_MODE_USER, &w);
	cr_expect_eq(fl_space_translate(space, VA, FL_ACCESS_WRITE, FL_MODE_USER, &w), -EFAULT);
	cr_expect_eq(w.nr_marks, 0);
	fl_space_next(space, VA, &m);
	cr_expect(!m.is_accessed && !m.is_dirty);
	cr_expect_eq(fl_space_translate(space, VA, FL_ACCESS_READ, FL_MODE_USER, &w), 0);
	cr_expect_eq(w.nr_marks, 4);
	fl_space_next(space, VA, &m);
	cr_expect(m.is_accessed && !m.is_dirty);
	cr_expect_eq(fl_space_protect(space, VA, 4096, RW), 1);
	cr_expect_eq(fl_space_translate(space, VA, FL_ACCESS_WRITE, FL_MODE_USER, &w), 0);
	cr_expect_eq(w.nr_marks, 1);
	fl_space_next(space, VA, &m);
	cr_expect(m.is_accessed && m.is_dirty);
}

Test(mmu, a_tlb_hides_bits_that_were_cleared)
{
	struct fl_mapping m;
	struct fl_mmu_counts c;
	uint64_t v = 7;

	cr_assert_eq(map(VA, 4096, FL_PAGE_4K, RW), 0);
	cr_assert_eq(fl_load(mmu, VA, &v, 8), 0);
	fl_space_next(space, VA, &m);
	cr_expect(m.is_accessed && !m.is_dirty);
	/* The first store walks for the dirty bit; the second need not. */
	cr_assert_eq(fl_store(mmu, VA, &v, 8), 0);
	cr_assert_eq(fl_store(mmu, VA, &v, 8), 0);
	fl_mmu_counts(mmu, &c);
	cr_expect_eq(c.walks, 2);
	cr_expect_eq(c.dirty_walks, 1);
	cr_expect_eq(c.level[0].hits, 2);
	cr_expect_eq(c.level[0].misses, 1);
	cr_expect_eq(c.level[0].invalidated, 0);
	cr_expect_eq(c.walk_reads, 8);
	cr_expect_eq(c.walk_writes, 5);
	fl_space_next(space, VA, &m);
	cr_expect(m.is_dirty);
	fl_space_clear(space, VA, true, true);
	cr_assert_eq(fl_store(mmu, VA, &v, 8), 0);
	fl_space_next(space, VA, &m);
	cr_expect(!m.is_accessed && !m.is_dirty);
	fl_mmu_invalidate(mmu, space, VA);
	cr_assert_eq(fl_store(mmu, VA, &v, 8), 0);
	fl_space_next(space, VA, &m);
	cr_expect(m.is_accessed && m.is_dirty);
}

Test(mmu, no_access_keeps_the_frame)
{
	uint64_t v = 42, got = 0;

	cr_assert_eq(map(VA, 4096, FL_PAGE_4K, RW), 0);
	cr_assert_eq(fl_store(mmu, VA, &v, 8), 0);
	cr_assert_eq(fl_space_protect(space, VA, 4096, 0), 1);
	fl_mmu_invalidate(mmu, space, VA);
	expect_fault(VA, FL_ACCESS_READ, FL_MODE_USER, FL_FAULT_NOT_PRESENT, 1, 4);
	cr_expect_eq(map(VA, 4096, FL_PAGE_4K, RW), -EEXIST);
	cr_assert_eq(fl_space_protect(space, VA, 4096, FL_READ | FL_USER), 1);
	cr_assert_eq(fl_load(mmu, VA, &got, 8), 0);
	cr_expect_eq(got, 42);
}

Test(mmu, large_pages)
{
	struct fl_space_stats stats;
	struct fl_translation t;
	uint64_t v = 5;

	cr_assert_eq(map(GIB, GIB, FL_PAGE_1G, RW), 0);
	cr_assert_eq(map(2 * GIB, 4 * MIB, FL_PAGE_2M, RW), 0);
	fl_space_stats(space, &stats);
	cr_expect_eq(stats.nr_tables, 3); /* root, level 3, level 2 of the 2 MiB pages */
	cr_expect_eq(stats.nr_pages[FL_PAGE_1G], 1);
	cr_expect_eq(stats.nr_pages[FL_PAGE_2M], 2);
	cr_assert_eq(fl_mmu_translate(mmu, GIB + 0x12345678, FL_ACCESS_WRITE, &t), 0);
	cr_expect_eq(t.pa % GIB, 0x12345678);
	cr_expect_eq(t.page, FL_PAGE_1G);
	cr_expect_eq(t.walk.nr_steps, 2);
	cr_assert_eq(fl_mmu_translate(mmu, 2 * GIB + 0x3abcde, FL_ACCESS_READ, &t), 0);
	cr_expect_eq(t.pa % (2 * MIB), 0x1abcde);
	cr_expect_eq(t.walk.nr_steps, 3);
	cr_assert_eq(fl_store(mmu, 2 * GIB + 8, &v, 8), 0);
	/* All of a page is one entry. */
	cr_assert_eq(fl_mmu_translate(mmu, 2 * GIB - 1, FL_ACCESS_WRITE, &t), 0);
	cr_expect_eq(t.hit_level, 1);
	cr_expect_eq(map(GIB + 0x1000, 4096, FL_PAGE_4K, RW), -EEXIST);
	cr_expect_eq(map(2 * GIB, GIB, FL_PAGE_1G, RW), -EEXIST);
}

Test(mmu, large_pages_are_split_only_when_told)
{
	struct fl_space_stats stats;
	struct fl_mapping m;
	uint64_t v = 0x1122334455667788, got = 0;

	cr_assert_eq(map(4 * MIB, 2 * MIB, FL_PAGE_2M, RW), 0);
	cr_assert_eq(fl_store(mmu, 5 * MIB, &v, 8), 0);
	cr_expect_eq(fl_space_unmap(space, 5 * MIB, 4096), -EBUSY);
	cr_expect_eq(fl_space_protect(space, 4 * MIB, MIB, FL_READ), -EBUSY);
	cr_assert_eq(fl_space_split(space, 5 * MIB), 0);
	fl_mmu_invalidate(mmu, space, 5 * MIB);
	fl_space_stats(space, &stats);
	cr_expect_eq(stats.nr_pages[FL_PAGE_4K], 512);
	cr_expect_eq(stats.nr_pages[FL_PAGE_2M], 0);
	cr_expect_eq(stats.nr_tables, 4);
	cr_assert_eq(fl_load(mmu, 5 * MIB, &got, 8), 0);
	cr_expect_eq(got, v);
	fl_space_next(space, 4 * MIB, &m);
	cr_expect(m.page == FL_PAGE_4K && m.is_dirty && m.prot == RW);
	cr_expect_eq(fl_space_unmap(space, 5 * MIB, 4096), 1);
	cr_expect_eq(fl_space_split(space, 5 * MIB), -ENOENT);
	cr_expect_eq(fl_space_split(space, 4 * MIB), -EINVAL);
	cr_expect_eq(fl_space_unmap(space, 4 * MIB, 2 * MIB), 511);
	fl_space_stats(space, &stats);
	cr_expect_eq(stats.nr_tables, 1);
}

/* The operating system of these tests: copies on write, counts. */
static int nr_handled;

static int handle_cow(struct fl_mmu *m, const struct fl_fault *fault, void *context)
{
	struct fl_space *of = context;
	int err;

	nr_handled++;
	if (!fault->is_cow)
		return -EACCES;
	err = fl_space_copy(of, fault->va);
	fl_mmu_invalidate(m, of, fault->va);
	return err < 0 ? err : 0;
}

Test(mmu, copy_on_write)
{
	uint64_t parent = 1, child = 2, got = 0;
	struct fl_space *clone;
	struct fl_phys_stats stats;

	nr_handled = 0;
	cr_assert_eq(map(VA, 2 * 4096, FL_PAGE_4K, RW), 0);
	cr_assert_eq(map(GIB, 2 * MIB, FL_PAGE_2M, FL_READ | FL_USER), 0);
	cr_assert_eq(fl_store(mmu, VA, &parent, 8), 0);
	clone = fl_space_clone(space);
	cr_assert_not_null(clone);
	fl_mmu_invalidate_space(mmu, space);
	fl_phys_stats(phys, &stats);
	cr_expect_eq(stats.nr_data, 2 + 512);

	cr_assert_eq(fl_mmu_switch(mmu, clone), 0);
	fl_mmu_on_fault(mmu, handle_cow, clone);
	cr_assert_eq(fl_load(mmu, VA, &got, 8), 0);
	cr_expect_eq(got, 1);
	cr_expect_eq(nr_handled, 0);
	cr_assert_eq(fl_store(mmu, VA, &child, 8), 0);
	cr_expect_eq(nr_handled, 1);
	fl_phys_stats(phys, &stats);
	cr_expect_eq(stats.nr_data, 3 + 512);
	/* Shared, but never writable: no copy helps. */
	cr_expect_eq(fl_store(mmu, GIB, &child, 8), -EACCES);

	cr_assert_eq(fl_mmu_switch(mmu, space), 0);
	fl_mmu_on_fault(mmu, handle_cow, space);
	cr_assert_eq(fl_load(mmu, VA, &got, 8), 0);
	cr_expect_eq(got, 1);
	cr_assert_eq(fl_store(mmu, VA, &parent, 8), 0); /* the last one: no copy */
	fl_phys_stats(phys, &stats);
	cr_expect_eq(stats.nr_data, 3 + 512);
	cr_expect_eq(fl_space_copy(space, VA), -EACCES);
	cr_expect_eq(fl_space_copy(space, VA - 4096), -ENOENT);
	fl_space_close(clone);
	fl_phys_stats(phys, &stats);
	cr_expect_eq(stats.nr_data, 2 + 512);
}

Test(mmu, open_sharing_is_seen_by_both)
{
	struct fl_space *other = fl_space_open(phys);
	struct fl_phys *elsewhere = fl_phys_open(10);
	struct fl_space *foreign = fl_space_open(elsewhere);
	uint64_t v = 99, got = 0;

	cr_assert_eq(map(VA, 4096, FL_PAGE_4K, RW), 0);
	cr_assert_eq(fl_space_share(other, 0x5000, space, VA, false), 0);
	cr_expect_eq(fl_space_share(other, 0x5000, space, VA, false), -EEXIST);
	cr_expect_eq(fl_space_share(other, 0x5001, space, VA, false), -EINVAL);
	cr_expect_eq(fl_space_share(other, 0x6000, space, VA + 4096, false), -ENOENT);
	cr_expect_eq(fl_space_share(foreign, 0x6000, space, VA, false), -EXDEV);
	cr_expect_eq(fl_mmu_switch(mmu, foreign), -EXDEV);
	cr_assert_eq(fl_store(mmu, VA, &v, 8), 0);
	fl_mmu_switch(mmu, other);
	cr_assert_eq(fl_load(mmu, 0x5000, &got, 8), 0);
	cr_expect_eq(got, 99);
	cr_expect_eq(fl_space_share(space, 0x9000, other, 0x5000, true), 0);
	cr_expect_eq(fl_space_share(space, 0xa000, other, 0x5000, false), -EINVAL);
	fl_space_close(other);
	fl_space_close(foreign);
	fl_phys_close(elsewhere);
}

Test(mmu, accesses_that_cross_a_page)
{
	uint8_t out[4096], in[4096];

	memset(out, 0xab, sizeof(out));
	cr_assert_eq(map(VA, 4096, FL_PAGE_4K, RW), 0);
	/* The second page is missing: nothing is written to the first either. */
	cr_expect_eq(fl_store(mmu, VA + 4092, out, 8), -EFAULT);
	cr_assert_eq(fl_load(mmu, VA + 4088, in, 8), 0);
	cr_expect_eq(in[4], 0);
	cr_assert_eq(map(VA + 4096, 4096, FL_PAGE_4K, RW), 0);
	cr_assert_eq(fl_store(mmu, VA + 4092, out, 8), 0);
	cr_assert_eq(fl_load(mmu, VA + 4092, in, 8), 0);
	cr_expect_arr_eq(in, out, 8);
	cr_assert_eq(fl_store(mmu, VA + 1, out, 4096), 0);
	cr_assert_eq(fl_load(mmu, VA + 1, in, 4096), 0);
	cr_expect_arr_eq(in, out, 4096);
	cr_expect_eq(fl_load(mmu, VA, in, 0), -EINVAL);
	cr_expect_eq(fl_load(mmu, VA, in, 4097), -EINVAL);
	cr_expect_eq(fl_load(mmu, 0x800000000000, in, 8), -EFAULT);
	cr_expect_eq(fl_fetch(mmu, VA, in, 4), -EFAULT);
	fl_space_protect(space, VA, 4096, RWX);
	cr_expect_eq(fl_fetch(mmu, VA, in, 4), 0); /* more rights need no invalidation */
	fl_mmu_switch(mmu, NULL);
	cr_expect_eq(fl_load(mmu, VA, in, 8), -EINVAL);
}

static int handle_badly(struct fl_mmu *m, const struct fl_fault *fault, void *context)
{
	nr_handled++;
	return 0;
}

Test(mmu, a_handler_that_mends_nothing_is_given_up)
{
	uint64_t v;

	nr_handled = 0;
	fl_mmu_on_fault(mmu, handle_badly, NULL);
	cr_expect_eq(fl_load(mmu, VA, &v, 8), -EFAULT);
	cr_expect_gt(nr_handled, 1);
}

Test(mmu, user_mode_may_not_use_what_the_supervisor_left)
{
	uint64_t v = 1;

	cr_assert_eq(map(VA, 4096, FL_PAGE_4K, FL_READ | FL_WRITE), 0);
	fl_mmu_set_mode(mmu, FL_MODE_SUPERVISOR);
	cr_expect_eq(fl_store(mmu, VA, &v, 8), 0);
	cr_expect_eq(fl_store(mmu, VA, &v, 8), 0);
	fl_mmu_set_mode(mmu, FL_MODE_USER);
	cr_expect_eq(fl_store(mmu, VA, &v, 8), -EFAULT);
	cr_expect_eq(fl_load(mmu, VA, &v, 8), -EFAULT);
}

/* Every failing allocation on the way leaves nothing behind. */
Test(mmu, out_of_frames)
{
	for (uint64_t nr = 1; nr < 12; nr++) {
		struct fl_phys *small = fl_phys_open(nr);
		struct fl_space *s = fl_space_open(small);
		struct fl_space_stats stats;
		int err = fl_space_map(s, VA, 4 * 4096, FL_PAGE_4K, FL_FRAME_NONE, RW);

		cr_expect_eq(err, nr >= 8 ? 0 : -ENOMEM);
		fl_space_stats(s, &stats);
		cr_expect_eq(stats.nr_tables, nr >= 8 ? 4 : 1);
		cr_expect_eq(stats.nr_pages[0], nr >= 8 ? 4 : 0);
		fl_space_close(s);
		fl_phys_close(small);
	}
}

Test(mmu, out_of_frames_in_a_clone)
{
	for (uint64_t nr = 6; nr < 12; nr++) {
		struct fl_phys *small = fl_phys_open(nr);
		struct fl_space *s = fl_space_open(small), *clone;
		struct fl_phys_stats stats;

		cr_assert_eq(fl_space_map(s, VA, 4096, FL_PAGE_4K, FL_FRAME_NONE, RW), 0);
		clone = fl_space_clone(s);
		cr_expect_eq(clone != NULL, nr >= 9);
		fl_phys_stats(small, &stats);
		cr_expect_eq(stats.nr_tables, clone ? 8 : 4);
		fl_space_close(clone);
		fl_space_close(s);
		fl_phys_stats(small, &stats);
		cr_expect_eq(stats.nr_free, nr);
		fl_phys_close(small);
	}
}

Test(mmu, frames_come_back_zeroed)
{
	uint8_t bytes[4096];

	for (enum fl_page page = 0; page < FL_NR_PAGES; page++) {
		uint64_t frame = fl_phys_alloc(phys, page), again;

		cr_assert_neq(frame, FL_FRAME_NONE);
		cr_expect_eq(frame % (fl_page_bytes(page) / 4096), 0);
		memset(bytes, 0xff, sizeof(bytes));
		cr_assert_eq(
		    fl_phys_write(phys, frame * 4096 + fl_page_bytes(page) - 4096, bytes, 4096), 0);
		cr_assert_eq(fl_phys_put(phys, frame, page), 0);
		again = fl_phys_alloc(phys, page);
		cr_expect_eq(again, frame);
		fl_phys_read(phys, again * 4096 + fl_page_bytes(page) - 4096, bytes, 4096);
		for (int i = 0; i < 4096; i++)
			cr_assert_eq(bytes[i], 0);
		fl_phys_put(phys, again, page);
	}
}

Test(mmu, physical_memory_by_address)
{
	struct fl_space_stats stats;
	struct fl_walk w;
	uint64_t entry = 1;

	cr_assert_eq(map(VA, 4096, FL_PAGE_4K, RW), 0);
	cr_assert_eq(fl_space_walk(space, VA, FL_ACCESS_READ, FL_MODE_USER, &w), 0);
	fl_space_stats(space, &stats);
	cr_expect_eq(w.step[0].pa, stats.root + (VA >> 39 & 511) * 8);
	for (uint32_t i = 0; i < w.nr_steps; i++) {
		cr_assert_eq(fl_phys_read(phys, w.step[i].pa, &entry, 8), 0);
		cr_expect_eq(entry, w.step[i].entry);
		cr_expect_eq(fl_phys_write(phys, w.step[i].pa, &entry, 8), -EINVAL);
	}
	cr_expect_eq(fl_phys_read(phys, 4096ull << 20, &entry, 1), -EINVAL);
	cr_expect_eq(fl_phys_read(phys, (4096ull << 20) - 4, &entry, 8), -EINVAL);
	cr_expect_eq(fl_phys_read(phys, ~0ull, &entry, 8), -EINVAL);
}

Test(mmu, the_walk_in_words)
{
	char text[1024], part[40];
	struct fl_walk w;
	int len;

	cr_assert_eq(map(VA, 4096, FL_PAGE_4K, RW), 0);
	fl_space_translate(space, VA + 0x123, FL_ACCESS_WRITE, FL_MODE_USER, &w);
	cr_expect_eq(w.nr_steps, 4);
	cr_expect_eq(w.step[0].index, VA >> 39 & 511);
	cr_expect_eq(w.step[3].index, VA >> 12 & 511);
	len = fl_walk_format(&w, text, sizeof(text));
	cr_expect_eq((size_t)len, strlen(text));
	snprintf(part, sizeof(part), "L4[%3u]", (unsigned)(VA >> 39 & 511));
	cr_expect_not_null(strstr(text, part));
	cr_expect_not_null(strstr(text, "PWU---"), "%s", text);
	cr_expect_not_null(strstr(text, "123\n"), "%s", text);
	/* Cut off as snprintf does it. */
	cr_expect_eq(fl_walk_format(&w, part, sizeof(part)), len);
	cr_expect_eq(strlen(part), sizeof(part) - 1);
	cr_expect_eq(fl_walk_format(&w, NULL, 0), len);
	fl_space_walk(space, VA + GIB, FL_ACCESS_WRITE, FL_MODE_USER, &w);
	fl_walk_format(&w, text, sizeof(text));
	cr_expect_not_null(
	    strstr(text, "fault at level 3: not present (error code 6)"), "%s", text);
}

Test(mmu, a_stale_translation_harms_no_table)
{
	uint64_t v = ~0ull, frame;
	struct fl_mapping m;
	struct fl_space *next;

	cr_assert_eq(map(VA, 4096, FL_PAGE_4K, RW), 0);
	cr_assert_eq(fl_store(mmu, VA, &v, 8), 0);
	fl_space_next(space, VA, &m);
	frame = m.frame;
	fl_space_unmap(space, VA, 4096); /* and no invalidation */
	next = fl_space_open(phys);
	cr_assert_eq(fl_space_map(next, VA, 4096, FL_PAGE_4K, FL_FRAME_NONE, RW), 0);
	for (int i = 0; i < 512; i++)
		cr_expect_eq(fl_store(mmu, VA + i * 8ull, &v, 8), 0);
	cr_expect_lt(frame, 8); /* so it was taken again, for a table or for the page */
	cr_expect_eq(fl_space_next(next, 0, &m), 0);
	cr_expect_eq(m.va, VA);
	fl_mmu_invalidate(mmu, space, VA);
	cr_expect_eq(fl_store(mmu, VA, &v, 8), -EFAULT);
	fl_space_close(next);
}

Test(mmu, every_frame_can_be_taken_again)
{
	struct fl_phys *small = fl_phys_open(200);
	uint64_t frame[200];

	for (int i = 0; i < 200; i++)
		cr_assert_lt(frame[i] = fl_phys_alloc(small, FL_PAGE_4K), 200);
	cr_expect_eq(fl_phys_alloc(small, FL_PAGE_4K), FL_FRAME_NONE);
	cr_expect_eq(fl_phys_alloc(small, FL_PAGE_2M), FL_FRAME_NONE);
	cr_assert_eq(fl_phys_put(small, frame[3], FL_PAGE_4K), 0);
	cr_expect_eq(fl_phys_alloc(small, FL_PAGE_4K), frame[3]);
	cr_expect_eq(fl_phys_alloc(small, FL_PAGE_4K), FL_FRAME_NONE);
	fl_phys_close(small);
}

Test(mmu, a_copy_does_not_help_against_the_levels_above)
{
	struct fl_space *clone;

	cr_assert_eq(map(VA, 4096, FL_PAGE_4K, RW), 0);
	clone = fl_space_clone(space);
	cr_expect(fault_of(VA, FL_ACCESS_WRITE, FL_MODE_USER).is_cow);
	cr_assert_eq(fl_space_restrict(space, VA, 4, FL_USER | FL_EXEC), 0);
	expect_fault(VA, FL_ACCESS_WRITE, FL_MODE_USER, FL_FAULT_READ_ONLY, 4, 7);
	cr_expect(!fault_of(VA, FL_ACCESS_WRITE, FL_MODE_USER).is_cow);
	fl_space_close(clone);
}

Test(mmu, a_split_page_was_accessed_at_every_level)
{
	struct fl_walk w;

	cr_assert_eq(map(4 * MIB, 2 * MIB, FL_PAGE_2M, RW), 0);
	fl_space_translate(space, 4 * MIB, FL_ACCESS_READ, FL_MODE_USER, &w);
	cr_assert_eq(fl_space_split(space, 4 * MIB), 0);
	fl_space_translate(space, 5 * MIB, FL_ACCESS_READ, FL_MODE_USER, &w);
	cr_expect_eq(w.nr_steps, 4);
	cr_expect_eq(w.nr_marks, 0);
}
