// SPDX-License-Identifier: MIT
/*
 * Children of all kinds: forked while everybody is between two operations, so that the child can
 * verify everything, has threads and children itself; forked by one thread while the others go on;
 * by vfork, in its parent's memory; and started anew, with arguments that lie in a page.
 */
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "stress.h"

#define CHILD_SECONDS    900 /* a child that takes longer hangs */
#define MAX_OWN_CHILDREN 2u  /* made by workers, at a time */
#define CHILD_OPERATIONS 200u
#define CHILD_THREADS    3u

extern char **environ;

static pid_t children[MAX_CHILDREN];
static uint32_t nr_forked;
static _Atomic uint32_t nr_own_children;

/* Return: 0 if the child ended well. */
static int wait_for(pid_t pid, const char *kind)
{
	int status;
	if (waitpid(pid, &status, 0) != pid)
		die("waitpid");
	if (status != 0)
		fprintf(stderr, "stress: %s %d ended with wait status 0x%x\n", kind, (int)pid,
		    (unsigned)status);
	return status;
}

static void *operate_some(void *arg)
{
	for (uint32_t n = 0; n < CHILD_OPERATIONS; n++)
		operate(arg);
	return NULL;
}

static void verify_everything(const char *when)
{
	for (uint32_t i = 0; i < opt.threads; i++)
		area_verify_all(&workers[i], when);
	shared_verify_all(when);
}

static void inherit(uint64_t seed)
{
	alarm(CHILD_SECONDS);
	nr_own_children = MAX_OWN_CHILDREN; /* no more by op_fork() */
	for (uint32_t i = 0; i < opt.threads; i++) {
		area_inherit_all(&workers[i]);
		workers[i].rng = mix64(seed + i);
	}
}

/* All workers' areas are in use here by nobody else: some threads take turns. */
static void operate_as_all(void)
{
	pthread_t threads[CHILD_THREADS];
	for (uint32_t i = 0; i < opt.threads; i += CHILD_THREADS) {
		uint32_t nr = 0;
		for (; nr < CHILD_THREADS && i + nr < opt.threads; nr++)
			if (pthread_create(&threads[nr], NULL, operate_some, &workers[i + nr]) != 0)
				die("pthread_create in a child");
		while (nr > 0)
			pthread_join(threads[--nr], NULL);
	}
}

/* Return: its exit status. */
static int child_main(uint64_t seed, uint32_t generation)
{
	inherit(seed);
	verify_everything("in a forked child");
	operate_as_all();
	pid_t pid = opt.all && generation < 2 && seed % 3 == 0 ? fork() : -1;
	if (pid == 0)
		_exit(child_main(mix64(seed), generation + 1));
	shared_rewrite_some();
	verify_everything("in a forked child, after its own writes");
	int status = pid > 0 ? wait_for(pid, "grandchild") : 0;
	return nr_wrong != 0 || status != 0;
}

void children_fork(uint64_t seed)
{
	int place = -1;
	for (int i = 0; i < MAX_CHILDREN; i++)
		if (children[i] == 0)
			place = i;
	if (place < 0)
		return;
	for (uint32_t i = 0; i < opt.threads; i++)
		pthread_mutex_lock(&workers[i].in_operation);
	pid_t pid = fork();
	if (pid == 0)
		_exit(child_main(seed, 0));
	for (uint32_t i = 0; i < opt.threads; i++)
		pthread_mutex_unlock(&workers[i].in_operation);
	if (pid < 0)
		die("fork");
	children[place] = pid;
	nr_forked++;
}

uint32_t children_collect(bool wait)
{
	uint32_t nr_bad = 0;
	for (int i = 0; i < MAX_CHILDREN; i++) {
		int status;
		if (children[i] == 0 || waitpid(children[i], &status, wait ? 0 : WNOHANG) == 0)
			continue;
		if (status != 0) {
			fprintf(stderr, "stress: child %d ended with wait status 0x%x\n",
			    (int)children[i], (unsigned)status);
			nr_bad++;
		}
		children[i] = 0;
	}
	return nr_bad;
}

uint32_t children_forked(void)
{
	return nr_forked;
}

