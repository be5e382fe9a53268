// SPDX-License-Identifier: MIT
/*
 * What a debugger does to start a program: a child of vfork() asks to be traced, and execs. Traced,
 * it stops at every signal that it gets before, those of a pager included, and only its parent can
 * let it go on.
 */
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "prog.h"

#define PAGE  4096u
#define BYTES (8u << 20)

int main(void)
{
	char *memory = managed_pages(BYTES);
	char *path = managed_string("/bin/true"),
	     *argv[] = {path, managed_string("an argument"), NULL};
	int status, nr_execs = 0;

	memset(memory, 7, BYTES);
	pid_t pid = vfork();
	if (!pid) {
		unsigned sum = 0;

		if (ptrace(PTRACE_TRACEME, 0, NULL, NULL))
			_exit(2);
		for (size_t i = 0; i < BYTES; i += PAGE)
			sum += ((volatile char *)memory)[i];
		if (sum != 7 * BYTES / PAGE || access(path, X_OK))
			_exit(3);
		execv(path, argv);
		_exit(4);
	}
	CHECK(pid > 0);
	for (;;) {
		CHECK(waitpid(pid, &status, 0) == pid);
		if (!WIFSTOPPED(status))
			break;
		int sig = WSTOPSIG(status);

		nr_execs += sig == SIGTRAP;
		CHECK(!ptrace(PTRACE_CONT, pid, NULL, (void *)(long)(sig == SIGTRAP ? 0 : sig)));
	}
	printf("%d exec, status %#x\n", nr_execs, (unsigned)status);
	for (size_t i = 0; i < BYTES; i++)
		CHECK(memory[i] == 7);
	return 0;
}
