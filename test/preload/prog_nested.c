// SPDX-License-Identifier: MIT
/* Calls whose structures, on the stack, point to managed memory; and structures that are managed.
 */
#include "prog.h"

#include <fcntl.h>
#include <linux/errqueue.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <stdbool.h>
#include <unistd.h>

#define PIECES 7

static size_t total(const struct iovec *v)
{
	size_t n = 0;

	for (int i = 0; i < PIECES; i++)
		n += v[i].iov_len;
	return n;
}

static void cut(struct iovec *v, uint64_t seed, size_t each)
{
	for (int i = 0; i < PIECES; i++) {
		size_t n = i == 3 ? 0 : next_random(&seed) % each + 1;

		v[i] = (struct iovec){.iov_base = (char *)managed(n + 32) + i, .iov_len = n};
		fill_random(v[i].iov_base, n, seed);
	}
}

static void flatten(const struct iovec *v, char *flat)
{
	for (int i = 0; i < PIECES; i++) {
		memcpy(flat, v[i].iov_base, v[i].iov_len);
		flat += v[i].iov_len;
	}
}

static void compare(const struct iovec *a, const struct iovec *b)
{
	size_t n = total(a);
	char *x = malloc(n), *y = malloc(n);

	CHECK(total(b) == n);
	flatten(a, x);
	flatten(b, y);
	CHECK(!memcmp(x, y, n));
	free(x), free(y);
}

static void clear(struct iovec *v)
{
	for (int i = 0; i < PIECES; i++)
		memset(v[i].iov_base, 0, v[i].iov_len);
}

static void test_file(size_t each, bool managed_array)
{
	char path[] = "/tmp/prog_nested.XXXXXX";
	struct iovec stack_out[PIECES], stack_in[PIECES];
	struct iovec *out = managed_array ? managed(sizeof(stack_out)) : stack_out;
	struct iovec *in = managed_array ? managed(sizeof(stack_in)) : stack_in;
	int fd = mkstemp(path);

	CHECK(fd >= 0 && unlink(path) == 0);
	cut(out, 12345 + each, each);
	cut(in, 12345 + each, each);
	ssize_t n = (ssize_t)total(out);
	CHECK(writev(fd, out, PIECES) == n && lseek(fd, 0, SEEK_SET) == 0);
	clear(in);
	CHECK(readv(fd, in, PIECES) == n);
	compare(out, in);
	CHECK(pwritev(fd, out, PIECES, 1001) == n);
	clear(in);
	CHECK(preadv(fd, in, PIECES, 1001) == n);
	compare(out, in);
	CHECK(pwritev2(fd, out, PIECES, 77, RWF_SYNC) == n);
	clear(in);
	CHECK(preadv2(fd, in, PIECES, 77, 0) == n);
	compare(out, in);
	CHECK(lseek(fd, 77, SEEK_SET) == 77);
	clear(in);
	CHECK(preadv2(fd, in, PIECES, -1, 0) == n && lseek(fd, 0, SEEK_CUR) == 77 + n);
	compare(out, in);
	CHECK(syscall(SYS_preadv, fd, in, PIECES, 77, 0) == n || !managed_array);
	close(fd);
}

/* A descriptor travels along, so that control messages are seen to work. */
static void test_messages(bool managed_header, int type)
{
	int sv[2], passed[2];
	struct iovec out[PIECES], in[PIECES];
	struct msghdr on_stack[2], *m = managed_header ? managed(sizeof(on_stack)) : on_stack;
	size_t space = CMSG_SPACE(sizeof(int));
	char *control = managed(space), *back = managed(space);

	CHECK(socketpair(AF_UNIX, type, 0, sv) == 0 && pipe(passed) == 0);
	cut(out, 4711, 9000);
	cut(in, 4711, 9000);
	clear(in);
	m[0] = (struct msghdr){
	    .msg_iov = out, .msg_iovlen = PIECES, .msg_control = control, .msg_controllen = space};
	struct cmsghdr *c = CMSG_FIRSTHDR(&m[0]);
	c->cmsg_level = SOL_SOCKET, c->cmsg_type = SCM_RIGHTS, c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &passed[1], sizeof(int));
	CHECK(sendmsg(sv[0], &m[0], 0) == (ssize_t)total(out));
	m[1] = (struct msghdr){.msg_iov = in,
	    .msg_iovlen = PIECES,
	    .msg_control = back,
	    .msg_controllen = space,
	    .msg_flags = 0x7777};
	CHECK(recvmsg(sv[1], &m[1], 0) == (ssize_t)total(out));
	compare(out, in);
	c = CMSG_FIRSTHDR(&m[1]);
	CHECK(c && c->cmsg_type == SCM_RIGHTS && !(m[1].msg_flags & 0x7777));
	int fd;
	memcpy(&fd, CMSG_DATA(c), sizeof(int));
	CHECK(write(fd, "y", 1) == 1 && read(passed[0], control, 1) == 1 && *control == 'y');
	close(fd), close(sv[0]), close(sv[1]), close(passed[0]), close(passed[1]);
}

