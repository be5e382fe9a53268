// SPDX-License-Identifier: MIT
/* A library that brings its own allocator, loaded late: both allocators' memory is right, also in
 * threads, in system calls, and after a fork. */
#include <dlfcn.h>
#include <libgen.h>
#include <limits.h>
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include "prog.h"

#define NR    2000u
#define BYTES 3000u

static void *(*make)(size_t bytes, unsigned char value);
static void (*drop)(void *block);
static unsigned char *theirs[NR], *ours[NR];

static void check_blocks(void)
{
	for (unsigned i = 0; i < NR; i++)
		for (unsigned j = 0; j < BYTES; j += 7) {
			CHECK(theirs[i][j] == (unsigned char)i);
			CHECK(ours[i][j] == (unsigned char)(i + 1));
		}
}

/* From the one allocator's memory into the other's. */
static void check_calls(void)
{
	int ends[2];

	CHECK(!pipe(ends));
	for (unsigned i = 0; i < NR; i += 50) {
		CHECK(write(ends[1], theirs[i], BYTES) == BYTES);
		CHECK(read(ends[0], ours[i], BYTES) == BYTES);
		CHECK(!memcmp(theirs[i], ours[i], BYTES));
		memset(ours[i], (int)i + 1, BYTES);
	}
	close(ends[0]);
	close(ends[1]);
}

static void *in_thread(void *unused)
{
	check_blocks();
	return unused;
}

static void *open_beside(const char *name, int flags)
{
	char path[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 40);

	CHECK(n > 0);
	path[n] = 0;
	strcat(dirname(path), name);
	void *library = dlopen(path, flags);
	if (!library)
		fprintf(stderr, "%s\n", dlerror());
	CHECK(library);
	return library;
}

/* A library that looks for malloc among its own first: blocks go from either to the other. */
static void test_deepbind(void)
{
	void *library = open_beside("/libdeep.so", RTLD_NOW | RTLD_LOCAL | RTLD_DEEPBIND);
	void *(*copy)(const void *, size_t) =
	    (void *(*)(const void *, size_t))dlsym(library, "deep_copy");
	void (*release)(void *) = (void (*)(void *))dlsym(library, "deep_free");

	CHECK(copy && release);
	for (unsigned i = 0; i < NR; i++) {
		char *mine = malloc(BYTES), *its = copy("text", 5);

		CHECK(mine && its && !strcmp(its, "text"));
		free(its);
		release(mine);
	}
	CHECK(!dlclose(library));
}

int main(void)
{
	test_deepbind();
	void *plugin = open_beside("/libown-malloc.so", RTLD_NOW | RTLD_LOCAL);
	make = (void *(*)(size_t, unsigned char))dlsym(plugin, "plugin_make");
	drop = (void (*)(void *))dlsym(plugin, "plugin_drop");
	CHECK(make && drop);
	for (unsigned i = 0; i < NR; i++) {
		theirs[i] = make(BYTES, (unsigned char)i);
		ours[i] = malloc(BYTES);
		CHECK(theirs[i] && ours[i]);
		memset(ours[i], (int)i + 1, BYTES);
	}
	check_blocks();
	check_calls();
	pthread_t thread;
	CHECK(!pthread_create(&thread, NULL, in_thread, NULL));
	check_blocks();
	CHECK(!pthread_join(thread, NULL));

	int status;
	pid_t pid = fork();
	if (!pid) {
		check_blocks();
		_exit(make(BYTES, 1) ? 0 : 1);
	}
	CHECK(pid > 0 && waitpid(pid, &status, 0) == pid && !status);
	for (unsigned i = 0; i < NR; i++) {
		drop(theirs[i]);
		free(ours[i]);
	}
	puts("a plug-in's allocator");
	return 0;
}
