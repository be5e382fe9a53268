// SPDX-License-Identifier: MIT
/*
 * Stress: threads write and verify stamped pages while they map, unmap, discard, protect and move
 * them at random. A plain program: it neither knows nor cares whether anybody pages it.
 *
 * Each thread owns areas that only it touches, and knows for every page of them what must be in
 * it: zeros (version 0), the stamp of a version, or nothing because the page is unmapped. On top
 * of that there is one area that all verify and now and then somebody rewrites.
 *
 * What is known about pages lies in .bss (or the thread's stack), which no pager takes over: a
 * lost page cannot hide by losing the knowledge of it as well.
 *
 *     stress.c   options, threads, shared area, fork, report
 *     area.c     areas and the operations on them
 *     page.c     stamps: what a page must hold, and what is wrong with one that does not
 */
#include <errno.h>
#include <getopt.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "stress.h"

#define SHARED_OWNER 255u
#define MAX_SHARED   65536u
#define MAX_CHILDREN 4

struct stress_options opt = {.threads = 8, .footprint = 256u << 20, .seconds = 10, .io = true};
struct worker workers[MAX_WORKERS];
_Atomic uint64_t nr_wrong;

static _Atomic bool is_over;

/* The shared area: written under the lock held for writing. */
static pthread_rwlock_t shared_lock = PTHREAD_RWLOCK_INITIALIZER;
static uint64_t *shared;
static uint32_t shared_pages;
static uint32_t shared_version[MAX_SHARED];

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

void die(const char *what)
{
	fprintf(stderr, "stress: %s: %s\n", what, strerror(errno));
	exit(2);
}

static struct page_id shared_id(uint32_t page)
{
	return (struct page_id){.owner = SHARED_OWNER, .area = 0, .page = page};
}

static uint64_t *shared_page(uint32_t page)
{
	return shared + (size_t)page * PAGE_WORDS;
}

static void shared_open(void)
{
	shared_pages = (uint32_t)(opt.footprint / PAGE_BYTES / 8);
	if (shared_pages > MAX_SHARED)
		shared_pages = MAX_SHARED;
	shared = mmap(NULL, (size_t)shared_pages * PAGE_BYTES, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		die("mmap of the shared area");
	for (uint32_t p = 0; p < shared_pages; p++)
		page_fill(shared_page(p), shared_id(p), ++shared_version[p]);
}

static void shared_verify(struct worker *w, uint32_t nr)
{
	pthread_rwlock_rdlock(&shared_lock);
	for (uint32_t i = 0; i < nr; i++) {
		uint32_t p = (uint32_t)random_below(&w->rng, shared_pages);
		page_verify(shared_page(p), shared_id(p), shared_version[p], "shared");
	}
	pthread_rwlock_unlock(&shared_lock);
	w->nr[OP_SHARED_VERIFY]++;
}

static void shared_rewrite(struct worker *w)
{
	pthread_rwlock_wrlock(&shared_lock);
	uint32_t p = (uint32_t)random_below(&w->rng, shared_pages);
	page_fill(shared_page(p), shared_id(p), ++shared_version[p]);
	pthread_rwlock_unlock(&shared_lock);
	w->nr[OP_SHARED_WRITE]++;
}

static void *work(void *arg)
{
	struct worker *w = arg;
	while (!is_over) {
		/* Between operations the forker may stop everybody: a child must not find a page
		 * half written. */
		pthread_mutex_lock(&w->in_operation);
		uint64_t dice = random_below(&w->rng, 100);
		if (dice < 10)
			shared_verify(w, 4);
		else if (dice < 11)
			shared_rewrite(w);
		else
			area_operate(w);
		pthread_mutex_unlock(&w->in_operation);
	}
	return NULL;
}

static void verify_everything(const char *when)
{
	for (uint32_t i = 0; i < opt.threads; i++)
		area_verify_all(&workers[i], when);
	for (uint32_t p = 0; p < shared_pages; p++)
		page_verify(shared_page(p), shared_id(p), shared_version[p], when);
}

/* The child: sees what its parent saw, changes its own copy, sees the change. */
static _Noreturn void child_main(uint64_t seed)
{
	alarm(opt.seconds + 120);
	verify_everything("in a forked child");
	for (uint32_t i = 0; i < opt.threads; i++) {
		workers[i].rng = mix64(seed + i);
		for (uint32_t n = 0; n < 200; n++)
			area_operate(&workers[i]);
	}
	for (uint32_t p = 0; p < shared_pages; p += 3)
		page_fill(shared_page(p), shared_id(p), ++shared_version[p]);
	verify_everything("in a forked child, after its own writes");
	_exit(nr_wrong != 0);
}

/* Fork while nobody is in the middle of a page; let the others go on at once. */
static void fork_once(pid_t *children, uint64_t seed)
{
	int free_place = -1;
	for (int i = 0; i < MAX_CHILDREN; i++) {
		if (children[i] == 0)
			free_place = i;
	}
	if (free_place < 0)
		return;
	for (uint32_t i = 0; i < opt.threads; i++)
		pthread_mutex_lock(&workers[i].in_operation);
	pid_t pid = fork();
	if (pid == 0)
		child_main(seed);
	for (uint32_t i = 0; i < opt.threads; i++)
		pthread_mutex_unlock(&workers[i].in_operation);
	if (pid < 0)
		die("fork");
	children[free_place] = pid;
}

/* Return: how many children ended badly. */
static uint32_t collect_children(pid_t *children, bool wait)
{
	uint32_t nr_bad = 0;
	for (int i = 0; i < MAX_CHILDREN; i++) {
		int status;
		if (children[i] == 0 || waitpid(children[i], &status, wait ? 0 : WNOHANG) == 0)
			continue;
		if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
			fprintf(stderr, "stress: child %d ended with wait status 0x%x\n",
			    (int)children[i], status);
			nr_bad++;
		}
		children[i] = 0;
	}
	return nr_bad;
}

