// SPDX-License-Identifier: MIT
/*
 * What the MMU does on an access: TLB, level by level, paging-structure caches, walk, fill; and
 * load, store and fetch around it. See faultline/mmu.h.
 */
#include <errno.h>

#include "mmu/mmu.h"

/* A handler that says "try again" this often for one access does not mend anything. (A guess: two
 * pages, each missing, then copy-on-write, then with stale entries, are far below.) */
#define MAX_TRIES 64

/* Let the inline functions find @e, which the access at @va was just granted by. */
static void fast_set(struct fl_mmu *m, uint64_t va, struct tlb_array *a, struct tlb_entry *e)
{
	struct fl_fast *fast = &m->head.fast[(va >> PAGE_SHIFT) % FL_NR_FAST];
	uint64_t page = va & ~(uint64_t)PAGE_MASK;
	uint64_t offset = page & (fl_page_bytes((enum fl_page)e->page) - 1);
	bool is_writable = prot_denies(e->prot, FL_ACCESS_WRITE, m->mode) == FL_FAULT_NONE;

	fast->tag_read = page;
	fast->tag_write = is_writable && e->is_dirty ? page : FL_FAST_NONE;
	fast->host = (uintptr_t)m->phys->bytes + e->pa + offset - page;
	fast->last_use = &e->last_use;
	fast->tree = NULL;
	if (a->tree) {
		uint32_t i = (uint32_t)(e - a->entry);

		fast->tree = &a->tree[i / a->geometry.ways];
		fast->tree_keep = a->keep[i % a->geometry.ways];
		fast->tree_set = a->set[i % a->geometry.ways];
	}
}

/* Put a translation of a page of size @from->page at @va into @level, in the size kept there. */
static void fill(
    struct fl_mmu *m, struct tlb_level *level, uint64_t va, const struct tlb_entry *from)
{
	struct tlb_entry *e;
	struct tlb_array *a;
	enum fl_page page;

	if (!tlb_size_kept(level, (enum fl_page)from->page, &page))
		return;
	e = tlb_place(level, va, page, &a);
	if (e->is_valid) {
		level->counts.evictions++;
		if (level == m->level)
			fast_forget(m, e);
		tlb_entry_drop(a, e);
	}
	*e = *from;
	e->page = (uint8_t)page;
	e->tag = va >> page_shift(page);
	e->pa = from->pa +
	        (va & (fl_page_bytes((enum fl_page)from->page) - 1) & ~(fl_page_bytes(page) - 1));
	tlb_filled(a, e, m->head.clock);
	if (level == m->level)
		fast_set(m, va, a, e);
}

static void fill_all(struct fl_mmu *m, const struct fl_walk *walk)
{
	struct tlb_entry from = {
	    .pa = walk->pa & ~(fl_page_bytes(walk->page) - 1),
	    .prot = walk->prot,
	    .asid = m->asid,
	    .page = (uint8_t)walk->page,
	    .whole = (uint8_t)walk->page,
	    .is_dirty = walk->is_dirty,
	};

	for (uint32_t l = m->nr_levels; l-- > 0;)
		fill(m, &m->level[l], walk->va, &from);
}

/* The deepest cached table for @va, or the root. */
static struct walk_start walk_begin(struct fl_mmu *m, uint64_t va)
{
	for (uint32_t i = NR_PSC; i-- > 0;) {
		struct psc_entry *e = psc_find(&m->psc[i], va, m->asid);

		if (!e)
			continue;
		e->last_use = m->head.clock;
		m->counts.psc_hits[i]++;
		return (struct walk_start){e->table, ROOT_LEVEL - i - 1, e->prot};
	}
	return (struct walk_start){m->root, ROOT_LEVEL, FL_READ | FL_WRITE | FL_EXEC | FL_USER};
}

