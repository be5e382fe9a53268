// SPDX-License-Identifier: MIT
/*
 * Programs of known access order: touches pages of one mapping as PATTERN says, and writes down
 * the string of page numbers that this is, as a plain list for `faultline replay`. Everything else
 * that it uses is in .bss or on its stack, and so unmanaged. Each page carries a stamp and is
 * verified at every touch.
 *
 *     order PATTERN PAGES REFS LIST
 *
 * loop: round and round · column: a matrix of 16-page rows by columns · random · phases: working
 * sets that move on · belady: the string of the anomaly, two pages for each · zipf: a few hot pages
 * · mixed: random, every third a write to any page
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define MAX_PAGES 65536u
#define PAGE      4096u

static uint32_t version[MAX_PAGES];
static uint64_t rng = 88172645463325252u;
static uint32_t nr_pages, nr_refs;
static const char *pattern;

static uint32_t rnd(uint32_t below)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return (uint32_t)((rng >> 20) % below);
}

static uint32_t page_of(uint32_t i)
{
	static const uint8_t belady[] = {1, 2, 3, 4, 1, 2, 5, 1, 2, 3, 4, 5};

	if (!strcmp(pattern, "loop"))
		return i % nr_pages;
	if (!strcmp(pattern, "column"))
		return i % (nr_pages / 16) * 16 + i / (nr_pages / 16) % 16;
	if (!strcmp(pattern, "phases"))
		return (i / 400 * (nr_pages / 8) + rnd(nr_pages / 4)) % nr_pages;
	if (!strcmp(pattern, "belady"))
		return (belady[i / 2 % 12] - 1u) * 2 + i % 2;
	if (!strcmp(pattern, "zipf")) {
		uint32_t below = nr_pages;

		while (below > 1 && rnd(3))
			below = below * 2 / 3;
		return rnd(below);
	}
	return rnd(nr_pages);
}

static int is_write(uint32_t i)
{
	return !strcmp(pattern, "mixed") ? rnd(3) == 0 : i % 5 == 0;
}

/* Return: 0, or 1 when the page has lost its stamp. */
static int touch(volatile uint32_t *p, uint32_t page, int write)
{
	if (write)
		*p = ++version[page];
	else if (*p != version[page])
		return 1;
	return 0;
}

int main(int argc, char **argv)
{
	static char text[65536];
	size_t len = 0;
	int bad = 0;

	if (argc != 5)
		return 2;
	pattern = argv[1];
	nr_pages = (uint32_t)atoi(argv[2]);
	nr_refs = (uint32_t)atoi(argv[3]);
	int fd = open(argv[4], O_WRONLY | O_CREAT | O_TRUNC, 0666);
	if (fd < 0 || nr_pages > MAX_PAGES)
		return 2;
	char *base = mmap(NULL, (size_t)nr_pages * PAGE, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (base == MAP_FAILED)
		return 2;
	for (uint32_t i = 0; i < nr_refs; i++) {
		uint32_t page = page_of(i);
		int write_it = is_write(i);

		bad += touch((uint32_t *)(void *)(base + (size_t)page * PAGE), page, write_it);
		len += (size_t)sprintf(
		    text + len, "%lu%s\n", ((uintptr_t)base / PAGE) + page, write_it ? " w" : "");
		if (len > sizeof(text) - 64 || i == nr_refs - 1) {
			if (write(fd, text, len) != (ssize_t)len)
				return 2;
			len = 0;
		}
	}
	close(fd);
	return bad ? 1 : 0;
}
