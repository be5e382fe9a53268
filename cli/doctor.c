// SPDX-License-Identifier: MIT
/*
 * `faultline doctor [--swap DIR]`: what this machine and user offer, one line each, and for each
 * thing missing the one command that enables it.
 */
#include <errno.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/malloc_lib.h"
#include "cli.h"
#include "fault/probe.h"
#include "faultline/version.h"
#include "inject.h"
#include "options.h"
#include "preflight.h"
#include "swap/codec.h"

/* The kernel's default for mappings, and room for a pager's rings: below, programs notice. */
#define MAP_COUNT_WANTED 65530u
#define MEMLOCK_WANTED   ((uint64_t)8 << 20)

#define RUN_CONTAINER  "docker run --security-opt seccomp=unconfined ..."
#define INSTALL_KERNEL "sudo apt install -t bookworm-backports linux-image-amd64"
#define ENABLE_KERNEL  "sudo sysctl -w vm.unprivileged_userfaultfd=1"

static void item(bool is_ok, const char *what, const char *command)
{
	if (is_ok)
		printf("  ok       %s\n", what);
	else
		printf(
		    "  missing  %s\n           %s%s\n", what, *command ? "enable: " : "", command);
}

static const char *enable_uffd(const struct probe *p)
{
	switch (p->uffd_error) {
	case ENOSYS:
		return INSTALL_KERNEL;
	case EINVAL:
		return ENABLE_KERNEL;
	default:
		return RUN_CONTAINER;
	}
}

/* With it the filter is installed without giving up privileges for good (no_new_privs). */
static bool has_sys_admin(void)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2] = {0};

	return !syscall(SYS_capget, &header, data) &&
	       data[0].effective & CAP_TO_MASK(CAP_SYS_ADMIN);
}

static void show_setuid(void)
{
	item(has_sys_admin(),
	    "setuid programs started by paged ones get their privileges (else no_new_privs)",
	    "run as root, or with CAP_SYS_ADMIN");
}

static void show_faults(const struct probe *p)
{
	bool has_any = p->uffd_user || p->uffd_kernel;
	const char *feature = has_any ? INSTALL_KERNEL : enable_uffd(p);

	item(p->uffd_user, "userfaultfd for the program's own faults", enable_uffd(p));
	item(p->uffd_kernel, "userfaultfd for faults of system calls too",
	    p->uffd_error == ENOSYS ? INSTALL_KERNEL : ENABLE_KERNEL);
	item(p->feature_sigbus, "SIGBUS mode (engine sigbus)", feature);
	item(p->feature_wp, "write-protection (exact clean and dirty)", feature);
	item(p->feature_move, "MOVE (pages without copying)", feature);
	item(
	    p->process_madvise, "process_madvise (many pages dropped by one call)", INSTALL_KERNEL);
	item(p->seccomp_filter, "seccomp filter (the guard of system calls)", RUN_CONTAINER);
	show_setuid();
}

static const char *enable_io_uring(const struct probe *p)
{
	if (p->io_uring_error == ENOSYS)
		return INSTALL_KERNEL;
	return access("/proc/sys/kernel/io_uring_disabled", F_OK)
	           ? RUN_CONTAINER
	           : "sudo sysctl -w kernel.io_uring_disabled=0";
}

static void show_swap(const struct options *o, const struct probe *p)
{
	char what[400], space[24], command[300];
	const char *dir = o->swap_dir;

	item(p->io_uring, "io_uring (several swap transfers at once)", enable_io_uring(p));
	snprintf(what, sizeof(what), "O_TMPFILE in %.200s%s%s%s", dir, p->tmpfile ? ", " : "",
	    p->tmpfile ? size_text(p->dir_free_bytes, space) : "", p->tmpfile ? " free" : "");
	if (p->dir_error == ENOENT)
		snprintf(command, sizeof(command), "mkdir -p %.200s", dir);
	else
		snprintf(command, sizeof(command), "faultline run --swap DIR ... (this one: %s)",
		    strerror(p->dir_error));
	item(p->tmpfile, what, command);
	snprintf(what, sizeof(what), "O_DIRECT in %.200s%s", dir,
	    p->is_tmpfs ? " (tmpfs: swap there is RAM)" : "");
	item(
	    p->direct_io, what, "faultline run --swap DIR ... (a directory on ext4, XFS or Btrfs)");
}

