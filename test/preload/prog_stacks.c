// SPDX-License-Identifier: MIT
/*
 * Stacks: coroutines on managed ones, the program's alternate stacks, and what a handler of the
 * program sees of both.
 */
#include "prog.h"

#include <execinfo.h>
#include <fenv.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#ifndef SS_AUTODISARM
#define SS_AUTODISARM (1U << 31)
#endif

#define NR_COROUTINES 24
#define STACK_BYTES   ((size_t)256 << 10)
#define BIG_BYTES     ((size_t)1 << 20)

static sigjmp_buf jump;
static char *paged; /* BIG_BYTES, byte i of page p is pattern(p) */
static volatile sig_atomic_t nr_handled;

static char pattern(size_t page)
{
	return (char)(page * 37 + 11);
}

/* In a handler: memory of the program's, absent more often than not. */
static void look_at_paged(void)
{
	static unsigned turn;

	size_t page = (turn++ * 61u) % (BIG_BYTES / 4096);

	CHECK(paged[page * 4096 + 5] == pattern(page));
}

static void set_action(int sig, void (*handler)(int, siginfo_t *, void *), int flags)
{
	struct sigaction act = {.sa_sigaction = handler, .sa_flags = flags | SA_SIGINFO};

	CHECK(sigaction(sig, &act, NULL) == 0);
}

static void timer(int us)
{
	struct itimerval it = {.it_value.tv_usec = us, .it_interval.tv_usec = us};

	CHECK(setitimer(ITIMER_REAL, &it, NULL) == 0);
}

/* --- coroutines ---------------------------------------------------------------------------- */

static ucontext_t scheduler, coroutines[NR_COROUTINES];
static bool is_done[NR_COROUTINES];
static int pair[2];

static void pause_here(int id)
{
	swapcontext(&coroutines[id], &scheduler);
}

static void *return_arg(void *arg)
{
	return arg;
}

static void use_kernel(int id, int round)
{
	char out[100], in[100];

	memset(out, id + round, sizeof(out));
	CHECK(write(pair[1], out, sizeof(out)) == sizeof(out));
	CHECK(read(pair[0], in, sizeof(in)) == sizeof(in) && !memcmp(in, out, sizeof(in)));
	char *map = managed_pages(100000);
	memset(map, id, 100000);
	CHECK(mprotect(map, 4096, PROT_READ) == 0 && map[50000] == (char)id);
	CHECK(munmap(map + 4096, 8192) == 0);
	CHECK(madvise(map + 16384, 4096, MADV_DONTNEED) == 0 && map[16384] == 0);
	CHECK(munmap(map, 100000) == 0);
	char *block = malloc(70000);
	memset(block, id, 70000);
	CHECK(block[69999] == (char)id);
	free(block);
}

static void use_process(int id)
{
	int status;
	pid_t pid = fork();

	if (!pid) {
		char local[9000];

		memset(local, id, sizeof(local));
		look_at_paged();
		_exit(local[5000]);
	}
	CHECK(pid > 0 && waitpid(pid, &status, 0) == pid && WEXITSTATUS(status) == id);
	char *argv[] = {"sh", "-c", "exit 5", NULL};
	CHECK(posix_spawn(&pid, "/bin/sh", NULL, NULL, argv, environ) == 0);
	CHECK(waitpid(pid, &status, 0) == pid && WEXITSTATUS(status) == 5);
	pthread_t thread;
	void *result;
	CHECK(pthread_create(&thread, NULL, return_arg, &status) == 0);
	CHECK(pthread_join(thread, &result) == 0 && result == &status);
}

static void use_signals(void)
{
	struct sigaction act, old;
	sigset_t set, was;

	CHECK(sigaction(SIGUSR2, NULL, &act) == 0 && sigaction(SIGUSR2, &act, &old) == 0);
	CHECK(old.sa_handler == act.sa_handler);
	sigemptyset(&set), sigaddset(&set, SIGUSR1);
	CHECK(sigprocmask(SIG_BLOCK, &set, &was) == 0 && !sigismember(&was, SIGUSR1));
	int before = nr_handled;
	raise(SIGUSR1);
	CHECK(sigprocmask(SIG_SETMASK, &was, &set) == 0 && sigismember(&set, SIGUSR1));
	CHECK(nr_handled > before);
}

