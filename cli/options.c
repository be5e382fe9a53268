// SPDX-License-Identifier: MIT
/* Parsing options; see options.h. */
#include "options.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/size.h"
#include "cli.h"
#include "help.h"
#include "pager/pager.h"
#include "pager/trap_tlb.h"
#include "policy/policy.h"

/* Frame numbers have 32 bits and the window of managed addresses 16 TiB; half of it is room
 * enough for anybody's RAM and keeps both far away. */
#define RAM_MAX_BYTES ((uint64_t)8 << 40)
#define INTERVAL_MAX  86400000u           /* a day */
#define LETTER_OF(id) (0x100 + (int)(id)) /* getopt's value of an option */

static const char *const engines[] = {"auto", "sigbus", "uffd", NULL};
static const char *const codecs[] = {"auto", "off", "lz4", "zstd", NULL};
static const char *const reclaims[] = {"auto", "thread", "inline", NULL};

const struct option_spec option_specs[NR_OPTIONS] = {
    [OPT_RAM] = {"ram", 0, "FAULTLINE_RAM", KIND_SIZE, "SIZE", "",
        "RAM for each process: K, M, G; default: a quarter\nof the memory available now; at least "
        "64 pages"},
    [OPT_SWAP] = {"swap", 0, "FAULTLINE_SWAP", KIND_TEXT, "DIR", "/var/tmp",
        "directory for swap, an unlinked file in it; /var/tmp"},
    [OPT_SWAP_SIZE] = {"swap-size", 0, "FAULTLINE_SWAP_SIZE", KIND_SIZE, "SIZE", "",
        "most swap for each process; default: what the\nfile system has free, less 5 %"},
    [OPT_ENGINE] = {"engine", 0, "FAULTLINE_ENGINE", KIND_TEXT, "NAME", "auto",
        "auto, sigbus or uffd (see faultline doctor); auto"},
    [OPT_POLICY] = {"policy", 0, "FAULTLINE_POLICY", KIND_TEXT, "NAME", "", "page replacement: "},
    [OPT_MIN_MAP] = {"min-map", 0, "FAULTLINE_MIN_MAP", KIND_SIZE, "SIZE", "64K",
        "smaller mappings stay outside; 64K"},
    [OPT_JSON] = {"json", 0, "FAULTLINE_JSON", KIND_TEXT, "FILE", "",
        "write the summary as JSON too (%p = pid)"},
    [OPT_INTERVAL] = {"interval", 0, "FAULTLINE_INTERVAL", KIND_NUMBER, "MS", "",
        "one JSON line to the --json file every MS\nmilliseconds, the final record last"},
    [OPT_OUTPUT] = {"output", 'o', "FAULTLINE_OUTPUT", KIND_TEXT, "FILE", "",
        "summary to FILE, not to stderr (%p = pid)"},
    [OPT_QUIET] = {"quiet", 'q', "FAULTLINE_QUIET", KIND_FLAG, NULL, "",
        "no summary on stderr, no warnings"},
    [OPT_VERBOSE] = {"verbose", 'v', "FAULTLINE_VERBOSE", KIND_FLAG, NULL, "", "a longer summary"},
    [OPT_ALLOW_UNMANAGED] = {"allow-unmanaged", 0, "FAULTLINE_ALLOW_UNMANAGED", KIND_FLAG, NULL, "",
        "run static and setuid programs too, unpaged"},
    [OPT_MALLOC] = {"malloc", 0, "FAULTLINE_MALLOC", KIND_TEXT, "LIB", "auto",
        "allocator of the program: libc (its own), jemalloc or\nmimalloc, put into it, a path, or "
        "none (malloc is not\npaged then); libc"},
    [OPT_RECLAIM] = {"reclaim", 0, "FAULTLINE_RECLAIM", KIND_TEXT, "HOW", "auto",
        "who takes pages away: thread (the pager's), inline\n(whoever needs room) or auto; auto"},
    [OPT_TLB] = {"tlb", 0, "FAULTLINE_TLB", KIND_TEXT, "GEOMETRY", "",
        "map no more pages than a TLB holds, so that each of\nits misses is a fault: "
        "ENTRIES[xWAYS][,fifo|random|\nclock], as in 64x4,clock; at least 6 entries"},
    [OPT_PAGE_SIZE] = {"page-size", 0, "FAULTLINE_PAGE_SIZE", KIND_SIZE, "SIZE", "4K",
        "what an entry of --tlb covers: 4K or 2M; 4K"},
    [OPT_COMPRESS] = {"compress", 0, "FAULTLINE_COMPRESS", KIND_TEXT, "CODEC", "auto",
        "keep cold pages compressed, within --ram and on\ndisk: lz4, zstd, off or auto (lz4); "
        "auto"},
    [OPT_TRACE] = {"trace", 0, "FAULTLINE_TRACE", KIND_TEXT, "FILE", "",
        "record every fault, for faultline trace and replay;\nother processes than the first to "
        "FILE.PID"},
    [OPT_EXACT] = {"exact", 0, "FAULTLINE_EXACT", KIND_FLAG, NULL, "",
        "count as replay does: no fault-around, no readahead,\none victim at a time; --ram "
        "from 6 pages on"},
    [OPT_RAM_MAX] = {"ram-max", 0, "FAULTLINE_RAM_MAX", KIND_SIZE, "SIZE", "",
        "what faultline ram may raise --ram to while the\nprogram runs; default: it is fixed"},
};

