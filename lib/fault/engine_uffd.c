// SPDX-License-Identifier: MIT
/*
 * Engine `uffd`: the faulting thread sleeps in the kernel while a pager thread reads its message,
 * serves the fault and wakes it. With privilege this covers faults inside system calls too.
 *
 * Of NR_THREADS threads, at most NR_READERS sit in read() at a time: every sleeping reader is
 * woken by every message, so more than one per CPU only cost. A thread that is about to wait for
 * I/O hands its reader's seat to another (engine_will_block).
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

#define NR_THREADS 16
#define NR_READERS 2

static struct {
	int uffd;                       /* [const] after start */
	const struct engine_sink *sink; /* [const] after start */
	_Atomic uint32_t seats;         /* reader's seats free */
	_Atomic uint32_t nr_waiting;    /* threads that wait for a seat */
} engine;

/* This thread reads messages, and has a seat now. */
static _Thread_local bool is_reader, has_seat;

static void seat_take(void)
{
	for (;;) {
		uint32_t free = atomic_load(&engine.seats);

		if (free && atomic_compare_exchange_strong(&engine.seats, &free, free - 1))
			break;
		if (!free) {
			atomic_fetch_add(&engine.nr_waiting, 1);
			futex_wait(&engine.seats, 0, 0);
			atomic_fetch_sub(&engine.nr_waiting, 1);
		}
	}
	has_seat = true;
}

static void seat_give(void)
{
	has_seat = false;
	atomic_fetch_add(&engine.seats, 1);
	if (atomic_load(&engine.nr_waiting))
		futex_wake(&engine.seats, 1);
}

void engine_will_block(void)
{
	if (is_reader && has_seat)
		seat_give();
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
	uintptr_t addr = msg->arg.pagefault.address & ~PAGE_MASK;
	bool is_write =
	    msg->arg.pagefault.flags & (UFFD_PAGEFAULT_FLAG_WRITE | UFFD_PAGEFAULT_FLAG_WP);

	if (engine.sink->fault(addr, is_write))
		fail_page(addr);
	/* Also when nothing was mapped: another thread may have mapped it before this one slept. */
	struct uffdio_range range = {.start = addr, .len = PAGE_BYTES};
	sys_call3(SYS_ioctl, engine.uffd, (long)UFFDIO_WAKE, (long)&range);
}

static void uffd_thread(void *arg)
{
	(void)arg;
	is_reader = true;
	for (;;) {
		struct uffd_msg msg;

		if (!has_seat)
			seat_take();
		long n = sys_call3(SYS_read, engine.uffd, (long)&msg, sizeof(msg));
		if (n == (long)sizeof(msg) && msg.event == UFFD_EVENT_PAGEFAULT)
			serve(&msg);
		else if (n < 0 && n != -EINTR && n != -EAGAIN)
			say_fatal(125, "the userfaultfd was closed under the pager");
	}
}

static int uffd_open(void)
{
	return engine_open_uffd(UFFD_FEATURE_PAGEFAULT_FLAG_WP, true);
}

static int uffd_start(int uffd, const struct engine_sink *sink)
{
	engine.uffd = uffd;
	engine.sink = sink;
	atomic_store(&engine.seats, NR_READERS);
	atomic_store(&engine.nr_waiting, 0);
	for (int i = 0; i < NR_THREADS; i++) {
		int tid = thread_start(uffd_thread, NULL, "faultline-uffd");

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
