// SPDX-License-Identifier: MIT
/*
 * `faultline run`: checks everything, starts the program on a libuv loop, samples it while it
 * runs, reports, and ends as it ended.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/sys.h"
#include "child.h"
#include "cli.h"
#include "inject.h"
#include "options.h"
#include "output.h"
#include "preflight.h"
#include "program.h"
#include "recorder.h"
#include "summary.h"
#include "watch.h"

/* A sample of one process takes some 20 us: 16 of them every 20 ms are below 2 % of one CPU. */
#define SAMPLE_MS  20
#define SAMPLE_MAX 16

struct run {
	struct options options;
	struct preflight preflight;
	struct program program;
	struct inject inject;
	struct signal_state signals;
	struct watch watch;
	struct child child;
	uv_loop_t loop;
	uv_timer_t sample_timer, interval_timer;
	FILE *json, *output, *trace;
	struct recorder recorder;
	uint64_t nr_intervals;
	const char *name; /* as the user gave it */
};

static void settings(const struct run *run, struct summary *s)
{
	const char *slash = strrchr(run->name, '/');

	*s = (struct summary){
	    .program = slash && slash[1] ? slash + 1 : run->name,
	    .engine = run->preflight.engine,
	    .engine_asked = run->options.engine,
	    .policy = run->options.policy,
	    .ram_bytes = run->options.ram_bytes,
	};
	snprintf(s->swap, sizeof(s->swap), "%.256s", run->preflight.swap_how);
}

static void on_sample(uv_timer_t *timer)
{
	struct run *run = timer->data;

	watch_sample(&run->watch, SAMPLE_MAX);
	recorder_run(&run->recorder, &run->watch);
}

static void json_failed(struct run *run, int err)
{
	complain(0, "%s: cannot be written: %s", run->options.json, strerror(-err));
	fclose(run->json);
	run->json = NULL;
}

static void on_interval(uv_timer_t *timer)
{
	struct run *run = timer->data;
	struct summary s;
	uint64_t now = now_ns();

	if (!run->json)
		return;
	settings(run, &s);
	s.wall_ns = now - run->child.start_ns;
	watch_sample(&run->watch, SAMPLE_MAX);
	int err = summary_take(&s, &run->watch, true, now);
	if (!err)
		err = summary_write_json(&s, run->json, ++run->nr_intervals, true);
	summary_fini(&s);
	if (err)
		json_failed(run, err);
}

/* The program has ended; nothing else keeps the loop. */
static void on_program_exit(struct child *child)
{
	struct run *run = child->owner;

	uv_close((uv_handle_t *)&run->sample_timer, NULL);
	uv_close((uv_handle_t *)&run->interval_timer, NULL);
}

static int read_command_line(struct run *run, int argc, char **argv, char ***ret_program)
{
	int first, status = options_from_environment(&run->options);

	if (status == STATUS_GO_ON)
		status = options_from_arguments(argc, argv, &run->options, &first);
	if (status == STATUS_GO_ON)
		status = options_check_variables();
	if (status == STATUS_GO_ON)
		status = options_check(&run->options);
	if (status != STATUS_GO_ON)
		return status;
	if (first >= argc)
		return complain(STATUS_FAILED,
		    "no program given; write faultline run [options] PROGRAM [ARGS...]");
	*ret_program = argv + first;
	run->name = argv[first];
	return STATUS_GO_ON;
}

static int check_program(struct run *run)
{
	struct program *p = &run->program;
	int status = program_find(run->name, p);

	if (status != STATUS_GO_ON || p->can_preload)
		return status;
	if (!run->options.allow_unmanaged)
		return complain(STATUS_FAILED,
		    "%s: cannot be paged: %s; --allow-unmanaged runs it without paging", run->name,
		    p->why_not);
	warn("%s: runs unpaged: %s", run->name, p->why_not);
	return STATUS_GO_ON;
}

/* Everything that can go wrong, before anything is started. */
static int prepare(struct run *run)
{
	int status = preflight_check(&run->options, &run->preflight);

	if (status == STATUS_GO_ON)
		status = check_program(run);
	if (status == STATUS_GO_ON)
		status = inject_find(&run->options, &run->inject);
	if (status == STATUS_GO_ON)
		status = output_prepare(&run->options, OPT_JSON, &run->json);
	if (status == STATUS_GO_ON)
		status = output_prepare(&run->options, OPT_OUTPUT, &run->output);
	if (status == STATUS_GO_ON)
		status = output_prepare(&run->options, OPT_TRACE, &run->trace);
	if (status != STATUS_GO_ON)
		return status;
	recorder_init(&run->recorder, run->options.trace, run->trace);
	int err = watch_create(&run->watch, run->options.trace);
	if (err)
		return complain(STATUS_FAILED,
		    "cannot make the shared memory for the counters: %s%s", strerror(-err),
		    err == -EFBIG ? "; run: ulimit -f unlimited" : "");
	return STATUS_GO_ON;
}

