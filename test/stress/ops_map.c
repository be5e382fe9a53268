// SPDX-License-Identifier: MIT
/* Mapping calls at random, but for mremap. After each the area says what every page must be. */
#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "stress.h"

#ifndef MADV_COLD
#define MADV_COLD    20
#define MADV_PAGEOUT 21
#endif
#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ  22
#define MADV_POPULATE_WRITE 23
#endif

#define ANON       (MAP_PRIVATE | MAP_ANONYMOUS)
#define RW         (PROT_READ | PROT_WRITE)
#define MAX_LOCKED 12u /* pages of an area; all together must stay below the RAM budget */

static const int prot_of[] = {PROT_NONE, PROT_READ, RW};

static size_t bytes_of(struct run r)
{
	return (size_t)r.nr * PAGE_BYTES;
}

static bool chance(struct worker *w, uint64_t one_in)
{
	return random_below(&w->rng, one_in) == 0;
}

bool op_dontneed(struct worker *w, struct area *a)
{
	struct run r = random_run(w, a);
	if (!run_cut(a, &r, ACCESS_NONE))
		return false;
	area_unlock(a); /* else EINVAL */
	if (madvise(page_at(a, r.first), bytes_of(r), MADV_DONTNEED) != 0)
		die("madvise");
	area_forget(a, r, VERSION_ZERO);
	if (chance(w, 2))
		run_check(w, a, r, "after MADV_DONTNEED");
	return true;
}

/* Until it is written again a page may be what it was or zeros, and change from one to the other.
 */
bool op_free(struct worker *w, struct area *a)
{
	struct run r = random_run(w, a);
	if (!run_cut(a, &r, ACCESS_WRITE))
		return false;
	area_unlock(a);
	if (madvise(page_at(a, r.first), bytes_of(r), MADV_FREE) != 0)
		die("madvise FREE");
	for (uint32_t p = r.first; p < r.first + r.nr; p++)
		if (chance(w, 2) && !page_is(page_at(a, p), id_of(w, a, p), a->version[p]))
			page_verify(page_at(a, p), id_of(w, a, p), 0, "after MADV_FREE");
	run_rewrite(w, a, r);
	run_check(w, a, r, "written after MADV_FREE");
	return true;
}

/* Advice that changes nothing a program could see. */
bool op_advise(struct worker *w, struct area *a)
{
	static const int advice[] = {MADV_WILLNEED, MADV_COLD, MADV_PAGEOUT, MADV_NORMAL,
	    MADV_RANDOM, MADV_SEQUENTIAL, MADV_DONTDUMP, MADV_DODUMP, MADV_NOHUGEPAGE};
	struct run r = random_run(w, a);
	int what = advice[random_below(&w->rng, sizeof(advice) / sizeof(*advice))];
	if (!run_cut(a, &r, ACCESS_NONE))
		return false;
	if (what == MADV_COLD || what == MADV_PAGEOUT)
		area_unlock(a); /* else EINVAL */
	if (madvise(page_at(a, r.first), bytes_of(r), what) != 0 && errno != EAGAIN)
		die("madvise with advice");
	if (chance(w, 2))
		run_check(w, a, r, "after advice");
	return true;
}

bool op_populate(struct worker *w, struct area *a)
{
	struct run r = random_run(w, a);
	bool is_write = chance(w, 2);
	if (!run_cut(a, &r, is_write ? ACCESS_WRITE : ACCESS_READ))
		return false;
	if (madvise(page_at(a, r.first), bytes_of(r),
	        is_write ? MADV_POPULATE_WRITE : MADV_POPULATE_READ) != 0)
		die("madvise POPULATE");
	run_check(w, a, r, "after MADV_POPULATE");
	return true;
}

static void protect(struct area *a, struct run r, enum access access)
{
	if (mprotect(page_at(a, r.first), bytes_of(r), prot_of[access]) != 0)
		die("mprotect");
	for (uint32_t p = r.first; p < r.first + r.nr; p++)
		a->access[p] = (uint8_t)access;
}