const char *option_variable(enum option_id id)
{
	return option_specs[id].variable;
}

const char *option_label(const struct options *o, enum option_id id)
{
	static char label[400];
	const struct option_spec *spec = &option_specs[id];

	if (o->source[id] == FROM_ENVIRONMENT)
		snprintf(label, sizeof(label), "%s=%s", spec->variable, o->text[id]);
	else if (spec->kind == KIND_FLAG)
		snprintf(label, sizeof(label), "--%s", spec->name);
	else
		snprintf(label, sizeof(label), "--%s %s%s", spec->name, o->text[id],
		    o->source[id] == FROM_DEFAULT ? " (the default)" : "");
	return label;
}

uint64_t available_ram_bytes(void)
{
	unsigned long long kib = 0;
	char line[128];
	FILE *f = fopen("/proc/meminfo", "re");

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "MemAvailable: %llu kB", &kib) == 1)
			break;
	if (f)
		fclose(f);
	return kib * 1024;
}

uint64_t default_ram_bytes(void)
{
	uint64_t bytes = (available_ram_bytes() / 4) & ~(uint64_t)0xfffff;

	return MAX(bytes, PAGER_MIN_FRAMES * PAGE_BYTES);
}

static int read_size(
    const struct options *o, enum option_id id, uint64_t min, uint64_t max, uint64_t *ret_bytes)
{
	char limit[24], name[64]; /* as the user gave it: "--ram " or "FAULTLINE_RAM=" */
	bool is_variable = o->source[id] == FROM_ENVIRONMENT;
	uint64_t bytes;
	int err = size_parse(o->text[id], &bytes);

	snprintf(name, sizeof(name), "%s%s%s", is_variable ? "" : "--",
	    is_variable ? option_specs[id].variable : option_specs[id].name,
	    is_variable ? "=" : " ");

	if (err == -EINVAL)
		return complain(STATUS_FAILED, "%s: not a size; write it like %s64M (K, M, G or T)",
		    option_label(o, id), name);
	if (err || bytes > max)
		return complain(STATUS_FAILED, "%s: too large; give at most %s%lluG",
		    option_label(o, id), name, (unsigned long long)(max >> 30));
	if (bytes < min)
		return complain(STATUS_FAILED,
		    "%s: too small; give at least %s%lluK (%s, %llu page%s)", option_label(o, id),
		    name, (unsigned long long)(min >> 10), size_text(min, limit),
		    (unsigned long long)(min / PAGE_BYTES), min > PAGE_BYTES ? "s" : "");
	*ret_bytes = bytes & ~(uint64_t)PAGE_MASK;
	return STATUS_GO_ON;
}

static int read_interval(struct options *o)
{
	const char *text = o->text[OPT_INTERVAL];
	char *end;

	errno = 0;
	unsigned long long ms = strtoull(text, &end, 10);
	if (*text < '0' || *text > '9' || *end || errno || ms < 1 || ms > INTERVAL_MAX)
		return complain(STATUS_FAILED,
		    "%s: not a time in milliseconds; give a whole number from 1 to %u",
		    option_label(o, OPT_INTERVAL), INTERVAL_MAX);
	o->interval_ms = ms;
	return STATUS_GO_ON;
}

