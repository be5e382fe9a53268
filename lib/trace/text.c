// SPDX-License-Identifier: MIT
/*
 * Reading text: lists of numbers, and what valgrind's lackey prints:
 *
 *     I  04001000,3       instruction        L 1ffefffe70,8   load
 *      S 1ffefffe68,8     store              M 0421bf10,4     load and store (modify)
 *     ==123== ...         said by valgrind: skipped
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "trace/internal.h"

#define MAX_TOKEN 64u
#define MAX_LINE  4096u

static bool is_separator(uint8_t c)
{
	return c == ' ' || c == ',' || c == ';' || (c >= '\t' && c <= '\r');
}

static int digit(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : 99;
}

/* Digits of @base from *at. Return: whether there was a number that has 64 bits. */
static bool number(const uint8_t **at, const uint8_t *end, unsigned base, uint64_t *ret_v)
{
	const uint8_t *begin = *at;
	uint64_t v = 0;

	for (; *at < end && digit(**at) < (int)base; (*at)++)
		if (__builtin_mul_overflow(v, base, &v) ||
		    __builtin_add_overflow(v, (unsigned)digit(**at), &v))
			return false;
	*ret_v = v;
	return *at > begin;
}

static void skip_line(struct trace_reader *r)
{
	while (trace_fill(r, 1) > 0) {
		uint8_t *begin = r->buf + r->pos, *nl = memchr(begin, '\n', r->end - r->pos);

		r->pos = nl ? (size_t)(nl - r->buf) : r->end;
		if (nl)
			return;
	}
}

/* Skip separators and comments. Return: whether there is more. */
static bool skip_blank(struct trace_reader *r)
{
	while (r->pos < r->end || trace_fill(r, 1) > 0) {
		uint8_t c = r->buf[r->pos];

		if (c == '#') {
			skip_line(r);
			continue;
		}
		if (!is_separator(c))
			return true;
		r->line += c == '\n';
		r->pos++;
	}
	return false;
}

static int bad_token(struct trace_reader *r, const uint8_t *token, size_t bytes)
{
	char shown[24];
	size_t n = MIN(bytes, sizeof(shown) - 1);

	for (size_t i = 0; i < n; i++)
		shown[i] = token[i] >= ' ' && token[i] < 0x7f ? (char)token[i] : '?';
	shown[n] = 0;
	return trace_fail(r, -EINVAL, "line %llu: \"%s\" is not a page number or address",
	    (unsigned long long)r->line, shown);
}

/* -1: neither */
static int read_or_write(uint8_t c)
{
	c |= 0x20;
	return c == 'w' ? 1 : c == 'r' ? 0 : -1;
}

static int to_page(struct trace_reader *r, uint64_t v, bool is_hex, uint64_t *ret_page)
{
	if (r->unit == TRACE_UNIT_AUTO)
		r->unit = is_hex ? TRACE_UNIT_ADDRESSES : TRACE_UNIT_PAGES;
	*ret_page = v;
	if (r->unit == TRACE_UNIT_PAGES)
		return 0;
	/* 48 bits, the upper ones copies of bit 47. */
	if (v >> 47 && v >> 47 != 0x1ffff)
		return trace_fail(r, -EINVAL, "line %llu: 0x%llx is outside 48 bits of address",
		    (unsigned long long)r->line, (unsigned long long)v);
	*ret_page = v >> r->page_shift;
	return 0;
}

/* Return: 1 a reference, 0 only a word, -errno. */
static int list_token(
    struct trace_reader *r, const uint8_t *at, const uint8_t *end, struct trace_ref *ref)
{
	const uint8_t *begin = at;
	int before = at < end ? read_or_write(*at) : -1, after;
	uint64_t v;

	at += before >= 0;
	if (at == end) {
		r->next_is_write = before == 1;
		return 0;
	}
	at += at < end && *at == ':' && before >= 0;
	bool is_hex = end - at > 2 && at[0] == '0' && (at[1] | 0x20) == 'x';
	at += is_hex ? 2 : 0;
	if (!number(&at, end, is_hex ? 16 : 10, &v))
		return bad_token(r, begin, (size_t)(end - begin));
	after = at < end ? read_or_write(*at) : -1;
	at += after >= 0;
	if (at != end || (before >= 0 && after >= 0))
		return bad_token(r, begin, (size_t)(end - begin));
	*ref = (struct trace_ref){.is_write = before == 1 || after == 1 || r->next_is_write};
	r->next_is_write = false;
	int err = to_page(r, v, is_hex, &ref->page);
	return err ? err : 1;
}

