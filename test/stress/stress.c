// SPDX-License-Identifier: MIT
/*
 * Stress: threads write and verify stamped pages while they map, unmap, discard, protect and move
 * them at random. A plain program: it neither knows nor cares whether anybody pages it.
 *
 * Each thread owns areas that only it touches, and knows for every page of them what must be in
 * it: zeros (version 0), the stamp of a version, or nothing because the page is unmapped; and what
 * may be done to it, and what a forked child is to find. On top of that there is one area that all
 * verify and now and then somebody rewrites.
 *
 * What is known about pages lies in .bss (or the thread's stack), which no pager takes over: a
 * lost page cannot hide by losing the knowledge of it as well.
 *
 *     stress.c     options, threads, watchdog, report
 *     area.c       areas: what every page of them must be
 *     ops.c        which operations there are, and how often
 *     ops_map.c    mapping calls              ops_remap.c  mremap
 *     ops_io.c     system calls on pages      children.c   fork, vfork, posix_spawn, threads
 *     shared.c     shared pages, and those for a signal handler
 *     page.c       stamps: what a page must hold, and what is wrong with one that does not
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

#define HANG_SECONDS 600u
#define MORE_SECONDS 60

struct stress_options opt = {
    .threads = 8, .footprint = 256u << 20, .seconds = 10, .dir = "/var/tmp"};
struct worker workers[MAX_WORKERS];
_Atomic uint64_t nr_wrong;

static _Atomic bool is_over;

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

static void *work(void *arg)
{
	struct worker *w = arg;
	while (!is_over) {
		/* Between operations the forker may stop everybody: a child must not find a page
		 * half written. */
		pthread_mutex_lock(&w->in_operation);
		operate(w);
		pthread_mutex_unlock(&w->in_operation);
	}
	return NULL;
}

/* A thread that has done nothing for so long never will: end, loudly, while it can be looked at. */
static void look_for_hangs(double when)
{
	static uint64_t done[MAX_WORKERS];
	static double since[MAX_WORKERS];
	for (uint32_t i = 0; i < opt.threads; i++) {
		uint64_t n = workers[i].nr_done;
		if (n != done[i] || since[i] == 0)
			since[i] = when;
		done[i] = n;
		if (when - since[i] < HANG_SECONDS)
			continue;
		fprintf(
		    stderr, "stress: HANG: worker %u has done nothing for %u s\n", i, HANG_SECONDS);
		abort();
	}
}

static uint32_t run_workers(void)
{
	uint64_t rng = mix64(opt.seed);
	uint32_t nr_bad = 0;
	for (uint32_t i = 0; i < opt.threads; i++) {
		if (pthread_create(&workers[i].thread, NULL, work, &workers[i]) != 0)
			die("pthread_create");
	}
	double end = now() + opt.seconds;
	/* On a slow machine what is rare takes a little longer to come up. */
	for (uint32_t tick = 0;
	     now() < end || (now() < end + MORE_SECONDS && !operations_complete()); tick++) {
		usleep(10000);
		if (opt.all)
			shared_disturb(&rng);
		if (tick % 10 != 0)
			continue;
		look_for_hangs(now());
		if (opt.fork && nr_wrong == 0) {
			children_fork(mix64(opt.seed + tick));
			nr_bad += children_collect(false);
		}
	}
	is_over = true;
	for (uint32_t i = 0; i < opt.threads; i++)
		pthread_join(workers[i].thread, NULL);
	return nr_bad + children_collect(true);
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
	    {"fork", 0, NULL, 'F'}, {"all", 0, NULL, 'A'}, {"dir", 1, NULL, 'D'}, {0}};
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
		case 'A':
			opt.all = true;
			break;
		case 'D':
			opt.dir = optarg;
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

static void report(double seconds, uint32_t nr_bad)
{
	printf("stress: seed %llu, %.1f s;", (unsigned long long)opt.seed, seconds);
	operations_report();
	printf(" forks %u, bad children %u\nstress: %llu wrong pages\n", children_forked(), nr_bad,
	    (unsigned long long)nr_wrong);
}

int main(int argc, char **argv)
{
	if (argc == 4 && strcmp(argv[1], "--spawned") == 0)
		return children_spawned(argv[2], argv[3]);
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
	uint32_t nr_bad = run_workers();
	for (uint32_t i = 0; i < opt.threads; i++)
		area_verify_all(&workers[i], "at the end");
	shared_verify_all("at the end");
	report(now() - start, nr_bad);
	return nr_wrong != 0 || nr_bad != 0 || !operations_complete();
}
