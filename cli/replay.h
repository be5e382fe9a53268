// SPDX-License-Identifier: MIT
/*
 * `faultline replay`: what its files share.
 *
 *     replay.c          runs it                    replay_step.c  --step and --quiz
 *     replay_options.c  its command line           replay_out.c   table, CSV, JSON
 *     trace_file.c      traces from files          replay_plot.c  terminal and SVG plots
 */
#ifndef FL_CLI_REPLAY_H
#define FL_CLI_REPLAY_H

#include <stdio.h>

#include "cli.h"
#include "replay/miniature.h"
#include "replay/sim.h"
#include "trace_file.h"

#define REPLAY_MAX_POLICIES 32u
#define REPLAY_MAX_POINTS   4096u

struct replay_options {
	struct sim_policy policy[REPLAY_MAX_POLICIES];
	uint32_t nr_policies;
	uint32_t frames[REPLAY_MAX_POINTS];
	uint32_t nr_frames;
	bool curve, step, quiz, is_quiet;
	struct tlb_geometry tlb; /* entries 0: none in front */
	double sample;           /* 0: decide; 1: exact */
	double held;             /* share of the frames; negative: replay_held() decides */
	uint64_t limit;
	const char *csv, *json, *svg; /* NULL: not wanted; "-": stdout */
	const char *trace;
	struct trace_options trace_options;
};

/* One cell of the table, or one point of a curve. */
struct replay_result {
	struct sim_policy policy;
	uint32_t frames;
	bool has_writebacks; /* the one pass for LRU's curve does not know them */
	struct sim_counts counts;
};

struct replay_results {
	const char *trace;
	const char *format;
	uint64_t nr_refs;
	uint32_t nr_distinct;
	bool is_curve;
	struct tlb_geometry tlb;      /* entries 0: none */
	double sample;                /* of policies other than lru in a curve; 1: exact */
	double error_mean, error_max; /* of miss ratios, as measured with LRU; where sample < 1 */
	uint32_t nr_policies, nr_points;
	struct replay_result *result; /* [policy * nr_points + point] */
};

/* Return: STATUS_GO_ON, or an exit status: help was printed, or it is wrong and was said. */
int replay_options_read(struct replay_options *o, int argc, char **argv);

/* Share of @nr_frames that may be held: the live pager's, an eighth; with fewer frames than a live
 * program may have, all of them, as if each had a reference bit. */
double replay_held(const struct replay_options *o, uint32_t nr_frames);
uint32_t replay_max_held(const struct replay_options *o, uint32_t nr_frames);

static inline const struct replay_result *replay_at(
    const struct replay_results *r, uint32_t policy, uint32_t point)
{
	return &r->result[policy * r->nr_points + point];
}

static inline double miss_ratio(const struct sim_counts *c)
{
	return c->refs ? (double)c->faults / (double)c->refs : 0;
}

void replay_print_table(FILE *f, const struct replay_results *r);
void replay_print_csv(FILE *f, const struct replay_results *r);
void replay_print_json(FILE *f, const struct replay_results *r);
void replay_print_plot(FILE *f, const struct replay_results *r);
void replay_print_svg(FILE *f, const struct replay_results *r);

/* --step and --quiz. Return: the exit status. */
int replay_step(const struct replay_options *o);

#endif
