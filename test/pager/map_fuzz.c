// SPDX-License-Identifier: MIT
/*
 * An ordinary program: every mapping call at random on two arenas, one mapped through libc, which
 * Faultline manages, and one by raw system calls, which it never sees. What the calls return and
 * what the memory then is, page by page, must be the same. Plain, the two are alike, and the test
 * tests itself.
 *
 *     map-fuzz OPERATIONS [SEED]
 *
 * Where the kernel's answer depends on whether it happened to merge two mappings (EFAULT of an
 * mremap across both), the call is not made on the managed arena.
 */
#include "map_pair.h"

static const int prots[] = {PROT_NONE, PROT_READ, PROT_READ | PROT_WRITE, PROT_READ | PROT_WRITE};

static struct range random_range(uint32_t most)
{
	struct range r = {.first = random_below(PAGES)};

	r.nr = 1 + random_below(most);
	if (r.nr > PAGES - r.first)
		r.nr = PAGES - r.first;
	return r;
}

static void op_write(void)
{
	struct range r = random_range(24);
	uint64_t stamp = random_next();

	say("write %u+%u", r.first, r.nr);
	for (uint32_t i = r.first; i < r.first + r.nr; i++)
		both_write(i, stamp + i);
}

static void op_map(void)
{
	static const int more[] = {0, 0, 0, MAP_NORESERVE, MAP_POPULATE, MAP_FIXED_NOREPLACE};
	struct range r = random_range(24);
	int prot = prots[random_below(4)], flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;

	flags |= more[random_below(6)];
	if (random_below(16) == 0)
		flags |= MAP_LOCKED, r.nr = r.nr > 8 ? 8 : r.nr;
	say("mmap %u+%u prot %d flags %#x", r.first, r.nr, prot, (unsigned)flags);
	BOTH(SYS_mmap, AT(r.first), BYTES(r.nr), prot, flags, -1, 0);
}

static void op_map_file(void)
{
	struct range r = random_range(4);
	int fd = random_below(4) ? file : -1;

	say("mmap %u+%u of file %d", r.first, r.nr, fd);
	BOTH(SYS_mmap, AT(r.first), BYTES(r.nr), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED,
	    fd, 0);
	if (random_below(4))
		return;
	compare_range(r);
	BOTH(SYS_mmap, AT(r.first), BYTES(r.nr), PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_FIXED | MAP_ANONYMOUS, -1, 0);
}

static void op_unmap(void)
{
	struct range r = random_range(12);
	size_t less = random_below(8) == 0 ? 100 : 0;

	say("munmap %u+%u less %zu", r.first, r.nr, less);
	BOTH(SYS_munmap, AT(r.first) + (random_below(16) == 0), BYTES(r.nr) - less, 0, 0, 0, 0);
}

static void op_protect(void)
{
	struct range r = random_range(random_below(4) ? 16 : PAGES);
	int prot = random_below(32) ? prots[random_below(4)] : 0x100;

	say("mprotect %u+%u %#x", r.first, r.nr, (unsigned)prot);
	BOTH(SYS_mprotect, AT(r.first), BYTES(r.nr), prot, 0, 0, 0);
}

/* Executable, the range leaves management; mapped anew, it is managed again. */
static void op_execute(void)
{
	struct range r = random_range(12);

	say("mprotect %u+%u executable", r.first, r.nr);
	BOTH(SYS_mprotect, AT(r.first), BYTES(r.nr), PROT_READ | PROT_EXEC, 0, 0, 0);
	compare_range(r);
	BOTH(SYS_mprotect, AT(r.first), BYTES(r.nr), PROT_READ | PROT_WRITE, 0, 0, 0);
	compare_range(r);
	BOTH(SYS_mmap, AT(r.first), BYTES(r.nr), PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_FIXED | MAP_ANONYMOUS, -1, 0);
}

static void op_advise(void)
{
	static const int advice[] = {MADV_DONTNEED, MADV_DONTNEED, MADV_WILLNEED, MADV_COLD,
	    MADV_PAGEOUT, MADV_PAGEOUT, MADV_DONTFORK, MADV_DOFORK, MADV_WIPEONFORK,
	    MADV_KEEPONFORK, MADV_NORMAL, MADV_RANDOM, MADV_SEQUENTIAL, MADV_DONTDUMP, MADV_DODUMP,
	    MADV_NOHUGEPAGE, 22 /* POPULATE_READ */, 23 /* POPULATE_WRITE */,
	    24 /* DONTNEED_LOCKED */, 999};
	struct range r = random_range(random_below(4) ? 16 : PAGES);
	int what = advice[random_below(sizeof(advice) / sizeof(*advice))];
	int odd = random_below(32) == 0;

	say("madvise %u+%u %d", r.first, r.nr, what);
	BOTH(SYS_madvise, AT(r.first) + odd, random_below(32) ? BYTES(r.nr) : 0, what, 0, 0, 0);
}

