// SPDX-License-Identifier: MIT
/*
 * Programs that set system call filters of their own: allow-lists that end the process for
 * anything the pager would need, filters that answer with an error, by prctl and by syscall(), for
 * one thread and for all. Each case is a child; its memory must still be what it
 * was, calls on it must work, and it must end as it wants to.
 */
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "prog.h"

#define NR_PAGES 1024u
#define PAGE     4096u

#define ALLOW_IF(nr)                                     \
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (nr), 0, 1), \
	    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)

static uint64_t *area;
static int ends[2];

static uint64_t value(uint64_t i)
{
	return i * 0x9e3779b97f4a7c15ull;
}

static void fill(void)
{
	area =
	    mmap(NULL, NR_PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(area != MAP_FAILED);
	for (uint64_t i = 0; i < NR_PAGES * PAGE / 8; i++)
		area[i] = value(i);
}

/* Return: whether all of it is there, and calls on it work. Makes read and write calls only. */
static bool is_whole(void)
{
	char *page = (char *)&area[77 * PAGE / 8], *other = (char *)&area[500 * PAGE / 8];

	for (uint64_t i = 0; i < NR_PAGES * PAGE / 8; i++)
		if (area[i] != value(i))
			return false;
	if (write(ends[1], page, PAGE) != PAGE || read(ends[0], other, PAGE) != PAGE)
		return false;
	bool is_same = !memcmp(page, other, PAGE);
	for (uint64_t i = 500 * PAGE / 8; i < 501 * PAGE / 8; i++)
		area[i] = value(i);
	return is_same;
}

static struct sock_filter few[] = {
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
    ALLOW_IF(SYS_read),
    ALLOW_IF(SYS_write),
    ALLOW_IF(SYS_exit_group),
    ALLOW_IF(SYS_rt_sigreturn),
    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
};

static struct sock_filter errors[] = {
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
    ALLOW_IF(SYS_read),
    ALLOW_IF(SYS_write),
    ALLOW_IF(SYS_exit_group),
    ALLOW_IF(SYS_rt_sigreturn),
    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | 1),
};

static const struct sock_fprog prog_few = {sizeof(few) / sizeof(few[0]), few};
static const struct sock_fprog prog_errors = {sizeof(errors) / sizeof(errors[0]), errors};

static void by_prctl(void)
{
	CHECK(!prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	CHECK(!prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog_few));
	_exit(is_whole() ? 0 : 3);
}

static void by_syscall(void)
{
	CHECK(!prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	CHECK(!syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &prog_few));
	_exit(is_whole() ? 0 : 3);
}

static void with_errors(void)
{
	CHECK(!prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	CHECK(!syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &prog_errors));
	CHECK(syscall(SYS_getppid) == -1 && errno == 1);
	exit(is_whole() ? 0 : 3); /* what runs at exit meets errors */
}

static _Atomic bool has_started; /* libc's own calls at a thread's start are behind it */

static void *wait_for_byte(void *unused)
{
	char *byte = (char *)&area[900 * PAGE / 8];

	(void)unused;
	has_started = true;
	bool is_right = read(ends[0], byte, 1) == 1 && *byte == 'x';
	area[900 * PAGE / 8] = value(900 * PAGE / 8);
	_exit(is_right && is_whole() ? 0 : 3);
}

static void for_all_threads(void)
{
	pthread_t thread;
	char ready;

	CHECK(!pthread_create(&thread, NULL, wait_for_byte, NULL));
	while (!has_started)
		;
	CHECK(!prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	CHECK(!syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &prog_few));
	ready = 'x';
	CHECK(write(ends[1], &ready, 1) == 1);
	for (;;)
		;
}

/* A filter ends the process that makes a call it forbids: ours is no way round it. */
static void forbidden(void)
{
	CHECK(!prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	CHECK(!syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &prog_few));
	syscall(SYS_getcwd, &area[3 * PAGE / 8], 100);
	_exit(3);
}

static int status_of(void (*fn)(void))
{
	int status = -1;
	pid_t pid = fork();

	if (!pid) {
		fill();
		fn();
		_exit(4);
	}
	CHECK(pid > 0 && waitpid(pid, &status, 0) == pid);
	return status;
}

int main(void)
{
	static const struct {
		const char *name;
		void (*fn)(void);
	} cases[] = {
	    {"prctl", by_prctl},
	    {"syscall", by_syscall},
	    {"errors", with_errors},
	    {"all threads", for_all_threads},
	    {"forbidden", forbidden},
	};

	CHECK(!pipe(ends));
	fill();                           /* the parent is paged, and stays so */
	setvbuf(stdout, NULL, _IONBF, 0); /* what a child inherits it would print too */
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		printf("%s: %#x\n", cases[i].name, (unsigned)status_of(cases[i].fn));
	CHECK(is_whole());
	return 0;
}
