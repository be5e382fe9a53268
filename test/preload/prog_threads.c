// SPDX-License-Identifier: MIT
/* Eight threads, each with pipes of its own, and detached ones that come and go; cancelled ones,
 * which clean up as C++ would; C11's; and those with stacks too small for a fault. */
#include "prog.h"

#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <threads.h>
#include <unistd.h>

#define NR_THREADS 8

static int rounds = 300;

static void *echo(void *arg)
{
	int *fds = arg;
	char *buf = managed_pages(1 << 20);
	ssize_t n;

	while ((n = read(fds[0], buf, 70000)) > 0)
		for (ssize_t done = 0; done < n;) {
			ssize_t w = write(fds[1], buf + done, (size_t)(n - done));
			CHECK(w > 0);
			done += w;
		}
	CHECK(n == 0);
	close(fds[1]);
	return NULL;
}

static void *talk(void *arg)
{
	int to[2], from[2], fds[2];
	char *buf = managed_pages(1 << 20), *back = managed_pages(1 << 20);
	pthread_t thread;
	uint64_t seed = (uint64_t)(uintptr_t)arg + 1;

	CHECK(pipe(to) == 0 && pipe(from) == 0);
	fds[0] = to[0], fds[1] = from[1];
	CHECK(pthread_create(&thread, NULL, echo, fds) == 0);
	for (int i = 0; i < rounds; i++) {
		size_t n = next_random(&seed) % 60000 + 1;

		fill_random(buf, n, seed);
		CHECK(write(to[1], buf, n) == (ssize_t)n);
		for (size_t done = 0; done < n;) {
			ssize_t r = read(from[0], back + done, n - done);
			CHECK(r > 0);
			done += (size_t)r;
		}
		CHECK(!memcmp(buf, back, n));
	}
	close(to[1]);
	CHECK(pthread_join(thread, NULL) == 0);
	close(to[0]), close(from[0]);
	return NULL;
}

static _Atomic int nr_cleaned;

static void clean(int *fd)
{
	close(*fd);
	nr_cleaned++;
}

static void *read_for_ever(void *buf)
{
	/* As a destructor of C++. */
	__attribute__((cleanup(clean))) int fd = open("/dev/zero", O_RDONLY);

	while (read(fd, buf, 4 << 20) >= 0)
		;
	return NULL;
}

static void test_cancelled(void)
{
	char *buf = managed_pages(4 << 20);
	void *result;

	nr_cleaned = 0;
	for (int i = 0; i < 10; i++) {
		pthread_t thread;
		CHECK(pthread_create(&thread, NULL, read_for_ever, buf) == 0);
		usleep(10000 + (unsigned)i * 777);
		CHECK(pthread_cancel(thread) == 0 && pthread_join(thread, &result) == 0);
		CHECK(result == PTHREAD_CANCELED && nr_cleaned == i + 1);
	}
	munmap(buf, 4 << 20);
}

static _Atomic int nr_ended;

static void *come_and_go(void *arg)
{
	char *p = malloc(100000);

	memset(p, 1, 100000);
	free(p);
	nr_ended++;
	return arg;
}

#define NR_C11 40

static _Atomic int nr_c11;
static _Atomic bool may_end;

static int wait_and_end(void *arg)
{
	nr_c11++;
	while (!may_end)
		usleep(1000);
	nr_c11--;
	return *(int *)arg;
}

static int end_by_exit(void *arg)
{
	thrd_exit(*(int *)arg);
}

/* What libc keeps of a thread in the heap is absent when they all end. */
static void test_c11(void)
{
	int *result = malloc(sizeof(*result)), got = 0;
	thrd_t thread;

	*result = -5;
	may_end = false;
	for (int i = 0; i < NR_C11; i++) {
		CHECK(thrd_create(&thread, wait_and_end, result) == thrd_success);
		CHECK(thrd_detach(thread) == thrd_success);
		memset(malloc(5000), 1, 5000);
	}
	while (nr_c11 < NR_C11)
		usleep(1000);
	char *others = managed_pages(2 << 20);
	memset(others, 1, 2 << 20);
	munmap(others, 2 << 20);
	may_end = true;
	while (nr_c11)
		usleep(1000);
	usleep(50000);
	CHECK(thrd_create(&thread, wait_and_end, result) == thrd_success);
	CHECK(thrd_join(thread, &got) == thrd_success && got == -5);
	*result = 7;
	CHECK(thrd_create(&thread, end_by_exit, result) == thrd_success);
	CHECK(thrd_join(thread, &got) == thrd_success && got == 7);
	free(result);
}

#define NR_SMALL 8

static _Atomic int nr_ready;

/* libc gives back what its malloc has kept for this thread when all else has ended. */
static void *end_small(void *arg)
{
	void *kept[14], *between;

	for (int i = 0; i < 14; i++) {
		kept[i] = malloc(i < 7 ? 200 : 900);
		between = malloc(4000);
		CHECK(kept[i] && between);
		memset(kept[i], 1, 200);
		memset(between, 1, 4000);
	}
	for (int i = 0; i < 14; i++)
		free(kept[i]);
	nr_ready++;
	while (!may_end)
		usleep(1000);
	return arg;
}

/* Stacks on which no fault can be served. */
static void test_small_stacks(void)
{
	char *pressure = managed_pages(4 << 20);
	pthread_t threads[NR_SMALL];
	pthread_attr_t attr;

	CHECK(!pthread_attr_init(&attr) && !pthread_attr_setstacksize(&attr, PTHREAD_STACK_MIN));
	may_end = false;
	for (int i = 0; i < NR_SMALL; i++)
		CHECK(!pthread_create(&threads[i], &attr, end_small, NULL));
	while (nr_ready < NR_SMALL)
		usleep(1000);
	for (size_t i = 0; i < 4 << 20; i += 4096)
		pressure[i] = 1;
	may_end = true;
	for (int i = 0; i < NR_SMALL; i++)
		CHECK(!pthread_join(threads[i], NULL));
}

int main(int argc, char **argv)
{
	pthread_t threads[NR_THREADS];
	pthread_attr_t attr;

	if (argc > 1)
		rounds = atoi(argv[1]);
	test_cancelled();
	for (long i = 0; i < NR_THREADS; i++)
		CHECK(pthread_create(&threads[i], NULL, talk, (void *)i) == 0);
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	for (int i = 0; i < rounds; i++) {
		pthread_t thread;
		CHECK(pthread_create(&thread, &attr, come_and_go, NULL) == 0);
		usleep(200);
	}
	for (int i = 0; i < NR_THREADS; i++)
		CHECK(pthread_join(threads[i], NULL) == 0);
	while (nr_ended < rounds)
		usleep(1000);
	test_c11();
	test_small_stacks();
	return 0;
}
