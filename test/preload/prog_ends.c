// SPDX-License-Identifier: MIT
/*
 * Calls that come to the end of the program's memory before they are done, copies within one
 * process that are larger than RAM, and a child that was to share its parent's descriptors.
 */
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "prog.h"

#define PAGE  4096ul
#define LARGE (4ul << 20)

static char *map(size_t bytes)
{
	char *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(p != MAP_FAILED);
	return p;
}

/* The end of a mapping, which is the beginning of a hole. */
static char *map_end(void)
{
	char *p = map(1 << 20) + (512 << 10);

	CHECK(munmap(p, PAGE) == 0);
	return p;
}

static void test_pipe(void)
{
	char *end = map_end(), in[100], *out = map(65536);
	int p[2];

	CHECK(pipe2(p, O_NONBLOCK) == 0 && write(p[1], "0123456789", 10) == 10);
	CHECK(read(p[0], end - 3, 10) == -1 && errno == EFAULT);
	CHECK(read(p[0], in, sizeof(in)) == 10 && !memcmp(in, "0123456789", 10));
	/* Where what there is fits, the rest is not missed. */
	CHECK(write(p[1], "0123456789", 10) == 10 && read(p[0], end - 10, 100) == 10);
	CHECK(!memcmp(end - 10, "0123456789", 10));
	memset(out, 7, 65536);
	CHECK(write(p[1], out, 65536) == 65536);
	CHECK(read(p[0], end - 16384, 65536) == 16384 && read(p[0], out, 65536) == 49152);
	for (int i = 0; i < 49152; i++)
		CHECK(out[i] == 7);
	CHECK(write(p[1], end - 96, 4000) == -1 && errno == EFAULT);
	CHECK(read(p[0], in, sizeof(in)) == -1 && errno == EAGAIN);
	CHECK(write(p[1], end - 96, 96) == 96 && read(p[0], in, sizeof(in)) == 96);
	CHECK(read(p[0], out, (size_t)-1) == -1 && errno == EFAULT);
	CHECK(read(-1, out, (size_t)-1) == -1 && errno == EBADF);
	struct iovec v[2] = {{in, 4}, {end - 4, 8}};
	CHECK(write(p[1], "0123456789", 10) == 10 && readv(p[0], v, 2) == -1 && errno == EFAULT);
	CHECK(read(p[0], in, sizeof(in)) == 10 && !memcmp(in, "0123456789", 10));
	close(p[0]), close(p[1]);
}

static void test_socket(int type)
{
	char *end = map_end(), in[100];
	int s[2];

	CHECK(socketpair(AF_UNIX, type | SOCK_NONBLOCK, 0, s) == 0);
	CHECK(send(s[1], "0123456789", 10, 0) == 10);
	CHECK(recv(s[0], end - 3, 10, 0) == -1 && errno == EFAULT);
	ssize_t n = recv(s[0], in, sizeof(in), 0);
	CHECK(type == SOCK_STREAM ? n == 10 && !memcmp(in, "0123456789", 10)
	                          : n == -1 && errno == EAGAIN);
	CHECK(send(s[1], end - 3, 10, 0) == -1 && errno == EFAULT);
	CHECK(recv(s[0], in, sizeof(in), 0) == -1 && errno == EAGAIN);
	struct iovec v[2] = {{in, 4}, {end - 4, 8}};
	struct msghdr m = {.msg_iov = v, .msg_iovlen = 2};
	CHECK(sendmsg(s[1], &m, 0) == -1 && errno == EFAULT);
	CHECK(send(s[1], "0123456789", 10, 0) == 10);
	CHECK(recvmsg(s[0], &m, 0) == -1 && errno == EFAULT);
	n = recv(s[0], in, sizeof(in), 0);
	CHECK(type == SOCK_STREAM ? n == 10 && !memcmp(in, "0123456789", 10)
	                          : n == -1 && errno == EAGAIN);
	CHECK(send(s[1], "01234567", 8, 0) == 8);
	CHECK(recvmsg(s[0], &m, 0) == 8 && !memcmp(in, "0123", 4) && !memcmp(end - 4, "4567", 4));
	close(s[0]), close(s[1]);
}

static void fill(long *p, long seed)
{
	for (size_t i = 0; i < LARGE / sizeof(*p); i++)
		p[i] = (long)i * 2654435761 + seed;
}

static void check(const long *p, long seed)
{
	for (size_t i = 0; i < LARGE / sizeof(*p); i++)
		CHECK(p[i] == (long)i * 2654435761 + seed);
}

static void test_copy_within(void)
{
	char *a = map(LARGE), *b = map(LARGE), *end = map_end();
	struct iovec from = {a, LARGE}, to[2] = {{b, LARGE / 2 + 5}, {b + LARGE / 2 + 5, LARGE}};

	to[1].iov_len = LARGE / 2 - 5;
	fill((long *)a, 1);
	fill((long *)b, 2);
	CHECK(process_vm_writev(getpid(), &from, 1, to, 2, 0) == (ssize_t)LARGE);
	check((long *)b, 1);
	fill((long *)a, 3);
	CHECK(process_vm_readv(getpid(), to, 2, &from, 1, 0) == (ssize_t)LARGE);
	check((long *)b, 3);
	from = (struct iovec){end, 8};
	CHECK(process_vm_readv(getpid(), to, 1, &from, 1, 0) == -1 && errno == EFAULT);
	from = (struct iovec){a, 8};
	CHECK(process_vm_readv(getpid(), to, 1, &from, 1, 1) == -1 && errno == EINVAL);
	CHECK(munmap(a, LARGE) == 0 && munmap(b, LARGE) == 0);
}

static int write_all(void *at)
{
	check(at, 8);
	fill(at, 9);
	check(at, 9);
	return 7;
}

/* The flags say that there are no more arguments: these are what registers may hold by chance. */
static pid_t clone_with(void *leavings, void *stack, void *arg)
{
	return clone(
	    write_all, stack, CLONE_FILES | CLONE_FS | SIGCHLD, arg, leavings, leavings, leavings);
}

static void test_shared_table(void)
{
	static char stack[1 << 16];
	char *a = map(LARGE);
	int status;

	fill((long *)a, 8);
	for (int i = 0; i < 3; i++) {
		pid_t pid = clone_with(a, stack + (1 << 16), a);

		CHECK(pid > 0 && waitpid(pid, &status, 0) == pid && WEXITSTATUS(status) == 7);
		check((long *)a, 8);
	}
	CHECK(munmap(a, LARGE) == 0);
}

int main(void)
{
	test_pipe();
	test_socket(SOCK_STREAM);
	test_socket(SOCK_DGRAM);
	test_copy_within();
	test_shared_table();
	return 0;
}
