// SPDX-License-Identifier: MIT
/* A 100 MB file mapped, and a few pages of it used. */
#include <fcntl.h>
#include <unistd.h>

#include "live.h"

#define NR_PAGES 25600ull /* 100 MiB */
#define NR_USED  100ull
#define STEP     (NR_PAGES / NR_USED)

static struct fl_stats before;

static void row(const char *what)
{
	struct fl_stats s = live_stats();

	printf("%-44s %6llu %10llu %8llu %8llu %8llu\n", what,
	    (unsigned long long)(s.major - before.major),
	    (unsigned long long)pages(s.file_read_bytes - before.file_read_bytes),
	    (unsigned long long)(s.evict_clean - before.evict_clean),
	    (unsigned long long)(s.evict_dirty - before.evict_dirty),
	    (unsigned long long)pages(s.file_written_bytes - before.file_written_bytes));
	before = s;
}

/* The file holds its page numbers. */
static int make_file(void)
{
	const char *dir = getenv("FAULTLINE_SWAP");
	int fd = open(dir ? dir : "/var/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	static uint64_t some[64 * DEMO_PAGE / 8];

	DEMO_ENSURE(fd >= 0);
	for (uint64_t i = 0; i < NR_PAGES; i += 64) {
		for (uint64_t j = 0; j < 64; j++)
			some[j * DEMO_PAGE / 8] = i + j;
		DEMO_ENSURE(write(fd, some, sizeof(some)) == sizeof(some));
	}
	return fd;
}

static void use_pages(void *at)
{
	for (uint64_t i = 0; i < NR_PAGES; i += STEP)
		DEMO_ENSURE(*word_of(at, i) == i);
}

int main(void)
{
	int fd = make_file();
	void *at;

	live_open(16 * MIB, NULL);
	before = live_stats();
	printf("A file of %llu pages (100 MiB), RAM 16 MiB.\n\n", NR_PAGES);
	printf("%-44s %6s %10s %8s %8s %8s\n", "", "major", "pages", "evicted", "evicted", "pages");
	printf("%-44s %6s %10s %8s %8s %8s\n", "", "faults", "read", "clean", "dirty", "written");
	DEMO_ENSURE(
	    !fl_map_file(fd, 0, NR_PAGES * DEMO_PAGE, PROT_READ | PROT_WRITE, FL_FILE_SHARED, &at));
	row("map it");
	use_pages(at);
	row("use every 256th page");
	use_pages(at);
	row("use them again");
	fl_evict(at, NR_PAGES * DEMO_PAGE);
	row("(the pager evicts them)");
	use_pages(at);
	row("use them again");
	uint64_t sum = read_pages(at, NR_PAGES);
	row("read the whole file in order");
	for (uint64_t i = 0; i < NR_PAGES; i += STEP)
		*word_of(at, i) = ~i;
	fl_evict(at, NR_PAGES * DEMO_PAGE);
	row("write to every 256th page, evict");
	uint64_t in_file;
	DEMO_ENSURE(pread(fd, &in_file, 8, STEP * DEMO_PAGE) == 8 && in_file == ~STEP);
	DEMO_ENSURE(sum == NR_PAGES * (NR_PAGES - 1) / 2);
	struct fl_stats s = live_stats();
	DEMO_ENSURE(s.swap_written_bytes == 0 && s.peak_bytes <= s.ram_bytes);
	printf("\nSwap was not used at all. (What is read may have been in the kernel's own "
	       "cache.)\n");
	printf(
	    "Conclusion: mapping a file reads nothing; each page is read when it is first touched, "
	    "a clean one is dropped without a write since the file has it, and only dirty ones "
	    "are written back.\n");
	return demo_end();
}