static uint32_t run_workers(uint32_t *ret_forks)
{
	pid_t children[MAX_CHILDREN] = {0};
	uint32_t nr_bad = 0, nr_forks = 0;
	for (uint32_t i = 0; i < opt.threads; i++) {
		if (pthread_create(&workers[i].thread, NULL, work, &workers[i]) != 0)
			die("pthread_create");
	}
	double end = now() + opt.seconds;
	while (now() < end) {
		usleep(100000);
		if (opt.fork && nr_wrong == 0) {
			fork_once(children, mix64(opt.seed + ++nr_forks));
			nr_bad += collect_children(children, false);
		}
	}
	is_over = true;
	for (uint32_t i = 0; i < opt.threads; i++)
		pthread_join(workers[i].thread, NULL);
	nr_bad += collect_children(children, true);
	*ret_forks = nr_forks;
	return nr_bad;
}

static uint64_t number_or_die(const char *name, const char *text)
{
	char *end;
	errno = 0;
	uint64_t n = strtoull(text, &end, 0);
	const char *units = "KMG";
	const char *unit = *end != '\0' ? strchr(units, *end & ~0x20) : NULL;
	if (unit != NULL) {
		n <<= 10 * (unit - units + 1);
		end++;
	}
	if (errno != 0 || end == text || *end != '\0') {
		fprintf(stderr, "stress: %s %s: not a number\n", name, text);
		exit(2);
	}
	return n;
}

static void parse_options(int argc, char **argv)
{
	static const struct option longs[] = {{"threads", 1, NULL, 't'},
	    {"footprint", 1, NULL, 'f'}, {"seconds", 1, NULL, 's'}, {"seed", 1, NULL, 'S'},
	    {"fork", 0, NULL, 'F'}, {"no-io", 0, NULL, 'I'}, {0}};
	int c;
	opt.seed = (uint64_t)time(NULL) * 1000 + (uint64_t)getpid() % 1000;
	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		switch (c) {
		case 't':
			opt.threads = (uint32_t)number_or_die("--threads", optarg);
			break;
		case 'f':
			opt.footprint = number_or_die("--footprint", optarg);
			break;
		case 's':
			opt.seconds = (uint32_t)number_or_die("--seconds", optarg);
			break;
		case 'S':
			opt.seed = number_or_die("--seed", optarg);
			break;
		case 'F':
			opt.fork = true;
			break;
		case 'I':
			opt.io = false;
			break;
		default:
			exit(2);
		}
	}
	uint64_t each = opt.footprint / PAGE_BYTES / (opt.threads + opt.threads / 7 + 1);
	if (optind != argc || opt.threads < 1 || opt.threads > MAX_WORKERS || each < 64 ||
	    each > (uint64_t)MAX_AREAS * MAX_AREA_PAGES / 4) {
		fprintf(stderr, "stress: needs 1 to %u threads and 64 to %u pages for each\n",
		    MAX_WORKERS, MAX_AREAS * MAX_AREA_PAGES / 4);
		exit(2);
	}
}

static void report(double seconds, uint32_t nr_forks, uint32_t nr_bad)
{
	static const char *const names[NR_OPS] = {OP_NAMES};
	printf("stress: seed %llu, %.1f s;", (unsigned long long)opt.seed, seconds);
	for (uint32_t op = 0; op < NR_OPS; op++) {
		uint64_t n = 0;
		for (uint32_t i = 0; i < opt.threads; i++)
			n += workers[i].nr[op];
		printf(" %s %llu,", names[op], (unsigned long long)n);
	}
	printf(" forks %u, bad children %u\nstress: %llu wrong pages\n", nr_forks, nr_bad,
	    (unsigned long long)nr_wrong);
}

int main(int argc, char **argv)
{
	uint32_t nr_forks = 0;
	parse_options(argc, argv);
	fprintf(stderr, "stress: seed %llu\n", (unsigned long long)opt.seed);
	double start = now();
	shared_open();
	for (uint32_t i = 0; i < opt.threads; i++) {
		workers[i].index = i;
		workers[i].rng = mix64(opt.seed * 64 + i);
		pthread_mutex_init(&workers[i].in_operation, NULL);
		area_open_all(&workers[i]);
	}
	uint32_t nr_bad = run_workers(&nr_forks);
	verify_everything("at the end");
	report(now() - start, nr_forks, nr_bad);
	return nr_wrong != 0 || nr_bad != 0;
}
