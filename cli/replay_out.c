// SPDX-License-Identifier: MIT
/* Results of a replay as a table, as CSV and as JSON; see replay.h. */
#include <jansson.h>
#include <string.h>

#include "replay.h"

static void print_cell(FILE *f, const struct replay_results *r, const struct replay_result *at)
{
	fprintf(f, "%-14s %10u %14llu %8.4f", sim_policy_name(at->policy), at->frames,
	    (unsigned long long)at->counts.faults, miss_ratio(&at->counts));
	if (at->has_writebacks)
		fprintf(f, " %12llu", (unsigned long long)at->counts.writebacks);
	else
		fprintf(f, " %12s", "-");
	if (at->policy.live)
		fprintf(f, " %12llu", (unsigned long long)at->counts.refills);
	else if (r->tlb.entries)
		fprintf(f, " %12s", "-");
	if (r->tlb.entries)
		fprintf(f, " %12llu", (unsigned long long)at->counts.tlb_misses);
	fputc('\n', f);
}

void replay_print_table(FILE *f, const struct replay_results *r)
{
	fprintf(f, "%s: %s, %llu references to %u pages\n", r->trace, r->format,
	    (unsigned long long)r->nr_refs, r->nr_distinct);
	if (r->sample < 1)
		fprintf(f,
		    "lru exact, others from %g of the pages; lru by that sample is off by %.4f on "
		    "average, %.4f at most\n",
		    r->sample, r->error_mean, r->error_max);
	if (r->tlb.entries)
		fprintf(f, "TLB of %u entries, %u-way, %s\n", r->tlb.entries, r->tlb.ways,
		    tlb_replacement_name(r->tlb.replacement));
	fprintf(f, "%-14s %10s %14s %8s %12s %12s%s\n", "policy", "frames", "faults", "misses",
	    "write-backs", "refills", r->tlb.entries ? "   TLB misses" : "");
	for (uint32_t p = 0; p < r->nr_policies; p++)
		for (uint32_t i = 0; i < r->nr_points; i++)
			print_cell(f, r, replay_at(r, p, i));
}

void replay_print_csv(FILE *f, const struct replay_results *r)
{
	fprintf(f, "policy,frames,references,faults,first,miss_ratio,writebacks,refills,sample%s\n",
	    r->tlb.entries ? ",tlb_hits,tlb_misses" : "");
	for (uint32_t p = 0; p < r->nr_policies; p++)
		for (uint32_t i = 0; i < r->nr_points; i++) {
			const struct replay_result *at = replay_at(r, p, i);
			const struct sim_counts *c = &at->counts;

			fprintf(f, "%s,%u,%llu,%llu,%llu,%.6f,", sim_policy_name(at->policy),
			    at->frames, (unsigned long long)c->refs, (unsigned long long)c->faults,
			    (unsigned long long)c->first, miss_ratio(c));
			if (at->has_writebacks)
				fprintf(f, "%llu", (unsigned long long)c->writebacks);
			fprintf(f, ",%llu,%g", (unsigned long long)c->refills,
			    at->has_writebacks ? r->sample : 1.0);
			if (r->tlb.entries)
				fprintf(f, ",%llu,%llu", (unsigned long long)c->tlb_hits,
				    (unsigned long long)c->tlb_misses);
			fputc('\n', f);
		}
}

static json_t *cell_json(const struct replay_results *r, const struct replay_result *at)
{
	const struct sim_counts *c = &at->counts;
	json_t *o = json_object();

	json_object_set_new(o, "policy", json_string(sim_policy_name(at->policy)));
	json_object_set_new(o, "frames", json_integer(at->frames));
	json_object_set_new(o, "faults", json_integer((json_int_t)c->faults));
	json_object_set_new(o, "first", json_integer((json_int_t)c->first));
	json_object_set_new(o, "miss_ratio", json_real(miss_ratio(c)));
	if (at->has_writebacks)
		json_object_set_new(o, "writebacks", json_integer((json_int_t)c->writebacks));
	if (at->policy.live)
		json_object_set_new(o, "refills", json_integer((json_int_t)c->refills));
	if (r->tlb.entries) {
		json_object_set_new(o, "tlb_hits", json_integer((json_int_t)c->tlb_hits));
		json_object_set_new(o, "tlb_misses", json_integer((json_int_t)c->tlb_misses));
	}
	return o;
}

void replay_print_json(FILE *f, const struct replay_results *r)
{
	json_t *o = json_object(), *list = json_array();
	json_t *trace = json_string(r->trace);

	for (uint32_t p = 0; p < r->nr_policies; p++)
		for (uint32_t i = 0; i < r->nr_points; i++)
			json_array_append_new(list, cell_json(r, replay_at(r, p, i)));
	json_object_set_new(o, "trace", trace ? trace : json_string("(not UTF-8)"));
	json_object_set_new(o, "format", json_string(r->format));
	json_object_set_new(o, "references", json_integer((json_int_t)r->nr_refs));
	json_object_set_new(o, "pages", json_integer(r->nr_distinct));
	json_object_set_new(o, "sample", json_real(r->sample));
	if (r->sample < 1) {
		json_object_set_new(o, "error_mean", json_real(r->error_mean));
		json_object_set_new(o, "error_max", json_real(r->error_max));
	}
	json_object_set_new(o, "results", list);
	json_dumpf(o, f, JSON_INDENT(2) | JSON_REAL_PRECISION(8));
	fputc('\n', f);
	json_decref(o);
}