static int read_choice(
    const struct options *o, enum option_id id, const char *what, const char *const *names)
{
	char list[200] = "";

	for (size_t i = 0; names[i]; i++) {
		if (!strcmp(o->text[id], names[i]))
			return STATUS_GO_ON;
		snprintf(list + strlen(list), sizeof(list) - strlen(list), "%s%s",
		    !i             ? ""
		    : names[i + 1] ? ", "
		                   : " or ",
		    names[i]);
	}
	return complain(
	    STATUS_FAILED, "%s: no such %s; choose %s", option_label(o, id), what, list);
}

static int read_policy(struct options *o)
{
	const char *names[32];
	size_t nr = 0;

	while (policies[nr] && nr + 1 < ARRAY_LEN(names)) {
		names[nr] = policies[nr]->name;
		nr++;
	}
	names[nr] = NULL;
	int status = read_choice(o, OPT_POLICY, "policy", names);
	if (status == STATUS_GO_ON)
		o->policy = policy_find(o->text[OPT_POLICY])->name;
	return status;
}

static int read_tlb(struct options *o)
{
	char why[200];

	if (tlb_geometry_parse(o->text[OPT_TLB], false, &o->tlb, why, sizeof(why)) ||
	    tlb_geometry_check(&o->tlb, why, sizeof(why)))
		return complain(STATUS_FAILED, "%s: %s", option_label(o, OPT_TLB), why);
	return STATUS_GO_ON;
}

static int read_page_size(struct options *o)
{
	uint64_t bytes;
	int err = size_parse(o->text[OPT_PAGE_SIZE], &bytes);

	if (err || (bytes != PAGE_BYTES && bytes != PAGE_BYTES << 9))
		return complain(STATUS_FAILED, "%s: not a page size; choose 4K or 2M",
		    option_label(o, OPT_PAGE_SIZE));
	o->tlb_shift = bytes == PAGE_BYTES ? 0 : 9;
	return STATUS_GO_ON;
}

static int read_flag(const struct options *o, enum option_id id, bool *ret_flag)
{
	const char *text = o->text[id];

	if (!*text || !strcmp(text, "0"))
		*ret_flag = false;
	else if (!strcmp(text, "1"))
		*ret_flag = true;
	else
		return complain(
		    STATUS_FAILED, "%s: neither on nor off; set it to 1 or 0", option_label(o, id));
	return STATUS_GO_ON;
}

static int read_file(const struct options *o, enum option_id id, const char **ret_name)
{
	if (!*o->text[id])
		return complain(STATUS_FAILED,
		    "%s: no file name; give one, or leave the option out", option_label(o, id));
	*ret_name = o->text[id];
	return STATUS_GO_ON;
}

/* Turn the text of option @id into its value. */
static int read_value(struct options *o, enum option_id id)
{
	switch (id) {
	case OPT_RAM:
		return read_size(o, id,
		    (!strcmp(o->text[OPT_EXACT], "1") ? PAGER_MIN_FRAMES_EXACT : PAGER_MIN_FRAMES) *
		        PAGE_BYTES,
		    RAM_MAX_BYTES, &o->ram_bytes);
	case OPT_RAM_MAX:
		return read_size(
		    o, id, PAGER_MIN_FRAMES * PAGE_BYTES, RAM_MAX_BYTES, &o->ram_max_bytes);
	case OPT_SWAP_SIZE:
		return read_size(
		    o, id, PAGER_MIN_FRAMES * PAGE_BYTES, RAM_MAX_BYTES, &o->swap_bytes);
	case OPT_MIN_MAP:
		return read_size(o, id, PAGE_BYTES, RAM_MAX_BYTES, &o->min_map_bytes);
	case OPT_INTERVAL:
		return read_interval(o);
	case OPT_SWAP:
		return read_file(o, id, &o->swap_dir);
	case OPT_JSON:
		return read_file(o, id, &o->json);
	case OPT_OUTPUT:
		return read_file(o, id, &o->output);
	case OPT_ENGINE:
		o->engine = o->text[id];
		return read_choice(o, id, "engine", engines);
	case OPT_COMPRESS:
		o->compress = o->text[id];
		return read_choice(o, id, "codec", codecs);
	case OPT_RECLAIM:
		o->reclaim = o->text[id];
		return read_choice(o, id, "way to reclaim", reclaims);
	case OPT_POLICY:
		return read_policy(o);
	case OPT_TRACE:
		return read_file(o, id, &o->trace);
	case OPT_EXACT:
		return read_flag(o, id, &o->is_exact);
	case OPT_TLB:
		return read_tlb(o);
	case OPT_PAGE_SIZE:
		return read_page_size(o);
	case OPT_MALLOC:
		return read_file(o, id, &o->malloc_lib);
	case OPT_QUIET:
		return read_flag(o, id, &o->is_quiet);
	case OPT_VERBOSE:
		return read_flag(o, id, &o->is_verbose);
	case OPT_ALLOW_UNMANAGED:
		return read_flag(o, id, &o->allow_unmanaged);
	case NR_OPTIONS:
		break;
	}
	return STATUS_GO_ON;
}

