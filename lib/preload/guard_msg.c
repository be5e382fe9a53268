// SPDX-License-Identifier: MIT
/*
 * Trapped messages: sendto to recvmmsg, and process_vm_readv/writev. Name, data and control
 * message of each travel through bounce memory; several buffers become one.
 *
 * Kernels send MSG_ZEROCOPY data from the pages themselves after the call, so it is not bounced:
 * its pages are touched, and taken by the kernel, which keeps them even where the pager lets them
 * go.
 */
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "base/sys.h"
#include "preload/guard.h"

#define SMALL_BYTES ((size_t)64 << 10)
#define MAX_MSGS    1024u /* the kernel's own limit */
#define MAX_NAME    sizeof(struct sockaddr_storage)
#define MAX_CONTROL ((size_t)1 << 20)
#define MAX_RETRIES 1000

struct msg {
	struct msghdr user; /* as the program gave it */
	struct guard_iov data;
	size_t reach;     /* bytes of `data` that the program may use */
	struct iovec all; /* `data` in one piece */
};

struct msgs {
	const struct guard_trap *trap;
	bool is_send, is_vector;
	bool in_place; /* sends from the program's own buffers */
	long flags;    /* MSG_* */
	unsigned nr;
	struct msg *m;
	struct mmsghdr *real; /* what the kernel gets */
	struct bounce bounce;
};

static size_t align16(size_t n)
{
	return (n + 15) & ~(size_t)15;
}

static size_t user_stride(const struct msgs *s)
{
	return s->is_vector ? sizeof(struct mmsghdr) : sizeof(struct msghdr);
}

static uintptr_t user_header(const struct msgs *s, unsigned i)
{
	return (uintptr_t)s->trap->args[1] + i * user_stride(s);
}

static size_t name_bytes(const struct msghdr *h)
{
	return h->msg_name && (int)h->msg_namelen > 0 ? MIN((size_t)h->msg_namelen, MAX_NAME) : 0;
}

static size_t control_bytes(const struct msghdr *h)
{
	return h->msg_control ? MIN(h->msg_controllen, MAX_CONTROL) : 0;
}

/* Copy header and buffer list of message @i; add what its contents need to *@bytes. */
static int load(struct msgs *s, unsigned i, size_t *bytes)
{
	struct msg *m = &s->m[i];

	if (guard_copy(&m->user, (const void *)user_header(s, i), sizeof(m->user)))
		return -EFAULT;
	if (m->user.msg_iovlen > MAX_MSGS)
		return -EMSGSIZE;
	int err =
	    guard_iov_load(&m->data, &s->bounce, (uintptr_t)m->user.msg_iov, m->user.msg_iovlen);
	if (err)
		return err;
	m->reach = guard_iov_reach(&m->data, s->is_send);
	*bytes += align16(name_bytes(&m->user)) + align16(control_bytes(&m->user));
	if (!s->in_place && m->reach == m->data.total)
		*bytes += align16(m->reach);
	return 0;
}

/* Lay out the contents of message @i at *@mem, move that to their end, and copy in what is sent.
 * Return: 0 or -errno. */
