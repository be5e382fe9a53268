// SPDX-License-Identifier: MIT
/*
 * Fault injection: for n = 0, 1, 2, ... a fresh process starts the pager and runs a small workload
 * on real faults while the n-th system call of the pager fails, until none fires any more. It may
 * refuse to start with a reason, fail a mapping call, report a lost page or stop with a message.
 * It may not hang, or compute anything wrong.
 *
 *     inject ENGINE [STRIDE]      STRIDE: try every so many-th call only
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#include "base/sys.h"
#include "base/types.h"
#include "pager/pager.h"

#define AREA_PAGES 300u
#define LIMIT      20 /* seconds for one process */

enum {
	EXIT_RIGHT = 0,
	EXIT_WRONG = 1,
	EXIT_NOT_FIRED = 10,
	EXIT_REFUSED = 11, /* did not start, and said why */
	EXIT_CALL = 12,    /* a mapping call failed */
	EXIT_LOST = 13,    /* a page was reported lost */
	EXIT_SAID = 125,
};

static long countdown;
static bool fired;
static const int errors[] = {ENOMEM, EIO, EAGAIN};

/* Calls that cannot fail, or whose failure is not the pager's to survive. */
static bool is_exempt(long nr)
{
	static const long calls[] = {SYS_futex, SYS_rt_sigprocmask, SYS_rt_sigaction, SYS_exit,
	    SYS_exit_group, SYS_gettid, SYS_getpid, SYS_getppid, SYS_tkill, SYS_kill, SYS_write,
	    SYS_close, SYS_munmap};

	for (size_t i = 0; i < ARRAY_LEN(calls); i++)
		if (calls[i] == nr)
			return true;
	return false;
}

static long inject(long nr)
{
	if (is_exempt(nr) || fired || __atomic_sub_fetch(&countdown, 1, __ATOMIC_RELAXED) >= 0)
		return 0;
	fired = true;
	return -errors[nr % (long)ARRAY_LEN(errors)];
}

static void on_fault(int sig, void *si_, void *uc_)
{
	siginfo_t *si = si_;
	ucontext_t *uc = uc_;
	enum access access = access_of((unsigned long)uc->uc_mcontext.gregs[REG_ERR]);

	(void)sig;
	if (!in_window((uintptr_t)si->si_addr))
		_exit(EXIT_WRONG);
	enum fault_result r = pager_fault((uintptr_t)si->si_addr, access);
	if (r == FAULT_IO_ERROR)
		_exit(EXIT_LOST);
	if (r != FAULT_DONE)
		_exit(EXIT_WRONG);
}

static long call(long result)
{
	if (result < 0 && result > -4096)
		_exit(fired ? EXIT_CALL : EXIT_WRONG);
	return result;
}

static void pass(volatile uint64_t *at, uint64_t round, bool check)
{
	for (uint64_t i = 0; i < AREA_PAGES; i++) {
		volatile uint64_t *p = at + i * 512;

		if (check && (p[1] != round * 1000 + i || p[511] != ~i))
			_exit(EXIT_WRONG);
		p[1] = (round + 1) * 1000 + i;
		p[511] = ~i;
	}
}

