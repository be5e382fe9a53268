// SPDX-License-Identifier: MIT
/*
 * `faultline ram PID SIZE`: changes the RAM of a running program. The request stands in the
 * program's telemetry record (lib/pager/request.c), which is found among its descriptors: who may
 * look into them may ask.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/size.h"
#include "cli.h"
#include "help.h"
#include "watch.h"

#define NAME_OF_MEMFD "/memfd:faultline-telemetry"
#define MAX_UNPAGED   50 /* tenths of a second that the start of a program may take; guess */

/* The telemetry file among the descriptors of @pid. Return: a descriptor, -ENOENT: it has none, or
 * why its descriptors cannot be looked at. */
static int open_telemetry(pid_t pid)
{
	char path[300], link[64];
	struct dirent *entry;
	int fd = -ENOENT;

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	DIR *dir = opendir(path);
	if (!dir)
		return errno == ENOENT ? -ESRCH : -errno;
	while (fd == -ENOENT && (entry = readdir(dir))) {
		snprintf(path, sizeof(path), "/proc/%d/fd/%s", (int)pid, entry->d_name);
		ssize_t n = readlink(path, link, sizeof(link));
		if (n < (ssize_t)strlen(NAME_OF_MEMFD) ||
		    memcmp(link, NAME_OF_MEMFD, strlen(NAME_OF_MEMFD)))
			continue;
		fd = open(path, O_RDWR | O_CLOEXEC);
		if (fd < 0)
			fd = -errno;
	}
	closedir(dir);
	return fd;
}

/* The live record of @pid, the last one if it was started over. NULL: there is none. */
static struct fl_process *find_record(const struct watch *w, pid_t pid)
{
	const struct fl_telemetry *h = watch_header(w);
	uint32_t nr = MIN(atomic_load(&h->nr_claimed), h->nr_processes);

	while (nr-- > 0) {
		struct fl_process *p = (void *)(w->map + fl_process_offset(nr));

		if (atomic_load(&p->pid) == (uint32_t)pid && atomic_load(&p->state) == 2)
			return p;
	}
	return NULL;
}

static void ring(_Atomic uint32_t *bell)
{
	atomic_fetch_add(bell, 1);
	syscall(SYS_futex, bell, FUTEX_WAKE, INT32_MAX, NULL, NULL, 0);
}

/* Whether @pid has its telemetry open still: an exec closes it, until a paged program opens it. */
static bool is_paged(pid_t pid)
{
	int fd = open_telemetry(pid);

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

/* Return: 0; what pager_set_ram() answered; -EALREADY: another request is under way; -ESRCH: the
 * process has ended meanwhile; -EAGAIN: it runs another program, which has a record of its own;
 * -ENOENT: one that is not paged. */
static int ask(const struct watch *w, struct fl_process *p, pid_t pid, uint64_t frames)
{
	const struct timespec pause = {.tv_nsec = 100000000};
	int nr_unpaged = 0;
	uint64_t last = atomic_load(&p->ram_request), request = fl_ram_request(last, frames);

	if (atomic_load(&p->ram_answered) != last ||
	    !atomic_compare_exchange_strong(&p->ram_request, &last, request))
		return -EALREADY;
	ring(&p->ram_bell);
	for (;;) {
		uint32_t seen = atomic_load(&p->ram_bell);

		/* Or a later one: then this one was answered before. */
		uint64_t answered = atomic_load(&p->ram_answered);
		if ((int16_t)((answered >> 48) - (request >> 48)) >= 0)
			return atomic_load(&p->ram_result);
		struct fl_process *last_one = find_record(w, pid);
		if (!last_one || (kill(pid, 0) && errno == ESRCH))
			return -ESRCH;
		if (last_one != p)
			return -EAGAIN;
		nr_unpaged = is_paged(pid) ? 0 : nr_unpaged + 1;
		if (nr_unpaged > MAX_UNPAGED)
			return -ENOENT;
		syscall(SYS_futex, &p->ram_bell, FUTEX_WAIT, seen, &pause, NULL, 0);
	}
}

static const char *reason_of(int err)
{
	switch (err) {
	case -EINVAL:
		return "too little: what it uses for I/O and a few pages beside do not fit; ask "
		       "for more";
	case -ENOMEM:
		return "too many of its pages are locked, or its swap is full; nothing has changed";
	case -EALREADY:
	case -EBUSY:
		return "another request is under way; try again";
	case -ESRCH:
		return "there is no such process";
	default:
		return strerror(-err);
	}
}

static int not_paged(pid_t pid)
{
	return complain(STATUS_FAILED, "ram: %d: not a paged process", (int)pid);
}

static int change(const struct watch *w, pid_t pid, uint64_t bytes)
{
	struct fl_process *p = find_record(w, pid);
	uint64_t most = p ? atomic_load(&p->ram_max_bytes) : 0;
	char size[24];

	if (!p)
		return not_paged(pid);
	if (!most)
		return complain(STATUS_FAILED,
		    "ram: %d: its RAM is fixed; start it with faultline run --ram-max SIZE",
		    (int)pid);
	if (bytes > most)
		return complain(STATUS_FAILED,
		    "ram: %d: more than its --ram-max; ask for at most %s", (int)pid,
		    size_text(most, size));
	int err = ask(w, p, pid, bytes >> PAGE_SHIFT);
	if (err == -EAGAIN)
		return change(w, pid, bytes);
	if (err == -ENOENT)
		return not_paged(pid);
	if (err)
		return complain(STATUS_FAILED, "ram: %d: %s", (int)pid, reason_of(err));
	printf("%d: %s\n", (int)pid, size_text(atomic_load(&p->frames_budget) * PAGE_BYTES, size));
	return fflush(stdout) ? STATUS_FAILED : STATUS_OK;
}

int command_ram(int argc, char **argv)
{
	struct watch w;
	uint64_t bytes;
	char *end;

	if (argc == 2 && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h")))
		return help_ram();
	if (argc != 3)
		return complain(STATUS_FAILED, "ram: write faultline ram PID SIZE");
	long pid = strtol(argv[1], &end, 10);
	if (pid <= 0 || pid > INT32_MAX || *end)
		return complain(STATUS_FAILED, "ram: %s: not a process number", argv[1]);
	if (size_parse(argv[2], &bytes))
		return complain(STATUS_FAILED,
		    "ram: %s: not a size; write it like 64M (K, M, G or T)", argv[2]);
	int fd = open_telemetry((pid_t)pid);
	if (fd < 0 && fd != -ENOENT)
		return complain(STATUS_FAILED, "ram: %ld: %s", pid, reason_of(fd));
	if (fd < 0 || watch_attach(&w, fd))
		return not_paged((pid_t)pid);
	int status = change(&w, (pid_t)pid, bytes);
	watch_close(&w);
	return status;
}
