// SPDX-License-Identifier: MIT
/*
 * Starting programs with everything that they are given in managed memory. As "prog_exec gen N S F"
 * it execs itself N more times, checking its arguments on the way.
 */
#include "prog.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <sys/wait.h>
#include <sys/stat.h>
#include <unistd.h>

extern char **environ;

static char **managed_array(const char *const *from)
{
	size_t n = 0;

	while (from[n])
		n++;
	char **copy = managed((n + 1) * sizeof(*copy));
	for (size_t i = 0; i < n; i++)
		copy[i] = managed_string(from[i]);
	copy[n] = NULL;
	return copy;
}

#define ARGS(...) managed_array((const char *const[]){__VA_ARGS__, NULL})

static int wait_status(pid_t pid)
{
	int status;

	CHECK(waitpid(pid, &status, 0) == pid);
	return status;
}

/* Each argument managed or not, on its own. */
static void test_mixed(void)
{
	char *const plain_argv[] = {"sh", "-c", "exit 9", NULL}, *const plain_envp[] = {
	                                                             "A=b", NULL};
	char **argv = ARGS("sh", "-c", "exit 9"), **envp = ARGS("A=b");
	char *path = managed_string("/bin/sh");

	for (int i = 0; i < 8; i++) {
		pid_t pid = fork();
		if (!pid) {
			execve(i & 1 ? path : "/bin/sh", i & 2 ? argv : plain_argv,
			    i & 4 ? envp : plain_envp);
			_exit(1);
		}
		CHECK(WEXITSTATUS(wait_status(pid)) == 9);
	}
}

static const char test_script[] = "test \"$1 $2 $VAR\" = \"a b value\" && exit 9";

static void test_fork_exec(void)
{
	char **argv = ARGS("sh", "-c", test_script, "x", "a", "b");
	char **envp = ARGS("VAR=value", "PATH=/bin:/usr/bin");
	pid_t pid = fork();

	if (!pid) {
		execve(managed_string("/bin/sh"), argv, envp);
		_exit(1);
	}
	CHECK(WEXITSTATUS(wait_status(pid)) == 9);
}

static void test_vfork(int how)
{
	char **argv = ARGS("sh", "-c", test_script, "x", "a", "b");
	char **envp = ARGS("VAR=value", "PATH=/bin:/usr/bin");
	char *sh = managed_string("/bin/sh"), *name = managed_string("sh");
	char **saved = environ;

	environ = envp;
	pid_t pid = vfork();
	if (!pid) {
		if (how == 0)
			execve(sh, argv, envp);
		else if (how == 1)
			execv(sh, argv);
		else if (how == 2)
			execvp(name, argv);
		else if (how == 3)
			execvpe(name, argv, envp);
		else if (how == 4)
			execl(sh, argv[0], argv[1], argv[2], argv[3], argv[4], argv[5], NULL);
		else if (how == 5)
			execlp(name, argv[0], argv[1], argv[2], argv[3], argv[4], argv[5], NULL);
		else
			execle(
			    sh, argv[0], argv[1], argv[2], argv[3], argv[4], argv[5], NULL, envp);
		_exit(1);
	}
	environ = saved;
	CHECK(WEXITSTATUS(wait_status(pid)) == 9);
}

static void test_spawn(bool is_searched)
{
	posix_spawn_file_actions_t *actions = managed(sizeof(*actions));
	posix_spawnattr_t *attr = managed(sizeof(*attr));
	char path[] = "/tmp/prog_exec.XXXXXX", *buf = managed(100);
	int fd = mkstemp(path);
	pid_t *pid = managed(sizeof(*pid));
	sigset_t none;

	CHECK(fd >= 0);
	sigemptyset(&none);
	CHECK(!posix_spawn_file_actions_init(actions) && !posix_spawnattr_init(attr));
	CHECK(!posix_spawn_file_actions_addopen(actions, 1, managed_string(path), O_WRONLY, 0));
	CHECK(!posix_spawn_file_actions_addchdir_np(actions, managed_string("/usr")));
	CHECK(!posix_spawn_file_actions_addclose(actions, fd));
	CHECK(!posix_spawnattr_setflags(attr, POSIX_SPAWN_SETSIGMASK));
	CHECK(!posix_spawnattr_setsigmask(attr, &none));
	char **argv = ARGS("sh", "-c", "echo \"$VAR\"; pwd"), **envp = ARGS("VAR=some value");
	/* What libc allocated for the actions is managed too, where malloc is. */
	CHECK(!(is_searched ? posix_spawnp : posix_spawn)(
	    pid, managed_string(is_searched ? "sh" : "/bin/sh"), actions, attr, argv, envp));
	CHECK(wait_status(*pid) == 0);
	ssize_t n = pread(fd, buf, 100, 0);
	CHECK(n == 16 && !memcmp(buf, "some value\n/usr\n", 16));
	int err = posix_spawnp(pid, "no such program", NULL, NULL, argv, envp);
	CHECK(err == ENOENT || err == EACCES);
	CHECK(posix_spawn(pid, "/etc/passwd", NULL, NULL, argv, envp) == EACCES);
	posix_spawn_file_actions_destroy(actions);
	posix_spawnattr_destroy(attr);
	close(fd);
	unlink(path);
}

