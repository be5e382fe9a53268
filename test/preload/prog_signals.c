// SPDX-License-Identifier: MIT
/* Signals: blocked calls that are interrupted, handlers that jump, the program's own SIGSEGV. */
#include "prog.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#define ABSENT_BYTES ((size_t)512 << 10) /* as much as there are frames for */

static volatile sig_atomic_t nr_handled;
static sigjmp_buf jump;
static char *scratch;
static int pair[2];

static void count_signal(int sig)
{
	/* Makes a guarded call of its own inside the interrupted one. */
	memset(scratch, sig, 100);
	CHECK(write(pair[1], scratch, 100) == 100 && read(pair[0], scratch + 200, 100) == 100);
	CHECK(!memcmp(scratch, scratch + 200, 100));
	nr_handled++;
}

static void jump_away(int sig)
{
	siglongjmp(jump, sig);
}

static void set(int sig, void (*handler)(int), int flags)
{
	struct sigaction act = {.sa_handler = handler, .sa_flags = flags};

	sigfillset(&act.sa_mask);
	CHECK(sigaction(sig, &act, NULL) == 0);
}

/* On a busy machine, too, a thread is in its next system call by then. */
#define LATE_US 100000u

static void alarm_in(unsigned us)
{
	struct itimerval it = {.it_value.tv_usec = (suseconds_t)us};

	CHECK(setitimer(ITIMER_REAL, &it, NULL) == 0);
}

static void *late_writer(void *arg)
{
	usleep(60000);
	CHECK(write(*(int *)arg, "late", 4) == 4);
	return NULL;
}

static void test_interrupted(void)
{
	int p[2];
	char *buf = managed(200);
	pthread_t thread;

	CHECK(pipe(p) == 0);
	set(SIGALRM, count_signal, 0);
	nr_handled = 0;
	alarm_in(LATE_US);
	CHECK(read(p[0], buf, 100) < 0 && errno == EINTR && nr_handled == 1);
	set(SIGALRM, count_signal, SA_RESTART);
	sigset_t block, old;
	sigemptyset(&block), sigaddset(&block, SIGALRM);
	alarm_in(10000);
	/* The other thread must not take the signal. */
	pthread_sigmask(SIG_BLOCK, &block, &old);
	pthread_create(&thread, NULL, late_writer, &p[1]);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	memset(buf, 0, 100);
	CHECK(read(p[0], buf, 100) == 4 && !memcmp(buf, "late", 4) && nr_handled == 2);
	pthread_join(thread, NULL);
	struct timespec *ts = managed(sizeof(*ts)), *rem = managed(sizeof(*rem));
	*ts = (struct timespec){5, 0};
	alarm_in(LATE_US);
	CHECK(nanosleep(ts, rem) < 0 && errno == EINTR && rem->tv_sec == 4 && nr_handled == 3);
	/* sigsuspend opens its mask for the time of the call. */
	sigset_t *all = managed(sizeof(*all)), *open = managed(sizeof(*open));
	sigfillset(all);
	CHECK(sigprocmask(SIG_BLOCK, all, NULL) == 0);
	sigfillset(open), sigdelset(open, SIGALRM);
	alarm_in(10000);
	CHECK(sigsuspend(open) < 0 && errno == EINTR && nr_handled == 4);
	sigemptyset(all);
	CHECK(sigprocmask(SIG_SETMASK, all, NULL) == 0);
	close(p[0]), close(p[1]);
}

static long mapped_kib(void)
{
	char line[200];
	long size = -1;
	FILE *f = fopen("/proc/self/statm", "r");

	CHECK(f && fgets(line, sizeof(line), f));
	sscanf(line, "%ld", &size);
	fclose(f);
	return size * 4;
}

/* A handler leaves a blocked read, again and again: nothing may be left behind. */
static void test_jumps(int times)
{
	int p[2];
	char *buf = managed(1 << 20);

	CHECK(pipe(p) == 0);
	set(SIGALRM, jump_away, 0);
	long before = 0;
	for (volatile int i = 0; i < times; i++) {
		if (i == times / 2)
			before = mapped_kib();
		if (sigsetjmp(jump, 1) == 0) {
			alarm_in(50);
			/* Small ones, and ones that need a mapping. */
			for (;;)
				CHECK(read(p[0], buf, i % 3 ? 100 : 600000) < 0);
		}
	}
	CHECK(mapped_kib() - before < 4096);
	CHECK(
	    write(p[1], "after", 5) == 5 && read(p[0], buf, 100) == 5 && !memcmp(buf, "after", 5));
	close(p[0]), close(p[1]);
}

