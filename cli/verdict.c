// SPDX-License-Identifier: MIT
/*
 * Was it thrashing? Thrashing is not many faults, but a program that mostly waits for pages it has
 * only just lost: stall dominates, and most of what is read in is refaults. A program that waits
 * as long for pages it never had lately is merely reading more than fits, and more RAM short of
 * everything would not help it.
 */
#include <stdio.h>
#include <string.h>

#include "cli.h"
#include "pager/pager.h"
#include "summary.h"

/* Shares of wall time: rules of thumb, as used with the kernel's PSI. */
#define STALL_THRASHING 50.0
#define STALL_SHORT     10.0
#define REFAULT_SHARE   25.0

/* Fewer major faults than the smallest budget has frames are a start-up, not a state. */
#define MIN_MAJORS PAGER_MIN_FRAMES

static double percent_of(uint64_t part, uint64_t whole)
{
	return whole ? 100.0 * (double)part / (double)whole : 0;
}

/* The process that waited longest. */
static const struct process_summary *worst(const struct summary *s)
{
	const struct process_summary *found = &s->processes[0];

	for (uint32_t i = 1; i < s->nr; i++)
		if (s->processes[i].counts.stall_some_ns > found->counts.stall_some_ns)
			found = &s->processes[i];
	return found;
}

/* The first that the pager ended for lack of RAM and swap. Return: NULL if none. */
static const struct process_summary *out_of_memory(const struct summary *s)
{
	for (uint32_t i = 0; i < s->nr; i++)
		if (s->processes[i].is_out_of_memory)
			return &s->processes[i];
	return NULL;
}

/* "--ram 320M", for what the process touched plus a little: in MiB, rounded up. */
static unsigned long long ram_for(const struct counts *c)
{
	return (c->managed_peak + c->managed_peak / 16 + ((uint64_t)1 << 20)) >> 20;
}

static void say_stalled(const struct process_summary *p, const char *name, char *buf, size_t bytes)
{
	const struct counts *c = &p->counts;
	double stall = percent_of(c->stall_some_ns, p->wall_ns);
	double refaults = percent_of(MIN(c->refaults, c->major), c->major);
	double seconds = (double)MAX(p->wall_ns, 1u) / 1e9;
	char majors[28], rate[28], touched[24], ram[24];

	count_text(c->major, majors);
	count_text((uint64_t)((double)c->major / seconds), rate);
	size_text(c->managed_peak, touched);
	size_text(c->frames_budget * PAGE_BYTES, ram);
	if (stall >= STALL_THRASHING && refaults >= REFAULT_SHARE)
		snprintf(buf, bytes,
		    "Thrashing: %s waited for pages for %.0f %% of its time, and %.0f %% of its %s "
		    "major faults (%s a second) brought back pages evicted shortly before; it "
		    "touched %s with %s of RAM: try --ram %lluM.",
		    name, stall, refaults, majors, rate, touched, ram, ram_for(c));
	else if (stall >= STALL_THRASHING)
		snprintf(buf, bytes,
		    "Slowed by paging, but not thrashing: %s waited for pages for %.0f %% of its "
		    "time, yet only %.0f %% of its %s major faults brought back pages evicted "
		    "shortly before: it went through %s with %s of RAM.",
		    name, stall, refaults, majors, touched, ram);
	else if (refaults >= REFAULT_SHARE)
		snprintf(buf, bytes,
		    "Short of RAM, but not thrashing: %s waited for pages for %.0f %% of its time, "
		    "less than half; %.0f %% of its %s major faults brought back pages evicted "
		    "shortly before, and more RAM would spare it those. It touched %s with %s of "
		    "RAM: try --ram %lluM.",
		    name, stall, refaults, majors, touched, ram, ram_for(c));
	else
		snprintf(buf, bytes,
		    "Slowed by paging, but not thrashing: %s waited for pages for %.0f %% of its "
		    "time, and only %.0f %% of its %s major faults brought back pages evicted "
		    "shortly before: it went through %s with %s of RAM.",
		    name, stall, refaults, majors, touched, ram);
}

/* The pager ended it. Whether it was thrashing as well no longer matters to anybody. */
static void say_out_of_memory(
    const struct process_summary *p, const char *name, char *buf, size_t bytes)
{
	const struct counts *c = &p->counts;
	char touched[24], ram[24];

	size_text(c->managed_peak, touched);
	size_text(c->frames_budget * PAGE_BYTES, ram);
	snprintf(buf, bytes,
	    "Out of memory: %s touched %s, and its %s of RAM and all of its swap were full, so it "
	    "was killed; until then it waited for pages for %.0f %% of its time. Raise --swap-size "
	    "or --ram, or give --swap a larger disk.",
	    name, touched, ram, percent_of(c->stall_some_ns, p->wall_ns));
}

static void say_fine(const struct summary *s, char *buf, size_t bytes)
{
	const struct counts *c = &s->total.counts;
	double stall = percent_of(c->stall_some_ns, s->total.wall_ns);
	char majors[28], evictions[28], touched[24];
	uint64_t evicted = c->evict_clean + c->evict_dirty + c->evict_zero;

	size_text(c->managed_peak, touched);
	if (!c->major && !evicted)
		snprintf(buf, bytes,
		    "Not thrashing: everything fit, nothing was evicted; %s touched at most %s of "
		    "managed "
		    "memory.",
		    s->nr > 1 ? "a process" : "it", touched);
	else
		snprintf(buf, bytes,
		    "Not thrashing: %s major faults and %s evictions cost %.1f %% of the time.",
		    count_text(c->major, majors), count_text(evicted, evictions), stall);
}

char *verdict(const struct summary *s, char *buf, size_t bytes)
{
	if (!s->nr) {
		snprintf(
		    buf, bytes, "Not thrashing, as far as can be told: no process was managed.");
		return buf;
	}
	const struct process_summary *p = worst(s);
	const struct process_summary *dead = out_of_memory(s);
	char name[100];

	if (dead)
		p = dead;
	if (s->nr > 1)
		snprintf(name, sizeof(name), "%s (pid %u)", p->program, p->pid);
	else
		snprintf(name, sizeof(name), "%s", p->program);
	bool is_stalled = percent_of(p->counts.stall_some_ns, p->wall_ns) >= STALL_SHORT;
	if (dead)
		say_out_of_memory(p, name, buf, bytes);
	else if (is_stalled && p->counts.major >= MIN_MAJORS)
		say_stalled(p, name, buf, bytes);
	else
		say_fine(s, buf, bytes);
	return buf;
}
