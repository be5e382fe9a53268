// SPDX-License-Identifier: MIT
/* Counters, histograms, event ring and stall clocks; see telemetry.h. */
#include "telemetry/telemetry.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "base/lock.h"
#include "base/meta.h"
#include "base/sys.h"

static int map_record(struct telemetry *t)
{
	uint32_t index = atomic_fetch_add(&t->header->nr_claimed, 1);

	if (index >= t->header->nr_processes)
		return -ENOSPC;
	long p = sys_call6(SYS_mmap, meta_hint(FL_PROCESS_BYTES), FL_PROCESS_BYTES,
	    PROT_READ | PROT_WRITE, MAP_SHARED, t->fd, (long)fl_process_offset(index));
	if (p < 0)
		return (int)p;
	t->p = (struct fl_process *)p;
	t->ring = NULL;
	if (!t->header->has_rings)
		return 0;
	p = sys_call6(SYS_mmap, meta_hint(FL_TRACE_RING_BYTES), FL_TRACE_RING_BYTES,
	    PROT_READ | PROT_WRITE, MAP_SHARED, t->fd, (long)fl_trace_ring_offset(index));
	if (p > 0)
		t->ring = (struct fl_trace_ring *)p;
	return 0;
}

static int open_shared(struct telemetry *t, const char *path)
{
	long fd = sys_call4(SYS_openat, AT_FDCWD, (long)path, O_RDWR | O_CLOEXEC, 0);

	if (fd < 0)
		return (int)fd;
	t->fd = sys_fd_move_high((int)fd);
	long h = sys_call6(SYS_mmap, meta_hint(FL_HEADER_BYTES), FL_HEADER_BYTES,
	    PROT_READ | PROT_WRITE, MAP_SHARED, t->fd, 0);
	if (h < 0)
		return (int)h;
	t->header = (struct fl_telemetry *)h;
	if (t->header->magic != FL_TELEMETRY_MAGIC || t->header->process_bytes != FL_PROCESS_BYTES)
		return -EPROTO; /* a CLI of another version */
	return map_record(t);
}

static void close_shared(struct telemetry *t)
{
	if (t->header)
		sys_call2(SYS_munmap, (long)t->header, FL_HEADER_BYTES);
	if (t->fd >= 0)
		sys_call1(SYS_close, t->fd);
	t->header = NULL;
	t->fd = -1;
}

/* argv[0] as the kernel has it: the name that the program was called by. Return: its length. */
static long read_argv0(char *text, size_t bytes)
{
	long fd =
	    sys_call4(SYS_openat, AT_FDCWD, (long)"/proc/self/cmdline", O_RDONLY | O_CLOEXEC, 0);

	if (fd < 0)
		return fd;
	long n = sys_call3(SYS_read, fd, (long)text, (long)bytes - 1);
	sys_call1(SYS_close, fd);
	text[MAX(n, 0)] = 0;
	return (long)strlen(text);
}

/* Not the executable's name, which for a symbolic link would be another: dash for sh. */
static void name_program(struct fl_process *p)
{
	char text[4096];

	if (read_argv0(text, sizeof(text)) <= 0) {
		long n = sys_call4(
		    SYS_readlinkat, AT_FDCWD, (long)"/proc/self/exe", (long)text, sizeof(text) - 1);
		text[MAX(n, 0)] = 0;
	}
	const char *base = strrchr(text, '/');
	base = base && base[1] ? base + 1 : text;
	memcpy(p->program, base, MIN(strlen(base), sizeof(p->program) - 1));
}

static void fill_in(struct fl_process *p)
{
	atomic_store(&p->pid, (uint32_t)sys_call0(SYS_getpid));
	atomic_store(&p->ppid, (uint32_t)sys_call0(SYS_getppid));
	atomic_store(&p->start_ns, now_ns());
	atomic_store(&p->state, 1);
}

int telemetry_open(struct telemetry *t, const char *path)
{
	*t = (struct telemetry){.fd = -1};
	if (!*path || open_shared(t, path) < 0) {
		close_shared(t);
		t->p = meta_map(FL_PROCESS_BYTES);
		if (!t->p)
			return -ENOMEM;
	}
	name_program(t->p);
	fill_in(t->p);
	return 0;
}

