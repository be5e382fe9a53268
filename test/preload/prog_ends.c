// SPDX-License-Identifier: MIT
/*
 * Calls that come to the end of the program's memory before they are done, copies within one
 * process that are larger than RAM, and a child that was to share its parent's descriptors.
 */
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "prog.h"

#define PAGE        4096ul
#define LARGE       (4ul << 20)
#define MIN_MANAGED (64ul << 10)

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

/* What ends the memory is another mapping, whose protection the kernel alone looks at. */
static void test_other_ends(void)
{
	int p[2], null = open("/dev/null", O_RDONLY);
	char *end = map_end(), in[100];

	CHECK(null >= 0 && pipe2(p, O_NONBLOCK) == 0);
	CHECK(mmap(end, PAGE, PROT_READ, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == end);
	CHECK(write(p[1], "0123456789", 10) == 10);
	CHECK(read(p[0], end - 3, 10000) == -1 && errno == EFAULT);
	struct iovec v[2] = {{end - 100, 4}, {NULL, 8}};
	CHECK(readv(p[0], v, 2) == -1 && errno == EFAULT);
	CHECK(read(p[0], in, sizeof(in)) == 10 && !memcmp(in, "0123456789", 10));
	CHECK(writev(p[1], v, 2) == -1 && errno == EFAULT);
	CHECK(read(p[0], in, sizeof(in)) == -1 && errno == EAGAIN);
	v[1] = (struct iovec){end - 1, 1};
	CHECK(vmsplice(null, v, 2, 0) == -1 && errno == EBADF);
	close(p[0]), close(p[1]), close(null);
}

static void test_file_offset(void)
{
	char name[] = "/tmp/faultline-ends.XXXXXX", *end = map_end(), *all = map(1 << 20);
	int fd = mkstemp(name);

	CHECK(fd >= 0 && unlink(name) == 0);
	for (int i = 0; i < 1 << 20; i++)
		all[i] = (char)(i * 7 + i / 251);
	CHECK(write(fd, all, 1 << 20) == 1 << 20);
	for (size_t len = 40000; len < 1 << 20; len *= 2) {
		CHECK(lseek(fd, 600000, SEEK_SET) == 600000);
		CHECK(read(fd, end - 5000, len) == 5000 && lseek(fd, 0, SEEK_CUR) == 605000);
		CHECK(!memcmp(end - 5000, all + 600000, 5000));
		CHECK(read(fd, end, len) == -1 && errno == EFAULT);
		CHECK(lseek(fd, 0, SEEK_CUR) == 605000);
	}
	CHECK(munmap(all, 1 << 20) == 0);
	close(fd);
}

static void test_names(void)
{
	char *end = map_end(), *buf = map(1 << 20), in[200];
	struct sockaddr_un *name = (struct sockaddr_un *)(buf + PAGE);
	socklen_t *bytes = (socklen_t *)buf;
	int s[2];

	CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, s) == 0);
	CHECK(send(s[1], "0123456789", 10, 0) == 10);
	*bytes = sizeof(*name);
	CHECK(recvfrom(s[0], end - 3, 10, 0, (struct sockaddr *)name, bytes) == -1);
	CHECK(errno == EFAULT && *bytes == sizeof(*name));
	*bytes = INT_MAX;
	CHECK(recvfrom(s[0], buf + 100, 8, MSG_TRUNC, (struct sockaddr *)name, bytes) == 8);
	CHECK(*bytes == 0 && !memcmp(buf + 100, "01234567", 8));
	*bytes = INT_MAX;
	CHECK(getsockname(s[0], (struct sockaddr *)name, bytes) == 0 && *bytes == 2);
	CHECK(name->sun_family == AF_UNIX && recv(s[0], in, sizeof(in), 0) == 2);
	close(s[0]), close(s[1]);
}

