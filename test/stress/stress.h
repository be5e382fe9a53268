// SPDX-License-Identifier: MIT
/* What stress.c, area.c and page.c share. */
#ifndef FL_TEST_STRESS_H
#define FL_TEST_STRESS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PAGE_BYTES     4096u
#define PAGE_WORDS     (PAGE_BYTES / 8u)
#define MAX_WORKERS    64u
#define MAX_AREAS      24u
#define MAX_AREA_PAGES 8192u

/* Versions of a page. */
#define VERSION_ZERO 0u         /* mapped and never written: reads as zeros */
#define VERSION_NONE UINT32_MAX /* not mapped */

enum op {
	OP_WRITE,
	OP_VERIFY,
	OP_FILL_RUN,
	OP_VERIFY_RUN,
	OP_DONTNEED,
	OP_PROTECT,
	OP_UNMAP_PART,
	OP_MAP_HOLE,
	OP_MAP_OVER,
	OP_RESIZE,
	OP_MOVE,
	OP_REPLACE,
	OP_READ_IN,
	OP_WRITE_OUT,
	OP_SHARED_VERIFY,
	OP_SHARED_WRITE,
	NR_OPS,
};

#define OP_NAMES                                                                            \
	"writes", "verifies", "runs filled", "runs verified", "discards", "protections",    \
	    "partial unmaps", "holes mapped", "maps over", "resizes", "moves", "new areas", \
	    "pread into", "pwrite from", "shared verifies", "shared writes"

struct area {
	uint64_t *base; /* NULL: no such area */
	uint32_t nr_pages;
	uint32_t serial; /* of this thread's areas: no two have the same stamps */
	bool has_holes;
	uint32_t version[MAX_AREA_PAGES];
};

struct worker {
	pthread_t thread;
	pthread_mutex_t in_operation;
	uint32_t index;
	uint32_t next_serial;
	uint32_t mean_pages; /* of an area */
	uint64_t rng;
	int file; /* for reads and writes; -1 until needed */
	uint64_t nr[NR_OPS];
	struct area areas[MAX_AREAS];
};

struct stress_options {
	uint32_t threads, seconds;
	uint64_t footprint, seed;
	bool fork, io;
};

extern struct stress_options opt;
extern struct worker workers[MAX_WORKERS];
extern _Atomic uint64_t nr_wrong;

/* End the program with status 2: the test itself could not go on. */
_Noreturn void die(const char *what);

/* page.c */
struct page_id {
	uint32_t owner, area, page;
};

uint64_t mix64(uint64_t x);
uint64_t random_next(uint64_t *state);
uint64_t random_below(uint64_t *state, uint64_t n);

/* Write the stamp of @version over the whole page. */
void page_fill(uint64_t *page, struct page_id id, uint32_t version);
/* Count and describe the page unless it holds @version, every word of it. */
void page_verify(const uint64_t *page, struct page_id id, uint32_t version, const char *when);

/* area.c */
void area_open_all(struct worker *w);
void area_operate(struct worker *w); /* one random operation */
void area_verify_all(struct worker *w, const char *when);

#endif