static void coroutine(int id)
{
	volatile char local[6000];

	for (int round = 0; round < 6; round++) {
		memset((char *)local, id + round, sizeof(local));
		pause_here(id);
		use_kernel(id, round);
		pause_here(id);
		use_signals();
		if ((id + round) % 16 == 0)
			use_process(id);
		for (size_t i = 0; i < sizeof(local); i++)
			CHECK(local[i] == (char)(id + round));
	}
	is_done[id] = true;
}

static void on_tick(int sig, siginfo_t *si, void *context)
{
	volatile char local[3000];

	CHECK(si->si_signo == sig && ((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP]);
	memset((char *)local, sig, sizeof(local));
	look_at_paged();
	nr_handled++;
	CHECK(local[1234] == (char)sig);
}

/* Each in two pieces of memory: the stacks of some come from malloc. */
static void test_coroutines(int tick_us)
{
	bool is_any = true;

	set_action(SIGALRM, on_tick, SA_RESTART);
	set_action(SIGUSR1, on_tick, 0);
	timer(tick_us);
	for (int i = 0; i < NR_COROUTINES; i++) {
		ucontext_t *c = &coroutines[i];

		is_done[i] = false;
		CHECK(getcontext(c) == 0);
		c->uc_stack.ss_sp = i % 2 ? managed_pages(STACK_BYTES) : malloc(STACK_BYTES);
		c->uc_stack.ss_size = STACK_BYTES;
		c->uc_link = &scheduler;
		makecontext(c, (void (*)(void))coroutine, 1, i);
	}
	while (is_any) {
		is_any = false;
		for (int i = 0; i < NR_COROUTINES; i++) {
			if (is_done[i])
				continue;
			is_any = true;
			CHECK(swapcontext(&scheduler, &coroutines[i]) == 0);
		}
	}
	timer(0);
	for (int i = 0; i < NR_COROUTINES; i++)
		if (i % 2)
			munmap(coroutines[i].uc_stack.ss_sp, STACK_BYTES);
		else
			free(coroutines[i].uc_stack.ss_sp);
}

static volatile bool is_over;

/* libc interrupts every thread for this, with a signal of its own. */
static void *change_ids(void *arg)
{
	while (!is_over) {
		CHECK(setuid(getuid()) == 0);
		usleep(500);
	}
	return arg;
}

static void test_setxid(void)
{
	pthread_t thread;

	is_over = false;
	CHECK(pthread_create(&thread, NULL, change_ids, NULL) == 0);
	test_coroutines(0);
	is_over = true;
	CHECK(pthread_join(thread, NULL) == 0);
}

static void on_alarm_jump(int sig, siginfo_t *si, void *context)
{
	(void)si, (void)context;
	siglongjmp(jump, sig);
}

/* A handler leaves a call that blocks, on a managed stack, for good. */
static void jump_out(int times)
{
	char in[100];
	struct itimerval once = {.it_value.tv_usec = 50};

	for (volatile int i = 0; i < times; i++)
		if (!sigsetjmp(jump, 1)) {
			CHECK(setitimer(ITIMER_REAL, &once, NULL) == 0);
			for (;;)
				CHECK(read(pair[0], in, sizeof(in)) < 0);
		}
	use_kernel(1, 1);
}

static void test_jumping_out(int times)
{
	ucontext_t *c = &coroutines[0];

	set_action(SIGALRM, on_alarm_jump, 0);
	CHECK(getcontext(c) == 0);
	c->uc_stack.ss_sp = managed_pages(STACK_BYTES);
	c->uc_stack.ss_size = STACK_BYTES;
	c->uc_link = &scheduler;
	makecontext(c, (void (*)(void))jump_out, 1, times);
	CHECK(swapcontext(&scheduler, c) == 0);
	CHECK(munmap(c->uc_stack.ss_sp, STACK_BYTES) == 0);
}

static void exit_here(void)
{
	exit(23);
}

static void test_exit_on_coroutine(void)
{
	int status;
	pid_t pid = fork();

	if (!pid) {
		CHECK(getcontext(&coroutines[0]) == 0);
		coroutines[0].uc_stack.ss_sp = managed_pages(STACK_BYTES);
		coroutines[0].uc_stack.ss_size = STACK_BYTES;
		makecontext(&coroutines[0], exit_here, 0);
		setcontext(&coroutines[0]);
	}
	CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 23);
}

/* --- alternate stacks ---------------------------------------------------------------------- */

static stack_t alt;

static bool is_on(const stack_t *ss, const void *p)
{
	return (const char *)p >= (char *)ss->ss_sp &&
	       (const char *)p < (char *)ss->ss_sp + ss->ss_size;
}