static void test_many_messages(void)
{
	enum { NR = 20 };
	int sv[2];
	struct mmsghdr out[NR] = {0}, in[NR] = {0};
	struct iovec a[NR], b[NR];

	CHECK(socketpair(AF_UNIX, SOCK_DGRAM, 0, sv) == 0);
	for (int i = 0; i < NR; i++) {
		a[i] = (struct iovec){.iov_base = managed(3000), .iov_len = (size_t)i * 100 + 1};
		b[i] = (struct iovec){.iov_base = managed(3000), .iov_len = 3000};
		fill_random(a[i].iov_base, a[i].iov_len, (uint64_t)i + 1);
		out[i].msg_hdr = (struct msghdr){.msg_iov = &a[i], .msg_iovlen = 1};
		in[i].msg_hdr = (struct msghdr){.msg_iov = &b[i], .msg_iovlen = 1};
	}
	int sent = sendmmsg(sv[0], out, NR, MSG_DONTWAIT);
	CHECK(sent > 2 && out[2].msg_len == 201);
	struct timespec ts = {1, 0};
	CHECK(recvmmsg(sv[1], in, (unsigned)sent, 0, &ts) == sent);
	for (int i = 0; i < sent; i++) {
		CHECK(in[i].msg_len == a[i].iov_len);
		CHECK(!memcmp(a[i].iov_base, b[i].iov_base, in[i].msg_len));
	}
	close(sv[0]), close(sv[1]);
}

static void test_process_vm(void)
{
	size_t n = 300000;
	char *from = managed(n), *to = managed(n);
	struct iovec local = {to, n}, remote = {from, n};

	fill_random(from, n, 3);
	ssize_t got = process_vm_readv(getpid(), &local, 1, &remote, 1, 0);
	if (got < 0)
		return;
	/* The kernel may stop early in memory that goes away; what it read must be right. */
	CHECK(got > 0 && !memcmp(from, to, (size_t)got));
}

static void test_splice(void)
{
	int p[2];
	char *data = managed(5000), *back = managed(5000);
	struct iovec v = {data, 5000}, w = {back, 5000};

	CHECK(pipe(p) == 0);
	fill_random(data, 5000, 8);
	CHECK(vmsplice(p[1], &v, 1, 0) == 5000);
	CHECK(read(p[0], back, 5000) == 5000 && !memcmp(data, back, 5000));
	CHECK(vmsplice(p[1], &v, 1, 0) == 5000);
	memset(back, 0, 5000);
	CHECK(vmsplice(p[0], &w, 1, 0) == 5000 && !memcmp(data, back, 5000));
	close(p[0]), close(p[1]);
}

