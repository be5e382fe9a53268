// SPDX-License-Identifier: MIT
/*
 * `faultline replay`: a trace through memories under policies.
 *
 * A table is made in one pass with all memories side by side, and LRU's curve in one pass too: for
 * these, memory depends on the distinct pages only. What must know the future (opt), or the number
 * of distinct pages before it starts (a curve's points), keeps the trace in memory.
 */
#include "replay.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "replay/stack.h"

#define CURVE_POINTS  32u
#define EXACT_WORK    200000000u /* references simulated for one policy's curve; seconds */
#define SAMPLED_PAGES 16384.0    /* guess; the error is measured, and printed */
#define MIN_MINIATURE 64.0       /* frames; smaller ones say little of the memory they stand for */

struct replay {
	struct replay_options o;
	struct trace_file file;
	struct replay_results results;
	uint32_t *refs; /* the whole trace, where it is kept */
	uint64_t *next_use;
	struct sim **sims; /* for a table: [policy * nr_frames + size] */
	struct stack stack;
};

static int no_memory(void)
{
	return complain(STATUS_FAILED, "no memory; try fewer sizes or policies, or --limit N");
}

static bool is_lru(struct sim_policy p)
{
	return p.accesses == &access_lru;
}

static bool needs_future(const struct replay_options *o)
{
	for (uint32_t i = 0; i < o->nr_policies; i++)
		if (o->policy[i].accesses && o->policy[i].accesses->needs_next_use)
			return true;
	return false;
}

static int results_init(struct replay *r, const uint32_t *frames, uint32_t nr_points)
{
	struct replay_results *s = &r->results;

	s->trace = r->o.trace;
	s->is_curve = r->o.curve;
	s->tlb = r->o.tlb;
	s->sample = 1;
	s->nr_policies = r->o.nr_policies;
	s->nr_points = nr_points;
	s->result = calloc((size_t)s->nr_policies * nr_points, sizeof(*s->result));
	if (!s->result)
		return no_memory();
	for (uint32_t p = 0; p < s->nr_policies; p++)
		for (uint32_t i = 0; i < nr_points; i++)
			s->result[p * nr_points + i] = (struct replay_result){
			    .policy = r->o.policy[p], .frames = frames[i], .has_writebacks = true};
	return STATUS_GO_ON;
}

static void results_finish(struct replay *r)
{
	r->results.format = trace_format_names[trace_format(r->file.reader)];
	r->results.nr_refs = r->file.nr_refs;
	r->results.nr_distinct = r->file.map.nr;
	trace_file_progress_done(&r->file);
}

/* --- table --- */

static int open_sims(struct replay *r)
{
	uint32_t nr = r->o.nr_policies * r->o.nr_frames;

	r->sims = calloc(nr, sizeof(*r->sims));
	if (!r->sims)
		return no_memory();
	for (uint32_t i = 0; i < nr; i++) {
		uint32_t frames = r->o.frames[i % r->o.nr_frames];

		r->sims[i] = sim_open(
		    r->o.policy[i / r->o.nr_frames], frames, replay_max_held(&r->o, frames));
		if (!r->sims[i])
			return no_memory();
		if (!r->o.tlb.entries)
			continue;
		struct front_tlb *tlb = front_tlb_open(&r->o.tlb);
		if (!tlb)
			return no_memory();
		sim_set_tlb(r->sims[i], tlb);
	}
	return STATUS_GO_ON;
}

static int run_batch(struct replay *r, const uint32_t *refs, size_t nr, const uint64_t *next_use)
{
	for (uint32_t i = 0; i < r->o.nr_policies * r->o.nr_frames; i++) {
		sim_set_pages(r->sims[i], r->file.map.page_of);
		if (sim_run(r->sims[i], refs, nr, r->file.map.nr, next_use, NULL))
			return no_memory();
	}
	return STATUS_GO_ON;
}

/* Keep the whole trace, and what comes next at each reference. */
static int load(struct replay *r)
{
	int status = trace_file_load(&r->file, &r->refs);

	if (status != STATUS_GO_ON || !needs_future(&r->o))
		return status;
	r->next_use = malloc(r->file.nr_refs * sizeof(*r->next_use));
	if (!r->next_use || next_uses(r->refs, r->file.nr_refs, r->file.map.nr, r->next_use))
		return no_memory();
	return STATUS_GO_ON;
}

static int run_stored(struct replay *r)
{
	int status = load(r);

	for (uint64_t i = 0; status == STATUS_GO_ON && i < r->file.nr_refs; i += TRACE_BATCH)
		status = run_batch(
		    r, r->refs + i, MIN(r->file.nr_refs - i, TRACE_BATCH), r->next_use + i);
	return status;
}

static int run_streamed(struct replay *r)
{
	int status = STATUS_GO_ON;
	long n;

	while (status == STATUS_GO_ON && (n = trace_file_next(&r->file, true)) != 0)
		status = n < 0 ? STATUS_FAILED : run_batch(r, r->file.refs, (size_t)n, NULL);
	return status;
}

