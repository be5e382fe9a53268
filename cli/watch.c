// SPDX-License-Identifier: MIT
/* Watching the telemetry file and the processes in it; see watch.h. */
#include "watch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <stdio.h>

#include "base/sys.h"

struct fl_telemetry *watch_header(const struct watch *w)
{
	return (struct fl_telemetry *)(void *)w->map;
}

struct fl_process *watch_record(const struct watch *w, uint32_t index)
{
	return (struct fl_process *)(void *)(w->map + fl_process_offset(index));
}

static int map_file(struct watch *w)
{
	void *map = mmap(
	    NULL, FL_TELEMETRY_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, w->fd, 0);

	if (map == MAP_FAILED)
		return -errno;
	w->map = map;
	return 0;
}

/* A soft `ulimit -f` stands for files on disk; ours is memory, mostly holes. */
static int set_length(int fd, uint64_t bytes)
{
	struct rlimit old, raised;

	if (getrlimit(RLIMIT_FSIZE, &old))
		return -errno;
	raised = old;
	raised.rlim_cur = raised.rlim_max;
	setrlimit(RLIMIT_FSIZE, &raised);
	int err = ftruncate(fd, (off_t)bytes) ? -errno : 0;
	setrlimit(RLIMIT_FSIZE, &old);
	return err;
}

int watch_create(struct watch *w, bool has_rings)
{
	*w = (struct watch){.fd = memfd_create("faultline-telemetry", MFD_CLOEXEC)};
	if (w->fd < 0)
		return -errno;
	int err = set_length(w->fd, has_rings ? FL_TELEMETRY_BYTES_WITH_RINGS : FL_TELEMETRY_BYTES);
	if (!err)
		err = map_file(w);
	if (err) {
		watch_close(w);
		return err;
	}
	*watch_header(w) = (struct fl_telemetry){
	    .magic = FL_TELEMETRY_MAGIC,
	    .nr_processes = FL_NR_PROCESSES,
	    .process_bytes = FL_PROCESS_BYTES,
	    .has_rings = has_rings,
	};
	return 0;
}

int watch_attach(struct watch *w, int fd)
{
	struct stat st;

	*w = (struct watch){.fd = fd};
	if (fstat(fd, &st))
		return -errno;
	if ((uint64_t)st.st_size < FL_TELEMETRY_BYTES)
		return -EINVAL;
	int err = map_file(w);
	if (err)
		return err;
	w->is_late = true;
	const struct fl_telemetry *h = watch_header(w);
	if (h->magic == FL_TELEMETRY_MAGIC && h->nr_processes == FL_NR_PROCESSES &&
	    h->process_bytes == FL_PROCESS_BYTES)
		return 0;
	watch_close(w);
	return -EINVAL;
}

void watch_close(struct watch *w)
{
	for (uint32_t i = 0; i < w->nr; i++)
		if (w->list[i].dir_fd >= 0)
			close(w->list[i].dir_fd);
	free(w->list);
	free(w->live);
	if (w->map)
		munmap(w->map, FL_TELEMETRY_BYTES);
	if (w->fd >= 0)
		close(w->fd);
	*w = (struct watch){.fd = -1};
}

static bool make_room(struct watch *w, uint32_t nr)
{
	if (nr <= w->room)
		return true;
	uint32_t room = MAX(nr, MAX(w->room * 2, 64u));
	struct watched *list = realloc(w->list, room * sizeof(*list));
	if (!list)
		return false;
	w->list = list;
	uint32_t *live = realloc(w->live, room * sizeof(*live));
	if (!live)
		return false;
	w->live = live;
	w->room = room;
	return true;
}

static void note_claims(struct watch *w)
{
	uint32_t claimed = MIN(atomic_load(&watch_header(w)->nr_claimed), FL_NR_PROCESSES);

	/* Without memory for them they are noted next time, or never: statistics are not worth
	 * more than the program. */
	if (claimed <= w->nr || !make_room(w, claimed))
		return;
	for (; w->nr < claimed; w->nr++) {
		w->list[w->nr] = (struct watched){.dir_fd = -1};
		w->live[w->nr_live++] = w->nr;
	}
}

static void set_over(struct watched *p, uint64_t when_ns)
{
	p->is_over = true;
	p->end_ns = when_ns;
	if (p->dir_fd >= 0)
		close(p->dir_fd);
	p->dir_fd = -1;
}

/* A new record of a pid that has another one: that process has exec'd. What was found dead when it
 * was first looked at only now gets the right end. */