static void psc_fill_all(struct fl_mmu *m, struct walk_start start, const struct fl_walk *walk)
{
	uint32_t prot = start.prot;

	for (uint32_t i = 0; i + 1 < walk->nr_steps; i++) {
		const struct fl_walk_step *step = &walk->step[i];

		prot &= entry_grants(step->entry);
		struct walk_start next = {pte_payload(step->entry), step->level - 1, prot};
		psc_fill(&m->psc[ROOT_LEVEL - step->level], walk->va, m->asid, next, m->head.clock);
	}
}

/* A page fault drops what is cached for its address (SDM 3A, 4.10.4.1). */
static void drop_for_fault(struct fl_mmu *m, uint64_t va)
{
	mmu_drop_page(m, va, m->asid);
	for (uint32_t i = 0; i < NR_PSC; i++) {
		struct psc_entry *e = psc_find(&m->psc[i], va, m->asid);

		if (e)
			e->is_valid = false;
	}
}

/* Walk, and count it; a fault drops what led to it. Tables are all that is believed. */
static int walk(struct fl_mmu *m, uint64_t va, enum fl_access access, struct fl_translation *t)
{
	struct walk_start start = walk_begin(m, va);
	int err = walk_tables(m->phys, start, va, access, m->mode, true, &t->walk);

	m->counts.walks++;
	m->counts.walk_reads += t->walk.nr_steps;
	m->counts.walk_writes += t->walk.nr_marks;
	t->first_step = start.level;
	if (err) {
		m->counts.faults++;
		t->fault = t->walk.fault;
		drop_for_fault(m, va);
		return err;
	}
	t->pa = t->walk.pa;
	t->page = t->walk.page;
	psc_fill_all(m, start, &t->walk);
	return 0;
}

static uint64_t entry_pa(const struct tlb_entry *e, uint64_t va)
{
	return e->pa + (va & (fl_page_bytes((enum fl_page)e->page) - 1));
}

/* Grant an access at @va by @e, found in level @l. */
static void grant(struct fl_mmu *m, uint32_t l, struct tlb_array *a, struct tlb_entry *e,
    uint64_t va, struct fl_translation *t)
{
	tlb_used(a, e, m->head.clock);
	t->pa = entry_pa(e, va);
	t->page = (enum fl_page)e->whole;
	t->hit_level = l + 1;
	if (l)
		fill(m, &m->level[0], va, e);
	else
		fast_set(m, va, a, e);
}

/* The first write by @e, in level @l: the walk sets the page's dirty bit. If the table says what
 * the entry says, the entry stays where it is, in its place in the order of replacement. */
static int first_write(struct fl_mmu *m, uint32_t l, struct tlb_array *a, struct tlb_entry *e,
    uint64_t va, struct fl_translation *t)
{
	int err = walk(m, va, FL_ACCESS_WRITE, t);

	m->counts.dirty_walks++;
	if (err)
		return err;
	if (t->pa != entry_pa(e, va) || t->walk.page != (enum fl_page)e->whole ||
	    t->walk.prot != e->prot) {
		mmu_drop_page(m, va, m->asid);
		fill_all(m, &t->walk);
		return 0;
	}
	for (uint32_t i = 0; i < m->nr_levels; i++) {
		struct tlb_array *other_array;
		struct tlb_entry *other = tlb_find(&m->level[i], va, m->asid, &other_array);

		if (other && entry_pa(other, va) == t->pa)
			other->is_dirty = true;
	}
	grant(m, l, a, e, va, t);
	return 0;
}

/* @e, found in level @l, decides on the access, or a walk where it does not suffice. */
static int hit(struct fl_mmu *m, uint32_t l, struct tlb_array *a, struct tlb_entry *e, uint64_t va,
    enum fl_access access, struct fl_translation *t)
{
	if (prot_denies(e->prot, access, m->mode) != FL_FAULT_NONE) {
		int err;

		mmu_drop_page(m, va, m->asid);
		err = walk(m, va, access, t);
		if (!err)
			fill_all(m, &t->walk);
		return err;
	}
	if (access == FL_ACCESS_WRITE && !e->is_dirty)
		return first_write(m, l, a, e, va, t);
	grant(m, l, a, e, va, t);
	return 0;
}

