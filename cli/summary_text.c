// SPDX-License-Identifier: MIT
/* The summary for people; see summary.h. Plain ASCII, so that bytes are columns. */
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "summary.h"

#define COLUMNS 80
#define LINES   24

#define NAME_COLUMNS 19 /* of the table of processes */

struct page {
	FILE *f;
	unsigned nr_lines;
};

char *count_text(uint64_t n, char *buf)
{
	char digits[24];
	int len = snprintf(digits, sizeof(digits), "%llu", (unsigned long long)n);
	char *out = buf;

	for (int i = 0; i < len; i++) {
		if (i && (len - i) % 3 == 0)
			*out++ = ',';
		*out++ = digits[i];
	}
	*out = '\0';
	return buf;
}

/* One line, never longer than the screen is wide. */
__attribute__((format(printf, 2, 3))) static void put(struct page *page, const char *format, ...)
{
	char line[1024];
	va_list args;

	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	for (char *c = line; *c; c++)
		if (*c < ' ' || *c > '~')
			*c = '?';
	if (strlen(line) > COLUMNS)
		strcpy(line + COLUMNS - 3, "...");
	fprintf(page->f, "%s\n", line);
	page->nr_lines++;
}

/* @text over as many lines as it takes, broken at blanks. Return: how many. @page NULL: only count.
 */
static unsigned put_wrapped(struct page *page, const char *text)
{
	unsigned nr = 0;

	while (*text) {
		size_t len = strlen(text);

		if (len > COLUMNS) {
			for (len = COLUMNS; len && text[len] != ' '; len--)
				;
			if (!len)
				len = COLUMNS;
		}
		if (page)
			put(page, "%.*s", (int)len, text);
		text += len;
		text += *text == ' ';
		nr++;
	}
	return nr;
}

static double percent_of(uint64_t part, uint64_t whole)
{
	return whole ? 100.0 * (double)part / (double)whole : 0;
}

static void put_head(struct page *page, const struct summary *s, bool is_verbose)
{
	char how[40] = "", ram[24], frames[28];

	if (s->has_ended && s->exit_signal)
		snprintf(how, sizeof(how), "died of SIG%s", sigabbrev_np(s->exit_signal) ?: "?");
	else if (s->has_ended)
		snprintf(how, sizeof(how), "exit status %d", s->exit_code);
	else
		strcpy(how, "end not seen");
	put(page, "faultline: %.40s: %s, %.2f s", s->program, how, (double)s->wall_ns / 1e9);
	put(page, "  RAM           %s (%s frames), engine %s%s, policy %s",
	    size_text(s->ram_bytes, ram), count_text(s->ram_bytes / PAGE_BYTES, frames), s->engine,
	    is_verbose && !strcmp(s->engine_asked, "auto") ? " (auto)" : "", s->policy);
	put(page, "  swap          %s", s->swap);
}

static void put_latency(struct page *page, const struct latency *l)
{
	put(page, "                p50 %.1f us, p99 %.1f us, max %.1f us", l->p50_us, l->p99_us,
	    l->max_us);
}

static void put_faults(struct page *page, const struct process_summary *p, bool is_verbose)
{
	const struct counts *c = &p->counts;
	char a[28], b[28], d[28];

	put(page, "  minor faults  %s (%s zero-filled, %s refilled)",
	    count_text(c->minor_zero + c->minor_refill, a), count_text(c->minor_zero, b),
	    count_text(c->minor_refill, d));
	if (is_verbose && c->refilled_along)
		put(page, "                %s pages refilled along with the one beside them",
		    count_text(c->refilled_along, a));
	if (is_verbose)
		put_latency(page, &p->minor);
	put(page, "  major faults  %s (%s of them refaults)", count_text(c->major, a),
	    count_text(c->refaults, b));
	if (is_verbose || c->major)
		put_latency(page, &p->major);
	if (c->invalid || is_verbose)
		put(page, "  invalid       %s; first writes to clean pages %s",
		    count_text(c->invalid, a), count_text(c->minor_write, b));
	put(page, "  evictions     %s clean, %s dirty, %s all zero", count_text(c->evict_clean, a),
	    count_text(c->evict_dirty, b), count_text(c->evict_zero, d));
	if (is_verbose)
		put(page, "                %s writes spared, their content being unchanged",
		    count_text(c->same_content, a));
}

