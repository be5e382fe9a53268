// SPDX-License-Identifier: MIT
/* Two arenas to which the same is done; see map_pair.h. Nothing here calls malloc: its mappings
 * could take a hole in an arena. */
#include "map_pair.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#define GUARD  (64 * PAGE)
#define BIGGER (PAGES + 100)

int file;

struct arena {
	char *at, *outside;
};

static struct arena managed, plain;
static uint64_t rng, seed;
static char doing[160];
static uint32_t nr_skipped, nr_forks;
static bool is_child;

static sigjmp_buf jump;
static volatile sig_atomic_t fault_code;

static _Noreturn void fail(const char *format, ...)
{
	char text[400];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	fprintf(
	    stderr, "map-fuzz: seed %lu%s: %s: %s\n", seed, is_child ? ", child" : "", doing, text);
	_exit(1);
}

void say(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(doing, sizeof(doing), format, args);
	va_end(args);
	if (getenv("MAP_FUZZ_LOG"))
		fprintf(stderr, "%s\n", doing);
}

uint64_t random_next(void)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return rng;
}

uint32_t random_below(uint32_t n)
{
	return (uint32_t)((random_next() >> 20) % n);
}

/* The call by libc's function, or as a raw system call: what the preload library sees of it. */
static long call(bool by_libc, long nr, long a, long b, long c, long d, long e, long f)
{
	void *p = (void *)a;
	size_t len = (size_t)b;
	long r;

	errno = 0;
	if (!by_libc)
		r = syscall(nr, a, b, c, d, e, f);
	else if (nr == SYS_mmap)
		r = (long)mmap(p, len, (int)c, (int)d, (int)e, f);
	else if (nr == SYS_munmap)
		r = munmap(p, len);
	else if (nr == SYS_mprotect)
		r = mprotect(p, len, (int)c);
	else if (nr == SYS_madvise)
		r = madvise(p, len, (int)c);
	else if (nr == SYS_mremap)
		r = (long)mremap(p, len, (size_t)c, (int)d, (void *)e);
	else if (nr == SYS_mlock)
		r = mlock(p, len);
	else if (nr == SYS_munlock)
		r = munlock(p, len);
	else if (nr == SYS_mlock2)
		r = mlock2(p, len, (unsigned)c);
	else if (nr == SYS_munlockall)
		r = munlockall();
	else
		r = syscall(nr, a, b, c, d, e, f);
	return r == -1 ? -errno : r;
}

static long absolute(const struct arena *a, long at)
{
	return at >= OUTSIDE ? (long)a->outside + (at - OUTSIDE) : (long)a->at + at;
}

/* Half of the managed calls are raw too: the guard must bring them to the same end. */
static long call_managed(long nr, long a, long b, long c, long d, long e, long f)
{
	return call(nr == SYS_munlockall || random_below(4) != 0, nr, a, b, c, d, e, f);
}

static long relative(const struct arena *a, long result)
{
	char *p = (char *)result;

	if (result < 0 || result == 0)
		return result;
	if (p >= a->at && p < a->at + PAGES * PAGE)
		return p - a->at + 1;
	return OUTSIDE;
}

long both(long nr, long at, long b, long c, long d, long e, long f)
{
	long r1 = call(false, nr, absolute(&plain, at), b, c, d, e, f);
	long r2 = call_managed(nr, absolute(&managed, at), b, c, d, e, f);

	r1 = relative(&plain, r1);
	r2 = relative(&managed, r2);
	if (r1 != r2)
		fail("call %ld: %ld, not %ld (%s)", nr, r2, r1, strerror(r1 < 0 ? (int)-r1 : 0));
	return r1;
}

static bool is_mapped(const struct arena *a, long at)
{
	unsigned char vec;

	return !syscall(SYS_mincore, absolute(a, at) & ~(long)(PAGE - 1), PAGE, &vec);
}

long both_remap(long old, long old_len, long new_len, int flags, long to)
{
	bool is_ambiguous = is_mapped(&plain, old);
	long r1 = call(false, SYS_mremap, absolute(&plain, old), old_len, new_len, flags,
	    absolute(&plain, to), 0);

	if (r1 == -EFAULT && is_ambiguous) {
		nr_skipped++;
		/* As far as the kernel got: once more from a common state. */
		for (long at = 0; flags & MREMAP_FIXED && at < new_len && to < OUTSIDE; at += PAGE)
			if (!is_mapped(&plain, to + at))
				both(SYS_munmap, to + at, PAGE, 0, 0, 0, 0);
		return r1;
	}
	long r2 = call_managed(SYS_mremap, absolute(&managed, old), old_len, new_len, flags,
	    absolute(&managed, to), 0);
	if (r2 == -EFAULT && is_ambiguous && !flags && r1 == absolute(&plain, old) &&
	    new_len > old_len) {
		/* The kernel had merged the unmanaged ones only, and grew them in place. */
		nr_skipped++;
		call(false, SYS_munmap, r1 + old_len, new_len - old_len, 0, 0, 0, 0);
		return r2;
	}
	r1 = relative(&plain, r1);
	r2 = relative(&managed, r2);
	if (r1 != r2)
		fail("mremap: %ld, not %ld (%s)", r2, r1, strerror(r1 < 0 ? (int)-r1 : 0));
	return r1 < 0 ? r1 : 0;
}

static void on_signal(int sig, siginfo_t *si, void *uc)
{
	(void)uc;
	fault_code = sig * 16 + si->si_code;
	siglongjmp(jump, 1);
}

static uint64_t sum_of(const uint64_t *p)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < PAGE / 8; i++)
		sum = (sum ^ p[i]) * 0x9e3779b97f4a7c15ull;
	return sum;
}

