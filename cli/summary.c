// SPDX-License-Identifier: MIT
/* Taking the numbers; see summary.h. */
#include "summary.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* A copy of a histogram, or the sum of several. */
struct hist_copy {
	uint64_t max_ns, total, count[FL_HIST_BUCKETS];
};

static uint64_t get(const _Atomic uint64_t *field)
{
	/* Each field as it is; the owner may be counting. */
	return atomic_load_explicit((_Atomic uint64_t *)field, memory_order_relaxed);
}

static void hist_read(struct hist_copy *c, const struct fl_hist *h)
{
	c->max_ns = get(&h->max_ns);
	c->total = 0;
	for (unsigned b = 0; b < FL_HIST_BUCKETS; b++) {
		c->count[b] = get(&h->count[b]);
		c->total += c->count[b];
	}
}

static void hist_add(struct hist_copy *sum, const struct hist_copy *c)
{
	sum->max_ns = MAX(sum->max_ns, c->max_ns);
	sum->total += c->total;
	for (unsigned b = 0; b < FL_HIST_BUCKETS; b++)
		sum->count[b] += c->count[b];
}

/* The middle of the bucket that holds the value at @percent of the way, in us. */
static double hist_percentile(const struct hist_copy *c, unsigned percent)
{
	uint64_t rank = (c->total * percent + 99) / 100, below = 0;

	for (unsigned b = 0; b < FL_HIST_BUCKETS; b++) {
		below += c->count[b];
		if (below < rank || !below)
			continue;
		double middle = (double)(fl_hist_floor(b) + fl_hist_floor(b + 1)) / 2;
		return MIN(middle, (double)c->max_ns) / 1000;
	}
	return 0;
}

static struct latency hist_latency(const struct hist_copy *c)
{
	return (struct latency){
	    .p50_us = hist_percentile(c, 50),
	    .p99_us = hist_percentile(c, 99),
	    .max_us = (double)c->max_ns / 1000,
	};
}

static void copy_text(char *ret_text, size_t bytes, const char *field, size_t field_bytes)
{
	size_t len = strnlen(field, MIN(field_bytes, bytes - 1));

	memcpy(ret_text, field, len);
	ret_text[len] = '\0';
}

static void read_counts(struct counts *c, const struct fl_process *r)
{
	*c = (struct counts){
	    .minor_zero = get(&r->minor_zero),
	    .minor_refill = get(&r->minor_refill) + get(&r->minor_write),
	    .minor_write = get(&r->minor_write),
	    .major = get(&r->major),
	    .invalid = get(&r->invalid),
	    .evict_clean = get(&r->evict_clean),
	    .evict_dirty = get(&r->evict_dirty),
	    .evict_zero = get(&r->evict_zero),
	    .readahead_pages = get(&r->readahead_pages),
	    .readahead_used = get(&r->readahead_used),
	    .neighbours = get(&r->neighbours),
	    .refilled_along = get(&r->refilled_along),
	    .read_bytes = get(&r->read_bytes),
	    .file_read_bytes = get(&r->file_read_bytes),
	    .file_written_bytes = get(&r->file_written_bytes),
	    .written_bytes = get(&r->written_bytes),
	    .read_ops = get(&r->read_ops),
	    .write_ops = get(&r->write_ops),
	    .read_errors = get(&r->read_errors),
	    .write_errors = get(&r->write_errors),
	    .checksum_errors = get(&r->checksum_errors),
	    .same_content = get(&r->same_content),
	    .refaults = get(&r->refaults),
	    .guard_calls = get(&r->guard_calls),
	    .pinned_calls = get(&r->pinned_calls),
	    .swap_used_bytes = get(&r->swap_used_bytes),
	    .packed_pages = get(&r->packed_pages),
	    .packed_bytes = get(&r->packed_bytes),
	    .unpacked_pages = get(&r->unpacked_pages),
	    .tier_hits = get(&r->tier_hits),
	    .packed_reads = get(&r->packed_reads),
	    .tier_peak = get(&r->tier_bytes_peak),
	    .stall_some_ns = get(&r->stall_some_ns),
	    .stall_full_ns = get(&r->stall_full_ns),
	    .tlb_misses = get(&r->tlb_misses),
	    .tlb_evictions = get(&r->tlb_evictions),
	    .tlb_probes = get(&r->tlb_probes),
	    .tlb_units = get(&r->tlb_units),
	    .frames_budget = get(&r->frames_budget),
	    .frames_peak = get(&r->frames_peak),
	    .managed_peak = get(&r->managed_bytes_peak),
	    .outside_peak = get(&r->outside_bytes_peak),
	    .shootdowns_waited = get(&r->shootdowns_waited),
	    .unmapped_pages = get(&r->unmapped_pages),
	};
	for (unsigned i = 0; i < FL_NR_SHOOTDOWNS; i++)
		c->shootdowns[i] = get(&r->shootdowns[i]);
}

