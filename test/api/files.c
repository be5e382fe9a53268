// SPDX-License-Identifier: MIT
/*
 * File-backed regions: what is read when, private and shared writes, the end of the file, errors,
 * fork, exit, threads.
 *
 *     files ENGINE DIRECTORY
 */
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>

#include "api.h"

#define NR_PAGES 4096u /* 16 MiB in 4 MiB of RAM */

static const char *dir;
static bool is_under; /* `faultline run` */

/* What page @i of a fresh file says. */
static uint64_t said(size_t i)
{
	return 0x1234567800000000ul + i;
}

/* A file without a name, of @bytes. */
static int fresh_file(size_t bytes)
{
	int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	uint64_t page[PAGE / 8];

	EXPECT(fd >= 0);
	for (size_t i = 0; i * PAGE < bytes; i++) {
		for (size_t j = 0; j < PAGE / 8; j++)
			page[j] = said(i);
		EXPECT(write(fd, page, bytes - i * PAGE < PAGE ? bytes - i * PAGE : PAGE) > 0);
	}
	return fd;
}

static uint64_t in_file(int fd, size_t page)
{
	uint64_t value = 0;

	EXPECT(pread(fd, &value, 8, (off_t)(page * PAGE)) == 8);
	return value;
}

static void put_in_file(int fd, size_t page, uint64_t value)
{
	EXPECT(pwrite(fd, &value, 8, (off_t)(page * PAGE)) == 8);
}

static void *map(int fd, size_t nr_pages, enum fl_file how)
{
	void *at;

	EXPECT(!fl_map_file(fd, 0, nr_pages * PAGE, RW, how, &at));
	return at;
}

static void evict(void *at, size_t nr_pages)
{
	EXPECT(!fl_evict(at, nr_pages * PAGE));
}

static off_t size_of(int fd)
{
	struct stat st;

	EXPECT(!fstat(fd, &st));
	return st.st_size;
}

static void refused(void)
{
	int fd = fresh_file(PAGE), pipes[2];
	char path[64];
	void *at;

	EXPECT(fl_map_file(-1, 0, PAGE, RW, FL_FILE_PRIVATE, &at) == -EBADF);
	EXPECT(fl_map_file(fd, 1, PAGE, RW, FL_FILE_PRIVATE, &at) == -EINVAL);
	EXPECT(fl_map_file(fd, 0, 0, RW, FL_FILE_PRIVATE, &at) == -EINVAL);
	EXPECT(fl_map_file(fd, 0, PAGE, PROT_EXEC, FL_FILE_PRIVATE, &at) == -EINVAL);
	EXPECT(fl_map_file(fd, 0, PAGE, RW, (enum fl_file)7, &at) == -EINVAL);
	EXPECT(fl_map_file(fd, ~0ul - PAGE + 1, PAGE, RW, FL_FILE_SHARED, &at) == -EINVAL);
	EXPECT(!pipe(pipes));
	EXPECT(fl_map_file(pipes[0], 0, PAGE, RW, FL_FILE_PRIVATE, &at) == -ENODEV);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	int reader = open(path, O_RDONLY), writer = open(path, O_WRONLY);
	EXPECT(reader >= 0 && writer >= 0);
	EXPECT(fl_map_file(writer, 0, PAGE, PROT_READ, FL_FILE_PRIVATE, &at) == -EACCES);
	EXPECT(fl_map_file(reader, 0, PAGE, RW, FL_FILE_SHARED, &at) == -EACCES);
	EXPECT(!fl_map_file(reader, 0, PAGE, PROT_READ, FL_FILE_SHARED, &at));
	EXPECT(fl_protect(at, PAGE, RW) == -EACCES);
	EXPECT(*word(at, 0) == said(0) && api_try(at, true) == SIGSEGV);
	EXPECT(!fl_unmap(at, PAGE));
	EXPECT(!fl_map_file(reader, 0, PAGE, RW, FL_FILE_PRIVATE, &at));
	*word(at, 0) = 1;
	EXPECT(!fl_unmap(at, PAGE) && in_file(fd, 0) == said(0));
	EXPECT(fl_sync(at, PAGE) == -ENOMEM && fl_sync(at, 0) == -EINVAL);
	close(pipes[0]), close(pipes[1]), close(reader), close(writer), close(fd);
}

