// SPDX-License-Identifier: MIT
/*
 * Page touches: fills a plain anonymous mapping, then touches one word of page after page in a
 * chosen order and says how many touches a second that was. Every touch verifies what it reads.
 *
 * A page is 512 words. The last 8 writes went to the first 8 in turn; the others, up to the 512th,
 * 256th or 128th (--content 1, 2 or 4), are random, and what is left repeats one word: it
 * compresses 1:1, 2:1 or 4:1. All of it can be computed from the page's number and the number of
 * writes it has had (`writes`, in .bss, so that no pager takes it over).
 *
 * Threads own every n-th page each. The program does not know whether anybody pages it.
 */
#include "common.h"

#include <getopt.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAGE       4096u
#define WORDS      (PAGE / sizeof(uint64_t))
#define NR_STAMPS  8u
#define MAX_PAGES  (4u << 20) /* 16 GiB */
#define MAX_THREAD 256u

#define STRIDE 3u

enum order {
	ORDER_RANDOM,
	ORDER_SEQUENTIAL,
	ORDER_BACKWARD,
	ORDER_STRIDE,
	ORDER_ZIPF,
	ORDER_INTERLEAVED, /* two scans in turn, one in each half */
	ORDER_PHASES,      /* random in a quarter of the pages, which moves on */
};

static const struct workload {
	const char *name;
	enum order order;
	bool is_write;
} workloads[] = {
    {"random-read", ORDER_RANDOM, false},
    {"random-write", ORDER_RANDOM, true},
    {"sequential-read", ORDER_SEQUENTIAL, false},
    {"sequential-write", ORDER_SEQUENTIAL, true},
    {"backward-read", ORDER_BACKWARD, false},
    {"stride-read", ORDER_STRIDE, false},
    {"zipf-read", ORDER_ZIPF, false},
    {"zipf-write", ORDER_ZIPF, true},
    {"interleaved-read", ORDER_INTERLEAVED, false},
    {"phases-read", ORDER_PHASES, false},
};

struct toucher {
	pthread_t thread;
	uint32_t index;
	uint64_t rng, touches, wrong;
	double verify_seconds;
};

static struct {
	const struct workload *workload;
	uint64_t footprint, touches, warm, seed;
	double seconds;
	uint32_t threads, content;
	bool verify_all, no_thp;
} opt = {.workload = &workloads[0], .footprint = 512u << 20, .seed = 1, .threads = 1, .content = 1};

static uint64_t (*area)[WORDS];
static uint64_t nr_pages;
static uint32_t writes[MAX_PAGES];
static struct zipf zipf;
static struct toucher touchers[MAX_THREAD];
static uint64_t quota; /* touches of each thread in this phase; 0: until `deadline` */
static double deadline;

/* What word @w of @page must be: the stamp of write number k lies in word k % NR_STAMPS. */
static uint64_t word_of(uint64_t page, uint32_t w)
{
	if (w < NR_STAMPS) {
		uint32_t n = writes[page];
		uint32_t k = n - (n - w) % NR_STAMPS;
		return w > n ? 0 : mix(opt.seed ^ page << 32 ^ k);
	}
	if (w < WORDS / opt.content)
		return mix(opt.seed + page * WORDS + w);
	return mix(opt.seed + page);
}

static void *fill(void *arg)
{
	struct toucher *t = arg;
	for (uint64_t page = t->index; page < nr_pages; page += opt.threads) {
		for (uint32_t w = 0; w < WORDS; w++)
			area[page][w] = word_of(page, w);
	}
	return NULL;
}

/* One touch: a write stores first, so that the first access to the page is the write, and then
 * looks whether the write before it is still there. */
static void touch_page(struct toucher *t, uint64_t page)
{
	volatile uint64_t *words = area[page];
	uint32_t w;
	if (opt.workload->is_write) {
		w = writes[page] % NR_STAMPS;
		uint64_t before = word_of(page, w);
		uint32_t next = ++writes[page];
		words[next % NR_STAMPS] = mix(opt.seed ^ page << 32 ^ next);
		t->wrong += words[w] != before;
	} else {
		w = (uint32_t)random_below(&t->rng, WORDS);
		t->wrong += words[w] != word_of(page, w);
	}
}

/* The @i-th of 0 .. @n - 1 taken in steps: 0, 3, 6, ..., 1, 4, 7, ..., 2, 5, 8, ... */
static uint64_t strided(uint64_t i, uint64_t n)
{
	for (uint64_t first = 0;; first++) {
		uint64_t nr = (n - first + STRIDE - 1) / STRIDE;
		if (i < nr)
			return first + i * STRIDE;
		i -= nr;
	}
}

/* Which of its @n pages the @i-th touch of a thread goes to. */
static uint64_t index_of(struct toucher *t, uint64_t i, uint64_t n)
{
	uint64_t half = n / 2 + (n < 2), quarter = n / 4 + (n < 4);
	switch (opt.workload->order) {
	case ORDER_SEQUENTIAL:
		return i % n;
	case ORDER_BACKWARD:
		return n - 1 - i % n;
	case ORDER_STRIDE:
		return strided(i % n, n);
	case ORDER_ZIPF:
		return zipf_next(&zipf, &t->rng);
	case ORDER_INTERLEAVED:
		return (i % 2 * half + i / 2 % half) % n;
	case ORDER_PHASES:
		return (i / half * quarter + random_below(&t->rng, quarter)) % n;
	case ORDER_RANDOM:
		break;
	}
	return random_below(&t->rng, n);
}

