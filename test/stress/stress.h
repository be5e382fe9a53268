// SPDX-License-Identifier: MIT
/* What the files of the stress program share. */
#ifndef FL_TEST_STRESS_H
#define FL_TEST_STRESS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define PAGE_BYTES     4096u
#define PAGE_WORDS     (PAGE_BYTES / 8u)
#define MAX_WORKERS    64u
#define MAX_AREAS      24u
#define MAX_AREA_PAGES 8192u
#define MAX_OPERATIONS 64u

/* Versions of a page. */
#define VERSION_ZERO 0u         /* mapped and never written: reads as zeros */
#define VERSION_NONE UINT32_MAX /* not mapped */

/* What the program may do to a page. */
enum access {
	ACCESS_NONE,
	ACCESS_READ,
	ACCESS_WRITE,
};

/* What a forked child has of a page, if not a copy. */
#define INHERIT_ZERO 1u /* MADV_WIPEONFORK */
#define INHERIT_NOT  2u /* MADV_DONTFORK */

struct run {
	uint32_t first, nr;
};

struct area {
	uint64_t *base; /* NULL: no such area */
	uint32_t nr_pages;
	uint32_t serial; /* of this thread's areas: no two have the same stamps */
	bool has_holes;
	struct run locked; /* by mlock */
	uint32_t version[MAX_AREA_PAGES];
	uint8_t access[MAX_AREA_PAGES]; /* enum access */
	uint8_t inherit[MAX_AREA_PAGES];
};

struct worker {
	pthread_t thread;
	pthread_mutex_t in_operation;
	uint32_t index;
	uint32_t next_serial;
	uint32_t mean_pages; /* of an area */
	uint64_t rng;
	int file, disk;              /* for reads and writes; -1 until needed */
	uint64_t nr[MAX_OPERATIONS]; /* how often each was done */
	_Atomic uint64_t nr_done;    /* for the watchdog */
	struct area areas[MAX_AREAS];
};

struct stress_options {
	uint32_t threads, seconds;
	uint64_t footprint, seed;
	bool fork, all;
	const char *dir; /* for files with O_DIRECT */
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
bool page_is(const uint64_t *page, struct page_id id, uint32_t version);
/* Count what else is wrong. */
void wrong(const void *where, const char *what);

/* area.c: areas, and what their pages must hold */
void area_open_all(struct worker *w);
void area_open(struct worker *w, struct area *a);
void area_close(struct area *a);
void area_verify_all(struct worker *w, const char *when);
/* In a forked child: what it has not inherited. */
void area_inherit_all(struct worker *w);
uint64_t *page_at(const struct area *a, uint32_t page);
struct page_id id_of(const struct worker *w, const struct area *a, uint32_t page);
/* The pages are new: hold @version, with this access. */
void area_renew(struct area *a, struct run r, uint32_t version, enum access access);
/* They hold @version, else as before. */
void area_forget(struct area *a, struct run r, uint32_t version);
/* Write a new version, if the page may be written; look at it, if it may be read. */
void page_rewrite(struct worker *w, struct area *a, uint32_t p);
void page_check(struct worker *w, struct area *a, uint32_t p, const char *when);
void run_rewrite(struct worker *w, struct area *a, struct run r);
void run_check(struct worker *w, struct area *a, struct run r, const char *when);
/* A random run of pages, mostly short; a random page. */
struct run random_run(struct worker *w, const struct area *a);
uint32_t random_page(struct worker *w, const struct area *a);
struct area *other_area(struct worker *w, const struct area *a);
bool page_may(const struct area *a, uint32_t p, enum access least);
/* Cut @r before its first hole, or page of less than that access. Return: whether anything is left.
 */
bool run_cut(const struct area *a, struct run *r, enum access least);
void area_unlock(struct area *a);

/* An operation on an area. Return: false if it is not possible just now. */
typedef bool operation_fn(struct worker *w, struct area *a);

/* ops_map.c: mapping calls */
operation_fn op_dontneed, op_free, op_advise, op_populate, op_protect, op_protect_for_good,
    op_unmap_part, op_map_hole, op_map_over, op_map_file_over, op_execute, op_inherit, op_lock,
    op_unlock, op_mincore, op_msync, op_replace;
/* ops_remap.c */
operation_fn op_normalise, op_resize, op_move, op_move_over, op_move_part, op_move_away,
    op_dontunmap;
/* ops_io.c: system calls on paged memory */
operation_fn op_read_in, op_write_out, op_read_run, op_write_run, op_readv, op_message, op_pipe,
    op_direct, op_efault, op_touch_forbidden;
/* children.c */
operation_fn op_fork, op_vfork, op_spawn, op_thread;

/* ops.c: one random operation */
void operate(struct worker *w);
/* Whether each was done. Only roughly while they go on. */
bool operations_complete(void);
/* Print how often each was. */
void operations_report(void);

/* shared.c: pages that all threads verify, and now and then somebody rewrites; and pages that only
 * a signal handler looks at. */
void shared_open(void);
void shared_verify_all(const char *when);
/* In a child that nobody else uses. */
void shared_rewrite_some(void);
operation_fn op_shared_verify, op_shared_write;
/* Interrupt a random worker, whose handler verifies a page. */
void shared_disturb(uint64_t *rng);

/* children.c */
#define MAX_CHILDREN 4
/* Fork while nobody is in the middle of a page, if there is room for one more child. */
void children_fork(uint64_t seed);
/* Return: how many children ended badly. */
uint32_t children_collect(bool wait);
uint32_t children_forked(void);
/* What a program that op_spawn() started does. Return: its exit status. */
int children_spawned(const char *text, const char *sum);

#endif
