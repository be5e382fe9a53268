// SPDX-License-Identifier: MIT
/*
 * libc's functions that transfer data or wait, on managed memory: the filter would trap these calls
 * too (and does where libc makes them itself, or a program by an instruction of its own), but a
 * signal costs more than all the rest of a small one: doc/performance.md.
 */
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "preload/guard.h"
#include "preload/real.h"

REAL(read);
REAL(write);
REAL(pread);
REAL(pwrite);
REAL(recv);
REAL(send);
REAL(recvfrom);
REAL(sendto);
REAL(poll);
REAL(epoll_wait);

RESOLVE_EARLY static void resolve(void)
{
	RESOLVE(read);
	RESOLVE(write);
	RESOLVE(pread);
	RESOLVE(pwrite);
	RESOLVE(recv);
	RESOLVE(send);
	RESOLVE(recvfrom);
	RESOLVE(sendto);
	RESOLVE(poll);
	RESOLVE(epoll_wait);
}

EXPORT ssize_t read(int fd, void *buf, size_t len)
{
	if (!guard_is_for(buf))
		return NEED(read)(fd, buf, len);
	return guard_call_cancellable(SYS_read, fd, (long)buf, (long)len, 0, 0, 0);
}

EXPORT ssize_t write(int fd, const void *buf, size_t len)
{
	if (!guard_is_for(buf))
		return NEED(write)(fd, buf, len);
	return guard_call_cancellable(SYS_write, fd, (long)buf, (long)len, 0, 0, 0);
}

EXPORT ssize_t pread(int fd, void *buf, size_t len, off_t at)
{
	if (!guard_is_for(buf))
		return NEED(pread)(fd, buf, len, at);
	return guard_call_cancellable(SYS_pread64, fd, (long)buf, (long)len, at, 0, 0);
}

EXPORT ssize_t pread64(int fd, void *buf, size_t len, off64_t at)
{
	return pread(fd, buf, len, at);
}

EXPORT ssize_t pwrite(int fd, const void *buf, size_t len, off_t at)
{
	if (!guard_is_for(buf))
		return NEED(pwrite)(fd, buf, len, at);
	return guard_call_cancellable(SYS_pwrite64, fd, (long)buf, (long)len, at, 0, 0);
}

EXPORT ssize_t pwrite64(int fd, const void *buf, size_t len, off64_t at)
{
	return pwrite(fd, buf, len, at);
}

EXPORT ssize_t recv(int fd, void *buf, size_t len, int flags)
{
	if (!guard_is_for(buf))
		return NEED(recv)(fd, buf, len, flags);
	return guard_call_cancellable(SYS_recvfrom, fd, (long)buf, (long)len, flags, 0, 0);
}

EXPORT ssize_t send(int fd, const void *buf, size_t len, int flags)
{
	if (!guard_is_for(buf))
		return NEED(send)(fd, buf, len, flags);
	return guard_call_cancellable(SYS_sendto, fd, (long)buf, (long)len, flags, 0, 0);
}

EXPORT ssize_t recvfrom(int fd, void *restrict buf, size_t len, int flags,
    struct sockaddr *restrict from, socklen_t *restrict from_len)
{
	if (!guard_is_for(buf) && !guard_is_for(from) && !guard_is_for(from_len))
		return NEED(recvfrom)(fd, buf, len, flags, from, from_len);
	return guard_call_cancellable(
	    SYS_recvfrom, fd, (long)buf, (long)len, flags, (long)from, (long)from_len);
}

EXPORT ssize_t sendto(
    int fd, const void *buf, size_t len, int flags, const struct sockaddr *to, socklen_t to_len)
{
	if (!guard_is_for(buf) && !guard_is_for(to))
		return NEED(sendto)(fd, buf, len, flags, to, to_len);
	return guard_call_cancellable(
	    SYS_sendto, fd, (long)buf, (long)len, flags, (long)to, to_len);
}

EXPORT int poll(struct pollfd *fds, nfds_t nr, int timeout)
{
	if (!guard_is_for(fds))
		return NEED(poll)(fds, nr, timeout);
	return (int)guard_call_cancellable(SYS_poll, (long)fds, (long)nr, timeout, 0, 0, 0);
}

EXPORT int epoll_wait(int fd, struct epoll_event *events, int max, int timeout)
{
	if (!guard_is_for(events))
		return NEED(epoll_wait)(fd, events, max, timeout);
	return (int)guard_call_cancellable(SYS_epoll_wait, fd, (long)events, max, timeout, 0, 0);
}
