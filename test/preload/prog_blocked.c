// SPDX-License-Identifier: MIT
/*
 * Threads that block in system calls on paged buffers while others page: they hold up nobody, and
 * hold nothing. NR_BLOCKED of them, each with a buffer of its own, is far more than there are
 * frames for: were the buffers kept in frames for as long as the calls block, nobody could go on.
 */
#include "prog.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define NR_BLOCKED   64
#define NR_PAGING    2
#define BUFFER_BYTES ((size_t)160 << 10)
#define WORK_BYTES   ((size_t)3 << 20)
#define PAGE         4096u

enum how {
	HOW_READ,
	HOW_RECV,
	HOW_READV,
	HOW_RECVMSG,
	HOW_POLL,
	NR_HOW,
};

struct blocked {
	pthread_t thread;
	enum how how;
	int fds[2];
	size_t bytes; /* to come */
	unsigned char *buffer;
	_Atomic pid_t tid;
	_Atomic bool is_done;
	uint64_t seed;
};

static struct blocked all[NR_BLOCKED];
static _Atomic bool is_over;
static _Atomic unsigned long nr_touched;

static ssize_t receive(struct blocked *b, size_t at)
{
	void *to = b->buffer + at;
	size_t left = b->bytes - at;
	struct iovec v[2] = {{to, left / 2}, {(char *)to + left / 2, left - left / 2}};
	struct msghdr m = {.msg_iov = v, .msg_iovlen = 2};
	struct pollfd *p = (struct pollfd *)b->buffer;

	switch (b->how) {
	case HOW_READ:
		return read(b->fds[0], to, left);
	case HOW_RECV:
		return recv(b->fds[0], to, left, 0);
	case HOW_READV:
		return readv(b->fds[0], v, 2);
	case HOW_RECVMSG:
		return recvmsg(b->fds[0], &m, 0);
	default:
		if (!at) {
			*p = (struct pollfd){.fd = b->fds[0], .events = POLLIN};
			CHECK(poll(p, 1, -1) == 1 && p->revents == POLLIN);
		}
		return read(b->fds[0], to, left);
	}
}

static void *block(void *arg)
{
	struct blocked *b = arg;

	/* What is absent when the call blocks must not be missing when it ends. */
	memset(b->buffer, 0x33, BUFFER_BYTES);
	b->tid = (pid_t)syscall(SYS_gettid);
	for (size_t at = 0; at < b->bytes;) {
		ssize_t n = receive(b, at);

		CHECK(n > 0);
		at += (size_t)n;
	}
	b->is_done = true;
	return NULL;
}

static void *work(void *arg)
{
	unsigned char *mem = managed_pages(WORK_BYTES);
	unsigned round = 0;

	(void)arg;
	while (!is_over) {
		round++;
		for (size_t at = 0; at < WORK_BYTES; at += PAGE) {
			CHECK(round == 1 || mem[at] == (unsigned char)(at / PAGE + round - 1));
			mem[at] = (unsigned char)(at / PAGE + round);
			nr_touched++;
		}
	}
	munmap(mem, WORK_BYTES);
	return NULL;
}

/* Whether the thread sleeps in the kernel. */
static bool is_asleep(pid_t tid)
{
	char path[64], line[512];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", tid);
	f = fopen(path, "r");
	CHECK(f && fgets(line, sizeof(line), f));
	fclose(f);
	const char *state = strrchr(line, ')');
	return state && state[1] == ' ' && state[2] == 'S';
}

static void start(struct blocked *b, size_t i)
{
	b->how = (enum how)(i % NR_HOW);
	b->bytes = i % 3 ? BUFFER_BYTES : 5000 + i;
	b->seed = i;
	b->is_done = false;
	b->tid = 0;
	b->buffer = managed_pages(BUFFER_BYTES);
	if (b->how == HOW_RECV || b->how == HOW_RECVMSG)
		CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, b->fds) == 0);
	else
		CHECK(pipe(b->fds) == 0);
	CHECK(pthread_create(&b->thread, NULL, block, b) == 0);
}

static void wait_until_blocked(void)
{
	for (size_t i = 0; i < NR_BLOCKED; i++)
		while (!all[i].tid || !is_asleep(all[i].tid)) {
			CHECK(!all[i].is_done);
			usleep(1000);
		}
}

static void finish(struct blocked *b)
{
	unsigned char *data = malloc(b->bytes);

	fill_random(data, b->bytes, b->seed);
	for (size_t done = 0; done < b->bytes;) {
		ssize_t n = write(b->fds[1], data + done, b->bytes - done);

		CHECK(n > 0);
		done += (size_t)n;
	}
	CHECK(pthread_join(b->thread, NULL) == 0 && !memcmp(b->buffer, data, b->bytes));
	for (size_t i = b->bytes; i < BUFFER_BYTES; i++)
		CHECK(b->buffer[i] == 0x33);
	free(data);
	close(b->fds[0]), close(b->fds[1]);
	munmap(b->buffer, BUFFER_BYTES);
}

static void run(void)
{
	pthread_t threads[NR_PAGING];

	for (size_t i = 0; i < NR_BLOCKED; i++)
		start(&all[i], i);
	wait_until_blocked();
	is_over = false;
	for (int i = 0; i < NR_PAGING; i++)
		CHECK(pthread_create(&threads[i], NULL, work, NULL) == 0);
	/* All of the memory of both, several times over, while everybody is blocked. */
	unsigned long goal = nr_touched + 6 * NR_PAGING * (WORK_BYTES / PAGE);
	while (nr_touched < goal)
		usleep(1000);
	for (size_t i = 0; i < NR_BLOCKED; i++)
		CHECK(!all[i].is_done);
	for (size_t i = NR_BLOCKED; i-- > 0;)
		finish(&all[i]);
	is_over = true;
	for (int i = 0; i < NR_PAGING; i++)
		CHECK(pthread_join(threads[i], NULL) == 0);
}

int main(int argc, char **argv)
{
	int rounds = argc > 1 ? atoi(argv[1]) : 2;

	for (int i = 0; i < rounds; i++)
		run();
	return 0;
}