static void add_counts(struct counts *sum, const struct counts *c)
{
	sum->minor_zero += c->minor_zero;
	sum->minor_refill += c->minor_refill;
	sum->minor_write += c->minor_write;
	sum->major += c->major;
	sum->invalid += c->invalid;
	sum->evict_clean += c->evict_clean;
	sum->evict_dirty += c->evict_dirty;
	sum->evict_zero += c->evict_zero;
	sum->readahead_pages += c->readahead_pages;
	sum->readahead_used += c->readahead_used;
	sum->neighbours += c->neighbours;
	sum->refilled_along += c->refilled_along;
	sum->read_bytes += c->read_bytes;
	sum->file_read_bytes += c->file_read_bytes;
	sum->file_written_bytes += c->file_written_bytes;
	sum->written_bytes += c->written_bytes;
	sum->read_ops += c->read_ops;
	sum->write_ops += c->write_ops;
	sum->read_errors += c->read_errors;
	sum->write_errors += c->write_errors;
	sum->checksum_errors += c->checksum_errors;
	sum->same_content += c->same_content;
	sum->refaults += c->refaults;
	sum->packed_pages += c->packed_pages;
	sum->packed_bytes += c->packed_bytes;
	sum->unpacked_pages += c->unpacked_pages;
	sum->tier_hits += c->tier_hits;
	sum->packed_reads += c->packed_reads;
	sum->tier_peak = MAX(sum->tier_peak, c->tier_peak);
	sum->guard_calls += c->guard_calls;
	sum->pinned_calls += c->pinned_calls;
	sum->swap_used_bytes += c->swap_used_bytes;
	sum->stall_some_ns += c->stall_some_ns;
	sum->stall_full_ns += c->stall_full_ns;
	sum->tlb_misses += c->tlb_misses;
	sum->tlb_evictions += c->tlb_evictions;
	sum->tlb_probes += c->tlb_probes;
	sum->tlb_units += c->tlb_units;
	for (unsigned i = 0; i < FL_NR_SHOOTDOWNS; i++)
		sum->shootdowns[i] += c->shootdowns[i];
	sum->shootdowns_waited += c->shootdowns_waited;
	sum->unmapped_pages += c->unmapped_pages;
	sum->frames_budget = MAX(sum->frames_budget, c->frames_budget);
	sum->frames_peak = MAX(sum->frames_peak, c->frames_peak);
	sum->managed_peak = MAX(sum->managed_peak, c->managed_peak);
	sum->outside_peak = MAX(sum->outside_peak, c->outside_peak);
}

static void take_process(
    struct process_summary *p, const struct watch *w, uint32_t index, uint64_t now)
{
	const struct fl_process *r = watch_record(w, index);
	const struct watched *seen = &w->list[index];

