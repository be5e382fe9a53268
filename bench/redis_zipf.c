// SPDX-License-Identifier: MIT
/*
 * GETs of zipf-popular keys from a Redis server:
 *
 *     redis_zipf --socket PATH [options] -- COMMAND...
 *
 * starts COMMAND (a server, which must listen on PATH), stores its keys, measures the GETs, checks
 * every value, and shuts the server down. With --flush SECONDS it empties the server
 * before, and waits so long. Requests go out PIPELINE at a time, as pipelining clients
 * send them.
 */
#include "common.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define PIPELINE 16
#define VALUE    1024 /* bytes; hexadecimal digits: they compress 2:1 */

static FILE *to, *from; /* the two directions of the connection */

static void die(const char *what)
{
	fprintf(stderr, "redis_zipf: %s\n", what);
	exit(2);
}

static void value_of(uint64_t key, char *value)
{
	for (int i = 0; i < VALUE / 16; i++)
		snprintf(
		    value + i * (size_t)16, 17, "%016" PRIx64, mix(key * VALUE + (uint64_t)i + 1));
}

static pid_t start_server(char **argv)
{
	pid_t pid = fork();
	if (pid < 0)
		die("cannot fork");
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		int null = open("/dev/null", O_WRONLY);
		dup2(null, STDOUT_FILENO);
		execvp(argv[0], argv);
		fprintf(stderr, "redis_zipf: %s: %s\n", argv[0], strerror(errno));
		_exit(127);
	}
	return pid;
}

static void connect_to(const char *path, pid_t pid)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	if (strlen(path) >= sizeof(address.sun_path))
		die("--socket: too long a path");
	strcpy(address.sun_path, path);
	for (int attempt = 0; attempt < 1200; attempt++) {
		int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0) {
			to = fdopen(fd, "w");
			from = fdopen(dup(fd), "r");
			return;
		}
		close(fd);
		if (waitpid(pid, NULL, WNOHANG) != 0)
			die("the server ended");
		usleep(50000);
	}
	die("the server does not listen");
}

/* The answer to a SET or FLUSHALL. */
static void expect_ok(void)
{
	char line[64];
	if (fgets(line, sizeof(line), from) == NULL || strcmp(line, "+OK\r\n") != 0)
		die("the server refused");
}

static void store(uint64_t nr_keys)
{
	char value[VALUE + 1];
	for (uint64_t key = 0; key < nr_keys; key += PIPELINE) {
		uint64_t end = key + PIPELINE < nr_keys ? key + PIPELINE : nr_keys;
		for (uint64_t k = key; k < end; k++) {
			value_of(k, value);
			fprintf(to, "*3\r\n$3\r\nSET\r\n$16\r\n%016" PRIx64 "\r\n$%d\r\n%s\r\n", k,
			    VALUE, value);
		}
		fflush(to);
		for (uint64_t k = key; k < end; k++)
			expect_ok();
	}
}

/* Return: whether the answer to GET @key is its value. */
static bool is_answered(uint64_t key)
{
	char line[64], got[VALUE + 2], value[VALUE + 1];
	int length;
	if (fgets(line, sizeof(line), from) == NULL)
		die("the connection broke");
	if (sscanf(line, "$%d", &length) != 1 || length != VALUE)
		return false;
	if (fread(got, 1, sizeof(got), from) != sizeof(got))
		die("the connection broke");
	value_of(key, value);
	return memcmp(got, value, VALUE) == 0;
}

static uint64_t get(uint64_t nr_keys, uint64_t nr)
{
	struct zipf zipf;
	uint64_t rng = 3, wrong = 0, keys[PIPELINE];
	zipf_init(&zipf, nr_keys);
	for (uint64_t i = 0; i < nr; i += PIPELINE) {
		for (int k = 0; k < PIPELINE; k++) {
			keys[k] = zipf_next(&zipf, &rng);
			fprintf(to, "*2\r\n$3\r\nGET\r\n$16\r\n%016" PRIx64 "\r\n", keys[k]);
		}
		fflush(to);
		for (int k = 0; k < PIPELINE; k++)
			wrong += !is_answered(keys[k]);
	}
	return wrong;
}

int main(int argc, char **argv)
{
	static const struct option longs[] = {{"footprint", 1, NULL, 'f'}, {"gets", 1, NULL, 'g'},
	    {"socket", 1, NULL, 's'}, {"flush", 1, NULL, 'F'}, {0}};
	uint64_t footprint = 256u << 20, gets = 200000, idle = 0;
	const char *path = NULL;
	int c, status;
	while ((c = getopt_long(argc, argv, "+", longs, NULL)) != -1) {
		if (c == 'f')
			footprint = number_or_die("--footprint", optarg);
		else if (c == 'g')
			gets = number_or_die("--gets", optarg);
		else if (c == 'F')
			idle = number_or_die("--flush", optarg);
		else if (c == 's')
			path = optarg;
		else
			return 2;
	}
	if (path == NULL || optind == argc)
		die("needs --socket PATH and a command");
	uint64_t nr_keys = footprint / (VALUE + 160); /* what Redis needs beside the value: about */
	pid_t pid = start_server(&argv[optind]);
	connect_to(path, pid);
	double start = now();
	store(nr_keys);
	double stored = now();
	uint64_t wrong = get(nr_keys, gets);
	double done = now();
	if (idle != 0) {
		fprintf(to, "*1\r\n$8\r\nFLUSHALL\r\n");
		fflush(to);
		expect_ok();
		sleep((unsigned)idle);
	}
	fprintf(to, "*2\r\n$8\r\nSHUTDOWN\r\n$6\r\nNOSAVE\r\n");
	fflush(to);
	if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status) || WEXITSTATUS(status) != 0)
		die("the server did not end well");
	printf("{\"keys\": %" PRIu64 ", \"gets\": %" PRIu64
	       ", \"store_s\": %.3f, \"seconds\": %.3f, "
	       "\"wrong\": %" PRIu64 "}\n",
	    nr_keys, gets, stored - start, done - stored, wrong);
	return wrong != 0;
}
