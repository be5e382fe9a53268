// SPDX-License-Identifier: MIT
/*
 * The bare cost of faults: touches every page of --bytes in --mappings mappings once (a write of
 * one word; the first --untimed bytes are not measured), then --touches pages at random (reads that
 * verify). The pages are divided among --threads threads.
 */
#include "common.h"

#include <getopt.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

#define PAGE         4096u
#define MAX_MAPPINGS 65536u
#define MAX_THREADS  256u

/* In .bss: no pager takes it over. */
static char *maps[MAX_MAPPINGS];
static uint64_t pages_each, nr_pages, nr_untimed, touches, nr_threads = 1;

static struct toucher {
	pthread_t thread;
	uint64_t index, wrong;
} touchers[MAX_THREADS];

static volatile uint64_t *word_of(uint64_t page)
{
	return (volatile uint64_t *)(maps[page / pages_each] + page % pages_each * PAGE);
}

static void *first(void *arg)
{
	const struct toucher *t = arg;
	uint64_t n = nr_pages - nr_untimed, end = nr_untimed + n * (t->index + 1) / nr_threads;
	for (uint64_t page = nr_untimed + n * t->index / nr_threads; page < end; page++)
		*word_of(page) = page + 1;
	return NULL;
}

static void *at_random(void *arg)
{
	struct toucher *t = arg;
	uint64_t begin = nr_pages * t->index / nr_threads;
	uint64_t n = nr_pages * (t->index + 1) / nr_threads - begin, rng = mix(t->index + 1);
	for (uint64_t i = 0; i < touches / nr_threads; i++) {
		uint64_t page = begin + random_below(&rng, n);
		t->wrong += *word_of(page) != page + 1;
	}
	return NULL;
}

static double cpu_now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* Return: seconds; *@ret_cpu_s: of all threads, the pager's among them. */
static double run_phase(void *(*phase)(void *), double *ret_cpu_s)
{
	double start = now(), cpu = cpu_now();
	for (uint64_t i = 0; i < nr_threads; i++) {
		touchers[i].index = i;
		if (pthread_create(&touchers[i].thread, NULL, phase, &touchers[i]) != 0) {
			fprintf(stderr, "faults: cannot start a thread\n");
			exit(2);
		}
	}
	for (uint64_t i = 0; i < nr_threads; i++)
		pthread_join(touchers[i].thread, NULL);
	*ret_cpu_s = cpu_now() - cpu;
	return now() - start;
}

int main(int argc, char **argv)
{
	static const struct option longs[] = {{"bytes", 1, NULL, 'b'}, {"mappings", 1, NULL, 'm'},
	    {"threads", 1, NULL, 't'}, {"touches", 1, NULL, 'n'}, {"untimed", 1, NULL, 'u'}, {0}};
	uint64_t bytes = 64u << 20, mappings = 1, untimed = 0, wrong = 0;
	int c;
	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		if (c == 'b')
			bytes = number_or_die("--bytes", optarg);
		else if (c == 'm')
			mappings = number_or_die("--mappings", optarg);
		else if (c == 't')
			nr_threads = number_or_die("--threads", optarg);
		else if (c == 'n')
			touches = number_or_die("--touches", optarg);
		else if (c == 'u')
			untimed = number_or_die("--untimed", optarg);
		else
			return 2;
	}
	if (mappings < 1 || mappings > MAX_MAPPINGS || nr_threads < 1 || nr_threads > MAX_THREADS ||
	    bytes / PAGE / mappings < 1 || untimed >= bytes ||
	    (bytes - untimed) / PAGE / mappings < 1 || (bytes - untimed) / PAGE < nr_threads) {
		fprintf(stderr, "faults: at least a page for each mapping and each thread\n");
		return 2;
	}
	/* As the kernel does it for others: pages of 4 KiB. */
	refuse_huge_pages();
	pages_each = bytes / PAGE / mappings;
	nr_pages = pages_each * mappings;
	nr_untimed = untimed / PAGE;
	for (uint64_t i = 0; i < mappings; i++) {
		/* A page between them: neighbours would become one mapping. */
		maps[i] = map_or_die((pages_each + 1) * PAGE);
		munmap(maps[i] + pages_each * PAGE, PAGE);
	}
	for (uint64_t page = 0; page < nr_untimed; page++)
		*word_of(page) = page + 1;
	double first_cpu_s, random_cpu_s;
	double first_s = run_phase(first, &first_cpu_s);
	double random_s = run_phase(at_random, &random_cpu_s);
	for (uint64_t i = 0; i < nr_threads; i++)
		wrong += touchers[i].wrong;
	printf("{\"pages\": %llu, \"first_s\": %.6f, \"first_cpu_s\": %.6f, \"touches\": %llu, "
	       "\"random_s\": %.6f, \"random_cpu_s\": %.6f, \"seconds\": %.6f, \"wrong\": %llu}\n",
	    (unsigned long long)(nr_pages - nr_untimed), first_s, first_cpu_s,
	    (unsigned long long)(touches / nr_threads * nr_threads), random_s, random_cpu_s,
	    first_s + random_s, (unsigned long long)wrong);
	return wrong != 0;
}
