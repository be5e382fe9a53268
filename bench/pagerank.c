// SPDX-License-Identifier: MIT
/*
 * PageRank on an RMAT graph (Chakrabarti, Zhan and Faloutsos, 2004; a, b, c = 0.57, 0.19, 0.19, 16
 * edges a vertex): generates the edges, sorts them by target, packs them (sources only, and where
 * each target's begin), and iterates. An iteration reads the edges through once and the ranks of
 * their sources as they come.
 *
 * Always adds in the same order: the checksum of the ranks is the same in every run.
 */
#include "common.h"

#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define EDGES_A_VERTEX 16u
#define DAMPING        0.85

struct graph {
	uint64_t nr_vertices, nr_edges;
	uint64_t *begin; /* of the in-edges of each vertex, in `sources` */
	uint32_t *sources;
	uint32_t *degree; /* out-edges */
	uint32_t scale;
};

static uint64_t rmat_edge(uint32_t scale, uint64_t *rng)
{
	uint64_t from = 0, to = 0;
	for (uint32_t bit = 0; bit < scale; bit++) {
		uint64_t r = random_next(rng) >> 44; /* 20 bits */
		uint64_t quadrant = (r >= 597688) + (r >= 796918) + (r >= 996147);
		from = from << 1 | quadrant >> 1;
		to = to << 1 | (quadrant & 1);
	}
	return to << 32 | from;
}

static bool generate(struct graph *g, uint64_t *edges)
{
	uint64_t rng = 7, at = 0;
	for (uint64_t i = 0; i < g->nr_edges; i++)
		edges[i] = rmat_edge(g->scale, &rng);
	sort_u64(edges, g->nr_edges, 1);
	for (uint64_t i = 0; i < g->nr_edges; i++) {
		uint64_t to = edges[i] >> 32, from = edges[i] & UINT32_MAX;
		if (to >= g->nr_vertices || from >= g->nr_vertices ||
		    (i > 0 && edges[i] < edges[i - 1]))
			return false;
		while (at <= to)
			g->begin[at++] = i;
		g->sources[i] = (uint32_t)from;
		g->degree[from]++;
	}
	while (at <= g->nr_vertices)
		g->begin[at++] = g->nr_edges;
	return true;
}

/* One step: @next from the shares (rank over out-degree) of the sources; then the new shares. */
static void iterate(const struct graph *g, double *share, double *next)
{
	for (uint64_t v = 0; v < g->nr_vertices; v++) {
		double sum = 0;
		for (uint64_t e = g->begin[v]; e < g->begin[v + 1]; e++)
			sum += share[g->sources[e]];
		next[v] = (1 - DAMPING) / (double)g->nr_vertices + DAMPING * sum;
	}
	for (uint64_t v = 0; v < g->nr_vertices; v++)
		share[v] = g->degree[v] != 0 ? next[v] / g->degree[v] : 0;
}

static uint64_t checksum(const double *a, uint64_t n)
{
	uint64_t sum = 0, bits;
	for (uint64_t i = 0; i < n; i++) {
		memcpy(&bits, &a[i], sizeof(bits));
		sum = mix(sum ^ bits);
	}
	return sum;
}

int main(int argc, char **argv)
{
	static const struct option longs[] = {
	    {"footprint", 1, NULL, 'f'}, {"iterations", 1, NULL, 'i'}, {0}};
	uint64_t footprint = 256u << 20, iterations = 5;
	int c;
	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		if (c == 'f')
			footprint = number_or_die("--footprint", optarg);
		else if (c == 'i')
			iterations = number_or_die("--iterations", optarg);
		else
			return 2;
	}
	struct graph g = {.nr_edges = footprint / 14};
	while (g.scale < 30 && (2ull << g.scale) * EDGES_A_VERTEX <= g.nr_edges)
		g.scale++;
	g.nr_vertices = 1ull << g.scale;
	double start = now();
	uint64_t *edges = map_or_die((g.nr_edges + 1) * sizeof(*edges));
	g.begin = map_or_die((g.nr_vertices + 1) * sizeof(*g.begin));
	g.sources = map_or_die((g.nr_edges + 1) * sizeof(*g.sources));
	g.degree = map_or_die(g.nr_vertices * sizeof(*g.degree));
	double *share = map_or_die(g.nr_vertices * sizeof(*share));
	double *rank = map_or_die(g.nr_vertices * sizeof(*rank));
	bool is_right = generate(&g, edges);
	double generated = now();
	for (uint64_t v = 0; v < g.nr_vertices; v++)
		share[v] = g.degree[v] != 0 ? 1.0 / (double)g.nr_vertices / g.degree[v] : 0;
	for (uint64_t i = 0; is_right && i < iterations; i++)
		iterate(&g, share, rank);
	printf(
	    "{\"vertices\": %llu, \"edges\": %llu, \"checksum\": \"%016llx\", \"graph_s\": %.3f, "
	    "\"seconds\": %.3f, \"wrong\": %d}\n",
	    (unsigned long long)g.nr_vertices, (unsigned long long)g.nr_edges,
	    (unsigned long long)checksum(rank, g.nr_vertices), generated - start, now() - start,
	    !is_right);
	return !is_right;
}
