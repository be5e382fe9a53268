// SPDX-License-Identifier: MIT
/*
 * Processes that share what their parents had at the fork, and nothing else: generations that each
 * write, children that outlive their parents, daemons, pairs of which one is stopped or killed in
 * the middle, forks by any thread while others fault and print.
 *
 *     prog-forks           all of that
 *     prog-forks big MIB   one fork of that much memory, checked and written in both
 */
#include "prog.h"

#include <fcntl.h>
#include <pthread.h>
#include <pty.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/wait.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#define PAGE       4096u
#define NR_PAGES   640u
#define NR_ROUNDS  4
#define PATIENCE_S 60

static unsigned char *pages;
static size_t nr_pages = NR_PAGES;

/* What every page holds, at three places, says who wrote it last. */
static void fill(uint64_t who)
{
	for (size_t i = 0; i < nr_pages; i++) {
		uint64_t stamp = who << 32 | i;

		memcpy(pages + i * PAGE, &stamp, 8);
		memcpy(pages + i * PAGE + i % 500 * 8, &stamp, 8);
		memcpy(pages + i * PAGE + PAGE - 8, &stamp, 8);
	}
}

static bool is_all(uint64_t who)
{
	for (size_t i = 0; i < nr_pages; i++) {
		uint64_t stamp = who << 32 | i;

		if (memcmp(pages + i * PAGE, &stamp, 8) ||
		    memcmp(pages + i * PAGE + i % 500 * 8, &stamp, 8) ||
		    memcmp(pages + i * PAGE + PAGE - 8, &stamp, 8))
			return false;
	}
	return true;
}

static void write_and_verify(uint64_t who)
{
	for (int i = 0; i < NR_ROUNDS; i++) {
		fill(who + (uint64_t)i * 1000);
		CHECK(is_all(who + (uint64_t)i * 1000));
	}
	fill(who);
}

static int wait_status(pid_t pid)
{
	int status;

	CHECK(waitpid(pid, &status, 0) == pid);
	return status;
}

static void nap(long ms)
{
	const struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

	nanosleep(&t, NULL);
}

/* --- generations ---------------------------------------------------------------------------- */

static pid_t fork_how(int how)
{
	return how % 2 ? _Fork() : fork();
}

static void live(uint64_t parent, int depth)
{
	CHECK(is_all(parent));
	write_and_verify(parent + 1);
	if (depth) {
		pid_t pid[2];

		for (int i = 0; i < 2; i++) {
			pid[i] = fork_how(i);
			CHECK(pid[i] >= 0);
			if (!pid[i]) {
				live(parent + 1, depth - 1);
				_exit(0);
			}
		}
		/* Both read what this one had, while it is being overwritten here. */
		write_and_verify(parent + 100);
		CHECK(wait_status(pid[0]) == 0 && wait_status(pid[1]) == 0);
		CHECK(is_all(parent + 100));
	}
}

/* Its slots are read long after it has ended. */
static void test_outlives_parent(void)
{
	int done[2], gone[2];
	char c = 0;

	CHECK(!pipe(done) && !pipe(gone));
	fill(7);
	pid_t pid = fork();
	if (!pid) {
		write_and_verify(8);
		if (!fork()) {
			close(gone[1]);
			CHECK(read(gone[0], &c, 1) == 0); /* the parent has ended */
			CHECK(is_all(8));
			write_and_verify(9);
			CHECK(write(done[1], "y", 1) == 1);
		}
		_exit(0);
	}
	close(gone[1]);
	CHECK(pid > 0 && wait_status(pid) == 0);
	close(done[1]);
	CHECK(read(done[0], &c, 1) == 1 && c == 'y');
	CHECK(is_all(7));
	close(done[0]), close(gone[0]);
}

static void daemonize(bool by_libc)
{
	if (by_libc) {
		CHECK(!daemon(0, 1));
		return;
	}
	pid_t pid = fork();
	CHECK(pid >= 0);
	if (pid)
		_exit(0);
	CHECK(setsid() > 0);
	pid = fork();
	CHECK(pid >= 0);
	if (pid)
		_exit(0);
	CHECK(!chdir("/"));
}

