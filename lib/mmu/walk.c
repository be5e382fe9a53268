// SPDX-License-Identifier: MIT
/* The walk through the tables, as the hardware makes it; see faultline/mmu.h and walk.h. */
#include "mmu/walk.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

enum { CODE_PRESENT = 1, CODE_WRITE = 2, CODE_USER = 4, CODE_RESERVED = 8, CODE_FETCH = 16 };

const char *fl_fault_name(enum fl_fault_kind kind)
{
	static const char *const names[] = {
	    [FL_FAULT_NONE] = "no fault",
	    [FL_FAULT_NOT_PRESENT] = "not present",
	    [FL_FAULT_READ_ONLY] = "write to read-only",
	    [FL_FAULT_NO_EXECUTE] = "execute of no-execute",
	    [FL_FAULT_SUPERVISOR] = "user access to supervisor page",
	    [FL_FAULT_NON_CANONICAL] = "non-canonical address",
	    [FL_FAULT_RESERVED] = "entry points outside physical memory",
	};

	return (size_t)kind < ARRAY_LEN(names) ? names[kind] : "unknown fault";
}

uint32_t fault_code(enum fl_fault_kind kind, enum fl_access access, enum fl_mode mode)
{
	uint32_t code = 0;

	if (kind == FL_FAULT_NONE || kind == FL_FAULT_NON_CANONICAL)
		return 0;
	if (kind != FL_FAULT_NOT_PRESENT)
		code |= CODE_PRESENT;
	if (kind == FL_FAULT_RESERVED)
		code |= CODE_RESERVED;
	if (access == FL_ACCESS_WRITE)
		code |= CODE_WRITE;
	if (access == FL_ACCESS_EXEC)
		code |= CODE_FETCH;
	if (mode == FL_MODE_USER)
		code |= CODE_USER;
	return code;
}

struct fl_fault fault_non_canonical(uint64_t va, enum fl_access access, enum fl_mode mode)
{
	return (struct fl_fault){
	    .va = va, .kind = FL_FAULT_NON_CANONICAL, .access = access, .mode = mode};
}

enum fl_fault_kind prot_denies(uint32_t prot, enum fl_access access, enum fl_mode mode)
{
	if (mode == FL_MODE_USER && !(prot & FL_USER))
		return FL_FAULT_SUPERVISOR;
	if (access == FL_ACCESS_WRITE && !(prot & FL_WRITE))
		return FL_FAULT_READ_ONLY;
	if (access == FL_ACCESS_EXEC && !(prot & FL_EXEC))
		return FL_FAULT_NO_EXECUTE;
	return FL_FAULT_NONE;
}

uint32_t entry_grants(uint64_t entry)
{
	return FL_READ | (entry & PTE_WRITE ? FL_WRITE : 0) | (entry & PTE_USER ? FL_USER : 0) |
	       (entry & PTE_NX ? 0 : FL_EXEC);
}

/* Entry @index of the table at frame @table, or of whatever bytes are there now. */
static uint64_t read_entry(const struct fl_phys *phys, uint64_t table, unsigned index)
{
	uint64_t entry;

	if (phys->info[table].table)
		return *table_entry(phys, table, index);
	memcpy(&entry, phys->bytes + table * PAGE_BYTES + index * sizeof(entry), sizeof(entry));
	return entry;
}

/* Whether all that @entry at @level points to lies in physical memory. */
static bool is_inside(const struct fl_phys *phys, uint64_t entry, uint32_t level)
{
	uint64_t nr = is_leaf(entry, level) ? page_frames((enum fl_page)(level - 1)) : 1;
	uint64_t frame = pte_payload(entry);

	if (level == ROOT_LEVEL && entry & PTE_LARGE)
		return false; /* there are no 512 GiB pages: a reserved bit */
	return frame % nr == 0 && frame < phys->nr_frames && nr <= phys->nr_frames - frame;
}

static void set_fault(struct fl_walk *walk, enum fl_fault_kind kind, uint32_t level)
{
	struct fl_fault *fault = &walk->fault;

	fault->kind = kind;
	fault->level = level;
	fault->code = fault_code(kind, fault->access, fault->mode);
}

/* Read the entries down to the page, or to the first that is not to be followed. Return: whether
 * there is a page; then ->prot is what this walk and @prot grant. */
static bool read_entries(const struct fl_phys *phys, struct walk_start start, struct fl_walk *walk)
{
	uint64_t table = start.table;

	walk->prot = start.prot;
	for (uint32_t level = start.level;; level--) {
		unsigned index = va_index(walk->va, level);
		uint64_t entry = read_entry(phys, table, index);

		walk->step[walk->nr_steps++] = (struct fl_walk_step){
		    level, index, table * PAGE_BYTES + index * sizeof(entry), entry};
		if (!(entry & PTE_PRESENT)) {
			set_fault(walk, FL_FAULT_NOT_PRESENT, level);
			return false;
		}
		if (!is_inside(phys, entry, level)) {
			set_fault(walk, FL_FAULT_RESERVED, level);
			return false;
		}
		walk->prot &= entry_grants(entry);
		table = pte_payload(entry);
		if (is_leaf(entry, level)) {
			uint64_t offset = walk->va & (level_bytes(level) - 1);

			walk->pa = table * PAGE_BYTES + offset;
			walk->page = (enum fl_page)(level - 1);
			walk->prot |= entry & PTE_GLOBAL ? FL_GLOBAL : 0;
			return true;
		}
	}
}

/* The level that denies: nearest the root; above the first step, a cache remembered it. */
static uint32_t denying_level(const struct fl_walk *walk, enum fl_fault_kind kind)
{
	for (uint32_t i = 0; i < walk->nr_steps; i++)
		if (prot_denies(entry_grants(walk->step[i].entry), walk->fault.access,
		        walk->fault.mode) == kind)
			return walk->step[i].level;
	return walk->step[0].level + 1;
}

