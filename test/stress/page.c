// SPDX-License-Identifier: MIT
/*
 * Stamps. A page holds its owner, area, number and version, 507 words that follow from those four
 * and the place in the page, and a checksum; so a wrong page can be told apart: lost (zeros),
 * stale (an older version, whole), foreign (another page's stamp, whole), or torn.
 */
#include <stdio.h>

#include "stress.h"

#define WORD_MAGIC    0
#define WORD_PLACE    1 /* owner << 48 | area << 24 | page */
#define WORD_VERSION  2
#define WORD_BODY     3
#define WORD_CHECKSUM (PAGE_WORDS - 1)
#define MAGIC         0x7374616d70656421ull
#define MAX_SHOWN     20u

uint64_t mix64(uint64_t x)
{
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ x >> 27) * 0x94d049bb133111ebull;
	return x ^ x >> 31;
}

uint64_t random_next(uint64_t *state)
{
	return mix64(*state += 0x9e3779b97f4a7c15ull);
}

uint64_t random_below(uint64_t *state, uint64_t n)
{
	return (uint64_t)((unsigned __int128)random_next(state) * n >> 64);
}

static uint64_t place_of(struct page_id id)
{
	return (uint64_t)id.owner << 56 | (uint64_t)id.area << 24 | id.page;
}

static uint64_t body_start(uint64_t place, uint64_t version)
{
	return mix64(mix64(place) ^ version);
}

/* Two versions in three are random from end to end; the others repeat one word from some place
 * on, and so compress to anything between nothing and nearly a page. */
static uint64_t body_next(uint64_t word, uint64_t start, uint32_t i)
{
	return start % 3 == 0 && i > start / 3 % PAGE_WORDS
	           ? word
	           : word * 6364136223846793005ull + 1442695040888963407ull;
}

void page_fill(uint64_t *page, struct page_id id, uint32_t version)
{
	uint64_t place = place_of(id), start = body_start(place, version), word = start, sum = 0;
	page[WORD_MAGIC] = MAGIC;
	page[WORD_PLACE] = place;
	page[WORD_VERSION] = version;
	for (uint32_t i = WORD_BODY; i < WORD_CHECKSUM; i++) {
		word = body_next(word, start, i);
		sum = sum * 3 + word;
		page[i] = word;
	}
	page[WORD_CHECKSUM] = sum;
}

/* Return: words of @page that are not those of the stamp that its own header claims. */
static uint32_t nr_torn_words(const uint64_t *page, uint64_t place, uint64_t version)
{
	uint64_t start = body_start(place, version), word = start, sum = 0;
	uint32_t nr = page[WORD_MAGIC] != MAGIC;
	for (uint32_t i = WORD_BODY; i < WORD_CHECKSUM; i++) {
		word = body_next(word, start, i);
		sum = sum * 3 + word;
		nr += page[i] != word;
	}
	return nr + (page[WORD_CHECKSUM] != sum);
}

static uint32_t nr_nonzero_words(const uint64_t *page)
{
	uint32_t nr = 0;
	for (uint32_t i = 0; i < PAGE_WORDS; i++)
		nr += page[i] != 0;
	return nr;
}

static bool is_right(const uint64_t *page, uint64_t place, uint32_t version)
{
	if (version == VERSION_ZERO)
		return nr_nonzero_words(page) == 0;
	return page[WORD_PLACE] == place && page[WORD_VERSION] == version &&
	       nr_torn_words(page, place, version) == 0;
}

static const char *what_is_wrong(const uint64_t *page, uint64_t place, uint32_t version)
{
	if (nr_nonzero_words(page) == 0)
		return "lost: all zeros";
	if (nr_torn_words(page, page[WORD_PLACE], page[WORD_VERSION]) != 0)
		return "torn: parts of different contents";
	if (page[WORD_PLACE] != place)
		return "foreign: another page's content, whole";
	return version == VERSION_ZERO ? "back from the dead: discarded content"
	                               : "stale: an older version, whole";
}

bool page_is(const uint64_t *page, struct page_id id, uint32_t version)
{
	return is_right(page, place_of(id), version);
}

void wrong(const void *where, const char *what)
{
	if (nr_wrong++ < MAX_SHOWN)
		fprintf(stderr, "stress: WRONG at %p: %s\n", where, what);
}

void page_verify(const uint64_t *page, struct page_id id, uint32_t version, const char *when)
{
	uint64_t place = place_of(id);
	if (is_right(page, place, version))
		return;
	/* Looked at again for the description: right now means that only the first read was. */
	bool is_right_now = is_right(page, place, version);
	if (nr_wrong++ >= MAX_SHOWN)
		return;
	fprintf(stderr,
	    "stress: WRONG page at %p (owner %u, area %u, page %u), %s: %s; expected version %u, "
	    "found place 0x%llx version %llu, %u words not zero\n",
	    (const void *)page, id.owner, id.area, id.page, when,
	    is_right_now ? "right when read again" : what_is_wrong(page, place, version), version,
	    (unsigned long long)page[WORD_PLACE], (unsigned long long)page[WORD_VERSION],
	    nr_nonzero_words(page));
}