static void set_alt(void *sp, size_t bytes, unsigned flags)
{
	alt = (stack_t){.ss_sp = sp, .ss_size = bytes, .ss_flags = (int)flags};
	CHECK(sigaltstack(&alt, NULL) == 0);
}

static int overflow(int depth)
{
	volatile char local[2000];

	local[depth % 2000] = (char)depth;
	return depth ? overflow(depth - 1) + local[depth % 2000] : 0;
}

static void on_overflow(int sig, siginfo_t *si, void *context)
{
	char here;

	CHECK(sig == SIGSEGV && is_on(&alt, &here) && si->si_code > 0 && si->si_addr);
	uintptr_t sp = (uintptr_t)((ucontext_t *)context)->uc_mcontext.gregs[REG_RSP];
	CHECK((uintptr_t)si->si_addr - sp + 65536 < 131072);
	look_at_paged();
	siglongjmp(jump, 1);
}

static void overflow_times(int times)
{
	set_action(SIGSEGV, on_overflow, SA_ONSTACK);
	for (volatile int i = 0; i < times; i++) {
		if (!sigsetjmp(jump, 1)) {
			overflow(100000000);
			CHECK(false);
		}
		look_at_paged();
	}
	CHECK(signal(SIGSEGV, SIG_DFL) != SIG_ERR);
}

static void *overflow_thread(void *arg)
{
	stack_t now;

	CHECK(sigaltstack(NULL, &now) == 0 && now.ss_flags == SS_DISABLE);
	set_alt(malloc(65536), 65536, 0);
	overflow_times(*(int *)arg);
	stack_t none = {.ss_flags = SS_DISABLE};
	CHECK(sigaltstack(&none, NULL) == 0);
	free(alt.ss_sp);
	return NULL;
}

static void test_overflow(int times)
{
	pthread_t thread;

	set_alt(managed_pages(65536), 65536, 0);
	overflow_times(times);
	CHECK(munmap(alt.ss_sp, 65536) == 0);
	CHECK(pthread_create(&thread, NULL, overflow_thread, &times) == 0);
	CHECK(pthread_join(thread, NULL) == 0);
	set_alt(NULL, 0, SS_DISABLE);
}

static char *seen_at;

/* The second of two nested ones stays on the stack of the first. */
static void on_inner(int sig, siginfo_t *si, void *context)
{
	char here;

	(void)sig, (void)si;
	ucontext_t *uc = context;
	CHECK(is_on(&alt, &here) && &here < seen_at);
	CHECK(uc->uc_stack.ss_sp == alt.ss_sp && uc->uc_stack.ss_size == alt.ss_size);
	look_at_paged();
	nr_handled++;
}

static void on_outer(int sig, siginfo_t *si, void *context)
{
	volatile char local[4096];
	stack_t now, other = {.ss_sp = paged, .ss_size = 65536};
	ucontext_t *uc = context;

	(void)si;
	memset((char *)local, sig, sizeof(local));
	seen_at = (char *)local;
	CHECK(is_on(&alt, (char *)local));
	CHECK(sigaltstack(NULL, &now) == 0 && now.ss_flags == SS_ONSTACK);
	CHECK(now.ss_sp == alt.ss_sp && now.ss_size == alt.ss_size);
	CHECK(sigaltstack(&other, NULL) < 0 && errno == EPERM);
	CHECK(uc->uc_stack.ss_sp == alt.ss_sp && uc->uc_stack.ss_flags == 0);
	CHECK(raise(SIGUSR2) == 0);
	look_at_paged();
	nr_handled++;
	CHECK(local[0] == (char)sig && local[4095] == (char)sig);
}

static void on_disarmed(int sig, siginfo_t *si, void *context)
{
	char here;
	stack_t now, other = {.ss_sp = paged, .ss_size = 65536};

	(void)sig, (void)si;
	ucontext_t *uc = context;
	CHECK(is_on(&alt, &here));
	CHECK((unsigned)uc->uc_stack.ss_flags == SS_AUTODISARM);
	CHECK(sigaltstack(NULL, &now) == 0 && now.ss_flags == SS_DISABLE);
	CHECK(sigaltstack(&other, NULL) == 0);
	nr_handled++;
}

static void on_normal_stack(int sig, siginfo_t *si, void *context)
{
	char here;

	(void)sig, (void)si, (void)context;
	CHECK(!is_on(&alt, &here));
	nr_handled++;
}

