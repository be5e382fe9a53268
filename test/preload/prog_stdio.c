// SPDX-License-Identifier: MIT
/* stdio, whose own reads and writes between files and managed memory need no trap. */
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

#include "prog.h"

#define BYTES (1u << 20)

static char *in, *out;

/* In libc's table of what it does to files (lib/preload/wrap_stdio.c) are functions of ours. */
static void test_taken(void)
{
	void **table = *(void ***)(stdout + 1);
	const char *preloaded = getenv("LD_PRELOAD");
	Dl_info info;

	if (!preloaded || !strstr(preloaded, "faultline"))
		return;
	for (int at = 14; at <= 15; at++)
		CHECK(dladdr(table[at], &info) && strstr(info.dli_fname, "faultline"));
}

static FILE *scratch(void)
{
	FILE *f = tmpfile();

	CHECK(f && !setvbuf(f, managed_pages(65536), _IOFBF, 4096));
	return f;
}

static void test_transfer(void)
{
	static const size_t piece[] = {1, 100, 1000, 4096, 5000, 70000, 3};
	FILE *f = scratch();
	size_t done = 0, n;

	for (int i = 0; done < BYTES; done += n, i++) {
		n = piece[i % 7] < BYTES - done ? piece[i % 7] : BYTES - done;
		CHECK(fwrite(in + done, 1, n, f) == n);
		CHECK(ftello(f) == (off_t)(done + n));
	}
	CHECK(!fflush(f) && lseek(fileno(f), 0, SEEK_CUR) == BYTES);
	rewind(f);
	memset(out, 0, BYTES);
	for (done = 0; done < BYTES; done += n) {
		n = fread(out + done, 1, piece[done % 7], f);
		CHECK(n && ftello(f) == (off_t)(done + n));
	}
	CHECK(!memcmp(in, out, BYTES) && fgetc(f) == EOF && feof(f) && !ferror(f));
	/* Between reading and writing, and back. */
	CHECK(!fseeko(f, 5000, SEEK_SET) && fgetc(f) == (unsigned char)in[5000]);
	CHECK(!fseeko(f, 0, SEEK_CUR) && fputc(77, f) == 77 && !fseeko(f, 5001, SEEK_SET));
	CHECK(fgetc(f) == 77 && fgetc(f) == (unsigned char)in[5002]);
	CHECK(!fclose(f));
}

static void test_append(void)
{
	char name[] = "/tmp/prog-stdio.XXXXXX";
	int fd = mkstemp(name);
	FILE *f = fopen(name, "a+c"); /* "c": its calls are no cancellation points */

	CHECK(fd >= 0 && f && !unlink(name) && !setvbuf(f, managed_pages(65536), _IOFBF, 8192));
	CHECK(fwrite(in, 1, 10000, f) == 10000 && ftello(f) == 10000);
	CHECK(write(fd, "0123456789", 10) == 10 && !fflush(f)); /* over the first ten */
	CHECK(fputs("end", f) >= 0 && !fflush(f) && ftello(f) == lseek(fd, 0, SEEK_END));
	rewind(f);
	CHECK(fread(out, 1, BYTES, f) == 10003 && !memcmp(out, "0123456789", 10));
	CHECK(!memcmp(out + 10, in + 10, 9990) && !memcmp(out + 10000, "end", 3));
	CHECK(!close(fd) && !fclose(f));
}

static void test_errors(void)
{
	FILE *full = fopen("/dev/full", "w"), *closed = scratch();

	CHECK(full && !setvbuf(full, managed_pages(65536), _IOFBF, 4096));
	CHECK(fwrite(in, 1, 10000, full) < 10000 && errno == ENOSPC && ferror(full));
	clearerr(full);
	CHECK(fputc('x', full) == 'x' && fflush(full) == EOF && errno == ENOSPC && ferror(full));
	fclose(full);
	CHECK(!close(fileno(closed)));
	CHECK(fgetc(closed) == EOF && errno == EBADF && ferror(closed) && !feof(closed));
	fclose(closed);
}

/* What does not go into a pipe at once is written by several calls. */
static void *drain(void *arg)
{
	size_t done = 0;
	ssize_t n;

	while ((n = read(*(int *)arg, out + done, BYTES - done)) > 0)
		done += (size_t)n;
	CHECK(done == BYTES);
	return NULL;
}

static void test_pipe(void)
{
	pthread_t reader;
	int p[2];

	CHECK(!pipe(p) && !pthread_create(&reader, NULL, drain, &p[0]));
	FILE *f = fdopen(p[1], "w");
	CHECK(f && fwrite(in, 1, BYTES, f) == BYTES && !fclose(f));
	CHECK(!pthread_join(reader, NULL) && !memcmp(in, out, BYTES));
	close(p[0]);
}

static void *wait_for_line(void *f)
{
	fgetc(f);
	return NULL;
}

static void test_cancel(void)
{
	pthread_t reader;
	void *result;
	int p[2];

	CHECK(!pipe(p));
	FILE *f = fdopen(p[0], "r");
	CHECK(f && !setvbuf(f, managed_pages(65536), _IOFBF, 4096));
	CHECK(!pthread_create(&reader, NULL, wait_for_line, f) && !usleep(20000));
	CHECK(!pthread_cancel(reader) && !pthread_join(reader, &result));
	CHECK(result == PTHREAD_CANCELED);
	/* The stream's lock was given back, and nothing of it is gone. */
	CHECK(write(p[1], "x", 1) == 1 && fgetc(f) == 'x');
	fclose(f), close(p[1]);
}

int main(void)
{
	in = managed_pages(BYTES), out = managed_pages(BYTES);
	fill_random(in, BYTES, 1);
	test_taken();
	test_transfer();
	test_append();
	test_errors();
	test_pipe();
	test_cancel();
	puts("ok");
	return 0;
}