static int fill(struct msgs *s, unsigned i, char **mem)
{
	struct msg *m = &s->m[i];
	struct msghdr *real = &s->real[i].msg_hdr;

	*real = m->user;
	if (m->user.msg_name) {
		real->msg_name = *mem;
		*mem += align16(name_bytes(&m->user));
		if (s->is_send &&
		    guard_copy(real->msg_name, m->user.msg_name, name_bytes(&m->user)))
			return -EFAULT;
	}
	if (m->user.msg_control) {
		real->msg_control = *mem;
		real->msg_controllen = control_bytes(&m->user);
		*mem += align16(real->msg_controllen);
		if (s->is_send &&
		    guard_copy(real->msg_control, m->user.msg_control, real->msg_controllen))
			return -EFAULT;
	}
	if (s->in_place) {
		real->msg_iov = m->data.v;
		return 0;
	}
	bool is_all = m->reach == m->data.total;
	/* What becomes of a message that there is not all the room for, the kernel says. */
	void *data = is_all ? *mem : bounce_alloc_ending(&s->bounce, m->reach);
	if (!data)
		return -ENOMEM;
	*mem += is_all ? align16(m->reach) : 0;
	m->all = (struct iovec){.iov_base = data, .iov_len = m->data.total};
	real->msg_iov = &m->all;
	real->msg_iovlen = 1;
	if (s->is_send)
		return guard_iov_gather(&m->data, data, m->reach) < m->reach ? -EFAULT : 0;
	guard_iov_keep(&m->data, (int)s->flags, data, m->reach);
	return 0;
}

/* Of several messages those before the first bad one are sent, or received. */
static int first_only(struct msgs *s, unsigned nr_good, int err)
{
	s->nr = nr_good;
	return nr_good ? 0 : err;
}

/* Load all messages, and add what their contents need to *@bytes. */
static int load_all(struct msgs *s, size_t *bytes)
{
	s->m = bounce_alloc(&s->bounce, s->nr * sizeof(*s->m) + 1);
	s->real = bounce_alloc(&s->bounce, s->nr * sizeof(*s->real) + 1);
	if (!s->m || !s->real)
		return -ENOMEM;
	memset(s->real, 0, s->nr * sizeof(*s->real));
	for (unsigned i = 0; i < s->nr; i++) {
		int err = load(s, i, bytes);

		if (err)
			return first_only(s, i, err);
	}
	return 0;
}

static int fill_all(struct msgs *s, size_t bytes)
{
	char *mem = bounce_alloc(&s->bounce, bytes);

	if (!mem)
		return -ENOMEM;
	for (unsigned i = 0; i < s->nr; i++) {
		int err = fill(s, i, &mem);

		if (err)
			return first_only(s, i, err);
	}
	return 0;
}

/* Give message @i, of @len bytes, back to the program. Return: 0 or -EFAULT. */
static int finish(struct msgs *s, unsigned i, size_t len)
{
	struct msg *m = &s->m[i];
	const struct msghdr *real = &s->real[i].msg_hdr;
	struct msghdr *user = (struct msghdr *)user_header(s, i);
	size_t missed = 0;

	if (s->is_vector)
		missed |= guard_copy(&((struct mmsghdr *)user)->msg_len, &s->real[i].msg_len,
		    sizeof(s->real[i].msg_len));
	if (s->is_send)
		return missed ? -EFAULT : 0;
	len = MIN(len, m->reach);
	missed |= len - guard_iov_scatter(&m->data, m->all.iov_base, len);
	missed |= guard_copy(
	    m->user.msg_name, real->msg_name, MIN(name_bytes(&m->user), (size_t)real->msg_namelen));
	if (m->user.msg_control)
		missed |= guard_copy(m->user.msg_control, real->msg_control,
		    MIN(control_bytes(&m->user), real->msg_controllen));
	missed |= guard_copy(&user->msg_namelen, &real->msg_namelen, sizeof(real->msg_namelen));
	missed |=
	    guard_copy(&user->msg_controllen, &real->msg_controllen, sizeof(real->msg_controllen));
	missed |= guard_copy(&user->msg_flags, &real->msg_flags, sizeof(real->msg_flags));
	return missed ? -EFAULT : 0;
}

/* From the end: where not all of it fits into RAM, the beginning is there, and is sent. */
static void touch_data(const struct guard_iov *x)
{
	for (unsigned long i = x->nr; i-- > 0;) {
		uintptr_t start = (uintptr_t)x->v[i].iov_base, end = start + x->v[i].iov_len;

		for (uintptr_t at = end; at > start; at = MAX(start, (at - 1) & ~PAGE_MASK))
			guard_touch_read(at - 1);
	}
}

