// SPDX-License-Identifier: MIT
/* The guard's table against the list of system calls in the kernel's headers. */
#include <criterion/criterion.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "preload/guard.h"

static const struct {
	const char *name;
	long nr;
} calls[] = {
#include "call_names.h"
};

Test(guard_table, knows_every_system_call)
{
	cr_assert_gt(ARRAY_LEN(calls), 300u);
	for (size_t i = 0; i < ARRAY_LEN(calls); i++)
		cr_expect(guard_info(calls[i].nr)->is_known, "%s (%ld) is not in the table",
		    calls[i].name, calls[i].nr);
}

static bool is_length(enum arg_kind kind)
{
	return kind == ARG_IN_BUF || kind == ARG_INOUT_BUF || kind == ARG_OUT_BUF ||
	       kind == ARG_OUT_LEN || kind == ARG_SIGSET;
}

Test(guard_table, lengths_are_those_of_other_arguments)
{
	for (size_t i = 0; i < ARRAY_LEN(calls); i++) {
		const struct guard_info *info = guard_info(calls[i].nr);

		for (int a = 0; a < NR_ARGS; a++) {
			const struct guard_arg *arg = &info->arg[a];

			if (!is_length(arg->kind))
				continue;
			/* What has a length of its own may have no bound on it. */
			cr_expect(arg->len < NR_ARGS && arg->len != a &&
			              (arg->size || arg->kind == ARG_OUT_LEN),
			    "%s, argument %d", calls[i].name, a);
			/* A count is a value; where the call writes it back, a pointer to it. */
			cr_expect_eq(info->arg[arg->len].kind,
			    arg->kind == ARG_OUT_LEN ? ARG_INOUT : ARG_VALUE, "%s, argument %d",
			    calls[i].name, a);
		}
	}
}

Test(guard_table, names_of_sockets_have_a_bound)
{
	static const long named[] = {SYS_accept, SYS_accept4, SYS_getsockname, SYS_getpeername};

	for (size_t i = 0; i < ARRAY_LEN(named); i++) {
		cr_expect_eq(guard_info(named[i])->arg[1].kind, ARG_OUT_LEN);
		cr_expect_eq(guard_info(named[i])->arg[1].size, sizeof(struct sockaddr_storage));
	}
	cr_expect_eq(guard_info(SYS_getsockopt)->arg[3].kind, ARG_OUT_LEN);
	cr_expect_eq(guard_info(SYS_getsockopt)->arg[3].size, 0, "an option may be of any length");
}

Test(guard_table, unlisted_calls_are_unknown_throughout)
{
	static const long unlisted[] = {-1, 334 + 10, 400, GUARD_NR_CALLS, 100000};

	for (size_t i = 0; i < ARRAY_LEN(unlisted); i++)
		for (int a = 0; a < NR_ARGS; a++)
			cr_expect_eq(guard_info(unlisted[i])->arg[a].kind, ARG_UNKNOWN);
}

/* What our own handlers cannot do without: trapped, each would be for ever. */
Test(guard_table, returns_from_handlers_pass)
{
	for (int a = 0; a < NR_ARGS; a++)
		cr_expect_eq(guard_info(SYS_rt_sigreturn)->arg[a].kind, ARG_VALUE);
}
