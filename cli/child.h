// SPDX-License-Identifier: MIT
/*
 * The program as a child process on a libuv loop: started with our stdin, stdout and stderr, sent
 * every signal that reaches us and not it.
 *
 * Program and CLI share a process group, so what the terminal sends (Ctrl-C, Ctrl-\, a change of
 * size, hang-up) reaches both: such signals come from the kernel and are not sent on. What another
 * process sends to the CLI alone is.
 */
#ifndef FL_CLI_CHILD_H
#define FL_CLI_CHILD_H

#include <signal.h>
#include <uv.h>

#include "base/types.h"

/* Signal mask and ignored signals that we were started with: the program gets them too (nohup). */
struct signal_state {
	sigset_t blocked;
	uint64_t ignored; /* bit n - 1: signal n */
};

struct child {
	uv_process_t process;
	uv_poll_t poll; /* of signal_fd */
	int signal_fd;
	bool is_running;
	int exit_code, exit_signal; /* of the two, the signal counts unless 0 */
	uint64_t start_ns, end_ns;
	void (*on_exit)(struct child *child);
	void *owner; /* for on_exit */
};

/* Take over signal handling: before anything else. */
void signals_take_over(struct signal_state *ret_state);

/*
 * Start @path with @argv and @env; @preload: the LD_PRELOAD in @env, or NULL.
 * Return: STATUS_GO_ON, or the exit status after a message.
 */
int child_start(struct child *child, uv_loop_t *loop, const struct signal_state *state,
    const char *path, char **argv, char **env, const char *preload);

/* End as the program ended: the same status, or the same signal. Does not return after a signal
 * that kills. Return: the exit status. */
int child_status(const struct child *child);

#endif