static long make_call(struct msgs *s, long timeout)
{
	const long *a = s->trap->args;

	if (s->is_vector)
		return sys_call5(s->trap->nr, a[0], (long)s->real, s->nr, a[3], timeout);
	return sys_call3(s->trap->nr, a[0], (long)&s->real[0].msg_hdr, a[2]);
}

/* Much, and nothing but data, is sent as by send(): a stream takes it in pieces. */
static bool is_long_send(const struct msgs *s)
{
	const struct msg *m = s->m;

	return s->trap->nr == SYS_sendmsg && !s->in_place && m->data.total > SMALL_BYTES &&
	       !m->user.msg_name && !m->user.msg_control;
}

static long exchange(struct msgs *s)
{
	struct timespec timeout;
	long user_timeout = s->trap->nr == SYS_recvmmsg ? s->trap->args[4] : 0;
	size_t bytes = 16;
	int err = load_all(s, &bytes);

	if (!err && is_long_send(s))
		return guard_io_socket(
		    (int)s->trap->args[0], true, (int)s->flags, &s->m->data, &s->bounce);
	if (!err)
		err = fill_all(s, bytes);
	if (err)
		return err;
	if (user_timeout && guard_copy(&timeout, (void *)user_timeout, sizeof(timeout)))
		return -EFAULT;
	long result = -EFAULT;
	for (int i = 0; result == -EFAULT && i < (s->in_place ? MAX_RETRIES : 1); i++) {
		if (s->in_place)
			for (unsigned j = 0; j < s->nr; j++)
				touch_data(&s->m[j].data);
		result = make_call(s, user_timeout ? (long)&timeout : 0);
	}
	if (user_timeout)
		guard_copy((void *)user_timeout, &timeout, sizeof(timeout));
	if (result < 0)
		return result;
	unsigned nr_done = s->is_vector ? (unsigned)result : 1;
	for (unsigned i = 0; i < nr_done; i++)
		if (finish(s, i, s->is_vector ? s->real[i].msg_len : (size_t)result))
			return i && s->is_vector ? (long)i : -EFAULT;
	return result;
}

static long with_headers(const struct guard_trap *t)
{
	bool is_vector = t->nr == SYS_sendmmsg || t->nr == SYS_recvmmsg;
	struct msgs s = {
	    .trap = t,
	    .is_send = t->nr == SYS_sendmsg || t->nr == SYS_sendmmsg,
	    .is_vector = is_vector,
	    .nr = is_vector ? MIN((unsigned)t->args[2], MAX_MSGS) : 1,
	    .flags = is_vector ? t->args[3] : t->args[2],
	};
	long result = bounce_begin(&s.bounce, t->sp, t->stack);

	if (result)
		return result;
	s.in_place = s.is_send && s.flags & MSG_ZEROCOPY;
	result = exchange(&s);
	bounce_end(&s.bounce);
	return result;
}

/* sendto() and recvfrom() as sendmsg() and recvmsg() of one buffer. */
static long as_message(const struct guard_trap *t)
{
	bool is_send = t->nr == SYS_sendto;
	struct iovec one = {.iov_base = (void *)t->args[1], .iov_len = (size_t)t->args[2]};
	struct msghdr header = {.msg_name = (void *)t->args[4], .msg_iov = &one, .msg_iovlen = 1};
	struct guard_trap message = *t;

	if (is_send)
		header.msg_namelen = t->args[4] ? (socklen_t)t->args[5] : 0;
	else if (t->args[4] && guard_copy(&header.msg_namelen, (const void *)t->args[5],
	                           sizeof(header.msg_namelen)))
		return -EFAULT;
	message.nr = is_send ? SYS_sendmsg : SYS_recvmsg;
	message.args[1] = (long)&header;
	message.args[2] = t->args[3];
	long n = with_headers(&message);
	if (n >= 0 && !is_send && t->args[4] &&
	    guard_copy((void *)t->args[5], &header.msg_namelen, sizeof(header.msg_namelen)))
		return -EFAULT;
	return n;
}

