// SPDX-License-Identifier: MIT
/*
 * libFuzzer target of the trace reader. The first byte says how the rest is read: as the file that
 * it is, in each format; or as the payload of a chunk with right checksums, which chance would
 * never find.
 */
#include <stdlib.h>
#include <string.h>

#include "trace/reader.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

struct input {
	const uint8_t *at;
	size_t nr, step;
};

static ssize_t input_read(void *arg, void *buf, size_t bytes)
{
	struct input *in = arg;
	size_t n = MIN(MIN(bytes, in->nr), in->step);

	memcpy(buf, in->at, n);
	in->at += n;
	in->nr -= n;
	return (ssize_t)n;
}

static void read_all(struct input in, const struct trace_options *options)
{
	struct trace_reader *r;
	static struct trace_ref refs[97];
	uint64_t nr = 0;
	long n = trace_open(&r, (struct trace_source){input_read, &in}, options, "fuzz");

	while (!n && (n = trace_read(r, refs, ARRAY_LEN(refs))) > 0) {
		nr += (uint64_t)n;
		n = 0;
		/* A reference takes a byte of input at least, but one of lackey's may cross many
		 * pages. */
		if (nr > 1000000)
			break;
	}
	if (n < 0 && (!*trace_why(r) || strchr(trace_why(r), '\n')))
		abort();
	if (!n && nr <= 1000000 && trace_read(r, refs, 1) != 0)
		abort();
	trace_close(r);
}

/* Header, one chunk of @payload that claims @nr records, end. */
static void read_payload(const uint8_t *payload, size_t bytes, uint32_t nr)
{
	static struct trace_chunk c;
	static uint8_t file[sizeof(struct fl_trace_header) + sizeof(c) + 64];
	struct fl_trace_header h = {.page_shift = 12};
	struct fl_trace_chunk end;
	struct trace_options options = {0};
	size_t at = 0;

	bytes = MIN(bytes, sizeof(c.payload));
	trace_header_seal(&h);
	memcpy(file, &h, sizeof(h));
	at += sizeof(h);
	trace_chunk_begin(&c);
	c.header.nr_records = nr;
	c.header.payload_bytes = (uint32_t)bytes;
	memcpy(c.payload, payload, bytes);
	trace_chunk_seal(&c);
	memcpy(file + at, &c.header, sizeof(c.header));
	at += sizeof(c.header);
	memcpy(file + at, c.payload, bytes);
	at += bytes;
	trace_chunk_seal_end(&end, nr, 0);
	memcpy(file + at, &end, sizeof(end));
	read_all((struct input){file, at + sizeof(end), SIZE_MAX}, &options);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	if (bytes < 2)
		return 0;
	uint8_t how = data[0];
	struct trace_options options = {
	    .format = (enum trace_format)(how % TRACE_NR_FORMATS),
	    .unit = (enum trace_unit)(how / 8 % 3),
	    .data_only = how & 64,
	    .allow_cut = how & 128,
	};

	if (how % 8 == 7)
		read_payload(data + 2, bytes - 2, data[1]);
	else
		read_all((struct input){data + 2, bytes - 2, data[1] + 1u}, &options);
	return 0;
}
