// SPDX-License-Identifier: MIT
/* A pager without the preloaded library, for tests that look into it. */
#ifndef FL_TEST_PAGER_ALONE_H
#define FL_TEST_PAGER_ALONE_H

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

#include "base/sys.h"
#include "pager/internal.h"
#include "swap/backend.h"

static void on_fault(int signal, void *info_, void *context)
{
	const siginfo_t *info = info_;
	const ucontext_t *u = context;
	enum access access = access_of((unsigned long)u->uc_mcontext.gregs[REG_ERR]);

	(void)signal;
	if (pager_fault((uintptr_t)info->si_addr, access) != FAULT_DONE)
		__builtin_trap();
}

/* Start the pager and serve this process's faults. Return: done; else it has said why not. */
static bool start_alone(const char *engine, const char *reclaim, uint32_t ram_pages,
    const char *policy, const char *compress)
{
	struct pager_config config = {.ram_bytes = ram_pages * PAGE_BYTES,
	    .min_map_bytes = PAGE_BYTES,
	    .swap_dir = "/var/tmp"};
	char why[256];

	strcpy(config.engine, engine);
	strcpy(config.reclaim, reclaim);
	strcpy(config.policy, policy);
	strcpy(config.compress, compress);
	if (sys_gate_map() || pager_start(&config, why, sizeof(why))) {
		fprintf(stderr, "no pager: %s\n", why);
		return false;
	}
	sys_signal_install(SIGBUS, on_fault, ~0ull, 0, NULL);
	sys_signal_install(SIGSEGV, on_fault, ~0ull, 0, NULL);
	return true;
}

/* Nothing is queued to be written, or being written, when this returns. */
static inline void settle_alone(void)
{
	reclaim_stop();
	reclaim_go_on();
}

/* Managed memory. */
static inline void *map_alone(size_t bytes)
{
	return (void *)pager_mmap(
	    0, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

/* Swap's backend, but with the transfers of @transfer, which come to *@inner's in the end. For
 * swap_wrap_backend. */
static inline struct swap_backend *with_transfer(struct swap_backend *b,
    int (*transfer)(struct swap_backend *b, struct swap_io *ios, uint32_t nr),
    const struct swap_backend_ops **inner)
{
	static struct swap_backend_ops ops;

	*inner = b->ops;
	ops = *b->ops;
	ops.transfer = transfer;
	b->ops = &ops;
	return b;
}

#endif
