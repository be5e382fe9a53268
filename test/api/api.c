// SPDX-License-Identifier: MIT
#include "api.h"

sigjmp_buf api_back;
siginfo_t api_last;

static void on_signal(int sig, siginfo_t *si, void *context)
{
	(void)sig;
	(void)context;
	api_last = *si;
	siglongjmp(api_back, 1);
}

void api_handlers(void)
{
	struct sigaction act = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO};

	EXPECT(!sigaction(SIGSEGV, &act, NULL) && !sigaction(SIGBUS, &act, NULL));
}

int api_try(volatile char *p, bool is_write)
{
	api_last.si_signo = 0;
	if (!sigsetjmp(api_back, 1)) {
		if (is_write)
			*p = 1;
		else
			(void)*p;
	}
	return api_last.si_signo;
}

int api_in_child(int (*fn)(void *arg), void *arg)
{
	int status;
	pid_t pid = fork();

	EXPECT(pid >= 0);
	if (!pid)
		_exit(fn(arg));
	EXPECT(waitpid(pid, &status, 0) == pid);
	return status;
}
