// SPDX-License-Identifier: MIT
/* What the files of lib/trace share: the reader's buffer, and one function for each format. */
#ifndef FL_TRACE_INTERNAL_H
#define FL_TRACE_INTERNAL_H

#include "trace/reader.h"

#define TRACE_BUFFER_BYTES ((size_t)1 << 18)
/* No line or record is longer. */
#define TRACE_MAX_ITEM (FL_TRACE_CHUNK_BYTES + sizeof(struct fl_trace_chunk))

struct trace_reader {
	struct trace_source source;
	struct trace_options options;
	const char *name;
	enum trace_format format;
	char why[400];
	int error; /* once it failed, it stays so */

	uint8_t *buf; /* what was read and not used yet: pos .. end - 1 */
	size_t pos, end;
	bool at_end; /* of the source */
	uint64_t nr_bytes;

	uint64_t line; /* text: of the next byte, from 1 */
	uint64_t nr;   /* records so far */
	unsigned page_shift;
	enum trace_unit unit;
	bool next_is_write; /* list: "w" came as a word */
	bool was_cut, has_ended;

	struct fl_trace_header header;
	struct fl_trace_chunk chunk; /* ours: the one being read */
	uint32_t chunk_left;         /* records */
	const uint8_t *record, *chunk_end;
	struct trace_ref last;
	uint64_t nr_lost;

	uint64_t pages_left, next_page; /* lackey: of a reference that crosses pages */
	struct trace_ref pending;
};

/* Have at least @bytes (up to TRACE_MAX_ITEM) at pos, or all there are. Return: bytes there, or
 * -errno. Pointers into the buffer are void after it. */
ssize_t trace_fill(struct trace_reader *r, size_t bytes);

/* Set why and error. Return: @error. */
__attribute__((format(printf, 3, 4))) int trace_fail(
    struct trace_reader *r, int error, const char *format, ...);
/* The trace ends in the middle of @what. Return: 0 when that is allowed, or -errno. */
int trace_cut(struct trace_reader *r, const char *what);

/* As trace_read(). */
long trace_read_native(struct trace_reader *r, struct trace_ref *refs, size_t max);
long trace_read_list(struct trace_reader *r, struct trace_ref *refs, size_t max);
long trace_read_lackey(struct trace_reader *r, struct trace_ref *refs, size_t max);
long trace_read_oracle(struct trace_reader *r, struct trace_ref *refs, size_t max);

/* Read the file's header. Return: 0 or -errno. */
int trace_open_native(struct trace_reader *r);
/* Whether @bytes at @buf, the beginning of a file, are of that format. */
bool trace_looks_like_lackey(const uint8_t *buf, size_t bytes);
bool trace_looks_like_oracle(const uint8_t *buf, size_t bytes);

#endif
