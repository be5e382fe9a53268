// SPDX-License-Identifier: MIT
#include <criterion/criterion.h>
#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "support.h"
#include "trace/reader.h"
#include "trace/writer.h"

struct bytes {
	uint8_t *at;
	size_t nr, pos, step; /* step: most given by one read; 0: all */
};

static ssize_t bytes_read(void *arg, void *buf, size_t nr)
{
	struct bytes *b = arg;

	nr = MIN(nr, b->nr - b->pos);
	nr = b->step ? MIN(nr, b->step) : nr;
	memcpy(buf, b->at + b->pos, nr);
	b->pos += nr;
	return (ssize_t)nr;
}

static int bytes_write(void *arg, const void *buf, size_t nr)
{
	struct bytes *b = arg;

	b->at = realloc(b->at, b->nr + nr);
	memcpy(b->at + b->nr, buf, nr);
	b->nr += nr;
	return 0;
}

/* Read all of @b. Return: records, or -errno, with its message in @why. */
static long read_all(
    struct bytes *b, const struct trace_options *options, struct trace_ref *refs, char *why)
{
	struct trace_reader *r;
	long n = trace_open(&r, (struct trace_source){bytes_read, b}, options, "T"), nr = 0;

	while (!n && (n = trace_read(r, refs + nr, 1 + (size_t)nr % 7)) > 0) {
		nr += n;
		n = 0;
		cr_assert_lt(nr, 100000);
		if (trace_read(r, refs, 0) < 0)
			break;
		n = 0;
	}
	strcpy(why, n < 0 ? trace_why(r) : "");
	trace_close(r);
	return n < 0 ? n : nr;
}

static long read_text(
    const char *text, const struct trace_options *options, struct trace_ref *refs, char *why)
{
	struct bytes b = {(uint8_t *)text, strlen(text), 0, 0};
	long nr = read_all(&b, options, refs, why);

	/* However the bytes come: */
	b = (struct bytes){(uint8_t *)text, strlen(text), 0, 1};
	cr_assert_eq(read_all(&b, options, refs, why), nr);
	return nr;
}

static struct trace_ref random_ref(struct rng *rng)
{
	struct trace_ref ref = {
	    .time_ns = rng_next(rng) >> rng_below(rng, 64),
	    .page = rng_next(rng) >> rng_below(rng, 64),
	    .thread = (uint32_t)(rng_next(rng) >> (32 + rng_below(rng, 32))),
	    .latency_ns = rng_below(rng, 2) ? rng_next(rng) >> rng_below(rng, 64) : 0,
	    .kind = (uint8_t)rng_below(rng, FL_TRACE_NR_KINDS),
	    .is_write = rng_below(rng, 2),
	};

	return ref;
}

static void write_random(struct bytes *b, struct trace_ref *refs, uint32_t nr, struct rng *rng)
{
	static struct trace_writer w;
	struct fl_trace_header h = {.page_shift = 12, .pid = 7};

	cr_assert_eq(trace_writer_begin(&w, (struct trace_sink){bytes_write, b}, &h), 0);
	for (uint32_t i = 0; i < nr; i++) {
		refs[i] = random_ref(rng);
		cr_assert_eq(trace_writer_put(&w, &refs[i]), 0);
	}
	cr_assert_eq(trace_writer_end(&w), 0);
}

static bool is_equal(const struct trace_ref *a, const struct trace_ref *b)
{
	return a->time_ns == b->time_ns && a->page == b->page && a->thread == b->thread &&
	       a->latency_ns == b->latency_ns && a->kind == b->kind && a->is_write == b->is_write;
}

Test(trace, what_is_written_is_read)
{
	enum { NR = 10000 };
	struct rng rng = rng_new("trace");
	struct trace_ref *wrote = calloc(NR, sizeof(*wrote)), *got = calloc(NR + 8, sizeof(*got));
	struct trace_options options = {0};
	char why[400];

	for (uint32_t nr = 1; nr <= NR; nr *= 10) {
		struct bytes b = {0};

		write_random(&b, wrote, nr, &rng);
		b.step = 1 + rng_below(&rng, 5000);
		cr_assert_eq(read_all(&b, &options, got, why), nr, "%s", why);
		for (uint32_t i = 0; i < nr; i++)
			cr_assert(is_equal(&wrote[i], &got[i]), "record %u", i);
		free(b.at);
	}
	free(wrote);
	free(got);
}

/* Every cut is an error, and allowed it gives a beginning; every changed byte is an error. */
Test(trace, cut_and_damaged_files)
{
	struct rng rng = rng_new("trace, damaged");
	struct trace_ref wrote[300], got[400];
	struct trace_options strict = {0}, cut = {.allow_cut = true};
	struct bytes b = {0};
	char why[400];

	write_random(&b, wrote, 300, &rng);
	size_t all = b.nr;
	for (b.nr = 0; b.nr < all; b.nr++) {
		b.pos = 0;
		cr_assert_lt(read_all(&b, &strict, got, why), 0, "cut to %zu", b.nr);
		cr_assert(!strncmp(why, "T: ", 3) && !strchr(why, '\n'), "%s", why);
		b.pos = 0;
		long nr = b.nr > 96 ? read_all(&b, &cut, got, why) : 0;
		for (long i = 0; i < nr; i++)
			cr_assert(is_equal(&wrote[i], &got[i]));
	}
	b.nr = all;
	for (size_t i = 0; i < all; i++) {
		uint8_t was = b.at[i];

		b.at[i] ^= (uint8_t)(1 + rng_below(&rng, 255));
		b.pos = 0;
		cr_assert_lt(read_all(&b, &strict, got, why), 0, "byte %zu changed", i);
		b.at[i] = was;
	}
	uint8_t more = 0;
	bytes_write(&b, &more, 1);
	b.pos = 0;
	cr_assert_lt(read_all(&b, &strict, got, why), 0, "something after the end");
	free(b.at);
}

