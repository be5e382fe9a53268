// SPDX-License-Identifier: MIT
/* `faultline demo`: lists the demos, or becomes one. Each is a program of its own in demo/. */
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"

static const struct {
	const char *name;
	const char *what;
} demos[] = {
    {"translate", "an address split into indices and offset, the walk, the permission bits"},
    {"isolation", "one address, two spaces, two frames"},
    {"sparse", "a 48-bit space sparsely used: table pages against a flat table"},
    {"tlb", "row-major against column-major: reach and misses"},
    {"hugepages", "the same with 2 MiB pages, and the waste"},
    {"switch", "two spaces taking turns: reload of CR3 with and without ASIDs"},
    {"abundance", "64 GiB allocated and used sparsely in 64 MiB"},
    {"faults", "minor, major and invalid ones; what ps and getrusage say beside"},
    {"lazy", "a 100 MB file mapped, a few pages used"},
    {"cow", "fork: pages shared, then copied on write"},
    {"dirty", "evicting clean and dirty pages: what is written"},
    {"policies", "one live workload under every policy; Belady's anomaly"},
    {"thrash", "the working set swept past the budget: over the cliff"},
    {"recover", "out of thrashing: a smaller working set, or more RAM"},
};

static int list(void)
{
	puts("Demos; run one with: faultline demo NAME\n");
	for (size_t i = 0; i < ARRAY_LEN(demos); i++)
		printf("  %-12s %s\n", demos[i].name, demos[i].what);
	return fflush(stdout) || ferror(stdout) ? STATUS_FAILED : STATUS_OK;
}

/* The program in @format's place, if there is one. */
static bool try_program(char *ret_path, const char *dir, const char *below, const char *name)
{
	int len = snprintf(ret_path, PATH_MAX, "%s%s/demo-%s", dir, below, name);

	return len > 0 && len < PATH_MAX && !access(ret_path, X_OK);
}

static bool find_program(char *ret_path, const char *name)
{
	char exe[PATH_MAX];
	ssize_t len = readlink("/proc/self/exe", exe, sizeof(exe) - 1);

	if (len > 0) {
		exe[len] = '\0';
		*strrchr(exe, '/') = '\0';
		if (try_program(ret_path, exe, "/../demo", name) ||
		    try_program(ret_path, exe, "/../" FL_RELATIVE_LIBDIR "/demo", name))
			return true;
	}
	return try_program(ret_path, FL_INSTALL_LIBDIR, "/demo", name);
}

static int refuse(const char *name)
{
	char names[400] = "";

	for (size_t i = 0; i < ARRAY_LEN(demos); i++)
		snprintf(names + strlen(names), sizeof(names) - strlen(names), "%s%s",
		    i ? ", " : "", demos[i].name);
	return complain(STATUS_FAILED, "demo: %s: no such demo; there are %s", name, names);
}

int command_demo(int argc, char **argv)
{
	char path[PATH_MAX];
	size_t i;

	if (argc < 2 || !strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))
		return list();
	for (i = 0; i < ARRAY_LEN(demos) && strcmp(argv[1], demos[i].name); i++)
		;
	if (i == ARRAY_LEN(demos))
		return refuse(argv[1]);
	if (argc > 2)
		return complain(STATUS_FAILED, "demo: %s: a demo takes no arguments", argv[2]);
	if (!find_program(path, demos[i].name))
		return complain(STATUS_FAILED,
		    "demo: the program demo-%s is not where it belongs (" FL_INSTALL_LIBDIR
		    "/demo); install Faultline again",
		    demos[i].name);
	execv(path, (char *[]){path, NULL});
	return complain(STATUS_FAILED, "demo: %s could not be started: %m", path);
}
