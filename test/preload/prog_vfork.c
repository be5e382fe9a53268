// SPDX-License-Identifier: MIT
/*
 * Processes made in other ways than fork(): children that run on their parent's memory, with the
 * descriptors closed behind the pager's back, or killed in the middle; and forks by clone and by
 * the number of the system call.
 */
#include "prog.h"

#include <fcntl.h>
#include <linux/sched.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE     4096u
#define NR_PAGES 1024u

static unsigned char *pages;

/* The instruction itself: no libc function that could be wrapped. */
static long raw_call(long nr, long a, long b, long c)
{
	long result;
	register long r10 __asm__("r10") = 0;
	register long r8 __asm__("r8") = 0;

	__asm__ volatile("syscall"
	                 : "=a"(result)
	                 : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8)
	                 : "rcx", "r11", "memory");
	return result;
}

static unsigned char stamp(size_t page)
{
	return (unsigned char)(page % 251 + 1);
}

static void fill(void)
{
	for (size_t i = 0; i < NR_PAGES; i++)
		memset(pages + i * PAGE, stamp(i), PAGE);
}

static bool is_intact(size_t step)
{
	for (size_t i = 0; i < NR_PAGES; i += step)
		if (pages[i * PAGE + i % PAGE] != stamp(i))
			return false;
	return true;
}

static int wait_status(pid_t pid)
{
	int status;

	CHECK(waitpid(pid, &status, 0) == pid);
	return status;
}

/* The fake pager serves nobody but its own process. */
static bool is_fake(void)
{
	const char *preload = getenv("LD_PRELOAD");

	return preload && strstr(preload, "fake-");
}

/* Every descriptor closed, and every number taken by something else. */
static void close_everything(void)
{
	raw_call(SYS_close_range, 3, ~0u, 0);
	int fd = open("/dev/null", O_RDWR);
	for (int i = 0; i < 1100 && fd >= 0; i++)
		if (dup(fd) < 0)
			break;
}

static void test_descriptors_gone(void)
{
	for (volatile int i = 0; i < 10; i++) {
		static volatile int seen;

		seen = 0;
		pid_t pid = vfork();
		if (!pid) {
			close_everything();
			seen = is_intact(3) ? 1 : 2;
			pages[i * PAGE + 5] = 77; /* the parent sees it: it is its memory */
			_exit(0);
		}
		CHECK(pid > 0 && wait_status(pid) == 0);
		CHECK(seen == 1 && pages[i * PAGE + 5] == 77);
		pages[i * PAGE + 5] = stamp((size_t)i);
	}
	CHECK(is_intact(1));
}

static void *vfork_much(void *arg)
{
	(void)arg;
	for (int i = 0; i < 20; i++) {
		pid_t pid = vfork();

		if (!pid) {
			raw_call(SYS_close_range, 3, ~0u, 0);
			_exit(is_intact(17) ? 0 : 1);
		}
		CHECK(pid > 0 && wait_status(pid) == 0);
	}
	return NULL;
}

static void test_threads(void)
{
	pthread_t thread[6];

	for (int i = 0; i < 6; i++)
		CHECK(!pthread_create(&thread[i], NULL, vfork_much, NULL));
	/* Forks in between: they stop the pager that serves the others. */
	for (int i = 0; i < 10; i++) {
		pid_t pid = fork();

		if (!pid)
			_exit(is_intact(5) ? 0 : 1);
		CHECK(pid > 0 && wait_status(pid) == 0);
	}
	for (int i = 0; i < 6; i++)
		CHECK(!pthread_join(thread[i], NULL));
}

static volatile pid_t victim; /* written by itself: its parent's thread sleeps */

static void *kill_victims(void *arg)
{
	uint64_t seed = 99;

	(void)arg;
	for (int i = 0; i < 60; i++) {
		while (!victim)
			sched_yield();
		for (volatile uint64_t n = next_random(&seed) % 300000; n; n--)
			;
		kill(victim, SIGKILL);
		victim = 0;
	}
	return NULL;
}

/* Whatever it was doing, it takes nothing with it that others need. */
static void test_killed(void)
{
	pthread_t killer;

	CHECK(!pthread_create(&killer, NULL, kill_victims, NULL));
	for (int i = 0; i < 60; i++) {
		pid_t pid = vfork();

		if (!pid) {
			victim = (pid_t)raw_call(SYS_getpid, 0, 0, 0);
			for (;;)
				if (!is_intact(1))
					_exit(1);
		}
		CHECK(pid > 0);
		int status = wait_status(pid);
		CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
		while (victim)
			sched_yield();
		pid = fork();
		if (!pid)
			_exit(is_intact(31) ? 0 : 1);
		CHECK(pid > 0 && wait_status(pid) == 0);
	}
	CHECK(!pthread_join(killer, NULL));
}

/* The child of a fork has no pager until it needs one: its vfork child must not become the owner.
 */
