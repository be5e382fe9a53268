// SPDX-License-Identifier: MIT
/*
 * Without the CLI there is still a summary: the first process makes the shared counters, and when
 * it ends, by exit(), by a return from main() or by _exit(), it runs `faultline report` on them.
 * They outlive an exec of that process: the next program takes them over. Ended by a signal, the
 * process cannot report: nobody is left who could.
 */
#include "preload/report.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/sys.h"
#include "faultline/telemetry.h"
#include "pager/pager.h"
#include "preload/bounce.h"
#include "preload/real.h"
#include "preload/reexec.h"
#include "preload/wrap_exec.h"

#define MAX_ENV 4096 /* variables of a report: more are dropped */

static _Atomic int shared_fd = -1; /* made by this process, or before its exec */
static int owner;                  /* its pid: a forked child inherits the variable */
static int stderr_fd = -1; /* coreutils close theirs in an exit handler that runs before ours */
static char cli[PATH_MAX];
static char program[NAME_MAX + 1];

/* The CLI beside this library: in the build tree, where it is installed. */
static void find_cli(void)
{
	static const char *const places[] = {
	    "/../cli/faultline", "/../../../bin/faultline", "/../../bin/faultline"};
	const char *given = getenv("FAULTLINE_CLI");
	Dl_info info;

	if (given) {
		snprintf(cli, sizeof(cli), "%s", given);
		return;
	}
	if (!dladdr((void *)&report_at_exit, &info) || !info.dli_fname)
		return;
	const char *slash = strrchr(info.dli_fname, '/');
	for (size_t i = 0; slash && i < ARRAY_LEN(places); i++) {
		snprintf(cli, sizeof(cli), "%.*s%s", (int)(slash - info.dli_fname), info.dli_fname,
		    places[i]);
		if (!access(cli, X_OK))
			return;
	}
	cli[0] = '\0';
}

/* "/proc/OWN-PID/fd/N", still open after an exec of this very process. Return: N or -1. */
static int inherited_fd(const char *path)
{
	int pid, fd;

	if (sscanf(path, "/proc/%d/fd/%d", &pid, &fd) != 2 || pid != getpid() ||
	    fcntl(fd, F_SETFD, FD_CLOEXEC))
		return -1;
	return fd;
}

static int make_counters(void)
{
	struct fl_telemetry header = {
	    .magic = FL_TELEMETRY_MAGIC,
	    .nr_processes = FL_NR_PROCESSES,
	    .process_bytes = FL_PROCESS_BYTES,
	};
	int fd = memfd_create("faultline-telemetry", MFD_CLOEXEC);

	if (fd < 0)
		return -1;
	fd = sys_fd_move_high(fd);
	if (ftruncate(fd, FL_TELEMETRY_BYTES) || pwrite(fd, &header, sizeof(header), 0) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

const char *report_prepare(char *ret_path, size_t path_bytes)
{
	const char *name = getenv("FAULTLINE_PROGRAM");
	bool is_made = *ret_path;
	int fd = is_made ? inherited_fd(ret_path) : make_counters();

	if (fd < 0)
		return is_made ? name : NULL; /* a child of the one that reports, or the CLI's */
	/* Started over, a script would bear its interpreter's name in ps. */
	if (!is_made && name && *name)
		prctl(PR_SET_NAME, name);
	owner = getpid();
	stderr_fd = fcntl(2, F_DUPFD_CLOEXEC, 960);
	snprintf(ret_path, path_bytes, "/proc/%d/fd/%d", owner, fd);
	snprintf(program, sizeof(program), "%s", name && *name ? name : reexec_program_name());
	find_cli();
	wrap_exec_keep_fd(fd);
	atomic_store(&shared_fd, fd);
	return program;
}

/* The report itself is not paged. */
static char **report_environment(void)
{
	static char *env[MAX_ENV + 2];
	size_t nr = 0;

	env[nr++] = "FAULTLINE_OFF=1";
	for (char **e = environ; e && *e && nr <= MAX_ENV; e++)
		if (strncmp(*e, "LD_PRELOAD=", 11) != 0 && strncmp(*e, "FAULTLINE_OFF=", 14) != 0)
			env[nr++] = *e;
	env[nr] = NULL;
	return env;
}

static void run_report(int made_fd, int status)
{
	char fd_text[16], code[16];
	char *argv[] = {
	    "faultline", "report", "--fd", fd_text, "--program", program, "--code", code, NULL};
	posix_spawn_file_actions_t actions;
	pid_t pid;

	int fd = fcntl(made_fd, F_DUPFD, 10);
	if (fd < 0)
		return; /* the program has closed it, with all it did not know */
	snprintf(fd_text, sizeof(fd_text), "%d", fd);
	snprintf(code, sizeof(code), "%d", status & 0xff);
	posix_spawn_file_actions_init(&actions);
	if (stderr_fd >= 0)
		posix_spawn_file_actions_adddup2(&actions, stderr_fd, 2);
	if (!posix_spawn(&pid, cli, &actions, NULL, argv, report_environment()))
		waitpid(pid, NULL, 0);
	posix_spawn_file_actions_destroy(&actions);
	close(fd);
}

static long end_counting(void *arg)
{
	(void)arg;
	pager_at_exit();
	return 0;
}

void report_at_exit(int status)
{
	if (on_managed_stack())
		bounce_run(end_counting, NULL, (uintptr_t)__builtin_frame_address(0));
	else
		end_counting(NULL);
	if (atomic_load(&shared_fd) < 0 || getpid() != owner || !*cli)
		return;
	int fd = atomic_exchange(&shared_fd, -1);
	if (fd >= 0)
		run_report(fd, status);
}

/* Not in a child made by vfork, whose parent's counters these are. */
EXPORT void _exit(int status)
{
	if (atomic_load(&shared_fd) >= 0 && getpid() == owner)
		report_at_exit(status);
	for (;;)
		sys_call1(SYS_exit_group, status);
}

EXPORT void _Exit(int status)
{
	_exit(status);
}
