// SPDX-License-Identifier: MIT
/*
 * libc's functions whose structures point to more memory: the filter sees the structure only, which
 * is often on the stack. If any of it is managed the guard makes the call, else libc does.
 */
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <sys/ioctl.h>
#include <net/if.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <fcntl.h>

#include "base/sys.h"
#include "preload/guard.h"
#include "preload/real.h"

REAL(readv);
REAL(writev);
REAL(preadv);
REAL(pwritev);
REAL(preadv2);
REAL(pwritev2);
REAL(sendmsg);
REAL(recvmsg);
REAL(sendmmsg);
REAL(recvmmsg);
REAL(ioctl);

RESOLVE_EARLY static void resolve(void)
{
	RESOLVE(readv);
	RESOLVE(writev);
	RESOLVE(preadv);
	RESOLVE(pwritev);
	RESOLVE(preadv2);
	RESOLVE(pwritev2);
	RESOLVE(sendmsg);
	RESOLVE(recvmsg);
	RESOLVE(sendmmsg);
	RESOLVE(recvmmsg);
	RESOLVE(ioctl);
}

/* A guarded call that is a cancellation point, as libc's own would be. */
static long cancellable(long nr, long a, long b, long c, long d, long e, long f)
{
	int type;

	pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, &type);
	long result = guard_call(nr, a, b, c, d, e, f);
	pthread_setcanceltype(type, NULL);
	return with_errno(result);
}

static bool iov_is_managed(const struct iovec *iov, long nr)
{
	if (!guard_is_installed() || nr < 0 || nr > IOV_MAX)
		return false;
	if (in_window((uintptr_t)iov))
		return true;
	for (long i = 0; i < nr; i++) {
		struct iovec one;

		/* A bad address is for the kernel to refuse. */
		if (guard_copy(&one, &iov[i], sizeof(one)))
			return false;
		if (in_window((uintptr_t)one.iov_base))
			return true;
	}
	return false;
}

static bool msg_is_managed(const struct msghdr *user)
{
	struct msghdr m;

	if (in_window((uintptr_t)user))
		return true;
	if (guard_copy(&m, user, sizeof(m)))
		return false;
	return in_window((uintptr_t)m.msg_name) || in_window((uintptr_t)m.msg_control) ||
	       iov_is_managed(m.msg_iov, (long)m.msg_iovlen);
}

static bool msgs_are_managed(const struct mmsghdr *m, unsigned nr)
{
	if (!guard_is_installed())
		return false;
	if (in_window((uintptr_t)m))
		return true;
	for (unsigned i = 0; i < nr; i++)
		if (msg_is_managed(&m[i].msg_hdr))
			return true;
	return false;
}

EXPORT ssize_t readv(int fd, const struct iovec *iov, int nr)
{
	if (!iov_is_managed(iov, nr))
		return NEED(readv)(fd, iov, nr);
	return cancellable(SYS_readv, fd, (long)iov, nr, 0, 0, 0);
}

EXPORT ssize_t writev(int fd, const struct iovec *iov, int nr)
{
	if (!iov_is_managed(iov, nr))
		return NEED(writev)(fd, iov, nr);
	return cancellable(SYS_writev, fd, (long)iov, nr, 0, 0, 0);
}

EXPORT ssize_t preadv(int fd, const struct iovec *iov, int nr, off_t at)
{
	if (!iov_is_managed(iov, nr))
		return NEED(preadv)(fd, iov, nr, at);
	return cancellable(SYS_preadv, fd, (long)iov, nr, at, 0, 0);
}

EXPORT ssize_t preadv64(int fd, const struct iovec *iov, int nr, off64_t at)
{
	return preadv(fd, iov, nr, at);
}

EXPORT ssize_t pwritev(int fd, const struct iovec *iov, int nr, off_t at)
{
	if (!iov_is_managed(iov, nr))
		return NEED(pwritev)(fd, iov, nr, at);
	return cancellable(SYS_pwritev, fd, (long)iov, nr, at, 0, 0);
}

EXPORT ssize_t pwritev64(int fd, const struct iovec *iov, int nr, off64_t at)
{
	return pwritev(fd, iov, nr, at);
}

EXPORT ssize_t preadv2(int fd, const struct iovec *iov, int nr, off_t at, int flags)
{
	if (!iov_is_managed(iov, nr))
		return NEED(preadv2)(fd, iov, nr, at, flags);
	return cancellable(SYS_preadv2, fd, (long)iov, nr, at, 0, flags);
}

