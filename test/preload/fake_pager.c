// SPDX-License-Identifier: MIT
/*
 * A pager for testing the preload library without the real one: lib/pager/pager.h on userfaultfd's
 * SIGBUS mode. It has no budget. It moves pages out of the program's sight and back, with
 * UFFDIO_MOVE, as often as it can: a thread does nothing else, and every system call that the
 * preload library makes is preceded by taking everything away (FAKE_DROP=0 turns both off).
 *
 * Memory is carved from the start of the window, never reused; a shadow of the same size behind it
 * holds the pages taken away. A forked child gets everything back and is left alone from then on.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/ensure.h"
#include "base/lock.h"
#include "base/meta.h"
#include "base/sys.h"
#include "base/thread.h"
#include "fault/uffd_abi.h"
#include "pager/pager.h"

#define REGION_BYTES ((size_t)2 << 30)
#define NR_PAGES     (REGION_BYTES / PAGE_BYTES)
#define SHADOW       (WINDOW_START + 2 * REGION_BYTES)
#define MIN_MAP      ((size_t)64 << 10)

enum state {
	STATE_NONE,
	STATE_THERE,
	STATE_AWAY,
};

static uint8_t *states; /* [map_lock] one per page */
static uint8_t *prots;  /* [map_lock] PROT_* of each */
static bool running, stays_resident;
static int uffd = -1;
static size_t used; /* [map_lock] bytes of the region handed out */
static struct lock map_lock = {.rank = LOCK_MAP};
static struct fl_process counters;
static _Atomic uint64_t nr_moves;

static uint64_t enter(void)
{
	uint64_t mask = sys_signals_block(true);

	lock_acquire(&map_lock);
	return mask;
}

static void leave(uint64_t mask)
{
	lock_release(&map_lock);
	sys_signals_restore(mask);
}

static int move(uintptr_t to, uintptr_t from)
{
	struct uffdio_move m = {.dst = to, .src = from, .len = PAGE_BYTES};

	for (;;) {
		long err = sys_call3(SYS_ioctl, uffd, (long)UFFDIO_MOVE, (long)&m);

		if (err != -EAGAIN && err != -EBUSY)
			return (int)err;
		if (err == -EBUSY && to >= SHADOW)
			return (int)err;
	}
}

static uintptr_t page_addr(size_t page)
{
	return WINDOW_START + page * PAGE_BYTES;
}

static void take_away(size_t page)
{
	if (states[page] != STATE_THERE || stays_resident)
		return;
	/* Fails on what is not writable or in use by the kernel: then it stays. Linux 6.18 that has
	 * to try a second time, under load, keeps the EAGAIN of the first although it succeeds,
	 * tries a third time, and says EEXIST: moved, as nothing else fills a place of the shadow.
	 */
	int err = move(SHADOW + page * PAGE_BYTES, page_addr(page));
	if (!err || err == -EEXIST) {
		states[page] = STATE_AWAY;
		atomic_fetch_add_explicit(&nr_moves, 1, memory_order_relaxed);
	}
}

static int bring_back(size_t page)
{
	int err = move(page_addr(page), SHADOW + page * PAGE_BYTES);

	if (err && err != -EEXIST) /* likewise */
		return err;
	states[page] = STATE_THERE;
	return 0;
}

enum fault_result pager_fault(uintptr_t addr, enum access access)
{
	size_t page = (addr - WINDOW_START) / PAGE_BYTES;
	enum fault_result result = FAULT_INVALID;

	if (page >= NR_PAGES)
		return FAULT_INVALID;
	uint64_t mask = enter();
	if (!(prots[page] & (access_is_write(access) ? PROT_WRITE : PROT_READ))) {
		leave(mask);
		return FAULT_INVALID;
	}
	if (states[page] == STATE_AWAY) {
		result = bring_back(page) ? FAULT_IO_ERROR : FAULT_DONE;
	} else if (states[page] == STATE_NONE) {
		struct uffdio_zeropage z = {.range = {page_addr(page), PAGE_BYTES}};
		long err = sys_call3(SYS_ioctl, uffd, (long)UFFDIO_ZEROPAGE, (long)&z);

		result = !err || err == -EEXIST ? FAULT_DONE : FAULT_IO_ERROR;
		states[page] = STATE_THERE;
	} else {
		result = FAULT_DONE; /* another thread was first */
	}
	leave(mask);
	return result;
}