/* Only what is touched is read; clean pages are dropped, and read again. */
static void lazy(void)
{
	int fd = fresh_file(NR_PAGES * PAGE);
	char *at = map(fd, NR_PAGES, FL_FILE_PRIVATE);
	struct fl_stats before = stats(), after;

	close(fd); /* the mapping has its own */
	for (size_t i = 100; i < NR_PAGES; i += 400)
		EXPECT(*word(at, i) == said(i) && *(word(at, i) + 511) == said(i));
	after = stats();
	EXPECT(after.major - before.major == 10);
	EXPECT(after.file_read_bytes - before.file_read_bytes == 10 * PAGE);
	evict(at, NR_PAGES);
	EXPECT(is_under || stats().evict_clean - after.evict_clean == 10);
	for (size_t i = 0; i < NR_PAGES; i++)
		EXPECT(*word(at, i) == said(i));
	/* Windows that were read ahead may be on their way still. */
	for (int try = 0; try < 200; try++) {
		evict(at, NR_PAGES);
		after = stats();
		if (is_under || after.evict_clean - before.evict_clean ==
		                    (after.file_read_bytes - before.file_read_bytes) / PAGE)
			break;
		usleep(10000);
	}
	EXPECT(after.file_read_bytes - before.file_read_bytes >= (NR_PAGES + 10) * PAGE);
	EXPECT(after.evict_clean - before.evict_clean >= NR_PAGES + 10);
	if (!is_under) { /* else the program's other memory takes part */
		/* A few that were read ahead are evicted before their turn. */
		EXPECT(after.file_read_bytes - before.file_read_bytes <= 2 * NR_PAGES * PAGE);
		EXPECT(after.evict_clean - before.evict_clean ==
		       (after.file_read_bytes - before.file_read_bytes) / PAGE);
		EXPECT(after.evict_dirty == before.evict_dirty && after.swap_written_bytes == 0);
	}
	EXPECT(after.major - before.major < NR_PAGES / 4); /* readahead */
	EXPECT(!fl_unmap(at, NR_PAGES * PAGE));
	EXPECT(is_under || stats().touched_bytes == before.touched_bytes);
}

/* Written pages go to swap and leave the file alone; zeros are not mistaken for fresh pages. */
static void private_writes(void)
{
	int fd = fresh_file(NR_PAGES * PAGE);
	char *at = map(fd, NR_PAGES, FL_FILE_PRIVATE);

	for (size_t i = 0; i < NR_PAGES; i += 2)
		*word(at, i) = ~i;
	memset(word(at, 7), 0, PAGE);
	for (int round = 0; round < 2; round++) {
		evict(at, NR_PAGES);
		for (size_t i = 0; i < NR_PAGES; i++)
			EXPECT(*word(at, i) == (i == 7 ? 0 : i % 2 ? said(i) : ~i));
	}
	EXPECT(stats().file_written_bytes == 0);
	for (size_t i = 0; i < NR_PAGES; i++)
		EXPECT(in_file(fd, i) == said(i));
	EXPECT(!fl_unmap(at, NR_PAGES * PAGE));
	close(fd);
}

static void end_of_file(enum fl_file how)
{
	const size_t bytes = 2 * PAGE + 100;
	int fd = fresh_file(bytes);
	char *at = map(fd, 5, how);

	EXPECT(*(word(at, 2) + 11) == said(2));
	for (size_t i = bytes; i < 3 * PAGE; i++)
		EXPECT(at[i] == 0);
	EXPECT(api_try(at + 3 * PAGE + 5, false) == SIGBUS);
	EXPECT(api_last.si_addr == at + 3 * PAGE + 5 && api_last.si_code == BUS_ADRERR);
	EXPECT(api_try(at + 4 * PAGE, true) == SIGBUS);
	EXPECT(api_try(at + 4 * PAGE, true) == SIGBUS);
	at[bytes] = 9; /* in memory only */
	EXPECT(!fl_sync(at, 5 * PAGE));
	evict(at, 5);
	EXPECT(size_of(fd) == (off_t)bytes);
	EXPECT(at[bytes] == (how == FL_FILE_SHARED ? 0 : 9));
	/* The file grows: what was beyond its end can be touched. */
	EXPECT(!ftruncate(fd, 4 * PAGE));
	put_in_file(fd, 3, 77);
	EXPECT(api_try(at + 3 * PAGE, false) == 0 && *word(at, 3) == 77);
	EXPECT(api_try(at + 4 * PAGE, false) == SIGBUS);
	EXPECT(!fl_unmap(at, 5 * PAGE));
	close(fd);
}

static void cut_short(void)
{
	int fd = fresh_file(4 * PAGE);
	char *at = map(fd, 4, FL_FILE_SHARED);

	*word(at, 1) = 5;
	*word(at, 2) = 6;
	EXPECT(!ftruncate(fd, PAGE + 50));
	EXPECT(!fl_sync(at, 4 * PAGE));
	evict(at, 4);
	EXPECT(size_of(fd) == PAGE + 50);
	EXPECT(in_file(fd, 1) == 5 && *word(at, 1) == 5 && *(word(at, 1) + 100) == 0);
	EXPECT(api_try(at + 2 * PAGE, false) == SIGBUS);
	EXPECT(!fl_unmap(at, 4 * PAGE));
	EXPECT(size_of(fd) == PAGE + 50);
	close(fd);
}

