// SPDX-License-Identifier: MIT
/*
 * execve and its relatives, on unmanaged copies of their arguments. The path search of execvp is
 * done here, since libc's own would read a PATH that may be managed, in the middle of an exec.
 */
#include "preload/wrap_exec.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/sys.h"
#include "pager/pager.h"
#include "preload/exec_check.h"
#include "preload/exec_image.h"
#include "preload/real.h"
#include "preload/signals.h"

#define DEFAULT_PATH  "/bin:/usr/bin" /* as libc's, where PATH is not set */
#define MAX_CANDIDATE 4096u

/* A descriptor that outlives an exec of the process that keeps it; -1: none. [const] once set */
static int kept_fd = -1;
static pid_t keeper;

void wrap_exec_keep_fd(int fd)
{
	kept_fd = fd;
	keeper = (pid_t)sys_call0(SYS_getpid);
}

/* Not in a child, not even of a vfork: what that starts has no use for it. */
static void keep_open(bool is_kept)
{
	if (kept_fd >= 0 && sys_call0(SYS_getpid) == keeper)
		sys_call3(SYS_fcntl, kept_fd, F_SETFD, is_kept ? 0 : FD_CLOEXEC);
}

struct exec {
	int dir_fd, flags;
	bool is_at;
	const struct exec_image *image;
};

static long exec_here(void *arg)
{
	const struct exec e = *(struct exec *)arg;
	const struct exec_image *i = e.image;
	bool is_unmanaged = exec_is_unmanaged(e.is_at ? e.dir_fd : AT_FDCWD, i->path, e.flags);

	if (is_unmanaged)
		pager_unmanaged_exec(i->path, false);
	signals_before_exec();
	keep_open(true);
	long err = e.is_at ? sys_call5(SYS_execveat, e.dir_fd, (long)i->path, (long)i->argv,
	                         (long)i->envp, e.flags)
	                   : sys_call3(SYS_execve, (long)i->path, (long)i->argv, (long)i->envp);
	keep_open(false);
	signals_after_exec();
	if (is_unmanaged)
		pager_unmanaged_exec(i->path, true);
	return err;
}

static long exec_now(int dir_fd, const struct exec_image *image, int flags, bool is_at)
{
	struct exec e = {.dir_fd = dir_fd, .flags = flags, .is_at = is_at, .image = image};

	if (on_managed_stack())
		return bounce_run(exec_here, &e, (uintptr_t)__builtin_frame_address(0));
	return exec_here(&e);
}

/* Return: -errno, if at all. */
static long exec_at(
    int dir_fd, const char *path, char *const argv[], char *const envp[], int flags, bool is_at)
{
	struct exec_image image;
	struct bounce b;
	long err = bounce_begin_here(&b);

	if (err)
		return err;
	err = exec_image_make(&b, path, argv, envp, &image);
	if (!err)
		err = exec_now(dir_fd, &image, flags, is_at);
	bounce_end(&b);
	return err;
}

long exec_guarded(const struct guard_trap *t)
{
	const long *a = t->args;

	if (t->nr == SYS_execve)
		return exec_at(0, (const char *)a[0], (char **)a[1], (char **)a[2], 0, false);
	return exec_at(
	    (int)a[0], (const char *)a[1], (char **)a[2], (char **)a[3], (int)a[4], true);
}

EXPORT int execve(const char *path, char *const argv[], char *const envp[])
{
	return (int)with_errno(exec_at(0, path, argv, envp, 0, false));
}

EXPORT int execv(const char *path, char *const argv[])
{
	return execve(path, argv, environ);
}

EXPORT int execveat(int dir_fd, const char *path, char *const argv[], char *const envp[], int flags)
{
	return (int)with_errno(exec_at(dir_fd, path, argv, envp, flags, true));
}

EXPORT int fexecve(int fd, char *const argv[], char *const envp[])
{
	if (fd < 0)
		return (int)with_errno(-EINVAL);
	return (int)with_errno(exec_at(fd, "", argv, envp, AT_EMPTY_PATH, true));
}

/* --- with a search ------------------------------------------------------------------------- */

/* A file that the kernel does not know how to start is taken for a shell script. */
static long exec_script(struct bounce *b, const struct exec_image *image)
{
	size_t nr = 0;

	while (image->argv && image->argv[nr])
		nr++;
	char **argv = bounce_alloc(b, (nr + 3) * sizeof(*argv));
	if (!argv)
		return -ENOMEM;
	argv[0] = "/bin/sh";
	argv[1] = (char *)image->path;
	argv[2] = NULL;
	if (nr > 1)
		memcpy(argv + 2, image->argv + 1, nr * sizeof(*argv));
	struct exec_image sh = {.path = "/bin/sh", .argv = argv, .envp = image->envp};
	return exec_now(0, &sh, 0, false);
}

