// SPDX-License-Identifier: MIT
/*
 * --step: each reference as a textbook explains it: the frames before, hit or fault, the victim and
 * why it is the one. --quiz: asks the user first.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "replay.h"

#define MAX_SHOWN 16u /* frames in a line */

/* What is known of a page so far; references count from 1. */
struct history {
	uint64_t came, used, times;
};

struct stepper {
	const struct replay_options *o;
	struct trace_file *file;
	uint32_t *refs;
	uint64_t *next_use;
	struct history *history;
	struct sim *sim;
	uint32_t nr_frames, nr_shown;
	uint32_t asked, right;
};

static uint64_t page_of(const struct stepper *s, uint32_t page)
{
	return s->file->map.page_of[page];
}

static int no_memory(void)
{
	return complain(STATUS_FAILED, "no memory; --limit N takes the first N references");
}

/* The frames as they are now. */
static void print_frames(const struct stepper *s)
{
	for (uint32_t f = 0; f < s->nr_shown; f++) {
		uint32_t page = sim_page_in(s->sim, f);

		if (page == ACCESS_NO_PAGE)
			printf("     . ");
		else
			printf("%6" PRIu64 "%c", page_of(s, page),
			    sim_is_held(s->sim, f) ? '\'' : ' ');
	}
	fputs(s->nr_shown < s->nr_frames ? " ...  " : "  ", stdout);
}

/* Policies whose reason is a fact about the victim; the others give the facts. */
static void print_reason(const struct stepper *s, uint32_t victim)
{
	const char *name = sim_policy_name(s->o->policy[0]);
	const struct history *h = &s->history[victim];
	uint64_t next = s->next_use[h->used - 1];

	if (!strcmp(name, "fifo"))
		printf("came first, at reference %" PRIu64, h->came);
	else if (!strcmp(name, "lru"))
		printf("not used since reference %" PRIu64 ", longer than any other", h->used);
	else if (!strcmp(name, "mru"))
		printf("used last, at reference %" PRIu64, h->used);
	else if (!strcmp(name, "lfu"))
		printf("used %" PRIu64 " times since it came, least often", h->times);
	else if (!strcmp(name, "random"))
		printf("drawn at random");
	else if (!strcmp(name, "opt") && next == ACCESS_NEVER)
		printf("never used again");
	else if (!strcmp(name, "opt"))
		printf("next used at reference %" PRIu64 ", farthest away", next + 1);
	else
		printf("came at %" PRIu64 ", last used at %" PRIu64 ", %" PRIu64 " use%s", h->came,
		    h->used, h->times, h->times == 1 ? "" : "s");
}

static void print_result(const struct stepper *s, const struct sim_step *step)
{
	if (!step->is_fault) {
		puts(step->is_refill ? "hit    its bit is set again" : "hit");
		return;
	}
	if (step->victim == ACCESS_NO_PAGE) {
		puts("fault  a frame is free");
		return;
	}
	printf("fault  ");
	if (step->nr_held) {
		printf("bit cleared of");
		for (uint32_t i = 0; i < MIN(step->nr_held, SIM_MAX_HELD_SHOWN); i++)
			printf(" %" PRIu64, page_of(s, step->held[i]));
		fputs(step->nr_held > SIM_MAX_HELD_SHOWN ? " ...; " : "; ", stdout);
	}
	printf("%" PRIu64 " goes%s: ", page_of(s, step->victim),
	    step->is_victim_dirty ? ", written back" : "");
	print_reason(s, step->victim);
	putchar('\n');
}

static void note(struct stepper *s, uint64_t i, const struct sim_step *step)
{
	struct history *h = &s->history[s->refs[i] >> 1];

	if (step->is_fault)
		*h = (struct history){.came = i + 1};
	h->used = i + 1;
	h->times++;
}

/* Ask @question. Return: whether there was an answer; it is in @buf, without the end of line. */
static bool ask(const char *question, char *buf, int bytes)
{
	printf("%s ", question);
	fflush(stdout);
	if (!fgets(buf, bytes, stdin)) {
		putchar('\n');
		return false;
	}
	buf[strcspn(buf, "\r\n")] = 0;
	return true;
}

static void judge(struct stepper *s, bool is_right, const char *what)
{
	s->asked++;
	s->right += is_right;
	printf("%s: %s. ", is_right ? "Right" : "No", what);
}

