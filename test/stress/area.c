// SPDX-License-Identifier: MIT
/*
 * Areas of one thread, and the random operations on them. After each operation `version` says
 * what every page must hold.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "stress.h"

#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)
#define RW   (PROT_READ | PROT_WRITE)

struct run {
	uint32_t first, nr;
};

static uint64_t *page_at(const struct area *a, uint32_t page)
{
	return a->base + (size_t)page * PAGE_WORDS;
}

static struct page_id id_of(const struct worker *w, const struct area *a, uint32_t page)
{
	return (struct page_id){.owner = w->index, .area = a->serial, .page = page};
}

static void forget(struct area *a, struct run r, uint32_t version)
{
	for (uint32_t p = r.first; p < r.first + r.nr; p++)
		a->version[p] = version;
}

static void page_rewrite(struct worker *w, struct area *a, uint32_t p)
{
	if (a->version[p] == VERSION_NONE)
		return;
	page_fill(page_at(a, p), id_of(w, a, p), ++a->version[p]);
}

static void page_check(struct worker *w, struct area *a, uint32_t p, const char *when)
{
	if (a->version[p] != VERSION_NONE)
		page_verify(page_at(a, p), id_of(w, a, p), a->version[p], when);
}

static void run_check(struct worker *w, struct area *a, struct run r, const char *when)
{
	for (uint32_t p = r.first; p < r.first + r.nr; p++)
		page_check(w, a, p, when);
}

/* A random run of pages, mostly short. */
static struct run random_run(struct worker *w, const struct area *a)
{
	uint32_t most = random_below(&w->rng, 8) == 0 ? a->nr_pages : 64;
	struct run r = {.first = (uint32_t)random_below(&w->rng, a->nr_pages)};
	r.nr = 1 + (uint32_t)random_below(&w->rng, most);
	if (r.nr > a->nr_pages - r.first)
		r.nr = a->nr_pages - r.first;
	return r;
}

/* Cut @r at its first hole. Return: whether anything is left. */
static bool cut_at_hole(const struct area *a, struct run *r)
{
	uint32_t nr = 0;
	while (nr < r->nr && a->version[r->first + nr] != VERSION_NONE)
		nr++;
	r->nr = nr;
	return nr != 0;
}

static void area_open(struct worker *w, struct area *a)
{
	a->nr_pages = 1 + w->mean_pages / 2 + (uint32_t)random_below(&w->rng, w->mean_pages);
	a->serial = w->next_serial++;
	a->has_holes = false;
	a->base = mmap(NULL, (size_t)a->nr_pages * PAGE_BYTES, RW, ANON, -1, 0);
	if (a->base == MAP_FAILED)
		die("mmap");
	forget(a, (struct run){0, a->nr_pages}, VERSION_ZERO);
	if (random_below(&w->rng, 4) == 0)
		return; /* most of it stays untouched */
	for (uint32_t p = 0; p < a->nr_pages; p++)
		page_rewrite(w, a, p);
}

/* Only what is ours: a hole may be somebody else's mapping by now. */
static void area_close(struct area *a)
{
	struct run r = {0, 0};
	for (r.first = 0; r.first < a->nr_pages; r.first += r.nr != 0 ? r.nr : 1) {
		r.nr = a->nr_pages - r.first;
		if (cut_at_hole(a, &r) &&
		    munmap(page_at(a, r.first), (size_t)r.nr * PAGE_BYTES) != 0)
			die("munmap");
	}
	a->base = NULL;
}

static bool op_write(struct worker *w, struct area *a)
{
	uint32_t p = (uint32_t)random_below(&w->rng, a->nr_pages);
	if (random_below(&w->rng, 2) == 0)
		page_check(w, a, p, "before a write");
	page_rewrite(w, a, p);
	if (random_below(&w->rng, 4) == 0)
		page_check(w, a, p, "after a write");
	return true;
}

static bool op_verify(struct worker *w, struct area *a)
{
	page_check(w, a, (uint32_t)random_below(&w->rng, a->nr_pages), "at random");
	return true;
}

static bool op_fill_run(struct worker *w, struct area *a)
{
	struct run r = random_run(w, a);
	for (uint32_t p = r.first; p < r.first + r.nr; p++)
		page_rewrite(w, a, p);
	return true;
}

static bool op_verify_run(struct worker *w, struct area *a)
{
	run_check(w, a, random_run(w, a), "in a run");
	return true;
}