static int outer_pipe[2], inner_pipe[2];

/* Inside an interrupted read, an inner read that a second handler jumps out of. */
static void nest(int sig)
{
	char *buf = scratch + 100;

	(void)sig;
	if (sigsetjmp(jump, 1) == 0) {
		struct sigaction act = {.sa_handler = jump_away};

		CHECK(sigaction(SIGALRM, &act, NULL) == 0);
		alarm_in(1000);
		for (;;)
			CHECK(read(inner_pipe[0], buf, 100) < 0);
	}
	CHECK(write(outer_pipe[1], "outer", 5) == 5);
}

static void test_nested_jumps(void)
{
	char *buf = managed(200);

	CHECK(pipe(outer_pipe) == 0 && pipe(inner_pipe) == 0);
	for (int i = 0; i < 100; i++) {
		struct sigaction act = {.sa_handler = nest, .sa_flags = SA_RESTART | SA_NODEFER};

		CHECK(sigaction(SIGALRM, &act, NULL) == 0);
		alarm_in(1000);
		memset(buf, 0, 5);
		CHECK(read(outer_pipe[0], buf, 100) == 5 && !memcmp(buf, "outer", 5));
	}
	close(outer_pipe[0]), close(outer_pipe[1]), close(inner_pipe[0]), close(inner_pipe[1]);
}

static char *volatile fault_addr;
static volatile int fault_code;

static void on_fault(int sig, siginfo_t *si, void *context)
{
	ucontext_t *uc = context;

	CHECK(uc->uc_mcontext.gregs[REG_RIP]);
	fault_addr = si->si_addr;
	fault_code = si->si_code;
	siglongjmp(jump, sig);
}

static int fault_of(char *addr, bool is_write)
{
	int sig = sigsetjmp(jump, 1);

	if (sig)
		return sig;
	if (is_write)
		*(volatile char *)addr = 1;
	else
		(void)*(volatile char *)addr;
	return 0;
}

static void test_own_faults(void)
{
	struct sigaction act = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO}, old, now;
	char *page = managed_pages(131072);

	CHECK(sigaction(SIGSEGV, &act, &old) == 0 && old.sa_handler == SIG_DFL);
	CHECK(sigaction(SIGBUS, &act, &old) == 0 && old.sa_handler == SIG_DFL);
	CHECK(sigaction(SIGSEGV, NULL, &now) == 0 && now.sa_sigaction == on_fault);
	page[5] = 'x', page[70000] = 'y';
	CHECK(mprotect(page, 65536, PROT_READ) == 0);
	for (int i = 0; i < 1000; i++) {
		CHECK(fault_of(page + 5, false) == 0 && page[5] == 'x');
		CHECK(fault_of(page + 5, true) == SIGSEGV);
		CHECK(fault_addr == page + 5 && fault_code == SEGV_ACCERR);
		CHECK(fault_of((char *)1234, false) == SIGSEGV && fault_addr == (char *)1234);
		CHECK(fault_code == SEGV_MAPERR);
	}
	CHECK(mprotect(page, 65536, PROT_NONE) == 0);
	CHECK(fault_of(page + 5, false) == SIGSEGV && fault_addr == page + 5);
	CHECK(mprotect(page, 65536, PROT_READ | PROT_WRITE) == 0 && page[5] == 'x');
	CHECK(munmap(page, 65536) == 0);
	CHECK(fault_of(page + 100, true) == SIGSEGV && fault_addr == page + 100);
	CHECK(page[70000] == 'y');
	/* SA_RESETHAND: once. */
	act.sa_flags |= (int)SA_RESETHAND;
	CHECK(sigaction(SIGSEGV, &act, NULL) == 0 && fault_of((char *)8, true) == SIGSEGV);
	CHECK(sigaction(SIGSEGV, NULL, &now) == 0 && now.sa_handler == SIG_DFL);
	CHECK(signal(SIGBUS, SIG_DFL) != SIG_ERR);
}