/* And back. */
bool op_protect(struct worker *w, struct area *a)
{
	struct run r = random_run(w, a);
	if (!run_cut(a, &r, ACCESS_NONE))
		return false;
	protect(a, r, chance(w, 3) ? ACCESS_NONE : ACCESS_READ);
	run_check(w, a, r, "while read-only");
	if (chance(w, 2)) {
		struct area *other = other_area(w, a);
		page_check(w, other, random_page(w, other), "beside mprotect");
	}
	protect(a, r, ACCESS_WRITE);
	if (chance(w, 2))
		page_rewrite(w, a, r.first);
	run_check(w, a, r, "after mprotect");
	return true;
}

/* For other operations to meet; and what was reserved without access becomes accessible. */
bool op_protect_for_good(struct worker *w, struct area *a)
{
	uint64_t dice = random_below(&w->rng, 8);
	struct run r = random_run(w, a);
	if (dice >= 6 && chance(w, 2))
		r = (struct run){0, a->nr_pages};
	if (!run_cut(a, &r, ACCESS_NONE))
		return false;
	protect(a, r, dice < 1 ? ACCESS_NONE : dice < 3 ? ACCESS_READ : ACCESS_WRITE);
	if (chance(w, 2))
		run_rewrite(w, a, r);
	run_check(w, a, r, "after mprotect for good");
	return true;
}

bool op_unmap_part(struct worker *w, struct area *a)
{
	struct run r = random_run(w, a);
	if (r.nr > a->nr_pages / 4 || !run_cut(a, &r, ACCESS_NONE))
		return false;
	area_unlock(a); /* only because we would lose count */
	if (munmap(page_at(a, r.first), bytes_of(r)) != 0)
		die("partial munmap");
	area_forget(a, r, VERSION_NONE);
	a->has_holes = true;
	return true;
}

/* Map into a hole, unless somebody else has taken the place. */
bool op_map_hole(struct worker *w, struct area *a)
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
	void *got = mmap(want, bytes_of(r), RW, ANON | MAP_FIXED_NOREPLACE, -1, 0);
	if (got == MAP_FAILED && errno == EEXIST)
		return false;
	if (got != want)
		die("mmap into a hole");
	area_renew(a, r, VERSION_ZERO, ACCESS_WRITE);
	run_check(w, a, r, "after mmap into a hole");
	return true;
}

static void map_over(struct area *a, struct run r, int more)
{
	void *want = page_at(a, r.first);
	if (mmap(want, bytes_of(r), RW, ANON | MAP_FIXED | more, -1, 0) != want)
		die("mmap over a mapping");
	area_renew(a, r, VERSION_ZERO, ACCESS_WRITE);
}

bool op_map_over(struct worker *w, struct area *a)
{
	struct run r = random_run(w, a);
	if (!run_cut(a, &r, ACCESS_NONE))
		return false;
	area_unlock(a);
	map_over(a, r, chance(w, 4) ? MAP_POPULATE : chance(w, 4) ? MAP_NORESERVE : 0);
	if (chance(w, 2))
		run_check(w, a, r, "after mmap over it");
	return true;
}

/* A file for a while. */
bool op_map_file_over(struct worker *w, struct area *a)
{
	struct run r = random_run(w, a);
	int fd;
	if (r.nr > 16)
		r.nr = 16;
	if (!run_cut(a, &r, ACCESS_NONE))
		return false;
	area_unlock(a);
	fd = memfd_create("stress-over", MFD_CLOEXEC);
	if (fd < 0 || ftruncate(fd, (off_t)bytes_of(r)) != 0)
		die("memfd_create");
	void *want = page_at(a, r.first);
	if (mmap(want, bytes_of(r), RW, MAP_PRIVATE | MAP_FIXED, fd, 0) != want)
		die("mmap of a file over a mapping");
	close(fd);
	area_renew(a, r, VERSION_ZERO, ACCESS_WRITE);
	run_check(w, a, r, "of a file");
	run_rewrite(w, a, r);
	run_check(w, a, r, "of a file, written");
	map_over(a, r, 0);
	run_check(w, a, r, "after mmap over a file");
	return true;
}

