// SPDX-License-Identifier: MIT
/*
 * `faultline report --fd N [--program NAME] [--code N | --signal N]`: internal. The preload library
 * starts it when its process ends and nobody else reports: N is the telemetry file it made for
 * itself. The rest comes from FAULTLINE_... variables.
 */
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "base/sys.h"
#include "cli.h"
#include "options.h"
#include "output.h"
#include "summary.h"
#include "watch.h"

struct arguments {
	int fd;
	const char *program;
	int code, sig; /* -1: not known */
};

static int read_arguments(int argc, char **argv, struct arguments *a)
{
	static const struct option longs[] = {{"fd", required_argument, NULL, 'f'},
	    {"program", required_argument, NULL, 'p'}, {"code", required_argument, NULL, 'c'},
	    {"signal", required_argument, NULL, 's'}, {0}};
	int value;

	*a = (struct arguments){.fd = -1, .code = -1, .sig = -1};
	opterr = 0;
	while ((value = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		if (value == 'f')
			a->fd = atoi(optarg);
		else if (value == 'p')
			a->program = optarg;
		else if (value == 'c')
			a->code = atoi(optarg);
		else if (value == 's')
			a->sig = atoi(optarg);
		else
			a->fd = -1;
	}
	if (a->fd < 0)
		return complain(STATUS_FAILED, "report: internal command; use faultline run");
	return STATUS_GO_ON;
}

static int write_all(const struct options *o, const struct summary *s, long pid)
{
	int err = 0;

	if (o->json) {
		FILE *f = output_open(o->json, pid);
		if (!f)
			return STATUS_FAILED;
		err = summary_write_json(s, f, 0, false);
		fclose(f);
	}
	if (o->output) {
		FILE *f = output_open(o->output, pid);
		if (!f)
			return STATUS_FAILED;
		err = summary_write_text(s, f, o->is_verbose) ?: err;
		fclose(f);
	} else if (!o->is_quiet) {
		summary_write_text(s, stderr, o->is_verbose);
	}
	return err ? complain(STATUS_FAILED, "report: %s", strerror(-err)) : STATUS_OK;
}

int command_report(int argc, char **argv)
{
	struct options o;
	struct arguments a;
	struct watch w;
	uint64_t now = now_ns();

	unsetenv(option_variable(OPT_TRACE));
	unsetenv(option_variable(OPT_INTERVAL)); /* intervals take a process that lives on */
	int status = options_from_environment(&o);
	if (status == STATUS_GO_ON)
		status = options_check(&o);
	if (status == STATUS_GO_ON)
		status = read_arguments(argc, argv, &a);
	if (status != STATUS_GO_ON)
		return status;
	int err = watch_attach(&w, a.fd);
	if (err)
		return complain(
		    STATUS_FAILED, "report: --fd %d: no telemetry file (%s)", a.fd, strerror(-err));
	watch_sample(&w, 0);
	struct summary s = {.ram_bytes = o.ram_bytes, .engine_asked = o.engine};
	err = summary_take(&s, &w, false, now);
	if (err || !s.nr) {
		watch_close(&w);
		return complain(STATUS_FAILED, "report: no process has claimed a record");
	}
	const struct process_summary *first = &s.processes[0];
	s.program = a.program ? a.program : first->program;
	s.engine = first->engine;
	s.policy = first->policy;
	s.ram_bytes = first->counts.frames_budget * PAGE_BYTES;
	for (uint32_t i = 0; i < s.nr; i++) /* all that this process was, one exec after another */
		if (s.processes[i].pid == first->pid)
			s.wall_ns += s.processes[i].wall_ns;
	s.has_ended = a.code >= 0 || a.sig > 0;
	s.exit_code = MAX(a.code, 0);
	s.exit_signal = MAX(a.sig, 0);
	status = write_all(&o, &s, first->pid);
	summary_fini(&s);
	watch_close(&w);
	return status;
}