EXPORT ssize_t preadv64v2(int fd, const struct iovec *iov, int nr, off64_t at, int flags)
{
	return preadv2(fd, iov, nr, at, flags);
}

EXPORT ssize_t pwritev2(int fd, const struct iovec *iov, int nr, off_t at, int flags)
{
	if (!iov_is_managed(iov, nr))
		return NEED(pwritev2)(fd, iov, nr, at, flags);
	return cancellable(SYS_pwritev2, fd, (long)iov, nr, at, 0, flags);
}

EXPORT ssize_t pwritev64v2(int fd, const struct iovec *iov, int nr, off64_t at, int flags)
{
	return pwritev2(fd, iov, nr, at, flags);
}

EXPORT ssize_t vmsplice(int fd, const struct iovec *iov, size_t nr, unsigned flags)
{
	if (!iov_is_managed(iov, (long)nr))
		return with_errno(sys_call4(SYS_vmsplice, fd, (long)iov, (long)nr, flags));
	return cancellable(SYS_vmsplice, fd, (long)iov, (long)nr, flags, 0, 0);
}

EXPORT ssize_t sendmsg(int fd, const struct msghdr *m, int flags)
{
	if (!guard_is_installed() || !msg_is_managed(m))
		return NEED(sendmsg)(fd, m, flags);
	return cancellable(SYS_sendmsg, fd, (long)m, flags, 0, 0, 0);
}

EXPORT ssize_t recvmsg(int fd, struct msghdr *m, int flags)
{
	if (!guard_is_installed() || !msg_is_managed(m))
		return NEED(recvmsg)(fd, m, flags);
	return cancellable(SYS_recvmsg, fd, (long)m, flags, 0, 0, 0);
}

EXPORT int sendmmsg(int fd, struct mmsghdr *m, unsigned nr, int flags)
{
	if (!msgs_are_managed(m, nr))
		return NEED(sendmmsg)(fd, m, nr, flags);
	return (int)cancellable(SYS_sendmmsg, fd, (long)m, nr, flags, 0, 0);
}

EXPORT int recvmmsg(int fd, struct mmsghdr *m, unsigned nr, int flags, struct timespec *timeout)
{
	if (!msgs_are_managed(m, nr))
		return NEED(recvmmsg)(fd, m, nr, flags, timeout);
	return (int)cancellable(SYS_recvmmsg, fd, (long)m, nr, flags, (long)timeout, 0);
}

static ssize_t process_vm(long nr, pid_t pid, const struct iovec *local, unsigned long nr_local,
    const struct iovec *remote, unsigned long nr_remote, unsigned long flags)
{
	/* The remote addresses matter where the process is this one. */
	if (!iov_is_managed(local, (long)nr_local) && !iov_is_managed(remote, (long)nr_remote))
		return with_errno(sys_call6(nr, pid, (long)local, (long)nr_local, (long)remote,
		    (long)nr_remote, (long)flags));
	return with_errno(guard_call(
	    nr, pid, (long)local, (long)nr_local, (long)remote, (long)nr_remote, (long)flags));
}

EXPORT ssize_t process_vm_readv(pid_t pid, const struct iovec *local, unsigned long nr_local,
    const struct iovec *remote, unsigned long nr_remote, unsigned long flags)
{
	return process_vm(SYS_process_vm_readv, pid, local, nr_local, remote, nr_remote, flags);
}

EXPORT ssize_t process_vm_writev(pid_t pid, const struct iovec *local, unsigned long nr_local,
    const struct iovec *remote, unsigned long nr_remote, unsigned long flags)
{
	return process_vm(SYS_process_vm_writev, pid, local, nr_local, remote, nr_remote, flags);
}

EXPORT int ioctl(int fd, unsigned long request, ...)
{
	va_list args;

	va_start(args, request);
	void *arg = va_arg(args, void *);
	va_end(args);
	if (request == SIOCGIFCONF && guard_is_installed() && arg &&
	    in_window((uintptr_t)((struct ifconf *)arg)->ifc_buf))
		return (int)with_errno(
		    guard_call(SYS_ioctl, fd, (long)request, (long)arg, 0, 0, 0));
	/* Not by sys_call(): what goes through the gate is not trapped. */
	return NEED(ioctl)(fd, request, arg);
}