/* How often other CPUs had to be told of a change of translations. */
static void put_shootdowns(struct page *page, const struct counts *c)
{
	uint64_t writes = c->shootdowns[FL_SHOOTDOWN_WRITE];
	uint64_t evictions =
	    c->shootdowns[FL_SHOOTDOWN_PROTECT] + c->shootdowns[FL_SHOOTDOWN_UNMAP];
	uint64_t faults = c->shootdowns[FL_SHOOTDOWN_FAULT];
	uint64_t others = c->shootdowns[FL_SHOOTDOWN_TIER] + c->shootdowns[FL_SHOOTDOWN_OTHER];
	char a[28], b[28];

	put(page, "  shootdowns    %s by first writes; %s by eviction, %.1f per 100 pages",
	    count_text(writes, a), count_text(evictions, b),
	    percent_of(evictions, c->unmapped_pages));
	if (faults || others)
		put(page, "                %s by other faults, %s else", count_text(faults, a),
		    count_text(others, b));
}

/* What the trap TLB missed. What hit it trapped nobody. */
static void put_tlb(struct page *page, const struct summary *s)
{
	const struct process_summary *p = &s->total;
	const struct counts *c = &p->counts;
	char a[28], b[28], d[28];

	if (!p->tlb_entries)
		return;
	put(page, "  TLB           %s entries of %s, %u-way, %s", count_text(p->tlb_entries, a),
	    p->tlb_pages > 1 ? "2 MiB" : "4 KiB", p->tlb_ways, p->tlb_replacement);
	put(page, "                %s misses, %s evictions (hits trap nobody: not counted)",
	    count_text(c->tlb_misses, b), count_text(c->tlb_evictions, d));
	if (p->tlb_pages > 1)
		put(page, "                whole 2 MiB pages would take %s for the %s touched",
		    size_text(c->tlb_units * p->tlb_pages * PAGE_BYTES, a),
		    size_text(c->minor_zero * PAGE_BYTES, b));
	if (c->tlb_probes)
		put(page, "                %s faults to see whether an entry is used: no misses",
		    count_text(c->tlb_probes, a));
}

static void put_io(struct page *page, const struct counts *c, bool is_verbose)
{
	char a[28], b[28], d[28], e[28];

	if (c->readahead_pages)
		put(page, "  readahead     %s pages, %.0f %% of them used",
		    count_text(c->readahead_pages, a),
		    percent_of(c->readahead_used, c->readahead_pages));
	if (c->neighbours)
		put(page, "  neighbours    %s pages read along with the one beside them",
		    count_text(c->neighbours, a));
	put(page, "  swap I/O      read %s in %s, written %s in %s ops",
	    size_text(c->read_bytes, a), count_text(c->read_ops, b), size_text(c->written_bytes, d),
	    count_text(c->write_ops, e));
	if (c->file_read_bytes || c->file_written_bytes)
		put(page, "  mapped files  read %s, written %s", size_text(c->file_read_bytes, a),
		    size_text(c->file_written_bytes, b));
	if (c->packed_pages)
		put(page, "  compressed    %s pages to %.0f %%; read %s in RAM, %s on disk",
		    count_text(c->packed_pages, a),
		    percent_of(c->packed_bytes, c->packed_pages << PAGE_SHIFT),
		    count_text(c->tier_hits, b), count_text(c->packed_reads, d));
	if (c->packed_pages)
		put(page, "                at most %.0f %% of RAM held compressed pages",
		    percent_of(c->tier_peak, c->frames_budget << PAGE_SHIFT));
	if (c->read_errors || c->write_errors || c->checksum_errors)
		put(page, "  ERRORS        read %s, write %s, checksum %s",
		    count_text(c->read_errors, a), count_text(c->write_errors, b),
		    count_text(c->checksum_errors, d));
	if (is_verbose)
		put(page, "  guard         %s system calls with managed pointers, %s pinned",
		    count_text(c->guard_calls, a), count_text(c->pinned_calls, b));
}

static void put_memory(struct page *page, const struct process_summary *p)
{
	const struct counts *c = &p->counts;
	char a[28], b[28], managed[24], outside[24];

	put(page, "  frames        %s of %s at peak", count_text(c->frames_peak, a),
	    count_text(c->frames_budget, b));
	put(page, "  memory        %s managed, %s outside at peak",
	    size_text(c->managed_peak, managed), size_text(c->outside_peak, outside));
	put(page, "  stall         some %.1f %%, full %.1f %% of wall time",
	    percent_of(c->stall_some_ns, p->wall_ns), percent_of(c->stall_full_ns, p->wall_ns));
}

