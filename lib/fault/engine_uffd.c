// SPDX-License-Identifier: MIT
/*
 * Engine `uffd`: the faulting thread sleeps in the kernel while a pager thread reads its message,
 * serves the fault and wakes it. With privilege this covers faults inside system calls too.
 *
 * Every sleeping reader is woken by every message, so few threads sit in read() at a time. On a
 * machine with few CPUs that is one on each, bound to it: the one beside the faulting thread runs
 * as soon as that sleeps (6.7-12 us from touch to touch, measured), where waking a thread on
 * another, idle CPU takes 46-72 us. With many CPUs two unbound ones read. A thread that is about to
 * wait for I/O hands its reader's seat to another of its desk (engine_will_block).
 */
#include <errno.h>
#include <signal.h>
#include <sys/syscall.h>

#include "base/lock.h"
#include "base/say.h"
#include "base/sys.h"
#include "base/thread.h"
#include "fault/engines.h"
#include "fault/uffd_abi.h"

#define NR_THREADS    16
#define MAX_DESKS     4u /* with more CPUs, waking a reader on each costs more than it saves; guess */
#define MAX_CPUS      1024
#define UNBOUND       UINT32_MAX
#define UNBOUND_SEATS 2u

/* Readers that share seats. */
struct desk {
	_Atomic uint32_t seats;      /* free */
	_Atomic uint32_t nr_waiting; /* threads that wait for a seat */
	uint32_t cpu;                /* [const] after start; UNBOUND */
};

static struct {
	int uffd;                       /* [const] after start */
	const struct engine_sink *sink; /* [const] after start */
	uint32_t nr_desks;              /* [const] after start */
	struct desk desk[MAX_DESKS];
	_Atomic uint32_t nr_serving; /* threads that have a message in hand */
} engine;

/* Where this thread reads messages (NULL: it is no reader), and whether it has a seat now. */
static _Thread_local struct desk *my_desk;
static _Thread_local bool has_seat;
static _Thread_local uint32_t faulting_thread;

/*
 * A thread's sleep in a fault may be cut short by the kernel, without a signal; it then faults
 * again with a new message. Served late, the old one would count a touch that never was. So the
 * last message of each thread is known: (thread, number), by thread modulo NR_LAST. Threads that
 * share a place hide each other's: then nothing is known to be stale.
 */
#define NR_LAST 256u

static _Atomic uint64_t last_message[NR_LAST];
static _Atomic uint32_t nr_messages;
static _Thread_local uint64_t my_message;

static void note_message(uint32_t thread)
{
	my_message = (uint64_t)thread << 32 | (uint32_t)(atomic_fetch_add(&nr_messages, 1) + 1);
	atomic_store(&last_message[thread % NR_LAST], my_message);
}

bool engine_is_stale(void)
{
	uint64_t last = atomic_load(&last_message[faulting_thread % NR_LAST]);

	return faulting_thread && last != my_message && last >> 32 == faulting_thread;
}

uint32_t engine_faulting_thread(void)
{
	return faulting_thread;
}

static void seat_take(void)
{
	for (;;) {
		uint32_t free = atomic_load(&my_desk->seats);

		if (free && atomic_compare_exchange_strong(&my_desk->seats, &free, free - 1))
			break;
		if (!free) {
			atomic_fetch_add(&my_desk->nr_waiting, 1);
			futex_wait(&my_desk->seats, 0, 0);
			atomic_fetch_sub(&my_desk->nr_waiting, 1);
		}
	}
	has_seat = true;
}

static void seat_give(void)
{
	has_seat = false;
	atomic_fetch_add(&my_desk->seats, 1);
	if (atomic_load(&my_desk->nr_waiting))
		futex_wake(&my_desk->seats, 1);
}

void engine_will_block(void)
{
	if (my_desk && has_seat)
		seat_give();
}

bool engine_is_idle(void)
{
	return !atomic_load(&engine.nr_serving);
}

/* The page is lost: its thread gets SIGBUS, now and at every later touch. */
static void fail_page(uintptr_t addr)
{
	struct uffdio_poison poison = {.range = {.start = addr, .len = PAGE_BYTES}};
	long err = sys_call3(SYS_ioctl, engine.uffd, (long)UFFDIO_POISON, (long)&poison);

	/* Older kernels cannot fail one access: the process ends, with the signal it would get. */
	if (err && err != -EEXIST)
		sys_call2(SYS_kill, sys_call0(SYS_getpid), SIGBUS);
}

