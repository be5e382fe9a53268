// SPDX-License-Identifier: MIT
/* `faultline`: finds the command and hands over. */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "help.h"

struct command {
	const char *name;
	int (*run)(int argc, char **argv);
};

static const struct command commands[] = {
    {"run", command_run}, {"doctor", command_doctor}, {"demo", command_demo}, {"ram", command_ram},
    {"replay", command_replay}, {"trace", command_trace},
    {"report", command_report},               /* internal: the preload library without the CLI */
    {"start-program", command_start_program}, /* internal: child.c */
};

/* Whoever starts us with 0, 1 or 2 closed must not find one of our own files there. */
static void fill_standard_fds(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd > STDERR_FILENO)
		close(fd);
}

int main(int argc, char **argv)
{
	fill_standard_fds();
	if (argc < 2)
		return complain(STATUS_FAILED,
		    "no command given; write faultline run PROGRAM, or see faultline --help");
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		if (!strcmp(argv[1], commands[i].name))
			return commands[i].run(argc - 1, argv + 1);
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help"))
		return help_general();
	if (!strcmp(argv[1], "--version"))
		return help_version();
	return complain(STATUS_FAILED,
	    "%s: no such command; choose run, ram, doctor, demo, replay or trace, or see faultline "
	    "--help",
	    argv[1]);
}
