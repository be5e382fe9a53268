// SPDX-License-Identifier: MIT
/* lib/fault/probe.c: which engine follows from which machine, and probing where calls fail. */
#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <string.h>

#include "base/sys.h"
#include "fault/probe.h"

static const struct probe everything = {
    .uffd_user = true,
    .uffd_kernel = true,
    .feature_sigbus = true,
    .feature_wp = true,
    .seccomp_filter = true,
};

static void expect_engine(const struct probe *p, const char *asked, const char *wanted)
{
	char why[256] = "";
	const char *engine = probe_engine(p, asked, why, sizeof(why));

	cr_assert_not_null(engine, "%s: %s", asked, why);
	cr_assert_str_eq(engine, wanted);
}

static void expect_none(const struct probe *p, const char *asked, const char *word)
{
	char why[256] = "";

	cr_assert_null(probe_engine(p, asked, why, sizeof(why)), "%s is available", asked);
	cr_assert_not_null(strstr(why, word), "'%s' is not in: %s", word, why);
	cr_assert_null(strchr(why, '\n'));
	cr_assert_lt(strlen(why), sizeof(why) - 1, "cut off: %s", why);
}

Test(probe_engine, takes_sigbus_where_all_is_there)
{
	expect_engine(&everything, "auto", "sigbus");
	expect_engine(&everything, "sigbus", "sigbus");
	expect_engine(&everything, "uffd", "uffd");
}

Test(probe_engine, without_privilege_the_guard_serves_both)
{
	struct probe p = everything;

	p.uffd_kernel = false;
	expect_engine(&p, "auto", "sigbus");
	expect_engine(&p, "uffd", "uffd");
}

Test(probe_engine, without_seccomp_only_privileged_uffd)
{
	struct probe p = everything;

	p.seccomp_filter = false;
	expect_engine(&p, "auto", "uffd");
	expect_none(&p, "sigbus", "seccomp");
	p.uffd_kernel = false;
	expect_none(&p, "uffd", "sysctl");
	expect_none(&p, "auto", "sysctl");
}

Test(probe_engine, without_sigbus_mode_uffd)
{
	struct probe p = everything;

	p.feature_sigbus = false;
	expect_engine(&p, "auto", "uffd");
	expect_none(&p, "sigbus", "SIGBUS");
}

Test(probe_engine, without_write_protection_none)
{
	struct probe p = everything;

	p.feature_wp = false;
	expect_none(&p, "auto", "write-protection");
	expect_none(&p, "uffd", "write-protection");
}

Test(probe_engine, without_userfaultfd_says_why)
{
	struct probe p = {.seccomp_filter = true};

	p.uffd_error = EPERM;
	expect_none(&p, "auto", "seccomp=unconfined");
	p.uffd_error = ENOSYS;
	expect_none(&p, "auto", "CONFIG_USERFAULTFD");
	p.uffd_error = EINVAL;
	expect_none(&p, "sigbus", "sysctl");
}

Test(probe_engine, refuses_unknown_names)
{
	expect_none(&everything, "magic", "choose");
	expect_none(&everything, "", "choose");
}

static int count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int nr = 0;

	while (readdir(dir))
		nr++;
	closedir(dir);
	return nr;
}

Test(probe_machine, finds_what_this_machine_has_and_leaves_nothing_open)
{
	struct probe p;
	int before = count_fds();

	probe_machine("/var/tmp", &p);
	cr_assert_eq(count_fds(), before);
	cr_assert_eq(p.dir_error, 0);
	cr_assert(p.tmpfile);
	cr_assert_gt(p.dir_free_bytes, 0);
	cr_assert_gt(p.max_map_count, 0);
	cr_assert_eq(p.uffd_user, p.uffd_error == 0);
	cr_assert_eq(p.io_uring, p.io_uring_error == 0);
}

Test(probe_machine, says_what_is_wrong_with_a_directory)
{
	struct probe p;

	probe_machine("/var/tmp/no/such", &p);
	cr_assert_eq(p.dir_error, ENOENT);
	cr_assert_not(p.tmpfile);
	probe_machine("/etc/passwd", &p);
	cr_assert_eq(p.dir_error, ENOTDIR);
	probe_machine("/proc", &p);
	cr_assert_neq(p.dir_error, 0);
	cr_assert_not(p.direct_io);
}

static int calls_left;
static bool has_fired;

static long fail_nth(long nr)
{
	if (calls_left-- != 0)
		return 0;
	has_fired = true;
	return -EPERM;
}

Test(probe_machine, survives_any_one_failing_call)
{
	has_fired = true;
	for (int n = 0; has_fired; n++) {
		int before = count_fds();
		struct probe p;

		cr_assert_lt(n, 1000, "never ends");
		has_fired = false;
		calls_left = n;
		sys_inject = fail_nth;
		probe_machine("/var/tmp", &p);
		sys_inject = NULL;
		/* The failed call may have been a close: that one descriptor stays, no more. */
		cr_assert_leq(count_fds(), before + 1, "call %d: descriptors leak", n);
	}
}