static long exec_or_script(struct bounce *b, const struct exec_image *image)
{
	long err = exec_now(0, image, 0, false);

	return err == -ENOEXEC ? exec_script(b, image) : err;
}

/* Whether the search goes on after this error. */
static bool is_passed_over(long err)
{
	return err == -EACCES || err == -ENOENT || err == -ESTALE || err == -ENOTDIR ||
	       err == -ENODEV || err == -ETIMEDOUT;
}

const char *exec_search_next(const char **path, const char *file, char *candidate)
{
	while (*path) {
		size_t len = strcspn(*path, ":"), file_len = strlen(file);
		const char *dir = *path;

		*path = dir[len] ? dir + len + 1 : NULL;
		if (len + file_len + 2 > MAX_CANDIDATE)
			continue;
		memcpy(candidate, dir, len);
		if (len)
			candidate[len++] = '/';
		memcpy(candidate + len, file, file_len + 1);
		return candidate;
	}
	return NULL;
}

const char *exec_search_path(void)
{
	const char *path = getenv("PATH");

	return path ? path : DEFAULT_PATH;
}

static long exec_search(struct bounce *b, const char *file, char *const argv[], char *const envp[])
{
	struct exec_image image;
	long err = exec_image_make(b, file, argv, envp, &image);

	if (err)
		return err;
	if (!*image.path)
		return -ENOENT;
	if (strchr(image.path, '/'))
		return exec_or_script(b, &image);
	if (strlen(image.path) > 255)
		return -ENAMETOOLONG;

	char *candidate = bounce_alloc(b, MAX_CANDIDATE);
	const char *path = exec_search_path(), *name = image.path;
	bool is_denied = false;
	if (!candidate)
		return -ENOMEM;
	while ((image.path = exec_search_next(&path, name, candidate))) {
		err = exec_or_script(b, &image);
		if (!is_passed_over(err))
			return err;
		is_denied |= err == -EACCES;
	}
	return is_denied ? -EACCES : -ENOENT;
}

EXPORT int execvpe(const char *file, char *const argv[], char *const envp[])
{
	struct bounce b;
	long err = bounce_begin_here(&b);

	if (!err) {
		err = exec_search(&b, file, argv, envp);
		bounce_end(&b);
	}
	return (int)with_errno(err);
}

EXPORT int execvp(const char *file, char *const argv[])
{
	return execvpe(file, argv, environ);
}

/* --- with arguments one by one ------------------------------------------------------------- */

static size_t count_args(va_list args)
{
	size_t nr = 1;

	while (va_arg(args, char *))
		nr++;
	return nr;
}

enum list_kind {
	LIST_PLAIN,
	LIST_SEARCHED,
	LIST_ENV, /* the environment follows the last argument */
};

static int exec_list(enum list_kind kind, const char *path, const char *arg, va_list args)
{
	va_list again;
	struct bounce b;
	long err = bounce_begin_here(&b);

	if (err)
		return (int)with_errno(err);
	va_copy(again, args);
	size_t nr = arg ? count_args(again) : 0;
	va_end(again);
	char **argv = bounce_alloc(&b, (nr + 1) * sizeof(*argv));
	if (!argv) {
		bounce_end(&b);
		return (int)with_errno(-ENOMEM);
	}
	argv[0] = (char *)arg;
	for (size_t i = 1; i <= nr; i++)
		argv[i] = va_arg(args, char *);
	char **envp = kind == LIST_ENV ? va_arg(args, char **) : environ;
	int result = kind == LIST_SEARCHED ? execvpe(path, argv, envp) : execve(path, argv, envp);
	bounce_end(&b);
	return result;
}

EXPORT int execl(const char *path, const char *arg, ...)
{
	va_list args;

	va_start(args, arg);
	int result = exec_list(LIST_PLAIN, path, arg, args);
	va_end(args);
	return result;
}

EXPORT int execle(const char *path, const char *arg, ...)
{
	va_list args;

	va_start(args, arg);
	int result = exec_list(LIST_ENV, path, arg, args);
	va_end(args);
	return result;
}

EXPORT int execlp(const char *file, const char *arg, ...)
{
	va_list args;

	va_start(args, arg);
	int result = exec_list(LIST_SEARCHED, file, arg, args);
	va_end(args);
	return result;
}
