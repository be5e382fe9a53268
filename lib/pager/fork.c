// SPDX-License-Identifier: MIT
/*
 * Fork: two pagers out of one.
 *
 * Before: the gate is closed, everybody inside gets out, the pager's threads park, and managed
 * memory is sealed: PROT_NONE, and inherited by the child. In both processes the first touch of
 * it, wherever it comes from (libc and malloc touch memory in a forked child before any handler
 * of ours is sure to run), is then a SIGSEGV that leads into pager_enter(). The parent unseals.
 * The child makes the pager its own: it has a copy of all tables and of the pool; its mapped pages
 * are the parent's by copy-on-write; pages in swap it reads from the parent's file, whose slots
 * the parent keeps for it (swap/store.h). A child that only execs never comes here.
 */
#include "pager/internal.h"

#include <errno.h>
#include <limits.h>
#include <sys/syscall.h>

#include "base/ensure.h"
#include "base/fd.h"
#include "base/meta.h"
#include "base/say.h"
#include "base/sys.h"

#ifndef MADV_WIPEONFORK
#define MADV_WIPEONFORK 18
#endif

static const struct engine_sink *sink;

int fork_init(const struct engine_sink *s)
{
	sink = s;
	pg.fork_mark = meta_map(PAGE_BYTES);
	if (!pg.fork_mark)
		return -ENOMEM;
	atomic_store(pg.fork_mark, 1);
	return (int)sys_call3(SYS_madvise, (long)pg.fork_mark, PAGE_BYTES, MADV_WIPEONFORK);
}

void pager_stop(void)
{
	uint32_t me = (uint32_t)sys_call0(SYS_gettid);

	for (;;) {
		uint32_t open = 0, ticket = event_begin(&pg.gate_opened);

		if (atomic_compare_exchange_strong(&pg.gate_closed, &open, me)) {
			event_cancel(&pg.gate_opened);
			break;
		}
		event_wait(&pg.gate_opened, ticket);
	}
	for (;;) {
		uint32_t n = atomic_load(&pg.nr_inside);

		if (!n)
			return;
		futex_wait(&pg.nr_inside, n, 0);
	}
}

void pager_go_on(void)
{
	atomic_store(&pg.gate_closed, 0);
	event_signal(&pg.gate_opened);
}

int pager_fork_prepare(void)
{
	if (!pg.running)
		return 0;
	uint64_t mask = sys_signals_block(false);
	/* In a child that has touched no managed memory since its own fork, all is sealed still. */
	pager_enter();
	pager_leave();
	pager_stop();
	pg.fork_mask = mask;
	threads_park();
	struct sys_fd_limit limit;
	sys_fd_limit_raise(&limit);
	int err = source_flush(WINDOW_START, WINDOW_END);
	if (!err)
		err = swap_fork_prepare(pg.swap);
	sys_fd_limit_restore(&limit);
	if (!err) {
		err = mapping_seal();
		if (err) {
			mapping_unseal();
			swap_fork_parent(pg.swap);
		}
	}
	if (err) {
		threads_unpark();
		pager_go_on();
		sys_signals_restore(mask);
	}
	return err;
}

void pager_fork_parent(void)
{
	if (!pg.running)
		return;
	uint64_t mask = pg.fork_mask;

	ensure(mapping_unseal() == 0);
	swap_fork_parent(pg.swap);
	threads_unpark();
	pager_go_on();
	sys_signals_restore(mask);
}

void pager_fork_child(void)
{
	if (!pg.running)
		return;
	/* Nothing is built yet: the first touch does that, if there is one. */
	fd_after_fork();
	sys_signals_restore(pg.fork_mask);
}

static int build_child(void)
{
	/* What is the parent's goes first: the table of descriptors may be full. */
	transport_fini(&pg.transport);
	sys_call1(SYS_close, pg.transport.uffd);
	int fd = pg.engine->open();
	if (fd < 0)
		return fd;
	transport_init(&pg.transport, fd, &pg.telemetry);
	pg.transport.is_silent = pager_is_silent();
	atomic_store(&pg.nr_inside, 0);
	atomic_store(&pg.gate_opened.nr_waiting, 0);
	for (uint32_t i = 0; i < NR_PAGE_EVENTS; i++)
		atomic_store(&pg.page_event[i].nr_waiting, 0);
	vfork_after_fork();
	frames_after_fork(&pg.frames);
	threads_after_fork();
	readahead_after_fork();
	int err = telemetry_after_fork(&pg.telemetry, pg.config.telemetry);
	if (err)
		return err;
	/* Before anybody looks at the new record: what is resident is not outside. */
	pager_publish(false);
	atomic_store(&pg.telemetry.p->state, 2);
	swap_fork_child(pg.swap);
	mapping_become_child();
	err = mapping_register_all();
	if (!err)
		err = mapping_unseal();
	if (!err)
		err = pg.engine->start(fd, sink);
	return err ?: sample_start() ?: request_start();
}

static _Noreturn void die_in_child(const char *why, int err)
{
	struct say s = {0};

	say_str(&s, "a forked child cannot have a pager of its own (");
	say_str(&s, why);
	say_str(&s, ", error ");
	say_dec(&s, (uint64_t)-err);
	say_str(&s, "); it is stopped rather than let read wrong data");
	say_flush(&s);
	for (;;)
		sys_call1(SYS_exit_group, 125);
}

/* Of the threads that a child may have before it touches anything, one builds the pager. */
static _Atomic uint32_t is_building; /* 0 in every process that forks */

/* Return: the pager is this thread's to build. If not, another one has built it. */
static bool build_begin(void)
{
	uint32_t no = 0;

	if (!atomic_compare_exchange_strong(&is_building, &no, 1)) {
		futex_wait(pg.fork_mark, 0, 0);
		return false;
	}
	if (!atomic_load(pg.fork_mark))
		return true;
	atomic_store(&is_building, 0);
	return false;
}

static void build_end(void)
{
	atomic_store(pg.fork_mark, 1);
	atomic_store(&is_building, 0);
	futex_wake(pg.fork_mark, INT_MAX);
}

void fork_become_child(void)
{
	uint64_t mask = sys_signals_block(false);

	if (!build_begin()) {
		sys_signals_restore(mask);
		return;
	}
	/* Made by a raw clone(): nobody stopped the pager for it, its tables may be half changed.
	 */
	if (!atomic_load(&pg.gate_closed))
		die_in_child("made by a system call of its own, not by fork()", -ENOTSUP);
	struct sys_fd_limit limit;
	sys_fd_limit_raise(&limit);
	int err = build_child();
	sys_fd_limit_restore(&limit);
	if (err)
		die_in_child("set-up failed", err);
	pager_publish(true);
	pager_go_on();
	build_end();
	sys_signals_restore(mask);
}