/* Return: 0, or the signal that it led to. */
static int try_read(const char *at, uint64_t *ret_sum)
{
	*ret_sum = 0;
	if (sigsetjmp(jump, 1))
		return fault_code;
	*ret_sum = sum_of((const uint64_t *)at);
	return 0;
}

static int try_write(char *at, uint64_t stamp)
{
	if (sigsetjmp(jump, 1))
		return fault_code;
	((volatile uint64_t *)at)[stamp % 512] = stamp;
	((volatile uint64_t *)at)[stamp / 512 % 512] = ~stamp;
	return 0;
}

void both_write(uint32_t page, uint64_t stamp)
{
	int s1 = try_write(plain.at + page * PAGE, stamp);
	int s2 = try_write(managed.at + page * PAGE, stamp);

	if (s1 != s2)
		fail("write to page %u: signal %#x, not %#x", page, (unsigned)s2, (unsigned)s1);
}

static void compare_pages(const char *p1, const char *p2, uint32_t nr, uint32_t first)
{
	for (uint32_t i = 0; i < nr; i++) {
		uint64_t sum1, sum2;
		int s1 = try_read(p1 + i * PAGE, &sum1), s2 = try_read(p2 + i * PAGE, &sum2);

		if (s1 != s2)
			fail("page %u: signal %#x, not %#x", first + i, (unsigned)s2, (unsigned)s1);
		if (sum1 != sum2)
			fail("page %u: other bytes", first + i);
	}
}

void compare_range(struct range r)
{
	compare_pages(plain.at + r.first * PAGE, managed.at + r.first * PAGE, r.nr, r.first);
}

long both_grow_away(struct range r)
{
	char *p1 = plain.at + r.first * PAGE, *p2 = managed.at + r.first * PAGE;
	size_t len = r.nr * PAGE;
	bool is_ambiguous = is_mapped(&plain, AT(r.first));

	char *q1 = (char *)call(
	    false, SYS_mremap, (long)p1, (long)len, BYTES(BIGGER), MREMAP_MAYMOVE, 0, 0);
	if ((long)q1 == -EFAULT && is_ambiguous) {
		nr_skipped++;
		return -EFAULT;
	}
	char *q2 = (char *)call_managed(
	    SYS_mremap, (long)p2, (long)len, BYTES(BIGGER), MREMAP_MAYMOVE, 0, 0);
	if (((long)q1 < 0 || (long)q2 < 0) && q1 != q2)
		fail("mremap that grows: %ld, not %ld", (long)q2, (long)q1);
	if ((long)q1 < 0)
		return (long)q1;
	compare_pages(q1, q2, BIGGER, r.first);
	for (uint32_t i = 0; i < BIGGER; i += 7)
		if (try_write(q1 + i * PAGE, i) != try_write(q2 + i * PAGE, i))
			fail("write to what was grown");
	compare_pages(q1, q2, BIGGER, r.first);
	int flags = MREMAP_MAYMOVE | MREMAP_FIXED;
	if ((char *)call(
	        false, SYS_mremap, (long)q1, BYTES(BIGGER), (long)len, flags, (long)p1, 0) != p1)
		fail("the kernel does not take it back: %s", strerror(errno));
	if ((char *)call_managed(
	        SYS_mremap, (long)q2, BYTES(BIGGER), (long)len, flags, (long)p2, 0) != p2)
		fail("mremap back: %s", strerror(errno));
	return 0;
}

void both_fork(void)
{
	int status;

	compare_range((struct range){0, PAGES});
	pid_t pid = fork();
	if (pid < 0)
		fail("fork: %s", strerror(errno));
	if (!pid) {
		is_child = true;
		for (int round = 0; round < 2; round++) {
			compare_range((struct range){0, PAGES});
			for (uint32_t i = 0; i < PAGES; i += 3)
				both_write(i, random_next());
		}
		compare_range((struct range){0, PAGES});
		_exit(0);
	}
	if (waitpid(pid, &status, 0) != pid || status)
		fail("child: status %#x", (unsigned)status);
	nr_forks++;
	compare_range((struct range){0, PAGES});
}

/* @where: 0, or where the kernel places nothing by itself, not even in a hole. */
static void arena_open(struct arena *a, long where)
{
	const int anon = MAP_PRIVATE | MAP_ANONYMOUS;
	size_t all = PAGES * PAGE + 2 * GUARD;
	long p = call(!where, SYS_mmap, where, (long)all, PROT_NONE,
	    anon | (where ? MAP_FIXED_NOREPLACE : 0), -1, 0);
	long q = call(false, SYS_mmap, 0, BYTES(PAGES), PROT_NONE, anon, -1, 0);

	if (p < 0 || q < 0)
		fail("mmap: %s", strerror(errno));
	a->at = (char *)p + GUARD;
	a->outside = (char *)q;
	if (mprotect(a->at, PAGES * PAGE, PROT_READ | PROT_WRITE))
		fail("mprotect: %s", strerror(errno));
}

void pair_open(uint64_t s)
{
	struct sigaction act = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_NODEFER};
	static char page[PAGE];

	seed = s;
	rng = s * 0x9e3779b97f4a7c15ull + 1;
	sigaction(SIGSEGV, &act, NULL);
	sigaction(SIGBUS, &act, NULL);
	file = memfd_create("map-fuzz", 0);
	for (uint32_t i = 0; i < PAGES; i++) {
		memset(page, (int)i + 1, sizeof(page));
		if (write(file, page, sizeof(page)) != (ssize_t)sizeof(page))
			fail("memfd");
	}
	arena_open(&plain, 0x100000000000);
	arena_open(&managed, 0);
}

void pair_report(uint32_t nr)
{
	printf("%u operations, %u forks, %u not tried; managed at %#lx\n", nr, nr_forks, nr_skipped,
	    (unsigned long)managed.at);
}