/* The first that is wrong ends the call, the ones before it are sent. */
static void test_several(void)
{
	char *end = map_end(), in[100];
	struct iovec v[3] = {{end - 10, 10}, {end - 3, 10}, {end - 20, 10}};
	struct mmsghdr m[3] = {{.msg_hdr = {.msg_iov = &v[0], .msg_iovlen = 1}},
	    {.msg_hdr = {.msg_iov = (struct iovec *)8, .msg_iovlen = 1}},
	    {.msg_hdr = {.msg_iov = &v[2], .msg_iovlen = 1}}};
	int s[2];

	CHECK(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, s) == 0);
	CHECK(sendmmsg(s[1], m, 3, 0) == 1 && recv(s[0], in, sizeof(in), 0) == 10);
	m[1].msg_hdr.msg_iov = &v[1];
	CHECK(sendmmsg(s[1], m, 3, 0) == 1 && recv(s[0], in, sizeof(in), 0) == 10);
	CHECK(recv(s[0], in, sizeof(in), 0) == -1 && errno == EAGAIN);
	m[1].msg_hdr.msg_iov = (struct iovec *)8;
	CHECK(sendmmsg(s[1], m + 1, 2, 0) == -1 && errno == EFAULT);
	close(s[0]), close(s[1]);
}

static int tcp_pair(int s[2])
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t bytes = sizeof(at);
	int l = socket(AF_INET, SOCK_STREAM, 0);

	s[1] = socket(AF_INET, SOCK_STREAM, 0);
	if (bind(l, (struct sockaddr *)&at, bytes) || listen(l, 1) ||
	    getsockname(l, (struct sockaddr *)&at, &bytes) ||
	    connect(s[1], (struct sockaddr *)&at, bytes))
		return -1;
	s[0] = accept(l, NULL, NULL);
	close(l);
	return s[0];
}

/* TCP throws away what is received so, and leaves the memory alone. */
static void test_thrown_away(void)
{
	char *buf = map(1 << 20), sent[200];
	struct iovec one = {buf, 50};
	struct msghdr m = {.msg_iov = &one, .msg_iovlen = 1};
	int s[2];

	CHECK(tcp_pair(s) >= 0);
	memset(buf, 'a', 100);
	memset(sent, 'b', sizeof(sent));
	CHECK(send(s[1], sent, 200, 0) == 200);
	CHECK(
	    recv(s[0], buf, 50, MSG_TRUNC | MSG_WAITALL) == 50 && buf[0] == 'a' && buf[49] == 'a');
	CHECK(recvmsg(s[0], &m, MSG_TRUNC | MSG_WAITALL) == 50 && buf[0] == 'a' && buf[49] == 'a');
	CHECK(recv(s[0], buf, 50, MSG_WAITALL) == 50 && buf[0] == 'b' && buf[49] == 'b');
	close(s[0]), close(s[1]);
}

static _Atomic bool is_over;

static void *map_and_unmap(void *unused)
{
	char *p[64];

	for (unsigned i = 0; !atomic_load(&is_over); i++) {
		char **at = &p[i % 64];

		if (i >= 64)
			CHECK(munmap(*at, 2 * MIN_MANAGED) == 0);
		*at = map(2 * MIN_MANAGED);
		/* A region of its own. */
		CHECK(mprotect(*at + MIN_MANAGED, MIN_MANAGED, PROT_READ) == 0);
	}
	return unused;
}

/* Memory has no end where others map and unmap elsewhere. */
static void test_no_end(void)
{
	char *many[1000], *buf = map(1 << 20);
	pthread_t other;
	int p[2];

	for (int i = 0; i < 1000; i++) {
		many[i] = map(2 * MIN_MANAGED);
		CHECK(mprotect(many[i], MIN_MANAGED, PROT_READ) == 0);
	}
	CHECK(pipe(p) == 0 && pthread_create(&other, NULL, map_and_unmap, NULL) == 0);
	for (int i = 0; i < 5000; i++) {
		CHECK(write(p[1], buf, 8192) == 8192);
		CHECK(read(p[0], buf + 8192, 8192) == 8192);
	}
	atomic_store(&is_over, true);
	CHECK(pthread_join(other, NULL) == 0);
	for (int i = 0; i < 1000; i++)
		CHECK(munmap(many[i], 2 * MIN_MANAGED) == 0);
	close(p[0]), close(p[1]);
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
	test_other_ends();
	test_file_offset();
	test_names();
	test_several();
	test_thrown_away();
	test_no_end();
	test_copy_within();
	test_shared_table();
	return 0;
}