Test(trace, lists)
{
	struct trace_options options = {0};
	struct trace_ref refs[64];
	char why[400];

	cr_assert_eq(
	    read_text("7,0,1 2\n# 5\n w3 4W;r 5\nW 6 w:9", &options, refs, why), 9, "%s", why);
	static const uint64_t pages[] = {7, 0, 1, 2, 3, 4, 5, 6, 9};
	for (int i = 0; i < 9; i++) {
		cr_expect_eq(refs[i].page, pages[i], "%d", i);
		cr_expect_eq(refs[i].is_write, strchr("\4\5\7\10", i) && i, "%d", i);
	}
	cr_assert_eq(read_text("0x7fff0000\n0x1fff 4096\n", &options, refs, why), 3);
	cr_expect_eq(refs[0].page, 0x7fff0);
	cr_expect_eq(refs[1].page, 1);
	cr_expect_eq(refs[2].page, 1);
	options.unit = TRACE_UNIT_PAGES;
	cr_assert_eq(read_text("0x10 18446744073709551615", &options, refs, why), 2);
	cr_expect_eq(refs[0].page, 16);
	cr_expect_eq(refs[1].page, UINT64_MAX);
}

Test(trace, lackey)
{
	struct trace_options options = {0};
	struct trace_ref refs[64];
	char why[400];
	const char *text = "==12== Lackey\n==12== \nI  04001000,3\n L 1ffeffffff,2\n S 00005000,8\n"
	                   " M 00006fff,1\n==12== Counted\n";

	cr_assert_eq(read_text(text, &options, refs, why), 5, "%s", why);
	static const uint64_t pages[] = {0x4001, 0x1ffefff, 0x1fff000, 5, 6};
	for (int i = 0; i < 5; i++) {
		cr_expect_eq(refs[i].page, pages[i], "%d", i);
		cr_expect_eq(refs[i].is_write, i >= 3);
	}
	options.data_only = true;
	cr_assert_eq(read_text(text, &options, refs, why), 4);
}

Test(trace, oracle)
{
	uint8_t file[3 * 24] = {0};
	static const uint64_t objects[] = {9, 1ull << 40, 9};
	static const int64_t next[] = {2, -1, -1};
	struct trace_options options = {0};
	struct trace_ref refs[8];
	uint32_t size = 100;
	char why[400];

	for (int i = 0; i < 3; i++) {
		file[24 * i] = (uint8_t)i;
		memcpy(file + 24 * i + 4, &objects[i], 8);
		memcpy(file + 24 * i + 12, &size, 4);
		memcpy(file + 24 * i + 16, &next[i], 8);
	}
	struct bytes b = {file, sizeof(file), 0, 5};
	cr_assert_eq(read_all(&b, &options, refs, why), 3, "%s", why);
	cr_expect_eq(refs[1].page, 1ull << 40);
	cr_expect_eq(refs[2].time_ns, 2000000000u);
	b = (struct bytes){file, sizeof(file) - 1, 0, 0};
	cr_expect_lt(read_all(&b, &options, refs, why), 0);
}

Test(trace, bad_input_says_where)
{
	static const struct {
		const char *text, *word;
		enum trace_format format;
	} table[] = {
	    {"", "empty", TRACE_AUTO},
	    {" \n# nothing\n", "no reference", TRACE_AUTO},
	    {"1 2\n3 four\n", "line 2", TRACE_AUTO},
	    {"99999999999999999999", "line 1", TRACE_AUTO},
	    {"-3", "line 1", TRACE_AUTO},
	    {"0x", "line 1", TRACE_AUTO},
	    {"w3w", "w3w", TRACE_AUTO},
	    {"0x1000000000000", "48 bits", TRACE_AUTO},
	    {"\x01\x02", "not a trace", TRACE_AUTO},
	    {"\x1f\x8b\x08 ", "gzip", TRACE_AUTO},
	    {"I  04001000,3\nI  zz,3\n", "line 2", TRACE_AUTO},
	    {" L 04001000,3\nsomething\n", "line 2", TRACE_AUTO},
	    {" L 04001000,3\n L 040", "cut off", TRACE_AUTO},
	    {"1 2 3", "Faultline", TRACE_FAULTLINE},
	    {"12345678901234567890123\xff----", "record 0", TRACE_ORACLE},
	};
	struct trace_ref refs[64];
	char why[400];

	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct trace_options options = {.format = table[i].format};

		cr_expect_lt(read_text(table[i].text, &options, refs, why), 0, "%s", table[i].text);
		cr_expect(strstr(why, table[i].word), "%s: %s", table[i].text, why);
	}
}
