// SPDX-License-Identifier: MIT
/*
 * Coding and decoding of the trace format (faultline/trace.h). No allocation, no I/O: the recorder
 * in a live program and the reader of files both use this.
 */
#ifndef FL_TRACE_CODEC_H
#define FL_TRACE_CODEC_H

#include "base/types.h"
#include "faultline/trace.h"

/* One reference, or one fault. */
struct trace_ref {
	uint64_t time_ns;
	uint64_t page;
	uint64_t latency_ns;
	uint32_t thread;
	uint8_t kind; /* enum fl_trace_kind */
	bool is_write;
};

/* A chunk in the making. */
struct trace_chunk {
	struct fl_trace_chunk header;
	struct trace_ref last;
	uint8_t payload[FL_TRACE_CHUNK_BYTES];
};

/* Set the constant fields and the check; the caller has filled in the others. */
void trace_header_seal(struct fl_trace_header *h);
/* Return: 0; -EINVAL: no trace; -EPROTO: of another version; -EBADMSG: damaged. Context: any. */
int trace_header_check(const struct fl_trace_header *h);

void trace_chunk_begin(struct trace_chunk *c);
/* Return: false when the chunk is full; @ref is not in it then. Context: any. */
bool trace_chunk_add(struct trace_chunk *c, const struct trace_ref *ref);
/* Make the header valid: header and the first header.payload_bytes of the payload may be written.
 */
void trace_chunk_seal(struct trace_chunk *c);
/* The chunk that ends a file of @nr_records; @nr_lost: since the chunk before. */
void trace_chunk_seal_end(struct fl_trace_chunk *h, uint64_t nr_records, uint32_t nr_lost);

/* Return: 0, or -EBADMSG for a header that cannot be one. */
int trace_chunk_check_header(const struct fl_trace_chunk *h);
/* Return: 0, or -EBADMSG where payload and header do not belong together. */
int trace_chunk_check(const struct fl_trace_chunk *h, const uint8_t *payload);

/* Decode the record at *at, which moves on; @last: the record before, and the result. Return: 0, or
 * -EBADMSG. */
int trace_record_decode(const uint8_t **at, const uint8_t *end, struct trace_ref *last);

#endif