/* A process, with all the programs that it was, one exec after another. */
struct row {
	uint32_t pid;
	uint64_t minor, major, frames_peak, stall_ns, wall_ns;
	const char *last;     /* program; [summary] */
	uint32_t nr_programs; /* changes of name, and the first */
	char chain[NAME_COLUMNS + 1];
};

static void row_add_name(struct row *row, const char *name)
{
	size_t len = strlen(row->chain);

	if (row->last && !strcmp(row->last, name))
		return;
	row->last = name;
	/* One that does not fit: the first and the last tell most. */
	if (row->nr_programs++ && len + 1 + strlen(name) > NAME_COLUMNS) {
		int last = (int)MIN(strlen(name), (size_t)NAME_COLUMNS - 8);
		int first = (int)MIN(strcspn(row->chain, ">"), (size_t)(NAME_COLUMNS - 4 - last));
		char start[NAME_COLUMNS + 1];

		memcpy(start, row->chain, sizeof(start));
		snprintf(row->chain, sizeof(row->chain), "%.*s>..>%.*s", first, start, last, name);
		return;
	}
	snprintf(row->chain + len, sizeof(row->chain) - len, "%s%s", len ? ">" : "", name);
}

static void row_add(struct row *row, const struct process_summary *p)
{
	row->pid = p->pid;
	row->minor += p->counts.minor_zero + p->counts.minor_refill;
	row->major += p->counts.major;
	row->frames_peak = MAX(row->frames_peak, p->counts.frames_peak);
	row->stall_ns += p->counts.stall_some_ns;
	row->wall_ns += p->wall_ns;
	row_add_name(row, p->program);
}

static int by_pid_and_start(const void *a, const void *b)
{
	const struct process_summary *const *p = a, *const *q = b;

	if ((*p)->pid != (*q)->pid)
		return (*p)->pid < (*q)->pid ? -1 : 1;
	return *p < *q ? -1 : *p > *q; /* the array is in order of start */
}

static int by_faults(const void *a, const void *b)
{
	const struct row *p = a, *q = b;
	uint64_t x = p->minor + p->major, y = q->minor + q->major;

	if (x != y)
		return x < y ? 1 : -1;
	return p->pid < q->pid ? -1 : p->pid > q->pid;
}

/* Those with most faults first. Return: how many; 0 for lack of memory. *ret_rows on the heap. */
static uint32_t make_rows(const struct summary *s, struct row **ret_rows)
{
	const struct process_summary **list = calloc(s->nr + 1, sizeof(const void *));
	struct row *rows = calloc(s->nr + 1, sizeof(*rows));
	uint32_t nr = 0;

	for (uint32_t i = 0; list && i < s->nr; i++)
		list[i] = &s->processes[i];
	if (list && rows) {
		qsort(list, s->nr, sizeof(const void *), by_pid_and_start);
		for (uint32_t i = 0; i < s->nr; i++) {
			nr += !i || list[i]->pid != list[i - 1]->pid;
			row_add(&rows[nr - 1], list[i]);
		}
		qsort(rows, nr, sizeof(*rows), by_faults);
	}
	free(list);
	*ret_rows = rows;
	return nr;
}

static void put_row(struct page *page, const struct row *row)
{
	char minor[28], major[28], frames[28];

	put(page, "  %8u %-*.*s %12s %12s %12s %7.1f", row->pid, NAME_COLUMNS, NAME_COLUMNS,
	    row->chain, count_text(row->minor, minor), count_text(row->major, major),
	    count_text(row->frames_peak, frames), percent_of(row->stall_ns, row->wall_ns));
}

/* As many as @room lines hold. */
static void put_rows(struct page *page, const struct row *rows, uint32_t nr, unsigned room)
{
	uint32_t shown = nr + 1 <= room ? nr : room - 2;
	char more[28];

	if (room < 3)
		return;
	put(page, "  %8s %-*s %12s %12s %12s %7s", "pid", NAME_COLUMNS, "program", "minor faults",
	    "major faults", "frames peak", "stall %");
	for (uint32_t i = 0; i < shown; i++)
		put_row(page, &rows[i]);
	if (shown < nr)
		put(page, "           ... and %s more", count_text(nr - shown, more));
}