static void take_all(void)
{
	static _Atomic unsigned turn;

	/* Faults are blocked in here: it must not take the stack that it runs on. */
	if (!running || lock_is_held(&map_lock) || on_managed_stack())
		return;
	uint64_t mask = sys_signals_block(true);
	if (lock_acquire_try(&map_lock)) {
		size_t nr = used / PAGE_BYTES;
		/* All of a small program's memory, a part of a large one's. */
		size_t first = nr > 256 ? atomic_fetch_add(&turn, 64) % nr : 0;
		for (size_t i = first; i < nr && i < first + 256; i++)
			take_away(i);
		lock_release(&map_lock);
	}
	sys_signals_restore(mask);
}

static long before_call(long nr)
{
	static _Thread_local bool is_inside __attribute__((tls_model("initial-exec")));

	if (is_inside || nr == SYS_rt_sigprocmask || nr == SYS_ioctl || nr == SYS_futex ||
	    nr == SYS_exit || nr == SYS_nanosleep || nr == SYS_rt_tgsigqueueinfo)
		return 0;
	is_inside = true;
	take_all();
	is_inside = false;
	return 0;
}

/* libc does not know of it, as of the real pager's threads: its setuid() would want to change that
 * thread's user too, and end the program where the thread may not. */
static void dropper(void *unused)
{
	uint64_t seed = 88172645463325252ull;

	(void)unused;
	for (;;) {
		seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
		lock_acquire(&map_lock);
		size_t nr = used / PAGE_BYTES;
		for (size_t i = 0; nr && i < 32; i++)
			take_away((seed + i * 7) % nr);
		lock_release(&map_lock);
		/* Else a program on a busy machine gets a byte further between two batches. */
		struct timespec pause = {.tv_nsec = 100000};
		sys_call2(SYS_nanosleep, (long)&pause, 0);
	}
}

/* --- mapping calls ------------------------------------------------------------------------- */

static void set_prot(uintptr_t addr, size_t len, int prot)
{
	/* The kernel moves pages only between mappings that are protected alike. */
	for (uintptr_t at = addr; at < addr + len && prot != (PROT_READ | PROT_WRITE);
	     at += PAGE_BYTES)
		if (states[(at - WINDOW_START) / PAGE_BYTES] == STATE_AWAY)
			ensure(bring_back((at - WINDOW_START) / PAGE_BYTES) == 0);
	memset(prots + (addr - WINDOW_START) / PAGE_BYTES, prot, page_round_up(len) / PAGE_BYTES);
	sys_call3(SYS_mprotect, (long)addr, (long)page_round_up(len), prot);
}

static bool is_region(uintptr_t addr)
{
	return addr >= WINDOW_START && addr < WINDOW_START + REGION_BYTES;
}

static void forget(uintptr_t addr, size_t len)
{
	for (size_t i = 0; i < page_round_up(len) / PAGE_BYTES; i++)
		states[(addr - WINDOW_START) / PAGE_BYTES + i] = STATE_NONE;
	sys_call3(SYS_madvise, (long)addr, (long)len, MADV_DONTNEED);
	sys_call3(SYS_madvise, (long)(addr - WINDOW_START + SHADOW), (long)len, MADV_DONTNEED);
}

