// SPDX-License-Identifier: MIT
/* `faultline trace`: prints traces, says what is in them, converts them. */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "replay/miniature.h"
#include "trace/writer.h"
#include "trace_file.h"

enum target {
	TO_TEXT,
	TO_CSV,
	TO_JSONL,
	TO_CHROME,
	TO_ORACLE,
	TO_FAULTLINE,
	NR_TARGETS,
};

static const char *const target_names[NR_TARGETS] = {
    "text", "csv", "jsonl", "chrome", "oracle", "faultline"};
static const char *const kind_names[FL_TRACE_NR_KINDS] = {
    "reference", "zero", "refill", "write", "major"};

struct conversion {
	struct trace_options options;
	uint64_t limit;
	const char *output;
	enum target target;
	FILE *f;
	struct trace_file *file;
	struct trace_writer writer;
	uint64_t nr;
	uint32_t *refs; /* oracle: all of them */
};

static int help(void)
{
	puts("faultline trace cat [options] TRACE|-        print it\n"
	     "faultline trace info [options] TRACE|-       what is in it\n"
	     "faultline trace convert --to FORMAT -o FILE TRACE|-\n\n"
	     "      --to FORMAT       text (a list), csv, jsonl, chrome (Perfetto's JSON),\n"
	     "                        oracle (oracleGeneral), faultline\n"
	     "  -o, --output FILE     - is stdout\n"
	     "      --format, --unit, --page-size, --data-only, --limit, --cut-off\n"
	     "                        what TRACE is: see faultline replay --help\n"
	     "  -h, --help            this text");
	return fflush(stdout) || ferror(stdout) ? STATUS_FAILED : STATUS_OK;
}

/* --- writing one record --- */

static void put_text(struct conversion *c, const struct trace_ref *ref)
{
	fprintf(c->f, "%s%" PRIu64 "\n", ref->is_write ? "w " : "", ref->page);
}

static void put_csv(struct conversion *c, const struct trace_ref *ref)
{
	fprintf(c->f, "%" PRIu64 ",%u,%" PRIu64 ",%s,%c,%" PRIu64 "\n", ref->time_ns, ref->thread,
	    ref->page, kind_names[ref->kind], ref->is_write ? 'w' : 'r', ref->latency_ns);
}

static void put_jsonl(struct conversion *c, const struct trace_ref *ref)
{
	fprintf(c->f,
	    "{\"time_ns\":%" PRIu64 ",\"thread\":%u,\"page\":%" PRIu64
	    ",\"kind\":\"%s\",\"write\":%s,\"latency_ns\":%" PRIu64 "}\n",
	    ref->time_ns, ref->thread, ref->page, kind_names[ref->kind],
	    ref->is_write ? "true" : "false", ref->latency_ns);
}

/* A "complete" event; times are in microseconds. */
static void put_chrome(struct conversion *c, const struct trace_ref *ref)
{
	const struct fl_trace_header *h = trace_header(c->file->reader);

	fprintf(c->f,
	    "%s{\"ph\":\"X\",\"name\":\"%s\",\"cat\":\"%s\",\"pid\":%u,\"tid\":%u,\"ts\":%" PRIu64
	    ".%03u,\"dur\":%" PRIu64 ".%03u,\"args\":{\"page\":%" PRIu64 "}}",
	    c->nr ? ",\n" : "", kind_names[ref->kind], ref->is_write ? "write" : "read",
	    h ? h->pid : 0, ref->thread, ref->time_ns / 1000, (unsigned)(ref->time_ns % 1000),
	    ref->latency_ns / 1000, (unsigned)(ref->latency_ns % 1000), ref->page);
}

static void put_faultline(struct conversion *c, const struct trace_ref *ref)
{
	trace_writer_put(&c->writer, ref); /* ferror() tells at the end */
}

static void (*const put[NR_TARGETS])(struct conversion *, const struct trace_ref *) = {
    put_text, put_csv, put_jsonl, put_chrome, NULL, put_faultline};

static int write_file(void *arg, const void *buf, size_t bytes)
{
	return fwrite(buf, 1, bytes, arg) == bytes ? 0 : -EIO;
}

static void begin(struct conversion *c)
{
	struct fl_trace_header h = {0};

	if (c->target == TO_CSV)
		fputs("time_ns,thread,page,kind,access,latency_ns\n", c->f);
	else if (c->target == TO_CHROME)
		fputs("{\"traceEvents\":[\n", c->f);
	else if (c->target == TO_FAULTLINE) {
		if (trace_header(c->file->reader))
			h = *trace_header(c->file->reader);
		h.page_shift = trace_page_shift(c->file->reader);
		trace_writer_begin(&c->writer, (struct trace_sink){write_file, c->f}, &h);
	}
}