static void serve(const struct uffd_msg *msg)
{
	uintptr_t addr = msg->arg.pagefault.address, page = addr & ~PAGE_MASK;
	bool is_protected = msg->arg.pagefault.flags & UFFD_PAGEFAULT_FLAG_WP;
	bool is_write = is_protected || msg->arg.pagefault.flags & UFFD_PAGEFAULT_FLAG_WRITE;

	faulting_thread = msg->arg.pagefault.feat.ptid;
	if (engine.sink->fault(addr, is_write, !is_protected))
		fail_page(page);
	/* Also when nothing was mapped: another thread may have mapped it before this one slept. */
	struct uffdio_range range = {.start = page, .len = PAGE_BYTES};
	sys_call3(SYS_ioctl, engine.uffd, (long)UFFDIO_WAKE, (long)&range);
}

static void uffd_thread(void *arg)
{
	my_desk = arg;
	if (my_desk->cpu != UNBOUND) {
		uint64_t cpus[MAX_CPUS / 64] = {0};

		cpus[my_desk->cpu / 64] = 1ull << my_desk->cpu % 64;
		sys_call3(SYS_sched_setaffinity, 0, sizeof(cpus), (long)cpus);
	}
	for (;;) {
		struct uffd_msg msg;

		if (!has_seat)
			seat_take();
		long n = sys_call3(SYS_read, engine.uffd, (long)&msg, sizeof(msg));
		if (n == (long)sizeof(msg) && msg.event == UFFD_EVENT_PAGEFAULT) {
			atomic_fetch_add(&engine.nr_serving, 1);
			note_message(msg.arg.pagefault.feat.ptid);
			serve(&msg);
			atomic_fetch_sub(&engine.nr_serving, 1);
		} else if (n < 0 && n != -EINTR && n != -EAGAIN)
			say_fatal(125, "the userfaultfd was closed under the pager");
	}
}

static int uffd_open(void)
{
	const uint64_t needed = UFFD_FEATURE_PAGEFAULT_FLAG_WP | UFFD_FEATURE_THREAD_ID;
	/* Where in its page a touch was, which readahead would know: since Linux 5.18. */
	int fd = engine_open_uffd(needed | UFFD_FEATURE_EXACT_ADDRESS, true);

	return fd == -EINVAL ? engine_open_uffd(needed, true) : fd;
}

static void desk_add(uint32_t cpu, uint32_t seats)
{
	struct desk *d = &engine.desk[engine.nr_desks++];

	d->cpu = cpu;
	atomic_store(&d->seats, seats);
	atomic_store(&d->nr_waiting, 0);
}

static void set_up_desks(void)
{
	uint64_t cpus[MAX_CPUS / 64] = {0};
	uint32_t nr = 0;

	/* An error (more CPUs than MAX_CPUS) leaves none set. */
	sys_call3(SYS_sched_getaffinity, 0, sizeof(cpus), (long)cpus);
	for (uint32_t i = 0; i < MAX_CPUS / 64; i++)
		nr += (uint32_t)__builtin_popcountll(cpus[i]);
	engine.nr_desks = 0;
	if (nr < 1 || nr > MAX_DESKS) {
		desk_add(UNBOUND, UNBOUND_SEATS);
		return;
	}
	for (uint32_t cpu = 0; cpu < MAX_CPUS; cpu++)
		if (cpus[cpu / 64] >> cpu % 64 & 1)
			desk_add(cpu, 1);
}

static int uffd_start(int uffd, const struct engine_sink *sink)
{
	engine.uffd = uffd;
	engine.sink = sink;
	atomic_store(&engine.nr_serving, 0); /* in the child of a fork */
	set_up_desks();
	for (uint32_t i = 0; i < NR_THREADS; i++) {
		struct desk *d = &engine.desk[i % engine.nr_desks];
		int tid = thread_start(uffd_thread, d, "faultline-uffd");

		if (tid < 0)
			return i ? 0 : tid; /* fewer threads serve as well, only slower */
	}
	return 0;
}

const struct engine_ops engine_uffd = {
    .name = "uffd",
    .open = uffd_open,
    .start = uffd_start,
};
