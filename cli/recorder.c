// SPDX-License-Identifier: MIT
/* Recording traces; see recorder.h. */
#include "recorder.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "base/sys.h"
#include "cli.h"
#include "telemetry/trace_ring.h"
#include "trace/writer.h"

struct recording {
	FILE *f;                    /* NULL: not begun, or over */
	struct fl_trace_ring *ring; /* mapped with it */
	struct trace_writer *writer;
	uint64_t start_ns, nr_lost; /* as already told to the writer */
	bool is_over;
};

void recorder_init(struct recorder *r, const char *name, FILE *first)
{
	*r = (struct recorder){.name = name, .first = first};
}

static void failed(struct recorder *r, int err)
{
	if (!r->has_failed)
		complain(0, "%s: the trace is not complete: %s", r->name, strerror(-err));
	r->has_failed = true;
}

static int put_bytes(void *arg, const void *buf, size_t bytes)
{
	errno = 0;
	return fwrite(buf, 1, bytes, arg) == bytes ? 0 : errno ? -errno : -EIO;
}

/* FILE for the first that faults, else FILE.PID, or FILE.PID.2 and so on for what exec made of it.
 */
static FILE *open_file(struct recorder *r, const struct watch *w, uint32_t index)
{
	char path[PATH_MAX];
	unsigned nth = 1;
	FILE *f = r->first;

	r->first = NULL;
	if (f)
		return f;
	for (uint32_t i = 0; i < index; i++)
		nth += r->list[i].is_over && i && w->list[i].pid == w->list[index].pid;
	int len = snprintf(path, sizeof(path), "%s.%u", r->name, w->list[index].pid);
	if (nth > 1 && len > 0 && len < (int)sizeof(path))
		snprintf(path + len, sizeof(path) - (size_t)len, ".%u", nth);
	f = fopen(path, "we");
	if (!f)
		failed(r, -errno);
	return f;
}

static uint64_t realtime_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static int begin(struct recorder *r, const struct watch *w, uint32_t index)
{
	const struct fl_process *p = watch_record(w, index);
	struct recording *rec = &r->list[index];

	if (!rec->ring)
		rec->ring = mmap(NULL, FL_TRACE_RING_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED,
		    w->fd, (off_t)fl_trace_ring_offset(index));
	if (rec->ring == MAP_FAILED) {
		rec->ring = NULL;
		return -errno;
	}
	if (!atomic_load(&rec->ring->head))
		return 0;
	rec->writer = malloc(sizeof(*rec->writer));
	rec->f = rec->writer ? open_file(r, w, index) : NULL;
	if (!rec->f)
		return -ENOMEM;
	rec->start_ns = atomic_load(&((struct fl_process *)p)->start_ns);
	struct fl_trace_header header = {
	    .page_shift = PAGE_SHIFT,
	    .pid = w->list[index].pid,
	    .start_ns = realtime_ns() - (now_ns() - rec->start_ns),
	    .nr_frames = atomic_load(&((struct fl_process *)p)->frames_budget),
	    .tlb_entries = p->tlb_entries,
	};
	r->nr_files++;
	return trace_writer_begin(rec->writer, (struct trace_sink){put_bytes, rec->f}, &header);
}

static int drain(struct recorder *r, struct recording *rec, bool is_over)
{
	/* Dropped while the ring was full: behind all that is in it now. */
	uint64_t lost = atomic_load(&rec->ring->nr_lost);
	struct trace_event e;
	int err = 0;

	for (uint32_t i = 0; i < FL_TRACE_SLOTS && !err; i++) {
		if (!trace_ring_take(rec->ring, is_over, &e))
			break;
		struct trace_ref ref = {
		    .time_ns = e.time_ns > rec->start_ns ? e.time_ns - rec->start_ns : 0,
		    .page = e.page,
		    .latency_ns = e.latency_ns,
		    .thread = e.thread,
		    .kind = e.kind,
		    .is_write = e.is_write,
		};
		err = trace_writer_put(rec->writer, &ref);
		r->nr_records++;
	}
	if (is_over)
		lost = atomic_load(&rec->ring->nr_lost);
	for (uint64_t left = lost - rec->nr_lost; left && !err; left -= MIN(left, UINT32_MAX))
		err = trace_writer_lost(rec->writer, (uint32_t)MIN(left, UINT32_MAX));
	r->nr_lost += lost - rec->nr_lost;
	rec->nr_lost = lost;
	return err;
}

static void end(struct recorder *r, const struct watch *w, uint32_t index)
{
	struct recording *rec = &r->list[index];

	rec->is_over = true;
	if (rec->f) {
		int err = trace_writer_end(rec->writer);

		if (fclose(rec->f) && !err)
			err = -errno;
		if (err)
			failed(r, err);
	}
	free(rec->writer);
	if (rec->ring)
		munmap(rec->ring, FL_TRACE_RING_BYTES);
	*rec = (struct recording){.is_over = true};
	fallocate(w->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
	    (off_t)fl_trace_ring_offset(index), (off_t)FL_TRACE_RING_BYTES);
}

static void run_one(struct recorder *r, const struct watch *w, uint32_t index, bool is_last)
{
	struct recording *rec = &r->list[index];
	/* Looked at before what is drained: nothing comes after it. */
	bool is_over = w->list[index].is_over || is_last;
	int err = 0;

	if (rec->is_over || !w->list[index].is_seen)
		return;
	if (!rec->f)
		err = begin(r, w, index);
	if (!err && rec->f)
		err = drain(r, rec, is_over);
	if (err)
		failed(r, err);
	if (err || is_over)
		end(r, w, index);
}

static bool make_room(struct recorder *r, uint32_t nr)
{
	struct recording *list = realloc(r->list, nr * sizeof(*list));

	if (!list)
		return false;
	memset(list + r->nr, 0, (nr - r->nr) * sizeof(*list));
	r->list = list;
	r->nr = nr;
	return true;
}

static void run_all(struct recorder *r, const struct watch *w, bool is_last)
{
	if (!r->name)
		return;
	if (w->nr > r->nr && !make_room(r, w->nr))
		failed(r, -ENOMEM);
	for (uint32_t i = 0; i < r->nr; i++)
		run_one(r, w, i, is_last);
}

void recorder_run(struct recorder *r, const struct watch *w)
{
	run_all(r, w, false);
}

void recorder_finish(struct recorder *r, const struct watch *w)
{
	run_all(r, w, true);
	if (r->first)
		fclose(r->first); /* no process was paged */
	r->first = NULL;
	free(r->list);
	r->list = NULL;
	r->nr = 0;
}