static void shared_writes(void)
{
	int fd = fresh_file(8 * PAGE);
	char *at = map(fd, 8, FL_FILE_SHARED);

	*word(at, 0) = 1;
	*word(at, 1) = 2;
	EXPECT(!fl_sync(at, PAGE));
	EXPECT(in_file(fd, 0) == 1 && in_file(fd, 1) == said(1));
	uint64_t written = stats().file_written_bytes;
	EXPECT(!fl_sync(at, PAGE) && stats().file_written_bytes == written); /* it is clean */
	*word(at, 0) = 3; /* and its next write is seen */
	EXPECT(!fl_sync(at, 8 * PAGE));
	EXPECT(in_file(fd, 0) == 3 && in_file(fd, 1) == 2 && in_file(fd, 2) == said(2));
	*word(at, 4) = 4;
	memset(word(at, 5), 0, PAGE);
	evict(at, 8);
	EXPECT(in_file(fd, 4) == 4 && in_file(fd, 5) == 0);
	put_in_file(fd, 4, 44); /* by somebody else; the page is read after it */
	EXPECT(*word(at, 4) == 44);
	*word(at, 6) = 6;
	EXPECT(!fl_unmap(at + 6 * PAGE, PAGE));
	EXPECT(in_file(fd, 6) == 6);
	*word(at, 7) = 7;
	EXPECT(!fl_unmap(at, 8 * PAGE));
	EXPECT(in_file(fd, 7) == 7);
	close(fd);
}

/* The descriptor that the library keeps of @fd's file. */
static int kept_fd(int fd)
{
	struct stat mine, other;
	DIR *d = opendir("/proc/self/fd");
	int found = -1;

	EXPECT(d && !fstat(fd, &mine));
	for (struct dirent *e; (e = readdir(d));) {
		int n = atoi(e->d_name);

		if (n != fd && n != dirfd(d) && !fstat(n, &other) && other.st_ino == mine.st_ino &&
		    other.st_dev == mine.st_dev)
			found = n;
	}
	closedir(d);
	EXPECT(found >= 0);
	return found;
}

/* Reads and writes that fail: the descriptor is made one that cannot, for a while. */
static void errors(void)
{
	int fd = fresh_file(4 * PAGE), null = open("/dev/null", O_WRONLY);
	char *at = map(fd, 4, FL_FILE_SHARED), path[64];
	int kept = kept_fd(fd);

	*word(at, 0) = 1;
	EXPECT(dup3(null, kept, O_CLOEXEC) == kept);
	EXPECT(api_try(at + 2 * PAGE, false) == SIGBUS);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	int reader = open(path, O_RDONLY);
	EXPECT(dup3(reader, kept, O_CLOEXEC) == kept);
	EXPECT(api_try(at + 2 * PAGE, false) == 0 && *word(at, 2) == said(2));
	EXPECT(fl_sync(at, 4 * PAGE) == -EBADF);
	EXPECT(fl_unmap(at, 4 * PAGE) == -EBADF);
	evict(at, 4); /* stays, since it cannot be written */
	EXPECT(*word(at, 0) == 1 && in_file(fd, 0) == said(0));
	EXPECT(dup3(fd, kept, O_CLOEXEC) == kept);
	EXPECT(!fl_sync(at, 4 * PAGE) && in_file(fd, 0) == 1);
	EXPECT(!fl_unmap(at, 4 * PAGE));
	close(fd), close(null), close(reader);
}

struct family {
	char *shared, *own;
	int fd;
};

static int child(void *arg)
{
	struct family *f = arg;

	EXPECT(
	    *word(f->shared, 0) == 100 && *word(f->own, 0) == 200 && *word(f->own, 3) == said(3));
	EXPECT(*word(f->shared, 3) == said(3));
	*word(f->shared, 1) = 101;
	*word(f->own, 1) = 201;
	evict(f->shared, 4);
	evict(f->own, 4);
	EXPECT(*word(f->shared, 1) == 101 && *word(f->own, 1) == 201 && *word(f->own, 0) == 200);
	EXPECT(in_file(f->fd, 1) == 101);
	*word(f->shared, 2) = 102;
	EXPECT(!fl_sync(f->shared, 4 * PAGE));
	return 0;
}

static int child_exits(void *arg)
{
	struct family *f = arg;

	*word(f->shared, 3) = 103;
	exit(0);
}