static void test_alternate(int times)
{
	stack_t now, bad = {.ss_sp = paged, .ss_size = 100};

	CHECK(sigaltstack(&bad, NULL) < 0 && errno == ENOMEM);
	bad = (stack_t){.ss_sp = paged, .ss_size = 65536, .ss_flags = 77};
	CHECK(sigaltstack(&bad, NULL) < 0 && errno == EINVAL);
	CHECK(sigaltstack(NULL, &now) == 0 && now.ss_flags == SS_DISABLE);
	for (int i = 0; i < times; i++) {
		set_alt(i % 2 ? malloc(65536) : managed_pages(65536), 65536, 0);
		set_action(SIGUSR1, on_outer, SA_ONSTACK);
		set_action(SIGUSR2, on_inner, i % 3 ? SA_ONSTACK : 0);
		nr_handled = 0;
		CHECK(raise(SIGUSR1) == 0 && nr_handled == 2);
		set_action(SIGUSR1, on_normal_stack, 0);
		CHECK(raise(SIGUSR1) == 0 && nr_handled == 3);
		CHECK(sigaltstack(NULL, &now) == 0 && now.ss_sp == alt.ss_sp && now.ss_flags == 0);
		set_alt(alt.ss_sp, 65536, SS_AUTODISARM);
		set_action(SIGUSR1, on_disarmed, SA_ONSTACK);
		CHECK(raise(SIGUSR1) == 0 && nr_handled == 4);
		CHECK(sigaltstack(NULL, &now) == 0 && now.ss_sp == alt.ss_sp);
		CHECK((unsigned)now.ss_flags == SS_AUTODISARM);
		void *sp = alt.ss_sp;
		set_alt(NULL, 0, SS_DISABLE);
		if (i % 2)
			free(sp);
		else
			munmap(sp, 65536);
	}
}

static void on_sigsys(int sig, siginfo_t *si, void *context)
{
	char here;

	(void)context;
	CHECK(sig == SIGSYS && si->si_pid == getpid() && is_on(&alt, &here));
	CHECK(write(pair[1], paged, 100) == 100 && read(pair[0], paged + 100, 100) == 100);
	nr_handled++;
}

/* The signals that the pager lives on, sent by somebody. */
static void test_sent(int times)
{
	set_alt(managed_pages(65536), 65536, 0);
	set_action(SIGSYS, on_sigsys, SA_ONSTACK);
	nr_handled = 0;
	for (int i = 0; i < times; i++)
		CHECK(raise(SIGSYS) == 0 && nr_handled == i + 1);
	CHECK(signal(SIGSYS, SIG_DFL) != SIG_ERR);
	CHECK(munmap(alt.ss_sp, 65536) == 0);
	set_alt(NULL, 0, SS_DISABLE);
}

/* A runtime that makes the call itself, with nothing managed in sight. */
static void test_raw_alternate(void)
{
	static char area[65536] __attribute__((aligned(16)));
	static stack_t ss = {.ss_sp = area, .ss_size = sizeof(area)};
	static const stack_t none = {.ss_flags = SS_DISABLE};

	alt = ss;
	set_action(SIGUSR1, on_inner, SA_ONSTACK);
	for (int i = 0; i < 10; i++) {
		CHECK(syscall(SYS_sigaltstack, &ss, NULL) == 0);
		look_at_paged();
		seen_at = area + sizeof(area);
		nr_handled = 0;
		CHECK(raise(SIGUSR1) == 0 && nr_handled == 1);
		CHECK(raise(SIGUSR1) == 0 && nr_handled == 2);
		look_at_paged();
	}
	overflow_times(10);
	CHECK(sigaltstack(&none, NULL) == 0);
}

/* --- what a handler sees and changes ------------------------------------------------------- */

static void on_trap(int sig, siginfo_t *si, void *context)
{
	ucontext_t *uc = context;

	(void)sig, (void)si;
	CHECK(fegetround() == FE_TONEAREST); /* a handler begins with the initial state */
	__asm__ volatile("pxor %%xmm5, %%xmm5\n" ::: "xmm5");
	uc->uc_mcontext.gregs[REG_RAX] = 4711;
	uc->uc_mcontext.gregs[REG_RIP] += 2;
	uc->uc_mcontext.fpregs->_xmm[6].element[0] = 815;
	sigaddset(&uc->uc_sigmask, SIGTERM);
	look_at_paged();
}

