// SPDX-License-Identifier: MIT
/*
 * Without the CLI there is still a summary: the first process makes the shared counters, and when
 * it ends by exit() it runs `faultline report` on them. (Ended by a signal, it cannot.)
 */
#include "preload/report.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/sys.h"
#include "faultline/telemetry.h"

static int shared_fd = -1; /* made by this process */
static int owner;          /* its pid: a forked child inherits the variable */
static int stderr_fd = -1; /* coreutils close theirs in an exit handler that runs before ours */

void report_prepare(char *ret_path, size_t path_bytes)
{
	struct fl_telemetry header = {
	    .magic = FL_TELEMETRY_MAGIC,
	    .nr_processes = FL_NR_PROCESSES,
	    .process_bytes = FL_PROCESS_BYTES,
	};

	ret_path[0] = 0;
	int fd = memfd_create("faultline-telemetry", MFD_CLOEXEC);
	if (fd < 0)
		return;
	fd = sys_fd_move_high(fd);
	if (ftruncate(fd, FL_TELEMETRY_BYTES) || pwrite(fd, &header, sizeof(header), 0) < 0) {
		close(fd);
		return;
	}
	shared_fd = fd;
	stderr_fd = fcntl(2, F_DUPFD_CLOEXEC, 960);
	owner = getpid();
	snprintf(ret_path, path_bytes, "/proc/%d/fd/%d", owner, fd);
}

/* The CLI beside this library: in the build tree, where it is installed, or in PATH. */
static bool find_cli(char *path, size_t bytes)
{
	static const char *const places[] = {
	    "/../cli/faultline", "/../../../bin/faultline", "/../../bin/faultline"};
	const char *given = getenv("FAULTLINE_CLI");
	Dl_info info;

	if (given) {
		snprintf(path, bytes, "%s", given);
		return true;
	}
	if (!dladdr((void *)&report_at_exit, &info) || !info.dli_fname)
		return false;
	const char *slash = strrchr(info.dli_fname, '/');
	for (size_t i = 0; slash && i < ARRAY_LEN(places); i++) {
		snprintf(path, bytes, "%.*s%s", (int)(slash - info.dli_fname), info.dli_fname,
		    places[i]);
		if (!access(path, X_OK))
			return true;
	}
	return false;
}

void report_at_exit(void)
{
	char cli[PATH_MAX], number[16];
	char *argv[] = {"faultline", "report", "--fd", number, NULL};
	pid_t pid;

	if (shared_fd < 0 || getpid() != owner || !find_cli(cli, sizeof(cli)))
		return;
	/* The report itself is not paged. */
	setenv("FAULTLINE_OFF", "1", 1);
	unsetenv("LD_PRELOAD");
	int fd = fcntl(shared_fd, F_DUPFD, 10);
	snprintf(number, sizeof(number), "%d", fd);
	posix_spawn_file_actions_t actions;
	posix_spawn_file_actions_init(&actions);
	if (stderr_fd >= 0)
		posix_spawn_file_actions_adddup2(&actions, stderr_fd, 2);
	if (!posix_spawn(&pid, cli, &actions, NULL, argv, environ))
		waitpid(pid, NULL, 0);
	posix_spawn_file_actions_destroy(&actions);
	close(fd);
	shared_fd = -1;
}
