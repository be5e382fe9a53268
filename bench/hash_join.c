// SPDX-License-Identifier: MIT
/*
 * A hash join of a small table with a large one: the small one is hashed (an eighth of the
 * footprint, touched at random all the time), the large one (five eighths) is read through once a
 * query, and the rows that match are written out (a quarter).
 *
 * The key of row i of the small table is mix(i). Rows of the large one name a key that exists
 * (three times in four, zipf) or none, so that number and sum of the matches are known beforehand.
 */
#include "common.h"

#include <getopt.h>
#include <stdio.h>

struct row {
	uint64_t key, value;
};

static struct row *table; /* open addressing, linear probing; key 0: empty (mix(0) is not used) */
static uint64_t nr_places;

static uint64_t place_of(uint64_t key)
{
	return (uint64_t)((unsigned __int128)(key * 0x9e3779b97f4a7c15ull) * nr_places >> 64);
}

static void build(uint64_t nr)
{
	for (uint64_t i = 1; i <= nr; i++) {
		uint64_t key = mix(i), p = place_of(key);
		while (table[p].key != 0)
			p = p + 1 == nr_places ? 0 : p + 1;
		table[p] = (struct row){key, i};
	}
}

static const struct row *look_up(uint64_t key)
{
	for (uint64_t p = place_of(key); table[p].key != 0; p = p + 1 == nr_places ? 0 : p + 1) {
		if (table[p].key == key)
			return &table[p];
	}
	return NULL;
}

/* Return: how many rows of @large have a partner among the @nr_small of the small table. */
static uint64_t generate(struct row *large, uint64_t nr_large, uint64_t nr_small, uint64_t *ret_sum)
{
	struct zipf zipf;
	uint64_t rng = 1, nr = 0;
	zipf_init(&zipf, nr_small);
	for (uint64_t i = 0; i < nr_large; i++) {
		uint64_t which = 1 + zipf_next(&zipf, &rng);
		if (random_below(&rng, 4) == 0) {
			which += nr_small;
		} else {
			nr++;
			*ret_sum += which ^ i;
		}
		large[i] = (struct row){mix(which), i};
	}
	return nr;
}

int main(int argc, char **argv)
{
	static const struct option longs[] = {
	    {"footprint", 1, NULL, 'f'}, {"queries", 1, NULL, 'q'}, {0}};
	uint64_t footprint = 256u << 20, queries = 3, wrong = 0;
	int c;
	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		if (c == 'f')
			footprint = number_or_die("--footprint", optarg);
		else if (c == 'q')
			queries = number_or_die("--queries", optarg);
		else
			return 2;
	}
	nr_places = footprint / 8 / sizeof(struct row);
	uint64_t nr_small = nr_places * 2 / 3, nr_large = footprint * 5 / 8 / sizeof(struct row);
	uint64_t nr_out = footprint / 4 / sizeof(uint64_t), expected = 0;
	if (nr_small < 2) {
		fprintf(stderr, "hash_join: --footprint is too small\n");
		return 2;
	}
	table = map_or_die(nr_places * sizeof(struct row));
	struct row *large = map_or_die(nr_large * sizeof(struct row));
	uint64_t *out = map_or_die(nr_out * sizeof(uint64_t));

	double start = now();
	build(nr_small);
	uint64_t nr_expected = generate(large, nr_large, nr_small, &expected);
	for (uint64_t q = 0; q < queries; q++) {
		uint64_t nr = 0, sum = 0;
		for (uint64_t i = 0; i < nr_large; i++) {
			const struct row *partner = look_up(large[i].key);
			if (partner != NULL && nr < nr_out)
				out[nr++] = partner->value ^ large[i].value;
		}
		for (uint64_t i = 0; i < nr; i++)
			sum += out[i];
		wrong += nr != nr_expected || sum != expected;
	}
	printf("{\"rows\": %llu, \"matches\": %llu, \"queries\": %llu, \"seconds\": %.3f, "
	       "\"wrong\": %llu}\n",
	    (unsigned long long)nr_large, (unsigned long long)nr_expected,
	    (unsigned long long)queries, now() - start, (unsigned long long)wrong);
	return wrong != 0;
}