long guard_msg(const struct guard_trap *t)
{
	static const struct guard_arg send_args[NR_ARGS] = {
	    [1] = {ARG_IN_BUF, 2, 1}, [4] = {ARG_IN_BUF, 5, 1}};
	static const struct guard_arg recv_args[NR_ARGS] = {
	    [1] = {ARG_OUT_BUF, 2, 1}, [4] = {ARG_OUT_LEN, 5, MAX_NAME}, [5] = {ARG_INOUT, 0, 4}};
	bool is_send = t->nr == SYS_sendto;

	if (!is_send && t->nr != SYS_recvfrom)
		return with_headers(t);
	if (is_send && t->args[3] & MSG_ZEROCOPY)
		return as_message(t);
	if ((!is_send && t->args[3] & MSG_TRUNC) || (size_t)t->args[2] > SMALL_BYTES ||
	    guard_has_end((uintptr_t)t->args[1], (size_t)t->args[2], is_send))
		return t->args[4] ? as_message(t) : guard_io_stream(t);
	return guard_with(t, is_send ? send_args : recv_args);
}

/* Within one process no page need be there for longer than it takes to copy it. */
static long copy_within(struct guard_iov *to, struct guard_iov *from, struct bounce *b)
{
	size_t done = 0, total = MIN(to->total, from->total);
	char *mem = bounce_alloc(b, BOUNCE_CHUNK_BYTES);

	if (!mem)
		return -ENOMEM;
	while (done < total) {
		size_t len = MIN(total - done, BOUNCE_CHUNK_BYTES);
		size_t got = guard_iov_gather(from, mem, len);
		size_t put = guard_iov_scatter(to, mem, got);

		done += put;
		if (put < len)
			return done ? (long)done : -EFAULT;
	}
	return (long)done;
}

/* @pid may be any thread's of ours. */
static bool is_ourselves(long pid)
{
	return sys_call3(SYS_tgkill, sys_call0(SYS_getpid), pid, 0) == 0;
}

/* args: pid, local array, its length, remote array, its length, flags. */
static long process_vm(const struct guard_trap *t, struct bounce *b)
{
	struct guard_iov local, remote;
	struct iovec *all = bounce_alloc(b, sizeof(*all));
	int err = guard_iov_load(&local, b, (uintptr_t)t->args[1], (unsigned long)t->args[2]);

	if (!err)
		err = guard_iov_load(&remote, b, (uintptr_t)t->args[3], (unsigned long)t->args[4]);
	if (err)
		return err;
	if (!t->args[5] && is_ourselves(t->args[0]))
		return t->nr == SYS_process_vm_writev ? copy_within(&remote, &local, b)
		                                      : copy_within(&local, &remote, b);
	void *mem = bounce_alloc(b, local.total + 1);
	if (!mem || !all)
		return -ENOMEM;
	*all = (struct iovec){.iov_base = mem, .iov_len = local.total};
	if (t->nr == SYS_process_vm_writev) {
		all->iov_len = guard_iov_gather(&local, mem, local.total);
		if (!all->iov_len && local.total)
			return -EFAULT;
	}
	long n =
	    sys_call6(t->nr, t->args[0], (long)all, 1, (long)remote.v, (long)remote.nr, t->args[5]);
	if (n <= 0 || t->nr == SYS_process_vm_writev)
		return n;
	size_t stored = guard_iov_scatter(&local, mem, (size_t)n);
	return stored ? (long)stored : -EFAULT;
}

long guard_process_vm(const struct guard_trap *t)
{
	struct bounce b;
	long result = bounce_begin(&b, t->sp, t->stack);

	if (result)
		return result;
	result = process_vm(t, &b);
	bounce_end(&b);
	return result;
}