static bool op_dontneed(struct worker *w, struct area *a)
{
	struct run r = random_run(w, a);
	if (!cut_at_hole(a, &r))
		return false;
	if (madvise(page_at(a, r.first), (size_t)r.nr * PAGE_BYTES, MADV_DONTNEED) != 0)
		die("madvise");
	forget(a, r, VERSION_ZERO);
	if (random_below(&w->rng, 2) == 0)
		run_check(w, a, r, "after MADV_DONTNEED");
	return true;
}

static void protect(const struct area *a, struct run r, int prot)
{
	if (mprotect(page_at(a, r.first), (size_t)r.nr * PAGE_BYTES, prot) != 0)
		die("mprotect");
}

static bool op_protect(struct worker *w, struct area *a)
{
	struct run r = random_run(w, a);
	if (!cut_at_hole(a, &r))
		return false;
	if (random_below(&w->rng, 3) == 0) {
		protect(a, r, PROT_NONE);
	} else {
		protect(a, r, PROT_READ);
		run_check(w, a, r, "while read-only");
	}
	if (random_below(&w->rng, 2) == 0)
		op_verify(w, &w->areas[a == &w->areas[0] ? 1 : 0]);
	protect(a, r, RW);
	if (random_below(&w->rng, 2) == 0)
		page_rewrite(w, a, r.first);
	run_check(w, a, r, "after mprotect");
	return true;
}

static bool op_unmap_part(struct worker *w, struct area *a)
{
	struct run r = random_run(w, a);
	if (r.nr > a->nr_pages / 4 || !cut_at_hole(a, &r))
		return false;
	if (munmap(page_at(a, r.first), (size_t)r.nr * PAGE_BYTES) != 0)
		die("partial munmap");
	forget(a, r, VERSION_NONE);
	a->has_holes = true;
	return true;
}

/* Map into a hole, unless somebody else has taken the place. */
static bool op_map_hole(struct worker *w, struct area *a)
{
	struct run r = {0, 0};
	while (r.first < a->nr_pages && a->version[r.first] != VERSION_NONE)
		r.first++;
	while (r.first + r.nr < a->nr_pages && a->version[r.first + r.nr] == VERSION_NONE)
		r.nr++;
	if (r.nr == 0) {
		a->has_holes = false;
		return false;
	}
	void *want = page_at(a, r.first);
	void *got = mmap(want, (size_t)r.nr * PAGE_BYTES, RW, ANON | MAP_FIXED_NOREPLACE, -1, 0);
	if (got == MAP_FAILED && errno == EEXIST)
		return false;
	if (got != want)
		die("mmap into a hole");
	forget(a, r, VERSION_ZERO);
	run_check(w, a, r, "after mmap into a hole");
	return true;
}

static bool op_map_over(struct worker *w, struct area *a)
{
	struct run r = random_run(w, a);
	if (!cut_at_hole(a, &r))
		return false;
	void *want = page_at(a, r.first);
	if (mmap(want, (size_t)r.nr * PAGE_BYTES, RW, ANON | MAP_FIXED, -1, 0) != want)
		die("mmap over a mapping");
	forget(a, r, VERSION_ZERO);
	if (random_below(&w->rng, 2) == 0)
		run_check(w, a, r, "after mmap over it");
	return true;
}

/* Grow or shrink; growing may move. */
static bool op_resize(struct worker *w, struct area *a)
{
	uint32_t nr = w->mean_pages / 2 + 1 + (uint32_t)random_below(&w->rng, w->mean_pages);
	if (a->has_holes)
		return false;
	void *got = mremap(
	    a->base, (size_t)a->nr_pages * PAGE_BYTES, (size_t)nr * PAGE_BYTES, MREMAP_MAYMOVE);
	if (got == MAP_FAILED && errno == EFAULT)
		return false; /* more than one mapping: the kernel resizes only within one */
	if (got == MAP_FAILED)
		die("mremap");
	a->base = got;
	if (nr > a->nr_pages)
		forget(a, (struct run){a->nr_pages, nr - a->nr_pages}, VERSION_ZERO);
	a->nr_pages = nr;
	run_check(w, a, random_run(w, a), "after mremap");
	return true;
}

static bool give_back(void *place, size_t bytes)
{
	if (munmap(place, bytes) != 0)
		die("munmap of a place to move to");
	return false;
}