static void test_context(int times)
{
	set_action(SIGILL, on_trap, 0);
	fesetround(FE_UPWARD);
	for (int i = 0; i < times; i++) {
		long rax, xmm5, xmm6, in = 0x1234567890 + i;
		sigset_t mask;

		__asm__ volatile("movq %3, %%xmm5\n"
		                 "pxor %%xmm6, %%xmm6\n"
		                 "ud2\n"
		                 "movq %%xmm5, %1\n"
		                 "movq %%xmm6, %2\n"
		                 : "=&a"(rax), "=&r"(xmm5), "=&r"(xmm6)
		                 : "r"(in)
		                 : "xmm5", "xmm6");
		CHECK(rax == 4711 && xmm5 == in && (xmm6 & 0xffffffff) == 815);
		CHECK(fegetround() == FE_UPWARD);
		CHECK(sigprocmask(SIG_BLOCK, NULL, &mask) == 0 && sigismember(&mask, SIGTERM));
		sigemptyset(&mask);
		CHECK(sigprocmask(SIG_SETMASK, &mask, NULL) == 0);
	}
	fesetround(FE_TONEAREST);
	CHECK(signal(SIGILL, SIG_DFL) != SIG_ERR);
}

static void on_wild(int sig, siginfo_t *si, void *context)
{
	(void)context;
	CHECK(sig == SIGSEGV && si->si_addr == (void *)0x77 && si->si_code == SEGV_MAPERR);
	nr_handled++;
	if (nr_handled % 8 == 0)
		look_at_paged();
	siglongjmp(jump, 1);
}

static void test_jumps(int times)
{
	set_action(SIGSEGV, on_wild, 0);
	for (volatile int i = 0; i < times; i++)
		if (!sigsetjmp(jump, 1))
			*(volatile char *)0x77 = 1;
	CHECK(signal(SIGSEGV, SIG_DFL) != SIG_ERR);
}

static sigset_t mask_seen[2];
static int order[2];

static void on_pair(int sig, siginfo_t *si, void *context)
{
	(void)si, (void)context;
	CHECK(nr_handled < 2);
	order[nr_handled] = sig;
	pthread_sigmask(SIG_BLOCK, NULL, &mask_seen[nr_handled++]);
}

/* Two at once, let in by the mask of sigsuspend(): both are handled before it returns, the second
 * inside the first, each under sigsuspend's mask and its own. */
static void test_together(int times)
{
	sigset_t both, open, old;

	sigemptyset(&both), sigaddset(&both, SIGUSR1), sigaddset(&both, SIGUSR2);
	sigemptyset(&open), sigaddset(&open, SIGTERM);
	set_action(SIGUSR1, on_pair, 0);
	set_action(SIGUSR2, on_pair, 0);
	CHECK(sigprocmask(SIG_BLOCK, &both, &old) == 0);
	for (int i = 0; i < times; i++) {
		nr_handled = 0;
		CHECK(raise(SIGUSR1) == 0 && raise(SIGUSR2) == 0 && nr_handled == 0);
		CHECK(sigsuspend(&open) < 0 && errno == EINTR && nr_handled == 2);
		CHECK(order[0] == SIGUSR2 && order[1] == SIGUSR1);
		CHECK(sigismember(&mask_seen[0], SIGTERM) && sigismember(&mask_seen[0], SIGUSR1));
		CHECK(sigismember(&mask_seen[0], SIGUSR2));
		CHECK(sigismember(&mask_seen[1], SIGTERM) && sigismember(&mask_seen[1], SIGUSR1));
		CHECK(!sigismember(&mask_seen[1], SIGUSR2));
	}
	CHECK(sigprocmask(SIG_SETMASK, &old, NULL) == 0);
}

/* What is asked for is what is reported, and SA_RESETHAND and SA_NODEFER are the kernel's. */
static void test_actions(void)
{
	struct sigaction act = {.sa_sigaction = on_pair}, old;

	act.sa_flags = (int)(SA_SIGINFO | SA_RESETHAND | SA_NODEFER);
	sigaddset(&act.sa_mask, SIGSEGV), sigaddset(&act.sa_mask, SIGHUP);
	CHECK(sigaction(SIGUSR1, &act, NULL) == 0 && sigaction(SIGUSR1, NULL, &old) == 0);
	/* libc reports SA_RESTORER too. */
	CHECK(old.sa_sigaction == on_pair && (old.sa_flags & ~0x04000000) == act.sa_flags);
	CHECK(sigismember(&old.sa_mask, SIGSEGV) && sigismember(&old.sa_mask, SIGHUP));
	nr_handled = 0;
	CHECK(raise(SIGUSR1) == 0 && nr_handled == 1 && !sigismember(&mask_seen[0], SIGUSR1));
	CHECK(sigaction(SIGUSR1, NULL, &old) == 0 && old.sa_handler == SIG_DFL);
	/* A vfork child's signals are its own. */
	set_action(SIGUSR1, on_pair, 0);
	pid_t pid = vfork();
	if (!pid) {
		signal(SIGUSR1, SIG_DFL);
		_exit(0);
	}
	CHECK(waitpid(pid, NULL, 0) == pid);
	nr_handled = 0;
	CHECK(raise(SIGUSR1) == 0 && nr_handled == 1);
}

