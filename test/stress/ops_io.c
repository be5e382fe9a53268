// SPDX-License-Identifier: MIT
/*
 * System calls that read and write pages: one that meets a missing page must not fail, fall short
 * or lose anything; one that meets a forbidden page must fail as ever. And touches of such pages.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "stress.h"

#define MAX_RUN   48u /* pages of one call: beyond what is copied by the way */
#define MAX_PARTS 4u

static int file_of(struct worker *w)
{
	if (w->file < 0)
		w->file = memfd_create("stress", MFD_CLOEXEC);
	if (w->file < 0)
		die("memfd_create");
	return w->file;
}

/* Put into the file what is to be read into the pages: their next versions. */
static void put_next(struct worker *w, struct area *a, struct run r)
{
	uint64_t copy[PAGE_WORDS];
	for (uint32_t i = 0; i < r.nr; i++) {
		uint32_t p = r.first + i;
		page_fill(copy, id_of(w, a, p), a->version[p] + 1);
		if (pwrite(file_of(w), copy, PAGE_BYTES, (off_t)i * PAGE_BYTES) != PAGE_BYTES)
			die("pwrite from the stack");
	}
}

static void check_file(struct worker *w, struct area *a, struct run r, int fd)
{
	_Alignas(PAGE_BYTES) uint64_t copy[PAGE_WORDS];
	for (uint32_t i = 0; i < r.nr; i++) {
		uint32_t p = r.first + i;
		if (pread(fd, copy, PAGE_BYTES, (off_t)i * PAGE_BYTES) != PAGE_BYTES)
			die("pread to the stack");
		page_verify(copy, id_of(w, a, p), a->version[p], "as written to a file");
	}
}

static bool choose(
    struct worker *w, struct area *a, uint32_t most, enum access least, struct run *r)
{
	*r = random_run(w, a);
	if (r->nr > most)
		r->nr = most;
	return run_cut(a, r, least);
}

static void has_new(struct worker *w, struct area *a, struct run r, const char *when)
{
	for (uint32_t p = r.first; p < r.first + r.nr; p++)
		a->version[p]++;
	run_check(w, a, r, when);
}

static bool read_in(struct worker *w, struct area *a, uint32_t most)
{
	struct run r;
	if (!choose(w, a, most, ACCESS_WRITE, &r))
		return false;
	put_next(w, a, r);
	ssize_t bytes = (ssize_t)r.nr * PAGE_BYTES;
	if (pread(file_of(w), page_at(a, r.first), (size_t)bytes, 0) != bytes)
		die("pread into pages");
	has_new(w, a, r, "after pread");
	return true;
}

static bool write_out(struct worker *w, struct area *a, uint32_t most)
{
	struct run r;
	if (!choose(w, a, most, ACCESS_READ, &r))
		return false;
	ssize_t bytes = (ssize_t)r.nr * PAGE_BYTES;
	if (pwrite(file_of(w), page_at(a, r.first), (size_t)bytes, 0) != bytes)
		die("pwrite from pages");
	check_file(w, a, r, file_of(w));
	return true;
}

bool op_read_in(struct worker *w, struct area *a)
{
	return read_in(w, a, 1);
}

bool op_write_out(struct worker *w, struct area *a)
{
	return write_out(w, a, 1);
}

bool op_read_run(struct worker *w, struct area *a)
{
	return read_in(w, a, MAX_RUN);
}

bool op_write_run(struct worker *w, struct area *a)
{
	return write_out(w, a, MAX_RUN);
}

static uint32_t parts_of(struct area *a, struct run r, struct iovec *iov)
{
	uint32_t nr = 0;
	for (uint32_t p = r.first + r.nr; p-- > r.first;)
		iov[nr++] = (struct iovec){page_at(a, p), PAGE_BYTES};
	return nr;
}

/* There and back through the file, in parts, in reverse. */
bool op_readv(struct worker *w, struct area *a)
{
	struct iovec iov[MAX_PARTS];
	struct run r;
	if (!choose(w, a, MAX_PARTS, ACCESS_WRITE, &r))
		return false;
	int nr = (int)parts_of(a, r, iov);
	ssize_t bytes = (ssize_t)r.nr * PAGE_BYTES;
	if (pwritev(file_of(w), iov, nr, 0) != bytes)
		die("pwritev");
	if (random_below(&w->rng, 2) == 0)
		for (int i = 0; i < nr; i++)
			memset(iov[i].iov_base, 0x5a, PAGE_BYTES);
	if (preadv(file_of(w), iov, nr, 0) != bytes)
		die("preadv");
	run_check(w, a, r, "after pwritev and preadv");
	return true;
}

