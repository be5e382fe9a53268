// SPDX-License-Identifier: MIT
/*
 * What every file of the CLI shares: exit statuses of its own, and the one way in which it speaks
 * of trouble: one line on stderr.
 */
#ifndef FL_CLI_CLI_H
#define FL_CLI_CLI_H

#include "base/types.h"

enum {
	STATUS_OK = 0,
	STATUS_FAILED = 125,         /* our own failure; nothing was started */
	STATUS_NOT_EXECUTABLE = 126, /* the program is there, but cannot be started */
	STATUS_NOT_FOUND = 127,
	STATUS_GO_ON = -1, /* no reason to end yet */
};

/* Print "faultline: ..." as one line on stderr; control characters become '?'. Return: @status. */
__attribute__((format(printf, 2, 3))) int complain(int status, const char *format, ...);

/* The same with "warning: " before it, unless warnings_off was called. */
__attribute__((format(printf, 1, 2))) void warn(const char *format, ...);
void warnings_off(void);

/* Write "64 MiB", "1.5 GiB", "12 KiB" into @buf (at least 24 bytes). Return: @buf. */
char *size_text(uint64_t bytes, char *buf);

/* Commands: each takes the arguments from its own name on. Return: the exit status. */
int command_run(int argc, char **argv);
int command_ram(int argc, char **argv);
int command_report(int argc, char **argv);
int command_doctor(int argc, char **argv);
int command_demo(int argc, char **argv);
int command_replay(int argc, char **argv);
int command_trace(int argc, char **argv);
int command_start_program(int argc, char **argv);

#endif
