/* SPDX-License-Identifier: MIT */
/*
 * Faultline's reference traces: the file format. doc/trace-format.md says the same in prose.
 *
 *     header | chunk | chunk | ... | end chunk
 *
 * All numbers are little-endian. A chunk stands alone: its records are coded as differences that
 * begin anew in each, so a reader that finds one damaged knows what is lost. A file without its end
 * chunk was cut off; what is whole of it is good.
 *
 * A record is
 *
 *     flags   1 byte: bits 0-2 kind, 3 write, 4 thread follows, 5 latency follows; 6-7 are 0
 *     page    varint, zigzag: page number less that of the record before (first: less 0)
 *     time    varint, zigzag: nanoseconds less those of the record before (first: less the chunk's)
 *     thread  varint, if bit 4: else that of the record before (first: 0)
 *     latency varint, if bit 5: nanoseconds, else 0
 *
 * with varints of 7 bits a byte, low ones first, bit 7 set on all but the last; at most 10 bytes,
 * and never more than 64 bits. Differences are modulo 2^64; zigzag(d) = d << 1 ^ d >> 63
 * (arithmetic).
 */
#ifndef FAULTLINE_TRACE_H
#define FAULTLINE_TRACE_H

#include <stdint.h>

#define FL_TRACE_MAGIC       "FLTRACE\n"
#define FL_TRACE_VERSION     1u
#define FL_TRACE_CHUNK_MAGIC 0x4b434c46u /* "FLCK" */

#define FL_TRACE_CHUNK_BYTES  65536u /* most payload of a chunk */
#define FL_TRACE_RECORD_BYTES 41u    /* most bytes of a record */

enum fl_trace_kind {
	FL_TRACE_REFERENCE = 0, /* of a trace that shows every reference */
	FL_TRACE_ZERO = 1,      /* minor fault: first touch */
	FL_TRACE_REFILL = 2,    /* minor fault: in a frame, but not mapped */
	FL_TRACE_WRITE = 3,     /* minor fault: first write to a clean page */
	FL_TRACE_MAJOR = 4,     /* read from swap or file */
	FL_TRACE_NR_KINDS,
};

struct fl_trace_header {
	char magic[8]; /* FL_TRACE_MAGIC */
	uint32_t version;
	uint32_t header_bytes; /* sizeof(struct fl_trace_header); the first chunk is there */
	uint32_t page_shift;   /* of the page numbers: 12 for 4 KiB */
	uint32_t pid;          /* 0: unknown */
	uint64_t start_ns;     /* CLOCK_REALTIME at time 0 of the records; 0: unknown */
	uint64_t nr_frames;    /* budget of the run; 0: unknown */
	uint32_t tlb_entries;  /* the trap TLB that filtered the references; 0: none */
	uint32_t reserved[3];  /* 0 */
	uint64_t check;        /* XXH3 (64 bits) of what is before */
};

struct fl_trace_chunk {
	uint32_t magic;         /* FL_TRACE_CHUNK_MAGIC */
	uint32_t nr_records;    /* 0: the end chunk */
	uint32_t payload_bytes; /* at most FL_TRACE_CHUNK_BYTES; end chunk: 0 */
	uint32_t nr_lost;       /* records that had to be left out before this chunk */
	uint64_t time_ns;       /* time that the first record's counts from; end chunk: records of
	                         * the whole file */
	uint64_t check; /* XXH3 of the payload, seeded with the XXH3 of the 24 bytes before */
};

#endif