static int make_table(struct replay *r)
{
	int status = results_init(r, r->o.frames, r->o.nr_frames);

	if (status == STATUS_GO_ON)
		status = open_sims(r);
	if (status == STATUS_GO_ON)
		status = needs_future(&r->o) ? run_stored(r) : run_streamed(r);
	if (status != STATUS_GO_ON)
		return status;
	for (uint32_t i = 0; i < r->o.nr_policies * r->o.nr_frames; i++)
		r->results.result[i].counts = *sim_counts(r->sims[i]);
	results_finish(r);
	return STATUS_GO_ON;
}

/* --- curve --- */

/* Sizes for a curve from @min to @max frames: all, or evenly spaced on a logarithmic scale. */
static uint32_t spread(uint32_t min, uint32_t max, uint32_t *ret_frames)
{
	uint32_t nr = 0;
	double factor = pow((double)max / min, 1.0 / (CURVE_POINTS - 1)), x = min;

	if (max - min < CURVE_POINTS)
		factor = 1;
	for (; nr < CURVE_POINTS && (!nr || ret_frames[nr - 1] < max); x *= factor) {
		uint32_t frames = MIN((uint32_t)(x + 0.5), max);

		if (nr && frames <= ret_frames[nr - 1])
			frames = ret_frames[nr - 1] + 1;
		ret_frames[nr++] = frames;
	}
	ret_frames[nr - 1] = max;
	return nr;
}

/* Stack distances of everything, streamed or kept. */
static int run_stack(struct replay *r, bool is_stored)
{
	long n;

	if (stack_init(&r->stack))
		return no_memory();
	if (!is_stored) {
		while ((n = trace_file_next(&r->file, true)) > 0)
			if (stack_access(&r->stack, r->file.ids, (size_t)n, r->file.map.nr))
				return no_memory();
		return n < 0 ? STATUS_FAILED : STATUS_GO_ON;
	}
	for (uint64_t i = 0; i < r->file.nr_refs; i += TRACE_BATCH) {
		uint64_t nr = MIN(r->file.nr_refs - i, TRACE_BATCH);

		for (uint64_t j = 0; j < nr; j++)
			r->file.ids[j] = r->refs[i + j] >> 1;
		if (stack_access(&r->stack, r->file.ids, nr, r->file.map.nr))
			return no_memory();
	}
	return STATUS_GO_ON;
}

/* LRU's faults for the points of policy number @policy, and @ret_faults of the same. */
static int lru_points(struct replay *r, uint64_t *ret_faults)
{
	uint32_t nr = r->results.nr_points, max = r->file.map.nr;
	uint64_t *faults = malloc(((size_t)max + 1) * sizeof(*faults));

	if (!faults)
		return no_memory();
	stack_faults(&r->stack, max, faults);
	for (uint32_t i = 0; i < nr; i++)
		ret_faults[i] = faults[MIN(r->results.result[i].frames, max)];
	free(faults);
	for (uint32_t p = 0; p < r->o.nr_policies; p++) {
		if (!is_lru(r->o.policy[p]))
			continue;
		for (uint32_t i = 0; i < nr; i++) {
			r->results.result[p * nr + i].has_writebacks = false;
			r->results.result[p * nr + i].counts = (struct sim_counts){
			    .refs = r->file.nr_refs, .faults = ret_faults[i], .first = max};
		}
	}
	return STATUS_GO_ON;
}

/* How far off sampling is: LRU sampled against LRU exact, at every point. */
static int measure_error(struct replay *r, const struct sample *s, const uint64_t *lru)
{
	double sum = 0, max = 0;

	for (uint32_t i = 0; i < r->results.nr_points; i++) {
		struct sim_counts c;

		if (sample_run(s, sim_policy_find("lru"), r->results.result[i].frames, 0, &c))
			return no_memory();
		double error = miss_ratio(&c) - (double)lru[i] / (double)r->file.nr_refs;
		error = error < 0 ? -error : error;
		sum += error;
		max = MAX(max, error);
	}
	r->results.error_mean = sum / r->results.nr_points;
	r->results.error_max = max;
	return STATUS_GO_ON;
}

static int run_others(struct replay *r, const uint64_t *lru)
{
	uint32_t nr = r->results.nr_points;
	struct sample s;
	int status = STATUS_GO_ON;

	if (sample_take(&s, r->refs, r->file.nr_refs, &r->file.map, r->results.sample))
		return no_memory();
	if (!s.nr)
		status = complain(STATUS_FAILED,
		    "--sample %g: no page of this trace is in so small a sample", r->o.sample);
	else if (r->results.sample < 1)
		status = measure_error(r, &s, lru);
	for (uint32_t i = 0; status == STATUS_GO_ON && i < r->o.nr_policies * nr; i++) {
		struct replay_result *at = &r->results.result[i];

		if (!is_lru(at->policy) && sample_run(&s, at->policy, at->frames,
		                               replay_held(&r->o, at->frames), &at->counts))
			status = no_memory();
	}
	sample_fini(&s);
	return status;
}

