// SPDX-License-Identifier: MIT
/* The trace format; see codec.h and faultline/trace.h. */
#include "trace/codec.h"

#include <errno.h>
#include <string.h>
#include <xxhash.h>

#define KIND_MASK   7u
#define IS_WRITE    8u
#define HAS_THREAD  16u
#define HAS_LATENCY 32u
#define ALL_FLAGS   63u

_Static_assert(sizeof(struct fl_trace_header) == 64, "the file's header");
_Static_assert(sizeof(struct fl_trace_chunk) == 32, "a chunk's header");

static uint64_t header_sum(const struct fl_trace_header *h)
{
	return XXH3_64bits(h, offsetof(struct fl_trace_header, check));
}

static uint64_t chunk_sum(const struct fl_trace_chunk *h, const uint8_t *payload)
{
	uint64_t seed = XXH3_64bits(h, offsetof(struct fl_trace_chunk, check));

	return XXH3_64bits_withSeed(payload, h->payload_bytes, seed);
}

void trace_header_seal(struct fl_trace_header *h)
{
	memcpy(h->magic, FL_TRACE_MAGIC, sizeof(h->magic));
	h->version = FL_TRACE_VERSION;
	h->header_bytes = sizeof(*h);
	memset(h->reserved, 0, sizeof(h->reserved));
	h->check = header_sum(h);
}

int trace_header_check(const struct fl_trace_header *h)
{
	if (memcmp(h->magic, FL_TRACE_MAGIC, sizeof(h->magic)) != 0)
		return -EINVAL;
	if (h->version != FL_TRACE_VERSION)
		return -EPROTO;
	if (h->check != header_sum(h) || h->header_bytes != sizeof(*h) || h->page_shift > 40)
		return -EBADMSG;
	return 0;
}

void trace_chunk_begin(struct trace_chunk *c)
{
	memset(&c->header, 0, sizeof(c->header));
	memset(&c->last, 0, sizeof(c->last));
}

static uint8_t *put(uint8_t *at, uint64_t v)
{
	for (; v >= 0x80; v >>= 7)
		*at++ = (uint8_t)(v | 0x80);
	*at++ = (uint8_t)v;
	return at;
}

static uint64_t zigzag(uint64_t difference)
{
	return difference << 1 ^ (uint64_t)((int64_t)difference >> 63);
}

static uint64_t unzigzag(uint64_t v)
{
	return v >> 1 ^ -(v & 1);
}

bool trace_chunk_add(struct trace_chunk *c, const struct trace_ref *ref)
{
	uint8_t *begin = c->payload + c->header.payload_bytes, *at = begin + 1;

	if (c->header.payload_bytes + FL_TRACE_RECORD_BYTES > FL_TRACE_CHUNK_BYTES)
		return false;
	if (!c->header.nr_records)
		c->header.time_ns = c->last.time_ns = ref->time_ns;
	*begin = (uint8_t)(ref->kind & KIND_MASK) | (ref->is_write ? IS_WRITE : 0);
	at = put(at, zigzag(ref->page - c->last.page));
	at = put(at, zigzag(ref->time_ns - c->last.time_ns));
	if (ref->thread != c->last.thread) {
		*begin |= HAS_THREAD;
		at = put(at, ref->thread);
	}
	if (ref->latency_ns) {
		*begin |= HAS_LATENCY;
		at = put(at, ref->latency_ns);
	}
	c->last = *ref;
	c->header.nr_records++;
	c->header.payload_bytes += (uint32_t)(at - begin);
	return true;
}

void trace_chunk_seal(struct trace_chunk *c)
{
	c->header.magic = FL_TRACE_CHUNK_MAGIC;
	c->header.check = chunk_sum(&c->header, c->payload);
}

void trace_chunk_seal_end(struct fl_trace_chunk *h, uint64_t nr_records, uint32_t nr_lost)
{
	*h = (struct fl_trace_chunk){
	    .magic = FL_TRACE_CHUNK_MAGIC, .nr_lost = nr_lost, .time_ns = nr_records};
	h->check = chunk_sum(h, (const uint8_t *)"");
}

int trace_chunk_check_header(const struct fl_trace_chunk *h)
{
	bool is_possible =
	    h->magic == FL_TRACE_CHUNK_MAGIC && h->payload_bytes <= FL_TRACE_CHUNK_BYTES &&
	    /* flags, page and time are a byte each at least */
	    (uint64_t)h->nr_records * 3 <= h->payload_bytes && (h->nr_records || !h->payload_bytes);

	return is_possible ? 0 : -EBADMSG;
}

int trace_chunk_check(const struct fl_trace_chunk *h, const uint8_t *payload)
{
	return h->check == chunk_sum(h, payload) ? 0 : -EBADMSG;
}

/* Return: whether *at had a varint. */
static bool get(const uint8_t **at, const uint8_t *end, uint64_t *ret_v)
{
	uint64_t v = 0;

	for (unsigned shift = 0; *at < end && shift < 64; shift += 7) {
		uint8_t byte = *(*at)++;

		if (shift == 63 && byte > 1)
			return false;
		v |= (uint64_t)(byte & 0x7f) << shift;
		if (!(byte & 0x80)) {
			*ret_v = v;
			return true;
		}
	}
	return false;
}

int trace_record_decode(const uint8_t **at, const uint8_t *end, struct trace_ref *last)
{
	uint64_t page, time, thread = last->thread, latency = 0;

	if (*at == end)
		return -EBADMSG;
	uint8_t flags = *(*at)++;
	if (flags > ALL_FLAGS || (flags & KIND_MASK) >= FL_TRACE_NR_KINDS)
		return -EBADMSG;
	if (!get(at, end, &page) || !get(at, end, &time) ||
	    (flags & HAS_THREAD && !get(at, end, &thread)) ||
	    (flags & HAS_LATENCY && !get(at, end, &latency)) || thread > UINT32_MAX)
		return -EBADMSG;
	last->page += unzigzag(page);
	last->time_ns += unzigzag(time);
	last->thread = (uint32_t)thread;
	last->latency_ns = latency;
	last->kind = flags & KIND_MASK;
	last->is_write = flags & IS_WRITE;
	return 0;
}
