// SPDX-License-Identifier: MIT
/* Finding and judging the program; see program.h. */
#include "program.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "cli.h"

/* Where execvp looks without PATH. */
#define DEFAULT_PATH "/bin:/usr/bin"

/* The kernel follows this many interpreters of interpreters. */
#define MAX_SCRIPTS 5

#define LOADER "/lib64/ld-linux-x86-64.so.2"

/* What starts a file: the kernel looks at no more of a script's first line. */
struct head {
	unsigned char bytes[256];
	size_t len;
};

/* Return: 0, -ENOENT, -EACCES (there, not to be executed) or another -errno. */
static int check_executable(const char *path)
{
	struct stat st;

	if (stat(path, &st))
		return errno == ENOTDIR ? -ENOENT : -errno;
	if (S_ISDIR(st.st_mode))
		return -EISDIR;
	if (!S_ISREG(st.st_mode) || access(path, X_OK))
		return -EACCES;
	return 0;
}

static int search_path(const char *name, char *ret_path)
{
	const char *dirs = getenv("PATH") ? getenv("PATH") : DEFAULT_PATH;
	int err = -ENOENT;

	for (const char *dir = dirs; dir;) {
		const char *end = strchrnul(dir, ':');
		int len = (int)(end - dir);
		char path[PATH_MAX];

		dir = *end ? end + 1 : NULL;
		if (snprintf(path, sizeof(path), "%.*s%s%s", len, end - len, len ? "/" : "./",
		        name) >= (int)sizeof(path))
			continue;
		int found = check_executable(path);
		if (!found) {
			memcpy(ret_path, path, sizeof(path));
			return 0;
		}
		if (found == -EACCES)
			err = -EACCES;
	}
	return err;
}

static int find_file(const char *name, char *ret_path)
{
	if (!*name)
		return -ENOENT;
	if (!strchr(name, '/'))
		return search_path(name, ret_path);
	if (strlen(name) >= PATH_MAX)
		return -ENAMETOOLONG;
	strcpy(ret_path, name);
	return check_executable(name);
}

__attribute__((format(printf, 2, 3))) static void refuse(struct program *p, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(p->why_not, sizeof(p->why_not), format, args);
	va_end(args);
	p->can_preload = false;
}