static void test_vfork_in_fork(void)
{
	for (int i = 0; i < 10; i++) {
		pid_t pid = fork();

		if (!pid) {
			pid_t inner = vfork();
			if (!inner)
				_exit(is_intact(7) ? 0 : 1);
			int status = wait_status(inner);
			_exit(status || !is_intact(1));
		}
		CHECK(pid > 0 && wait_status(pid) == 0);
	}
}

static int cloned(void *arg)
{
	return arg == pages && is_intact(1) ? 0 : 1;
}

static void test_clone(void)
{
	static char stack[64 << 10] __attribute__((aligned(16)));
	char *far = managed_pages(1 << 20);
	char *const tops[] = {stack + sizeof(stack), far + (1 << 20)};

	for (int i = 0; i < 6; i++) {
		int flags = i % 3 == 0 ? 0 : i % 3 == 1 ? CLONE_VM | CLONE_VFORK : CLONE_VM;
		/* The fake pager cannot take a stack out of management. */
		int pid = clone(cloned, tops[is_fake() ? 0 : i / 3], flags | SIGCHLD, pages);

		CHECK(pid > 0 && wait_status(pid) == 0);
	}
}

static pid_t by_number(int how, pid_t *id)
{
	struct clone_args *args = managed(sizeof(*args));

	*args = (struct clone_args){
	    .exit_signal = SIGCHLD, .flags = CLONE_CHILD_SETTID, .child_tid = (uintptr_t)id};
	if (how == 0)
		return (pid_t)syscall(SYS_fork);
	if (how == 1)
		return (pid_t)syscall(SYS_clone, SIGCHLD | CLONE_CHILD_SETTID, 0, 0, id, 0);
	return (pid_t)syscall(SYS_clone3, args, sizeof(*args));
}

static void test_by_number(void)
{
	for (int how = 0; how < 3; how++) {
		pid_t *id = managed(sizeof(*id)), me = getpid();

		*id = 0;
		pid_t pid = by_number(how, id);
		if (!pid) {
			CHECK(is_intact(1) && getppid() == me && (!how || *id == getpid()));
			pages[0] = 99;
			_exit(0);
		}
		CHECK(pid > 0 && wait_status(pid) == 0);
		CHECK(pages[0] == stamp(0) && *id == 0);
	}
}

/* Seen by nobody: right, or stopped with status 125, but never wrong. */
static void test_unseen(void)
{
	pid_t pid = (pid_t)raw_call(SYS_clone, SIGCHLD, 0, 0);

	if (!pid)
		raw_call(SYS_exit_group, is_intact(1) ? 0 : 1, 0, 0);
	CHECK(pid > 0);
	int status = wait_status(pid);
	CHECK(WIFEXITED(status) && (WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == 125));
	CHECK(is_intact(1));
}

static void handler(int sig)
{
	(void)sig;
}

static const int signals[] = {SIGSEGV, SIGBUS, SIGUSR1};

/* What runs beside vfork() is in functions of its own: the child shares the stack. */
static __attribute__((noinline)) bool are_set(void)
{
	struct sigaction now;

	for (int i = 0; i < 3; i++)
		if (sigaction(signals[i], NULL, &now) || now.sa_handler != handler)
			return false;
	return true;
}

static __attribute__((noinline)) void set_and_exec(bool is_ignoring)
{
	struct sigaction mine = {.sa_handler = is_ignoring ? SIG_IGN : SIG_DFL}, seen;

	for (int i = 0; i < 3; i++) {
		sigaction(signals[i], NULL, &seen);
		if (seen.sa_handler != handler)
			_exit(4);
		sigaction(signals[i], &mine, NULL);
		sigaction(signals[i], NULL, &seen);
		if (seen.sa_handler != mine.sa_handler)
			_exit(5);
	}
	/* Of those that stay ignored, SIGUSR1 does not kill the shell. */
	execl("/bin/sh", "sh", "-c", "kill -USR1 $$; kill -SEGV $$; exit 7", NULL);
	_exit(6);
}

/* Its dispositions are its own, and so is what it hands on to the program that it starts. */
static void test_dispositions(void)
{
	struct sigaction act = {.sa_handler = handler};

	for (int i = 0; i < 3; i++)
		CHECK(!sigaction(signals[i], &act, NULL));
	for (volatile int how = 0; how < 2; how++) {
		pid_t pid = vfork();

		if (!pid)
			set_and_exec(how);
		CHECK(pid > 0);
		int status = wait_status(pid);
		CHECK(how ? WIFEXITED(status) && WEXITSTATUS(status) == 7
		          : WIFSIGNALED(status) && WTERMSIG(status) == SIGUSR1);
		CHECK(are_set());
	}
	act.sa_handler = SIG_DFL;
	for (int i = 0; i < 3; i++)
		CHECK(!sigaction(signals[i], &act, NULL));
}

int main(void)
{
	pages = managed_pages(NR_PAGES * PAGE);
	fill();
	if (!is_fake()) {
		test_descriptors_gone();
		test_threads();
		test_killed();
		test_vfork_in_fork();
		test_unseen();
	}
	test_dispositions();
	test_clone();
	test_by_number();
	CHECK(is_intact(1));
	return 0;
}
