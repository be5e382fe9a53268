// SPDX-License-Identifier: MIT
/*
 * Start-up of the preload library: options from the environment, the pager, the signal handlers,
 * the guard. Runs at the first mapping call, before the first thread is made, or as constructor,
 * whichever is first: an allocator preloaded beside us asks for memory before constructors run.
 */
#include "preload/altstack.h"
#include "preload/start.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/malloc_lib.h"
#include "base/say.h"
#include "base/size.h"
#include "base/sys.h"
#include "faultline/telemetry.h"
#include "pager/pager.h"
#include "pager/trap_tlb.h"
#include "policy/policy.h"
#include "preload/guard.h"
#include "preload/libc_malloc.h"
#include "preload/reexec.h"
#include "preload/report.h"
#include "preload/signals.h"
#include "preload/wrap_exec.h"

extern char **environ;

/* As the command has it: half the window of managed addresses. */
#define SIZE_MAX_BYTES (8ull << 40)

/* 0 not started, 1 starting (calls pass through), 2 done. Only one thread exists at start. */
static _Atomic int phase;

static const char *option(const char *name, const char *fallback)
{
	const char *value = getenv(name);

	return value && *value ? value : fallback;
}

/* Without a report: nothing was run. */
static _Noreturn void end_early(void)
{
	for (;;)
		sys_call1(SYS_exit_group, 125);
}

static _Noreturn void refuse(const char *name, const char *value, const char *why)
{
	struct say s = {0};

	say_str(&s, name);
	say_str(&s, "=");
	say_str(&s, value);
	say_str(&s, ": ");
	say_str(&s, why);
	say_flush(&s);
	end_early();
}

/* As the command says it of its options. */
static uint64_t size_option(const char *name, uint64_t min, uint64_t fallback)
{
	const char *value = getenv(name);
	uint64_t bytes;
	char why[160];

	if (!value || !*value)
		return fallback;
	int err = size_parse(value, &bytes);
	if (err == -EINVAL)
		snprintf(why, sizeof(why), "not a size; write it like %s=64M (K, M, G or T)", name);
	else if (err || bytes > SIZE_MAX_BYTES)
		snprintf(why, sizeof(why), "too large; give at most %s=%lluG", name,
		    SIZE_MAX_BYTES >> 30);
	else if (bytes < min)
		snprintf(why, sizeof(why), "too small; give at least %s=%lluK (%llu page%s)", name,
		    (unsigned long long)min >> 10, (unsigned long long)min >> PAGE_SHIFT,
		    min > PAGE_BYTES ? "s" : "");
	else
		return bytes & ~(uint64_t)PAGE_MASK;
	refuse(name, value, why);
}

