// SPDX-License-Identifier: MIT
/* Fork: two processes on the same pages, copied when one of them writes. */
#include <sys/wait.h>
#include <unistd.h>

#include "live.h"

#define RAM      (64 * MIB)
#define NR_PAGES 8192ull /* 32 MiB: all of it in frames */
#define NR_OLD   4096ull /* 16 MiB, in swap when the process forks */
#define NR_WRITE 1024ull

static int to_parent[2], to_child[2];

/* Two processes take turns. */
static void say_go(const int *pipe_fds)
{
	DEMO_ENSURE(write(pipe_fds[1], "", 1) == 1);
}

static void wait_go(const int *pipe_fds)
{
	char c;

	DEMO_ENSURE(read(pipe_fds[0], &c, 1) == 1);
}

/* KiB of the mapping that begins at @at, from /proc/self/smaps. */
static uint64_t smaps_kib(const void *at, const char *field)
{
	char line[256], start[32];
	unsigned long long kib = 0;
	bool is_here = false;
	FILE *f = fopen("/proc/self/smaps", "r");

	DEMO_ENSURE(f);
	snprintf(start, sizeof(start), "%lx-", (unsigned long)at);
	while (fgets(line, sizeof(line), f)) {
		if (line[0] >= '0' && line[0] <= 'f' && strchr(line, '-') && !strstr(line, " kB"))
			is_here = !strncmp(line, start, strlen(start));
		if (is_here && !strncmp(line, field, strlen(field)))
			sscanf(line + strlen(field) + 1, "%llu", &kib);
	}
	fclose(f);
	return kib;
}

static void row(const char *who, const char *what, void *at)
{
	struct fl_stats s = live_stats();
	struct rusage kernel;

	getrusage(RUSAGE_SELF, &kernel);
	uint64_t shared = smaps_kib(at, "Shared_Dirty") + smaps_kib(at, "Shared_Clean");
	uint64_t own = smaps_kib(at, "Private_Dirty") + smaps_kib(at, "Private_Clean");
	printf("%-7s %-36s %7llu %7llu %7llu %9llu %9llu\n", who, what,
	    (unsigned long long)(shared / 4), (unsigned long long)(own / 4),
	    (unsigned long long)s.major, (unsigned long long)(s.swap_used_bytes / KIB),
	    (unsigned long long)(s.swap_read_bytes / KIB));
	fflush(stdout);
}

static int child(void *at, void *old)
{
	DEMO_ENSURE(read_pages(at, NR_PAGES) == sum_of_pages(NR_PAGES, 1));
	row("child", "has read every page", at);
	write_pages(at, NR_WRITE, 1000000);
	row("child", "has written to 1024 of them", at);
	DEMO_ENSURE(read_pages(old, NR_OLD) == sum_of_pages(NR_OLD, 5));
	row("child", "has read the pages in swap", at);
	struct fl_stats s = live_stats();
	DEMO_ENSURE(s.swap_written_bytes == 0 && s.major > 0);
	say_go(to_parent);
	wait_go(to_child);
	/* The parent has written to its own by now. */
	DEMO_ENSURE(read_pages(at, NR_WRITE) == sum_of_pages(NR_WRITE, 1000000));
	DEMO_ENSURE(*word_of(at, NR_PAGES - 1) == NR_PAGES);
	return 0;
}

int main(void)
{
	int status;

	live_open(RAM, NULL);
	void *old = live_map(NR_OLD * DEMO_PAGE), *at = live_map(NR_PAGES * DEMO_PAGE);

	write_pages(old, NR_OLD, 5);
	DEMO_ENSURE(!fl_evict(old, NR_OLD * DEMO_PAGE));
	write_pages(at, NR_PAGES, 1);
	printf("%llu pages in frames, %llu in swap; then fork().\n\n", NR_PAGES, NR_OLD);
	printf("%-7s %-36s %7s %7s %7s %9s %9s\n", "", "", "shared", "own", "major", "swap used",
	    "swap read");
	printf(
	    "%-7s %-36s %7s %7s %7s %9s %9s\n", "", "", "pages", "pages", "faults", "KiB", "KiB");
	row("parent", "before", at);
	DEMO_ENSURE(!pipe(to_parent) && !pipe(to_child));
	pid_t pid = fork();
	DEMO_ENSURE(pid >= 0);
	if (!pid)
		exit(child(at, old));
	wait_go(to_parent);
	row("parent", "meanwhile", at);
	uint64_t shared = smaps_kib(at, "Shared_Dirty") / 4,
	         own = smaps_kib(at, "Private_Dirty") / 4;
	DEMO_ENSURE(read_pages(at, NR_PAGES) == sum_of_pages(NR_PAGES, 1));
	*word_of(at, NR_PAGES - 1) = 0;
	row("parent", "has written to 1 page", at);
	say_go(to_child);
	DEMO_ENSURE(waitpid(pid, &status, 0) == pid && status == 0);
	row("parent", "the child is gone", at);
	DEMO_ENSURE(shared == NR_PAGES - NR_WRITE && own == NR_WRITE);
	printf(
	    "\nConclusion: fork copies no page: parent and child share all %llu frames and what is "
	    "in swap, and only a write makes a copy: %llu pages after %llu writes.\n",
	    NR_PAGES, (unsigned long long)own, NR_WRITE);
	return demo_end();
}
