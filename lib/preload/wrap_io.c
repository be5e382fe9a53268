// SPDX-License-Identifier: MIT
/*
 * libc's functions whose structures point to more memory: the filter sees the structure only, which
 * is often on the stack. If any of it is managed the guard makes the call, else libc does.
 */
#include <limits.h>
#include <linux/filter.h>
#include <linux/kvm.h>
#include <linux/sockios.h>
#include <stdarg.h>
#include <sys/ioctl.h>
#include <sys/ptrace.h>
#include <net/if.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <fcntl.h>

#include "base/sys.h"
#include "pager/pager.h"
#include "preload/guard.h"
#include "preload/real.h"

#define MAX_REGISTERS ((size_t)64 << 10) /* of a thread; AVX-512 and AMX take 11 KiB */
#define MAX_RETRIES   100 /* of a call whose memory may be taken away again before it */

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
REAL(setsockopt);
REAL(ptrace);

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
	RESOLVE(setsockopt);
	RESOLVE(ptrace);
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
	return guard_call_cancellable(SYS_readv, fd, (long)iov, nr, 0, 0, 0);
}

EXPORT ssize_t writev(int fd, const struct iovec *iov, int nr)
{
	if (!iov_is_managed(iov, nr))
		return NEED(writev)(fd, iov, nr);
	return guard_call_cancellable(SYS_writev, fd, (long)iov, nr, 0, 0, 0);
}

EXPORT ssize_t preadv(int fd, const struct iovec *iov, int nr, off_t at)
{
	if (!iov_is_managed(iov, nr))
		return NEED(preadv)(fd, iov, nr, at);
	return guard_call_cancellable(SYS_preadv, fd, (long)iov, nr, at, 0, 0);
}

EXPORT ssize_t preadv64(int fd, const struct iovec *iov, int nr, off64_t at)
{
	return preadv(fd, iov, nr, at);
}

EXPORT ssize_t pwritev(int fd, const struct iovec *iov, int nr, off_t at)
{
	if (!iov_is_managed(iov, nr))
		return NEED(pwritev)(fd, iov, nr, at);
	return guard_call_cancellable(SYS_pwritev, fd, (long)iov, nr, at, 0, 0);
}

EXPORT ssize_t pwritev64(int fd, const struct iovec *iov, int nr, off64_t at)
{
	return pwritev(fd, iov, nr, at);
}

EXPORT ssize_t preadv2(int fd, const struct iovec *iov, int nr, off_t at, int flags)
{
	if (!iov_is_managed(iov, nr))
		return NEED(preadv2)(fd, iov, nr, at, flags);
	return guard_call_cancellable(SYS_preadv2, fd, (long)iov, nr, at, 0, flags);
}

EXPORT ssize_t preadv64v2(int fd, const struct iovec *iov, int nr, off64_t at, int flags)
{
	return preadv2(fd, iov, nr, at, flags);
}

EXPORT ssize_t pwritev2(int fd, const struct iovec *iov, int nr, off_t at, int flags)
{
	if (!iov_is_managed(iov, nr))
		return NEED(pwritev2)(fd, iov, nr, at, flags);
	return guard_call_cancellable(SYS_pwritev2, fd, (long)iov, nr, at, 0, flags);
}

EXPORT ssize_t pwritev64v2(int fd, const struct iovec *iov, int nr, off64_t at, int flags)
{
	return pwritev2(fd, iov, nr, at, flags);
}

EXPORT ssize_t vmsplice(int fd, const struct iovec *iov, size_t nr, unsigned flags)
{
	if (!iov_is_managed(iov, (long)nr))
		return with_errno(sys_call4(SYS_vmsplice, fd, (long)iov, (long)nr, flags));
	return guard_call_cancellable(SYS_vmsplice, fd, (long)iov, (long)nr, flags, 0, 0);
}

EXPORT ssize_t sendmsg(int fd, const struct msghdr *m, int flags)
{
	if (!guard_is_installed() || !msg_is_managed(m))
		return NEED(sendmsg)(fd, m, flags);
	return guard_call_cancellable(SYS_sendmsg, fd, (long)m, flags, 0, 0, 0);
}

EXPORT ssize_t recvmsg(int fd, struct msghdr *m, int flags)
{
	if (!guard_is_installed() || !msg_is_managed(m))
		return NEED(recvmsg)(fd, m, flags);
	return guard_call_cancellable(SYS_recvmsg, fd, (long)m, flags, 0, 0, 0);
}

EXPORT int sendmmsg(int fd, struct mmsghdr *m, unsigned nr, int flags)
{
	if (!msgs_are_managed(m, nr))
		return NEED(sendmmsg)(fd, m, nr, flags);
	return (int)guard_call_cancellable(SYS_sendmmsg, fd, (long)m, nr, flags, 0, 0);
}

