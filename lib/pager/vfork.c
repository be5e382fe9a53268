// SPDX-License-Identifier: MIT
/*
 * Children that share this process's memory but are processes of their own: of vfork, and of a
 * clone with CLONE_VM and without CLONE_THREAD.
 *
 * Such a child has a table of descriptors of its own, in which ours may be closed by now, or be
 * something else: it must not do the pager's I/O. And it can be killed at any line, alone: it must
 * not hold the pager's locks. So it only asks, in a box of the shared memory, and a thread of the
 * parent serves the fault for it. The box outlives a killed asker: a request whose owner
 * is gone is taken over.
 *
 * (With the engine `uffd` the kernel asks pager threads of the parent for most of it anyway.)
 */
#include "pager/internal.h"

#include <errno.h>
#include <sys/syscall.h>

#include "base/say.h"
#include "base/sys.h"
#include "base/thread.h"

#define NR_REQUESTS 16u
#define LOOK_NS     100000000u /* how often an asker makes sure that its server is alive; guess */

enum request_state {
	REQUEST_IDLE,
	REQUEST_ASKED,
	REQUEST_DONE,
};

struct request {
	_Atomic uint32_t owner;   /* thread id of the asker, or 0 */
	_Atomic uint32_t state;   /* enum request_state */
	uintptr_t addr;           /* [owner, then server from REQUEST_ASKED to REQUEST_DONE] */
	enum access access;       /* likewise */
	enum fault_result result; /* likewise */
};

static struct request requests[NR_REQUESTS];
static struct event asked;
static struct event freed; /* a request is without owner again */
static _Atomic int server; /* thread id, or 0: none yet; -1: being started */

static void serve_request(struct request *r)
{
	r->result = pager_fault(r->addr, r->access);
	/* Pairs with vfork_ask(). If the asker died meanwhile, its request is now fit to be taken.
	 */
	atomic_store(&r->state, REQUEST_DONE);
	futex_wake(&r->state, 1);
}

static void server_thread(void *arg)
{
	(void)arg;
	for (;;) {
		uint32_t ticket = event_begin(&asked);
		bool any = false;

		for (uint32_t i = 0; i < NR_REQUESTS; i++) {
			if (atomic_load(&requests[i].state) != REQUEST_ASKED)
				continue;
			serve_request(&requests[i]);
			any = true;
		}
		event_wait_unless(&asked, ticket, any);
	}
}

/* Return: whether there is a server. */
static bool server_start(void)
{
	int none = 0;

	if (LIKELY(atomic_load(&server) > 0))
		return true;
	if (atomic_compare_exchange_strong(&server, &none, -1)) {
		int tid = thread_start(server_thread, NULL, "faultline-vfork");

		atomic_store(&server, MAX(tid, 0));
	}
	return atomic_load(&server) > 0;
}

bool pager_vfork_prepare(void)
{
	if (!pg.running)
		return false;
	/* A forked child that has touched nothing yet: its pager must be its own, not be built by
	 * a child of the child, in a table of descriptors that goes away. */
	uint64_t mask = sys_signals_block(false);
	if (!atomic_load(&pg.nr_vforks) || !vfork_is_child()) {
		pager_enter();
		pager_leave();
	}
	bool is_ready = server_start();
	if (is_ready)
		atomic_fetch_add(&pg.nr_vforks, 1);
	sys_signals_restore(mask);
	return is_ready;
}

void pager_vfork_parent(void)
{
	atomic_fetch_sub(&pg.nr_vforks, 1);
}

void vfork_after_fork(void)
{
	for (uint32_t i = 0; i < NR_REQUESTS; i++) {
		atomic_store(&requests[i].owner, 0);
		atomic_store(&requests[i].state, REQUEST_IDLE);
	}
	atomic_store(&asked.nr_waiting, 0);
	atomic_store(&freed.nr_waiting, 0);
	atomic_store(&server, 0);
	atomic_store(&pg.nr_vforks, 0);
	pg.pid = (int)sys_call0(SYS_getpid);
}

bool vfork_is_child(void)
{
	/* In the child of a fork the number is its parent's: fork.c comes first. */
	return atomic_load_explicit(pg.fork_mark, memory_order_relaxed) &&
	       (int)sys_call0(SYS_getpid) != pg.pid;
}

bool pager_in_vfork_child(void)
{
	return pg.running && vfork_is_child();
}

/* Also SIGKILL takes time: until a killed server is gone nobody notices. */
static void check_server(void)
{
	if (sys_call3(SYS_tgkill, pg.pid, atomic_load(&server), 0) == -ESRCH)
		say_fatal(125, "the parent of a vfork child is gone: nobody can serve its fault");
}

/* Free, or of an asker that was killed while nothing is being done for it any more. */
static bool request_take(struct request *r, uint32_t me)
{
	uint32_t owner = atomic_load(&r->owner);

	if (owner && (atomic_load(&r->state) == REQUEST_ASKED ||
	                 sys_call2(SYS_tkill, (int)owner, 0) != -ESRCH))
		return false;
	return atomic_compare_exchange_strong(&r->owner, &owner, me);
}

static struct request *request_get(void)
{
	uint32_t me = (uint32_t)sys_call0(SYS_gettid);

	for (;;) {
		uint32_t ticket = event_begin(&freed);

		for (uint32_t i = 0; i < NR_REQUESTS; i++) {
			if (!request_take(&requests[i], me))
				continue;
			event_cancel(&freed);
			return &requests[i];
		}
		/* Bounded: an owner that is killed signals nothing. */
		futex_wait(&freed.seq, ticket, LOOK_NS);
		event_cancel(&freed);
		check_server();
	}
}

enum fault_result vfork_ask(uintptr_t addr, enum access access)
{
	struct request *r = request_get();

	r->addr = addr;
	r->access = access;
	atomic_store(&r->state, REQUEST_ASKED); /* pairs with server_thread() */
	event_signal(&asked);
	while (atomic_load(&r->state) != REQUEST_DONE)
		if (futex_wait(&r->state, REQUEST_ASKED, LOOK_NS) == -ETIMEDOUT)
			check_server();
	enum fault_result result = r->result;
	atomic_store(&r->state, REQUEST_IDLE);
	atomic_store(&r->owner, 0);
	event_signal(&freed);
	return result;
}