static double rate_of(const struct replay *r)
{
	uint32_t nr_points = r->o.nr_frames ? r->o.nr_frames : CURVE_POINTS;

	if (r->o.sample > 0)
		return r->o.sample;
	if (r->file.nr_refs * nr_points <= EXACT_WORK)
		return 1;
	return MIN(1.0, SAMPLED_PAGES / MAX(r->file.map.nr, 1u));
}

/* Decide on the sizes, and on how to get at them. */
static int choose_points(struct replay *r, bool only_lru)
{
	double rate = only_lru ? 1 : rate_of(r);
	double min = rate < 1 ? MIN_MINIATURE / rate : 1;

	if (!r->o.nr_frames && min > r->file.map.nr)
		return complain(STATUS_FAILED,
		    "--sample %g: leaves too little of %u pages; give a larger share, or --exact",
		    rate, r->file.map.nr);
	if (!r->o.nr_frames)
		r->o.nr_frames = spread((uint32_t)min, r->file.map.nr, r->o.frames);
	for (uint32_t i = 0; i < r->o.nr_frames; i++)
		if (r->o.frames[i] < (uint32_t)min)
			return complain(STATUS_FAILED,
			    "--frames %u: too few for a sample of %g of the pages; give %.0f or "
			    "more, a larger --sample, or --exact",
			    r->o.frames[i], rate, min);
	int status = results_init(r, r->o.frames, r->o.nr_frames);
	r->results.sample = rate;
	return status;
}

static int make_curve(struct replay *r)
{
	bool only_lru = r->o.nr_policies == 1 && is_lru(r->o.policy[0]);
	int status = only_lru ? run_stack(r, false) : trace_file_load(&r->file, &r->refs);

	if (status == STATUS_GO_ON && !only_lru)
		status = run_stack(r, true);
	if (status != STATUS_GO_ON)
		return status;
	status = choose_points(r, only_lru);
	if (status != STATUS_GO_ON)
		return status;
	uint64_t *lru = malloc(r->o.nr_frames * sizeof(*lru));
	status = lru ? lru_points(r, lru) : no_memory();
	if (status == STATUS_GO_ON && !only_lru)
		status = run_others(r, lru);
	free(lru);
	results_finish(r);
	return status;
}

/* --- */

static int write_file(const char *name, void (*print)(FILE *, const struct replay_results *),
    const struct replay_results *results)
{
	struct new_file n;

	if (!name)
		return STATUS_GO_ON;
	if (new_file_open(&n, name) != STATUS_GO_ON)
		return STATUS_FAILED;
	print(n.f, results);
	return new_file_commit(&n) == STATUS_OK ? STATUS_GO_ON : STATUS_FAILED;
}

/* So that a long replay is not for nothing. */
static int try_file(const char *name)
{
	struct new_file n;

	if (!name)
		return STATUS_GO_ON;
	int status = new_file_open(&n, name);
	new_file_abandon(&n);
	return status;
}

static bool is_stdout(const char *name)
{
	return name && !strcmp(name, "-");
}

static int write_results(const struct replay *r)
{
	const struct replay_options *o = &r->o;
	int status = write_file(o->csv, replay_print_csv, &r->results);

	if (status == STATUS_GO_ON)
		status = write_file(o->json, replay_print_json, &r->results);
	if (status == STATUS_GO_ON)
		status = write_file(o->svg, replay_print_svg, &r->results);
	if (status != STATUS_GO_ON || is_stdout(o->csv) || is_stdout(o->json) || is_stdout(o->svg))
		return status == STATUS_GO_ON ? STATUS_OK : status;
	if (o->curve)
		replay_print_plot(stdout, &r->results);
	replay_print_table(stdout, &r->results);
	return fflush(stdout) || ferror(stdout) ? STATUS_FAILED : STATUS_OK;
}

int command_replay(int argc, char **argv)
{
	struct replay *r = calloc(1, sizeof(*r));

	if (!r)
		return no_memory();
	int status = replay_options_read(&r->o, argc, argv);
	if (status == STATUS_GO_ON && (r->o.step || r->o.quiz)) {
		status = replay_step(&r->o);
	} else if (status == STATUS_GO_ON) {
		status = trace_file_open(
		    &r->file, r->o.trace, &r->o.trace_options, r->o.limit, !r->o.is_quiet);
		if (status == STATUS_GO_ON)
			status = try_file(r->o.csv);
		if (status == STATUS_GO_ON)
			status = try_file(r->o.json);
		if (status == STATUS_GO_ON)
			status = try_file(r->o.svg);
		if (status == STATUS_GO_ON)
			status = r->o.curve ? make_curve(r) : make_table(r);
		if (status == STATUS_GO_ON)
			status = write_results(r);
		trace_file_close(&r->file);
	}
	for (uint32_t i = 0; r->sims && i < r->o.nr_policies * r->o.nr_frames; i++)
		sim_close(r->sims[i]);
	free(r->sims);
	free(r->refs);
	free(r->next_use);
	free(r->results.result);
	stack_fini(&r->stack);
	free(r);
	return status;
}
