// SPDX-License-Identifier: MIT
/*
 * The numbers of a run, taken out of the telemetry file at one moment, and their two forms: for
 * people and as JSON.
 *
 * In the total, counts are sums over all processes; peaks and frames are the largest of any one
 * process (their peaks need not have coincided); stall is weighted by wall time.
 */
#ifndef FL_CLI_SUMMARY_H
#define FL_CLI_SUMMARY_H

#include <stdio.h>

#include "watch.h"

struct latency {
	double p50_us, p99_us, max_us;
};

struct counts {
	uint64_t minor_zero, minor_refill /* minor_write included */, minor_write, major, invalid;
	uint64_t evict_clean, evict_dirty, evict_zero;
	uint64_t readahead_pages, readahead_used, neighbours, refilled_along;
	uint64_t read_bytes, written_bytes, read_ops, write_ops;
	uint64_t file_read_bytes, file_written_bytes; /* of files mapped with fl_map_file */
	uint64_t read_errors, write_errors, checksum_errors, same_content;
	uint64_t refaults, guard_calls, pinned_calls, swap_used_bytes;
	uint64_t stall_some_ns, stall_full_ns;
	uint64_t tlb_misses, tlb_evictions, tlb_probes, tlb_units;
	uint64_t packed_pages, packed_bytes, unpacked_pages, tier_hits, packed_reads;
	uint64_t shootdowns[FL_NR_SHOOTDOWNS], shootdowns_waited, unmapped_pages;

	/* The largest of any one process: */
	uint64_t frames_budget, frames_peak, managed_peak, outside_peak; /* frames; bytes */
	uint64_t tier_peak;                                              /* bytes */
};

struct process_summary {
	uint32_t pid, ppid;
	char program[65], engine[17], policy[17];
	bool is_live;
	bool is_out_of_memory; /* that was its end */
	uint32_t resident_why; /* FL_RESIDENT_* */
	uint64_t wall_ns;
	uint32_t tlb_entries, tlb_ways, tlb_pages; /* entries 0: no trap TLB */
	char tlb_replacement[9];
	struct counts counts;
	struct latency minor, major;
};

struct unmanaged_program {
	char program[57];
	uint32_t nr_execs;
};

struct summary {
	const char *program;
	const char *engine, *engine_asked, *policy;
	char swap[257];
	uint64_t ram_bytes;
	bool has_ended; /* exit_code and exit_signal are known */
	int exit_code, exit_signal;
	uint64_t wall_ns;
	struct process_summary *processes; /* in order of start */
	uint32_t nr;
	uint64_t nr_uncounted, nr_unmanaged_execs;
	const char *trace; /* NULL: none was recorded */
	uint64_t nr_traced, nr_trace_lost, nr_trace_files;
	struct unmanaged_program unmanaged[FL_NR_UNMANAGED]; /* those known by name */
	uint32_t nr_unmanaged;
	struct process_summary total;
};

/*
 * Take the numbers of all processes, or only of live ones, into @s, whose settings (program,
 * engine, ...) the caller has filled in. Return: 0 or -ENOMEM. Freed by summary_fini().
 */
int summary_take(struct summary *s, const struct watch *w, bool only_live, uint64_t now);
void summary_fini(struct summary *s);

/* Write as one JSON object. @interval: 0, or the number of an interval line. @is_line: on one line.
 * Return: 0 or -errno. */
int summary_write_json(const struct summary *s, FILE *f, uint64_t interval, bool is_line);

/* Write for people: at most 24 lines of 80 columns. Return: 0 or -errno. */
int summary_write_text(const struct summary *s, FILE *f, bool is_verbose);

/*
 * One sentence or two: whether the program was thrashing, and on what evidence.
 * Return: @buf.
 */
char *verdict(const struct summary *s, char *buf, size_t bytes);

/* "1234567" as "1,234,567" into @buf (at least 28 bytes). Return: @buf. */
char *count_text(uint64_t n, char *buf);

#endif
