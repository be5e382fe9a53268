// SPDX-License-Identifier: MIT
/* mremap in all its forms, at random. Where the kernel takes a range for more than one mapping it
 * answers EFAULT: then nothing has happened. */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "stress.h"

#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)
#define RW   (PROT_READ | PROT_WRITE)

static size_t bytes_of(uint32_t nr_pages)
{
	return (size_t)nr_pages * PAGE_BYTES;
}

/* Make all of it alike again, or hardly any area could be resized. */
bool op_normalise(struct worker *w, struct area *a)
{
	struct run all = {0, a->nr_pages};
	if (!run_cut(a, &all, ACCESS_NONE) || all.nr != a->nr_pages)
		return false;
	area_unlock(a);
	if (mprotect(a->base, bytes_of(a->nr_pages), RW) != 0 ||
	    madvise(a->base, bytes_of(a->nr_pages), MADV_KEEPONFORK) != 0 ||
	    madvise(a->base, bytes_of(a->nr_pages), MADV_DOFORK) != 0)
		die("mprotect, madvise of a whole area");
	memset(a->access, ACCESS_WRITE, a->nr_pages);
	memset(a->inherit, 0, a->nr_pages);
	run_check(w, a, random_run(w, a), "after it was made alike");
	return true;
}

/* Grow or shrink; growing may move. */
bool op_resize(struct worker *w, struct area *a)
{
	uint32_t nr = w->mean_pages / 2 + 1 + (uint32_t)random_below(&w->rng, w->mean_pages);
	uint32_t old = a->nr_pages;
	int flags = random_below(&w->rng, 4) == 0 ? 0 : MREMAP_MAYMOVE;
	if (a->has_holes)
		return false;
	area_unlock(a);
	void *got = mremap(a->base, bytes_of(old), bytes_of(nr), flags);
	if (got == MAP_FAILED && (errno == EFAULT || (errno == ENOMEM && flags == 0)))
		return false;
	if (got == MAP_FAILED)
		die("mremap");
	a->base = got;
	a->nr_pages = nr;
	if (nr > old) {
		/* The new pages are what the last one was. */
		area_renew(a, (struct run){old, nr - old}, VERSION_ZERO, a->access[old - 1]);
		memset(a->inherit + old, a->inherit[old - 1], nr - old);
		run_check(w, a, (struct run){old, nr - old}, "new by mremap");
	}
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
bool op_move(struct worker *w, struct area *a)
{
	size_t bytes = bytes_of(a->nr_pages);
	if (a->has_holes)
		return false;
	void *place = mmap(NULL, bytes, PROT_NONE, ANON, -1, 0);
	if (place == MAP_FAILED)
		die("mmap of a place to move to");
	void *got = mremap(a->base, bytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED, place);
	if (got == MAP_FAILED && errno == EFAULT)
		return give_back(place, bytes);
	if (got != place)
		die("mremap to a fixed place");
	a->base = got;
	run_check(w, a, random_run(w, a), "after a move");
	return true;
}

/* Over another area of ours, which keeps what is behind. */
bool op_move_over(struct worker *w, struct area *a)
{
	struct area *over = other_area(w, a);
	if (a->has_holes || over->has_holes || over->nr_pages < a->nr_pages)
		return false;
	area_unlock(over);
	void *got = mremap(a->base, bytes_of(a->nr_pages), bytes_of(a->nr_pages),
	    MREMAP_MAYMOVE | MREMAP_FIXED, over->base);
	if (got == MAP_FAILED && errno == EFAULT) {
		/* The place is unmapped before the kernel finds that out, or is not. */
		area_close(over);
		area_open(w, over);
		return false;
	}
	if (got != over->base)
		die("mremap over another area");
	area_forget(over, (struct run){0, a->nr_pages}, VERSION_NONE);
	run_check(w, over, (struct run){0, over->nr_pages}, "behind what was moved over it");
	area_close(over);
	area_open(w, over);
	a->base = got;
	run_check(w, a, random_run(w, a), "after a move over another area");
	return true;
}

/* A part of it, to the same pages of another area. */
bool op_move_part(struct worker *w, struct area *a)
{
	struct area *to = other_area(w, a);
	struct run r = random_run(w, a);
	if (r.nr > 32)
		r.nr = 32;
	if (r.first + r.nr > to->nr_pages)
		return false;
	if (!run_cut(a, &r, ACCESS_WRITE) || !run_cut(to, &r, ACCESS_NONE))
		return false;
	area_unlock(a);
	area_unlock(to);
	void *got = mremap(page_at(a, r.first), bytes_of(r.nr), bytes_of(r.nr),
	    MREMAP_MAYMOVE | MREMAP_FIXED, page_at(to, r.first));
	if (got != page_at(to, r.first))
		die("mremap of a part");
	for (uint32_t p = r.first; p < r.first + r.nr; p++) {
		page_verify(page_at(to, p), id_of(w, a, p), a->version[p], "a part, moved");
		to->inherit[p] = a->inherit[p];
		to->access[p] = ACCESS_WRITE;
		a->version[p] = VERSION_NONE;
	}
	a->has_holes = true;
	run_rewrite(w, to, r);
	run_check(w, to, r, "written after a part was moved there");
	return true;
}

/* To an address of its own choice, and so perhaps out of the pager's reach; grown, too. Another
 * area takes its place. */
bool op_move_away(struct worker *w, struct area *a)
{
	uint32_t nr = a->nr_pages + (uint32_t)random_below(&w->rng, 2) * 5;
	uintptr_t place = 0x200000000000 + (uintptr_t)w->index * 0x100000000;
	if (a->has_holes || nr > MAX_AREA_PAGES)
		return false;
	area_unlock(a);
	void *got = mremap(a->base, bytes_of(a->nr_pages), bytes_of(nr),
	    MREMAP_MAYMOVE | MREMAP_FIXED, (void *)place);
	if (got == MAP_FAILED && errno == EFAULT)
		return false;
	if (got == MAP_FAILED)
		die("mremap far away");
	a->base = got;
	if (nr > a->nr_pages)
		area_renew(a, (struct run){a->nr_pages, nr - a->nr_pages}, VERSION_ZERO,
		    a->access[a->nr_pages - 1]);
	a->nr_pages = nr;
	run_check(w, a, (struct run){0, nr}, "moved far away");
	run_rewrite(w, a, random_run(w, a));
	run_check(w, a, (struct run){0, nr}, "far away");
	area_close(a);
	area_open(w, a);
	return true;
}

/* The old place stays mapped, and is empty. */
bool op_dontunmap(struct worker *w, struct area *a)
{
	size_t bytes = bytes_of(a->nr_pages);
	uint32_t p = random_page(w, a);
	struct area old = {.base = a->base, .nr_pages = a->nr_pages};
	if (a->has_holes)
		return false;
	area_unlock(a);
	void *got = mremap(a->base, bytes, bytes, MREMAP_MAYMOVE | 4 /* MREMAP_DONTUNMAP */, NULL);
	if (got == MAP_FAILED && (errno == EFAULT || errno == EINVAL))
		return false;
	if (got == MAP_FAILED)
		die("mremap with MREMAP_DONTUNMAP");
	a->base = got;
	if (page_may(a, p, ACCESS_READ))
		page_verify(page_at(&old, p), id_of(w, a, p), VERSION_ZERO, "left by a move");
	if (page_may(a, p, ACCESS_WRITE))
		page_fill(page_at(&old, p), id_of(w, a, p), UINT32_MAX - 1);
	run_check(w, a, random_run(w, a), "after a move that left the mapping");
	page_check(w, a, p, "after a move that left the mapping");
	give_back(old.base, bytes);
	return true;
}