/* Only this worker's areas are whole in the child: the others were at work. */
static int own_child_main(struct worker *w, uint32_t generation)
{
	inherit(mix64(w->rng + 1));
	area_verify_all(w, "in a worker's own child");
	if (generation == 0 && w->rng % 2 == 0) {
		pid_t pid = fork();
		if (pid == 0)
			_exit(own_child_main(w, 1));
		if (pid > 0 && wait_for(pid, "child of a worker's child") != 0)
			return 1;
	}
	for (uint32_t n = 0; n < CHILD_OPERATIONS; n++)
		run_rewrite(w, &w->areas[n % MAX_AREAS], random_run(w, &w->areas[n % MAX_AREAS]));
	area_verify_all(w, "in a worker's own child, after its own writes");
	return nr_wrong != 0;
}

bool op_fork(struct worker *w, struct area *a)
{
	if (!opt.fork || nr_own_children++ >= MAX_OWN_CHILDREN) {
		nr_own_children -= opt.fork;
		return false;
	}
	pid_t pid = fork();
	if (pid == 0)
		_exit(own_child_main(w, 0));
	if (pid < 0)
		die("fork by a worker");
	run_rewrite(w, a, random_run(w, a));
	if (wait_for(pid, "a worker's child") != 0)
		nr_wrong++;
	nr_own_children--;
	return true;
}

/* The child writes a page of its parent's. */
bool op_vfork(struct worker *w, struct area *a)
{
	uint32_t p = random_page(w, a);
	if (!opt.fork || !page_may(a, p, ACCESS_WRITE))
		return false;
	uint64_t before = nr_wrong;
	pid_t pid = vfork();
	if (pid == 0) {
		page_check(w, a, p, "in a child of vfork");
		page_fill(page_at(a, p), id_of(w, a, p), a->version[p] + 1);
		_exit(nr_wrong != before);
	}
	if (pid < 0)
		die("vfork");
	a->version[p]++;
	page_check(w, a, p, "written by a child of vfork");
	if (wait_for(pid, "child of vfork") != 0)
		nr_wrong++;
	return true;
}

static uint64_t sum_of(const char *text)
{
	uint64_t sum = 0;
	for (; *text != '\0'; text++)
		sum = mix64(sum + (unsigned char)*text);
	return sum;
}

int children_spawned(const char *text, const char *sum)
{
	return strtoull(sum, NULL, 16) != sum_of(text);
}

/* This program anew; its arguments, and the array of them, lie in a page. */
bool op_spawn(struct worker *w, struct area *a)
{
	uint32_t p = random_page(w, a);
	if (!opt.fork || !page_may(a, p, ACCESS_WRITE))
		return false;
	char *text = (char *)page_at(a, p), **argv = (char **)(page_at(a, p) + PAGE_WORDS / 2);
	for (int i = 0; i < 1500; i++)
		text[i] = (char)('a' + random_below(&w->rng, 26));
	text[1500] = '\0';
	snprintf(text + 1600, 32, "%llx", (unsigned long long)sum_of(text));
	strcpy(text + 1650, "--spawned");
	memcpy(argv, (char *[]){text + 1650, text + 1650, text, text + 1600, NULL}, 40);
	pid_t pid;
	if (posix_spawn(&pid, "/proc/self/exe", NULL, NULL, argv, environ) != 0)
		die("posix_spawn");
	if (wait_for(pid, "program started anew") != 0)
		nr_wrong++;
	page_rewrite(w, a, p);
	page_check(w, a, p, "after it held arguments");
	return true;
}

struct errand {
	struct worker *w;
	struct area *a;
};

static void *run_errand(void *arg)
{
	struct errand *e = arg;
	run_rewrite(e->w, e->a, random_run(e->w, e->a));
	run_check(e->w, e->a, random_run(e->w, e->a), "in a short-lived thread");
	return NULL;
}

bool op_thread(struct worker *w, struct area *a)
{
	struct errand e = {w, a};
	pthread_t thread;
	if (pthread_create(&thread, NULL, run_errand, &e) != 0)
		die("pthread_create of a short-lived thread");
	pthread_join(thread, NULL);
	run_check(w, a, random_run(w, a), "after a short-lived thread");
	return true;
}