int telemetry_after_fork(struct telemetry *t, const char *path)
{
	struct fl_process *parent = t->p;
	struct fl_trace_ring *ring = t->ring;
	int err;

	if (!t->header || map_record(t) < 0) {
		close_shared(t);
		err = telemetry_open(t, path);
	} else {
		fill_in(t->p);
		err = 0;
	}
	if (err)
		return err;
	memcpy(t->p->engine, parent->engine, sizeof(parent->engine));
	memcpy(t->p->policy, parent->policy, sizeof(parent->policy));
	memcpy(t->p->swap, parent->swap, sizeof(parent->swap));
	memcpy(t->p->program, parent->program, sizeof(parent->program));
	memcpy(t->p->tlb_replacement, parent->tlb_replacement, sizeof(parent->tlb_replacement));
	t->p->tlb_entries = parent->tlb_entries;
	t->p->tlb_ways = parent->tlb_ways;
	t->p->tlb_pages = parent->tlb_pages;
	atomic_store(&t->p->frames_budget, atomic_load(&parent->frames_budget));
	atomic_store(&t->p->resident_why, atomic_load(&parent->resident_why));
	if (ring)
		sys_call2(SYS_munmap, (long)ring, FL_TRACE_RING_BYTES);
	sys_call2(SYS_munmap, (long)parent, FL_PROCESS_BYTES);
	return 0;
}

/* The entry of @name, claimed if there is none yet. Return: NULL when all have other names. */
static struct fl_unmanaged *find_unmanaged(struct fl_telemetry *h, const char *name)
{
	for (uint32_t i = 0; i < FL_NR_UNMANAGED; i++) {
		struct fl_unmanaged *u = &h->unmanaged[i];
		uint32_t none = 0;

		if (atomic_compare_exchange_strong(&u->state, &none, 1)) {
			memcpy(u->program, name, strnlen(name, sizeof(u->program) - 1));
			atomic_store(&u->state, 2);
		}
		/* One being filled in by somebody else is passed over: a name may come twice. */
		if (atomic_load(&u->state) == 2 &&
		    !strncmp(u->program, name, sizeof(u->program) - 1))
			return u;
	}
	return NULL;
}

void telemetry_unmanaged_exec(struct telemetry *t, const char *path, bool has_failed)
{
	const char *slash = strrchr(path, '/');

	if (!t->header)
		return;
	struct fl_unmanaged *u = find_unmanaged(t->header, slash && slash[1] ? slash + 1 : path);
	atomic_fetch_add(&t->header->nr_unmanaged_execs, has_failed ? -1ull : 1ull);
	if (u)
		atomic_fetch_add(&u->nr_execs, has_failed ? -1u : 1u);
}

void hist_add(struct fl_hist *h, uint64_t ns)
{
	atomic_fetch_add_explicit(&h->count[fl_hist_bucket(ns)], 1, memory_order_relaxed);
	uint64_t max = atomic_load_explicit(&h->max_ns, memory_order_relaxed);
	while (ns > max && !atomic_compare_exchange_weak(&h->max_ns, &max, ns))
		;
}

void event_log(struct telemetry *t, enum page_event what, struct vpn vpn, uint64_t ref)
{
	uint32_t i = atomic_fetch_add_explicit(&t->p->next_event, 1, memory_order_relaxed);
	struct fl_event *e = &t->p->events[i % FL_NR_EVENTS];

	atomic_store_explicit(&e->when_ns, now_ns(), memory_order_relaxed);
	atomic_store_explicit(&e->vpn, vpn.v, memory_order_relaxed);
	atomic_store_explicit(&e->slot, (uint32_t)ref, memory_order_relaxed);
	atomic_store_explicit(&e->what, what, memory_order_relaxed);
}

/* Threads that stalled lately. More threads than places share one: "full" is then only reported
 * when all that are known wait. */
#define NR_STALLERS 64
#define ACTIVE_NS   100000000u

static struct {
	struct lock lock; /* rank LOCK_STATS */
	uint64_t since;   /* [lock] when the clocks were last brought up to date */
	uint32_t nr_stalled;
	bool is_full;
	_Atomic uint32_t nr_active, nr_reading; /* [lock] to write */
	struct {
		const void *owner;
		bool stalled;
		uint64_t last, last_read; /* the same, if the last was for a read */
	} thread[NR_STALLERS];
} stall = {.lock = {.rank = LOCK_STATS}};

static void stall_account(struct telemetry *t, uint64_t now)
{
	if (stall.nr_stalled && now > stall.since) {
		COUNT(t, stall_some_ns, now - stall.since);
		if (stall.is_full)
			COUNT(t, stall_full_ns, now - stall.since);
	}
	/* Who read the clock first may have got the lock last. */
	stall.since = MAX(stall.since, now);
}

