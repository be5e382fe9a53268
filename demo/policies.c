// SPDX-License-Identifier: MIT
/* One workload under every live policy, and Belady's anomaly. */
#include <math.h>
#include <sys/wait.h>
#include <unistd.h>

#include "live.h"
#include "policy/policy.h"
#include "replay/sim.h"

#define RAM        (4 * MIB)
#define NR_PAGES   2048ull /* 8 MiB */
#define NR_ROUNDS  10
#define NR_TOUCHES 512
#define NR_SCANNED 192

static uint64_t random_next(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

/* Some pages are used much more than others, which lie between them; now and then a scan passes. */
static void workload(void *at)
{
	uint64_t random = 88172645463325252ull, scanned = 0;

	for (int round = 0; round < NR_ROUNDS; round++) {
		for (int i = 0; i < NR_TOUCHES; i++) {
			double u = (double)(random_next(&random) >> 11) * 0x1p-53;
			uint64_t page =
			    (uint64_t)((double)NR_PAGES * u * u * u * u) * 1021 % NR_PAGES;

			*word_of(at, page) += random_next(&random) >> 63;
		}
		for (int i = 0; i < NR_SCANNED; i++)
			(void)*word_of(at, scanned++ % NR_PAGES);
	}
}

/* In a process of its own: there is one pager in each. */
static struct fl_stats run_policy(const char *name)
{
	struct fl_stats s;
	int fds[2], status;

	DEMO_ENSURE(!pipe(fds));
	pid_t pid = fork();
	DEMO_ENSURE(pid >= 0);
	if (!pid) {
		live_open(RAM, name);
		void *at = live_map(NR_PAGES * DEMO_PAGE);

		write_pages(at, NR_PAGES, 1);
		struct fl_stats from = live_stats();
		workload(at);
		s = live_stats();
		s.major -= from.major;
		s.minor_refill -= from.minor_refill;
		s.evict_clean -= from.evict_clean;
		s.evict_dirty -= from.evict_dirty;
		s.swap_read_bytes -= from.swap_read_bytes;
		DEMO_ENSURE(write(fds[1], &s, sizeof(s)) == sizeof(s));
		_exit(0);
	}
	close(fds[1]);
	DEMO_ENSURE(read(fds[0], &s, sizeof(s)) == sizeof(s));
	DEMO_ENSURE(waitpid(pid, &status, 0) == pid && status == 0);
	close(fds[0]);
	return s;
}

static uint64_t faults_of(const char *policy, const char *string, uint32_t nr_frames)
{
	struct sim *sim = sim_open(sim_policy_find(policy), nr_frames, 0);

	DEMO_ENSURE(sim);
	for (const char *c = string; *c; c++) {
		uint32_t ref = sim_ref((uint32_t)(*c - '0'), false);

		DEMO_ENSURE(!sim_run(sim, &ref, 1, 10, NULL, NULL));
	}
	uint64_t faults = sim_counts(sim)->faults;
	sim_close(sim);
	return faults;
}

static void belady(void)
{
	static const char string[] = "123412512345";

	printf("\nBelady's string %s, faults (replayed: so few frames no program can run in):\n",
	    string);
	for (int i = 0; i < 2; i++) {
		const char *policy = i ? "lru" : "fifo";

		printf("  %-14s", policy);
		for (uint32_t nr = 1; nr <= 5; nr++)
			printf("  %u frames %2llu", nr,
			    (unsigned long long)faults_of(policy, string, nr));
		printf("\n");
	}
	DEMO_ENSURE(faults_of("fifo", string, 4) > faults_of("fifo", string, 3));
}

int main(void)
{
	uint64_t best = UINT64_MAX, worst = 0;
	const char *best_name = "", *worst_name = "";

	printf("%d touches of %llu pages, most of them of a few, and scans between;\n"
	       "%llu frames. Each policy in a process of its own.\n\n",
	    NR_ROUNDS * (NR_TOUCHES + NR_SCANNED), NR_PAGES, (unsigned long long)pages(RAM));
	printf("%-14s %8s %10s %10s %10s %10s\n", "policy", "major", "refills", "pages read",
	    "clean out", "dirty out");
	for (int i = 0; policies[i]; i++) {
		fflush(stdout);
		struct fl_stats s = run_policy(policies[i]->name);
		uint64_t nr_read = pages(s.swap_read_bytes);

		printf("%-14s %8llu %10llu %10llu %10llu %10llu\n", policies[i]->name,
		    (unsigned long long)s.major, (unsigned long long)s.minor_refill,
		    (unsigned long long)nr_read, (unsigned long long)s.evict_clean,
		    (unsigned long long)s.evict_dirty);
		if (nr_read < best)
			best = nr_read, best_name = policies[i]->name;
		if (nr_read > worst)
			worst = nr_read, worst_name = policies[i]->name;
	}
	belady();
	DEMO_ENSURE(best > 0 && best < worst);
	printf(
	    "Conclusion: the policy decides how often the disk is read: here %s %.0f %% more often "
	    "than %s; and under FIFO more frames can even mean more faults: %llu with 3, %llu with "
	    "4.\n",
	    worst_name, 100.0 * (double)worst / (double)best - 100, best_name,
	    (unsigned long long)faults_of("fifo", "123412512345", 3),
	    (unsigned long long)faults_of("fifo", "123412512345", 4));
	return demo_end();
}
