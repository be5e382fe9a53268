// SPDX-License-Identifier: MIT
/*
 * What a load or store through the software MMU costs: hits in the TLB's first level (inline), hits
 * in the second, walks. Prints nanoseconds per access, the best of several rounds: other programs
 * on the machine only ever add. With --check, exit status 1 if a first-level hit costs more than 3
 * ns.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "faultline/mmu.h"

#define NR_PAGES  16384u
#define NR_ACCESS (1u << 20)
#define ROUNDS    15
#define BASE      0x10000000ull
#define LIMIT_NS  3.0

static uint64_t addresses[NR_ACCESS];

static double now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static double loads(struct fl_mmu *mmu)
{
	uint64_t sum = 0, v = 0;
	double start = now_ns();

	for (uint32_t i = 0; i < NR_ACCESS; i++) {
		if (fl_load(mmu, addresses[i], &v, sizeof(v)))
			abort();
		sum += v;
	}
	start = now_ns() - start;
	if (sum == 1)
		puts("");
	return start / NR_ACCESS;
}

static double stores(struct fl_mmu *mmu)
{
	double start = now_ns();

	for (uint32_t i = 0; i < NR_ACCESS; i++)
		if (fl_store(mmu, addresses[i], &addresses[i], sizeof(addresses[i])))
			abort();
	return (now_ns() - start) / NR_ACCESS;
}

static double best(struct fl_mmu *mmu, double (*run)(struct fl_mmu *))
{
	double least = 1e9;

	for (int i = 0; i < ROUNDS; i++) {
		double ns = run(mmu);

		least = ns < least ? ns : least;
	}
	return least;
}

/* Addresses spread at random over @nr pages, 8-byte aligned. */
static void spread(uint32_t nr)
{
	uint64_t x = 88172645463325252ull;

	for (uint32_t i = 0; i < NR_ACCESS; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		addresses[i] = BASE + (x >> 20) % nr * 4096 + (x >> 8) % 512 * 8;
	}
}

/* Measure over @nr_pages. Return: the dearer of load and store. */
static double measure(const struct fl_mmu_config *config, uint32_t nr_pages, const char *what)
{
	struct fl_phys *phys = fl_phys_open(NR_PAGES + 100);
	struct fl_space *space = fl_space_open(phys);
	struct fl_mmu_counts c;
	struct fl_mmu *mmu;
	double load, store;

	if (fl_space_map(space, BASE, nr_pages * 4096ull, FL_PAGE_4K, FL_FRAME_NONE,
	        FL_READ | FL_WRITE | FL_USER) ||
	    fl_mmu_open(phys, config, &mmu) || fl_mmu_switch(mmu, space))
		abort();
	spread(nr_pages);
	stores(mmu);
	fl_mmu_reset_counts(mmu);
	load = best(mmu, loads);
	store = best(mmu, stores);
	fl_mmu_counts(mmu, &c);
	printf("%-34s %6.2f %6.2f   %5.1f %5.1f %5.1f\n", what, load, store,
	    100.0 * (double)c.level[0].hits / (double)c.accesses,
	    100.0 * (double)c.level[1].hits / (double)c.accesses,
	    100.0 * (double)c.walks / (double)c.accesses);
	fl_mmu_close(mmu);
	fl_space_close(space);
	fl_phys_close(phys);
	return load > store ? load : store;
}

int main(int argc, char **argv)
{
	static const struct {
		enum fl_replacement replacement;
		const char *what;
	} inner[] = {
	    {FL_LRU, "hit in level 1, 64 pages, lru"},
	    {FL_PLRU, "hit in level 1, 64 pages, plru"},
	    {FL_FIFO, "hit in level 1, 64 pages, fifo"},
	    {FL_RANDOM, "hit in level 1, 64 pages, random"},
	};
	double worst = 0;

	puts("software MMU, ns per 8-byte access   load  store   L1 %  L2 %  walk %");
	for (size_t i = 0; i < sizeof(inner) / sizeof(inner[0]); i++) {
		struct fl_mmu_config config = {
		    .nr_levels = 1, .level = {{1, {{16, 4, 7, inner[i].replacement}}}}};
		double ns = measure(&config, 64, inner[i].what);

		worst = ns > worst ? ns : worst;
	}
	const struct fl_mmu_config *skylake = fl_mmu_preset_find("intel-skylake");
	measure(skylake, 1024, "intel-skylake, 1024 pages");
	measure(skylake, NR_PAGES, "intel-skylake, 16384 pages");
	if (argc < 2 || strcmp(argv[1], "--check"))
		return 0;
	if (worst > LIMIT_NS)
		printf("FAILED bench/mmu: a hit costs %.2f ns, more than %.0f\n", worst, LIMIT_NS);
	else
		printf("ok bench/mmu (a hit costs %.2f ns at most)\n", worst);
	return worst > LIMIT_NS;
}