long trace_read_list(struct trace_reader *r, struct trace_ref *refs, size_t max)
{
	size_t n = 0;

	while (n < max && skip_blank(r)) {
		ssize_t bytes = r->end - r->pos >= MAX_TOKEN ? MAX_TOKEN : trace_fill(r, MAX_TOKEN);
		size_t len = 0;

		if (bytes < 0)
			return bytes;
		const uint8_t *at = r->buf + r->pos;
		while (len < (size_t)bytes && len < MAX_TOKEN && !is_separator(at[len]) &&
		       at[len] != '#')
			len++;
		int result = len == MAX_TOKEN ? bad_token(r, at, len)
		                              : list_token(r, at, at + len, &refs[n]);
		if (result < 0)
			return result;
		r->pos += len;
		n += (size_t)result;
		r->nr += (size_t)result;
	}
	return r->error ? r->error : (long)n;
}

bool trace_looks_like_lackey(const uint8_t *buf, size_t bytes)
{
	const uint8_t *end = buf + bytes;

	while (buf < end) {
		const uint8_t *nl = memchr(buf, '\n', (size_t)(end - buf));
		size_t len = (size_t)((nl ? nl : end) - buf);

		if (len > 3 && (!memcmp(buf, "I  ", 3) || !memcmp(buf, " L ", 3) ||
		                   !memcmp(buf, " S ", 3) || !memcmp(buf, " M ", 3)))
			return true;
		/* valgrind's own lines come before */
		if (len && memcmp(buf, "==", MIN(len, 2)) && memcmp(buf, "--", MIN(len, 2)))
			return false;
		buf += len + (nl != NULL);
	}
	return false;
}

/* Return: 1 references are pending, 0 none on this line, -errno. */
static int lackey_line(struct trace_reader *r, const uint8_t *at, const uint8_t *end)
{
	uint64_t addr, size;
	uint8_t kind;

	if (at == end || *at == '=' || *at == '-')
		return 0;
	if (end - at < 6 || at[2] != ' ')
		return -EINVAL;
	kind = at[0] == 'I' && at[1] == ' ' ? 'I' : at[0] == ' ' ? at[1] : 0;
	if (!kind || !strchr("ILSM", kind))
		return -EINVAL;
	at += 3;
	if (!number(&at, end, 16, &addr) || at == end || *at++ != ',' ||
	    !number(&at, end, 10, &size) || at != end || !size || size > 1u << 20 ||
	    addr + (size - 1) < addr)
		return -EINVAL;
	if (kind == 'I' && r->options.data_only)
		return 0;
	r->pending = (struct trace_ref){.is_write = kind == 'S' || kind == 'M'};
	r->next_page = addr >> r->page_shift;
	r->pages_left = ((addr + size - 1) >> r->page_shift) - r->next_page + 1;
	return 1;
}

/* Return: 1 references are pending, 0 at the end, -errno. */
static int lackey_next(struct trace_reader *r)
{
	for (;;) {
		ssize_t bytes = trace_fill(r, MAX_LINE);

		if (bytes <= 0)
			return (int)bytes;
		uint8_t *at = r->buf + r->pos;
		uint8_t *nl = memchr(at, '\n', MIN((size_t)bytes, (size_t)MAX_LINE));
		if (!nl && (size_t)bytes >= MAX_LINE)
			return trace_fail(r, -EINVAL, "line %llu is too long for lackey's",
			    (unsigned long long)r->line);
		uint8_t *end = nl ? nl : at + bytes;
		int result = lackey_line(r, at, end > at && end[-1] == '\r' ? end - 1 : end);
		if (result == -EINVAL && !nl)
			return trace_cut(r, "a line");
		if (result < 0)
			return trace_fail(r, result, "line %llu is not one of lackey's",
			    (unsigned long long)r->line);
		r->pos += (size_t)(end - at) + (nl != NULL);
		r->line++;
		if (result)
			return result;
	}
}

long trace_read_lackey(struct trace_reader *r, struct trace_ref *refs, size_t max)
{
	size_t n = 0;

	while (n < max) {
		if (!r->pages_left) {
			int more = lackey_next(r);

			if (more < 0)
				return more;
			if (!more)
				break;
		}
		refs[n] = r->pending;
		refs[n++].page = r->next_page++;
		r->pages_left--;
		r->nr++;
	}
	return (long)n;
}
