// SPDX-License-Identifier: MIT
/* Metadata memory; see meta.h. */
#include "base/meta.h"

#include <errno.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "base/lock.h"
#include "base/sys.h"

#define CHUNK_BYTES (1u << 20)
#define META_START  0x520000000000ull

static struct lock chunk_lock = {.rank = LOCK_META};
static char *chunk;          /* [chunk_lock] */
static size_t chunk_left;    /* [chunk_lock] */
static _Atomic size_t total; /* [atomic, relaxed] */

long meta_hint(size_t bytes)
{
	static _Atomic size_t next; /* [atomic, relaxed] */

#ifdef __SANITIZE_THREAD__
	return 0; /* there lies its shadow */
#endif
	/* A gap, so that what runs over its end is seen. */
	return (long)(META_START + atomic_fetch_add_explicit(&next,
	                               page_round_up(bytes) + PAGE_BYTES, memory_order_relaxed));
}

/* Limits of the program's own are about its memory: see preload/wrap_rlimit.c. */
static void raise_limit(int resource, uint64_t bytes)
{
	struct {
		uint64_t soft, hard;
	} limit;

	if (sys_call4(SYS_prlimit64, 0, resource, 0, (long)&limit) ||
	    limit.soft > UINT64_MAX - bytes)
		return;
	limit.soft = MIN(limit.soft + bytes, limit.hard);
	sys_call4(SYS_prlimit64, 0, resource, (long)&limit, 0);
}

static long map(size_t bytes)
{
	return sys_call6(SYS_mmap, meta_hint(bytes), (long)bytes, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
}

void *meta_map(size_t bytes)
{
	long p = map(bytes);

	if (p == -ENOMEM) {
		raise_limit(RLIMIT_AS, bytes);
		raise_limit(RLIMIT_DATA, bytes);
		p = map(bytes);
	}
	if (p < 0)
		return NULL;
	/* Tables are large, and touched here and there: 2 MiB pages would multiply their cost. */
	sys_call3(SYS_madvise, p, (long)bytes, MADV_NOHUGEPAGE);
	atomic_fetch_add_explicit(&total, bytes, memory_order_relaxed);
	return (void *)p;
}

void meta_unmap(void *mem, size_t bytes)
{
	if (!mem)
		return;
	sys_call2(SYS_munmap, (long)mem, (long)bytes);
	atomic_fetch_sub_explicit(&total, bytes, memory_order_relaxed);
}

void *meta_block(size_t bytes)
{
	void *block = NULL;

	lock_acquire(&chunk_lock);
	if (chunk_left < bytes) {
		char *fresh = meta_map(CHUNK_BYTES);

		if (!fresh)
			goto out;
		chunk = fresh;
		chunk_left = CHUNK_BYTES;
	}
	block = chunk;
	chunk += bytes;
	chunk_left -= bytes;
out:
	lock_release(&chunk_lock);
	return block;
}

size_t meta_bytes(void)
{
	return atomic_load_explicit(&total, memory_order_relaxed);
}