static void forks(void)
{
	struct family f = {.fd = fresh_file(4 * PAGE)};
	int other = fresh_file(4 * PAGE);

	f.shared = map(f.fd, 4, FL_FILE_SHARED);
	f.own = map(other, 4, FL_FILE_PRIVATE);
	*word(f.shared, 0) = 100;
	*word(f.own, 0) = 200;
	EXPECT(api_in_child(child, &f) == 0);
	EXPECT(in_file(f.fd, 0) == 100 && in_file(f.fd, 1) == 101 && in_file(f.fd, 2) == 102);
	/* The child's writes are in the file; a page of ours that was there before is older. */
	evict(f.shared, 4);
	EXPECT(*word(f.shared, 1) == 101 && *word(f.shared, 2) == 102);
	EXPECT(*word(f.own, 1) == said(1) && *word(f.own, 0) == 200);
	EXPECT(api_in_child(child_exits, &f) == 0);
	EXPECT(in_file(f.fd, 3) == 103);
	for (int i = 0; i < 20; i++) {
		put_in_file(f.fd, 3, 0);
		EXPECT(api_in_child(child_exits, &f) == 0);
		EXPECT(in_file(f.fd, 3) == 103);
	}
	EXPECT(!fl_unmap(f.shared, 4 * PAGE) && !fl_unmap(f.own, 4 * PAGE));
	EXPECT(in_file(f.fd, 3) == 103); /* what the parent had not changed it has not written */
	close(f.fd), close(other);
}

static _Atomic bool is_done;
static void *both;

static void *writer(void *arg)
{
	size_t me = (size_t)arg;

	for (uint64_t round = 1; round <= 4; round++)
		for (size_t i = me; i < NR_PAGES; i += 4) {
			EXPECT(*word(both, i) == (round > 1 ? i * 1000 + round - 1 : said(i)));
			*word(both, i) = i * 1000 + round;
		}
	return NULL;
}

static void *syncer(void *arg)
{
	(void)arg;
	while (!atomic_load(&is_done)) {
		EXPECT(!fl_sync(both, NR_PAGES * PAGE));
		usleep(1000);
	}
	return NULL;
}

/* Four threads write, each every fourth page, to four times RAM; another syncs, this one forks. */
static void together(void)
{
	pthread_t threads[5];
	int fd = fresh_file(NR_PAGES * PAGE);

	both = map(fd, NR_PAGES, FL_FILE_SHARED);
	atomic_store(&is_done, false);
	EXPECT(!pthread_create(&threads[4], NULL, syncer, NULL));
	for (size_t i = 0; i < 4; i++)
		EXPECT(!pthread_create(&threads[i], NULL, writer, (void *)i));
	for (int i = 0; i < 3; i++) {
		pid_t pid = fork();
		int status;

		EXPECT(pid >= 0);
		if (!pid) {
			for (size_t page = 0; page < NR_PAGES; page++)
				EXPECT(*word(both, page) == said(page) ||
				       *word(both, page) - page * 1000 <= 4);
			_exit(0);
		}
		EXPECT(waitpid(pid, &status, 0) == pid && status == 0);
	}
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	atomic_store(&is_done, true);
	pthread_join(threads[4], NULL);
	EXPECT(!fl_unmap(both, NR_PAGES * PAGE));
	for (size_t i = 0; i < NR_PAGES; i++)
		EXPECT(in_file(fd, i) == i * 1000 + 4);
	close(fd);
}

/* Descriptors and entries come back. */
static void many(void)
{
	int fd = fresh_file(2 * PAGE);
	void *at[1023], *more;

	for (int round = 0; round < 2; round++) {
		/* Of a process's usual 1024 descriptors. */
		int nr = 0;

		while (nr < 800 && !fl_map_file(fd, 0, 2 * PAGE, RW, FL_FILE_PRIVATE, &at[nr])) {
			EXPECT(*word(at[nr], 1) == said(1));
			nr++;
		}
		EXPECT(nr == 800);
		EXPECT(!fl_map_file(fd, PAGE, PAGE, RW, FL_FILE_PRIVATE, &more));
		EXPECT(*word(more, 0) == said(1));
		EXPECT(!fl_unmap(more, PAGE));
		while (nr--)
			EXPECT(!fl_unmap(at[nr], 2 * PAGE));
	}
	close(fd);
}

int main(int argc, char **argv)
{
	EXPECT(argc == 3);
	dir = argv[2];
	api_handlers();
	int err = fl_open(&(struct fl_options){.ram_bytes = 4 * MIB, .engine = argv[1]}, NULL, 0);
	EXPECT(!err || err == -EALREADY);
	is_under = err;
	refused();
	lazy();
	private_writes();
	end_of_file(FL_FILE_PRIVATE);
	end_of_file(FL_FILE_SHARED);
	cut_short();
	shared_writes();
	if (!is_under) /* there the library's descriptors cannot be replaced */
		errors();
	forks();
	together();
	many();
	return 0;
}
