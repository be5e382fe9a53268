// SPDX-License-Identifier: MIT
/* The program as a child; see child.h. */
#include "child.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/sys.h"
#include "cli.h"

/* Not passed on: SIGCHLD is about our own child, SIGKILL and SIGSTOP cannot be, faults are our own,
 * job control (the terminal's stop signals) acts on us as on the program, SIGPIPE comes of our own
 * writing. */
static const int kept_signals[] = {SIGCHLD, SIGKILL, SIGSTOP, SIGSEGV, SIGBUS, SIGFPE, SIGILL,
    SIGTRAP, SIGABRT, SIGSYS, SIGTSTP, SIGTTIN, SIGTTOU, SIGPIPE};

static void forwarded_signals(sigset_t *ret_set)
{
	sigfillset(ret_set);
	for (size_t i = 0; i < ARRAY_LEN(kept_signals); i++)
		sigdelset(ret_set, kept_signals[i]);
}

void signals_take_over(struct signal_state *state)
{
	sigset_t set;

	state->ignored = 0;
	for (int sig = 1; sig < NSIG; sig++) {
		struct sigaction act;

		if (!sigaction(sig, NULL, &act) && act.sa_handler == SIG_IGN)
			state->ignored |= 1ull << (sig - 1);
	}
	forwarded_signals(&set);
	/* SIG_SETMASK, so that a SIGCHLD that came to us blocked still reaches libuv. */
	sigprocmask(SIG_SETMASK, &set, &state->blocked);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
	signal(SIGCHLD, SIG_DFL);
}

static void on_signal(uv_poll_t *poll, int status, int events)
{
	struct child *child = poll->data;
	struct signalfd_siginfo info;

	while (read(child->signal_fd, &info, sizeof(info)) == sizeof(info)) {
		if (info.ssi_code == SI_KERNEL || !child->is_running)
			continue;
		/* The pid is ours until libuv has waited for it: never another process. */
		kill(child->process.pid, (int)info.ssi_signo);
	}
}

static void on_exit_status(uv_process_t *process, int64_t code, int sig)
{
	struct child *child = process->data;

	child->is_running = false;
	child->end_ns = now_ns();
	child->exit_code = (int)code;
	child->exit_signal = sig;
	uv_close((uv_handle_t *)&child->process, NULL);
	uv_poll_stop(&child->poll);
	uv_close((uv_handle_t *)&child->poll, NULL);
	child->on_exit(child);
}

static int watch_signals(struct child *child, uv_loop_t *loop)
{
	sigset_t set;

	forwarded_signals(&set);
	child->signal_fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	if (child->signal_fd < 0)
		return -errno;
	child->poll.data = child;
	int err = uv_poll_init(loop, &child->poll, child->signal_fd);
	if (err)
		return err;
	return uv_poll_start(&child->poll, UV_READABLE, on_signal);
}

/*
 * libuv starts children with an empty mask and no signal ignored. Where we were started otherwise,
 * a second exec restores that: `faultline start-program MASK IGNORED PRELOAD PATH ARGS...`.
 * Return: its arguments, on the heap, or NULL when there is nothing to restore.
 */
static char **restorer_argv(
    const struct signal_state *state, const char *path, char **argv, const char *preload)
{
	uint64_t blocked = 0;
	size_t nr = 0;

	for (int sig = 1; sig < NSIG; sig++)
		if (sigismember(&state->blocked, sig) == 1)
			blocked |= 1ull << (sig - 1);
	if (!blocked && !state->ignored)
		return NULL;
	while (argv[nr])
		nr++;
	char **list = calloc(nr + 7, sizeof(*list));
	if (!list)
		return NULL;
	list[0] = strdup("faultline");
	list[1] = strdup("start-program");
	if (asprintf(&list[2], "%llx", (unsigned long long)blocked) < 0 ||
	    asprintf(&list[3], "%llx", (unsigned long long)state->ignored) < 0)
		list[2] = NULL; /* cannot happen short of exhaustion; exec then fails */
	list[4] = strdup(preload ? preload : "");
	list[5] = strdup(path);
	for (size_t i = 0; i < nr; i++)
		list[6 + i] = strdup(argv[i]);
	return list;
}

static void argv_free(char **list)
{
	for (size_t i = 0; list && list[i]; i++)
		free(list[i]);
	free(list);
}

/* LD_PRELOAD would page our own second exec: its value travels as an argument instead. */
static char **without_preload(char **env)
{
	size_t nr = 0, kept = 0;

	while (env[nr])
		nr++;
	char **list = calloc(nr + 1, sizeof(*list));
	for (size_t i = 0; list && i < nr; i++)
		if (strncmp(env[i], "LD_PRELOAD=", 11) != 0)
			list[kept++] = env[i];
	return list;
}

static int start_error(const char *path, int err)
{
	if (err == UV_ENOENT)
		return complain(STATUS_NOT_FOUND, "%s: program not found", path);
	if (err == UV_EACCES || err == -ENOEXEC || err == UV_E2BIG || err == UV_ETXTBSY)
		return complain(
		    STATUS_NOT_EXECUTABLE, "%s: not executable (%s)", path, uv_strerror(err));
	return complain(STATUS_FAILED, "%s: cannot be started: %s", path, uv_strerror(err));
}

int child_start(struct child *child, uv_loop_t *loop, const struct signal_state *state,
    const char *path, char **argv, char **env, const char *preload)
{
	uv_stdio_container_t stdio[3];
	char **restorer = restorer_argv(state, path, argv, preload);
	char **plain_env = restorer ? without_preload(env) : NULL;
	uv_process_options_t options = {
	    .exit_cb = on_exit_status,
	    .file = restorer ? "/proc/self/exe" : path,
	    .args = restorer ? restorer : argv,
	    .env = plain_env ? plain_env : env,
	    .stdio_count = 3,
	    .stdio = stdio,
	};

	for (int fd = 0; fd < 3; fd++)
		stdio[fd] = (uv_stdio_container_t){.flags = UV_INHERIT_FD, .data = {.fd = fd}};
	int err = watch_signals(child, loop);
	if (!err) {
		child->process.data = child;
		child->start_ns = now_ns();
		err = uv_spawn(loop, &child->process, &options);
	}
	argv_free(restorer);
	free(plain_env);
	if (err)
		return start_error(path, err);
	child->is_running = true;
	return STATUS_GO_ON;
}

int command_start_program(int argc, char **argv)
{
	sigset_t set;

	if (argc < 6)
		return complain(
		    STATUS_FAILED, "start-program: internal command; use faultline run");
	uint64_t blocked = strtoull(argv[1], NULL, 16), ignored = strtoull(argv[2], NULL, 16);

	sigemptyset(&set);
	for (int sig = 1; sig < NSIG; sig++) {
		if (ignored >> (sig - 1) & 1)
			signal(sig, SIG_IGN);
		if (blocked >> (sig - 1) & 1)
			sigaddset(&set, sig);
	}
	if (*argv[3])
		setenv("LD_PRELOAD", argv[3], 1);
	sigprocmask(SIG_SETMASK, &set, NULL);
	execvp(argv[4], argv + 5);
	return start_error(argv[4], -errno);
}

int child_status(const struct child *child)
{
	int sig = child->exit_signal;
	sigset_t set;

	if (!sig)
		return child->exit_code;
	/* The program has left its core, if it leaves any: ours would overwrite it. */
	setrlimit(RLIMIT_CORE, &(struct rlimit){0});
	signal(sig, SIG_DFL);
	sigemptyset(&set);
	sigaddset(&set, sig);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	raise(sig);
	return 128 + sig; /* as a shell would say it */
}
