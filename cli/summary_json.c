// SPDX-License-Identifier: MIT
/* The summary as JSON; see summary.h. */
#include "summary.h"

#include <errno.h>
#include <jansson.h>
#include <string.h>

static json_t *number(uint64_t n)
{
	return json_integer((json_int_t)MIN(n, (uint64_t)INT64_MAX));
}

/* Names and paths are bytes; JSON wants UTF-8. */
static json_t *text(const char *bytes)
{
	char clean[512];
	json_t *value = json_string(bytes);
	size_t i;

	if (value)
		return value;
	for (i = 0; bytes[i] && i < sizeof(clean) - 1; i++)
		clean[i] = (unsigned char)bytes[i] < 0x80 ? bytes[i] : '?';
	clean[i] = '\0';
	return json_string(clean);
}

/* Three decimals of a microsecond are nanoseconds: more would be noise. */
static json_t *real(double n)
{
	return json_real((double)(int64_t)(n * 1000 + 0.5) / 1000);
}

static json_t *latency(const struct latency *l)
{
	return json_pack("{s:o, s:o, s:o}", "p50", real(l->p50_us), "p99", real(l->p99_us), "max",
	    real(l->max_us));
}

static json_t *percent(uint64_t part_ns, uint64_t whole_ns)
{
	return real(whole_ns ? 100.0 * (double)part_ns / (double)whole_ns : 0);
}

static void put_faults(json_t *o, const struct counts *c)
{
	json_object_set_new(o, "faults",
	    json_pack("{s:o, s:o, s:o, s:o, s:o}", "minor_zero", number(c->minor_zero),
	        "minor_refill", number(c->minor_refill), "minor_write", number(c->minor_write),
	        "major", number(c->major), "invalid", number(c->invalid)));
	json_object_set_new(o, "refaults", number(c->refaults));
	json_object_set_new(o, "evictions",
	    json_pack("{s:o, s:o, s:o, s:o}", "clean", number(c->evict_clean), "dirty",
	        number(c->evict_dirty), "zero", number(c->evict_zero), "same_content",
	        number(c->same_content)));
	json_object_set_new(o, "readahead",
	    json_pack("{s:o, s:o, s:o, s:o}", "pages", number(c->readahead_pages), "used",
	        number(c->readahead_used), "neighbours", number(c->neighbours), "refilled_along",
	        number(c->refilled_along)));
}

static void put_shootdowns(json_t *o, const struct counts *c)
{
	static const char *const names[FL_NR_SHOOTDOWNS] = {
	    [FL_SHOOTDOWN_WRITE] = "first_writes",
	    [FL_SHOOTDOWN_FAULT] = "other_faults",
	    [FL_SHOOTDOWN_PROTECT] = "protect",
	    [FL_SHOOTDOWN_UNMAP] = "unmap",
	    [FL_SHOOTDOWN_TIER] = "tier",
	    [FL_SHOOTDOWN_OTHER] = "other",
	};
	json_t *s = json_object();

	for (unsigned i = 0; i < FL_NR_SHOOTDOWNS; i++)
		json_object_set_new(s, names[i], number(c->shootdowns[i]));
	json_object_set_new(s, "waited", number(c->shootdowns_waited));
	json_object_set_new(s, "unmapped_pages", number(c->unmapped_pages));
	json_object_set_new(o, "shootdowns", s);
}

static void put_tlb(json_t *o, const struct process_summary *p)
{
	if (!p->tlb_entries)
		return;
	json_object_set_new(o, "tlb",
	    json_pack("{s:o, s:o, s:s, s:o, s:o, s:o, s:o}", "entries", number(p->tlb_entries),
	        "ways", number(p->tlb_ways), "replacement", p->tlb_replacement, "page_bytes",
	        number(p->tlb_pages * PAGE_BYTES), "misses", number(p->counts.tlb_misses),
	        "evictions", number(p->counts.tlb_evictions), "probes",
	        number(p->counts.tlb_probes)));
}

/* What larger pages would have brought in as a whole, and what of it was touched. */
static void put_waste(json_t *o, const struct process_summary *p)
{
	uint64_t whole = p->counts.tlb_units * p->tlb_pages * PAGE_BYTES;
	uint64_t touched = p->counts.minor_zero * PAGE_BYTES;

	if (p->tlb_pages > 1)
		json_object_set_new(o, "waste",
		    json_pack("{s:o, s:o}", "whole_pages_bytes", number(whole), "touched_bytes",
		        number(touched)));
}

static void put_io(json_t *o, const struct counts *c)
{
	json_object_set_new(o, "swap_io",
	    json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "read_bytes",
	        number(c->read_bytes), "written_bytes", number(c->written_bytes), "read_ops",
	        number(c->read_ops), "write_ops", number(c->write_ops), "read_errors",
	        number(c->read_errors), "write_errors", number(c->write_errors), "checksum_errors",
	        number(c->checksum_errors), "used_bytes", number(c->swap_used_bytes)));
	json_object_set_new(o, "file_io",
	    json_pack("{s:o, s:o}", "read_bytes", number(c->file_read_bytes), "written_bytes",
	        number(c->file_written_bytes)));
	json_object_set_new(o, "compressed",
	    json_pack("{s:o, s:o, s:o, s:o, s:o, s:o}", "pages", number(c->packed_pages), "bytes",
	        number(c->packed_bytes), "incompressible_pages", number(c->unpacked_pages),
	        "read_from_ram", number(c->tier_hits), "read_from_disk", number(c->packed_reads),
	        "ram_bytes_peak", number(c->tier_peak)));
	json_object_set_new(o, "guard",
	    json_pack(
	        "{s:o, s:o}", "calls", number(c->guard_calls), "pinned", number(c->pinned_calls)));
}

