// SPDX-License-Identifier: MIT
/* The table of options, and the texts of --help and --version. */
#ifndef FL_CLI_HELP_H
#define FL_CLI_HELP_H

#include "options.h"

enum option_kind {
	KIND_SIZE,
	KIND_TEXT,
	KIND_NUMBER,
	KIND_FLAG,
};

struct option_spec {
	const char *name; /* without the dashes */
	char letter;      /* 0: none */
	const char *variable;
	enum option_kind kind;
	const char *argument;     /* what --help calls the value */
	const char *default_text; /* "": none, or computed */
	const char *help;         /* lines for --help */
};

extern const struct option_spec option_specs[NR_OPTIONS];

/* Print to stdout. Return: STATUS_OK, or STATUS_FAILED where stdout does not take it. */
int help_general(void);
int help_run(void);
int help_ram(void);
int help_version(void);

#endif
