// SPDX-License-Identifier: MIT
/*
 * Options of `faultline run`, from FAULTLINE_... variables and the command line (which wins). One
 * table names them all; parsing, --help and the messages come from it.
 */
#ifndef FL_CLI_OPTIONS_H
#define FL_CLI_OPTIONS_H

#include "base/types.h"
#include "mmu/tlb_geometry.h"

enum option_id {
	OPT_RAM,
	OPT_SWAP,
	OPT_SWAP_SIZE,
	OPT_ENGINE,
	OPT_POLICY,
	OPT_MIN_MAP,
	OPT_JSON,
	OPT_INTERVAL,
	OPT_OUTPUT,
	OPT_QUIET,
	OPT_VERBOSE,
	OPT_ALLOW_UNMANAGED,
	OPT_MALLOC,
	OPT_RECLAIM,
	OPT_TLB,
	OPT_PAGE_SIZE,
	OPT_COMPRESS,
	OPT_TRACE,
	OPT_EXACT,
	OPT_RAM_MAX,
	NR_OPTIONS,
};

enum option_source {
	FROM_DEFAULT,
	FROM_ENVIRONMENT,
	FROM_COMMAND_LINE,
};

struct options {
	/* As given; the default's text where nothing was ("" = no default text). */
	const char *text[NR_OPTIONS];
	enum option_source source[NR_OPTIONS];

	uint64_t ram_bytes, ram_max_bytes /* 0: fixed */, swap_bytes /* 0: by free space */,
	    min_map_bytes, interval_ms /* 0: none */;
	bool is_quiet, is_verbose, allow_unmanaged, is_exact;
	const char *swap_dir, *engine, *policy, *malloc_lib, *reclaim, *compress;
	const char *json, *output, *trace; /* NULL: none */
	struct tlb_geometry tlb;           /* entries 0: none */
	uint32_t tlb_shift;                /* pages of an entry: 1 << this */
};

/* Defaults and FAULTLINE_... variables. Return: STATUS_GO_ON, or an exit status after a message. */
int options_from_environment(struct options *ret_options);

/*
 * The command line, @argv[0] being the command's name. *ret_first: index of the first argument
 * that is no option. --help and --version print and answer STATUS_OK.
 * Return: STATUS_GO_ON, or an exit status.
 */
int options_from_arguments(int argc, char **argv, struct options *options, int *ret_first);

/* What holds between options. Return: STATUS_GO_ON, or an exit status after a message. */
int options_check(struct options *options);

/* Name of an option's variable. */
const char *option_variable(enum option_id id);

/* "--ram 12K", "FAULTLINE_RAM=12K" or "--swap /var/tmp (the default)": how a message names an
 * option and its value. Return: a static buffer, overwritten by the next call. */
const char *option_label(const struct options *options, enum option_id id);

/* MemAvailable; 0: not known. */
uint64_t available_ram_bytes(void);

/* Say if there is a FAULTLINE_... variable that nobody reads: a misspelt one would be ignored in
 * silence. Return: STATUS_GO_ON, or STATUS_FAILED after a message. */
int options_check_variables(void);

/* MemAvailable / 4, in whole MiB; at least the minimum. */
uint64_t default_ram_bytes(void);

#endif
