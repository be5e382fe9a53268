// SPDX-License-Identifier: MIT
/*
 * Reading binary traces: our own, and libCacheSim's oracleGeneral, whose records are packed,
 * little- endian: uint32 time in seconds, uint64 object, uint32 size, int64 number of the object's
 * next reference (-1 or the largest: none), 24 bytes. There is no header, so one is known by what
 * its fields can be.
 */
#include <errno.h>
#include <string.h>

#include "trace/internal.h"

#define ORACLE_BYTES 24u

int trace_open_native(struct trace_reader *r)
{
	ssize_t n = trace_fill(r, sizeof(r->header));

	if (n < 0)
		return (int)n;
	if (memcmp(r->buf + r->pos, FL_TRACE_MAGIC, MIN((size_t)n, sizeof(r->header.magic))))
		return trace_fail(r, -EINVAL, "not a trace of Faultline's");
	if ((size_t)n < sizeof(r->header))
		return trace_fail(r, -EBADMSG, "cut off in the middle of its header");
	memcpy(&r->header, r->buf + r->pos, sizeof(r->header));
	int err = trace_header_check(&r->header);
	if (err == -EPROTO)
		return trace_fail(r, err, "of version %u of the format; this program reads %u",
		    r->header.version, FL_TRACE_VERSION);
	if (err)
		return trace_fail(r, err, "damaged: its header's checksum is wrong");
	r->pos += sizeof(r->header);
	r->page_shift = r->header.page_shift;
	return 0;
}

static int damaged(struct trace_reader *r)
{
	return trace_fail(r, -EBADMSG, "damaged after record %llu", (unsigned long long)r->nr);
}

/* Return: 1, 0 at the end, -errno. */
static int next_chunk(struct trace_reader *r)
{
	ssize_t n = trace_fill(r, sizeof(r->chunk));

	if (n < 0)
		return (int)n;
	if (!n)
		return trace_cut(r, "its chunks"); /* the end chunk is missing */
	if ((size_t)n < sizeof(r->chunk))
		return trace_cut(r, "a chunk's header");
	memcpy(&r->chunk, r->buf + r->pos, sizeof(r->chunk));
	if (trace_chunk_check_header(&r->chunk))
		return damaged(r);
	n = trace_fill(r, sizeof(r->chunk) + r->chunk.payload_bytes);
	if (n < 0)
		return (int)n;
	if ((size_t)n < sizeof(r->chunk) + r->chunk.payload_bytes)
		return trace_cut(r, "a chunk");
	r->record = r->buf + r->pos + sizeof(r->chunk);
	r->chunk_end = r->record + r->chunk.payload_bytes;
	r->pos += sizeof(r->chunk) + r->chunk.payload_bytes;
	if (trace_chunk_check(&r->chunk, r->record))
		return damaged(r);
	r->nr_lost += r->chunk.nr_lost;
	r->chunk_left = r->chunk.nr_records;
	r->last = (struct trace_ref){.time_ns = r->chunk.time_ns};
	if (r->chunk_left)
		return 1;
	n = trace_fill(r, 1);
	if (n < 0)
		return (int)n;
	return n || r->chunk.time_ns != r->nr ? damaged(r) : 0;
}

long trace_read_native(struct trace_reader *r, struct trace_ref *refs, size_t max)
{
	size_t n = 0;

	while (n < max) {
		if (!r->chunk_left) {
			/* The buffer may move: finish what was read of this chunk first. */
			int more = n ? 0 : next_chunk(r);

			if (more <= 0)
				return more < 0 ? more : (long)n;
		}
		if (trace_record_decode(&r->record, r->chunk_end, &r->last))
			return damaged(r);
		refs[n++] = r->last;
		r->nr++;
		if (!--r->chunk_left && r->record != r->chunk_end)
			return damaged(r);
	}
	return (long)n;
}

struct oracle_record {
	uint32_t time;
	uint64_t object;
	uint32_t size;
	int64_t next;
};

static struct oracle_record oracle_record(const uint8_t *at)
{
	struct oracle_record o;

	memcpy(&o.time, at, 4);
	memcpy(&o.object, at + 4, 8);
	memcpy(&o.size, at + 12, 4);
	memcpy(&o.next, at + 16, 8);
	return o;
}

/* Whether @o can be record number @nr. */
static bool is_oracle(const struct oracle_record *o, uint64_t nr, uint32_t time_before)
{
	return o->size && o->time >= time_before && (o->next == -1 || o->next > (int64_t)nr);
}

bool trace_looks_like_oracle(const uint8_t *buf, size_t bytes)
{
	uint32_t time = 0;

	for (size_t i = 0; (i + 1) * ORACLE_BYTES <= bytes; i++) {
		struct oracle_record o = oracle_record(buf + i * ORACLE_BYTES);

		if (!is_oracle(&o, i, time))
			return false;
		time = o.time;
	}
	return bytes >= ORACLE_BYTES;
}

long trace_read_oracle(struct trace_reader *r, struct trace_ref *refs, size_t max)
{
	size_t n = 0;

	for (; n < max; n++) {
		ssize_t bytes = trace_fill(r, ORACLE_BYTES);

		if (bytes < 0)
			return bytes;
		if (!bytes)
			break;
		if ((size_t)bytes < ORACLE_BYTES)
			return n ? (long)n : trace_cut(r, "a record");
		struct oracle_record o = oracle_record(r->buf + r->pos);
		if (!is_oracle(&o, r->nr, (uint32_t)(r->last.time_ns / 1000000000u)))
			return trace_fail(r, -EBADMSG, "record %llu cannot be one of oracleGeneral",
			    (unsigned long long)r->nr);
		r->pos += ORACLE_BYTES;
		r->nr++;
		r->last =
		    (struct trace_ref){.time_ns = (uint64_t)o.time * 1000000000u, .page = o.object};
		refs[n] = r->last;
	}
	return (long)n;
}