static void workload(void)
{
	const int rw = PROT_READ | PROT_WRITE, anon = MAP_PRIVATE | MAP_ANONYMOUS;
	size_t len = AREA_PAGES * PAGE_BYTES;
	uintptr_t at = (uintptr_t)call(pager_mmap(0, len, rw, anon, -1, 0));

	pass((uint64_t *)at, 0, false);
	pass((uint64_t *)at, 1, true);
	call(pager_mprotect(at, len, PROT_READ));
	call(pager_mprotect(at, len, rw));
	at = (uintptr_t)call(pager_mremap(at, len, len * 2, MREMAP_MAYMOVE, 0));
	uintptr_t other = (uintptr_t)call(pager_mmap(0, len * 2, rw, anon, -1, 0));
	at = (uintptr_t)call(
	    pager_mremap(at, len * 2, len * 2, MREMAP_MAYMOVE | MREMAP_FIXED, other));
	call(pager_mlock(at + 8 * PAGE_BYTES, 4 * PAGE_BYTES, 0));
	call(pager_madvise(at, 8 * PAGE_BYTES, MADV_PAGEOUT));
	call(pager_munlock(at, len));
	pass((uint64_t *)at, 2, true);
	call(pager_munmap(at + len + 8 * PAGE_BYTES, PAGE_BYTES));
	call(pager_madvise(at + len, 8 * PAGE_BYTES, MADV_DONTNEED));
	int err = pager_fork_prepare();
	if (err)
		_exit(fired ? EXIT_CALL : EXIT_WRONG);
	pid_t pid = fork();
	if (pid == 0) {
		pager_fork_child();
		pass((uint64_t *)at, 3, true);
		_exit(EXIT_RIGHT);
	}
	pager_fork_parent();
	int status;
	waitpid(pid, &status, 0);
	pass((uint64_t *)at, 3, true);
	pager_check();
	call(pager_munmap(at, len * 2));
	if (WIFSIGNALED(status) && WTERMSIG(status) != SIGABRT)
		_exit(EXIT_WRONG);
	if (WIFEXITED(status) && WEXITSTATUS(status) != EXIT_RIGHT && !WTERMSIG(status))
		_exit(WEXITSTATUS(status));
}

static _Noreturn void one_run(const char *engine, long n)
{
	struct pager_config config = {.ram_bytes = PAGER_MIN_FRAMES * PAGE_BYTES,
	    .min_map_bytes = PAGE_BYTES,
	    .swap_dir = "/var/tmp",
	    .policy = "clock"};
	char why[256] = "";

	alarm(LIMIT);
	strcpy(config.engine, engine);
	sys_gate_map();
	countdown = n;
	sys_inject = inject;
	if (pager_start(&config, why, sizeof(why)))
		_exit(*why && fired ? EXIT_REFUSED : EXIT_WRONG);
	sys_signal_install(SIGBUS, on_fault, ~0ull, 0, NULL);
	sys_signal_install(SIGSEGV, on_fault, ~0ull, 0, NULL);
	workload();
	_exit(fired ? EXIT_RIGHT : EXIT_NOT_FIRED);
}

int main(int argc, char **argv)
{
	unsigned tally[256] = {0}, nr_stopped = 0, nr_failed = 0;
	long n = 0;

	if (argc < 2)
		return 2;
	long stride = argc > 2 ? atol(argv[2]) : 1;
	for (n = getpid() % stride;; n += stride) {
		int status;
		pid_t pid = fork();

		if (pid == 0)
			one_run(argv[1], n);
		waitpid(pid, &status, 0);
		if (WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT) {
			nr_stopped++; /* ensure() said which invariant */
			continue;
		}
		if (WIFSIGNALED(status) || WEXITSTATUS(status) == EXIT_WRONG) {
			printf("FAILED: call %ld failing: status %#x%s\n", n, (unsigned)status,
			    WTERMSIG(status) == SIGALRM ? " (hangs)" : "");
			if (++nr_failed == 10)
				break;
			continue;
		}
		tally[WEXITSTATUS(status)]++;
		if (WEXITSTATUS(status) == EXIT_NOT_FIRED)
			break;
	}
	printf("%s: %ld calls, one in %ld failed in turn: %u survived, %u refused to start, %u "
	       "failed a call, "
	       "%u lost a page and said so, %u stopped with a message, %u wrong\n",
	    argv[1], n, stride, tally[EXIT_RIGHT], tally[EXIT_REFUSED], tally[EXIT_CALL],
	    tally[EXIT_LOST], tally[EXIT_SAID] + nr_stopped, nr_failed);
	return nr_failed ? 1 : 0;
}
