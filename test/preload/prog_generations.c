// SPDX-License-Identifier: MIT
/*
 * Programs that exec each other for many generations: paged, static (not paged, and under the
 * filter that it inherited), not preloaded, with other address layouts. None may die of the filter,
 * and none may add to it. Built a second time as a static program.
 *
 *     prog-generations [NR]
 */
#include "prog.h"

#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/wait.h>
#include <unistd.h>

#define DEFAULT_NR "40"

enum how {
	HOW_ITSELF,
	HOW_STATIC,
	HOW_NO_ASLR,
	HOW_LEGACY_LAYOUT,
	HOW_ENDLESS_STACK,
	HOW_UNPRELOADED, /* of a static one only: a paged one would put the preload back */
	HOW_AS_EVER,
	NR_HOW,
};

/* System calls on memory that is managed, if this one's is. */
static void do_something(void)
{
	size_t bytes = 300 * 4096;
	char *buf = managed_pages(bytes);
	int p[2], status;

	for (size_t i = 0; i < bytes; i += 4096)
		buf[i] = (char)(i >> 12);
	CHECK(!pipe(p) && write(p[1], buf + 5 * 4096, 8192) == 8192);
	CHECK(read(p[0], buf + 100 * 4096 + 4000, 8192) == 8192);
	CHECK(buf[100 * 4096 + 4000] == 5 && buf[101 * 4096 + 4000] == 6);
	pid_t pid = fork();
	if (!pid)
		_exit(buf[77 * 4096] == 77 ? 0 : 1);
	CHECK(pid > 0 && waitpid(pid, &status, 0) == pid && status == 0);
	close(p[0]), close(p[1]);
}

static void take_preload(const char *from, const char *to)
{
	char *value = getenv(from);

	if (!value)
		return;
	CHECK(!setenv(to, value, 1));
	CHECK(!unsetenv(from));
}

/* @dir: where both programs are. */
static void exec_next(int how, const char *dir, int left, int filters)
{
	char self[4200], twin[4200], number[20], limit[20];

	snprintf(self, sizeof(self), "%s/prog-generations", dir);
	snprintf(twin, sizeof(twin), "%s/static-generations", dir);
	snprintf(number, sizeof(number), "%d", left);
	snprintf(limit, sizeof(limit), "%d", filters);
	if (how == HOW_UNPRELOADED)
		take_preload("LD_PRELOAD", "SAVED_PRELOAD");
	else
		take_preload("SAVED_PRELOAD", "LD_PRELOAD");
	switch (how) {
	case HOW_STATIC:
		execl(twin, twin, number, dir, limit, NULL);
		break;
	case HOW_NO_ASLR:
		execlp("setarch", "setarch", "-R", self, number, dir, limit, NULL);
		break;
	case HOW_LEGACY_LAYOUT:
		execlp("setarch", "setarch", "-L", self, number, dir, limit, NULL);
		break;
	case HOW_AS_EVER:
		execlp("setarch", "setarch", "x86_64", self, number, dir, limit, NULL);
		break;
	case HOW_ENDLESS_STACK:
		execlp("sh", "sh", "-c", "ulimit -s unlimited; exec \"$0\" \"$@\"", self, number,
		    dir, limit, NULL);
		break;
	default:
		execl(self, self, number, dir, limit, NULL);
	}
	CHECK(!"exec");
}

static int generation(int left, const char *dir, int filters)
{
	CHECK(nr_filters() == filters);
	do_something();
	if (left) {
		int how = left % NR_HOW;
#ifndef IS_STATIC
		if (how == HOW_UNPRELOADED)
			how = HOW_STATIC;
#else
		how = left % 2 ? HOW_UNPRELOADED : HOW_ITSELF;
#endif
		exec_next(how, dir, left - 1, filters);
	}
	return 0;
}

int main(int argc, char **argv)
{
	if (argc > 3)
		return generation(atoi(argv[1]), argv[2], atoi(argv[3]));
	char dir[4096];
	ssize_t n = readlink("/proc/self/exe", dir, sizeof(dir) - 1);
	CHECK(n > 0);
	dir[n] = 0;
	*strrchr(dir, '/') = 0;
	return generation(atoi(argc > 1 ? argv[1] : DEFAULT_NR), dir, nr_filters());
}