static void test_daemon(bool by_libc)
{
	int done[2];
	char c = 0;

	CHECK(!pipe(done));
	fill(11);
	pid_t pid = fork();
	if (!pid) {
		CHECK(dup2(done[1], 0) == 0);
		daemonize(by_libc);
		for (int fd = 3; fd < 1024; fd++)
			close(fd);
		CHECK(open("/dev/null", O_RDWR) == 3);
		CHECK(is_all(11));
		write_and_verify(12);
		CHECK(fcntl(3, F_GETFD) >= 0 && fcntl(4, F_GETFD) < 0);
		CHECK(write(0, "y", 1) == 1);
		_exit(0);
	}
	close(done[1]);
	CHECK(pid > 0 && wait_status(pid) == 0);
	CHECK(read(done[0], &c, 1) == 1 && c == 'y');
	CHECK(is_all(11));
	close(done[0]);
}

/* --- on a coroutine ------------------------------------------------------------------------- */

#define STACK_BYTES ((size_t)256 << 10)

static ucontext_t back, coroutine;
static int report_fd;

/* Both fork inside libc, on this stack, which is managed memory. */
static void fork_inside_libc(void)
{
	int pty = -1;
	pid_t pid = forkpty(&pty, NULL, NULL, NULL);

	CHECK(pid >= 0);
	if (!pid)
		_exit(is_all(13) && isatty(0) ? 0 : 1);
	CHECK(pty >= 0 && wait_status(pid) == 0);
	close(pty);
	CHECK(!daemon(1, 1));
	CHECK(is_all(13));
	CHECK(write(report_fd, "y", 1) == 1);
	_exit(0);
}

static void test_coroutine(void)
{
	int done[2];
	char c = 0;

	CHECK(!pipe(done));
	fill(13);
	pid_t pid = fork();
	if (!pid) {
		close(done[0]);
		report_fd = done[1];
		CHECK(!getcontext(&coroutine));
		coroutine.uc_stack.ss_sp = managed_pages(STACK_BYTES);
		coroutine.uc_stack.ss_size = STACK_BYTES;
		coroutine.uc_link = &back;
		makecontext(&coroutine, fork_inside_libc, 0);
		swapcontext(&back, &coroutine);
		_exit(1);
	}
	close(done[1]);
	CHECK(pid > 0 && wait_status(pid) == 0);
	CHECK(read(done[0], &c, 1) == 1 && c == 'y');
	CHECK(is_all(13));
	close(done[0]);
}

/* --- pairs ---------------------------------------------------------------------------------- */

struct progress {
	_Atomic uint32_t nr[2]; /* rounds of parent and child */
	_Atomic pid_t pid[2];
	_Atomic bool is_enough;
};

static struct progress *shared;

static void page_until_enough(int me)
{
	atomic_store(&shared->pid[me], getpid());
	for (uint64_t i = 0; !atomic_load(&shared->is_enough); i++) {
		fill(20 + (uint64_t)me * 1000 + i);
		CHECK(is_all(20 + (uint64_t)me * 1000 + i));
		atomic_fetch_add(&shared->nr[me], 1);
	}
}

static void wait_for_rounds(int who, uint32_t nr)
{
	uint32_t want = atomic_load(&shared->nr[who]) + nr;

	for (int i = 0; atomic_load(&shared->nr[who]) < want; i++) {
		CHECK(i < PATIENCE_S * 100);
		nap(10);
	}
}

/* One of parent and child is stopped, or killed, at any moment: the other works on. */
static void test_pair(int victim, int sig, int delay_ms)
{
	memset(shared, 0, sizeof(*shared));
	fill(19);
	pid_t parent = fork();
	CHECK(parent >= 0);
	if (!parent) {
		pid_t child = fork();

		CHECK(child >= 0);
		page_until_enough(!child);
		if (child && !(victim == 1 && sig == SIGKILL))
			CHECK(wait_status(child) == 0);
		_exit(0);
	}
	wait_for_rounds(0, 1);
	wait_for_rounds(1, 1);
	nap(delay_ms);
	kill(atomic_load(&shared->pid[victim]), sig);
	nap(5);
	wait_for_rounds(!victim, 3);
	if (sig == SIGSTOP) {
		uint32_t before = atomic_load(&shared->nr[victim]);

		wait_for_rounds(!victim, 2);
		CHECK(atomic_load(&shared->nr[victim]) == before);
		kill(atomic_load(&shared->pid[victim]), SIGCONT);
		wait_for_rounds(victim, 2);
	}
	atomic_store(&shared->is_enough, true);
	int status = wait_status(parent);
	CHECK(victim == 0 && sig == SIGKILL ? WTERMSIG(status) == SIGKILL : status == 0);
	/* The orphan is nobody's to wait for. */
	for (int i = 0; victim == 0 && sig == SIGKILL && i < PATIENCE_S * 100; i++)
		if (kill(atomic_load(&shared->pid[1]), 0))
			break;
		else
			nap(10);
	CHECK(is_all(19));
}