int options_from_environment(struct options *o)
{
	*o = (struct options){0};
	for (int id = 0; id < NR_OPTIONS; id++) {
		const char *text = getenv(option_specs[id].variable);

		o->text[id] = text && *text ? text : option_specs[id].default_text;
		o->source[id] = text && *text ? FROM_ENVIRONMENT : FROM_DEFAULT;
	}
	if (o->source[OPT_POLICY] == FROM_DEFAULT)
		o->text[OPT_POLICY] = policies[0]->name;
	return STATUS_GO_ON;
}

/* getopt answered '?' or ':' for argv[@index] or one of its letters. */
static int complain_unknown(char **argv, int index, int letter, int value)
{
	if (value == ':')
		return complain(STATUS_FAILED, "%s: its value is missing; see faultline run --help",
		    argv[index]);
	if (letter >= LETTER_OF(0))
		return complain(STATUS_FAILED, "%s: this option takes no value; write --%s",
		    argv[index], option_specs[letter - LETTER_OF(0)].name);
	if (letter)
		return complain(
		    STATUS_FAILED, "-%c: no such option; see faultline run --help", letter);
	return complain(STATUS_FAILED, "%s: no such option; see faultline run --help", argv[index]);
}

static int take_option(struct options *o, enum option_id id, const char *text)
{
	if (o->source[id] == FROM_COMMAND_LINE && option_specs[id].kind == KIND_FLAG)
		return complain(
		    STATUS_FAILED, "--%s: given twice; give it once", option_specs[id].name);
	if (o->source[id] == FROM_COMMAND_LINE)
		return complain(STATUS_FAILED, "--%s: given twice (%s and %s); give it once",
		    option_specs[id].name, o->text[id], text);
	o->text[id] = text;
	o->source[id] = FROM_COMMAND_LINE;
	return STATUS_GO_ON;
}

static void build_getopt(struct option *longs, char *letters)
{
	size_t nr = 0, nr_letters = 0;

	letters[nr_letters++] = '+'; /* stop at the program's name */
	letters[nr_letters++] = ':';
	for (int id = 0; id < NR_OPTIONS; id++) {
		bool has_value = option_specs[id].kind != KIND_FLAG;

		longs[nr++] = (struct option){option_specs[id].name,
		    has_value ? required_argument : no_argument, NULL, LETTER_OF(id)};
		if (!option_specs[id].letter)
			continue;
		letters[nr_letters++] = option_specs[id].letter;
		if (has_value)
			letters[nr_letters++] = ':';
	}
	longs[nr++] = (struct option){"help", no_argument, NULL, LETTER_OF(NR_OPTIONS)};
	longs[nr++] = (struct option){"version", no_argument, NULL, LETTER_OF(NR_OPTIONS + 1)};
	longs[nr] = (struct option){0};
	letters[nr_letters++] = 'h';
	letters[nr_letters] = '\0';
}

static int option_of(int value)
{
	if (value >= LETTER_OF(0))
		return value - LETTER_OF(0);
	for (int id = 0; id < NR_OPTIONS; id++)
		if (option_specs[id].letter == value)
			return id;
	return NR_OPTIONS; /* -h */
}

