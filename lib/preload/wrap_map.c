// SPDX-License-Identifier: MIT
/*
 * The mapping calls of libc, by their public names. From a managed stack they go the guard's way,
 * which leaves that stack: its pages must not be needed while the map lock is held.
 */
#include <errno.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "base/sys.h"
#include "pager/pager.h"
#include "preload/guard.h"
#include "preload/real.h"
#include "preload/start.h"

EXPORT void *mmap(void *addr, size_t len, int prot, int flags, int fd, off_t offset)
{
	preload_start();
	if (UNLIKELY(on_managed_stack()))
		return (void *)with_errno(
		    guard_call(SYS_mmap, (long)addr, (long)len, prot, flags, fd, offset));
	return (void *)with_errno(pager_mmap((uintptr_t)addr, len, prot, flags, fd, offset));
}

EXPORT void *mmap64(void *addr, size_t len, int prot, int flags, int fd, off64_t offset)
{
	return mmap(addr, len, prot, flags, fd, offset);
}

EXPORT int munmap(void *addr, size_t len)
{
	if (UNLIKELY(on_managed_stack()))
		return (int)with_errno(guard_call(SYS_munmap, (long)addr, (long)len, 0, 0, 0, 0));
	return (int)with_errno(pager_munmap((uintptr_t)addr, len));
}

EXPORT void *mremap(void *old, size_t old_len, size_t new_len, int flags, ...)
{
	va_list args;

	va_start(args, flags);
	void *new_addr = flags & MREMAP_FIXED ? va_arg(args, void *) : NULL;
	va_end(args);
	if (UNLIKELY(on_managed_stack()))
		return (void *)with_errno(guard_call(
		    SYS_mremap, (long)old, (long)old_len, (long)new_len, flags, (long)new_addr, 0));
	return (void *)with_errno(
	    pager_mremap((uintptr_t)old, old_len, new_len, flags, (uintptr_t)new_addr));
}

EXPORT int mprotect(void *addr, size_t len, int prot)
{
	if (UNLIKELY(on_managed_stack()))
		return (int)with_errno(
		    guard_call(SYS_mprotect, (long)addr, (long)len, prot, 0, 0, 0));
	return (int)with_errno(pager_mprotect((uintptr_t)addr, len, prot));
}

EXPORT int madvise(void *addr, size_t len, int advice)
{
	if (UNLIKELY(on_managed_stack()))
		return (int)with_errno(
		    guard_call(SYS_madvise, (long)addr, (long)len, advice, 0, 0, 0));
	return (int)with_errno(pager_madvise((uintptr_t)addr, len, advice));
}

/*
 * By that call the kernel throws pages away for the caller itself only: then the ranges are ours.
 * Other advice, perhaps for another process, does no harm to what is managed.
 */
EXPORT ssize_t process_madvise(
    int pidfd, const struct iovec *iov, size_t nr, int advice, unsigned flags)
{
	ssize_t done = 0;

	if (!pager_is_running() || flags || (advice != MADV_DONTNEED && advice != MADV_FREE))
		return with_errno(guard_call(
		    SYS_process_madvise, pidfd, (long)iov, (long)nr, advice, (long)flags, 0));
	for (size_t i = 0; i < nr; i++) {
		long err = madvise(iov[i].iov_base, iov[i].iov_len, advice) ? -errno : 0;

		if (err)
			return done ? done : with_errno(err);
		done += (ssize_t)iov[i].iov_len;
	}
	return done;
}

EXPORT int mlock(const void *addr, size_t len)
{
	if (UNLIKELY(on_managed_stack()))
		return (int)with_errno(guard_call(SYS_mlock, (long)addr, (long)len, 0, 0, 0, 0));
	return (int)with_errno(pager_mlock((uintptr_t)addr, len, 0));
}

EXPORT int mlock2(const void *addr, size_t len, unsigned flags)
{
	if (UNLIKELY(on_managed_stack()))
		return (int)with_errno(
		    guard_call(SYS_mlock2, (long)addr, (long)len, flags, 0, 0, 0));
	return (int)with_errno(pager_mlock((uintptr_t)addr, len, flags));
}

EXPORT int munlock(const void *addr, size_t len)
{
	if (UNLIKELY(on_managed_stack()))
		return (int)with_errno(guard_call(SYS_munlock, (long)addr, (long)len, 0, 0, 0, 0));
	return (int)with_errno(pager_munlock((uintptr_t)addr, len));
}

EXPORT int mlockall(int flags)
{
	return (int)with_errno(pager_mlockall(flags));
}

EXPORT int munlockall(void)
{
	return (int)with_errno(pager_munlockall());
}