long pager_mmap(uintptr_t addr, size_t len, int prot, int flags, int fd, off_t offset)
{
	if (running && flags & MAP_FIXED && is_region(addr)) {
		uint64_t fixed_mask = enter();
		size_t page = (addr - WINDOW_START) / PAGE_BYTES,
		       nr = page_round_up(len) / PAGE_BYTES;
		long at = sys_call6(SYS_mmap, (long)addr, (long)len, prot, flags, fd, offset);
		memset(states + page, STATE_NONE, nr);
		memset(prots + page, prot, nr);
		leave(fixed_mask);
		return at;
	}
	if (!running || fd >= 0 || len < MIN_MAP || !(flags & MAP_ANONYMOUS) ||
	    (flags & (MAP_SHARED | MAP_FIXED | MAP_STACK)) || is_region(addr))
		return sys_call6(SYS_mmap, (long)addr, (long)len, prot, flags, fd, offset);
	uint64_t mask = enter();
	uintptr_t at = WINDOW_START + used;
	ensure(used + len < REGION_BYTES);
	used += page_round_up(len);
	set_prot(at, len, prot);
	leave(mask);
	return (long)at;
}

long pager_munmap(uintptr_t addr, size_t len)
{
	if (!is_region(addr))
		return sys_call2(SYS_munmap, (long)addr, (long)len);
	uint64_t mask = enter();
	forget(addr, len);
	set_prot(addr, len, PROT_NONE);
	leave(mask);
	return 0;
}

long pager_mremap(uintptr_t old, size_t old_len, size_t new_len, int flags, uintptr_t new_addr)
{
	if (!is_region(old))
		return sys_call5(
		    SYS_mremap, (long)old, (long)old_len, (long)new_len, flags, (long)new_addr);
	return -ENOMEM;
}

long pager_mprotect(uintptr_t addr, size_t len, int prot)
{
	if (!is_region(addr))
		return sys_call3(SYS_mprotect, (long)addr, (long)len, prot);
	uint64_t mask = enter();
	set_prot(addr, len, prot);
	leave(mask);
	return 0;
}

long pager_madvise(uintptr_t addr, size_t len, int advice)
{
	if (!is_region(addr))
		return sys_call3(SYS_madvise, (long)addr, (long)len, advice);
	if (advice != MADV_DONTNEED && advice != MADV_FREE)
		return 0;
	uint64_t mask = enter();
	forget(addr, len);
	leave(mask);
	return 0;
}

/* What has no meaning for a pager without a budget: as if nothing were managed. */
long pager_msync(uintptr_t addr, size_t len, int flags)
{
	return is_region(addr) ? 0 : sys_call3(SYS_msync, (long)addr, (long)len, flags);
}

long pager_mincore(uintptr_t addr, size_t len, unsigned char *vec)
{
	if (!is_region(addr))
		return sys_call3(SYS_mincore, (long)addr, (long)len, (long)vec);
	memset(vec, 1, page_round_up(len) / PAGE_BYTES);
	return 0;
}

long pager_mlock(uintptr_t addr, size_t len, unsigned flags)
{
	return is_region(addr) ? 0 : sys_call3(SYS_mlock2, (long)addr, (long)len, flags);
}

long pager_munlock(uintptr_t addr, size_t len)
{
	return is_region(addr) ? 0 : sys_call2(SYS_munlock, (long)addr, (long)len);
}

long pager_mlockall(int flags)
{
	(void)flags;
	return 0;
}

long pager_munlockall(void)
{
	return 0;
}

size_t pager_reach(uintptr_t addr, size_t len, int prot)
{
	size_t done = 0;

	while (done < len &&
	       (!is_region(addr + done) || prots[(addr + done - WINDOW_START) / PAGE_BYTES] & prot))
		done += PAGE_BYTES - ((addr + done) & PAGE_MASK);
	return MIN(done, len);
}

long pager_shmat(int id, uintptr_t addr, int flags)
{
	return sys_call3(SYS_shmat, id, (long)addr, flags);
}

bool pager_is_running(void)
{
	return running;
}

size_t pager_own_bytes(void)
{
	return meta_bytes() + 2 * REGION_BYTES;
}

bool pager_owns_fd(int fd)
{
	return fd == uffd && running;
}

void pager_unmanaged_exec(const char *path, bool has_failed)
{
}

