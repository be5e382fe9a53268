// SPDX-License-Identifier: MIT
/* Looking at a program's file; see exec_check.h. `faultline run` has a judgement of its own that
 * explains itself; this one must work in the child of a vfork. */
#include "preload/exec_check.h"

#include <elf.h>
#include <fcntl.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "base/sys.h"

#define LOADER      "/lib64/ld-linux-x86-64.so.2"
#define MAX_SCRIPTS 5   /* as many interpreters of interpreters does the kernel follow */
#define HEAD_BYTES  256 /* the kernel looks at no more of a script's first line */

static bool is_loader(const struct stat *st)
{
	struct stat loader;

	return !sys_call2(SYS_stat, (long)LOADER, (long)&loader) && st->st_dev == loader.st_dev &&
	       st->st_ino == loader.st_ino;
}

/* The loader heeds no LD_PRELOAD then. */
static bool gains_privilege(const struct stat *st)
{
	bool is_setuid = (st->st_mode & S_ISUID) && st->st_uid != sys_call0(SYS_getuid);
	bool is_setgid = (st->st_mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP) &&
	                 st->st_gid != sys_call0(SYS_getgid);

	return (is_setuid || is_setgid) && sys_call1(SYS_prctl, PR_GET_NO_NEW_PRIVS) <= 0;
}

/* The C library's loader, by the name that follows the last slash of the interpreter. */
static bool is_our_interpreter(int fd, const Elf64_Phdr *ph)
{
	char interp[HEAD_BYTES];
	long n = sys_call4(SYS_pread64, fd, (long)interp, MIN(ph->p_filesz, sizeof(interp) - 1),
	    (long)ph->p_offset);

	interp[MAX(n, 0)] = '\0';
	const char *base = strrchr(interp, '/');
	return !strcmp(base ? base + 1 : interp, strrchr(LOADER, '/') + 1);
}

static bool elf_is_unmanaged(int fd, const Elf64_Ehdr *eh)
{
	Elf64_Phdr ph;
	struct stat st;

	if (sys_call2(SYS_fstat, fd, (long)&st))
		return false;
	if (eh->e_ident[EI_CLASS] != ELFCLASS64 || eh->e_machine != EM_X86_64)
		return true;
	for (unsigned i = 0; i < eh->e_phnum; i++) {
		long n = sys_call4(SYS_pread64, fd, (long)&ph, sizeof(ph),
		    (long)(eh->e_phoff + (uint64_t)i * sizeof(ph)));

		if (n != sizeof(ph))
			return false; /* cut short: it will not start */
		if (ph.p_type == PT_INTERP)
			return !is_our_interpreter(fd, &ph) || gains_privilege(&st);
	}
	return !is_loader(&st);
}

/* "#! interpreter [argument]" in @head: the interpreter into @name. Return: @name, or NULL if it is
 * no script. */
static const char *script_interpreter(char *name, const char *head)
{
	if (head[0] != '#' || head[1] != '!')
		return NULL;
	const char *start = head + 2 + strspn(head + 2, " \t");
	size_t len = strcspn(start, " \t\n");
	memcpy(name, start, len);
	name[len] = '\0';
	return name;
}

bool exec_is_unmanaged(int dir_fd, const char *path, int flags)
{
	char head[HEAD_BYTES], interpreter[HEAD_BYTES];
	int dir = dir_fd;

	for (int depth = 0; depth <= MAX_SCRIPTS; depth++) {
		bool is_open = !*path && (flags & AT_EMPTY_PATH);
		long fd = is_open ? dir
		                  : sys_call4(SYS_openat, dir, (long)path,
		                        O_RDONLY | O_CLOEXEC | O_NONBLOCK, 0);
		if (fd < 0)
			return false;
		long n = sys_call4(SYS_pread64, fd, (long)head, sizeof(head) - 1, 0);
		head[MAX(n, 0)] = '\0';
		bool is_elf = n >= (long)sizeof(Elf64_Ehdr) && !memcmp(head, ELFMAG, SELFMAG);
		bool result = false;
		if (is_elf) {
			Elf64_Ehdr eh;

			memcpy(&eh, head, sizeof(eh));
			result = elf_is_unmanaged((int)fd, &eh);
		}
		if (!is_open)
			sys_call1(SYS_close, fd);
		path = is_elf ? NULL : script_interpreter(interpreter, head);
		if (!path)
			return result;
		dir = AT_FDCWD;
		flags = 0;
	}
	return false;
}
