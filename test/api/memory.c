// SPDX-License-Identifier: MIT
/*
 * The library's interface for anonymous memory: what is refused, what is paged, whose signals are
 * whose, fork. Under `faultline run` too, where the pager is there already.
 *
 *     memory ENGINE alone|under
 */
#include <pthread.h>

#include "api.h"

#define NR_PAGES 4096u /* 16 MiB in 4 MiB */

static void refused(const char *engine)
{
	char why[FL_WHY_BYTES] = "";
	void *p;
	struct fl_stats s;

	EXPECT(fl_map(PAGE, RW, &p) == -EINVAL);
	EXPECT(fl_stats(&s) == -EINVAL);
	EXPECT(fl_close() == -EINVAL);
	EXPECT(fl_open(&(struct fl_options){.ram_bytes = PAGE}, why, sizeof(why)) == -EINVAL);
	EXPECT(strlen(why) > 0);
	EXPECT(fl_open(&(struct fl_options){.policy = "no-such"}, why, sizeof(why)) == -EINVAL);
	EXPECT(strstr(why, "no-such"));
	EXPECT(fl_open(&(struct fl_options){.engine = "no-such"}, why, sizeof(why)) == -EINVAL);
	EXPECT(fl_open(&(struct fl_options){.swap_dir = "/no/such"}, why, sizeof(why)) == -ENOENT);
	EXPECT(strstr(why, "/no/such"));
	struct fl_options options = {
	    .ram_bytes = 4 * MIB, .ram_max_bytes = 12 * MIB, .engine = engine};
	EXPECT(!fl_open(&options, why, sizeof(why)));
}

static void refused_later(void)
{
	void *p;

	EXPECT(fl_open(NULL, NULL, 0) == -EALREADY);
	EXPECT(fl_map(0, RW, &p) == -EINVAL);
	EXPECT(fl_map(PAGE, PROT_WRITE, &p) == -EINVAL);
	EXPECT(fl_map(PAGE, PROT_READ | PROT_EXEC, &p) == -EINVAL);
	EXPECT(fl_map(1ul << 60, RW, &p) == -ENOMEM);
	EXPECT(!fl_map(3 * PAGE, RW, &p));
	EXPECT(fl_unmap((char *)p + 1, PAGE) == -EINVAL);
	EXPECT(fl_unmap(p, 0) == -EINVAL);
	EXPECT(fl_protect((char *)p + 1, PAGE, PROT_READ) == -EINVAL);
	EXPECT(fl_protect(p, PAGE, PROT_EXEC) == -EINVAL);
	EXPECT(!fl_unmap((char *)p + PAGE, PAGE));
	EXPECT(fl_protect(p, 3 * PAGE, PROT_READ) == -ENOMEM);
	EXPECT(!fl_unmap(p, 3 * PAGE));
}

static void *stamp_and_verify(void *arg)
{
	uint64_t *at = arg;

	for (int round = 0; round < 3; round++) {
		for (size_t i = 0; i < NR_PAGES / 4; i++) {
			EXPECT(
			    *word(at, i) ==
			    (round ? (uint64_t)(uintptr_t)word(at, i) + (unsigned)round - 1 : 0));
			*word(at, i) = (uint64_t)(uintptr_t)word(at, i) + (unsigned)round;
		}
	}
	return NULL;
}

/* Four threads, each with a quarter of what is four times RAM. */
static void pages_come_back(bool is_under)
{
	pthread_t threads[4];
	void *at;

	EXPECT(!fl_map(NR_PAGES * PAGE, RW, &at));
	for (int i = 0; i < 4; i++)
		EXPECT(!pthread_create(&threads[i], NULL, stamp_and_verify,
		    (char *)at + (size_t)i * NR_PAGES / 4 * PAGE));
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	struct fl_stats s = stats();
	EXPECT(s.ram_bytes == 4 * MIB && s.peak_bytes <= 4 * MIB && s.used_bytes <= s.peak_bytes);
	EXPECT(s.touched_bytes >= NR_PAGES * PAGE);
	EXPECT(s.major && s.evict_dirty && s.swap_read_bytes && s.swap_written_bytes);
	EXPECT(!fl_evict(at, NR_PAGES * PAGE));
	/* Pages that are written still, or that a thread of ours is busy with, may stay; and so may
	 * the program's other memory. */
	EXPECT(stats().used_bytes < (is_under ? 2 : 1) * MIB);
	EXPECT(!fl_unmap(at, NR_PAGES * PAGE));
}

/* RAM goes up and down while four threads work. */
static void ram_changes(bool is_under)
{
	pthread_t threads[4];
	void *at;

	if (is_under) {
		EXPECT(fl_set_ram(8 * MIB) == -EINVAL);
		return;
	}
	EXPECT(fl_set_ram(13 * MIB) == -EINVAL && fl_set_ram(PAGE) == -EINVAL);
	EXPECT(!fl_map(NR_PAGES * PAGE, RW, &at));
	for (int i = 0; i < 4; i++)
		EXPECT(!pthread_create(&threads[i], NULL, stamp_and_verify,
		    (char *)at + (size_t)i * NR_PAGES / 4 * PAGE));
	for (int i = 0; i < 20; i++) {
		uint64_t bytes = (uint64_t)(i % 2 ? 1 + i % 3 : 4 + i % 9) * MIB;

		EXPECT(!fl_set_ram(bytes));
		EXPECT(stats().ram_bytes == bytes && stats().used_bytes <= bytes);
		usleep(5000);
	}
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	EXPECT(!fl_set_ram(12 * MIB));
	for (size_t i = 0; i < 12 * MIB / PAGE; i++)
		(void)*(volatile uint64_t *)word(at, i);
	/* Pool and watermarks may keep a quarter free: four threads were at it a moment ago. */
	EXPECT(stats().used_bytes >= 9 * MIB);
	EXPECT(!fl_set_ram(2 * MIB) && stats().used_bytes <= 2 * MIB);
	for (size_t i = 0; i < NR_PAGES; i++)
		EXPECT(*word(at, i) == (uint64_t)(uintptr_t)word(at, i) + 2);
	EXPECT(!fl_unmap(at, NR_PAGES * PAGE));
	EXPECT(!fl_set_ram(4 * MIB));
}

