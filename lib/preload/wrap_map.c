// SPDX-License-Identifier: MIT
/* The mapping calls of libc, by their public names. */
#include <errno.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "base/sys.h"
#include "pager/pager.h"
#include "preload/real.h"
#include "preload/start.h"

EXPORT void *mmap(void *addr, size_t len, int prot, int flags, int fd, off_t offset)
{
	preload_start();
	return (void *)with_errno(pager_mmap((uintptr_t)addr, len, prot, flags, fd, offset));
}

EXPORT void *mmap64(void *addr, size_t len, int prot, int flags, int fd, off64_t offset)
{
	return mmap(addr, len, prot, flags, fd, offset);
}

EXPORT int munmap(void *addr, size_t len)
{
	return (int)with_errno(pager_munmap((uintptr_t)addr, len));
}

EXPORT void *mremap(void *old, size_t old_len, size_t new_len, int flags, ...)
{
	va_list args;

	va_start(args, flags);
	void *new_addr = flags & MREMAP_FIXED ? va_arg(args, void *) : NULL;
	va_end(args);
	return (void *)with_errno(
	    pager_mremap((uintptr_t)old, old_len, new_len, flags, (uintptr_t)new_addr));
}

EXPORT int mprotect(void *addr, size_t len, int prot)
{
	return (int)with_errno(pager_mprotect((uintptr_t)addr, len, prot));
}

EXPORT int madvise(void *addr, size_t len, int advice)
{
	return (int)with_errno(pager_madvise((uintptr_t)addr, len, advice));
}

/*
 * mlock is not passed on for managed memory: the kernel would then refuse to unmap it for us. It
 * succeeds, and the memory is paged like any other: the budget comes first.
 */
EXPORT int mlock(const void *addr, size_t len)
{
	if (in_window((uintptr_t)addr))
		return 0;
	return (int)with_errno(sys_call2(SYS_mlock, (long)addr, (long)len));
}

EXPORT int mlock2(const void *addr, size_t len, unsigned flags)
{
	if (in_window((uintptr_t)addr))
		return 0;
	return (int)with_errno(sys_call3(SYS_mlock2, (long)addr, (long)len, flags));
}

EXPORT int munlock(const void *addr, size_t len)
{
	if (in_window((uintptr_t)addr))
		return 0;
	return (int)with_errno(sys_call2(SYS_munlock, (long)addr, (long)len));
}

EXPORT int mlockall(int flags)
{
	if (pager_is_running())
		return 0;
	return (int)with_errno(sys_call1(SYS_mlockall, flags));
}