/* The part that processes and total have in common. */
static void put_sections(json_t *o, const struct process_summary *p)
{
	const struct counts *c = &p->counts;

	put_faults(o, c);
	put_shootdowns(o, c);
	put_io(o, c);
	put_tlb(o, p);
	put_waste(o, p);
	json_object_set_new(o, "frames",
	    json_pack(
	        "{s:o, s:o}", "budget", number(c->frames_budget), "peak", number(c->frames_peak)));
	json_object_set_new(o, "managed_bytes_peak", number(c->managed_peak));
	json_object_set_new(o, "outside_bytes_peak", number(c->outside_peak));
	json_object_set_new(o, "fault_us",
	    json_pack("{s:o, s:o}", "minor", latency(&p->minor), "major", latency(&p->major)));
	json_object_set_new(o, "stall",
	    json_pack("{s:o, s:o}", "some_pct", percent(c->stall_some_ns, p->wall_ns), "full_pct",
	        percent(c->stall_full_ns, p->wall_ns)));
}

static json_t *process(const struct process_summary *p)
{
	json_t *o = json_pack("{s:o, s:o, s:o, s:o, s:o, s:o}", "pid", number(p->pid), "ppid",
	    number(p->ppid), "program", text(p->program), "wall_s", real((double)p->wall_ns / 1e9),
	    "engine", text(p->engine), "policy", text(p->policy));

	json_object_set_new(o, "out_of_memory", json_boolean(p->is_out_of_memory));
	json_t *why = json_array();
	if (p->resident_why & FL_RESIDENT_IO_URING)
		json_array_append_new(why, text("io_uring"));
	if (p->resident_why & FL_RESIDENT_LIBAIO)
		json_array_append_new(why, text("libaio"));
	if (p->resident_why & FL_RESIDENT_SECCOMP)
		json_array_append_new(why, text("seccomp"));
	if (p->resident_why & FL_RESIDENT_GO)
		json_array_append_new(why, text("go"));
	json_object_set_new(o, "resident_because", why);
	put_sections(o, p);
	return o;
}

static void put_exit(json_t *o, const struct summary *s)
{
	bool has_code = s->has_ended && !s->exit_signal;
	bool has_signal = s->has_ended && s->exit_signal;

	json_object_set_new(o, "exit",
	    json_pack("{s:o, s:o}", "code", has_code ? json_integer(s->exit_code) : json_null(),
	        "signal", has_signal ? json_integer(s->exit_signal) : json_null()));
}

static json_t *whole(const struct summary *s, uint64_t interval)
{
	json_t *o = json_object(), *list = json_array(), *total = json_object();
	json_t *unmanaged = json_array();

	if (interval)
		json_object_set_new(o, "interval", number(interval));
	json_object_set_new(o, "program", text(s->program));
	if (!interval)
		put_exit(o, s);
	json_object_set_new(o, "wall_s", real((double)s->wall_ns / 1e9));
	json_object_set_new(o, "ram_bytes", number(s->ram_bytes));
	json_object_set_new(o, "page_bytes", number(PAGE_BYTES));
	json_object_set_new(o, "engine", text(s->engine));
	json_object_set_new(o, "policy", text(s->policy));
	json_object_set_new(o, "swap", text(s->swap));
	for (uint32_t i = 0; i < s->nr; i++)
		json_array_append_new(list, process(&s->processes[i]));
	json_object_set_new(o, "processes", list);
	put_sections(total, &s->total);
	json_object_set_new(o, "total", total);
	json_object_set_new(o, "uncounted_processes", number(s->nr_uncounted));
	json_object_set_new(o, "unmanaged_execs", number(s->nr_unmanaged_execs));
	for (uint32_t i = 0; i < s->nr_unmanaged; i++)
		json_array_append_new(
		    unmanaged, json_pack("{s:o, s:o}", "program", text(s->unmanaged[i].program),
		                   "execs", number(s->unmanaged[i].nr_execs)));
	json_object_set_new(o, "unmanaged_programs", unmanaged);
	if (s->trace)
		json_object_set_new(o, "trace",
		    json_pack("{s:o, s:o, s:o, s:o}", "file", text(s->trace), "files",
		        number(s->nr_trace_files), "faults", number(s->nr_traced), "lost",
		        number(s->nr_trace_lost)));
	return o;
}

int summary_write_json(const struct summary *s, FILE *f, uint64_t interval, bool is_line)
{
	json_t *o = whole(s, interval);
	size_t flags = JSON_REAL_PRECISION(15) | (is_line ? JSON_COMPACT : JSON_INDENT(2));

	errno = 0;
	int failed = !o || json_dumpf(o, f, flags);
	json_decref(o);
	if (failed || putc('\n', f) == EOF || fflush(f))
		return errno ? -errno : -ENOMEM;
	return 0;
}
