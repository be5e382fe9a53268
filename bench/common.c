// SPDX-License-Identifier: MIT
/* See common.h. */
#include "common.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <time.h>

#define FEW 24 /* below this an insertion sort is faster; guess */

double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

uint64_t number_or_die(const char *option, const char *text)
{
	char *end;
	errno = 0;
	unsigned long long n = strtoull(text, &end, 0);
	if (errno == 0 && end != text && *end != '\0' && end[1] == '\0') {
		const char *units = "KMG", *unit = strchr(units, *end & ~0x20);
		if (unit != NULL) {
			n <<= 10 * (unit - units + 1);
			end++;
		}
	}
	if (errno != 0 || end == text || *end != '\0' || *text == '-') {
		fprintf(stderr, "%s: %s %s: not a number\n", program_invocation_short_name, option,
		    text);
		exit(2);
	}
	return n;
}

void *map_or_die(uint64_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED) {
		fprintf(stderr, "%s: no %llu bytes: %s\n", program_invocation_short_name,
		    (unsigned long long)bytes, strerror(errno));
		exit(2);
	}
	return p;
}

void refuse_huge_pages(void)
{
	if (prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0) != 0)
		fprintf(stderr, "%s: PR_SET_THP_DISABLE: %s\n", program_invocation_short_name,
		    strerror(errno));
}

uint64_t mix(uint64_t x)
{
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ x >> 27) * 0x94d049bb133111ebull;
	return x ^ x >> 31;
}

uint64_t random_next(uint64_t *state)
{
	return mix(*state += 0x9e3779b97f4a7c15ull);
}

uint64_t random_below(uint64_t *state, uint64_t n)
{
	return (uint64_t)((unsigned __int128)random_next(state) * n >> 64);
}

static uint64_t divisor(uint64_t a, uint64_t b)
{
	while (b) {
		uint64_t rest = a % b;

		a = b;
		b = rest;
	}
	return a;
}

void zipf_init(struct zipf *z, uint64_t n)
{
	z->n = n;
	z->theta = 0.99;
	z->alpha = 1 / (1 - z->theta);
	z->zetan = 0;
	for (uint64_t i = 1; i <= n; i++)
		z->zetan += pow((double)i, -z->theta);
	double zeta2 = 1 + pow(2, -z->theta);
	z->eta = (1 - pow(2.0 / (double)n, 1 - z->theta)) / (1 - zeta2 / z->zetan);
	/* By the golden ratio's step neighbours in rank lie far apart; without a common divisor
	 * with n, every one is some rank's. */
	z->scatter = (uint64_t)((double)n * 0.6180339887);
	while (z->scatter > 1 && divisor(z->scatter, n) != 1)
		z->scatter--;
	z->scatter += !z->scatter;
}

uint64_t zipf_next(const struct zipf *z, uint64_t *rng)
{
	double u = (double)(random_next(rng) >> 11) * 0x1p-53;
	double uz = u * z->zetan;
	uint64_t rank;
	if (uz < 1)
		rank = 0;
	else if (uz < 1 + pow(0.5, z->theta))
		rank = 1;
	else
		rank = (uint64_t)((double)z->n * pow(z->eta * u - z->eta + 1, z->alpha));
	if (rank >= z->n)
		rank = z->n - 1;
	return (uint64_t)((unsigned __int128)rank * z->scatter % z->n);
}

static void swap_u64(uint64_t *a, uint64_t *b)
{
	uint64_t t = *a;
	*a = *b;
	*b = t;
}

static void insertion_sort(uint64_t *a, size_t n)
{
	for (size_t i = 1; i < n; i++) {
		uint64_t x = a[i];
		size_t j = i;
		for (; j > 0 && a[j - 1] > x; j--)
			a[j] = a[j - 1];
		a[j] = x;
	}
}

/* Hoare's partition around the median of three. Return: how many elements the first part has; all
 * in it are <= all in the second, and neither is empty. */
static size_t partition(uint64_t *a, size_t n)
{
	uint64_t *mid = &a[n / 2], *last = &a[n - 1];
	if (*mid < a[0])
		swap_u64(mid, &a[0]);
	if (*last < a[0])
		swap_u64(last, &a[0]);
	if (*last < *mid)
		swap_u64(last, mid);
	uint64_t pivot = *mid;
	size_t i = 0, j = n - 1;
	for (;;) {
		while (a[i] < pivot)
			i++;
		while (a[j] > pivot)
			j--;
		if (i >= j)
			return j + 1;
		swap_u64(&a[i++], &a[j--]);
	}
}

struct sort_job {
	uint64_t *a;
	size_t n;
	uint32_t threads;
};

static void *sort_part(void *arg)
{
	struct sort_job *job = arg;
	sort_u64(job->a, job->n, job->threads);
	return NULL;
}

void sort_u64(uint64_t *a, size_t n, uint32_t threads)
{
	while (n > FEW) {
		size_t nr = partition(a, n);
		struct sort_job first = {a, nr, threads / 2};
		pthread_t other;
		if (threads > 1 && pthread_create(&other, NULL, sort_part, &first) == 0) {
			sort_u64(a + nr, n - nr, threads - threads / 2);
			pthread_join(other, NULL);
			return;
		}
		/* Into the smaller part by recursion: the stack stays short. */
		if (nr < n - nr) {
			sort_u64(a, nr, 1);
			a += nr;
			n -= nr;
		} else {
			sort_u64(a + nr, n - nr, 1);
			n = nr;
		}
	}
	insertion_sort(a, n);
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

double median(double *values, size_t nr)
{
	qsort(values, nr, sizeof(*values), by_value);
	return values[nr / 2];
}

static pthread_t beside;
static atomic_bool beside_ends;

static void *run_beside(void *arg)
{
	volatile uint64_t *word = arg;

	while (!atomic_load_explicit(&beside_ends, memory_order_relaxed))
		++*word;
	return NULL;
}

void beside_start(void)
{
	static uint64_t word;

	if (pthread_create(&beside, NULL, run_beside, &word)) {
		perror("pthread_create");
		exit(2);
	}
}

void beside_stop(void)
{
	atomic_store(&beside_ends, true);
	pthread_join(beside, NULL);
}