/* Move to a place found for it, over the mapping that keeps the place. */
static bool op_move(struct worker *w, struct area *a)
{
	size_t bytes = (size_t)a->nr_pages * PAGE_BYTES;
	if (a->has_holes)
		return false;
	void *place = mmap(NULL, bytes, PROT_NONE, ANON, -1, 0);
	if (place == MAP_FAILED)
		die("mmap of a place to move to");
	void *got = mremap(a->base, bytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED, place);
	if (got == MAP_FAILED && errno == EFAULT)
		return give_back(place, bytes); /* more than one mapping, and an older kernel */
	if (got != place)
		die("mremap to a fixed place");
	a->base = got;
	run_check(w, a, random_run(w, a), "after a move");
	return true;
}

static bool op_replace(struct worker *w, struct area *a)
{
	area_close(a);
	area_open(w, a);
	return true;
}

static int file_of(struct worker *w)
{
	if (w->file < 0)
		w->file = memfd_create("stress", MFD_CLOEXEC);
	if (w->file < 0)
		die("memfd_create");
	return w->file;
}

/* The kernel writes into the page: a system call that meets a missing page must not fail, fall
 * short, or be lost. In a forked child the file is the parent's too: each page has its place. */
static bool op_read_in(struct worker *w, struct area *a)
{
	uint64_t copy[PAGE_WORDS];
	uint32_t p = (uint32_t)random_below(&w->rng, a->nr_pages);
	off_t place = (off_t)getpid() * PAGE_BYTES;
	if (a->version[p] == VERSION_NONE)
		return false;
	page_fill(copy, id_of(w, a, p), a->version[p] + 1);
	if (pwrite(file_of(w), copy, PAGE_BYTES, place) != PAGE_BYTES)
		die("pwrite from the stack");
	if (pread(file_of(w), page_at(a, p), PAGE_BYTES, place) != PAGE_BYTES)
		die("pread into a page");
	a->version[p]++;
	page_check(w, a, p, "after pread");
	return true;
}

static bool op_write_out(struct worker *w, struct area *a)
{
	uint64_t copy[PAGE_WORDS];
	uint32_t p = (uint32_t)random_below(&w->rng, a->nr_pages);
	off_t place = (off_t)getpid() * PAGE_BYTES;
	if (a->version[p] == VERSION_NONE)
		return false;
	if (pwrite(file_of(w), page_at(a, p), PAGE_BYTES, place) != PAGE_BYTES)
		die("pwrite from a page");
	if (pread(file_of(w), copy, PAGE_BYTES, place) != PAGE_BYTES)
		die("pread to the stack");
	page_verify(copy, id_of(w, a, p), a->version[p], "as written to a file");
	return true;
}

/* How often, in 1000, and what. */
static const struct operation {
	enum op op;
	uint32_t weight;
	bool (*run)(struct worker *w, struct area *a); /* false: not possible just now */
} operations[] = {
    {OP_WRITE, 450, op_write},
    {OP_VERIFY, 270, op_verify},
    {OP_FILL_RUN, 40, op_fill_run},
    {OP_VERIFY_RUN, 50, op_verify_run},
    {OP_DONTNEED, 25, op_dontneed},
    {OP_PROTECT, 20, op_protect},
    {OP_UNMAP_PART, 15, op_unmap_part},
    {OP_MAP_HOLE, 25, op_map_hole},
    {OP_MAP_OVER, 15, op_map_over},
    {OP_RESIZE, 10, op_resize},
    {OP_MOVE, 10, op_move},
    {OP_REPLACE, 10, op_replace},
    {OP_READ_IN, 30, op_read_in},
    {OP_WRITE_OUT, 30, op_write_out},
};

void area_operate(struct worker *w)
{
	struct area *a = &w->areas[random_below(&w->rng, MAX_AREAS)];
	uint32_t dice = (uint32_t)random_below(&w->rng, 1000);
	const struct operation *o = operations;
	while (dice >= o->weight) {
		dice -= o->weight;
		o++;
	}
	if (!opt.io && (o->op == OP_READ_IN || o->op == OP_WRITE_OUT))
		return;
	if (o->run(w, a))
		w->nr[o->op]++;
}

void area_open_all(struct worker *w)
{
	uint64_t pages = opt.footprint / PAGE_BYTES * 7 / 8 / opt.threads;
	w->mean_pages = (uint32_t)(pages / MAX_AREAS);
	w->file = -1;
	for (uint32_t i = 0; i < MAX_AREAS; i++)
		area_open(w, &w->areas[i]);
}

void area_verify_all(struct worker *w, const char *when)
{
	for (uint32_t i = 0; i < MAX_AREAS; i++)
		run_check(w, &w->areas[i], (struct run){0, w->areas[i].nr_pages}, when);
}