struct fl_process *pager_counters(void)
{
	return &counters;
}

static uint64_t fork_mask;

int pager_release(uintptr_t addr, size_t len)
{
	(void)addr;
	(void)len;
	return 0;
}

void pager_refresh_counters(void)
{
}

int pager_stay_resident(uint32_t why)
{
	uint64_t mask = enter();

	(void)why;
	for (size_t i = 0; i < used / PAGE_BYTES; i++)
		if (states[i] == STATE_AWAY)
			ensure(bring_back(i) == 0);
	/* What was never touched is for the kernel to fill from now on. */
	struct uffdio_range range = {.start = WINDOW_START, .len = REGION_BYTES};
	ensure(sys_call3(SYS_ioctl, uffd, (long)UFFDIO_UNREGISTER, (long)&range) == 0);
	stays_resident = true;
	leave(mask);
	return 0;
}

int pager_fork_prepare(void)
{
	fork_mask = enter();
	for (size_t i = 0; i < used / PAGE_BYTES; i++)
		if (states[i] == STATE_AWAY)
			ensure(bring_back(i) == 0);
	return 0;
}

void pager_fork_parent(void)
{
	leave(fork_mask);
}

void pager_fork_child(void)
{
	running = false;
	sys_inject = NULL;
	leave(fork_mask);
}

bool pager_vfork_prepare(void)
{
	return false;
}

void pager_vfork_parent(void)
{
}

static long own_pid;

bool pager_in_vfork_child(void)
{
	return running && sys_call0(SYS_getpid) != own_pid;
}

void pager_at_exit(void)
{
	const char *report = getenv("FAKE_REPORT");

	if (!report || !running)
		return;
	char line[160];
	int n = snprintf(line, sizeof(line),
	    "fake: %lu pages taken away, %lu calls trapped, %lu pinned\n", atomic_load(&nr_moves),
	    atomic_load(&counters.guard_calls), atomic_load(&counters.pinned_calls));
	sys_call3(SYS_write, 2, (long)line, n);
}

void pager_check(void)
{
}

static int open_uffd(void)
{
	struct uffdio_api api = {
	    .api = UFFD_API, .features = UFFD_FEATURE_SIGBUS | UFFD_FEATURE_MOVE};
	int fd = (int)sys_call1(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY);

	if (fd < 0 || sys_call3(SYS_ioctl, fd, (long)UFFDIO_API, (long)&api))
		return -ENOSYS;
	return sys_fd_move_high(fd);
}

static int reserve(uintptr_t addr)
{
	struct uffdio_register r = {
	    .range = {addr, REGION_BYTES}, .mode = UFFDIO_REGISTER_MODE_MISSING};
	long at = sys_call6(SYS_mmap, (long)addr, REGION_BYTES, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);

	if (at != (long)addr)
		return -ENOMEM;
	sys_call3(SYS_madvise, at, REGION_BYTES, MADV_NOHUGEPAGE);
	return (int)sys_call3(SYS_ioctl, uffd, (long)UFFDIO_REGISTER, (long)&r);
}

int pager_start(const struct pager_config *config, char *why, size_t why_bytes)
{
	const char *drop = getenv("FAKE_DROP");

	(void)config;
	uffd = open_uffd();
	if (uffd < 0 || reserve(WINDOW_START) || reserve(SHADOW)) {
		snprintf(why, why_bytes, "the fake pager needs UFFDIO_MOVE");
		return -ENOSYS;
	}
	states = meta_map(NR_PAGES);
	prots = meta_map(NR_PAGES);
	if (!states || !prots)
		return -ENOMEM;
	own_pid = sys_call0(SYS_getpid);
	running = true;
	if (drop && *drop == '0')
		return 0;
	sys_inject = before_call;
	return 0;
}

__attribute__((constructor(200))) static void start_dropper(void)
{
	const char *drop = getenv("FAKE_DROP");

	if (running && !(drop && *drop == '0'))
		ensure(thread_start(dropper, NULL, "fake-dropper") > 0);
}
