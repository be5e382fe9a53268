// SPDX-License-Identifier: MIT
/* Traces from files, and files that appear whole; see trace_file.h. */
#include "trace_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/size.h"
#include "cli.h"
#include "replay/sim.h"

#define PROGRESS_NS    200000000u
#define PROGRESS_DELAY 1000000000u

static uint64_t clock_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static ssize_t read_fd(void *arg, void *buf, size_t bytes)
{
	ssize_t n;

	do
		n = read(*(int *)arg, buf, bytes);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

int trace_file_open(struct trace_file *t, const char *name, const struct trace_options *options,
    uint64_t limit, bool show_progress)
{
	struct stat st;

	memset(t, 0, offsetof(struct trace_file, batch));
	t->name = strcmp(name, "-") ? name : "stdin";
	t->limit = limit;
	t->fd = strcmp(name, "-") ? open(name, O_RDONLY | O_CLOEXEC) : STDIN_FILENO;
	if (t->fd < 0)
		return complain(STATUS_FAILED, "%s: cannot be opened: %s", name, strerror(errno));
	if (!fstat(t->fd, &st) && S_ISREG(st.st_mode))
		t->size = (uint64_t)st.st_size;
	t->show_progress = show_progress && isatty(STDERR_FILENO);
	t->began_ns = clock_ns();
	if (page_map_init(&t->map))
		return complain(STATUS_FAILED, "no memory");
	if (trace_open(&t->reader, (struct trace_source){read_fd, &t->fd}, options, t->name))
		return complain(STATUS_FAILED, "%s", trace_why(t->reader));
	return STATUS_GO_ON;
}

void trace_file_close(struct trace_file *t)
{
	trace_close(t->reader);
	page_map_fini(&t->map);
	if (t->fd > STDIN_FILENO)
		close(t->fd);
	t->reader = NULL;
	t->fd = -1;
}

static void show_progress(struct trace_file *t)
{
	uint64_t now = clock_ns(), passed = now - t->began_ns;

	if (passed < PROGRESS_DELAY || now - t->shown_ns < PROGRESS_NS)
		return;
	t->shown_ns = now;
	double done = t->size ? (double)trace_bytes_read(t->reader) / (double)t->size : 0;
	if (done <= 0) {
		fprintf(stderr, "\r%.1f million references\033[K", (double)t->nr_refs / 1e6);
		return;
	}
	char bar[31];
	for (int i = 0; i < 30; i++)
		bar[i] = i < done * 30 ? '#' : '.';
	bar[30] = 0;
	fprintf(stderr, "\r[%s] %3.0f %%, %.0f s left\033[K", bar, done * 100,
	    (double)passed / 1e9 * (1 - done) / done);
}

void trace_file_progress_done(struct trace_file *t)
{
	if (t->shown_ns)
		fprintf(stderr, "\r\033[K");
	t->shown_ns = 0;
}

static long failed(struct trace_file *t, const char *why)
{
	trace_file_progress_done(t);
	complain(STATUS_FAILED, "%s", why);
	return -1;
}

long trace_file_next(struct trace_file *t, bool number)
{
	size_t max = TRACE_BATCH;

	if (t->limit)
		max = MIN(max, t->limit - t->nr_refs);
	if (!max)
		return 0;
	long n = trace_read(t->reader, t->batch, max);
	if (n < 0)
		return failed(t, trace_why(t->reader));
	t->nr_refs += (uint64_t)n;
	if (t->nr_refs > TRACE_MAX_REFS)
		return failed(t, "the trace does not end; --limit N takes its first N references");
	if (t->show_progress)
		show_progress(t);
	if (!number)
		return n;
	for (long i = 0; i < n; i++)
		t->pages[i] = t->batch[i].page;
	int err = page_map_number(&t->map, t->pages, (size_t)n, t->ids);
	if (err == -EFBIG)
		return failed(t, "more than 2^30 distinct pages; are these really page numbers?");
	if (err)
		return failed(t, "no memory for so many distinct pages");
	for (long i = 0; i < n; i++)
		t->refs[i] = sim_ref(t->ids[i], t->batch[i].is_write);
	return n;
}

int trace_file_load(struct trace_file *t, uint32_t **ret_refs)
{
	uint32_t *refs = NULL;
	size_t nr = 0, room = 0;
	long n;

	while ((n = trace_file_next(t, true)) > 0) {
		if (nr + (size_t)n > room) {
			room = MAX(room * 2, (size_t)1 << 16);
			uint32_t *more = realloc(refs, room * sizeof(*refs));
			if (!more || nr > TRACE_MAX_STORED) {
				failed(t, "too long to be kept in memory, which opt, --step and "
				          "curves other than lru's need; --limit N takes its "
				          "first N references");
				free(more ? more : refs);
				return STATUS_FAILED;
			}
			refs = more;
		}
		memcpy(refs + nr, t->refs, (size_t)n * sizeof(*refs));
		nr += (size_t)n;
	}
	if (n < 0) {
		free(refs);
		return STATUS_FAILED;
	}
	*ret_refs = refs;
	return STATUS_GO_ON;
}

int trace_option_format(struct trace_options *o, const char *text)
{
	for (int i = 0; i < TRACE_NR_FORMATS; i++)
		if (!strcmp(text, trace_format_names[i])) {
			o->format = (enum trace_format)i;
			return STATUS_GO_ON;
		}
	return complain(STATUS_FAILED,
	    "--format %s: no such format; choose faultline, list, lackey, oracle or auto", text);
}

int trace_option_unit(struct trace_options *o, const char *text)
{
	if (!strcmp(text, "pages"))
		o->unit = TRACE_UNIT_PAGES;
	else if (!strcmp(text, "addresses"))
		o->unit = TRACE_UNIT_ADDRESSES;
	else
		return complain(
		    STATUS_FAILED, "--unit %s: no such unit; choose pages or addresses", text);
	return STATUS_GO_ON;
}

int trace_option_page_size(struct trace_options *o, const char *text)
{
	uint64_t bytes;

	if (size_parse(text, &bytes) || bytes < 16 || bytes & (bytes - 1) || bytes > 1ull << 40)
		return complain(STATUS_FAILED,
		    "--page-size %s: not a page size; give a power of two like 4K or 2M", text);
	o->page_shift = (unsigned)__builtin_ctzll(bytes);
	return STATUS_GO_ON;
}

static int cannot_write(const char *name)
{
	return complain(STATUS_FAILED, "%s: cannot be written: %s", name, strerror(errno));
}

int new_file_open(struct new_file *n, const char *name)
{
	n->name = name;
	n->temporary[0] = 0;
	if (!strcmp(name, "-")) {
		n->f = stdout;
		return STATUS_GO_ON;
	}
	struct stat st;
	if (!stat(name, &st) && !S_ISREG(st.st_mode)) { /* /dev/null, a pipe */
		n->f = fopen(name, "we");
		return n->f ? STATUS_GO_ON : cannot_write(name);
	}
	if ((size_t)snprintf(n->temporary, sizeof(n->temporary), "%s.%ld", name, (long)getpid()) >=
	    sizeof(n->temporary)) {
		n->f = NULL;
		n->temporary[0] = 0;
		errno = ENAMETOOLONG;
		return cannot_write(name);
	}
	n->f = fopen(n->temporary, "wex");
	if (n->f)
		return STATUS_GO_ON;
	n->temporary[0] = 0;
	return cannot_write(name);
}

void new_file_abandon(struct new_file *n)
{
	if (n->f && n->f != stdout)
		fclose(n->f);
	if (n->f && n->temporary[0])
		unlink(n->temporary);
	n->f = NULL;
}

int new_file_commit(struct new_file *n)
{
	bool is_bad = fflush(n->f) || ferror(n->f);

	if (n->f != stdout)
		is_bad |= fclose(n->f) != 0;
	n->f = NULL;
	if (!is_bad && n->temporary[0])
		is_bad = rename(n->temporary, n->name) != 0;
	if (!is_bad)
		return STATUS_OK;
	int status = cannot_write(n->name);
	if (n->temporary[0])
		unlink(n->temporary);
	return status;
}
