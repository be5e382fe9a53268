// SPDX-License-Identifier: MIT
/*
 * posix_spawn and what libc builds on it. libc's child runs on the parent's memory with default
 * signal handlers, so nothing that it or the kernel looks at there may be managed: arguments,
 * environment, attributes and file actions are all copied. system() and popen() are made here from
 * posix_spawn(), because libc's own call its internal one.
 *
 * posix_spawnp() searches in the parent: a relative directory in PATH is not looked up again after
 * the chdir actions of the child.
 */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/sys.h"
#include "pager/pager.h"
#include "preload/exec_check.h"
#include "preload/exec_image.h"
#include "preload/guard.h"
#include "preload/real.h"
#include "preload/wrap_exec.h"

#define MAX_CANDIDATE 4096u

REAL(posix_spawn);
REAL(fclose);
REAL(pclose);

RESOLVE_EARLY static void resolve(void)
{
	RESOLVE(posix_spawn);
	RESOLVE(fclose);
	RESOLVE(pclose);
}

/* glibc's private layout of one file action (2.1 to 2.41). */
enum action_tag {
	ACTION_CLOSE,
	ACTION_DUP2,
	ACTION_OPEN,
	ACTION_CHDIR,
};

struct action {
	enum action_tag tag;
	union {
		struct {
			int fd;
			char *path;
			int flags;
			mode_t mode;
		} open;
		struct {
			char *path;
		} chdir;
	};
};

_Static_assert(sizeof(struct action) == 32, "glibc's struct __spawn_action");

static int copy_actions(
    struct bounce *b, const posix_spawn_file_actions_t *from, posix_spawn_file_actions_t *to)
{
	int err = 0;

	*to = *from;
	if (to->__used <= 0)
		return 0;
	size_t bytes = (size_t)to->__used * sizeof(struct action);
	struct action *actions = bounce_alloc(b, bytes);
	if (!actions)
		return ENOMEM;
	if (guard_copy(actions, from->__actions, bytes))
		return EFAULT;
	for (int i = 0; i < to->__used && !err; i++) {
		char **path = actions[i].tag == ACTION_OPEN    ? &actions[i].open.path
		              : actions[i].tag == ACTION_CHDIR ? &actions[i].chdir.path
		                                               : NULL;
		if (path && in_window((uintptr_t)*path)) {
			*path = exec_image_string(b, *path, &err);
			err = *path ? 0 : -err;
		}
	}
	to->__actions = (struct __spawn_action *)actions;
	return err;
}

/* Return: 0 or errno. */
static int spawn_image(struct bounce *b, pid_t *pid, const struct exec_image *image,
    const posix_spawn_file_actions_t *actions, const posix_spawnattr_t *attr)
{
	posix_spawn_file_actions_t actions_copy;
	posix_spawnattr_t attr_copy;
	pid_t child = 0;
	int err = 0;

	if (attr) {
		attr_copy = *attr;
		attr = &attr_copy;
	}
	if (actions) {
		err = copy_actions(b, actions, &actions_copy);
		actions = &actions_copy;
	}
	bool is_unmanaged = !err && exec_is_unmanaged(AT_FDCWD, image->path, 0);
	if (!err)
		err =
		    NEED(posix_spawn)(&child, image->path, actions, attr, image->argv, image->envp);
	if (!err && is_unmanaged)
		pager_unmanaged_exec(image->path, false);
	/* libc would store it with all signals blocked. */
	if (!err && pid)
		*pid = child;
	return err;
}

struct spawn {
	pid_t *pid;
	const char *path;
	const posix_spawn_file_actions_t *actions;
	const posix_spawnattr_t *attr;
	char *const *argv, *const *envp;
};

/* Return: 0 or errno. */
static long spawn_here(void *arg)
{
	const struct spawn s = *(struct spawn *)arg;
	struct exec_image image;
	struct bounce b;

	int err = -bounce_begin_here(&b);
	if (err)
		return err;
	err = -exec_image_make(&b, s.path, s.argv, s.envp, &image);
	if (!err)
		err = spawn_image(&b, s.pid, &image, s.actions, s.attr);
	bounce_end(&b);
	return err;
}