static void show_limits(const struct probe *p)
{
	char what[100], size[24];

	snprintf(what, sizeof(what), "locked memory up to %s (ulimit -l)",
	    p->memlock_bytes == UINT64_MAX ? "any size" : size_text(p->memlock_bytes, size));
	item(p->memlock_bytes >= MEMLOCK_WANTED, what, "sudo prlimit --memlock=unlimited --pid $$");
	snprintf(what, sizeof(what), "%llu mappings for each process (vm.max_map_count)",
	    (unsigned long long)p->max_map_count);
	item(p->max_map_count >= MAP_COUNT_WANTED, what, "sudo sysctl -w vm.max_map_count=1048576");
}

static void show_codecs(void)
{
	static const char *const names[] = {"lz4", "zstd"};
	char what[100] = "compression of cold pages (--compress):";

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (codec_find(names[i]))
			snprintf(what + strlen(what), sizeof(what) - strlen(what), " %s", names[i]);
	item(true, what, "");
}

static bool show_libraries(const struct options *o)
{
	struct inject in;
	char what[PATH_MAX + 40];

	fflush(stdout);
	if (inject_find(o, &in) != STATUS_GO_ON) { /* has said what is missing, and the command */
		inject_fini(&in);
		return false;
	}
	snprintf(what, sizeof(what), "preload library %s", in.library);
	item(true, what, "");
	snprintf(what, sizeof(what), "malloc %s",
	    *in.malloc_lib                  ? in.malloc_lib
	    : malloc_is_libc(o->malloc_lib) ? "of libc, paged"
	                                    : "of the program");
	item(true, what, "");
	inject_fini(&in);
	return true;
}

static int read_options(int argc, char **argv, struct options *o)
{
	int first, status = options_from_environment(o);

	for (int i = 1; i < argc; i++)
		if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h")) {
			puts("faultline doctor [--swap DIR]\n\nSays what this machine and user "
			     "offer, which "
			     "engine auto takes,\nand for each thing missing the one command that "
			     "enables it.");
			return STATUS_OK;
		}
	if (status == STATUS_GO_ON)
		status = options_from_arguments(argc, argv, o, &first);
	if (status == STATUS_GO_ON)
		status = options_check_variables();
	if (status == STATUS_GO_ON)
		status = options_check(o);
	if (status == STATUS_GO_ON && first < argc)
		return complain(STATUS_FAILED,
		    "%s: doctor takes no arguments; write faultline doctor", argv[first]);
	return status;
}

int command_doctor(int argc, char **argv)
{
	struct options o;
	struct probe p;
	struct utsname name;
	char why[256];
	int status = read_options(argc, argv, &o);

	if (status != STATUS_GO_ON)
		return status;
	uname(&name);
	probe_machine(o.swap_dir, &p);
	printf("faultline " FL_VERSION " on %s %s %s, %s\n", name.sysname, name.release,
	    name.machine, geteuid() ? "ordinary user" : "root");
	show_faults(&p);
	show_swap(&o, &p);
	show_limits(&p);
	show_codecs();
	bool has_libraries = show_libraries(&o);
	const char *engine = probe_engine(&p, "auto", why, sizeof(why));
	if (engine)
		printf("engine auto: %s\n", engine);
	else
		printf("engine auto: none works: %s\n", why);
	if (fflush(stdout))
		return STATUS_FAILED;
	if (p.dir_error)
		return complain_swap(&o, p.dir_error);
	return engine && has_libraries ? STATUS_OK : 1;
}