static void end(struct conversion *c)
{
	if (c->target == TO_CHROME)
		fputs("\n]}\n", c->f);
	else if (c->target == TO_FAULTLINE)
		trace_writer_end(&c->writer);
}

/* oracleGeneral says at each reference when the next one comes: the trace is kept for that. */
static int convert_to_oracle(struct conversion *c)
{
	struct trace_file *t = c->file;
	int status = trace_file_load(t, &c->refs);

	if (status != STATUS_GO_ON)
		return status;
	uint64_t *next = malloc(t->nr_refs * sizeof(*next));
	if (!next || next_uses(c->refs, t->nr_refs, t->map.nr, next)) {
		free(next);
		return complain(STATUS_FAILED, "no memory; --limit N takes the first N references");
	}
	unsigned shift = MIN(trace_page_shift(t->reader), 31u);
	for (uint64_t i = 0; i < t->nr_refs; i++) {
		uint8_t record[24] = {0}; /* times are not kept: whole seconds say little */
		uint64_t page = t->map.page_of[c->refs[i] >> 1];
		uint32_t size = 1u << shift;
		int64_t at = next[i] == ACCESS_NEVER ? -1 : (int64_t)next[i];

		memcpy(record + 4, &page, 8);
		memcpy(record + 12, &size, 4);
		memcpy(record + 16, &at, 8);
		fwrite(record, 1, sizeof(record), c->f);
	}
	free(next);
	return STATUS_GO_ON;
}

static int convert_all(struct conversion *c)
{
	long n;

	if (c->target == TO_ORACLE)
		return convert_to_oracle(c);
	begin(c);
	while ((n = trace_file_next(c->file, false)) > 0 && !ferror(c->f))
		for (long i = 0; i < n; i++, c->nr++)
			put[c->target](c, &c->file->batch[i]);
	if (n < 0)
		return STATUS_FAILED;
	end(c);
	return STATUS_GO_ON;
}

static int convert(struct conversion *c)
{
	struct new_file out;
	int status = new_file_open(&out, c->output);

	if (status != STATUS_GO_ON)
		return status;
	c->f = out.f;
	status = convert_all(c);
	trace_file_progress_done(c->file);
	free(c->refs);
	if (status == STATUS_GO_ON)
		return new_file_commit(&out);
	new_file_abandon(&out);
	return status;
}

/* --- info --- */

static int info(struct conversion *c)
{
	struct trace_file *t = c->file;
	uint64_t writes = 0, kinds[FL_TRACE_NR_KINDS] = {0}, last = 0, first = UINT64_MAX;
	uint64_t low = UINT64_MAX, high = 0;
	long n;

	while ((n = trace_file_next(t, true)) > 0)
		for (long i = 0; i < n; i++) {
			const struct trace_ref *ref = &t->batch[i];

			writes += ref->is_write;
			kinds[ref->kind]++;
			first = MIN(first, ref->time_ns);
			last = MAX(last, ref->time_ns);
			low = MIN(low, ref->page);
			high = MAX(high, ref->page);
		}
	if (n < 0)
		return STATUS_FAILED;
	trace_file_progress_done(t);
	char size[24];
	unsigned shift = trace_page_shift(t->reader);
	printf("format      %s%s\n", trace_format_names[trace_format(t->reader)],
	    trace_was_cut(t->reader) ? ", cut off" : "");
	printf("references  %" PRIu64 ", %" PRIu64 " of them writes\n", t->nr_refs, writes);
	printf("pages       %u of %s, from 0x%" PRIx64 " to 0x%" PRIx64 "\n", t->map.nr,
	    size_text(1ull << shift, size), low, high);
	printf("kinds      ");
	for (int i = 0, some = 0; i < FL_TRACE_NR_KINDS; i++)
		if (kinds[i])
			printf("%s %" PRIu64 " %s", some++ ? "," : "", kinds[i], kind_names[i]);
	printf("\ntime        %.6f s\n", (double)(last - first) / 1e9);
	const struct fl_trace_header *h = trace_header(t->reader);
	if (h && h->nr_frames)
		printf("frames      %" PRIu64 "\n", h->nr_frames);
	if (h && h->tlb_entries)
		printf(
		    "TLB         %u entries: what hit there is not in the trace\n", h->tlb_entries);
	if (trace_nr_lost(t->reader))
		printf(
		    "left out    %" PRIu64 " records, by the recorder\n", trace_nr_lost(t->reader));
	return fflush(stdout) || ferror(stdout) ? STATUS_FAILED : STATUS_OK;
}

