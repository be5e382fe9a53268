// SPDX-License-Identifier: MIT
/* What --help and --version print; see help.h. */
#include "help.h"

#include <stdio.h>
#include <string.h>

#include "cli.h"
#include "faultline/version.h"
#include "policy/policy.h"

#define HELP_COLUMN 24
#define HELP_WIDTH  79

static int finish(void)
{
	return fflush(stdout) || ferror(stdout) ? STATUS_FAILED : STATUS_OK;
}

int help_version(void)
{
	puts("faultline " FL_VERSION);
	return finish();
}

int help_general(void)
{
	puts("Faultline runs unmodified programs on a small, emulated RAM.\n\n"
	     "  faultline run [options] [--] PROGRAM [ARGS...]  run it, then say what happened\n"
	     "  faultline ram PID SIZE                          more or less RAM while it runs\n"
	     "  faultline doctor [--swap DIR]                   what this machine offers\n"
	     "  faultline demo [NAME]                           virtual memory explained, live\n"
	     "  faultline replay [options] TRACE|-              page replacement on a trace\n"
	     "  faultline trace cat|info|convert TRACE|-        what is in a trace\n"
	     "  faultline --help | --version\n\n"
	     "Example:  faultline run --ram 64M -- sort -S 400M big.txt -o sorted.txt\n"
	     "Options of run:  faultline run --help");
	return finish();
}

int help_ram(void)
{
	puts("faultline ram PID SIZE\n\n"
	     "Changes the RAM of the paged process PID, which faultline run --ram-max started,\n"
	     "or a process that one started. With less, pages are evicted until they fit, and\n"
	     "only then this returns. It takes who may debug the process: its owner, or root.");
	return finish();
}

static void print_help_lines(const char *help)
{
	for (const char *line = help; line;) {
		const char *end = strchr(line, '\n');

		printf("%.*s\n", end ? (int)(end - line) : (int)strlen(line), line);
		line = end ? end + 1 : NULL;
		if (line)
			printf("%*s", HELP_COLUMN, "");
	}
}

static void print_option(const struct option_spec *spec)
{
	char head[64];

	if (spec->letter)
		snprintf(head, sizeof(head), "  -%c, --%s%s%s", spec->letter, spec->name,
		    spec->argument ? " " : "", spec->argument ? spec->argument : "");
	else
		snprintf(head, sizeof(head), "      --%s%s%s", spec->name,
		    spec->argument ? " " : "", spec->argument ? spec->argument : "");
	printf("%-*s%s", HELP_COLUMN - 1, head, strlen(head) >= HELP_COLUMN ? "\n" : " ");
	if (strlen(head) >= HELP_COLUMN)
		printf("%*s", HELP_COLUMN, "");
	print_help_lines(spec->help);
}

static void print_policies(void)
{
	int column = printf("%-*s page replacement; %s. Or:", HELP_COLUMN - 1,
	    "      --policy NAME", policies[0]->name);

	for (size_t i = 1; policies[i]; i++) {
		const char *end = policies[i + 1] ? "," : "\n";

		if (column + 2 + (int)strlen(policies[i]->name) > HELP_WIDTH)
			column = printf("\n%*s", HELP_COLUMN - 1, "") - 1;
		column += printf(" %s%s", policies[i]->name, end);
	}
}

int help_run(void)
{
	puts("faultline run [options] [--] PROGRAM [ARGS...]\n\n"
	     "Runs PROGRAM, and every program it starts, each process on its own small RAM;\n"
	     "pages that do not fit go to swap. A summary follows on stderr. stdin and stdout\n"
	     "are the program's, and so is the exit status (a deadly signal is raised again);\n"
	     "125: Faultline failed, 126: PROGRAM not executable, 127: PROGRAM not found.\n");
	for (int id = 0; id < NR_OPTIONS; id++) {
		if (id == OPT_POLICY)
			print_policies();
		else
			print_option(&option_specs[id]);
	}
	puts("  -h, --help            this text\n"
	     "      --version         the version\n\n"
	     "Each option is also a variable: --swap-size is FAULTLINE_SWAP_SIZE, and so on;\n"
	     "switches are 1 or 0. The command line wins.\n"
	     "In the summary's total, counts are sums over all processes, and peaks, frames\n"
	     "and managed_bytes_peak among them, are the largest of any one process.");
	return finish();
}
