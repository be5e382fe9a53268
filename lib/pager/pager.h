// SPDX-License-Identifier: MIT
/*
 * The pager as the preload library sees it: one per process, started once.
 */
#ifndef FL_PAGER_PAGER_H
#define FL_PAGER_PAGER_H

#include <sys/types.h>

#include "base/types.h"
#include "faultline/telemetry.h"
#include "mmu/tlb_geometry.h"

struct pager_config {
	uint64_t ram_bytes;     /* frame budget; at least PAGER_MIN_FRAMES pages */
	uint64_t ram_max_bytes; /* what RAM may be raised to; 0: as it is. Not with a trap TLB */
	uint64_t swap_bytes;    /* 0: what the file system has free, less 5 % */
	uint64_t min_map_bytes; /* smaller mappings stay outside */
	char swap_dir[256];
	char engine[16]; /* "auto", "sigbus", "uffd" */
	char policy[16];
	char telemetry[64];      /* path of the CLI's telemetry file, "" = private counters */
	bool samples_outside;    /* nobody else does */
	bool takes_requests;     /* of `faultline ram` */
	char compress[16];       /* "auto", "off", "lz4", "zstd" */
	char reclaim[16];        /* "auto", "thread", "inline": who unmaps; tuning only */
	struct tlb_geometry tlb; /* entries 0: none */
	bool is_exact; /* no fault-around, no readahead, nothing reclaimed ahead, one at a time */
	uint32_t tlb_shift; /* pages that one entry covers: 1 << this; 0 or 9 */
};

#define PAGER_MIN_FRAMES 64u

/* In exact mode: as many as one instruction may need (see TLB_MIN_ENTRIES). */
#define PAGER_MIN_FRAMES_EXACT 6u

/* How many of @nr_frames a policy may watch unmapped in exact mode: replay's default. */
static inline uint32_t pager_exact_held(uint32_t nr_frames)
{
	return nr_frames < PAGER_MIN_FRAMES ? nr_frames : MAX(nr_frames / 8, 1u);
}

/*
 * The smallest budget of @config. Half of the frames are for pages that a trap TLB does not show;
 * in exact mode these come on top. Return: frames.
 */
static inline uint64_t pager_min_frames(const struct pager_config *config)
{
	uint64_t reach = (uint64_t)config->tlb.entries << config->tlb_shift;

	return config->is_exact ? MAX(reach, PAGER_MIN_FRAMES_EXACT)
	                        : MAX(reach << 1, PAGER_MIN_FRAMES);
}

/*
 * Start managing memory in this process. Idempotent. On failure nothing is managed and @why (at
 * least 256 bytes) has one line: cause and cure.
 * Return: 0 or -errno. Context: thread, one thread only.
 */
int pager_start(const struct pager_config *config, char *why, size_t why_bytes);

bool pager_is_running(void);
/* Address space of this process that is the pager's own. Context: any. */
size_t pager_own_bytes(void);

/*
 * Change the frame budget, up to ram_max_bytes. Less RAM is there when this returns.
 * Return: 0; -EINVAL: too little (nothing of the pool goes, and it wants as many mapped pages
 * beside it), too much, or a trap TLB; -ENOMEM: too many pages are locked, or swap is full, and
 * nothing has changed; -EBUSY: another thread is at it. Context: thread.
 */
int pager_set_ram(uint64_t bytes);

/*
 * The mapping calls, with the kernel's arguments, results and errors (-errno). What the pager does
 * not manage goes to the kernel untouched. All signals are blocked inside. Context: thread (also
 * inside a handler of the program).
 */
long pager_mmap(uintptr_t addr, size_t len, int prot, int flags, int fd, off_t offset);
/* As mmap() of @len bytes of private memory anywhere, but managed however small it is. */
long pager_map(size_t len, int prot);
/* The same of a file, from @offset on; what is private, and whether it was written, goes to swap.
 * Return: as mmap(). */
long pager_map_file(size_t len, int prot, int fd, off_t offset, bool is_shared);
long pager_munmap(uintptr_t addr, size_t len);
long pager_mremap(uintptr_t old, size_t old_len, size_t new_len, int flags, uintptr_t new_addr);
long pager_mprotect(uintptr_t addr, size_t len, int prot);
long pager_madvise(uintptr_t addr, size_t len, int advice);
long pager_msync(uintptr_t addr, size_t len, int flags);
long pager_shmat(int id, uintptr_t addr, int flags);