static void signals(void)
{
	char *at, *wild;

	EXPECT(!fl_map(4 * PAGE, RW, (void **)&at));
	*at = 5;
	EXPECT(!fl_protect(at, PAGE, PROT_READ));
	EXPECT(api_try(at, false) == 0 && *at == 5);
	EXPECT(api_try(at, true) == SIGSEGV);
	EXPECT(api_last.si_addr == at && api_last.si_code == SEGV_ACCERR && *at == 5);
	EXPECT(!fl_protect(at, PAGE, PROT_NONE));
	EXPECT(api_try(at, false) == SIGSEGV && api_last.si_addr == at);
	EXPECT(!fl_protect(at, PAGE, RW));
	EXPECT(api_try(at, true) == 0);
	EXPECT(api_try(NULL, false) == SIGSEGV && api_last.si_addr == NULL);
	EXPECT(!fl_unmap(at, 4 * PAGE));
	EXPECT(api_try(at, false) == SIGSEGV && api_last.si_code == SEGV_MAPERR);
	/* Memory of the program's own. */
	wild = mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	EXPECT(api_try(wild, true) == SIGSEGV && api_last.si_addr == wild);
	EXPECT(stats().invalid >= 2);
}

static int child_writes(void *arg)
{
	for (size_t i = 0; i < NR_PAGES; i++) {
		EXPECT(*word(arg, i) == i);
		*word(arg, i) = ~i;
	}
	for (size_t i = 0; i < NR_PAGES; i++)
		EXPECT(*word(arg, i) == ~i);
	EXPECT(stats().major > 0);
	return 0;
}

static pthread_barrier_t both;

static void *read_beside(void *at)
{
	pthread_barrier_wait(&both);
	for (size_t i = 0; i < NR_PAGES; i++)
		EXPECT(*word(at, i * 37 % NR_PAGES) == i * 37 % NR_PAGES);
	return NULL;
}

/* Two threads are the first ones in the child to touch anything. */
static int child_of_two(void *at)
{
	pthread_t thread;

	pthread_barrier_init(&both, NULL, 2);
	EXPECT(!pthread_create(&thread, NULL, read_beside, at));
	read_beside(at);
	pthread_join(thread, NULL);
	return 0;
}

/* Handlers of the program's own, registered before fl_open(), that use managed memory. */
static uint64_t *at_forks;

static void note_fork(void)
{
	if (at_forks)
		++*at_forks;
}

/* With no handler but the default the child dies of a fault that is not the pager's. */
static int child_displaced(void *arg)
{
	volatile char *volatile null = NULL;

	(void)arg;
	signal(SIGSEGV, SIG_DFL);
	*null = 1;
	return 0;
}

static void forks(void)
{
	void *at;

	EXPECT(!fl_map(NR_PAGES * PAGE, RW, &at));
	for (size_t i = 0; i < NR_PAGES; i++)
		*word(at, i) = i;
	EXPECT(api_in_child(child_writes, at) == 0);
	for (size_t i = 0; i < NR_PAGES; i++)
		EXPECT(*word(at, i) == i);
	int status = api_in_child(child_displaced, NULL);
	EXPECT(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
	for (int i = 0; i < 20; i++)
		EXPECT(api_in_child(child_of_two, at) == 0);
	EXPECT(!fl_map(PAGE, RW, (void **)&at_forks));
	EXPECT(api_in_child(child_writes, at) == 0);
	EXPECT(*at_forks == 2);
	EXPECT(!fl_unmap(at_forks, PAGE));
	at_forks = NULL;
	EXPECT(!fl_unmap(at, NR_PAGES * PAGE));
}

static void close_and_go_on(bool is_under)
{
	char *at;

	EXPECT(!fl_map(PAGE, RW, (void **)&at));
	*at = 1;
	EXPECT(!fl_close());
	EXPECT(api_try(at, false) == (is_under ? 0 : SIGSEGV));
	EXPECT(!fl_map(PAGE, RW, (void **)&at));
	EXPECT(*at == 0);
	*at = 1;
	EXPECT(!fl_unmap(at, PAGE));
}

int main(int argc, char **argv)
{
	bool is_under = argc > 2 && !strcmp(argv[2], "under");

	EXPECT(argc > 1);
	EXPECT(!pthread_atfork(note_fork, note_fork, NULL));
	api_handlers();
	if (!is_under)
		refused(argv[1]);
	refused_later();
	pages_come_back(is_under);
	ram_changes(is_under);
	signals();
	forks();
	close_and_go_on(is_under);
	return 0;
}