static void end_predecessor(struct watch *w, uint32_t index)
{
	for (uint32_t i = 0; i < w->nr_live; i++) {
		struct watched *p = &w->list[w->live[i]];
		uint64_t start = atomic_load(&watch_record(w, index)->start_ns);

		if (w->live[i] < index && p->is_seen && p->pid == w->list[index].pid &&
		    (!p->is_over || p->end_ns > start))
			set_over(p, start);
	}
}

/* Of a process that died while nobody watched: it sampled itself. */
static uint64_t last_sign_of_life(struct fl_process *record)
{
	return MAX(atomic_load(&record->start_ns), atomic_load(&record->sampled_ns));
}

static void see_first(struct watch *w, uint32_t index)
{
	struct watched *p = &w->list[index];
	char dir[32];

	p->is_seen = true;
	p->pid = atomic_load(&watch_record(w, index)->pid);
	p->end_ns = now_ns();
	end_predecessor(w, index);
	snprintf(dir, sizeof(dir), "/proc/%u", p->pid);
	p->dir_fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (p->dir_fd < 0 && errno == ENOENT)
		set_over(p, w->is_late ? last_sign_of_life(watch_record(w, index)) : p->end_ns);
}

/* RssAnon of the process, in bytes. Return: 0, or -errno: -ENOENT or -ESRCH when it is gone. */
static int read_rss_anon(int dir_fd, uint64_t *ret_bytes)
{
	char text[4096];
	int fd = openat(dir_fd, "status", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	ssize_t len = read(fd, text, sizeof(text) - 1);
	int err = len < 0 ? -errno : 0;
	close(fd);
	if (err)
		return err;
	text[len] = '\0';
	const char *line = strstr(text, "\nRssAnon:");
	if (!line)
		return strstr(text, "\nState:\tZ") ? -ESRCH : -ENODATA; /* a zombie has no memory */
	*ret_bytes = strtoull(line + 9, NULL, 10) * 1024;
	return 0;
}

/* Sample one live record, unless a claim came meanwhile: it may be this very process after an exec,
 * whose new memory must not be held against its old record. */
static void sample_one(struct watch *w, uint32_t index)
{
	struct watched *p = &w->list[index];
	struct fl_process *record = watch_record(w, index);
	uint64_t anon, before = atomic_load(&record->resident_bytes);

	if (p->dir_fd < 0)
		return;
	int err = read_rss_anon(p->dir_fd, &anon);
	if (err == -ENOENT || err == -ESRCH) {
		set_over(p, now_ns());
		return;
	}
	p->end_ns = now_ns();
	if (err || atomic_load(&watch_header(w)->nr_claimed) > w->nr)
		return;
	/* The two counts are not of the same instant: take the one that leaves less outside. */
	uint64_t managed = MAX(before, atomic_load(&record->resident_bytes));
	if (anon > managed && anon - managed > p->outside_peak)
		p->outside_peak = anon - managed;
}

/* Learn what record @index itself says of its process. */
static void look_at(struct watch *w, uint32_t index)
{
	struct watched *p = &w->list[index];
	uint32_t state = atomic_load(&watch_record(w, index)->state);

	if (p->is_over || state < 2)
		return;
	if (!p->is_seen)
		see_first(w, index);
	if (state == 3 && !p->is_over)
		set_over(p, atomic_load(&watch_record(w, index)->end_ns));
}

void watch_sample(struct watch *w, uint32_t max)
{
	uint32_t kept = 0;

	note_claims(w);
	for (uint32_t i = 0; i < w->nr_live; i++)
		look_at(w, w->live[i]);
	for (uint32_t i = 0; i < MIN(max, w->nr_live); i++) {
		uint32_t index = w->live[(w->cursor + i) % w->nr_live];

		if (w->list[index].is_seen && !w->list[index].is_over)
			sample_one(w, index);
	}
	w->cursor = w->nr_live ? (w->cursor + max) % w->nr_live : 0;
	for (uint32_t i = 0; i < w->nr_live; i++)
		if (!w->list[w->live[i]].is_over)
			w->live[kept++] = w->live[i];
	w->nr_live = kept;
}

void watch_ended(struct watch *w, uint32_t pid, uint64_t when_ns)
{
	for (uint32_t i = 0; i < w->nr_live; i++) {
		struct watched *p = &w->list[w->live[i]];

		if (p->is_seen && !p->is_over && p->pid == pid)
			set_over(p, when_ns);
	}
}

uint64_t watch_wall_ns(const struct watch *w, uint32_t index, uint64_t now)
{
	uint64_t start = atomic_load(&watch_record(w, index)->start_ns);
	uint64_t end = atomic_load(&watch_record(w, index)->end_ns);

	if (!end)
		end = w->list[index].is_over ? w->list[index].end_ns : now;
	return end > start ? end - start : 0;
}
