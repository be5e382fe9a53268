// SPDX-License-Identifier: MIT
/*
 * The pager alone, without preload library and guard: real faults from several threads on memory
 * mapped through pager_mmap(), every page stamped and verified, mapping calls and forks going on,
 * a consistency walk at the end.
 *
 *     live ENGINE POLICY RECLAIM SECONDS THREADS [SEED [COMPRESS]]
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#include "base/sys.h"
#include "base/types.h"
#include "pager/pager.h"

#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif

#define RAM_PAGES  1024u
#define AREA_PAGES 1024u /* per thread */

static _Atomic int stop;
static _Atomic uint64_t nr_wrong, nr_checked;
static uint64_t seed = 1;

static void on_fault(int sig, void *si_, void *uc_)
{
	siginfo_t *si = si_;
	ucontext_t *uc = uc_;
	int saved = errno;
	enum access access = access_of((unsigned long)uc->uc_mcontext.gregs[REG_ERR]);

	if (!in_window((uintptr_t)si->si_addr) ||
	    pager_fault((uintptr_t)si->si_addr, access) != FAULT_DONE) {
		fprintf(stderr, "live: wild fault (signal %d) at %p\n", sig, si->si_addr);
		_exit(1);
	}
	errno = saved;
}

struct area {
	uint64_t *at;
	uint32_t version[AREA_PAGES]; /* 0: reads as zeros */
	uint32_t nr;
	uint64_t rng;
	uint32_t id;
};

static uint32_t rnd(struct area *a, uint32_t n)
{
	a->rng ^= a->rng << 13;
	a->rng ^= a->rng >> 7;
	a->rng ^= a->rng << 17;
	return (uint32_t)((a->rng >> 20) % n);
}

static uint64_t word(struct area *a, uint32_t page, uint32_t i)
{
	uint64_t v = a->version[page];
	uint64_t x = (v << 40 | (uint64_t)a->id << 32 | page) * 0x9e3779b97f4a7c15ull + i;

	/* Counting numbers compress well. Every other area's pages do not, but for some of them. */
	if (a->id % 2 && page % 8)
		x = (x ^ x >> 29) * 0xbf58476d1ce4e5b9ull, x ^= x >> 32;
	return v ? x : 0;
}

static void verify(struct area *a, uint32_t page)
{
	uint64_t *p = a->at + page * 512u;

	for (uint32_t i = 0; i < 512; i += 37)
		if (p[i] != word(a, page, i)) {
			if (atomic_fetch_add(&nr_wrong, 1) < 5)
				fprintf(stderr, "live: area %u page %u word %u: %lx, not %lx\n",
				    a->id, page, i, p[i], word(a, page, i));
			return;
		}
	atomic_fetch_add(&nr_checked, 1);
}

static void stamp(struct area *a, uint32_t page)
{
	uint64_t *p = a->at + page * 512u;

	a->version[page]++;
	for (uint32_t i = 0; i < 512; i++)
		p[i] = word(a, page, i);
}

static void check(long r, const char *what)
{
	if (r < 0) {
		fprintf(stderr, "live: %s: %s\n", what, strerror((int)-r));
		_exit(1);
	}
}