/* Set accessed bits all the way, and the dirty bit of a page that is written. */
static void mark(struct fl_phys *phys, struct fl_walk *walk)
{
	for (uint32_t i = 0; i < walk->nr_steps; i++) {
		struct fl_walk_step *step = &walk->step[i];
		uint64_t want = PTE_ACCESSED;

		if (i == walk->nr_steps - 1 && walk->fault.access == FL_ACCESS_WRITE)
			want |= PTE_DIRTY;
		if ((step->entry & want) == want)
			continue;
		if (phys->info[step->pa >> PAGE_SHIFT].table)
			*table_entry(phys, step->pa >> PAGE_SHIFT, step->index) |= want;
		walk->nr_marks++;
	}
}

int walk_tables(struct fl_phys *phys, struct walk_start start, uint64_t va, enum fl_access access,
    enum fl_mode mode, bool is_marking, struct fl_walk *ret)
{
	enum fl_fault_kind kind;
	uint64_t last;

	*ret = (struct fl_walk){.va = va, .fault = {.va = va, .access = access, .mode = mode}};
	if (!read_entries(phys, start, ret))
		return -EFAULT;
	last = ret->step[ret->nr_steps - 1].entry;
	ret->is_dirty = last & PTE_DIRTY || (is_marking && access == FL_ACCESS_WRITE);
	kind = prot_denies(ret->prot, access, mode);
	if (kind != FL_FAULT_NONE) {
		set_fault(ret, kind, denying_level(ret, kind));
		/* Only if the page's own entry is all that stands against it can a copy help. */
		ret->fault.is_cow = kind == FL_FAULT_READ_ONLY && last & PTE_COW_WRITE &&
		                    ret->fault.level == ret->page + 1u;
		return -EFAULT;
	}
	if (is_marking)
		mark(phys, ret);
	return 0;
}

static int translate(const struct fl_space *space, uint64_t va, enum fl_access access,
    enum fl_mode mode, bool is_marking, struct fl_walk *ret)
{
	if (!fl_is_canonical(va)) {
		*ret = (struct fl_walk){.va = va, .fault = fault_non_canonical(va, access, mode)};
		return -EFAULT;
	}
	return walk_tables(space->phys, walk_from_root(space), va, access, mode, is_marking, ret);
}

int fl_space_translate(struct fl_space *space, uint64_t va, enum fl_access access,
    enum fl_mode mode, struct fl_walk *ret)
{
	return translate(space, va, access, mode, true, ret);
}

int fl_space_walk(const struct fl_space *space, uint64_t va, enum fl_access access,
    enum fl_mode mode, struct fl_walk *ret)
{
	return translate(space, va, access, mode, false, ret);
}

/* A text that is being written, as far as there is room, and how long it would be. */
struct text {
	char *buf;
	size_t bytes;
	size_t len;
};

__attribute__((format(printf, 2, 3))) static void add(struct text *t, const char *format, ...)
{
	size_t at = MIN(t->len, t->bytes);
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(t->buf + at, t->bytes - at, format, args);
	va_end(args);
	t->len += n > 0 ? (size_t)n : 0;
}

static void add_flags(struct text *t, uint64_t entry, uint32_t level)
{
	add(t, " %c%c%c%c%c", entry & PTE_PRESENT ? 'P' : '-', entry & PTE_WRITE ? 'W' : '-',
	    entry & PTE_USER ? 'U' : '-', entry & PTE_NX ? '-' : 'X',
	    entry & PTE_ACCESSED ? 'A' : '-');
	add(t, "%c%c%c", is_leaf(entry, level) && entry & PTE_DIRTY ? 'D' : '-',
	    entry & PTE_GLOBAL ? 'G' : '-', entry & PTE_COW ? 'C' : '-');
}

static void add_step(struct text *t, const struct fl_walk_step *step)
{
	add(t, "  L%u[%3u] at 0x%010llx: 0x%016llx", step->level, step->index,
	    (unsigned long long)step->pa, (unsigned long long)step->entry);
	if (!step->entry) {
		add(t, "  nothing there\n");
		return;
	}
	add_flags(t, step->entry, step->level);
	if (!(step->entry & PTE_PRESENT)) {
		add(t, "  no access\n");
		return;
	}
	add(t, "  -> %s frame 0x%llx\n",
	    !is_leaf(step->entry, step->level) ? "table in"
	    : step->level == 1                 ? "page in"
	    : step->level == 2                 ? "2 MiB page from"
	                                       : "1 GiB page from",
	    (unsigned long long)pte_payload(step->entry));
}

int fl_walk_format(const struct fl_walk *walk, char *buf, size_t bytes)
{
	struct text t = {.buf = buf, .bytes = bytes};

	for (uint32_t i = 0; i < walk->nr_steps && i < ARRAY_LEN(walk->step); i++)
		add_step(&t, &walk->step[i]);
	if (walk->fault.kind == FL_FAULT_NONE)
		add(&t, "  0x%016llx -> physical 0x%010llx\n", (unsigned long long)walk->va,
		    (unsigned long long)walk->pa);
	else if (walk->fault.level)
		add(&t, "  0x%016llx -> fault at level %u: %s (error code %u)\n",
		    (unsigned long long)walk->va, walk->fault.level,
		    fl_fault_name(walk->fault.kind), walk->fault.code);
	else
		add(&t, "  0x%016llx -> fault: %s\n", (unsigned long long)walk->va,
		    fl_fault_name(walk->fault.kind));
	return (int)t.len;
}
