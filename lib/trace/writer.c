// SPDX-License-Identifier: MIT
/* Writing traces; see writer.h. */
#include "trace/writer.h"

int trace_writer_begin(
    struct trace_writer *w, struct trace_sink sink, const struct fl_trace_header *header)
{
	struct fl_trace_header h = *header;

	w->sink = sink;
	w->nr = 0;
	trace_chunk_begin(&w->chunk);
	trace_header_seal(&h);
	return sink.write(sink.arg, &h, sizeof(h));
}

static int flush(struct trace_writer *w)
{
	struct trace_chunk *c = &w->chunk;

	if (!c->header.nr_records)
		return 0;
	trace_chunk_seal(c);
	int err = w->sink.write(w->sink.arg, &c->header, sizeof(c->header));
	if (!err)
		err = w->sink.write(w->sink.arg, c->payload, c->header.payload_bytes);
	w->nr += c->header.nr_records;
	trace_chunk_begin(c);
	return err;
}

int trace_writer_put(struct trace_writer *w, const struct trace_ref *ref)
{
	if (trace_chunk_add(&w->chunk, ref))
		return 0;
	int err = flush(w);
	trace_chunk_add(&w->chunk, ref); /* an empty chunk has room */
	return err;
}

int trace_writer_lost(struct trace_writer *w, uint32_t nr)
{
	int err = flush(w);

	w->chunk.header.nr_lost += nr;
	return err;
}

int trace_writer_end(struct trace_writer *w)
{
	struct fl_trace_chunk end;
	int err = flush(w);

	trace_chunk_seal_end(&end, w->nr, w->chunk.header.nr_lost);
	return err ? err : w->sink.write(w->sink.arg, &end, sizeof(end));
}