static void mapping_call(struct area *a)
{
	uint32_t from = rnd(a, a->nr), nr = 1 + rnd(a, MIN(64u, a->nr - from));
	uintptr_t addr = (uintptr_t)(a->at + from * 512u);
	size_t len = nr * PAGE_BYTES;

	switch (rnd(a, 9)) {
	case 0:
		check(pager_madvise(addr, len, MADV_DONTNEED), "madvise");
		break;
	case 1:
		check(pager_munmap(addr, len), "munmap");
		check(pager_mmap(addr, len, PROT_READ | PROT_WRITE,
		          MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0),
		    "mmap");
		break;
	case 2:
		check(pager_mprotect(addr, len, rnd(a, 2) ? PROT_NONE : PROT_READ), "mprotect");
		check(pager_mprotect(addr, len, PROT_READ | PROT_WRITE), "mprotect back");
		return;
	case 3: { /* shrink and grow again, perhaps elsewhere */
		size_t all = a->nr * PAGE_BYTES, less = all - len;
		long p = pager_mremap((uintptr_t)a->at, all, less, 0, 0);

		if (less == 0)
			return;
		check(p, "mremap shrink");
		p = pager_mremap((uintptr_t)a->at, less, all, MREMAP_MAYMOVE, 0);
		check(p, "mremap grow");
		a->at = (uint64_t *)p;
		from = a->nr - nr;
		break;
	}
	case 4: /* what changes nothing that can be seen */
		check(pager_madvise(addr, len, MADV_PAGEOUT), "madvise pageout");
		check(pager_madvise(addr, len, MADV_WILLNEED), "madvise willneed");
		return;
	case 5: {
		long err = pager_mlock(addr, len, 0);
		unsigned char vec[64];

		/* Not all threads' locks fit at a time. */
		if (err != -ENOMEM)
			check(err, "mlock");
		check(pager_mincore(addr, len, vec), "mincore");
		for (uint32_t i = 0; i < nr; i++) {
			if (!err && !vec[i])
				check(-EAGAIN, "locked, and not resident");
			verify(a, from + i);
		}
		check(pager_munlock(addr, len), "munlock");
		return;
	}
	case 6: { /* the old place stays, and is empty */
		uintptr_t old = (uintptr_t)a->at;
		size_t all = a->nr * PAGE_BYTES;
		long p = pager_mremap(old, all, all, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, 0);

		check(p, "mremap dontunmap");
		if (*(uint64_t *)(old + from * PAGE_BYTES + 8))
			check(-EIO, "mremap dontunmap: not empty");
		check(pager_munmap(old, all), "munmap");
		a->at = (uint64_t *)p;
		return;
	}
	default: { /* move */
		size_t all = a->nr * PAGE_BYTES;
		long to =
		    pager_mmap(0, all, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		check(to, "mmap");
		long p = pager_mremap(
		    (uintptr_t)a->at, all, all, MREMAP_MAYMOVE | MREMAP_FIXED, (uintptr_t)to);
		check(p, "mremap move");
		a->at = (uint64_t *)p;
		return;
	}
	}
	memset(a->version + from, 0, nr * sizeof(*a->version));
}

static void *worker(void *arg)
{
	struct area *a = arg;
	uint32_t scan = 0;

	while (!atomic_load(&stop)) {
		uint32_t what = rnd(a, 1000), page = rnd(a, a->nr);

		if (what < 400)
			verify(a, page);
		else if (what < 600)
			stamp(a, page);
		else if (what < 998)
			for (uint32_t i = 0; i < 16; i++, scan = (scan + 1) % a->nr)
				what & 1 ? verify(a, scan) : stamp(a, scan);
		else
			mapping_call(a);
	}
	for (uint32_t i = 0; i < a->nr; i++)
		verify(a, i);
	return NULL;
}

static int try_fork(struct area *a)
{
	if (pager_fork_prepare())
		return -1;
	pid_t pid = fork();
	if (pid) {
		pager_fork_parent();
		return pid;
	}
	pager_fork_child();
	atomic_store(&nr_wrong, 0);
	for (uint32_t round = 0; round < 2; round++)
		for (uint32_t i = 0; i < a->nr; i++) {
			verify(a, i);
			stamp(a, i);
		}
	pager_check();
	_exit(atomic_load(&nr_wrong) ? 1 : 0);
}

int main(int argc, char **argv)
{
	struct pager_config config = {.ram_bytes = RAM_PAGES * PAGE_BYTES,
	    .min_map_bytes = PAGE_BYTES,
	    .swap_dir = "/var/tmp"};
	char why[256];

	if (argc < 6)
		return 2;
	strcpy(config.engine, argv[1]);
	strcpy(config.policy, argv[2]);
	strcpy(config.reclaim, argv[3]);
	int seconds = atoi(argv[4]), nr_threads = atoi(argv[5]);
	if (argc > 6)
		seed = strtoull(argv[6], NULL, 0);
	strcpy(config.compress, argc > 7 ? argv[7] : "auto");
	if (sys_gate_map() || pager_start(&config, why, sizeof(why))) {
		fprintf(stderr, "live: %s\n", why);
		return 1;
	}
	sys_signal_install(SIGBUS, on_fault, ~0ull, 0, NULL);
	sys_signal_install(SIGSEGV, on_fault, ~0ull, 0, NULL);

	/* The last area is the main thread's, who forks. */
	struct area *areas = calloc((size_t)nr_threads + 1, sizeof(*areas));
	pthread_t threads[64];
	for (int i = 0; i <= nr_threads; i++) {
		areas[i] = (struct area){.nr = AREA_PAGES,
		    .id = (uint32_t)i,
		    .rng = (seed + (uint64_t)i) * 0x2545f4914f6cdd1dull};
		areas[i].at = (uint64_t *)pager_mmap(0, AREA_PAGES * PAGE_BYTES,
		    PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	}
	for (int i = 0; i < nr_threads; i++)
		pthread_create(&threads[i], NULL, worker, &areas[i]);
	struct area *mine = &areas[nr_threads];
	uint64_t end = now_ns() + (uint64_t)seconds * 1000000000u;
	int nr_forks = 0;
	for (uint32_t i = 0; i < mine->nr; i++)
		stamp(mine, i);
	while (now_ns() < end) {
		int status = 0, pid = try_fork(mine);

		if (pid < 0 || waitpid(pid, &status, 0) != pid || status) {
			fprintf(stderr, "live: forked child: status %x\n", (unsigned)status);
			return 1;
		}
		nr_forks++;
		for (uint32_t i = 0; i < mine->nr; i++) {
			verify(mine, i);
			if (rnd(mine, 2))
				stamp(mine, i);
		}
		usleep(20000);
	}
	atomic_store(&stop, 1);
	for (int i = 0; i < nr_threads; i++)
		pthread_join(threads[i], NULL);
	pager_check();
	struct fl_process *p = pager_counters();
	printf("%s %s %s: %lu pages verified, %lu wrong, %d forks; minor %lu+%lu+%lu major %lu "
	       "evicted clean %lu dirty %lu zero %lu\n",
	    argv[1], argv[2], argv[3], atomic_load(&nr_checked), atomic_load(&nr_wrong), nr_forks,
	    atomic_load(&p->minor_zero), atomic_load(&p->minor_refill),
	    atomic_load(&p->minor_write), atomic_load(&p->major), atomic_load(&p->evict_clean),
	    atomic_load(&p->evict_dirty), atomic_load(&p->evict_zero));
	return atomic_load(&nr_wrong) ? 1 : 0;
}
