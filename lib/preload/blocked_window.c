// SPDX-License-Identifier: MIT
/* Watching a thread for the call that blocks all signals; see blocked_window.h. */
#include "preload/blocked_window.h"

#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "base/sys.h"
#include "preload/signals.h"

#ifndef PR_SET_SYSCALL_USER_DISPATCH
#define PR_SET_SYSCALL_USER_DISPATCH 59
#define PR_SYS_DISPATCH_OFF          0
#define PR_SYS_DISPATCH_ON           1
#endif
#define DISPATCH_ALLOW 0
#define DISPATCH_BLOCK 1

/* What the kernel looks at before each system call of this thread, while it is switched on. */
static _Thread_local volatile uint8_t selector;

static _Thread_local bool is_often; /* until a thread is made, not only once */

static void watch(bool often)
{
	is_often = often;
	/* What comes from the gate passes: our own calls, and the return from our handlers. */
	selector = DISPATCH_ALLOW;
	if (sys_call5(SYS_prctl, PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_ON,
	        (long)SYS_GATE_PAGE, PAGE_BYTES, (long)&selector))
		return;
	selector = DISPATCH_BLOCK;
}

void blocked_window_watch(void)
{
	watch(false);
}

void blocked_window_watch_threads(void)
{
	watch(true);
}

void blocked_window_forget(void)
{
	selector = DISPATCH_ALLOW;
	sys_call5(SYS_prctl, PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_OFF, 0, 0, 0);
}

static bool blocks_all(const greg_t *g)
{
	uint64_t set;

	if (g[REG_RAX] != SYS_rt_sigprocmask || !g[REG_RSI] || g[REG_RDI] == SIG_UNBLOCK)
		return false;
	memcpy(&set, (const void *)g[REG_RSI], sizeof(set));
	return (set & SIGNALS_KEPT) == SIGNALS_KEPT;
}

/* Block all that was asked for but ours. What rt_sigprocmask sets inside a handler is undone when
 * it returns: the interrupted context's mask is what counts. */
static void block_the_rest(ucontext_t *uc)
{
	greg_t *g = uc->uc_mcontext.gregs;
	uint64_t set, old;

	memcpy(&old, &uc->uc_sigmask, sizeof(old));
	memcpy(&set, (const void *)g[REG_RSI], sizeof(set));
	set &= ~SIGNALS_KEPT;
	if (g[REG_RDI] == SIG_BLOCK)
		set |= old;
	if (g[REG_RDX])
		memcpy((void *)g[REG_RDX], &old, sizeof(old));
	memcpy(&uc->uc_sigmask, &set, sizeof(set));
	g[REG_RAX] = 0;
}

bool blocked_window_trap(ucontext_t *uc)
{
	greg_t *g = uc->uc_mcontext.gregs;

	selector = DISPATCH_ALLOW;
	if (blocks_all(g)) {
		block_the_rest(uc);
		if (is_often)
			blocked_window_resume();
		else
			blocked_window_forget();
		return true;
	}
	if (g[REG_RAX] == SYS_rt_sigreturn || g[REG_RAX] == SYS_exit || g[REG_RAX] == SYS_clone ||
	    g[REG_RAX] == SYS_clone3) {
		/* These cannot be made from a handler: run again, unwatched. */
		blocked_window_forget();
		g[REG_RIP] -= 2;
		return true;
	}
	return false;
}

void blocked_window_resume(void)
{
	selector = DISPATCH_BLOCK;
}

bool blocked_window_pause(void)
{
	bool was_watching = selector == DISPATCH_BLOCK;

	selector = DISPATCH_ALLOW;
	return was_watching;
}
