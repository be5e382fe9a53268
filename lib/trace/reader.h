// SPDX-License-Identifier: MIT
/*
 * Reads traces, one after the other record, in memory that does not depend on their length:
 *
 *     faultline  our own (faultline/trace.h)
 *     list       text: page numbers or addresses, between them blanks, commas or new lines; w or r
 *                before or after a number, or as a word before it, says write or read; # comments
 *     lackey     valgrind --tool=lackey --trace-mem=yes
 *     oracle     libCacheSim's oracleGeneral: 24 bytes a record; the object is the page
 *
 * A file that does not say what it is (list, lackey, oracle) is known by its first bytes. What is
 * damaged, cut off or foreign is an error, with a message that says where; never a guess.
 */
#ifndef FL_TRACE_READER_H
#define FL_TRACE_READER_H

#include <sys/types.h>

#include "trace/codec.h"

enum trace_format {
	TRACE_AUTO,
	TRACE_FAULTLINE,
	TRACE_LIST,
	TRACE_LACKEY,
	TRACE_ORACLE,
	TRACE_NR_FORMATS,
};

/* By enum trace_format. */
extern const char *const trace_format_names[TRACE_NR_FORMATS];

enum trace_unit {
	TRACE_UNIT_AUTO,  /* addresses where the first number begins with 0x, else pages */
	TRACE_UNIT_PAGES, /* as they are */
	TRACE_UNIT_ADDRESSES,
};

struct trace_options {
	enum trace_format format;
	enum trace_unit unit; /* list only */
	unsigned page_shift;  /* to make pages of addresses; 0: 12 */
	bool data_only;       /* lackey: no instruction fetches */
	bool allow_cut;       /* a trace that is cut off ends there, without an error */
};

struct trace_source {
	/* Return: bytes read, 0 at the end, -errno. */
	ssize_t (*read)(void *arg, void *buf, size_t bytes);
	void *arg;
};

struct trace_reader;

/* @name: for messages; must stay. Return: 0; -ENOMEM; or another -errno, with a line in
 * trace_why() of *ret_reader, which must be closed all the same. */
int trace_open(struct trace_reader **ret_reader, struct trace_source source,
    const struct trace_options *options, const char *name);
void trace_close(struct trace_reader *r);

/* Return: records written to @ret_refs, at most @max; 0 at the end; -errno, see trace_why(). */
long trace_read(struct trace_reader *r, struct trace_ref *ret_refs, size_t max);

const char *trace_why(const struct trace_reader *r);
enum trace_format trace_format(const struct trace_reader *r);
/* The header of our own format, else NULL. */
const struct fl_trace_header *trace_header(const struct trace_reader *r);
unsigned trace_page_shift(const struct trace_reader *r);
/* Records that the recorder left out, as far as was read. */
uint64_t trace_nr_lost(const struct trace_reader *r);
bool trace_was_cut(const struct trace_reader *r);
uint64_t trace_bytes_read(const struct trace_reader *r);

#endif