static void stall_change(
    struct telemetry *t, uint32_t thread, uint64_t now, enum stall_kind kind, bool begins)
{
	/* An address of its own tells a thread from others without a system call. */
	static _Thread_local char self __attribute__((tls_model("initial-exec")));
	const void *me = thread ? (const void *)(uintptr_t)thread : &self;
	uint32_t oldest = 0, mine = NR_STALLERS, nr_active = 0, nr_reading = 0;

	lock_acquire(&stall.lock);
	stall_account(t, now);
	for (uint32_t i = 0; i < NR_STALLERS; i++) {
		if (stall.thread[i].owner == me)
			mine = i;
		if (!stall.thread[i].stalled && stall.thread[i].last < stall.thread[oldest].last)
			oldest = i;
	}
	if (mine == NR_STALLERS) {
		mine = oldest;
		stall.thread[mine].last_read = 0;
	}
	stall.thread[mine].owner = me;
	stall.thread[mine].stalled = begins;
	stall.thread[mine].last = now;
	if (kind == STALL_READ)
		stall.thread[mine].last_read = now;
	stall.nr_stalled += begins ? 1u : -1u;
	for (uint32_t i = 0; i < NR_STALLERS; i++) {
		nr_active += stall.thread[i].stalled || stall.thread[i].last + ACTIVE_NS > now;
		nr_reading += (stall.thread[i].stalled &&
		                  stall.thread[i].last_read == stall.thread[i].last) ||
		              stall.thread[i].last_read + ACTIVE_NS > now;
	}
	atomic_store_explicit(&stall.nr_active, nr_active, memory_order_relaxed);
	atomic_store_explicit(&stall.nr_reading, nr_reading, memory_order_relaxed);
	stall.is_full = stall.nr_stalled && stall.nr_stalled >= nr_active;
	lock_release(&stall.lock);
}

uint32_t stall_nr_active(void)
{
	return atomic_load_explicit(&stall.nr_active, memory_order_relaxed);
}

uint32_t stall_nr_reading(void)
{
	return atomic_load_explicit(&stall.nr_reading, memory_order_relaxed);
}

void stall_begin(struct telemetry *t, uint32_t thread, uint64_t now, enum stall_kind kind)
{
	stall_change(t, thread, now, kind, true);
}

void stall_end(struct telemetry *t, uint32_t thread, uint64_t now, enum stall_kind kind)
{
	stall_change(t, thread, now, kind, false);
}

static uint64_t next_number(const char **text)
{
	uint64_t n = 0;

	while (**text == ' ')
		++*text;
	for (; **text >= '0' && **text <= '9'; ++*text)
		n = n * 10 + (uint64_t)(**text - '0');
	return n;
}

/* Return: 0, or -errno with *@ret_bytes untouched. */
static int read_rss_anon(int statm_fd, uint64_t *ret_bytes)
{
	char text[256];
	const char *at = text;
	long n = sys_call4(SYS_pread64, statm_fd, (long)text, sizeof(text) - 1, 0);

	if (n <= 0)
		return n ? (int)n : -ENODATA;
	text[n] = 0;
	next_number(&at); /* size */
	uint64_t resident = next_number(&at), shared = next_number(&at);
	/* What is not of a file or shared memory is anonymous: the kernel counts no fourth kind. */
	*ret_bytes = (resident > shared ? resident - shared : 0) << PAGE_SHIFT;
	return 0;
}

void telemetry_sample_outside(struct telemetry *t, int statm_fd)
{
	uint64_t anon, before = atomic_load(&t->p->resident_bytes);
	int fd = statm_fd;

	if (fd < 0)
		fd = (int)sys_call4(
		    SYS_openat, AT_FDCWD, (long)"/proc/self/statm", O_RDONLY | O_CLOEXEC, 0);
	int err = fd < 0 ? fd : read_rss_anon(fd, &anon);
	if (statm_fd < 0 && fd >= 0)
		sys_call1(SYS_close, fd);
	if (err)
		return;
	/* The two counts are not of the same instant: take the one that leaves less outside. */
	uint64_t managed = MAX(before, atomic_load(&t->p->resident_bytes));
	if (anon > managed && anon - managed > atomic_load(&t->p->outside_bytes_peak))
		atomic_store(&t->p->outside_bytes_peak, anon - managed);
}