/* The kernel sends from the pages themselves, after the call too, and says when it is done. */
static void test_zerocopy(int type)
{
	size_t n = type == SOCK_DGRAM ? 60000 : 1 << 20;
	char *data = managed(3 * n), *back = managed(n), control[512];
	struct sockaddr_in *name = managed(sizeof(*name));
	socklen_t length = sizeof(*name);
	int on = 1, to = socket(AF_INET, type, 0), from = socket(AF_INET, type, 0);
	struct iovec v = {data, n};
	struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1};
	struct mmsghdr many = {.msg_hdr = m};
	unsigned nr_sends = 0, nr_done = 0;
	const int flags = MSG_ZEROCOPY | MSG_DONTWAIT; /* nobody reads meanwhile: a part, then */

	memset(name, 0, sizeof(*name));
	name->sin_family = AF_INET;
	name->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	CHECK(!bind(to, (struct sockaddr *)name, sizeof(*name)));
	CHECK(!getsockname(to, (struct sockaddr *)name, &length));
	if (type == SOCK_STREAM)
		CHECK(!listen(to, 1));
	CHECK(!connect(from, (struct sockaddr *)name, sizeof(*name)));
	if (type == SOCK_STREAM) {
		int accepted = accept(to, NULL, NULL);

		CHECK(accepted >= 0);
		close(to);
		to = accepted;
	}
	if (setsockopt(from, SOL_SOCKET, SO_ZEROCOPY, &on, sizeof(on)))
		return; /* a kernel without it */
	fill_random(data, 3 * n, 12);
	for (int i = 0; i < 3; i++) {
		for (size_t sent = 0, got = 0; sent < n; got = 0) {
			ssize_t part;

			v = (struct iovec){data + (size_t)i * n + sent, n - sent};
			many.msg_hdr = m;
			if (i == 0)
				part = sendmsg(from, &m, flags);
			else if (i == 1)
				part = sendto(from, v.iov_base, v.iov_len, flags,
				    type == SOCK_DGRAM ? (struct sockaddr *)name : NULL,
				    type == SOCK_DGRAM ? length : 0);
			else
				part = sendmmsg(from, &many, 1, flags) == 1 ? (ssize_t)many.msg_len
				                                            : -1;
			CHECK(part > 0);
			nr_sends++;
			while (got < (size_t)part) {
				ssize_t r = recv(to, back + got, (size_t)part - got, 0);

				CHECK(r > 0);
				got += (size_t)r;
			}
			CHECK(!memcmp(back, v.iov_base, got));
			sent += got;
		}
	}
	while (nr_done < nr_sends) {
		struct msghdr note = {.msg_control = control, .msg_controllen = sizeof(control)};
		struct pollfd p = {.fd = from};
		struct sock_extended_err e;

		CHECK(poll(&p, 1, 10000) == 1 && recvmsg(from, &note, MSG_ERRQUEUE) == 0);
		memcpy(&e, CMSG_DATA(CMSG_FIRSTHDR(&note)), sizeof(e));
		CHECK(e.ee_origin == SO_EE_ORIGIN_ZEROCOPY && e.ee_info == nr_done);
		nr_done = e.ee_data + 1;
	}
	close(to), close(from);
}

static void test_bad_addresses(void)
{
	struct iovec v[2] = {{managed(100), 100}, {(void *)16, 100}};
	struct msghdr m = {.msg_iov = v, .msg_iovlen = 2};
	int p[2], sv[2];

	CHECK(pipe(p) == 0 && socketpair(AF_UNIX, SOCK_DGRAM, 0, sv) == 0);
	CHECK(writev(p[1], &v[1], 1) < 0 && errno == EFAULT);
	CHECK(readv(p[0], (struct iovec *)16, 2) < 0 && errno == EFAULT);
	CHECK(sendmsg(sv[0], &m, 0) < 0 && errno == EFAULT);
	CHECK(sendmsg(sv[0], (struct msghdr *)16, 0) < 0 && errno == EFAULT);
	m.msg_iovlen = 5000;
	CHECK(sendmsg(sv[0], &m, 0) < 0 && errno == EMSGSIZE);
	CHECK(readv(p[0], v, -1) < 0 && errno == EINVAL);
	v[1].iov_len = (size_t)-1;
	CHECK(writev(p[1], v, 2) < 0 && errno == EINVAL);
	close(p[0]), close(p[1]), close(sv[0]), close(sv[1]);
}

static void test_interfaces(void)
{
	struct ifreq *list = managed(40 * sizeof(*list));
	struct ifconf conf = {.ifc_len = (int)(40 * sizeof(*list)), .ifc_req = list};
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	CHECK(ioctl(fd, SIOCGIFCONF, &conf) == 0);
	for (size_t i = 0; i < (size_t)conf.ifc_len / sizeof(*list); i++)
		CHECK(if_nametoindex(list[i].ifr_name));
	close(fd);
}

int main(int argc, char **argv)
{
	int rounds = argc > 1 ? atoi(argv[1]) : 5;

	for (int i = 0; i < rounds; i++) {
		for (int array = 0; array < 2; array++) {
			test_file(50, array);
			test_file(9000, array);
			test_file(400000, array);
		}
		for (int header = 0; header < 2; header++) {
			test_messages(header, SOCK_STREAM);
			test_messages(header, SOCK_DGRAM);
		}
		test_many_messages();
		test_process_vm();
		test_splice();
		test_zerocopy(SOCK_DGRAM);
		test_zerocopy(SOCK_STREAM);
		test_interfaces();
		test_bad_addresses();
	}
	return 0;
}