/* --- command line --- */

enum id {
	ID_TO = 0x100,
	ID_FORMAT,
	ID_UNIT,
	ID_PAGE_SIZE,
	ID_DATA_ONLY,
	ID_CUT_OFF,
	ID_LIMIT,
};

static const struct option long_options[] = {
    {"to", required_argument, NULL, ID_TO},
    {"output", required_argument, NULL, 'o'},
    {"format", required_argument, NULL, ID_FORMAT},
    {"unit", required_argument, NULL, ID_UNIT},
    {"page-size", required_argument, NULL, ID_PAGE_SIZE},
    {"data-only", no_argument, NULL, ID_DATA_ONLY},
    {"cut-off", no_argument, NULL, ID_CUT_OFF},
    {"limit", required_argument, NULL, ID_LIMIT},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

static int read_target(struct conversion *c, const char *name)
{
	for (int i = 0; i < NR_TARGETS; i++)
		if (!strcmp(name, target_names[i])) {
			c->target = (enum target)i;
			return STATUS_GO_ON;
		}
	return complain(STATUS_FAILED,
	    "--to %s: no such format; choose text, csv, jsonl, chrome, oracle or faultline", name);
}

static int read_option(struct conversion *c, int id, const char *text)
{
	char *end;

	switch (id) {
	case ID_TO:
		return read_target(c, text);
	case 'o':
		c->output = text;
		return STATUS_GO_ON;
	case ID_FORMAT:
		return trace_option_format(&c->options, text);
	case ID_UNIT:
		return trace_option_unit(&c->options, text);
	case ID_PAGE_SIZE:
		return trace_option_page_size(&c->options, text);
	case ID_LIMIT:
		c->limit = strtoull(text, &end, 10);
		if (*text < '0' || *text > '9' || *end || !c->limit)
			return complain(
			    STATUS_FAILED, "--limit %s: not a number of references", text);
		return STATUS_GO_ON;
	default:
		c->options.data_only |= id == ID_DATA_ONLY;
		c->options.allow_cut |= id == ID_CUT_OFF;
		return STATUS_GO_ON;
	}
}

static int read_options(struct conversion *c, int argc, char **argv)
{
	int id, status;

	opterr = 0;
	optind = 0;
	while ((id = getopt_long(argc, argv, ":o:h", long_options, NULL)) != -1) {
		if (id == 'h')
			return help();
		if (id == ':' || id == '?')
			return complain(STATUS_FAILED, "%s: %s; see faultline trace --help",
			    argv[optind - 1],
			    id == ':' ? "its value is missing" : "no such option");
		status = read_option(c, id, optarg);
		if (status != STATUS_GO_ON)
			return status;
	}
	return optind + 1 == argc
	           ? STATUS_GO_ON
	           : complain(STATUS_FAILED,
	                 "name one trace, or - for stdin; see faultline trace --help");
}

int command_trace(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";
	struct conversion *c = calloc(1, sizeof(*c));
	int status;

	if (c)
		c->file = malloc(sizeof(*c->file));
	if (!c || !c->file) {
		free(c);
		return complain(STATUS_FAILED, "no memory");
	}
	c->output = "-";
	c->target = strcmp(what, "cat") ? NR_TARGETS : TO_CSV;
	if (!strcmp(what, "--help") || !strcmp(what, "-h"))
		status = help();
	else if (strcmp(what, "cat") && strcmp(what, "info") && strcmp(what, "convert"))
		status = complain(STATUS_FAILED,
		    "%s%sfaultline trace cat, info or convert; see faultline trace --help", what,
		    *what ? ": write " : "write ");
	else
		status = read_options(c, argc - 1, argv + 1);
	if (status == STATUS_GO_ON && c->target == NR_TARGETS && !strcmp(what, "convert"))
		status = complain(STATUS_FAILED, "convert to what? give the trace and --to text, "
		                                 "csv, jsonl, chrome, oracle or faultline");
	if (status == STATUS_GO_ON) {
		status = trace_file_open(c->file, argv[argc - 1], &c->options, c->limit, true);
		if (status == STATUS_GO_ON)
			status = strcmp(what, "info") ? convert(c) : info(c);
		trace_file_close(c->file);
	}
	free(c->file);
	free(c);
	return status;
}
