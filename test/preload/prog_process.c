// SPDX-License-Identifier: MIT
/*
 * What programs do to their process: descriptors, limits, directories, user, filters. After each,
 * memory must still be there: in the process that did it, and in a child that it forks then.
 */
#include "prog.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE      4096u
#define NR_PAGES  768u
#define MIN_FILES 1024u

static unsigned char *pages;
static unsigned generation;

static unsigned char stamp(size_t page)
{
	return (unsigned char)((page + generation) % 251 + 1);
}

static void fill(void)
{
	for (size_t i = 0; i < NR_PAGES; i++)
		memset(pages + i * PAGE, stamp(i), PAGE);
}

static void check_first(size_t nr)
{
	for (size_t i = 0; i < nr; i++)
		CHECK(pages[i * PAGE] == stamp(i) && pages[i * PAGE + PAGE - 1] == stamp(i));
}

static void check_pages(void)
{
	check_first(NR_PAGES);
}

/* Out of memory and into it again, several times over. */
static void work(void)
{
	for (unsigned i = 0; i < 4; i++) {
		check_first(NR_PAGES / 4);
		generation++;
		fill();
	}
	check_pages();
}

static int wait_status(pid_t pid)
{
	int status;

	CHECK(waitpid(pid, &status, 0) == pid);
	return status;
}

static void work_in_child(void)
{
	pid_t pid = fork();

	CHECK(pid >= 0);
	if (!pid) {
		work();
		_exit(0);
	}
	CHECK(wait_status(pid) == 0);
	check_pages();
}

/* --- descriptors ---------------------------------------------------------------------------- */

static void close_from(void)
{
	closefrom(3);
}

static void close_by_range(void)
{
	CHECK(!close_range(3, ~0u, 0));
}

static void close_one_by_one(void)
{
	for (int fd = 3; fd < 70000; fd++)
		close(fd);
}

/* As daemons and Python do: what /proc lists. */
static void close_listed(void)
{
	DIR *dir = opendir("/proc/self/fd");

	if (!dir)
		return;
	for (struct dirent *e; (e = readdir(dir));)
		if (atoi(e->d_name) > 2 && atoi(e->d_name) != dirfd(dir))
			close(atoi(e->d_name));
	closedir(dir);
}

static void duplicate_onto_all(void)
{
	for (int fd = 3; fd < 1100; fd++) {
		dup2(0, fd);
		dup3(0, fd, O_CLOEXEC);
	}
}

static void fill_table(void)
{
	struct rlimit limit;

	CHECK(!getrlimit(RLIMIT_NOFILE, &limit));
	limit.rlim_cur = MIN_FILES;
	CHECK(!setrlimit(RLIMIT_NOFILE, &limit));
	while (dup(0) >= 0)
		;
	CHECK(errno == EMFILE);
}

static void check_in_child(void)
{
	pid_t pid = fork();

	CHECK(pid >= 0);
	if (!pid) {
		check_first(NR_PAGES / 4);
		_exit(0);
	}
	CHECK(wait_status(pid) == 0);
}

static void *check_in_own_table(void *arg)
{
	long which = (long)arg;

	if (which == 1)
		CHECK(!unshare(CLONE_FILES));
	if (which == 2)
		CHECK(!close_range(900, ~0u, CLOSE_RANGE_UNSHARE));
	if (which == 3)
		CHECK(!syscall(SYS_unshare, CLONE_FILES));
	for (int i = 0; i < 3; i++) {
		check_pages();
		for (int n = 0; n < 20; n++)
			open("/dev/zero", O_RDONLY);
		if (i == 1 && which == 3)
			check_in_child();
	}
	return NULL;
}

/* A child that lives on while its parent's other threads page. */
static void *keep_child(void *to)
{
	pid_t pid = fork();
	char c;

	CHECK(pid >= 0);
	if (!pid) {
		CHECK(read(((int *)to)[0], &c, 1) == 1);
		check_pages();
		_exit(0);
	}
	*(pid_t *)((int *)to + 2) = pid;
	return NULL;
}

/* Threads with tables of descriptors of their own. */
static void split_table(void)
{
	struct pollfd end = {.events = POLLIN};
	pthread_t threads[4], keeper;
	int p[3];

	/* Alone, a process has its table for itself: what it closes is closed. */
	CHECK(!pipe(p) && !unshare(CLONE_FILES));
	close(p[1]);
	end.fd = p[0];
	CHECK(poll(&end, 1, 5000) == 1 && end.revents == POLLHUP);
	close(p[0]);

	CHECK(!pipe(p));
	for (long i = 0; i < 4; i++)
		CHECK(!pthread_create(&threads[i], NULL, check_in_own_table, (void *)i));
	CHECK(!pthread_create(&keeper, NULL, keep_child, p) && !pthread_join(keeper, NULL));
	for (int i = 0; i < 4; i++)
		CHECK(!pthread_join(threads[i], NULL));
	CHECK(write(p[1], "x", 1) == 1 && wait_status(p[2]) == 0);
	close(p[0]), close(p[1]);
}

/* --- limits --------------------------------------------------------------------------------- */

static void set_limit(int what, rlim_t value)
{
	struct rlimit limit = {value, value};

	CHECK(!setrlimit(what, &limit));
	CHECK(!getrlimit(what, &limit) && limit.rlim_cur == value && limit.rlim_max == value);
}

