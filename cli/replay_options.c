// SPDX-License-Identifier: MIT
/* The command line of `faultline replay`; see replay.h. */
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "pager/pager.h"
#include "replay.h"

#define MAX_FRAMES (1u << 28)

enum id {
	ID_POLICY = 0x100,
	ID_FRAMES,
	ID_CURVE,
	ID_SAMPLE,
	ID_EXACT,
	ID_HELD,
	ID_FORMAT,
	ID_UNIT,
	ID_PAGE_SIZE,
	ID_DATA_ONLY,
	ID_CUT_OFF,
	ID_LIMIT,
	ID_CSV,
	ID_JSON,
	ID_SVG,
	ID_STEP,
	ID_QUIZ,
	ID_TLB,
};

static const struct option long_options[] = {
    {"policy", required_argument, NULL, ID_POLICY},
    {"frames", required_argument, NULL, ID_FRAMES},
    {"curve", no_argument, NULL, ID_CURVE},
    {"sample", required_argument, NULL, ID_SAMPLE},
    {"exact", no_argument, NULL, ID_EXACT},
    {"held", required_argument, NULL, ID_HELD},
    {"format", required_argument, NULL, ID_FORMAT},
    {"unit", required_argument, NULL, ID_UNIT},
    {"page-size", required_argument, NULL, ID_PAGE_SIZE},
    {"data-only", no_argument, NULL, ID_DATA_ONLY},
    {"cut-off", no_argument, NULL, ID_CUT_OFF},
    {"limit", required_argument, NULL, ID_LIMIT},
    {"csv", required_argument, NULL, ID_CSV},
    {"json", required_argument, NULL, ID_JSON},
    {"svg", required_argument, NULL, ID_SVG},
    {"step", no_argument, NULL, ID_STEP},
    {"quiz", no_argument, NULL, ID_QUIZ},
    {"tlb", required_argument, NULL, ID_TLB},
    {"quiet", no_argument, NULL, 'q'},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

static int help(void)
{
	puts("faultline replay [options] TRACE|-\n\n"
	     "Runs a trace of page references through memories under replacement policies.\n\n"
	     "      --policy LIST     a,b,c or all; lru. See below\n"
	     "      --frames LIST     memory sizes in pages: 16,32 or 1-8; one of --frames and\n"
	     "                        --curve must be given\n"
	     "      --curve           miss ratio by memory size, plotted; lru exactly, others\n"
	     "                        by sampling where the trace is long, error stated\n"
	     "      --sample RATE     share of pages to sample: 0.01\n"
	     "      --exact           no sampling\n"
	     "      --held SHARE      frames that a live policy may watch unmapped: 0.125; all\n"
	     "                        of them, as with reference bits, below 64 frames: 1\n"
	     "      --tlb GEOMETRY    a TLB in front, its hits and misses counted exactly:\n"
	     "                        ENTRIES[xWAYS][,fifo|random|clock|lru], as in 64x4,lru\n"
	     "      --step            explain each reference (one policy, one size)\n"
	     "      --quiz            ask instead\n"
	     "      --csv FILE, --json FILE, --svg FILE   write results, - is stdout\n"
	     "      --format NAME     of the trace: faultline, list, lackey, oracle; by its\n"
	     "                        first bytes\n"
	     "      --unit NAME       of a list: pages or addresses; addresses if 0x is first\n"
	     "      --page-size SIZE  to make pages of addresses; 4K\n"
	     "      --data-only       lackey: leave instruction fetches out\n"
	     "      --limit N         only the first N references\n"
	     "      --cut-off         a trace that is cut off counts as far as it goes\n"
	     "  -q, --quiet           no progress bar\n"
	     "  -h, --help            this text\n\n"
	     "Policies of live programs too:");
	size_t i = 0;
	for (; sim_policy_at(i).live; i++)
		printf("  %-14s %s\n", sim_policy_name(sim_policy_at(i)),
		    sim_policy_summary(sim_policy_at(i)));
	puts("Policies that see every reference:");
	for (; sim_policy_at(i).accesses; i++)
		printf("  %-14s %s\n", sim_policy_name(sim_policy_at(i)),
		    sim_policy_summary(sim_policy_at(i)));
	return fflush(stdout) || ferror(stdout) ? STATUS_FAILED : STATUS_OK;
}

static int add_policy(struct replay_options *o, struct sim_policy policy)
{
	for (uint32_t i = 0; i < o->nr_policies; i++)
		if (o->policy[i].live == policy.live && o->policy[i].accesses == policy.accesses)
			return STATUS_GO_ON;
	if (o->nr_policies < REPLAY_MAX_POLICIES)
		o->policy[o->nr_policies++] = policy;
	return STATUS_GO_ON;
}

static int no_such_policy(const char *name)
{
	char known[400] = "";

	for (size_t i = 0; sim_policy_at(i).live || sim_policy_at(i).accesses; i++)
		snprintf(known + strlen(known), sizeof(known) - strlen(known), "%s, ",
		    sim_policy_name(sim_policy_at(i)));
	return complain(STATUS_FAILED, "--policy %s: no such policy; choose %sor all", name, known);
}

static int read_policies(struct replay_options *o, char *list)
{
	if (!*list)
		return no_such_policy("\"\"");
	for (char *name = strtok(list, ","); name; name = strtok(NULL, ",")) {
		struct sim_policy policy = sim_policy_find(name);

		if (!strcmp(name, "all")) {
			for (size_t i = 0; sim_policy_at(i).live || sim_policy_at(i).accesses; i++)
				add_policy(o, sim_policy_at(i));
		} else if (policy.live || policy.accesses) {
			add_policy(o, policy);
		} else {
			return no_such_policy(name);
		}
	}
	return STATUS_GO_ON;
}

/* Return: whether *text begins with a number up to @max; moves on behind it. */
static bool read_number(const char **text, uint64_t max, uint64_t *ret_v)
{
	char *end;

	errno = 0;
	unsigned long long v = strtoull(*text, &end, 10);
	if (**text < '0' || **text > '9' || errno || v > max)
		return false;
	*text = end;
	*ret_v = v;
	return true;
}

static int read_frames(struct replay_options *o, const char *list)
{
	const char *at = list;

	for (;;) {
		uint64_t from, to;
		bool is_good = read_number(&at, MAX_FRAMES, &from);

		to = from;
		if (is_good && *at == '-')
			is_good = at++, read_number(&at, MAX_FRAMES, &to);
		if (!is_good || (*at && *at != ',') || to < from)
			return complain(STATUS_FAILED,
			    "--frames %s: not a list of memory sizes; write it like --frames "
			    "16,32,64 or --frames 1-8, at most %u",
			    list, MAX_FRAMES);
		if (!from)
			return complain(STATUS_FAILED,
			    "--frames %s: a memory of 0 frames holds no page; give 1 or more",
			    list);
		if (to - from >= REPLAY_MAX_POINTS - o->nr_frames)
			return complain(STATUS_FAILED, "--frames %s: more than %u sizes", list,
			    REPLAY_MAX_POINTS);
		for (; from <= to; from++)
			o->frames[o->nr_frames++] = (uint32_t)from;
		if (!*at)
			return STATUS_GO_ON;
		at++;
	}
}

static int read_share(const char *option, const char *text, double min, double *ret_share)
{
	char *end;
	double v = strtod(text, &end);

	if (*end == '%' && !end[1])
		v /= 100, end++;
	if (end == text || *end || !(v >= min && v <= 1))
		return complain(
		    STATUS_FAILED, "--%s %s: not a share; give a number up to 1", option, text);
	*ret_share = v;
	return STATUS_GO_ON;
}

static int read_limit(struct replay_options *o, const char *text)
{
	const char *at = text;

	if (!read_number(&at, TRACE_MAX_REFS, &o->limit) || *at || !o->limit)
		return complain(STATUS_FAILED, "--limit %s: not a number of references", text);
	return STATUS_GO_ON;
}

static int read_tlb(struct replay_options *o, const char *text)
{
	char why[200];

	if (tlb_geometry_parse(text, true, &o->tlb, why, sizeof(why)))
		return complain(STATUS_FAILED, "--tlb %s: %s", text, why);
	return STATUS_GO_ON;
}

static int read_option(struct replay_options *o, int id, char *text)
{
	switch (id) {
	case ID_POLICY:
		return read_policies(o, text);
	case ID_FRAMES:
		return read_frames(o, text);
	case ID_SAMPLE:
		return read_share("sample", text, 1e-9, &o->sample);
	case ID_HELD:
		return read_share("held", text, 0, &o->held);
	case ID_LIMIT:
		return read_limit(o, text);
	case ID_FORMAT:
		return trace_option_format(&o->trace_options, text);
	case ID_UNIT:
		return trace_option_unit(&o->trace_options, text);
	case ID_TLB:
		return read_tlb(o, text);
	case ID_PAGE_SIZE:
		return trace_option_page_size(&o->trace_options, text);
	case ID_CSV:
		o->csv = text;
		break;
	case ID_JSON:
		o->json = text;
		break;
	case ID_SVG:
		o->svg = text;
		break;
	case ID_EXACT:
		o->sample = 1;
		break;
	default:
		o->curve |= id == ID_CURVE;
		o->step |= id == ID_STEP;
		o->quiz |= id == ID_QUIZ;
		o->is_quiet |= id == 'q';
		o->trace_options.data_only |= id == ID_DATA_ONLY;
		o->trace_options.allow_cut |= id == ID_CUT_OFF;
	}
	return STATUS_GO_ON;
}

static bool is_stdout(const char *name)
{
	return name && !strcmp(name, "-");
}

static int check(const struct replay_options *o)
{
	bool is_stepping = o->step || o->quiz;

	if (o->tlb.entries && (o->curve || is_stepping))
		return complain(
		    STATUS_FAILED, "--tlb: goes with a table; write --frames 16,32 alone");
	if (!o->nr_frames && !o->curve)
		return complain(STATUS_FAILED,
		    "no memory size; write --frames 16,32, or --curve for many of them");
	if (is_stepping && (o->curve || o->nr_policies != 1 || o->nr_frames != 1))
		return complain(STATUS_FAILED,
		    "%s: goes with one policy and one number of frames; write --policy NAME "
		    "--frames N",
		    o->step ? "--step" : "--quiz");
	if (is_stepping && (o->csv || o->json || o->svg))
		return complain(STATUS_FAILED, "%s: has no table to write to a file",
		    o->step ? "--step" : "--quiz");
	if (o->quiz && !strcmp(o->trace, "-"))
		return complain(STATUS_FAILED,
		    "--quiz: reads the answers from stdin; name a file as the trace");
	if (is_stdout(o->csv) + is_stdout(o->json) + is_stdout(o->svg) > 1)
		return complain(STATUS_FAILED, "only one of --csv, --json and --svg can be -");
	return STATUS_GO_ON;
}

int replay_options_read(struct replay_options *o, int argc, char **argv)
{
	int id, status = STATUS_GO_ON;

	*o = (struct replay_options){.held = -1};
	opterr = 0;
	optind = 0;
	while ((id = getopt_long(argc, argv, ":qh", long_options, NULL)) != -1) {
		if (id == 'h')
			return help();
		if (id == ':')
			return complain(STATUS_FAILED,
			    "%s: its value is missing; see faultline replay --help",
			    argv[optind - 1]);
		if (id == '?')
			return complain(STATUS_FAILED,
			    "%s: no such option; see faultline replay --help", argv[optind - 1]);
		status = read_option(o, id, optarg);
		if (status != STATUS_GO_ON)
			return status;
	}
	if (optind == argc)
		return complain(STATUS_FAILED,
		    "no trace given; name a file, or - for stdin, or see faultline replay --help");
	if (optind + 1 < argc)
		return complain(
		    STATUS_FAILED, "%s: a second trace; one at a time", argv[optind + 1]);
	o->trace = argv[optind];
	if (!o->nr_policies)
		add_policy(o, sim_policy_find("lru"));
	return check(o);
}

double replay_held(const struct replay_options *o, uint32_t nr_frames)
{
	if (o->held >= 0)
		return o->held;
	return nr_frames < PAGER_MIN_FRAMES ? 1 : 0.125;
}

uint32_t replay_max_held(const struct replay_options *o, uint32_t nr_frames)
{
	double held = replay_held(o, nr_frames);
	uint32_t nr = (uint32_t)((double)nr_frames * held);

	return held > 0 ? MAX(nr, 1u) : 0;
}
