// SPDX-License-Identifier: MIT
/*
 * A plain program: its child, made by _Fork(), syscall() or the instruction itself, reads 8 MiB
 * that the parent wrote. Exit status: 0 the child saw all of it, 125 the child was stopped, 1
 * anything else.
 *
 *     forks _Fork|syscall|instruction
 */
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define BYTES (8u << 20)

static int nr_wrong(const unsigned char *p)
{
	int wrong = 0;

	for (size_t i = 0; i < BYTES; i += 4096)
		wrong += p[i] != (unsigned char)(1 + i / 4096 % 255);
	return wrong;
}

static pid_t fork_how(const char *how)
{
	long pid;

	if (!strcmp(how, "_Fork"))
		return _Fork();
	if (!strcmp(how, "syscall"))
		return (pid_t)syscall(SYS_fork);
	__asm__ volatile("syscall" : "=a"(pid) : "a"((long)SYS_fork) : "rcx", "r11", "memory");
	return (pid_t)pid;
}

int main(int argc, char **argv)
{
	unsigned char *p =
	    mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int status;

	if (argc != 2 || p == MAP_FAILED)
		return 2;
	for (size_t i = 0; i < BYTES; i += 4096)
		p[i] = (unsigned char)(1 + i / 4096 % 255);
	pid_t pid = fork_how(argv[1]);
	if (pid == 0)
		_exit(nr_wrong(p) ? 1 : 0);
	if (waitpid(pid, &status, 0) != pid || nr_wrong(p) || !WIFEXITED(status))
		return 1;
	return WEXITSTATUS(status);
}