static void op_ask(void)
{
	static const int flags[] = {MS_SYNC, MS_ASYNC, MS_INVALIDATE, MS_SYNC | MS_ASYNC, 64};
	static unsigned char vec[PAGES];
	struct range r = random_range(PAGES);
	int sync = flags[random_below(5)];

	say("mincore, msync %u+%u %d", r.first, r.nr, sync);
	BOTH(SYS_mincore, AT(r.first) + (random_below(32) == 0), BYTES(r.nr), (long)vec, 0, 0, 0);
	BOTH(SYS_msync, AT(r.first), BYTES(r.nr), sync, 0, 0, 0);
}

static void op_lock(void)
{
	struct range r = random_range(8);
	int how = (int)random_below(6);

	say("lock %u+%u %d", r.first, r.nr, how);
	if (how == 0)
		BOTH(SYS_munlockall, 0, 0, 0, 0, 0, 0);
	else if (how == 1)
		BOTH(SYS_munlock, AT(r.first) + 5, BYTES(r.nr) - 5, 0, 0, 0, 0);
	else if (how == 2)
		BOTH(SYS_mlock2, AT(r.first), BYTES(r.nr), (long)random_below(3), 0, 0, 0);
	else
		BOTH(SYS_mlock, AT(r.first), BYTES(r.nr), 0, 0, 0, 0);
}

static void op_resize(void)
{
	struct range r = random_range(16);
	uint32_t nr = random_below(20);

	say("mremap %u+%u to %u pages", r.first, r.nr, nr);
	if (r.first + nr > PAGES)
		return;
	BOTH_REMAP(AT(r.first), BYTES(r.nr), BYTES(nr), 0, 0);
}

static void op_move(void)
{
	static const int variants[] = {MREMAP_MAYMOVE | MREMAP_FIXED, MREMAP_MAYMOVE | MREMAP_FIXED,
	    MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP, MREMAP_FIXED, 64};
	struct range r = random_range(16), to = random_range(16);
	int flags = variants[random_below(5)];
	uint32_t nr = random_below(2) ? r.nr : to.nr;

	say("mremap %u+%u to %u+%u flags %d", r.first, r.nr, to.first, nr, flags);
	if (to.first + nr > PAGES)
		return;
	/* The kernel unlocks all of a mapping of which a part is moved so. */
	if (flags & MREMAP_DONTUNMAP)
		BOTH(SYS_munlockall, 0, 0, 0, 0, 0, 0);
	BOTH_REMAP(AT(r.first), BYTES(r.nr), BYTES(nr), flags, AT(to.first));
}

/* To where nothing is managed, and back. */
static void op_move_out(void)
{
	struct range r = random_range(8);

	say("mremap %u+%u out and back", r.first, r.nr);
	if (BOTH_REMAP(
	        AT(r.first), BYTES(r.nr), BYTES(r.nr), MREMAP_MAYMOVE | MREMAP_FIXED, OUTSIDE))
		return;
	BOTH_REMAP(OUTSIDE, BYTES(r.nr), BYTES(r.nr), MREMAP_MAYMOVE | MREMAP_FIXED, AT(r.first));
	compare_range(r);
	BOTH(SYS_mmap, AT(r.first), BYTES(r.nr), PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_FIXED | MAP_ANONYMOUS, -1, 0);
}

/* So large that it cannot stay: wherever it goes, its pages go along. */
static void op_grow_away(void)
{
	struct range r = random_range(8);

	say("mremap %u+%u grown and moved", r.first, r.nr);
	BOTH(SYS_munlock, AT(r.first), BYTES(r.nr), 0, 0, 0, 0);
	if (both_grow_away(r))
		return;
	compare_range(r);
}

static void op_fork(void)
{
	say("fork");
	both_fork();
}

static const struct {
	uint32_t weight;
	void (*run)(void);
} operations[] = {{300, op_write}, {120, op_map}, {10, op_map_file}, {60, op_unmap},
    {120, op_protect}, {8, op_execute}, {150, op_advise}, {30, op_ask}, {60, op_lock},
    {60, op_resize}, {100, op_move}, {8, op_move_out}, {20, op_grow_away}, {4, op_fork}};

int main(int argc, char **argv)
{
	uint32_t nr = argc > 1 ? (uint32_t)atoi(argv[1]) : 5000;

	pair_open(argc > 2 ? strtoull(argv[2], NULL, 0) : (uint64_t)getpid());
	for (uint32_t i = 0; i < nr; i++) {
		uint32_t dice = random_below(1050), k = 0;

		while (dice >= operations[k].weight)
			dice -= operations[k++].weight;
		operations[k].run();
		if (i % 16 == 0)
			compare_range((struct range){0, PAGES});
	}
	compare_range((struct range){0, PAGES});
	pair_report(nr);
	return 0;
}