static void put_nr_processes(
    struct page *page, const struct summary *s, const struct row *rows, uint32_t nr)
{
	char n[28], programs[28];

	if (nr == 1)
		put(page, "  process       %u: %s, one exec after another; counts are sums",
		    rows->pid, rows->chain);
	else if (nr < s->nr)
		put(page, "  processes     %s, %s programs; counts are sums, peaks of any one",
		    count_text(nr, n), count_text(s->nr, programs));
	else
		put(page, "  processes     %s; counts are sums, peaks the largest of any one",
		    count_text(s->nr, n));
}

/* "busybox (2), ldconfig" */
static void put_unmanaged(struct page *page, const struct summary *s)
{
	char list[400] = "", n[28];
	size_t len = 0;

	for (uint32_t i = 0; i < s->nr_unmanaged && len < sizeof(list); i++) {
		const struct unmanaged_program *u = &s->unmanaged[i];

		len += (size_t)snprintf(
		    list + len, sizeof(list) - len, "%s%s", len ? ", " : "", u->program);
		if (u->nr_execs > 1 && len < sizeof(list))
			len +=
			    (size_t)snprintf(list + len, sizeof(list) - len, " (%u)", u->nr_execs);
	}
	put(page, "  unmanaged     %s static or setuid, run unpaged: %s",
	    count_text(s->nr_unmanaged_execs, n), list);
}

/* Programs that are not paged any more for what they use. */
static void put_resident(struct page *page, const struct summary *s)
{
	static const char *const reasons[] = {
	    "io_uring", "libaio", "seccomp", "Go's runtime"}; /* FL_RESIDENT_* */
	const char *name = NULL;
	uint64_t nr = 0;
	uint32_t why = 0;
	char n[28];

	for (uint32_t i = 0; i < s->nr; i++) {
		if (!s->processes[i].resident_why)
			continue;
		why |= s->processes[i].resident_why;
		name = name ? name : s->processes[i].program;
		nr++;
	}
	if (!nr)
		return;
	char uses[64] = "";

	for (uint32_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
		if (why & 1u << i) {
			strcat(uses, *uses ? " and " : "");
			strcat(uses, reasons[i]);
		}
	put(page, "  resident      %.40s (%s process%s) uses %s: its memory stayed in RAM", name,
	    count_text(nr, n), nr > 1 ? "es" : "", uses);
}

static void put_trace(struct page *page, const struct summary *s)
{
	char a[28], b[28];

	if (!s->trace)
		return;
	put(page, "  trace         %.40s%s: %s faults, %s lost", s->trace,
	    s->nr_trace_files > 1 ? " and .PID" : "", count_text(s->nr_traced, a),
	    count_text(s->nr_trace_lost, b));
}

static void put_remarks(struct page *page, const struct summary *s)
{
	char n[28];
	uint64_t nr_live = 0;

	for (uint32_t i = 0; i < s->nr; i++)
		nr_live += s->processes[i].is_live;
	if (nr_live && s->has_ended)
		put(page, "  left behind   %s process%s still running", count_text(nr_live, n),
		    nr_live > 1 ? "es are" : " is");

	put_resident(page, s);
	put_trace(page, s);
	if (s->nr_unmanaged_execs)
		put_unmanaged(page, s);
	if (s->nr_uncounted)
		put(page, "  uncounted     %s processes more than can be counted",
		    count_text(s->nr_uncounted, n));
}

int summary_write_text(const struct summary *s, FILE *f, bool is_verbose)
{
	struct page page = {.f = f};
	struct row *rows;
	uint32_t nr = make_rows(s, &rows);
	char sentence[600];

	verdict(s, sentence, sizeof(sentence));
	put_head(&page, s, is_verbose);
	if (s->nr > 1 && nr)
		put_nr_processes(&page, s, rows, nr);
	if (s->nr) {
		put_faults(&page, &s->total, is_verbose);
		if (is_verbose)
			put_shootdowns(&page, &s->total.counts);
		put_tlb(&page, s);
		put_io(&page, &s->total.counts, is_verbose);
		put_memory(&page, &s->total);
	}
	put_remarks(&page, s);
	unsigned used = page.nr_lines + 1 + put_wrapped(NULL, sentence);
	if (nr > 1)
		put_rows(&page, rows, nr, LINES - MIN(used, LINES));
	put_wrapped(&page, sentence);
	free(rows);
	return fflush(f) || ferror(f) ? -EIO : 0;
}
