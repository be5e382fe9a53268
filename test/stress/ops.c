// SPDX-License-Identifier: MIT
/* Which operations there are, and how often each is done. */
#include <stdio.h>

#include "stress.h"

#define ALWAYS  1u
#define IN_SOAK 2u /* only with --all, of which each must have been done */

static bool op_write(struct worker *w, struct area *a)
{
	uint32_t p = random_page(w, a);
	if (random_below(&w->rng, 2) == 0)
		page_check(w, a, p, "before a write");
	page_rewrite(w, a, p);
	if (random_below(&w->rng, 4) == 0)
		page_check(w, a, p, "after a write");
	return true;
}

static bool op_verify(struct worker *w, struct area *a)
{
	page_check(w, a, random_page(w, a), "at random");
	return true;
}

static bool op_fill_run(struct worker *w, struct area *a)
{
	run_rewrite(w, a, random_run(w, a));
	return true;
}

static bool op_verify_run(struct worker *w, struct area *a)
{
	run_check(w, a, random_run(w, a), "in a run");
	return true;
}

/* How often, in some 1600, and when. */
static const struct operation {
	const char *name;
	uint32_t weight, when;
	operation_fn *run;
} operations[] = {
    {"writes", 450, ALWAYS, op_write},
    {"verifies", 270, ALWAYS, op_verify},
    {"runs filled", 40, ALWAYS, op_fill_run},
    {"runs verified", 50, ALWAYS, op_verify_run},
    {"shared verifies", 110, ALWAYS, op_shared_verify},
    {"shared writes", 12, ALWAYS, op_shared_write},
    {"discards", 25, ALWAYS, op_dontneed},
    {"protections", 20, ALWAYS, op_protect},
    {"partial unmaps", 15, ALWAYS, op_unmap_part},
    {"holes mapped", 25, ALWAYS, op_map_hole},
    {"maps over", 15, ALWAYS, op_map_over},
    {"resizes", 10, ALWAYS, op_resize},
    {"moves", 10, ALWAYS, op_move},
    {"new areas", 10, ALWAYS, op_replace},
    {"pread into", 30, ALWAYS, op_read_in},
    {"pwrite from", 30, ALWAYS, op_write_out},
    {"frees", 15, IN_SOAK, op_free},
    {"advice", 40, IN_SOAK, op_advise},
    {"populations", 20, IN_SOAK, op_populate},
    {"protections for good", 40, IN_SOAK, op_protect_for_good},
    {"files over", 8, IN_SOAK, op_map_file_over},
    {"executable", 8, IN_SOAK, op_execute},
    {"marks for fork", 20, IN_SOAK, op_inherit},
    {"locks", 60, IN_SOAK, op_lock},
    {"unlocks", 60, IN_SOAK, op_unlock},
    {"mincore", 20, IN_SOAK, op_mincore},
    {"msync", 10, IN_SOAK, op_msync},
    {"made alike", 40, IN_SOAK, op_normalise},
    {"moves over", 10, IN_SOAK, op_move_over},
    {"parts moved", 10, IN_SOAK, op_move_part},
    {"moves away", 4, IN_SOAK, op_move_away},
    {"moves that leave", 10, IN_SOAK, op_dontunmap},
    {"pread of runs", 10, IN_SOAK, op_read_run},
    {"pwrite of runs", 10, IN_SOAK, op_write_run},
    {"readv", 15, IN_SOAK, op_readv},
    {"messages", 15, IN_SOAK, op_message},
    {"pipes", 15, IN_SOAK, op_pipe},
    {"O_DIRECT", 10, IN_SOAK, op_direct},
    {"EFAULT", 20, IN_SOAK, op_efault},
    {"SIGSEGV", 20, IN_SOAK, op_touch_forbidden},
    {"threads", 5, IN_SOAK, op_thread},
    {"own forks", 2, IN_SOAK, op_fork},
    {"vforks", 4, IN_SOAK, op_vfork},
    {"programs", 1, IN_SOAK, op_spawn},
};

#define NR_OPERATIONS (sizeof(operations) / sizeof(*operations))
_Static_assert(NR_OPERATIONS <= MAX_OPERATIONS, "worker.nr is too short");

static bool is_wanted(const struct operation *o)
{
	return o->when == ALWAYS || opt.all;
}

static uint32_t total_weight(void)
{
	uint32_t total = 0;
	for (uint32_t i = 0; i < NR_OPERATIONS; i++)
		total += is_wanted(&operations[i]) ? operations[i].weight : 0;
	return total;
}

void operate(struct worker *w)
{
	struct area *a = &w->areas[random_below(&w->rng, MAX_AREAS)];
	uint32_t dice = (uint32_t)random_below(&w->rng, total_weight()), i = 0;
	while (!is_wanted(&operations[i]) || dice >= operations[i].weight) {
		dice -= is_wanted(&operations[i]) ? operations[i].weight : 0;
		i++;
	}
	if (operations[i].run(w, a))
		w->nr[i]++;
	w->nr_done++;
}

static uint64_t nr_done(uint32_t operation)
{
	uint64_t n = 0;
	for (uint32_t k = 0; k < opt.threads; k++)
		n += workers[k].nr[operation];
	return n;
}

static bool is_never_done(uint32_t operation)
{
	const struct operation *o = &operations[operation];
	bool is_child = o->run == op_fork || o->run == op_vfork || o->run == op_spawn;
	return is_wanted(o) && (opt.fork || !is_child) && nr_done(operation) == 0;
}

bool operations_complete(void)
{
	for (uint32_t i = 0; i < NR_OPERATIONS; i++)
		if (is_never_done(i))
			return false;
	return true;
}

void operations_report(void)
{
	for (uint32_t i = 0; i < NR_OPERATIONS; i++)
		if (is_wanted(&operations[i]))
			printf(" %s %llu,", operations[i].name, (unsigned long long)nr_done(i));
	for (uint32_t i = 0; i < NR_OPERATIONS; i++)
		if (is_never_done(i))
			fprintf(stderr, "stress: never done: %s\n", operations[i].name);
}