/* As fl_mmu_translate(), with @t not NULL. */
static int translate(struct fl_mmu *m, uint64_t va, enum fl_access access, struct fl_translation *t)
{
	int err;

	t->fault = (struct fl_fault){.va = va, .access = access, .mode = m->mode};
	t->walk.nr_steps = 0;
	t->first_step = t->hit_level = 0;
	if (!m->has_space)
		return -EINVAL;
	if (!fl_is_canonical(va)) {
		m->counts.faults++;
		t->fault = fault_non_canonical(va, access, m->mode);
		return -EFAULT;
	}
	m->head.clock++;
	for (uint32_t l = 0; l < m->nr_levels; l++) {
		struct tlb_array *a;
		struct tlb_entry *e = tlb_find(&m->level[l], va, m->asid, &a);

		if (e) {
			m->level[l].counts.hits++;
			return hit(m, l, a, e, va, access, t);
		}
		m->level[l].counts.misses++;
	}
	err = walk(m, va, access, t);
	if (!err)
		fill_all(m, &t->walk);
	return err;
}

int fl_mmu_translate(
    struct fl_mmu *m, uint64_t va, enum fl_access access, struct fl_translation *ret)
{
	struct fl_translation t;

	return translate(m, va, access, ret ? ret : &t);
}

/* The physical addresses of both parts of [@va, @va + @bytes), the first @first long. Return: 0, or
 * why not, with ret->fault. */
static int translate_parts(struct fl_mmu *m, uint64_t va, size_t first, size_t bytes,
    enum fl_access access, uint64_t pa[2], struct fl_translation *ret)
{
	int err = translate(m, va, access, ret);

	pa[0] = ret->pa;
	if (err || first == bytes)
		return err;
	err = translate(m, va + first, access, ret);
	pa[1] = ret->pa;
	return err;
}

/* Copy @bytes between @va and @to (a load), or @from (a store): one of them is NULL. */
static int copy_bytes(
    struct fl_mmu *m, uint64_t va, void *to, const void *from, size_t bytes, enum fl_access access)
{
	size_t first = MIN(bytes, PAGE_BYTES - (va & PAGE_MASK));
	struct fl_translation t;
	uint64_t pa[2] = {0, 0};
	int err;

	if (!bytes || bytes > PAGE_BYTES)
		return -EINVAL;
	/* After each fault from the start, as an instruction is: the handler may have changed all.
	 */
	for (int tries = 0;; tries++) {
		err = translate_parts(m, va, first, bytes, access, pa, &t);
		if (err != -EFAULT || !m->handler || tries == MAX_TRIES)
			break;
		err = m->handler(m, &t.fault, m->handler_context);
		if (err)
			break;
	}
	if (err)
		return err;
	for (int part = 0; part < 2; part++) {
		uint8_t *host = m->phys->bytes + pa[part];
		size_t at = part ? first : 0, len = part ? bytes - first : first;

		if (to)
			memcpy((uint8_t *)to + at, host, len);
		else
			memcpy(host, (const uint8_t *)from + at, len);
	}
	return 0;
}

int fl_load_slow(struct fl_mmu *mmu, uint64_t va, void *ret_bytes, size_t bytes)
{
	return copy_bytes(mmu, va, ret_bytes, NULL, bytes, FL_ACCESS_READ);
}

int fl_store_slow(struct fl_mmu *mmu, uint64_t va, const void *from, size_t bytes)
{
	return copy_bytes(mmu, va, NULL, from, bytes, FL_ACCESS_WRITE);
}

int fl_fetch(struct fl_mmu *mmu, uint64_t va, void *ret_bytes, size_t bytes)
{
	return copy_bytes(mmu, va, ret_bytes, NULL, bytes, FL_ACCESS_EXEC);
}