/* Executable for a while, and then something new: what was executable is never paged again. */
bool op_execute(struct worker *w, struct area *a)
{
	struct run r = random_run(w, a);
	if (r.nr > 16)
		r.nr = 16;
	if (!run_cut(a, &r, ACCESS_NONE))
		return false;
	area_unlock(a);
	if (mprotect(page_at(a, r.first), bytes_of(r), PROT_READ | PROT_EXEC) != 0)
		die("mprotect PROT_EXEC");
	for (uint32_t p = r.first; p < r.first + r.nr; p++)
		a->access[p] = ACCESS_READ;
	run_check(w, a, r, "while executable");
	protect(a, r, ACCESS_WRITE);
	run_rewrite(w, a, r);
	run_check(w, a, r, "after being executable");
	map_over(a, r, 0);
	return true;
}

/* What a forked child is to have of the pages. */
bool op_inherit(struct worker *w, struct area *a)
{
	static const struct {
		int advice;
		uint8_t without, with;
	} kinds[] = {{MADV_WIPEONFORK, 0, INHERIT_ZERO}, {MADV_DONTFORK, 0, INHERIT_NOT},
	    {MADV_KEEPONFORK, INHERIT_ZERO, 0}, {MADV_DOFORK, INHERIT_NOT, 0}};
	struct run r = random_run(w, a);
	uint64_t kind = random_below(&w->rng, 4);
	if (!run_cut(a, &r, ACCESS_NONE))
		return false;
	if (madvise(page_at(a, r.first), bytes_of(r), kinds[kind].advice) != 0)
		die("madvise about fork");
	for (uint32_t p = r.first; p < r.first + r.nr; p++)
		a->inherit[p] =
		    (uint8_t)((a->inherit[p] & ~kinds[kind].without) | kinds[kind].with);
	if (chance(w, 4))
		run_check(w, a, r, "after advice about fork");
	return true;
}

/* Stays until something unlocks it, as far as the limit and the RAM budget go. */
bool op_lock(struct worker *w, struct area *a)
{
	struct run r = random_run(w, a);
	uint32_t one_in = 1 + opt.threads * MAX_AREAS / 64; /* of the areas, or memory is full */
	if (r.nr > MAX_LOCKED)
		r.nr = MAX_LOCKED;
	if ((uint32_t)(a - w->areas) % one_in != 0 || !run_cut(a, &r, ACCESS_READ))
		return false;
	area_unlock(a);
	if (mlock(page_at(a, r.first), bytes_of(r)) != 0) {
		if (errno != ENOMEM && errno != EPERM && errno != EAGAIN)
			die("mlock");
		return false;
	}
	a->locked = r;
	unsigned char vec[MAX_LOCKED];
	if (mincore(page_at(a, r.first), bytes_of(r), vec) != 0)
		die("mincore of locked pages");
	for (uint32_t i = 0; i < r.nr; i++)
		if (!(vec[i] & 1))
			wrong(page_at(a, r.first + i), "locked and not resident");
	run_check(w, a, r, "locked");
	return true;
}

bool op_unlock(struct worker *w, struct area *a)
{
	struct run r = a->locked;
	if (r.nr == 0)
		return false;
	run_check(w, a, r, "still locked");
	area_unlock(a);
	run_check(w, a, r, "after munlock");
	return true;
}

/* The answer goes to a page of ours, which is paged itself. */
bool op_mincore(struct worker *w, struct area *a)
{
	struct run r = random_run(w, a);
	struct area *to = other_area(w, a);
	uint32_t p = random_page(w, to);
	if (!run_cut(a, &r, ACCESS_NONE) || !page_may(to, p, ACCESS_WRITE) || r.nr > PAGE_BYTES)
		return false;
	unsigned char *vec = (unsigned char *)page_at(to, p);
	if (mincore(page_at(a, r.first), bytes_of(r), vec) != 0)
		die("mincore");
	for (uint32_t i = 0; i < r.nr; i++)
		if (vec[i] > 1)
			wrong(vec + i, "not an answer of mincore");
	page_rewrite(w, to, p);
	return true;
}

bool op_msync(struct worker *w, struct area *a)
{
	struct run r = random_run(w, a);
	if (!run_cut(a, &r, ACCESS_NONE))
		return false;
	if (msync(page_at(a, r.first), bytes_of(r), chance(w, 2) ? MS_SYNC : MS_ASYNC) != 0)
		die("msync");
	run_check(w, a, r, "after msync");
	return true;
}

bool op_replace(struct worker *w, struct area *a)
{
	area_close(a);
	area_open(w, a);
	return true;
}
