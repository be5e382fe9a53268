// SPDX-License-Identifier: MIT
/*
 * stdio reads and writes by calls inside libc, 4 KiB at a time, between files and buffers that are
 * malloc's, so managed: each would be trapped, and a signal costs more than the transfer
 * (doc/performance.md, "When everything fits"). libc makes them by way of a table of functions that
 * all its streams of files point to: ours are put in there, and hand on what is not managed. Other
 * streams (wide ones, popen's, those that map their file) have tables of their own, and are trapped
 * as before; so are all where a libc is built otherwise.
 */
#include <dlfcn.h>
#include <link.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "base/sys.h"
#include "preload/guard.h"
#include "preload/real.h"

/* Its functions, in this order since glibc 2.1. */
#define AT_READ  14
#define AT_WRITE 15

#define NOT_CANCELLABLE 2 /* in FILE's _flags2 */

typedef ssize_t (*file_read_fn)(FILE *, void *, ssize_t);
typedef ssize_t (*file_write_fn)(FILE *, const void *, ssize_t);

static file_read_fn libc_file_read;
static file_write_fn libc_file_write;

static ssize_t transfer(const FILE *f, long nr, const void *buf, ssize_t len)
{
	if (f->_flags2 & NOT_CANCELLABLE)
		return with_errno(guard_call(nr, f->_fileno, (long)buf, len, 0, 0, 0));
	return guard_call_cancellable(nr, f->_fileno, (long)buf, len, 0, 0, 0);
}

static ssize_t file_read(FILE *f, void *buf, ssize_t len)
{
	return guard_is_for(buf) ? transfer(f, SYS_read, buf, len) : libc_file_read(f, buf, len);
}

/* All of it, or the stream is in error. */
static ssize_t file_write(FILE *f, const void *buf, ssize_t len)
{
	ssize_t done = 0;

	if (!guard_is_for(buf))
		return libc_file_write(f, buf, len);
	while (done < len) {
		ssize_t part = transfer(f, SYS_write, (const char *)buf + done, len - done);

		if (part < 0) {
			f->_flags |= _IO_ERR_SEEN;
			break;
		}
		done += part;
	}
	if (f->_offset >= 0)
		f->_offset += done;
	return done;
}

enum memory {
	MEMORY_UNKNOWN,
	MEMORY_WRITABLE,
	MEMORY_RELRO, /* which the loader has made read-only */
};

struct place {
	uintptr_t addr;
	enum memory memory;
};

static int find_memory(struct dl_phdr_info *info, size_t size, void *arg)
{
	struct place *place = arg;

	(void)size;
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *p = &info->dlpi_phdr[i];

		if (place->addr - (info->dlpi_addr + p->p_vaddr) >= p->p_memsz)
			continue;
		if (p->p_type == PT_GNU_RELRO)
			place->memory = MEMORY_RELRO;
		else if (p->p_type == PT_LOAD && p->p_flags & PF_W &&
		         place->memory == MEMORY_UNKNOWN)
			place->memory = MEMORY_WRITABLE;
	}
	return place->memory != MEMORY_UNKNOWN;
}

static void put(void **at, void *function)
{
	/* A pointer is not torn: other threads may be in stdio. */
	__atomic_store_n(at, function, __ATOMIC_RELEASE);
}

RESOLVE_EARLY static void take_stdio(void)
{
	/* Behind the FILE that everybody knows. */
	void **table = *(void ***)(stdout + 1);
	void *read_fn = dlsym(RTLD_NEXT, "_IO_file_read");
	void *write_fn = dlsym(RTLD_NEXT, "_IO_file_write");
	struct place place = {.addr = (uintptr_t)&table[AT_READ]};

	if (!guard_is_installed() || !read_fn || !write_fn ||
	    !dl_iterate_phdr(find_memory, &place) || table[AT_READ] != read_fn ||
	    table[AT_WRITE] != write_fn)
		return;
	uintptr_t start = place.addr & ~PAGE_MASK;
	size_t bytes = page_round_up((uintptr_t)&table[AT_WRITE + 1]) - start;
	bool is_relro = place.memory == MEMORY_RELRO;
	if (is_relro && sys_call3(SYS_mprotect, (long)start, (long)bytes, PROT_READ | PROT_WRITE))
		return;
	libc_file_read = (file_read_fn)read_fn;
	libc_file_write = (file_write_fn)write_fn;
	put(&table[AT_READ], (void *)file_read);
	put(&table[AT_WRITE], (void *)file_write);
	if (is_relro)
		sys_call3(SYS_mprotect, (long)start, (long)bytes, PROT_READ);
}