int options_from_arguments(int argc, char **argv, struct options *o, int *ret_first)
{
	struct option longs[NR_OPTIONS + 3];
	char letters[2 * NR_OPTIONS + 4];

	build_getopt(longs, letters);
	opterr = 0;
	optind = 1;
	for (;;) {
		int index = optind;
		int value = getopt_long(argc, argv, letters, longs, NULL);

		if (value == -1)
			break;
		if (value == '?' || value == ':')
			return complain_unknown(argv, index, optopt, value);
		int id = option_of(value);
		if (id == NR_OPTIONS)
			return help_run();
		if (id == NR_OPTIONS + 1)
			return help_version();
		int status = take_option(o, (enum option_id)id, optarg ? optarg : "1");
		if (status != STATUS_GO_ON)
			return status;
	}
	*ret_first = optind;
	return STATUS_GO_ON;
}

static int check_tlb(const struct options *o)
{
	const struct pager_config config = {
	    .tlb = o->tlb, .tlb_shift = o->tlb_shift, .is_exact = o->is_exact};
	char ram[24];

	if (o->tlb_shift && !o->tlb.entries)
		return complain(STATUS_FAILED, "%s: larger pages are a TLB's; add --tlb ENTRIES",
		    option_label(o, OPT_PAGE_SIZE));
	if (o->ram_bytes >> PAGE_SHIFT < pager_min_frames(&config))
		return complain(STATUS_FAILED,
		    "%s: reaches over more than %s the RAM; give fewer entries, or --ram %s",
		    option_label(o, OPT_TLB), o->is_exact ? "all of" : "half of",
		    size_text(pager_min_frames(&config) << PAGE_SHIFT, ram));
	return STATUS_GO_ON;
}

static int check_ram_max(const struct options *o)
{
	char ram[24];

	if (!o->ram_max_bytes)
		return STATUS_GO_ON;
	if (o->ram_max_bytes < o->ram_bytes)
		return complain(STATUS_FAILED, "%s: less than the RAM, %s; give at least that",
		    option_label(o, OPT_RAM_MAX), size_text(o->ram_bytes, ram));
	if (o->tlb.entries || o->is_exact)
		return complain(STATUS_FAILED,
		    "%s: with --tlb or --exact the RAM is fixed; leave one out",
		    option_label(o, OPT_RAM_MAX));
	return STATUS_GO_ON;
}

int options_check(struct options *o)
{
	for (int id = 0; id < NR_OPTIONS; id++) {
		/* Options without a default: their value stays 0 or NULL. */
		bool is_file = id == OPT_JSON || id == OPT_OUTPUT || id == OPT_TRACE;
		bool is_given = o->source[id] != FROM_DEFAULT || (*o->text[id] && !is_file);
		int status = is_given ? read_value(o, (enum option_id)id) : STATUS_GO_ON;

		if (status != STATUS_GO_ON)
			return status;
	}
	if (!o->ram_bytes)
		o->ram_bytes = default_ram_bytes();
	if (check_tlb(o) != STATUS_GO_ON || check_ram_max(o) != STATUS_GO_ON)
		return STATUS_FAILED;
	if (o->interval_ms && !o->json)
		return complain(STATUS_FAILED,
		    "%s: there is no file for its lines; add --json FILE",
		    option_label(o, OPT_INTERVAL));
	if (o->json && o->output && !strcmp(o->json, o->output))
		return complain(STATUS_FAILED,
		    "%s: the same file as --json; give one of them another name",
		    option_label(o, OPT_OUTPUT));
	if (o->trace && ((o->json && !strcmp(o->json, o->trace)) ||
	                    (o->output && !strcmp(o->output, o->trace))))
		return complain(STATUS_FAILED,
		    "%s: the same file as --json or --output; give it another name",
		    option_label(o, OPT_TRACE));
	if (o->is_quiet && o->is_verbose && o->source[OPT_QUIET] == o->source[OPT_VERBOSE])
		return complain(STATUS_FAILED, "--quiet and --verbose: give one of the two");
	if (o->is_quiet)
		warnings_off();
	return STATUS_GO_ON;
}
