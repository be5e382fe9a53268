// SPDX-License-Identifier: MIT
/*
 * Start-up of the preload library with the fake pager: as lib/preload/start.c, but for options.
 * FAKE_MALLOC=libc: libc's own malloc is managed.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/say.h"
#include "base/sys.h"
#include "pager/pager.h"
#include "preload/guard.h"
#include "preload/libc_malloc.h"
#include "preload/signals.h"
#include "preload/start.h"
#include "preload/wrap_exec.h"

extern char **environ;

static void fork_prepare(void)
{
	pager_fork_prepare();
}

void preload_start(void)
{
	static _Atomic int phase;
	int idle = 0;
	char why[256];

	if (atomic_load(&phase) || !atomic_compare_exchange_strong(&phase, &idle, 1))
		return;
	const char *off = getenv("FAULTLINE_OFF");
	if (off && !strcmp(off, "1"))
		return;
	const char *malloc_of = getenv("FAKE_MALLOC");
	bool is_libcs = malloc_of && !strcmp(malloc_of, "libc");
	if (!is_libcs)
		pthread_atfork(fork_prepare, pager_fork_parent, pager_fork_child);
	wrap_exec_remember(environ);
	if (sys_gate_map())
		say_fatal(125, "gate");
	if (pager_start(NULL, why, sizeof(why)))
		say_fatal(125, why);
	if (signals_install())
		say_fatal(125, "signals");
	if (guard_install())
		say_fatal(125, "guard");
	if (is_libcs && libc_malloc_take())
		say_fatal(125, "malloc");
}

__attribute__((constructor(101))) static void on_load(void)
{
	preload_start();
}

__attribute__((destructor)) static void on_exit_of_program(void)
{
	pager_at_exit();
}