/* What the program believes it blocks must not keep faults from being served. */
static void test_masks(void)
{
	sigset_t all, old;
	char *buf = managed(100000);

	sigfillset(&all);
	CHECK(pthread_sigmask(SIG_SETMASK, &all, &old) == 0 && !sigismember(&old, SIGSEGV));
	for (int i = 0; i < 100; i++) {
		fill_random(buf, 100000, (uint64_t)i);
		CHECK(write(pair[1], buf, 1000) == 1000 && read(pair[0], buf, 1000) == 1000);
	}
	CHECK(pthread_sigmask(SIG_BLOCK, NULL, &old) == 0);
	CHECK(sigismember(&old, SIGSEGV) && sigismember(&old, SIGBUS) && sigismember(&old, SIGINT));
	sigemptyset(&all);
	CHECK(sigprocmask(SIG_SETMASK, &all, NULL) == 0);
	CHECK(sigprocmask(SIG_BLOCK, NULL, &old) == 0 && !sigismember(&old, SIGSEGV));
	/* Sent by kill() while blocked, a fault signal waits. */
	nr_handled = 0;
	set(SIGSEGV, count_signal, 0);
	sigemptyset(&all), sigaddset(&all, SIGSEGV);
	CHECK(sigprocmask(SIG_BLOCK, &all, NULL) == 0 && raise(SIGSEGV) == 0 && nr_handled == 0);
	CHECK(sigprocmask(SIG_UNBLOCK, &all, NULL) == 0 && nr_handled == 1);
	CHECK(signal(SIGSEGV, SIG_IGN) != SIG_ERR && raise(SIGSEGV) == 0);
	CHECK(signal(SIGSEGV, SIG_DFL) == SIG_IGN);
}

/* --- what a handler blocks by running --- */

static bool is_blocked(int sig)
{
	sigset_t now;

	CHECK(pthread_sigmask(SIG_BLOCK, NULL, &now) == 0);
	return sigismember(&now, sig) == 1;
}

static volatile bool stays;
static char *volatile guarded;

static void on_masked(int sig)
{
	CHECK(is_blocked(sig) && is_blocked(SIGUSR2) && is_blocked(SIGBUS));
	CHECK(sig == SIGSEGV || !is_blocked(SIGSEGV));
	if (!stays)
		siglongjmp(jump, sig);
	CHECK(mprotect(guarded, 65536, PROT_READ | PROT_WRITE) == 0);
}

/* Deeper than the handler that was left, where a fault must not seem to be inside it. */
static int deep_fault(unsigned depth)
{
	volatile char room[2000];

	room[depth % 2000] = 1;
	return depth ? deep_fault(depth - 1) + room[depth % 2000] - 1 : fault_of(guarded, true);
}

static void raise_handled(void)
{
	if (!sigsetjmp(jump, 1))
		CHECK(raise(SIGUSR1) == 0 && stays);
}

static void test_handler_masks(void)
{
	struct sigaction act = {.sa_handler = on_masked};
	static char alt[65536];
	stack_t ss = {.ss_sp = alt, .ss_size = sizeof(alt)}, off = {.ss_flags = SS_DISABLE};

	sigemptyset(&act.sa_mask);
	sigaddset(&act.sa_mask, SIGUSR2), sigaddset(&act.sa_mask, SIGBUS);
	guarded = managed_pages(65536);
	guarded[0] = 7;
	for (int is_alt = 0; is_alt < 2; is_alt++) {
		act.sa_flags = is_alt ? SA_ONSTACK : 0;
		CHECK(sigaltstack(is_alt ? &ss : &off, NULL) == 0);
		CHECK(sigaction(SIGSEGV, &act, NULL) == 0 && sigaction(SIGUSR1, &act, NULL) == 0);
		for (int i = 0; i < 200; i++) {
			CHECK(mprotect(guarded, 65536, PROT_READ) == 0);
			stays = i % 2;
			CHECK(deep_fault(i % 5 * 3) == (stays ? 0 : SIGSEGV));
			CHECK(guarded[0] == (stays ? 1 : 7));
			CHECK(!is_blocked(SIGSEGV) && !is_blocked(SIGBUS) && !is_blocked(SIGUSR2));
			CHECK(mprotect(guarded, 65536, PROT_READ | PROT_WRITE) == 0);
			guarded[0] = 7;
			raise_handled();
			CHECK(!is_blocked(SIGBUS) && !is_blocked(SIGUSR1));
		}
	}
	CHECK(sigaltstack(&off, NULL) == 0 && munmap(guarded, 65536) == 0);
	CHECK(signal(SIGSEGV, SIG_DFL) != SIG_ERR && signal(SIGUSR1, SIG_DFL) != SIG_ERR);
}

