// SPDX-License-Identifier: MIT
/*
 * A handler that leaves a blocked system call by siglongjmp(), 100,000 times: buffers, pins,
 * descriptors, memory and both stacks are where they were, and calls go on working.
 */
#include "prog.h"

#include <dirent.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define BIG_BYTES  ((size_t)400 << 10) /* needs a mapping of its own */
#define WORK_BYTES ((size_t)2 << 20)
#define ALT_BYTES  ((size_t)64 << 10)
#define NR_WAYS    7

static sigjmp_buf jump;
static char *buffer, *pages;
static int fds[2];

static void jump_away(int sig)
{
	siglongjmp(jump, sig);
}

static void set(bool is_on_alternate)
{
	struct sigaction act = {
	    .sa_handler = jump_away,
	    .sa_flags = is_on_alternate ? SA_ONSTACK : 0,
	};

	CHECK(sigaction(SIGALRM, &act, NULL) == 0);
}

static void block(int way)
{
	struct iovec v[2] = {{buffer, 100}, {buffer + 9000, 1000}};
	struct msghdr m = {.msg_iov = v, .msg_iovlen = 2};
	struct pollfd *p = (struct pollfd *)(buffer + 64);
	struct timespec *ts = (struct timespec *)buffer;

	switch (way) {
	case 0:
		CHECK(read(fds[0], buffer, 100) < 0);
		break;
	case 1:
		CHECK(read(fds[0], buffer, BIG_BYTES) < 0);
		break;
	case 2:
		CHECK(recvmsg(fds[0], &m, 0) < 0);
		break;
	case 3:
		*p = (struct pollfd){.fd = fds[0], .events = POLLIN};
		poll(p, 1, -1);
		break;
	case 4:
		*ts = (struct timespec){100, 0};
		nanosleep(ts, ts + 1);
		break;
	case 5:
		*(int *)buffer = 3;
		syscall(SYS_futex, buffer, 0, 3, NULL, NULL, 0);
		break;
	default:
		CHECK(recv(fds[0], buffer + 5000, 70000, 0) < 0);
		break;
	}
}

static void jump_times(int times)
{
	struct itimerval once = {.it_value.tv_usec = 30};

	for (volatile int i = 0; i < times; i++) {
		if (i % 1000 == 0)
			set(i / 1000 % 2);
		if (!sigsetjmp(jump, 1)) {
			CHECK(setitimer(ITIMER_REAL, &once, NULL) == 0);
			for (;;)
				block(i % NR_WAYS);
		}
	}
}

static void statm(long *ret_size, long *ret_resident)
{
	FILE *f = fopen("/proc/self/statm", "r");

	CHECK(f && fscanf(f, "%ld %ld", ret_size, ret_resident) == 2);
	fclose(f);
}

static int nr_descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int nr = 0;

	CHECK(dir);
	while (readdir(dir))
		nr++;
	closedir(dir);
	return nr;
}

/* With pages that somebody still holds, there would be no room for these. */
static void use_all(void)
{
	for (int round = 1; round < 4; round++) {
		for (size_t i = 0; i < WORK_BYTES; i += 4096)
			memset(pages + i, (int)(i >> 12) + round, 4096);
		for (size_t i = 0; i < WORK_BYTES; i += 512)
			CHECK(pages[i] == (char)((i >> 12) + (size_t)round));
	}
}

static void exchange(void)
{
	char *out = pages, *in = buffer;
	size_t done = 0;

	fill_random(out, 100000, 5);
	CHECK(send(fds[1], out, 100000, 0) == 100000);
	while (done < 100000) {
		ssize_t n = read(fds[0], in + done, 100000 - done);

		CHECK(n > 0);
		done += (size_t)n;
	}
	CHECK(!memcmp(in, out, 100000));
}

int main(int argc, char **argv)
{
	int times = argc > 1 ? atoi(argv[1]) : 100000;
	stack_t alt = {.ss_sp = managed_pages(ALT_BYTES), .ss_size = ALT_BYTES}, now;
	long size, resident, size_after, resident_after;

	buffer = managed_pages(BIG_BYTES);
	pages = managed_pages(WORK_BYTES);
	CHECK(sigaltstack(&alt, NULL) == 0);
	CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0);
	use_all();
	jump_times(times / 20);
	use_all();
	statm(&size, &resident);
	int nr_fds = nr_descriptors();
	jump_times(times);
	CHECK(sigaltstack(NULL, &now) == 0 && now.ss_sp == alt.ss_sp && now.ss_flags == 0);
	CHECK(nr_descriptors() == nr_fds);
	use_all();
	statm(&size_after, &resident_after);
	CHECK((size_after - size) * 4 < 1024 && (resident_after - resident) * 4 < 2048);
	exchange();
	return 0;
}
