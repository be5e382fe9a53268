// SPDX-License-Identifier: MIT
/* Minor, major and invalid faults, with what the kernel's own counters say beside them. */
#include <setjmp.h>
#include <signal.h>
#include <ucontext.h>
#include <unistd.h>

#include "live.h"

#define NR_PAGES 2048ull
/* In use is every 64th page: no neighbours, and no step that readahead would take for a stream, so
 * that every touch of an absent page is one fault. */
#define STEP 64ull
#define AREA (NR_PAGES * STEP * DEMO_PAGE)

static sigjmp_buf back;
static siginfo_t last;

/* Installed before the library's: it gets what is no page fault of the pager's. */
static void on_signal(int sig, siginfo_t *si, void *context)
{
	(void)sig;
	(void)context;
	last = *si;
	siglongjmp(back, 1);
}

static volatile uint64_t *lone(void *at, uint64_t i)
{
	return word_of(at, i * STEP);
}

struct counts {
	struct fl_stats pager;
	struct rusage kernel;
};

static struct counts counts_now(void)
{
	struct counts c = {.pager = live_stats()};

	DEMO_ENSURE(!getrusage(RUSAGE_SELF, &c.kernel));
	return c;
}

/* One line, and what it adds to both counts. */
static struct counts row(const char *what, struct counts from)
{
	struct counts to = counts_now();
	const struct fl_stats *a = &from.pager, *b = &to.pager;

	printf("%-34s %6llu %6llu %6llu %6llu %6llu %9ld %6ld\n", what,
	    (unsigned long long)(b->minor_zero - a->minor_zero),
	    (unsigned long long)(b->minor_refill - a->minor_refill),
	    (unsigned long long)(b->minor_write - a->minor_write),
	    (unsigned long long)(b->major - a->major),
	    (unsigned long long)(b->invalid - a->invalid),
	    to.kernel.ru_minflt - from.kernel.ru_minflt,
	    to.kernel.ru_majflt - from.kernel.ru_majflt);
	return counts_now();
}

/* Access @p; return the signal that came of it, or 0. */
static int try_access(volatile char *p, bool is_write)
{
	last.si_signo = 0;
	if (!sigsetjmp(back, 1)) {
		if (is_write)
			*p = 1;
		else
			(void)*p;
	}
	return last.si_signo;
}

static void print_signal(const char *what)
{
	printf("  %-32s signal %d (%s), %s, at %p: survived\n", what, last.si_signo,
	    last.si_signo == SIGSEGV ? "SIGSEGV" : "SIGBUS",
	    last.si_code == SEGV_MAPERR ? "nothing is mapped there" : "no permission",
	    last.si_addr);
}

static void ask_ps(void)
{
	char command[64], line[128];

	snprintf(command, sizeof(command), "ps -o min_flt=,maj_flt= -p %d 2>/dev/null", getpid());
	FILE *f = popen(command, "r");
	if (f && fgets(line, sizeof(line), f))
		printf("ps -o min_flt,maj_flt of this process: %s", line);
	if (f)
		pclose(f);
}

int main(void)
{
	struct sigaction act = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO};
	char *at, *other, *readonly;

	sigaction(SIGSEGV, &act, NULL);
	sigaction(SIGBUS, &act, NULL);
	live_open(32 * MIB, NULL);
	at = live_map(AREA);
	other = live_map(AREA);
	readonly = live_map(DEMO_PAGE);
	setvbuf(stdout, NULL, _IOFBF, 1 << 16); /* its faults are not of interest */

	*word_of(readonly, 0) = 7;
	DEMO_ENSURE(!fl_protect(readonly, DEMO_PAGE, PROT_READ));
	printf("%-34s %34s   %s\n", "", "counted by the pager", "by the kernel");
	printf("%-34s %6s %6s %6s %6s %6s %9s %6s\n", "", "zero", "refill", "write", "major",
	    "inval.", "minflt", "majflt");
	struct counts c = counts_now();
	for (uint64_t i = 0; i < NR_PAGES; i++)
		*lone(at, i) = i;
	c = row("first touch of 2048 pages", c);
	for (uint64_t i = 0; i < NR_PAGES; i++)
		*lone(at, i) += 1;
	c = row("touch them again", c);
	DEMO_ENSURE(!fl_evict(at, AREA));
	c = row("(the pager evicts them)", c);
	for (uint64_t i = 0; i < NR_PAGES; i++)
		DEMO_ENSURE(*lone(at, i) == i + 1);
	c = row("read them", c);
	for (uint64_t i = 0; i < NR_PAGES; i++)
		*lone(at, i) = i;
	c = row("write to what was only read", c);
	for (uint64_t i = 0; i < NR_PAGES; i++)
		*lone(other, i) = *lone(at, i);
	c = row("copy them to fresh memory", c);

	DEMO_ENSURE(try_access((volatile char *)8, false) == SIGSEGV);
	struct counts after_null = row("read through a null pointer", c);
	siginfo_t null = last;
	DEMO_ENSURE(try_access(readonly, true) == SIGSEGV);
	DEMO_ENSURE(last.si_addr == readonly && last.si_code == SEGV_ACCERR);
	row("write to read-only memory", after_null);
	DEMO_ENSURE(*word_of(readonly, 0) == 7);
	printf("\n");
	siginfo_t wrong = last;
	last = null;
	print_signal("null pointer");
	last = wrong;
	print_signal("read-only page");
	printf("\n");
	fflush(stdout);
	ask_ps();
	c = counts_now();
	printf("getrusage, minor and major:            %ld %ld\n", c.kernel.ru_minflt,
	    c.kernel.ru_majflt);
	DEMO_ENSURE(c.pager.major >= NR_PAGES && c.pager.invalid == 1);
	printf("Conclusion: a fault is how the pager is asked for a page: minor when a frame "
	       "suffices, major when the disk must be read, and invalid when no page is due, "
	       "which is the program's own signal; the kernel counts only what its own tables did, "
	       "so the %llu majors are none to it.\n",
	    (unsigned long long)c.pager.major);
	return demo_end();
}