/* --- threads -------------------------------------------------------------------------------- */

static FILE *file;
static _Atomic bool is_over;

static void *fault_much(void *arg)
{
	unsigned char *own = managed_pages(96 * PAGE);

	for (unsigned round = 0; !atomic_load(&is_over); round++) {
		memset(own, (int)round % 255, 96 * PAGE);
		for (size_t i = 0; i < 96 * PAGE; i += 511)
			CHECK(own[i] == round % 255);
	}
	return arg;
}

static void *print_much(void *arg)
{
	while (!atomic_load(&is_over)) {
		flockfile(file);
		for (int i = 0; i < 200; i++)
			fprintf(file, "%d %s\n", i, "some text that is printed while others fork");
		free(malloc(100000));
		funlockfile(file);
	}
	return arg;
}

static void *fork_much(void *arg)
{
	for (int i = 0; i < 15; i++) {
		pid_t pid = fork();

		CHECK(pid >= 0);
		if (!pid) {
			/* libc's own locks are free in the child. */
			fprintf(file, "child %d\n", i);
			char *p = malloc(200000);
			memset(p, 1, 200000);
			CHECK(is_all(31));
			fill(32);
			_exit(is_all(32) ? 0 : 1);
		}
		CHECK(wait_status(pid) == 0);
	}
	return arg;
}

static void test_threads(void)
{
	pthread_t busy[4], forking[3];

	fill(31);
	file = fopen("/dev/null", "w");
	CHECK(file);
	setvbuf(file, managed(70000), _IOFBF, 70000);
	atomic_store(&is_over, false);
	for (int i = 0; i < 4; i++)
		CHECK(!pthread_create(&busy[i], NULL, i < 2 ? fault_much : print_much, NULL));
	for (int i = 0; i < 3; i++)
		CHECK(!pthread_create(&forking[i], NULL, fork_much, NULL));
	for (int i = 0; i < 3; i++)
		CHECK(!pthread_join(forking[i], NULL));
	atomic_store(&is_over, true);
	for (int i = 0; i < 4; i++)
		CHECK(!pthread_join(busy[i], NULL));
	fclose(file);
	CHECK(is_all(31));
}

/* --- much memory ---------------------------------------------------------------------------- */

static void big(size_t mib)
{
	nr_pages = mib << 20 >> 12;
	pages = managed_pages(nr_pages * PAGE);
	fill(1);
	pid_t pid = fork();
	CHECK(pid >= 0);
	if (!pid) {
		CHECK(is_all(1));
		fill(2);
		CHECK(is_all(2));
		_exit(0);
	}
	fill(3); /* while the child reads what was there */
	CHECK(is_all(3));
	CHECK(wait_status(pid) == 0);
	CHECK(is_all(3));
}

int main(int argc, char **argv)
{
	if (argc > 2 && !strcmp(argv[1], "big")) {
		big(strtoul(argv[2], NULL, 0));
		return 0;
	}
	pages = managed_pages(NR_PAGES * PAGE);
	shared =
	    mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK(shared != MAP_FAILED);
	fill(1);
	live(1, 3);
	test_outlives_parent();
	test_daemon(false);
	test_daemon(true);
	test_coroutine();
	for (int i = 0; i < 4; i++) {
		test_pair(i % 2, SIGKILL, i * 7);
		test_pair(i % 2, SIGSTOP, i * 7);
	}
	test_threads();
	return 0;
}