/* Whether @path is the dynamic loader itself: it has no interpreter, and heeds LD_PRELOAD. */
static bool is_loader(int fd)
{
	struct stat a, b;

	return !fstat(fd, &a) && !stat(LOADER, &b) && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

/* The kernel sets AT_SECURE for such programs, and the loader then heeds no LD_PRELOAD. */
static void judge_privilege(struct program *p, const char *path, int fd)
{
	struct stat st;
	struct statvfs fs;
	char capability[64];

	if (fstat(fd, &st) || fstatvfs(fd, &fs) || (fs.f_flag & ST_NOSUID))
		return;
	if (st.st_mode & S_ISUID)
		refuse(p, "%s is setuid", path);
	else if ((st.st_mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP))
		refuse(p, "%s is setgid", path);
	else if (fgetxattr(fd, "security.capability", capability, sizeof(capability)) > 0)
		refuse(p, "%s has file capabilities", path);
}

/* Return: false when the file is cut short. */
static bool judge_interpreter(struct program *p, const char *path, int fd, const Elf64_Phdr *ph)
{
	char interp[PATH_MAX];
	size_t len = MIN(ph->p_filesz, sizeof(interp) - 1);

	ssize_t got = pread(fd, interp, len, (off_t)ph->p_offset);
	if (got <= 0 || (size_t)got < len)
		return false;
	interp[got] = '\0';
	const char *base = strrchr(interp, '/');
	if (!strcmp(base ? base + 1 : interp, "ld-linux-x86-64.so.2"))
		return true;
	refuse(p, "%s is linked against another C library (%.200s)", path, interp);
	p->is_foreign = true;
	return true;
}

/* Return: false when the file is cut short: the kernel would not run it either. */
static bool judge_elf(struct program *p, const char *path, int fd, const struct head *head)
{
	Elf64_Ehdr eh;
	Elf64_Phdr ph;

	memcpy(&eh, head->bytes, sizeof(eh));
	if (eh.e_ident[EI_CLASS] != ELFCLASS64 || eh.e_machine != EM_X86_64) {
		refuse(p, "%s is not a 64-bit x86 program", path);
		p->is_foreign = true;
		return true;
	}
	for (unsigned i = 0; i < eh.e_phnum; i++) {
		off_t at = (off_t)(eh.e_phoff + (uint64_t)i * sizeof(ph));

		if (pread(fd, &ph, sizeof(ph), at) != sizeof(ph))
			return false;
		if (ph.p_type != PT_INTERP)
			continue;
		if (!judge_interpreter(p, path, fd, &ph))
			return false;
		if (p->can_preload)
			judge_privilege(p, path, fd);
		return true;
	}
	if (!is_loader(fd))
		refuse(p, "%s is statically linked", path);
	return true;
}

/* "#! interpreter [argument]". Return: whether it is a script; @interpreter "" when broken. */
static bool read_script(const struct head *head, char *interpreter, size_t bytes)
{
	char line[sizeof(head->bytes) + 1];

	if (head->len < 2 || head->bytes[0] != '#' || head->bytes[1] != '!')
		return false;
	memcpy(line, head->bytes, head->len);
	line[head->len] = '\0';
	line[strcspn(line, "\n")] = '\0';
	char *start = line + 2 + strspn(line + 2, " \t");
	start[strcspn(start, " \t")] = '\0';
	snprintf(interpreter, bytes, "%s", start);
	return true;
}

/*
 * Judge the file that will run in the end. Return: STATUS_GO_ON or an exit status.
 */
static int judge(struct program *p, const char *name)
{
	char path[PATH_MAX], interpreter[sizeof(((struct head *)0)->bytes)];

	strcpy(path, p->path);
	for (int depth = 0; depth <= MAX_SCRIPTS; depth++) {
		struct head head = {.len = 0};
		int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

		if (fd < 0)
			return STATUS_GO_ON; /* may be run, not read: nothing to be seen */
		ssize_t got = pread(fd, head.bytes, sizeof(head.bytes), 0);
		head.len = got > 0 ? (size_t)got : 0;
		bool has_magic = head.len >= SELFMAG && !memcmp(head.bytes, ELFMAG, SELFMAG);
		bool is_elf =
		    has_magic && head.len >= sizeof(Elf64_Ehdr) && judge_elf(p, path, fd, &head);
		close(fd);
		if (is_elf)
			return STATUS_GO_ON;
		if (!read_script(&head, interpreter, sizeof(interpreter))) {
			if (depth || has_magic || memchr(head.bytes, '\0', head.len))
				return complain(STATUS_NOT_EXECUTABLE,
				    "%s: not a program this machine can execute", name);
			strcpy(interpreter, "/bin/sh"); /* as execvp does */
		}
		int err = check_executable(interpreter);
		if (err)
			return complain(err == -ENOENT ? STATUS_NOT_FOUND : STATUS_NOT_EXECUTABLE,
			    "%s: its interpreter %s %s", name, interpreter,
			    err == -ENOENT ? "is not found" : "is not executable");
		strcpy(path, interpreter);
	}
	return complain(STATUS_NOT_EXECUTABLE, "%s: too many interpreters of interpreters", name);
}

int program_find(const char *name, struct program *p)
{
	p->can_preload = true;
	p->is_foreign = false;
	p->why_not[0] = '\0';
	int err = find_file(name, p->path);
	if (err == -ENOENT || err == -ENAMETOOLONG)
		return complain(STATUS_NOT_FOUND, "%s: program not found", *name ? name : "''");
	if (err == -EISDIR)
		return complain(STATUS_NOT_EXECUTABLE, "%s: a directory, not a program", name);
	if (err)
		return complain(
		    STATUS_NOT_EXECUTABLE, "%s: not executable (%s)", name, strerror(-err));
	return judge(p, name);
}