	*p = (struct process_summary){
	    .pid = seen->pid,
	    .ppid = atomic_load(&((struct fl_process *)r)->ppid),
	    .is_live = !seen->is_over,
	    .is_out_of_memory = atomic_load(&((struct fl_process *)r)->is_out_of_memory),
	    .resident_why = atomic_load(&((struct fl_process *)r)->resident_why),
	    .wall_ns = watch_wall_ns(w, index, now),
	    .tlb_entries = r->tlb_entries,
	    .tlb_ways = r->tlb_ways,
	    .tlb_pages = r->tlb_pages,
	};
	copy_text(p->program, sizeof(p->program), r->program, sizeof(r->program));
	copy_text(p->engine, sizeof(p->engine), r->engine, sizeof(r->engine));
	copy_text(p->policy, sizeof(p->policy), r->policy, sizeof(r->policy));
	copy_text(p->tlb_replacement, sizeof(p->tlb_replacement), r->tlb_replacement,
	    sizeof(r->tlb_replacement));
	read_counts(&p->counts, r);
	p->counts.outside_peak = MAX(p->counts.outside_peak, seen->outside_peak);
	/* A stall still going on when the process died may have been counted past its last sign
	 * of life. */
	p->counts.stall_some_ns = MIN(p->counts.stall_some_ns, p->wall_ns);
	p->counts.stall_full_ns = MIN(p->counts.stall_full_ns, p->counts.stall_some_ns);
}

static void take_unmanaged(struct summary *s, struct fl_telemetry *h)
{
	s->nr_unmanaged_execs = atomic_load(&h->nr_unmanaged_execs);
	s->nr_unmanaged = 0;
	for (uint32_t i = 0; i < FL_NR_UNMANAGED; i++) {
		struct fl_unmanaged *from = &h->unmanaged[i];
		struct unmanaged_program *to = &s->unmanaged[s->nr_unmanaged];

		if (atomic_load(&from->state) != 2 || !atomic_load(&from->nr_execs))
			continue;
		to->nr_execs = atomic_load(&from->nr_execs);
		copy_text(to->program, sizeof(to->program), from->program, sizeof(from->program));
		s->nr_unmanaged++;
	}
}

int summary_take(struct summary *s, const struct watch *w, bool only_live, uint64_t now)
{
	struct hist_copy sums[2] = {0};
	uint32_t claimed = atomic_load(&watch_header(w)->nr_claimed);

	s->nr = 0;
	s->total = (struct process_summary){0};
	s->nr_uncounted = claimed > FL_NR_PROCESSES ? claimed - FL_NR_PROCESSES : 0;
	take_unmanaged(s, watch_header(w));
	s->processes = calloc(w->nr + 1, sizeof(*s->processes));
	if (!s->processes)
		return -ENOMEM;
	for (uint32_t i = 0; i < w->nr; i++) {
		const struct fl_process *r = watch_record(w, i);
		struct process_summary *p = &s->processes[s->nr];
		struct hist_copy hist;

		if (!w->list[i].is_seen)
			continue;
		take_process(p, w, i, now);
		if (!s->nr && r->swap[0])
			copy_text(s->swap, sizeof(s->swap), r->swap, sizeof(r->swap));
		hist_read(&hist, &r->minor);
		hist_add(&sums[0], &hist);
		p->minor = hist_latency(&hist);
		hist_read(&hist, &r->major_hist);
		hist_add(&sums[1], &hist);
		p->major = hist_latency(&hist);
		s->total.wall_ns += p->wall_ns;
		if (!s->total.tlb_entries) { /* the same in all: they have the same options */
			s->total.tlb_entries = p->tlb_entries;
			s->total.tlb_ways = p->tlb_ways;
			s->total.tlb_pages = p->tlb_pages;
			memcpy(s->total.tlb_replacement, p->tlb_replacement,
			    sizeof(p->tlb_replacement));
		}
		add_counts(&s->total.counts, &p->counts);
		s->nr += !only_live || p->is_live;
	}
	s->total.minor = hist_latency(&sums[0]);
	s->total.major = hist_latency(&sums[1]);
	return 0;
}

void summary_fini(struct summary *s)
{
	free(s->processes);
	s->processes = NULL;
	s->nr = 0;
}