/* A fault signal that was sent while it is blocked can be seen, and taken. */
/* The kernel's own structure, given by number. */
struct kernel_action {
	void (*handler)(int);
	unsigned long flags;
	void (*restorer)(void);
	uint64_t mask;
};

void restore(void);
__asm__("restore: mov $15, %eax\n" /* rt_sigreturn */
        "	syscall\n");

static char *absent;
static volatile sig_atomic_t sum;

static void look_at_absent(int sig)
{
	(void)sig;
	for (size_t i = 0; i < ABSENT_BYTES; i += 4096)
		sum += absent[i];
}

/* As libc's: it blocks everything, and what it touches is there all the same. */
static void test_action_by_number(void)
{
	struct kernel_action act = {look_at_absent, 0x04000000, restore, ~0ul}, old;
	char *others = managed_pages(ABSENT_BYTES);

	absent = managed_pages(ABSENT_BYTES);
	memset(absent, 1, ABSENT_BYTES);
	memset(others, 2, ABSENT_BYTES);
	CHECK(syscall(SYS_rt_sigaction, SIGUSR1, &act, NULL, 8) == 0);
	sum = 0;
	raise(SIGUSR1);
	CHECK(sum == ABSENT_BYTES / 4096);
	CHECK(syscall(SYS_rt_sigaction, SIGUSR1, NULL, &old, 8) == 0);
	CHECK(old.handler == look_at_absent && old.restorer == restore);
	CHECK(syscall(SYS_rt_sigaction, SIGUSR1, &act, NULL, 7) == -1 && errno == EINVAL);
	CHECK(syscall(SYS_rt_sigaction, SIGKILL, &act, NULL, 8) == -1 && errno == EINVAL);
	CHECK(signal(SIGUSR1, SIG_DFL) == look_at_absent);
	munmap(absent, ABSENT_BYTES), munmap(others, ABSENT_BYTES);
}

static void test_pending(void)
{
	static const int sigs[] = {SIGBUS, SIGSEGV, SIGSYS};
	struct timespec none = {0};
	sigset_t set, now;
	siginfo_t si;

	for (int i = 0; i < 3; i++) {
		sigemptyset(&set), sigaddset(&set, sigs[i]);
		CHECK(sigprocmask(SIG_BLOCK, &set, NULL) == 0);
		CHECK(sigtimedwait(&set, &si, &none) == -1 && errno == EAGAIN);
		CHECK(raise(sigs[i]) == 0 && sigpending(&now) == 0);
		CHECK(sigismember(&now, sigs[i]) == 1 && sigismember(&now, SIGUSR1) == 0);
		CHECK(sigtimedwait(&set, &si, &none) == sigs[i] && si.si_signo == sigs[i]);
		CHECK(si.si_pid == getpid() && sigpending(&now) == 0);
		CHECK(sigismember(&now, sigs[i]) == 0);
		int got = 0;
		CHECK(raise(sigs[i]) == 0 && sigwait(&set, &got) == 0 && got == sigs[i]);
		CHECK(sigprocmask(SIG_UNBLOCK, &set, NULL) == 0); /* nothing is left to die of */
	}
}

static int status_of(void (*body)(void))
{
	int status;
	pid_t pid = fork();

	if (!pid) {
		body();
		_exit(0);
	}
	CHECK(waitpid(pid, &status, 0) == pid);
	return status;
}