static int start(struct run *run, char **program)
{
	char telemetry[64];
	bool with_preload = !run->program.is_foreign;

	snprintf(telemetry, sizeof(telemetry), "/proc/%d/fd/%d", (int)getpid(), run->watch.fd);
	char **env = inject_environment(&run->inject, &run->options, run->preflight.engine,
	    run->preflight.swap_dir, telemetry, with_preload);
	if (!env)
		return complain(STATUS_FAILED, "out of memory; free some and try again");
	run->child.on_exit = on_program_exit;
	run->child.owner = run;
	int status = child_start(&run->child, &run->loop, &run->signals, run->program.path, program,
	    env, with_preload ? run->inject.preload : getenv("LD_PRELOAD"));
	env_free(env);
	return status;
}

static void watch_it_run(struct run *run)
{
	const struct options *o = &run->options;

	if (o->json && !run->json)
		run->json = output_open(o->json, run->child.process.pid);
	uv_timer_init(&run->loop, &run->sample_timer);
	uv_timer_init(&run->loop, &run->interval_timer);
	run->sample_timer.data = run->interval_timer.data = run;
	uv_timer_start(&run->sample_timer, on_sample, 1, SAMPLE_MS);
	if (o->interval_ms)
		uv_timer_start(&run->interval_timer, on_interval, o->interval_ms, o->interval_ms);
	uv_run(&run->loop, UV_RUN_DEFAULT);
}

static void report_text(struct run *run, const struct summary *s)
{
	const struct options *o = &run->options;

	if (o->output && !run->output)
		run->output = output_open(o->output, run->child.process.pid);
	if (run->output) {
		int err = summary_write_text(s, run->output, o->is_verbose);
		if (fclose(run->output) || err)
			complain(0, "%s: cannot be written completely", o->output);
	} else if (!o->output && !o->is_quiet) {
		summary_write_text(s, stderr, o->is_verbose);
	}
}

static void report(struct run *run)
{
	struct summary s;

	settings(run, &s);
	s.has_ended = true;
	s.exit_code = run->child.exit_code;
	s.exit_signal = run->child.exit_signal;
	s.wall_ns = run->child.end_ns - run->child.start_ns;
	watch_ended(&run->watch, (uint32_t)run->child.process.pid, run->child.end_ns);
	watch_sample(&run->watch, UINT32_MAX);
	recorder_finish(&run->recorder, &run->watch);
	s.trace = run->recorder.name;
	s.nr_traced = run->recorder.nr_records;
	s.nr_trace_lost = run->recorder.nr_lost;
	s.nr_trace_files = run->recorder.nr_files;
	int err = summary_take(&s, &run->watch, false, run->child.end_ns);
	if (err) {
		complain(0, "no summary: %s", strerror(-err));
		return;
	}
	if (run->json) {
		err = summary_write_json(&s, run->json, 0, run->options.interval_ms);
		if (err)
			json_failed(run, err);
		else if (fclose(run->json))
			complain(
			    0, "%s: cannot be written: %s", run->options.json, strerror(errno));
	}
	report_text(run, &s);
	summary_fini(&s);
}

int command_run(int argc, char **argv)
{
	static struct run run;
	char **program = NULL;

	run.watch.fd = -1;
	signals_take_over(&run.signals);
	int status = read_command_line(&run, argc, argv, &program);
	if (status == STATUS_GO_ON)
		status = prepare(&run);
	if (status != STATUS_GO_ON)
		return status;
	int err = uv_loop_init(&run.loop);
	if (err)
		return complain(STATUS_FAILED, "no event loop: %s", uv_strerror(err));
	status = start(&run, program);
	if (status != STATUS_GO_ON)
		return status;
	watch_it_run(&run);
	report(&run);
	uv_loop_close(&run.loop);
	inject_fini(&run.inject);
	watch_close(&run.watch);
	return child_status(&run.child);
}