static void few_files(void)
{
	set_limit(RLIMIT_NOFILE, 10);
}

static void small_files(void)
{
	/* Swap is a file too: below what must be swapped, the program is ended with a message. */
	set_limit(RLIMIT_FSIZE, 16u << 20);
}

/* What needs swap is ended as by the OOM killer, with a message, and not by SIGXFSZ. */
static void test_no_files(void)
{
	fflush(NULL);
	pid_t pid = fork();
	CHECK(pid >= 0);
	if (!pid) {
		set_limit(RLIMIT_FSIZE, 0);
		/* The message is not for the reader of this program's output. */
		if (dup2(open("/dev/null", O_WRONLY), 2) != 2)
			_exit(1);
		work();
		_exit(0);
	}
	int status = wait_status(pid);
	CHECK(!WIFSIGNALED(status) || WTERMSIG(status) != SIGXFSZ);
	CHECK(!WIFEXITED(status) || WEXITSTATUS(status) != 1); /* no wrong page */
}

static void no_locked_memory(void)
{
	set_limit(RLIMIT_MEMLOCK, 0);
}

static void no_core(void)
{
	set_limit(RLIMIT_CORE, 0);
}

/* --- the rest ------------------------------------------------------------------------------- */

static void change_directory(void)
{
	CHECK(!chdir("/"));
}

static void change_root(void)
{
	char path[] = "/tmp/prog_process.XXXXXX";

	CHECK(mkdtemp(path));
	if (getuid() == 0)
		CHECK(!chroot(path) && !chdir("/"));
	rmdir(path);
}

static void become_nobody(void)
{
	if (getuid() == 0)
		CHECK(!setgid(65534) && !setuid(65534));
}

static void hide(void)
{
	CHECK(!prctl(PR_SET_DUMPABLE, 0));
}

static void clear_environment(void)
{
	clearenv();
	char *const argv[] = {"true", NULL}, *const none[] = {NULL};
	pid_t pid = fork();
	if (!pid) {
		execve("/bin/true", argv, none);
		_exit(1);
	}
	CHECK(wait_status(pid) == 0);
}

/* A filter that forbids what this program has no use for, and kills for nothing else. */
static void filter_harmless(void)
{
	struct sock_filter code[] = {
	    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
	    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_ptrace, 0, 1),
	    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
	    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mount, 0, 1),
	    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
	    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog *prog = managed(sizeof(*prog));

	prog->len = sizeof(code) / sizeof(*code);
	prog->filter = managed_copy(code, sizeof(code));
	CHECK(!prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	CHECK(!prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, prog));
	CHECK(syscall(SYS_mount, "a", "b", "c", 0, NULL) == -1 && errno == EPERM);
}

/* Where the kernel lets a process do that to itself (Linux 6.13), the pages read as zeros. */
static void throw_pages_away(void)
{
	struct iovec ranges[2] = {{pages, 4 * PAGE}, {pages + 8 * PAGE, 2 * PAGE}};
	int self = (int)syscall(SYS_pidfd_open, getpid(), 0);

	CHECK(self >= 0);
	ssize_t done = process_madvise(self, ranges, 2, MADV_DONTNEED, 0);
	CHECK(done == 6 * PAGE || (done == -1 && errno == EINVAL));
	for (size_t i = 0; done > 0 && i < NR_PAGES; i++)
		CHECK(pages[i * PAGE] == (i < 4 || i == 8 || i == 9 ? 0 : stamp(i)));
	fill();
	CHECK(syscall(SYS_process_madvise, self, ranges, 1, MADV_DONTNEED, 0) == done - 2 * PAGE ||
	      done < 0);
	fill();
	close(self);
}

static const struct {
	const char *name;
	void (*act)(void);
} cases[] = {
    {"closefrom", close_from},
    {"close_range", close_by_range},
    {"close one by one", close_one_by_one},
    {"close what /proc lists", close_listed},
    {"dup2 onto all", duplicate_onto_all},
    {"full table", fill_table},
    {"tables of threads", split_table},
    {"RLIMIT_NOFILE", few_files},
    {"RLIMIT_FSIZE", small_files},
    {"RLIMIT_MEMLOCK", no_locked_memory},
    {"RLIMIT_CORE", no_core},
    {"chdir", change_directory},
    {"chroot", change_root},
    {"setuid", become_nobody},
    {"PR_SET_DUMPABLE", hide},
    {"clearenv", clear_environment},
    {"seccomp", filter_harmless},
    {"process_madvise", throw_pages_away},
};

/* In a child, so that nothing lasts. */
static int run_case(size_t i, bool has_worked)
{
	pid_t pid = fork();

	CHECK(pid >= 0);
	if (!pid) {
		if (has_worked)
			work(); /* its pager stands; else it is built after */
		cases[i].act();
		work();
		work_in_child();
		_exit(0);
	}
	int status = wait_status(pid);
	if (status)
		fprintf(stderr, "%s, pager built %s: status %#x\n", cases[i].name,
		    has_worked ? "before" : "after", (unsigned)status);
	return status != 0;
}

int main(int argc, char **argv)
{
	int nr_failed = 0;

	pages = managed_pages(NR_PAGES * PAGE);
	fill();
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		if (argc > 1 && strcmp(argv[1], cases[i].name))
			continue;
		nr_failed += run_case(i, true);
		nr_failed += run_case(i, false);
	}
	test_no_files();
	check_pages();
	return nr_failed != 0;
}