/* How many of @len bytes at @addr the program may use as @prot, PROT_READ or PROT_WRITE, before the
 * first that it may not; what is not managed is taken to be usable where anything is mapped.
 * Context: thread. */
size_t pager_reach(uintptr_t addr, size_t len, int prot);

/* @vec is unmanaged. A managed page is resident when it has a frame. */
long pager_mincore(uintptr_t addr, size_t len, unsigned char *vec);

/* Managed memory is locked within the budget: -ENOMEM where too few frames would be left. mlockall
 * is about managed memory only. */
long pager_mlock(uintptr_t addr, size_t len, unsigned flags);
long pager_munlock(uintptr_t addr, size_t len);
long pager_mlockall(int flags);
long pager_munlockall(void);

/*
 * Take the managed part of a range out of management for good, its bytes in place: memory that the
 * kernel itself must find present, a thread's stack or a signal stack. Return: 0 or -errno.
 * Context: thread.
 */
int pager_release(uintptr_t addr, size_t len);

/*
 * From now on nothing is paged in this process: all managed memory leaves management, and no more
 * enters. @why: FL_RESIDENT_*, for the report. Return: 0 or -errno. Context: thread.
 */
int pager_stay_resident(uint32_t why);

enum access {
	ACCESS_READ = 0,
	ACCESS_WRITE = 1,
	ACCESS_FETCH = 2,        /* of an instruction: in managed memory never allowed */
	ACCESS_WRITE_ABSENT = 3, /* a write, to a page that was not there: none is protected */
};

static inline bool access_is_write(enum access access)
{
	return access == ACCESS_WRITE || access == ACCESS_WRITE_ABSENT;
}

/* @error_code: of the page fault, as the signal frame has it (REG_ERR). */
static inline enum access access_of(unsigned long error_code)
{
	if (error_code & 16)
		return ACCESS_FETCH;
	if (!(error_code & 2))
		return ACCESS_READ;
	return error_code & 1 ? ACCESS_WRITE : ACCESS_WRITE_ABSENT;
}

enum fault_result {
	FAULT_DONE,    /* retry the access */
	FAULT_FOREIGN, /* not a managed page (a file mapped in the window): deliver the signal as it
	                  came */
	FAULT_INVALID, /* no page there, or not allowed: the program's SIGSEGV */
	FAULT_IO_ERROR, /* its page cannot be read back intact: the program's SIGBUS */
};

/*
 * Serve the fault at @addr, an address in the window. Any number of threads at once.
 * Context: fault: all signals blocked, no lock held; sleeps.
 */
enum fault_result pager_fault(uintptr_t addr, enum access access);

/*
 * Around fork. prepare() stops the pager, makes managed memory inaccessible and keeps all signals
 * blocked until parent() or child(). In the child the first touch of managed memory, wherever it
 * comes from, leads to pager_fault(), which builds the child's own pager; child() needs not have
 * run. prepare Return: 0 or -errno: fork must then fail.
 */
int pager_fork_prepare(void);
void pager_fork_parent(void);
void pager_fork_child(void);

/*
 * Around the start of a process that shares this one's memory (vfork, and the like by clone): its
 * faults are served by this process. prepare() may start a thread; parent() is called in the
 * parent when the child has left its memory, if prepare() returned true.
 * Context: thread; not async-signal-safe where the process has not touched managed memory yet.
 */
bool pager_vfork_prepare(void);
void pager_vfork_parent(void);
/* Whether this is a process that runs on its parent's memory. Context: any. */
bool pager_in_vfork_child(void);

/* Whether @fd is one of the pager's own, which the program must not close. Context: any. */
bool pager_owns_fd(int fd);

/* This process's counters. Never NULL once running. */
struct fl_process *pager_counters(void);

/* Bring its gauges and the figures of swap up to date; in a forked child, begin its own counters.
 * Context: thread. */
void pager_refresh_counters(void);

/* The unpaged program @path is about to be started; @has_failed: it was not. For the report.
 * Context: any, also the child of a vfork. */
void pager_unmanaged_exec(const char *path, bool has_failed);

/* The process ends by exit(): final samples. Context: thread. */
void pager_at_exit(void);

/* Walk everything and ensure() that it fits together. For tests and FL_CHECKED builds. */
void pager_check(void);

#endif