static void die_wild(void)
{
	*(volatile char *)0x4ff000000000 = 1;
}

static void die_null(void)
{
	*(volatile char *)8 = 1;
}

static void die_ignoring(void)
{
	signal(SIGSEGV, SIG_IGN);
	*(volatile char *)8 = 1;
}

static void crash_again(int sig)
{
	(void)sig;
	*(volatile char *)16 = 1;
	_exit(5);
}

/* A handler that crashes is not run for it again. */
static void die_handling(void)
{
	signal(SIGSEGV, crash_again);
	*(volatile char *)8 = 1;
}

static void die_killed(void)
{
	kill(getpid(), SIGBUS);
	for (;;)
		pause();
}

static void die_sigsys(void)
{
	raise(SIGSYS);
}

static void die_abort(void)
{
	abort();
}

static void test_deaths(void)
{
	CHECK(WTERMSIG(status_of(die_wild)) == SIGSEGV);
	CHECK(WTERMSIG(status_of(die_null)) == SIGSEGV);
	CHECK(WTERMSIG(status_of(die_ignoring)) == SIGSEGV);
	CHECK(WTERMSIG(status_of(die_handling)) == SIGSEGV);
	CHECK(WTERMSIG(status_of(die_killed)) == SIGBUS);
	CHECK(WTERMSIG(status_of(die_sigsys)) == SIGSYS);
	CHECK(WTERMSIG(status_of(die_abort)) == SIGABRT);
}

static void *blocked_reader(void *arg)
{
	char *buf = managed_pages(65536);

	CHECK(read(*(int *)arg, buf, 1000) < 0);
	return NULL;
}

static void test_cancelled(void)
{
	int p[2];

	CHECK(pipe(p) == 0);
	for (int i = 0; i < 20; i++) {
		pthread_t thread;
		void *result;

		CHECK(pthread_create(&thread, NULL, blocked_reader, &p[0]) == 0);
		usleep(1000 * (i % 5));
		CHECK(pthread_cancel(thread) == 0 && pthread_join(thread, &result) == 0);
		CHECK(result == PTHREAD_CANCELED);
	}
	close(p[0]), close(p[1]);
}

struct waited {
	pthread_mutex_t lock;
	pthread_cond_t event;
	int is_waiting, is_cleaned;
};

static void unlock(void *arg)
{
	struct waited *w = arg;

	w->is_cleaned = 1;
	pthread_mutex_unlock(&w->lock);
}

static void *wait_for_event(void *arg)
{
	struct waited *w = arg;

	CHECK(pthread_mutex_lock(&w->lock) == 0);
	pthread_cleanup_push(unlock, w);
	w->is_waiting = 1;
	for (;;)
		pthread_cond_wait(&w->event, &w->lock);
	pthread_cleanup_pop(0);
	return NULL;
}

/* In a call that libc makes itself, which is trapped: the way out leads through that handler. */
static void test_cancelled_in_trap(void)
{
	struct waited *w = managed(sizeof(*w));
	pthread_t thread;
	void *result;

	*w = (struct waited){PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, 0};
	CHECK(pthread_create(&thread, NULL, wait_for_event, w) == 0);
	for (int is_waiting = 0; !is_waiting; usleep(1000)) {
		CHECK(pthread_mutex_lock(&w->lock) == 0);
		is_waiting = w->is_waiting;
		CHECK(pthread_mutex_unlock(&w->lock) == 0);
	}
	CHECK(pthread_cancel(thread) == 0 && pthread_join(thread, &result) == 0);
	CHECK(result == PTHREAD_CANCELED && w->is_cleaned);
	CHECK(pthread_mutex_trylock(&w->lock) == 0);
}

int main(int argc, char **argv)
{
	int jumps = argc > 1 ? atoi(argv[1]) : 10000;

	scratch = managed(400);
	CHECK(pipe(pair) == 0);
	for (int i = 0; i < 5; i++) {
		test_interrupted();
		test_nested_jumps();
		test_own_faults();
		test_masks();
		test_handler_masks();
		test_action_by_number();
		test_pending();
		test_cancelled();
		test_cancelled_in_trap();
	}
	test_jumps(jumps);
	test_deaths();
	return 0;
}