static void test_shell(void)
{
	int (*volatile plain_close)(FILE *) = fclose; /* which compilers warn of */
	char *buf = managed(100);

	CHECK(WEXITSTATUS(system(managed_string("exit 5"))) == 5 && system(NULL));
	FILE *f = popen(managed_string("echo hello; exit 3"), "r");
	CHECK(f && fgets(buf, 100, f) && !strcmp(buf, "hello\n") && WEXITSTATUS(pclose(f)) == 3);
	f = popen("read x; test \"$x\" = word", "w");
	CHECK(f && fputs("word\n", f) >= 0 && pclose(f) == 0);
	CHECK(!popen("true", "x") && errno == EINVAL);
	/* fclose() does the same; and what it has closed is in nobody's way. */
	f = popen("read x; sleep 0.1; exit 4", "w");
	CHECK(f && fputs("word\n", f) >= 0 && WEXITSTATUS(plain_close(f)) == 4);
	CHECK(waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD);
	FILE *first = popen("exit 1", "r"), *second = popen("exit 2", "r");
	CHECK(first && second && WEXITSTATUS(plain_close(first)) == 1);
	f = popen("exit 3", "r");
	CHECK(f && WEXITSTATUS(plain_close(second)) == 2 && WEXITSTATUS(pclose(f)) == 3);
	f = fopen("/dev/null", "r");
	CHECK(f && !fclose(f));
}

static void test_failures(void)
{
	char **argv = ARGS("x"), **envp = ARGS("A=b");

	CHECK(execve(managed_string("/no/such"), argv, envp) < 0 && errno == ENOENT);
	CHECK(execve(managed_string("/etc/passwd"), argv, envp) < 0 && errno == EACCES);
	/* EACCES where a directory of PATH may not be searched. */
	CHECK(execvp(managed_string("no-such-program-here"), argv) < 0);
	CHECK(errno == ENOENT || errno == EACCES);
	char *gone = managed_pages(65536);
	CHECK(munmap(gone, 65536) == 0);
	CHECK(execve("/bin/true", (char **)gone, envp) < 0 && errno == EFAULT);
	/* A script without #! is for the shell, when there is a search. */
	char path[] = "/tmp/prog_exec.XXXXXX";
	int fd = mkstemp(path);
	CHECK(write(fd, "exit 12\n", 8) == 8 && fchmod(fd, 0700) == 0 && close(fd) == 0);
	pid_t pid = fork();
	if (!pid) {
		execvp(path, argv);
		_exit(1);
	}
	CHECK(WEXITSTATUS(wait_status(pid)) == 12);
	unlink(path);
}

static int generation(char **argv)
{
	int left = atoi(argv[2]);
	char *buf = managed(65536), number[20];
	int p[2];

	CHECK(strlen(argv[3]) == 20000 && argv[3][19999] == 'z');
	CHECK(nr_filters() == atoi(argv[4]));
	CHECK(pipe(p) == 0 && write(p[1], strcpy(buf, "data"), 5) == 5);
	CHECK(read(p[0], buf + 100, 5) == 5 && !strcmp(buf + 100, "data"));
	close(p[0]), close(p[1]);
	if (!left)
		return 0;
	snprintf(number, sizeof(number), "%d", left - 1);
	execv("/proc/self/exe", ARGS(argv[0], "gen", number, argv[3], argv[4]));
	return 1;
}

static void test_generations(const char *self, int nr)
{
	char *text = managed(20001), number[20], filters[20];

	memset(text, 'z', 20000);
	text[20000] = 0;
	snprintf(number, sizeof(number), "%d", nr);
	snprintf(filters, sizeof(filters), "%d", nr_filters());
	pid_t pid = fork();
	if (!pid) {
		execl(self, "prog_exec", "gen", number, text, filters, NULL);
		_exit(1);
	}
	CHECK(wait_status(pid) == 0);
}

int main(int argc, char **argv)
{
	if (argc > 4 && !strcmp(argv[1], "gen"))
		return generation(argv);
	for (int i = 0; i < 5; i++) {
		test_fork_exec();
		test_mixed();
		for (int how = 0; how < 7; how++)
			test_vfork(how);
		test_spawn(false);
		test_spawn(true);
		test_shell();
		test_failures();
	}
	for (int i = 0; i < 200; i++)
		test_vfork(i % 7);
	test_generations("/proc/self/exe", argc > 1 ? atoi(argv[1]) : 200);
	return 0;
}
