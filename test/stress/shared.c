// SPDX-License-Identifier: MIT
/* Pages that all threads verify, and now and then somebody rewrites; and some, never written again,
 * that a signal handler looks at in the middle of anything. */
#include <signal.h>
#include <sys/mman.h>

#include "stress.h"

#define SHARED_OWNER   255u
#define CONSTANT_OWNER 254u
#define MAX_SHARED     65536u
#define NR_CONSTANT    512u

/* The shared area: written under the lock held for writing. */
static pthread_rwlock_t shared_lock = PTHREAD_RWLOCK_INITIALIZER;
static uint64_t *shared, *constant;
static uint32_t shared_pages;
static uint32_t shared_version[MAX_SHARED];
static _Atomic uint64_t nr_signals;

static uint64_t *nth(uint64_t *base, uint32_t page)
{
	return base + (size_t)page * PAGE_WORDS;
}

static struct page_id id_of_shared(uint32_t page)
{
	return (struct page_id){.owner = SHARED_OWNER, .area = 0, .page = page};
}

static struct page_id id_of_constant(uint32_t page)
{
	return (struct page_id){.owner = CONSTANT_OWNER, .area = 0, .page = page};
}

static void on_signal(int number)
{
	(void)number;
	uint32_t p = (uint32_t)(mix64(nr_signals++) % NR_CONSTANT);
	page_verify(nth(constant, p), id_of_constant(p), 1, "in a signal handler");
}

static uint64_t *map(uint32_t pages)
{
	uint64_t *p = mmap(NULL, (size_t)pages * PAGE_BYTES, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		die("mmap of the shared area");
	return p;
}

void shared_open(void)
{
	struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
	shared_pages = (uint32_t)(opt.footprint / PAGE_BYTES / 8);
	if (shared_pages > MAX_SHARED)
		shared_pages = MAX_SHARED;
	shared = map(shared_pages);
	constant = map(NR_CONSTANT);
	for (uint32_t p = 0; p < shared_pages; p++)
		page_fill(nth(shared, p), id_of_shared(p), ++shared_version[p]);
	for (uint32_t p = 0; p < NR_CONSTANT; p++)
		page_fill(nth(constant, p), id_of_constant(p), 1);
	if (sigaction(SIGUSR1, &action, NULL) != 0)
		die("sigaction");
}

void shared_verify_all(const char *when)
{
	for (uint32_t p = 0; p < shared_pages; p++)
		page_verify(nth(shared, p), id_of_shared(p), shared_version[p], when);
	for (uint32_t p = 0; p < NR_CONSTANT; p++)
		page_verify(nth(constant, p), id_of_constant(p), 1, when);
}

void shared_rewrite_some(void)
{
	for (uint32_t p = 0; p < shared_pages; p += 3)
		page_fill(nth(shared, p), id_of_shared(p), ++shared_version[p]);
}

bool op_shared_verify(struct worker *w, struct area *a)
{
	(void)a;
	pthread_rwlock_rdlock(&shared_lock);
	for (uint32_t i = 0; i < 4; i++) {
		uint32_t p = (uint32_t)random_below(&w->rng, shared_pages);
		page_verify(nth(shared, p), id_of_shared(p), shared_version[p], "shared");
	}
	pthread_rwlock_unlock(&shared_lock);
	return true;
}

bool op_shared_write(struct worker *w, struct area *a)
{
	(void)a;
	pthread_rwlock_wrlock(&shared_lock);
	uint32_t p = (uint32_t)random_below(&w->rng, shared_pages);
	page_fill(nth(shared, p), id_of_shared(p), ++shared_version[p]);
	pthread_rwlock_unlock(&shared_lock);
	return true;
}

void shared_disturb(uint64_t *rng)
{
	pthread_kill(workers[random_below(rng, opt.threads)].thread, SIGUSR1);
}