bool op_message(struct worker *w, struct area *a)
{
	struct iovec iov[MAX_PARTS];
	struct run r;
	int fds[2];
	if (!choose(w, a, MAX_PARTS, ACCESS_WRITE, &r))
		return false;
	struct msghdr m = {.msg_iov = iov, .msg_iovlen = parts_of(a, r, iov)};
	ssize_t bytes = (ssize_t)r.nr * PAGE_BYTES;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) != 0)
		die("socketpair");
	if (sendmsg(fds[0], &m, 0) != bytes)
		die("sendmsg");
	if (madvise(page_at(a, r.first), (size_t)bytes, MADV_PAGEOUT) != 0 && errno != EINVAL)
		die("madvise PAGEOUT before recvmsg");
	if (recvmsg(fds[1], &m, 0) != bytes)
		die("recvmsg");
	close(fds[0]);
	close(fds[1]);
	run_check(w, a, r, "after sendmsg and recvmsg");
	return true;
}

bool op_pipe(struct worker *w, struct area *a)
{
	struct run r;
	int fds[2];
	if (!choose(w, a, 1, ACCESS_WRITE, &r))
		return false;
	if (pipe2(fds, O_CLOEXEC) != 0)
		die("pipe2");
	if (write(fds[1], page_at(a, r.first), PAGE_BYTES) != PAGE_BYTES)
		die("write to a pipe");
	memset(page_at(a, r.first), 0xa5, PAGE_BYTES);
	if (read(fds[0], page_at(a, r.first), PAGE_BYTES) != PAGE_BYTES)
		die("read from a pipe");
	close(fds[0]);
	close(fds[1]);
	run_check(w, a, r, "after a pipe");
	return true;
}

/* The device itself reads and writes the pages, where the file system allows it. */
bool op_direct(struct worker *w, struct area *a)
{
	struct run r;
	if (w->disk < 0)
		w->disk = open(opt.dir, O_TMPFILE | O_RDWR | O_DIRECT | O_CLOEXEC, 0600);
	if (w->disk < 0 || !choose(w, a, MAX_RUN, ACCESS_WRITE, &r))
		return w->disk < 0; /* not here: nothing to be missed */
	ssize_t bytes = (ssize_t)r.nr * PAGE_BYTES;
	if (pwrite(w->disk, page_at(a, r.first), (size_t)bytes, 0) != bytes)
		die("pwrite with O_DIRECT");
	check_file(w, a, r, w->disk);
	if (random_below(&w->rng, 2) == 0)
		memset(page_at(a, r.first), 0x33, (size_t)bytes);
	if (pread(w->disk, page_at(a, r.first), (size_t)bytes, 0) != bytes)
		die("pread with O_DIRECT");
	run_check(w, a, r, "after O_DIRECT");
	return true;
}

bool op_efault(struct worker *w, struct area *a)
{
	uint32_t p = random_page(w, a);
	if (a->version[p] == VERSION_NONE || a->access[p] == ACCESS_WRITE)
		return false;
	if (pwrite(file_of(w), workers, PAGE_BYTES, 0) != PAGE_BYTES)
		die("pwrite from .bss");
	if (pread(file_of(w), page_at(a, p), PAGE_BYTES, 0) != -1 || errno != EFAULT)
		wrong(page_at(a, p), "pread wrote into a page that is not writable");
	if (a->access[p] == ACCESS_NONE &&
	    (pwrite(file_of(w), page_at(a, p), PAGE_BYTES, 0) != -1 || errno != EFAULT))
		wrong(page_at(a, p), "pwrite read a page that is not readable");
	page_check(w, a, p, "after EFAULT");
	return true;
}

static _Thread_local sigjmp_buf after_fault;
static _Thread_local volatile uintptr_t fault_expected, fault_found;

static void on_fault(int number, siginfo_t *info, void *context)
{
	(void)context;
	if (fault_expected == 0) {
		signal(number, SIG_DFL); /* and so dies of it, again */
		return;
	}
	fault_found = info->si_code == SEGV_ACCERR ? (uintptr_t)info->si_addr : 1;
	siglongjmp(after_fault, 1);
}

/* A touch that is forbidden is a SIGSEGV, with the address, and changes nothing. */
bool op_touch_forbidden(struct worker *w, struct area *a)
{
	struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
	uint32_t p = random_page(w, a);
	volatile uint64_t *word = page_at(a, p) + random_below(&w->rng, PAGE_WORDS);
	if (a->version[p] == VERSION_NONE || a->access[p] == ACCESS_WRITE)
		return false;
	if (sigaction(SIGSEGV, &action, NULL) != 0)
		die("sigaction");
	fault_found = 0;
	fault_expected = (uintptr_t)word;
	if (sigsetjmp(after_fault, 1) == 0) {
		if (a->access[p] == ACCESS_READ || random_below(&w->rng, 2) == 0)
			*word = 1;
		else
			(void)*word;
	}
	if (fault_found != fault_expected)
		wrong((const void *)word, "touched, and no SIGSEGV, or not the right one");
	fault_expected = 0;
	page_check(w, a, p, "after SIGSEGV");
	return true;
}