/* A quarter of what the machine has available. */
static uint64_t default_ram(void)
{
	char text[2048];
	long long kib = 0;
	int fd = open("/proc/meminfo", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? read(fd, text, sizeof(text) - 1) : 0;

	close(fd);
	text[n > 0 ? n : 0] = 0;
	const char *line = strstr(text, "MemAvailable:");
	if (line)
		kib = strtoll(line + 13, NULL, 10);
	return kib > 0 ? (uint64_t)kib * 1024 / 4 : 256u << 20;
}

static void copy_option(char *to, size_t bytes, const char *name, const char *fallback)
{
	const char *value = option(name, fallback);

	if (strlen(value) >= bytes)
		refuse(name, value, "too long");
	strcpy(to, value);
}

static void read_tlb(struct pager_config *c)
{
	const char *text = option("FAULTLINE_TLB", ""), *page = option("FAULTLINE_PAGE_SIZE", "4K");
	char why[200];
	uint64_t bytes;

	if (size_parse(page, &bytes) || (bytes != PAGE_BYTES && bytes != PAGE_BYTES << 9))
		refuse("FAULTLINE_PAGE_SIZE", page, "not a page size; choose 4K or 2M");
	if (bytes != PAGE_BYTES && !*text)
		refuse("FAULTLINE_PAGE_SIZE", page,
		    "larger pages are a TLB's; give FAULTLINE_TLB too");
	c->tlb_shift = bytes == PAGE_BYTES ? 0 : 9;
	c->tlb = (struct tlb_geometry){0};
	if (!*text)
		return;
	if (tlb_geometry_parse(text, false, &c->tlb, why, sizeof(why)) ||
	    tlb_geometry_check(&c->tlb, why, sizeof(why)))
		refuse("FAULTLINE_TLB", text, why);
}

static void read_config(struct pager_config *c)
{
	const uint64_t min = PAGER_MIN_FRAMES * PAGE_BYTES;

	c->is_exact = !strcmp(option("FAULTLINE_EXACT", "0"), "1");
	read_tlb(c);

	c->ram_bytes = size_option("FAULTLINE_RAM", pager_min_frames(c) << PAGE_SHIFT, 0);
	if (!c->ram_bytes)
		c->ram_bytes = default_ram();
	c->ram_max_bytes = size_option("FAULTLINE_RAM_MAX", c->ram_bytes, 0);
	c->takes_requests = true;
	c->swap_bytes = size_option("FAULTLINE_SWAP_SIZE", min, 0);
	c->min_map_bytes = size_option("FAULTLINE_MIN_MAP", PAGE_BYTES, 64u << 10);
	copy_option(c->swap_dir, sizeof(c->swap_dir), "FAULTLINE_SWAP", "/var/tmp");
	copy_option(c->engine, sizeof(c->engine), "FAULTLINE_ENGINE", "auto");
	copy_option(c->policy, sizeof(c->policy), "FAULTLINE_POLICY", policies[0]->name);
	copy_option(c->telemetry, sizeof(c->telemetry), "FAULTLINE_TELEMETRY", "");
	copy_option(c->compress, sizeof(c->compress), "FAULTLINE_COMPRESS", "auto");
	copy_option(c->reclaim, sizeof(c->reclaim), "FAULTLINE_RECLAIM", "auto");
	/* The command takes the faults out of shared memory while the program runs. */
	if (*option("FAULTLINE_TRACE", "") && !*c->telemetry)
		refuse("FAULTLINE_TRACE", option("FAULTLINE_TRACE", ""),
		    "needs the command; write faultline run --trace FILE PROGRAM");
}

static void fork_prepare(void)
{
	int err = pager_fork_prepare();
	struct say s = {0};

	if (!err)
		return;
	/* A prepare handler cannot make fork() fail. */
	say_str(&s, "fork: the pager cannot be split (error ");
	say_dec(&s, (uint64_t)-err);
	say_str(&s, "); the program is stopped rather than let a child read wrong data");
	say_flush(&s);
	end_early();
}

/* What programs exec'd from here must find in their environment to be paged too. */
static void remember_environment(const char *telemetry_path, const char *program_name)
{
	static char telemetry[96], program[NAME_MAX + 32];
	static char *env[256];
	uint32_t nr = 0;

	for (char **e = environ; e && *e && nr < ARRAY_LEN(env) - 3; e++)
		if ((!strncmp(*e, "FAULTLINE_", 10) || !strncmp(*e, "LD_PRELOAD=", 11)) &&
		    strncmp(*e, "FAULTLINE_TELEMETRY=", 20) != 0 &&
		    strncmp(*e, "FAULTLINE_PROGRAM=", 18) != 0)
			env[nr++] = *e;
	snprintf(telemetry, sizeof(telemetry), "FAULTLINE_TELEMETRY=%s", telemetry_path);
	env[nr++] = telemetry;
	if (program_name) {
		snprintf(program, sizeof(program), "FAULTLINE_PROGRAM=%s", program_name);
		env[nr++] = program;
	}
	wrap_exec_remember(env);
}

static void on_exit_of_program(int status, void *arg)
{
	(void)arg;
	report_at_exit(status);
}

void preload_start(void)
{
	int idle = 0;
	struct pager_config config = {0};
	char why[256];

	if (LIKELY(atomic_load(&phase)) || !atomic_compare_exchange_strong(&phase, &idle, 1))
		return;
	if (!strcmp(option("FAULTLINE_OFF", "0"), "1"))
		goto out;
	reexec_with_malloc();
	read_config(&config);
	/* Registered before main's caller registers the loader's own: ours comes after all exit
	 * handlers and destructors, and is told the status. */
	on_exit(on_exit_of_program, NULL);
	/* Registered before any other library's: prepare handlers run last to first, so that ours
	 * seals the memory when the allocator's has touched it for the last time. libc's touches it
	 * after all handlers: libc_malloc_take() sees to that. */
	const char *allocator = option("FAULTLINE_MALLOC", DEFAULT_MALLOC);
	if (!malloc_is_libc(allocator))
		pthread_atfork(fork_prepare, pager_fork_parent, pager_fork_child);
	const char *program = report_prepare(config.telemetry, sizeof(config.telemetry));
	config.samples_outside = program;
	remember_environment(config.telemetry, program);
	if (sys_gate_map())
		refuse("FAULTLINE_RAM", "", "the address range of the gate page is taken");
	if (pager_start(&config, why, sizeof(why))) {
		struct say s = {0};

		say_str(&s, why);
		say_flush(&s);
		end_early();
	}
	signals_install();
	int err = guard_install();
	if (err)
		refuse("FAULTLINE_ENGINE", config.engine,
		    "the system-call guard cannot be installed "
		    "(seccomp filters are not allowed here)");
	if (malloc_is_libc(allocator) && (err = libc_malloc_take()))
		refuse("FAULTLINE_MALLOC", allocator,
		    err == -ENOSYS  ? "this libc's malloc cannot be paged; give jemalloc"
		    : err == -EBUSY ? "a breakpoint is in libc's mmap, or near; set it later"
		                    : "code may not be changed here; give jemalloc");
	/* The stacks of goroutines are managed memory, and too small for the frame of a trap. */
	if (altstack_is_raw() && pager_stay_resident(FL_RESIDENT_GO))
		refuse("FAULTLINE_ENGINE", config.engine, "out of memory");
out:
	atomic_store(&phase, 2);
}

__attribute__((constructor(101))) static void on_load(void)
{
	preload_start();
}
