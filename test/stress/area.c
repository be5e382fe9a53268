// SPDX-License-Identifier: MIT
/* Areas of one thread. `version`, `access` and `inherit` say what every page must be. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "stress.h"

#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)
#define RW   (PROT_READ | PROT_WRITE)

uint64_t *page_at(const struct area *a, uint32_t page)
{
	return a->base + (size_t)page * PAGE_WORDS;
}

struct page_id id_of(const struct worker *w, const struct area *a, uint32_t page)
{
	return (struct page_id){.owner = w->index, .area = a->serial, .page = page};
}

void area_forget(struct area *a, struct run r, uint32_t version)
{
	for (uint32_t p = r.first; p < r.first + r.nr; p++)
		a->version[p] = version;
}

void area_renew(struct area *a, struct run r, uint32_t version, enum access access)
{
	area_forget(a, r, version);
	for (uint32_t p = r.first; p < r.first + r.nr; p++) {
		a->access[p] = (uint8_t)access;
		a->inherit[p] = 0;
	}
}

bool page_may(const struct area *a, uint32_t p, enum access least)
{
	return a->version[p] != VERSION_NONE && a->access[p] >= least;
}

void page_rewrite(struct worker *w, struct area *a, uint32_t p)
{
	if (page_may(a, p, ACCESS_WRITE))
		page_fill(page_at(a, p), id_of(w, a, p), ++a->version[p]);
}

void page_check(struct worker *w, struct area *a, uint32_t p, const char *when)
{
	if (page_may(a, p, ACCESS_READ))
		page_verify(page_at(a, p), id_of(w, a, p), a->version[p], when);
}

void run_rewrite(struct worker *w, struct area *a, struct run r)
{
	for (uint32_t p = r.first; p < r.first + r.nr; p++)
		page_rewrite(w, a, p);
}

void run_check(struct worker *w, struct area *a, struct run r, const char *when)
{
	for (uint32_t p = r.first; p < r.first + r.nr; p++)
		page_check(w, a, p, when);
}

uint32_t random_page(struct worker *w, const struct area *a)
{
	return (uint32_t)random_below(&w->rng, a->nr_pages);
}

struct run random_run(struct worker *w, const struct area *a)
{
	uint32_t most = random_below(&w->rng, 8) == 0 ? a->nr_pages : 64;
	struct run r = {.first = random_page(w, a)};
	r.nr = 1 + (uint32_t)random_below(&w->rng, most);
	if (r.nr > a->nr_pages - r.first)
		r.nr = a->nr_pages - r.first;
	return r;
}

bool run_cut(const struct area *a, struct run *r, enum access least)
{
	uint32_t nr = 0;
	while (nr < r->nr && page_may(a, r->first + nr, least))
		nr++;
	r->nr = nr;
	return nr != 0;
}

struct area *other_area(struct worker *w, const struct area *a)
{
	uint32_t mine = (uint32_t)(a - w->areas);
	return &w->areas[(mine + 1 + random_below(&w->rng, MAX_AREAS - 1)) % MAX_AREAS];
}

void area_unlock(struct area *a)
{
	if (a->locked.nr != 0 &&
	    munlock(page_at(a, a->locked.first), (size_t)a->locked.nr * PAGE_BYTES) != 0)
		die("munlock");
	a->locked.nr = 0;
}

/* In the long run a third is not simply mapped: reserved without access, to be made accessible
 * piece by piece, or brought in by the call itself. */
void area_open(struct worker *w, struct area *a)
{
	uint64_t kind = opt.all ? random_below(&w->rng, 6) : 5;
	int prot = kind == 0 ? PROT_NONE : RW;
	int more = kind == 0 ? MAP_NORESERVE : kind == 1 ? MAP_POPULATE : 0;
	a->nr_pages = 1 + w->mean_pages / 2 + (uint32_t)random_below(&w->rng, w->mean_pages);
	a->serial = w->next_serial++;
	a->has_holes = false;
	a->locked.nr = 0;
	a->base = mmap(NULL, (size_t)a->nr_pages * PAGE_BYTES, prot, ANON | more, -1, 0);
	if (a->base == MAP_FAILED)
		die("mmap");
	area_renew(
	    a, (struct run){0, a->nr_pages}, VERSION_ZERO, kind == 0 ? ACCESS_NONE : ACCESS_WRITE);
	if (random_below(&w->rng, 4) != 0) /* or most of it stays untouched */
		run_rewrite(w, a, (struct run){0, a->nr_pages});
}

/* Only what is ours: a hole may be somebody else's mapping by now. */
void area_close(struct area *a)
{
	struct run r = {0, 0};
	for (r.first = 0; r.first < a->nr_pages; r.first += r.nr != 0 ? r.nr : 1) {
		r.nr = a->nr_pages - r.first;
		if (run_cut(a, &r, ACCESS_NONE) &&
		    munmap(page_at(a, r.first), (size_t)r.nr * PAGE_BYTES) != 0)
			die("munmap");
	}
	a->locked.nr = 0;
	a->base = NULL;
}

void area_open_all(struct worker *w)
{
	uint64_t pages = opt.footprint / PAGE_BYTES * 7 / 8 / opt.threads;
	w->mean_pages = (uint32_t)(pages / MAX_AREAS);
	w->file = w->disk = -1;
	for (uint32_t i = 0; i < MAX_AREAS; i++)
		area_open(w, &w->areas[i]);
}

void area_inherit_all(struct worker *w)
{
	w->file = w->disk = -1; /* the parent's */
	for (uint32_t i = 0; i < MAX_AREAS; i++) {
		struct area *a = &w->areas[i];
		a->locked.nr = 0;
		for (uint32_t p = 0; p < a->nr_pages; p++) {
			if (a->version[p] == VERSION_NONE || a->inherit[p] == 0)
				continue;
			a->version[p] = a->inherit[p] & INHERIT_NOT ? VERSION_NONE : VERSION_ZERO;
			a->has_holes |= a->version[p] == VERSION_NONE;
		}
	}
}

void area_verify_all(struct worker *w, const char *when)
{
	for (uint32_t i = 0; i < MAX_AREAS; i++)
		run_check(w, &w->areas[i], (struct run){0, w->areas[i].nr_pages}, when);
}