EXPORT int posix_spawn(pid_t *restrict pid, const char *restrict path,
    const posix_spawn_file_actions_t *actions, const posix_spawnattr_t *restrict attr,
    char *const argv[restrict], char *const envp[restrict])
{
	struct spawn s = {pid, path, actions, attr, argv, envp};

	/* libc's child reads what its parent has on the stack, with all signals blocked. */
	if (on_managed_stack())
		return (int)bounce_run(spawn_here, &s, (uintptr_t)__builtin_frame_address(0));
	return (int)spawn_here(&s);
}

/* Return: 0 with the place of @file in @candidate, or errno. */
static int search(const char *file, char *candidate)
{
	const char *path = exec_search_path();
	bool is_denied = false;
	struct stat st;

	if (!*file)
		return ENOENT;
	while (exec_search_next(&path, file, candidate)) {
		/* libc's is guarded: this may run on a managed stack. */
		if (stat(candidate, &st) || S_ISDIR(st.st_mode))
			continue;
		/* With the effective ids, as exec will. */
		if (!sys_call4(SYS_faccessat2, AT_FDCWD, (long)candidate, X_OK, AT_EACCESS) ||
		    !sys_call2(SYS_access, (long)candidate, X_OK))
			return 0;
		is_denied = true;
	}
	return is_denied ? EACCES : ENOENT;
}

EXPORT int posix_spawnp(pid_t *restrict pid, const char *restrict file,
    const posix_spawn_file_actions_t *actions, const posix_spawnattr_t *restrict attr,
    char *const argv[restrict], char *const envp[restrict])
{
	struct bounce b;

	if (strchr(file, '/'))
		return posix_spawn(pid, file, actions, attr, argv, envp);
	int err = -bounce_begin_here(&b);
	if (err)
		return err;
	char *candidate = bounce_alloc(&b, MAX_CANDIDATE);
	err = candidate ? search(file, candidate) : ENOMEM;
	if (!err)
		err = posix_spawn(pid, candidate, actions, attr, argv, envp);
	bounce_end(&b);
	return err;
}

/* --- system -------------------------------------------------------------------------------- */

static int spawn_shell(pid_t *pid, const char *command, const posix_spawn_file_actions_t *actions,
    const posix_spawnattr_t *attr)
{
	char *argv[] = {"sh", "-c", "--", (char *)command, NULL};

	return posix_spawn(pid, "/bin/sh", actions, attr, argv, environ);
}

/* While any thread is in system(), SIGINT and SIGQUIT are ignored. */
static pthread_mutex_t system_lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned nr_systems;                    /* [system_lock] */
static struct sigaction saved_int, saved_quit; /* [system_lock] */

struct system_call {
	pid_t pid;
	sigset_t mask;
};

static void system_begin(struct system_call *s)
{
	struct sigaction ign = {.sa_handler = SIG_IGN};
	sigset_t chld;

	pthread_mutex_lock(&system_lock);
	if (!nr_systems++) {
		sigaction(SIGINT, &ign, &saved_int);
		sigaction(SIGQUIT, &ign, &saved_quit);
	}
	pthread_mutex_unlock(&system_lock);
	sigemptyset(&chld);
	sigaddset(&chld, SIGCHLD);
	pthread_sigmask(SIG_BLOCK, &chld, &s->mask);
}

static void system_end(struct system_call *s)
{
	pthread_mutex_lock(&system_lock);
	if (!--nr_systems) {
		sigaction(SIGINT, &saved_int, NULL);
		sigaction(SIGQUIT, &saved_quit, NULL);
	}
	pthread_mutex_unlock(&system_lock);
	pthread_sigmask(SIG_SETMASK, &s->mask, NULL);
}

static void system_cancelled(void *call)
{
	struct system_call *s = call;
	int state;

	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
	kill(s->pid, SIGKILL);
	while (waitpid(s->pid, NULL, 0) < 0 && errno == EINTR)
		;
	pthread_setcancelstate(state, NULL);
	system_end(s);
}

static int wait_for(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -1;
	return status;
}

static int spawn_for_system(struct system_call *s, const char *command)
{
	posix_spawnattr_t attr;
	sigset_t reset;

	sigemptyset(&reset);
	pthread_mutex_lock(&system_lock);
	if (saved_int.sa_handler != SIG_IGN)
		sigaddset(&reset, SIGINT);
	if (saved_quit.sa_handler != SIG_IGN)
		sigaddset(&reset, SIGQUIT);
	pthread_mutex_unlock(&system_lock);
	posix_spawnattr_init(&attr);
	posix_spawnattr_setsigmask(&attr, &s->mask);
	posix_spawnattr_setsigdefault(&attr, &reset);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
	int err = spawn_shell(&s->pid, command, NULL, &attr);
	posix_spawnattr_destroy(&attr);
	return err;
}