static void *touch_pages(void *arg)
{
	struct toucher *t = arg;
	uint64_t n = nr_pages / opt.threads, i;
	for (i = 0; quota == 0 || i < quota; i++) {
		if (quota == 0 && i % 64 == 0 && now() >= deadline)
			break;
		touch_page(t, index_of(t, i, n) * opt.threads + t->index);
	}
	t->touches = i;
	return NULL;
}

static void *verify(void *arg)
{
	struct toucher *t = arg;
	for (uint64_t page = t->index; page < nr_pages; page += opt.threads) {
		bool is_wrong = false;
		for (uint32_t w = 0; w < WORDS; w++)
			is_wrong |= area[page][w] != word_of(page, w);
		t->wrong += is_wrong;
	}
	return NULL;
}

/* Run @phase in every thread (the only one: here). Return: seconds it took. */
static double run_phase(void *(*phase)(void *))
{
	double start = now();
	deadline = start + opt.seconds;
	if (opt.threads == 1) {
		phase(&touchers[0]);
		return now() - start;
	}
	for (uint32_t i = 0; i < opt.threads; i++) {
		int err = pthread_create(&touchers[i].thread, NULL, phase, &touchers[i]);
		if (err != 0) {
			fprintf(stderr, "touch: cannot start a thread: %s\n", strerror(err));
			exit(2);
		}
	}
	for (uint32_t i = 0; i < opt.threads; i++)
		pthread_join(touchers[i].thread, NULL);
	return now() - start;
}

static const struct workload *workload_or_die(const char *name)
{
	for (size_t i = 0; i < sizeof(workloads) / sizeof(workloads[0]); i++) {
		if (strcmp(name, workloads[i].name) == 0)
			return &workloads[i];
	}
	fprintf(stderr,
	    "touch: --workload %s: use random-read, random-write, sequential-read, "
	    "sequential-write, backward-read, stride-read, zipf-read, zipf-write, "
	    "interleaved-read or phases-read\n",
	    name);
	exit(2);
}

static void parse_options(int argc, char **argv)
{
	static const struct option longs[] = {{"workload", 1, NULL, 'w'},
	    {"footprint", 1, NULL, 'f'}, {"threads", 1, NULL, 't'}, {"touches", 1, NULL, 'n'},
	    {"seconds", 1, NULL, 's'}, {"warm", 1, NULL, 'W'}, {"seed", 1, NULL, 'S'},
	    {"content", 1, NULL, 'c'}, {"verify", 0, NULL, 'v'}, {"no-thp", 0, NULL, 'T'}, {0}};
	int c;
	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		switch (c) {
		case 'w':
			opt.workload = workload_or_die(optarg);
			break;
		case 'f':
			opt.footprint = number_or_die("--footprint", optarg);
			break;
		case 't':
			opt.threads = (uint32_t)number_or_die("--threads", optarg);
			break;
		case 'n':
			opt.touches = number_or_die("--touches", optarg);
			break;
		case 's':
			opt.seconds = (double)number_or_die("--seconds", optarg);
			break;
		case 'W':
			opt.warm = number_or_die("--warm", optarg);
			break;
		case 'S':
			opt.seed = number_or_die("--seed", optarg);
			break;
		case 'c':
			opt.content = (uint32_t)number_or_die("--content", optarg);
			break;
		case 'v':
			opt.verify_all = true;
			break;
		case 'T':
			opt.no_thp = true;
			break;
		default:
			exit(2);
		}
	}
	nr_pages = opt.footprint / PAGE;
	if (opt.threads < 1 || opt.threads > MAX_THREAD || nr_pages < opt.threads ||
	    nr_pages > MAX_PAGES || optind != argc) {
		fprintf(stderr,
		    "touch: needs 1 to %u threads, at least a page for each, and at most "
		    "%u pages\n",
		    MAX_THREAD, MAX_PAGES);
		exit(2);
	}
	if (opt.content != 1 && opt.content != 2 && opt.content != 4) {
		fprintf(stderr, "touch: --content is 1, 2 or 4\n");
		exit(2);
	}
	if (opt.touches == 0 && opt.seconds == 0)
		opt.touches = nr_pages;
}

int main(int argc, char **argv)
{
	parse_options(argc, argv);
	if (opt.no_thp)
		refuse_huge_pages();
	area = map_or_die(nr_pages * PAGE);
	if (opt.workload->order == ORDER_ZIPF)
		zipf_init(&zipf, nr_pages / opt.threads);
	for (uint32_t i = 0; i < opt.threads; i++) {
		touchers[i].index = i;
		touchers[i].rng = mix(opt.seed * 1000003 + i);
	}

	double fill_seconds = run_phase(fill);
	if (opt.warm != 0) {
		quota = (opt.warm + opt.threads - 1) / opt.threads;
		run_phase(touch_pages);
	}
	quota = (opt.touches + opt.threads - 1) / opt.threads;
	double seconds = run_phase(touch_pages);
	uint64_t touches = 0, wrong = 0;
	for (uint32_t i = 0; i < opt.threads; i++)
		touches += touchers[i].touches;
	if (opt.verify_all)
		run_phase(verify);
	for (uint32_t i = 0; i < opt.threads; i++)
		wrong += touchers[i].wrong;

	printf("{\"workload\": \"%s\", \"threads\": %u, \"content\": %u, \"pages\": %llu, "
	       "\"fill_per_s\": %.0f, "
	       "\"touches\": %llu, \"seconds\": %.3f, \"per_s\": %.0f, \"wrong\": %llu}\n",
	    opt.workload->name, opt.threads, opt.content, (unsigned long long)nr_pages,
	    (double)nr_pages / fill_seconds, (unsigned long long)touches, seconds,
	    (double)touches / seconds, (unsigned long long)wrong);
	return wrong != 0;
}