static __attribute__((noinline)) void raise_here(void)
{
	raise(SIGUSR1);
	__asm__ volatile("");
}

static bool is_found;

/* Unwinders find their way out of a handler, into whom it interrupted. */
static void on_backtrace(int sig, siginfo_t *si, void *context)
{
	void *frames[64];
	int nr = backtrace(frames, 64);

	(void)sig, (void)si, (void)context;
	for (int i = 0; i < nr; i++)
		is_found |= (char *)frames[i] > (char *)raise_here &&
		            (char *)frames[i] < (char *)raise_here + 64;
}

static void on_exit_thread(int sig, siginfo_t *si, void *context)
{
	(void)sig, (void)si, (void)context;
	pthread_exit(&jump);
}

static volatile bool is_cleaned;

static void clean(void *arg)
{
	(void)arg;
	is_cleaned = true;
}

static void *exit_in_handler(void *arg)
{
	pthread_cleanup_push(clean, arg);
	raise(SIGUSR2);
	pthread_cleanup_pop(0);
	return NULL;
}

static void test_unwinding(void)
{
	pthread_t thread;
	void *result;

	set_action(SIGUSR1, on_backtrace, 0);
	raise_here();
	CHECK(is_found);
	set_action(SIGUSR2, on_exit_thread, 0);
	is_cleaned = false;
	CHECK(pthread_create(&thread, NULL, exit_in_handler, NULL) == 0);
	CHECK(pthread_join(thread, &result) == 0 && result == &jump && is_cleaned);
}

/* --- storms -------------------------------------------------------------------------------- */

static void *fault_on(void *arg)
{
	for (int i = 0; i < 2000 || nr_handled < 20; i++)
		look_at_paged();
	return arg;
}

static void test_storm(void)
{
	pthread_t threads[3];

	set_action(SIGALRM, on_tick, SA_RESTART);
	nr_handled = 0;
	timer(100);
	for (int i = 0; i < 3; i++)
		CHECK(pthread_create(&threads[i], NULL, fault_on, NULL) == 0);
	fault_on(NULL);
	for (int i = 0; i < 3; i++)
		CHECK(pthread_join(threads[i], NULL) == 0);
	timer(0);
	CHECK(nr_handled >= 20);
}

static long mapped_kib(void)
{
	long size = -1;
	FILE *f = fopen("/proc/self/statm", "r");

	CHECK(f && fscanf(f, "%ld", &size) == 1);
	fclose(f);
	return size * 4;
}

/* A thread leaves no stack behind. */
static void test_threads(int times)
{
	long before = 0;

	for (int i = 0; i < times; i++) {
		pthread_t thread;

		if (i == times / 2)
			before = mapped_kib();
		CHECK(pthread_create(&thread, NULL, return_arg, NULL) == 0);
		CHECK(pthread_join(thread, NULL) == 0);
	}
	CHECK(mapped_kib() - before < 2048);
}

int main(int argc, char **argv)
{
	int rounds = argc > 1 ? atoi(argv[1]) : 1;

	CHECK(pipe(pair) == 0);
	paged = managed_pages(BIG_BYTES);
	for (size_t i = 0; i < BIG_BYTES; i++)
		paged[i] = pattern(i / 4096);
	for (int i = 0; i < rounds; i++) {
		test_coroutines(0);
		test_coroutines(1000);
		test_setxid();
		test_jumping_out(2000);
		test_exit_on_coroutine();
		test_overflow(1000);
		test_alternate(100);
		test_raw_alternate();
		test_sent(100);
		test_context(1000);
		test_jumps(5000);
		test_together(100);
		test_actions();
		test_unwinding();
		test_storm();
		test_threads(1000);
	}
	return 0;
}
