// SPDX-License-Identifier: MIT
/*
 * What the workloads share: the clock, numbers on the command line, random numbers that every run
 * repeats, zipf ranks, memory to work in, and sorting in place.
 *
 * The workloads are plain programs: they do not know whether anybody pages them. Each verifies
 * what it computes and prints one line of JSON with at least `seconds` (of the measured phase) and
 * `wrong` (0 unless memory lost something).
 */
#ifndef BENCH_COMMON_H
#define BENCH_COMMON_H

#include <stddef.h>
#include <stdint.h>

/* Seconds of CLOCK_MONOTONIC. */
double now(void);

/* @text as a number, with K, M or G behind it if need be; else a message for @option and exit 2.
 */
uint64_t number_or_die(const char *option, const char *text);

/* A zeroed private anonymous mapping of @bytes, or a message and exit 2. */
void *map_or_die(uint64_t bytes);

/* No huge pages in this process: for a fair reference on a machine that gives them unasked. */
void refuse_huge_pages(void);

/* The upper median of @nr values, which it sorts. */
double median(double *values, size_t nr);

/* A second thread that runs in this process's memory and nothing else, so that whatever is unmapped
 * is flushed on its CPU, too. On failure a message, and exit 2. */
void beside_start(void);
void beside_stop(void);

/* A bijection of the 64-bit numbers that scatters its argument's bits (SplitMix64's finaliser). */
uint64_t mix(uint64_t x);

/* SplitMix64; @state may start as anything. */
uint64_t random_next(uint64_t *state);
uint64_t random_below(uint64_t *state, uint64_t n);

/* Constants of Gray et al.'s zipf generator ("Quickly generating billion-record synthetic
 * databases", 1994), theta 0.99. */
struct zipf {
	double theta, alpha, zetan, eta;
	uint64_t n;
	uint64_t scatter; /* rank * scatter mod n spreads the popular ones */
};

void zipf_init(struct zipf *z, uint64_t n);

/* One of 0 .. n - 1; the popular ones lie scattered. */
uint64_t zipf_next(const struct zipf *z, uint64_t *rng);

/* Sort ascending, in place (quicksort), by at most @threads threads. */
void sort_u64(uint64_t *a, size_t n, uint32_t threads);

#endif
