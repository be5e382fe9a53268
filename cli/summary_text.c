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

static void put_io(struct page *page, const struct counts *c, bool is_verbose)
{
	char a[28], b[28], d[28], e[28];

	if (c->readahead_pages)
		put(page, "  readahead     %s pages, %.0f %% of them used",
		    count_text(c->readahead_pages, a),
		    percent_of(c->readahead_used, c->readahead_pages));
	put(page, "  swap I/O      read %s in %s, written %s in %s ops",
	    size_text(c->read_bytes, a), count_text(c->read_ops, b), size_text(c->written_bytes, d),
	    count_text(c->write_ops, e));
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

static uint64_t faults_of(const struct process_summary *p)
{
	return p->counts.minor_zero + p->counts.minor_refill + p->counts.major;
}

static int by_faults(const void *a, const void *b)
{
	const struct process_summary *const *p = a, *const *q = b;
	uint64_t x = faults_of(*p), y = faults_of(*q);

	if (x != y)
		return x < y ? 1 : -1;
	return (*p)->pid < (*q)->pid ? -1 : (*p)->pid > (*q)->pid;
}

static void put_process(struct page *page, const struct process_summary *p)
{
	char minor[28], major[28], frames[28];

	put(page, "  %8u %-18.18s %13s %12s %12s %7.1f", p->pid, p->program,
	    count_text(faults_of(p) - p->counts.major, minor), count_text(p->counts.major, major),
	    count_text(p->counts.frames_peak, frames),
	    percent_of(p->counts.stall_some_ns, p->wall_ns));
}

/* Those with most faults, as many as @room lines hold. */
static void put_processes(struct page *page, const struct summary *s, unsigned room)
{
	const struct process_summary **list = calloc(s->nr, sizeof(*list));
	unsigned shown = s->nr + 1 <= room ? s->nr : room - 2;
	char more[28];

	if (!list || room < 3) {
		free(list);
		return;
	}
	for (uint32_t i = 0; i < s->nr; i++)
		list[i] = &s->processes[i];
	qsort(list, s->nr, sizeof(*list), by_faults);
	put(page, "  %8s %-18s %13s %12s %12s %7s", "pid", "program", "minor faults",
	    "major faults", "frames peak", "stall %");
	for (unsigned i = 0; i < shown; i++)
		put_process(page, list[i]);
	if (shown < s->nr)
		put(page, "           ... and %s more", count_text(s->nr - shown, more));
	free(list);
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

	if (s->nr_unmanaged_execs)
		put(page,
		    "  unmanaged     %s static or setuid programs were started, and not paged",
		    count_text(s->nr_unmanaged_execs, n));
	if (s->nr_uncounted)
		put(page, "  uncounted     %s processes more than can be counted",
		    count_text(s->nr_uncounted, n));
}

int summary_write_text(const struct summary *s, FILE *f, bool is_verbose)
{
	struct page page = {.f = f};
	char sentence[600], n[28];

	verdict(s, sentence, sizeof(sentence));
	put_head(&page, s, is_verbose);
	if (s->nr > 1)
		put(&page, "  processes     %s; counts are sums, peaks the largest of any one",
		    count_text(s->nr, n));
	if (s->nr) {
		put_faults(&page, &s->total, is_verbose);
		put_io(&page, &s->total.counts, is_verbose);
		put_memory(&page, &s->total);
	}
	put_remarks(&page, s);
	if (s->nr > 1)
		put_processes(&page, s, LINES - 1 - page.nr_lines - put_wrapped(NULL, sentence));
	put_wrapped(&page, sentence);
	return fflush(f) || ferror(f) ? -EIO : 0;
}
