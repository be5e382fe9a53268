// SPDX-License-Identifier: MIT
/* Opening a trace, and its buffer; see reader.h. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "trace/internal.h"

#define DETECT_BYTES 8192u

const char *const trace_format_names[TRACE_NR_FORMATS] = {
    [TRACE_AUTO] = "auto",
    [TRACE_FAULTLINE] = "faultline",
    [TRACE_LIST] = "list",
    [TRACE_LACKEY] = "lackey",
    [TRACE_ORACLE] = "oracle",
};

int trace_fail(struct trace_reader *r, int error, const char *format, ...)
{
	va_list args;
	int n = snprintf(r->why, sizeof(r->why), "%s: ", r->name);

	va_start(args, format);
	if (n >= 0 && (size_t)n < sizeof(r->why))
		vsnprintf(r->why + n, sizeof(r->why) - (size_t)n, format, args);
	va_end(args);
	r->error = error;
	return error;
}

int trace_cut(struct trace_reader *r, const char *what)
{
	r->was_cut = true;
	r->has_ended = true;
	if (r->options.allow_cut)
		return 0;
	return trace_fail(r, -EPIPE,
	    "cut off in the middle of %s, after %llu records; --cut-off takes what is there", what,
	    (unsigned long long)r->nr);
}

ssize_t trace_fill(struct trace_reader *r, size_t bytes)
{
	if (r->end - r->pos >= bytes || r->at_end)
		return (ssize_t)(r->end - r->pos);
	memmove(r->buf, r->buf + r->pos, r->end - r->pos);
	r->end -= r->pos;
	r->pos = 0;
	while (r->end < bytes && !r->at_end) {
		ssize_t n =
		    r->source.read(r->source.arg, r->buf + r->end, TRACE_BUFFER_BYTES - r->end);

		if (n < 0)
			return trace_fail(r, (int)n, "cannot be read: %s", strerror((int)-n));
		r->at_end = n == 0;
		r->end += (size_t)n;
		r->nr_bytes += (size_t)n;
	}
	return (ssize_t)(r->end - r->pos);
}

static bool is_text(const uint8_t *buf, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		if ((buf[i] < ' ' && !strchr("\t\n\v\f\r", buf[i])) || buf[i] == 0x7f || !buf[i])
			return false;
	return true;
}

static const char *compression(const uint8_t *buf, size_t bytes)
{
	static const struct {
		const char *magic, *name;
	} known[] = {{"\x28\xb5\x2f\xfd", "zstd"}, {"\x1f\x8b\x08", "gzip"},
	    {"\xfd"
	     "7zXZ",
	        "xz"}};

	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (bytes >= strlen(known[i].magic) &&
		    !memcmp(buf, known[i].magic, strlen(known[i].magic)))
			return known[i].name;
	return NULL;
}

static int detect(struct trace_reader *r)
{
	ssize_t n = trace_fill(r, DETECT_BYTES);

	if (n < 0)
		return (int)n;
	const uint8_t *buf = r->buf + r->pos;
	size_t bytes = MIN((size_t)n, DETECT_BYTES);
	if (!bytes)
		return trace_fail(r, -ENODATA, "empty; there is no reference in it");
	if (r->options.format != TRACE_AUTO)
		r->format = r->options.format;
	else if (!memcmp(buf, FL_TRACE_MAGIC, MIN(bytes, sizeof(FL_TRACE_MAGIC) - 1)))
		r->format = TRACE_FAULTLINE;
	else if (compression(buf, bytes))
		return trace_fail(r, -EINVAL,
		    "compressed; write it like: %s -dc FILE | faultline replay ... -",
		    compression(buf, bytes));
	else if (is_text(buf, bytes))
		r->format = trace_looks_like_lackey(buf, bytes) ? TRACE_LACKEY : TRACE_LIST;
	else if (trace_looks_like_oracle(buf, bytes))
		r->format = TRACE_ORACLE;
	else
		return trace_fail(r, -EINVAL,
		    "not a trace that is known; --format says what it is, one of faultline, list, "
		    "lackey and oracle");
	return 0;
}

int trace_open(struct trace_reader **ret_reader, struct trace_source source,
    const struct trace_options *options, const char *name)
{
	struct trace_reader *r = calloc(1, sizeof(*r));

	*ret_reader = r;
	if (!r)
		return -ENOMEM;
	r->source = source;
	r->options = *options;
	r->name = name;
	r->line = 1;
	r->unit = options->unit;
	r->page_shift = options->page_shift ? options->page_shift : PAGE_SHIFT;
	r->buf = malloc(TRACE_BUFFER_BYTES);
	if (!r->buf)
		return trace_fail(r, -ENOMEM, "no memory for its buffer");
	int err = detect(r);
	if (!err && r->format == TRACE_FAULTLINE)
		err = trace_open_native(r);
	return err;
}

void trace_close(struct trace_reader *r)
{
	if (!r)
		return;
	free(r->buf);
	free(r);
}

long trace_read(struct trace_reader *r, struct trace_ref *refs, size_t max)
{
	long n = 0;

	if (r->error)
		return r->error;
	if (r->has_ended || !max)
		return 0;
	switch (r->format) {
	case TRACE_FAULTLINE:
		n = trace_read_native(r, refs, max);
		break;
	case TRACE_LIST:
		n = trace_read_list(r, refs, max);
		break;
	case TRACE_LACKEY:
		n = trace_read_lackey(r, refs, max);
		break;
	case TRACE_ORACLE:
		n = trace_read_oracle(r, refs, max);
		break;
	case TRACE_AUTO:
	case TRACE_NR_FORMATS:
		return trace_fail(r, -EINVAL, "no format");
	}
	if (n == 0)
		r->has_ended = true;
	if (n == 0 && !r->nr && !r->error)
		return trace_fail(r, -ENODATA, "there is no reference in it");
	return n;
}

const char *trace_why(const struct trace_reader *r)
{
	return r && *r->why ? r->why : "no memory";
}

enum trace_format trace_format(const struct trace_reader *r)
{
	return r->format;
}

const struct fl_trace_header *trace_header(const struct trace_reader *r)
{
	return r->format == TRACE_FAULTLINE ? &r->header : NULL;
}

unsigned trace_page_shift(const struct trace_reader *r)
{
	return r->page_shift;
}

uint64_t trace_nr_lost(const struct trace_reader *r)
{
	return r->nr_lost;
}

bool trace_was_cut(const struct trace_reader *r)
{
	return r->was_cut;
}

uint64_t trace_bytes_read(const struct trace_reader *r)
{
	return r->nr_bytes;
}