/* Return: false when the user has had enough. */
static bool quiz_one(struct stepper *s, uint64_t i, struct sim_step *step)
{
	char guess[32], victim[32] = "", text[64];

	printf("%3" PRIu64 "  %6" PRIu64 " %c  ", i + 1, page_of(s, s->refs[i] >> 1),
	    s->refs[i] & 1 ? 'w' : 'r');
	print_frames(s);
	if (!ask("hit or fault?", guess, sizeof(guess)))
		return false;
	if ((guess[0] | 0x20) == 'f' && sim_page_in(s->sim, s->nr_frames - 1) != ACCESS_NO_PAGE &&
	    !ask("          which page goes?", victim, sizeof(victim)))
		return false;
	if (sim_run(s->sim, s->refs + i, 1, s->file->map.nr, s->next_use + i, step))
		return false;
	fputs("          ", stdout);
	judge(s, (guess[0] | 0x20) == (step->is_fault ? 'f' : 'h'),
	    step->is_fault ? "a fault" : "a hit");
	if (victim[0] && step->victim != ACCESS_NO_PAGE) {
		char *end;
		uint64_t page = strtoull(victim, &end, 0);

		snprintf(text, sizeof(text), "%" PRIu64 " goes", page_of(s, step->victim));
		judge(s, end != victim && !*end && page == page_of(s, step->victim), text);
	}
	return true;
}

static int run(struct stepper *s)
{
	struct sim_step step;

	printf("%s, %u frame%s%s\n", sim_policy_name(s->o->policy[0]), s->nr_frames,
	    s->nr_frames == 1 ? "" : "s",
	    s->o->policy[0].live ? "; ' = bit clear (unmapped, watched)" : "");
	for (uint64_t i = 0; i < s->file->nr_refs; i++) {
		if (s->o->quiz) {
			if (!quiz_one(s, i, &step))
				break;
		} else {
			printf("%3" PRIu64 "  %6" PRIu64 " %c  ", i + 1,
			    page_of(s, s->refs[i] >> 1), s->refs[i] & 1 ? 'w' : 'r');
			print_frames(s);
			if (sim_run(
			        s->sim, s->refs + i, 1, s->file->map.nr, s->next_use + i, &step))
				return no_memory();
		}
		print_result(s, &step);
		note(s, i, &step);
	}
	const struct sim_counts *c = sim_counts(s->sim);
	printf("%" PRIu64 " references, %" PRIu64 " faults (%" PRIu64
	       " of them first touches), %" PRIu64 " write-backs\n",
	    c->refs, c->faults, c->first, c->writebacks);
	if (s->o->quiz)
		printf("%u of %u answers right\n", s->right, s->asked);
	return fflush(stdout) || ferror(stdout) ? STATUS_FAILED : STATUS_OK;
}

static int prepare(struct stepper *s)
{
	struct trace_file *t = s->file;
	int status = trace_file_load(t, &s->refs);

	if (status != STATUS_GO_ON)
		return status;
	trace_file_progress_done(t);
	s->next_use = malloc(t->nr_refs * sizeof(*s->next_use));
	s->history = calloc(t->map.nr, sizeof(*s->history));
	s->sim = sim_open(s->o->policy[0], s->nr_frames, replay_max_held(s->o, s->nr_frames));
	if (!s->next_use || !s->history || !s->sim ||
	    next_uses(s->refs, t->nr_refs, t->map.nr, s->next_use))
		return no_memory();
	return STATUS_GO_ON;
}

int replay_step(const struct replay_options *o)
{
	struct stepper s = {.o = o, .nr_frames = o->frames[0]};
	int status;

	s.nr_shown = MIN(s.nr_frames, MAX_SHOWN);
	s.file = malloc(sizeof(*s.file));
	if (!s.file)
		return no_memory();
	status = trace_file_open(s.file, o->trace, &o->trace_options, o->limit, !o->is_quiet);
	if (status == STATUS_GO_ON)
		status = prepare(&s);
	if (status == STATUS_GO_ON)
		status = run(&s);
	trace_file_close(s.file);
	sim_close(s.sim);
	free(s.history);
	free(s.next_use);
	free(s.refs);
	free(s.file);
	return status;
}