EXPORT int recvmmsg(int fd, struct mmsghdr *m, unsigned nr, int flags, struct timespec *timeout)
{
	if (!msgs_are_managed(m, nr))
		return NEED(recvmmsg)(fd, m, nr, flags, timeout);
	return (int)guard_call_cancellable(SYS_recvmmsg, fd, (long)m, nr, flags, (long)timeout, 0);
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

/* @prog: a copy. */
static long attach_filter(int fd, int name, struct sock_fprog *prog)
{
	size_t bytes = prog->len * sizeof(*prog->filter);
	struct bounce b;
	long result = bounce_begin_here(&b);

	if (result)
		return result;
	void *filter = bounce_alloc(&b, bytes + 1);
	result = !filter ? -ENOMEM : guard_copy(filter, prog->filter, bytes) ? -EFAULT : 0;
	prog->filter = filter;
	if (!result)
		result = sys_call5(SYS_setsockopt, fd, SOL_SOCKET, name, (long)prog, sizeof(*prog));
	bounce_end(&b);
	return result;
}

EXPORT int setsockopt(int fd, int level, int name, const void *value, socklen_t len)
{
	struct sock_fprog prog;

	if (level == SOL_SOCKET && guard_is_installed() && len >= sizeof(prog) &&
	    (name == SO_ATTACH_FILTER || name == SO_ATTACH_REUSEPORT_CBPF) &&
	    !guard_copy(&prog, value, sizeof(prog)) && in_window((uintptr_t)prog.filter))
		return (int)with_errno(attach_filter(fd, name, &prog));
	return NEED(setsockopt)(fd, level, name, value, len);
}

/* What it points to says itself how long it is, in many ways; a page at most is usual. */
static long ethtool(int fd, const struct ifreq *request)
{
	uintptr_t data = (uintptr_t)request->ifr_data;
	long result = -EFAULT;

	for (int i = 0; i < MAX_RETRIES && result == -EFAULT; i++) {
		guard_touch_write(data + PAGE_BYTES - 1);
		guard_touch_write(data);
		result = sys_call3(SYS_ioctl, fd, SIOCETHTOOL, (long)request);
	}
	return result;
}

#ifndef KVM_SET_USER_MEMORY_REGION2
#define KVM_SET_USER_MEMORY_REGION2 0x40a0ae49 /* begins as the older one */
#endif

/* A guest's memory: nobody could serve the faults of its processors. */
static void release_guest(const void *arg)
{
	struct kvm_userspace_memory_region region;

	if (guard_is_installed() && !guard_copy(&region, arg, sizeof(region)))
		pager_release(region.userspace_addr, region.memory_size);
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
	if (request == KVM_SET_USER_MEMORY_REGION || request == KVM_SET_USER_MEMORY_REGION2)
		release_guest(arg);
	struct ifreq copy;
	if (request == SIOCETHTOOL && guard_is_installed() &&
	    !guard_copy(&copy, arg, sizeof(copy)) && in_window((uintptr_t)copy.ifr_data))
		return (int)with_errno(ethtool(fd, &copy));
	/* Not by sys_call(): what goes through the gate is not trapped. */
	return NEED(ioctl)(fd, request, arg);
}

/* PTRACE_GETREGSET and _SETREGSET. @user: a copy. */
static long register_set(int request, pid_t pid, void *type, struct iovec *user)
{
	struct iovec real = {.iov_len = MIN(user->iov_len, MAX_REGISTERS)};
	struct bounce b;
	long result = bounce_begin_here(&b);

	if (result)
		return result;
	real.iov_base = bounce_alloc(&b, real.iov_len + 1);
	result = !real.iov_base                                            ? -ENOMEM
	         : guard_copy(real.iov_base, user->iov_base, real.iov_len) ? -EFAULT
	                                                                   : 0;
	if (!result)
		result = sys_call4(SYS_ptrace, request, pid, (long)type, (long)&real);
	if (!result && request == PTRACE_GETREGSET &&
	    guard_copy(user->iov_base, real.iov_base, real.iov_len))
		result = -EFAULT;
	user->iov_len = real.iov_len;
	bounce_end(&b);
	return result;
}

EXPORT long ptrace(enum __ptrace_request request, ...)
{
	struct iovec set;
	va_list args;

	va_start(args, request);
	pid_t pid = va_arg(args, pid_t);
	void *addr = va_arg(args, void *), *data = va_arg(args, void *);
	va_end(args);
	if ((request != PTRACE_GETREGSET && request != PTRACE_SETREGSET) || !guard_is_installed() ||
	    guard_copy(&set, data, sizeof(set)) || !in_window((uintptr_t)set.iov_base))
		return NEED(ptrace)(request, pid, addr, data);
	long result = register_set((int)request, pid, addr, &set);
	if (!result && guard_copy(data, &set, sizeof(set)))
		result = -EFAULT;
	return with_errno(result);
}
