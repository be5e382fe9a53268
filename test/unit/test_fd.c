// SPDX-License-Identifier: MIT
/* Opening descriptors beside threads that close every number they can think of. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "support.h"

#define FIRST     100 /* numbers that only this test uses */
#define LAST      130
#define NR_OPENED 3000

static _Atomic bool is_ours[LAST], is_done;
static _Atomic uint32_t nr_closed;
static struct stat null;

/* As libc's close(), which TSan takes for a race where two threads close the same number: they do.
 */
static int close_number(int fd)
{
	return (int)syscall(SYS_close, fd);
}

/* As the wrapped close does it. */
static void *close_all(void *unused)
{
	while (!atomic_load(&is_done))
		for (int fd = FIRST; fd < LAST; fd++) {
			fd_close_begin();
			if (!atomic_load(&is_ours[fd]) && !close_number(fd))
				atomic_fetch_add(&nr_closed, 1);
			fd_close_end();
			if (fd % 8 == 0)
				sched_yield();
		}
	return unused;
}

static bool is_null(int fd)
{
	struct stat st;

	return !fstat(fd, &st) && st.st_rdev == null.st_rdev;
}

static void *open_many(void *unused)
{
	for (int i = 0; i < NR_OPENED;) {
		if (!fd_open_try()) {
			sched_yield();
			continue;
		}
		int low = open("/dev/null", O_RDONLY);
		int fd = fcntl(low, F_DUPFD, FIRST);
		close(low);
		cr_assert(fd >= FIRST);
		if (fd >= LAST) { /* those who close have not come round */
			close(fd);
			fd_open_end();
			sched_yield();
			continue;
		}
		sched_yield(); /* whoever may come between has the time */
		cr_assert(is_null(fd), "closed before it was known");
		atomic_store(&is_ours[fd], true);
		fd_open_end();
		sched_yield();
		cr_assert(is_null(fd), "closed by one who looked before it was known");
		if (i++ % 2) {
			/* Not beside who opens: it may be another's number by the time of the
			 * close. */
			fd_close_begin();
			atomic_store(&is_ours[fd], false);
			close_number(fd);
			fd_close_end();
		} else {
			atomic_store(&is_ours[fd], false);
		}
	}
	return unused;
}

Test(fd, opened_beside_those_who_close)
{
	pthread_t t[4];

	cr_assert(!stat("/dev/null", &null));
	for (int i = 0; i < 4; i++)
		cr_assert(!pthread_create(&t[i], NULL, i < 2 ? open_many : close_all, NULL));
	for (int i = 0; i < 2; i++)
		pthread_join(t[i], NULL);
	atomic_store(&is_done, true);
	for (int i = 2; i < 4; i++)
		pthread_join(t[i], NULL);
	cr_expect_gt(atomic_load(&nr_closed), 0);
}

Test(fd, does_without_while_somebody_closes)
{
	fd_close_begin();
	cr_expect_not(fd_open_try());
	fd_open_begin(); /* cannot do without */
	fd_open_end();
	cr_expect_not(fd_open_try());
	fd_close_end();
	cr_expect(fd_open_try());
	fd_open_end();
}

/* A thread cancelled in close(), a handler that left it by longjmp. */
Test(fd, who_never_comes_back_is_forgotten)
{
	const struct timespec pause = {.tv_sec = 1, .tv_nsec = 100000000};

	fd_close_begin();
	cr_expect_not(fd_open_try());
	nanosleep(&pause, NULL);
	cr_expect(fd_open_try());
	fd_open_end();
}

/* Whoever begins later is closing, whatever was seen of others before. */
Test(fd, who_begins_later_is_not_forgotten_with_them)
{
	const struct timespec pause = {.tv_sec = 1, .tv_nsec = 100000000};

	fd_close_begin();
	cr_expect_not(fd_open_try());
	nanosleep(&pause, NULL);
	fd_close_begin(); /* beside one that never comes back */
	cr_expect_not(fd_open_try());
	fd_close_end();
	cr_expect_not(fd_open_try());
	fd_close_end();
	nanosleep(&pause, NULL);
	fd_close_begin(); /* nobody has opened since */
	cr_expect_not(fd_open_try());
	fd_close_end();
	cr_expect(fd_open_try());
	fd_open_end();
}

Test(fd, a_forked_child_closes_nothing)
{
	int status;

	fd_close_begin();
	pid_t pid = fork();
	if (!pid) {
		fd_after_fork();
		_exit(!fd_open_try());
	}
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_expect_eq(status, 0);
	fd_close_end();
}

/* Once threads have tables of their own, nothing is opened for all of them; a child has one. */
Test(fd, split_tables_get_nothing_new)
{
	int status;

	cr_expect_not(fd_is_split());
	fd_split_begin();
	fd_close_end();
	cr_expect(fd_is_split() && !fd_open_try());
	fd_open_begin(); /* looks itself */
	fd_open_end();
	pid_t pid = fork();
	if (!pid) {
		fd_after_fork();
		_exit(fd_is_split() || !fd_open_try());
	}
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_expect_eq(status, 0);
}