EXPORT int system(const char *command)
{
	struct system_call s;
	int status = 127 << 8; /* as if the shell could not be started */

	if (!command)
		return system("exit 0") == 0;
	system_begin(&s);
	int err = spawn_for_system(&s, command);
	if (!err) {
		pthread_cleanup_push(system_cancelled, &s);
		status = wait_for(s.pid);
		pthread_cleanup_pop(0);
	}
	system_end(&s);
	if (err)
		errno = err;
	return status;
}

/* --- popen --------------------------------------------------------------------------------- */

struct stream {
	FILE *file;
	int fd; /* its */
	pid_t pid;
	struct stream *next;
};

static pthread_mutex_t streams_lock = PTHREAD_MUTEX_INITIALIZER;
static struct stream *streams;      /* [streams_lock] */
static _Atomic unsigned nr_streams; /* [streams_lock] to write */

static struct stream *stream_take_locked(FILE *file)
{
	for (struct stream **s = &streams; *s; s = &(*s)->next) {
		struct stream *found = *s;

		if (found->file != file)
			continue;
		*s = found->next;
		nr_streams--;
		return found;
	}
	return NULL;
}

/* The child has @end as its descriptor @as, and no stream of an earlier popen(). */
static int spawn_for_popen(pid_t *pid, const char *command, int end, int as)
{
	posix_spawn_file_actions_t actions;
	int err = posix_spawn_file_actions_init(&actions);

	if (err)
		return err;
	err = posix_spawn_file_actions_adddup2(&actions, end, as);
	for (struct stream *s = streams; s && !err; s = s->next)
		if (s->fd != as)
			err = posix_spawn_file_actions_addclose(&actions, s->fd);
	if (!err)
		err = spawn_shell(pid, command, &actions, NULL);
	posix_spawn_file_actions_destroy(&actions);
	return err;
}

static FILE *popen_locked(const char *command, bool is_read, bool is_cloexec, struct stream *s)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC))
		return NULL;
	int mine = fds[is_read ? 0 : 1], other = fds[is_read ? 1 : 0];
	s->file = fdopen(mine, is_read ? "r" : "w");
	if (!s->file) {
		close(mine);
		close(other);
		return NULL;
	}
	int err = spawn_for_popen(&s->pid, command, other, is_read ? 1 : 0);
	close(other);
	if (err) {
		NEED(fclose)(s->file);
		errno = err;
		return NULL;
	}
	if (!is_cloexec)
		fcntl(mine, F_SETFD, 0);
	free(stream_take_locked(s->file)); /* ended inside libc, and its FILE used again */
	s->fd = mine;
	s->next = streams;
	streams = s;
	nr_streams++;
	return s->file;
}

EXPORT FILE *popen(const char *command, const char *mode)
{
	bool is_read = strchr(mode, 'r'), is_write = strchr(mode, 'w');

	if (is_read == is_write || strspn(mode, "rwe") != strlen(mode)) {
		errno = EINVAL;
		return NULL;
	}
	struct stream *s = malloc(sizeof(*s));
	if (!s)
		return NULL;
	pthread_mutex_lock(&streams_lock);
	FILE *file = popen_locked(command, is_read, strchr(mode, 'e'), s);
	pthread_mutex_unlock(&streams_lock);
	if (!file)
		free(s);
	return file;
}

/* Return: NULL: not of popen(). */
static struct stream *stream_take(FILE *file)
{
	if (!nr_streams)
		return NULL;
	pthread_mutex_lock(&streams_lock);
	struct stream *s = stream_take_locked(file);
	pthread_mutex_unlock(&streams_lock);
	return s;
}

static int stream_end(struct stream *s)
{
	FILE *file = s->file;
	pid_t pid = s->pid;

	free(s);
	NEED(fclose)(file);
	return wait_for(pid);
}

EXPORT int pclose(FILE *file)
{
	struct stream *s = stream_take(file);

	return s ? stream_end(s) : NEED(pclose)(file);
}

/* libc's waits for the command too. */
EXPORT int fclose(FILE *file)
{
	struct stream *s = stream_take(file);

	return s ? stream_end(s) : NEED(fclose)(file);
}
