// SPDX-License-Identifier: MIT
/*
 * Asynchronous work on managed memory: libc's own threads (POSIX aio, timers, message queues and
 * name look-ups that notify by thread), and then io_uring and libaio, which the guard cannot see.
 */
#include "prog.h"

#include <aio.h>
#include <fcntl.h>
#include <liburing.h>
#include <linux/aio_abi.h>
#include <mqueue.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define NR_PIECES   16u
#define PIECE_BYTES (64u << 10)
#define FILE_BYTES  (NR_PIECES * PIECE_BYTES)
#define NR_ROUNDS   4u

static unsigned char *reference; /* what the file contains */
static volatile unsigned char *pressure;
static int file;

/* Touch enough other memory for what is used below to be taken away. */
static void press(void)
{
	for (size_t i = 0; i < (2u << 20); i += 4096)
		pressure[i]++;
}

static void make_file(void)
{
	char path[] = "/tmp/prog_async.XXXXXX";

	reference = managed_pages(FILE_BYTES);
	pressure = managed_pages(2u << 20);
	fill_random(reference, FILE_BYTES, 3);
	file = mkstemp(path);
	CHECK(file >= 0 && !unlink(path));
	CHECK(write(file, reference, FILE_BYTES) == (ssize_t)FILE_BYTES);
}

/* --- libc's own threads --------------------------------------------------------------------- */

static volatile int nr_notified;

static void on_notify(union sigval value)
{
	unsigned char *byte = value.sival_ptr;

	++*byte; /* a fault in a thread that libc made */
	__atomic_add_fetch(&nr_notified, 1, __ATOMIC_SEQ_CST);
}

static struct sigevent *by_thread(void *byte)
{
	struct sigevent *event = managed(sizeof(*event));

	memset(event, 0, sizeof(*event));
	event->sigev_notify = SIGEV_THREAD;
	event->sigev_notify_function = on_notify;
	event->sigev_value.sival_ptr = byte;
	return event;
}

static void wait_for(int nr)
{
	for (int i = 0; nr_notified < nr && i < 2000; i++)
		usleep(10000);
	CHECK(nr_notified >= nr);
}

static void aio_wait(struct aiocb *cb)
{
	const struct aiocb *const *list = managed_copy(&cb, sizeof(cb));

	while (aio_error(cb) == EINPROGRESS)
		aio_suspend(list, 1, NULL);
}

static struct aiocb *control_block(unsigned piece, void *buf)
{
	struct aiocb *cb = managed(sizeof(*cb));

	*cb = (struct aiocb){.aio_fildes = file,
	    .aio_buf = buf,
	    .aio_nbytes = PIECE_BYTES,
	    .aio_offset = piece * PIECE_BYTES};
	return cb;
}

static void test_posix_aio(void)
{
	unsigned char *mem = managed_pages(FILE_BYTES);
	struct aiocb *cb[NR_PIECES];

	for (unsigned i = 0; i < NR_PIECES; i++) {
		cb[i] = control_block(i, mem + i * PIECE_BYTES);
		CHECK(!aio_read(cb[i]));
		press();
	}
	for (unsigned i = 0; i < NR_PIECES; i++) {
		aio_wait(cb[i]);
		CHECK(aio_return(cb[i]) == PIECE_BYTES);
	}
	CHECK(!memcmp(mem, reference, FILE_BYTES));
	press();
	for (unsigned i = 0; i < NR_PIECES; i++)
		cb[i]->aio_lio_opcode = LIO_WRITE;
	CHECK(!lio_listio(LIO_WAIT, managed_copy(cb, sizeof(cb)), NR_PIECES, NULL));
	for (unsigned i = 0; i < NR_PIECES; i++)
		CHECK(aio_return(cb[i]) == PIECE_BYTES);
}

/* Its attributes need not outlive the call. */
static void make_timer(unsigned char *byte, timer_t *timer)
{
	struct sigevent *event = by_thread(byte);
	pthread_attr_t attr;

	CHECK(!pthread_attr_init(&attr) && !pthread_attr_setstacksize(&attr, 256 << 10));
	event->sigev_notify_attributes = &attr;
	CHECK(!timer_create(CLOCK_MONOTONIC, event, timer));
	CHECK(!pthread_attr_destroy(&attr));
	memset(&attr, 0xff, sizeof(attr));
	__asm__ volatile("" ::"r"(&attr) : "memory");
}

static void test_timer(void)
{
	unsigned char *byte = managed(1);
	struct itimerspec when = {.it_value.tv_nsec = 1000000, .it_interval.tv_nsec = 1000000};
	timer_t *timer = managed(sizeof(*timer));

	*byte = 0;
	nr_notified = 0;
	make_timer(byte, timer);
	CHECK(!timer_settime(*timer, 0, managed_copy(&when, sizeof(when)), NULL));
	for (int i = 0; i < 20; i++) {
		press();
		usleep(1000);
	}
	wait_for(5);
	CHECK(!timer_delete(*timer));
	usleep(20000); /* threads that it has made already */
}

static void test_message_queue(void)
{
	struct mq_attr attr = {.mq_maxmsg = 4, .mq_msgsize = 100};
	unsigned char *byte = managed(1);
	char name[40];

	*byte = 0;
	nr_notified = 0;
	snprintf(name, sizeof(name), "/prog-async-%d", getpid());
	mqd_t queue = mq_open(managed_string(name), O_CREAT | O_RDWR, 0600, &attr);
	if (queue < 0)
		return; /* no such file system here */
	mq_unlink(name);
	CHECK(!mq_notify(queue, by_thread(byte)));
	press();
	CHECK(!mq_send(queue, managed_string("text"), 5, 0));
	wait_for(1);
	CHECK(*byte == 1);
	mq_close(queue);
}

static void test_look_up(void)
{
	struct gaicb *one = managed(sizeof(*one));
	struct gaicb **list = managed_copy(&one, sizeof(one));

	*one = (struct gaicb){.ar_name = managed_string("127.0.0.1")};
	press();
	int err = getaddrinfo_a(GAI_WAIT, list, 1, NULL);
	CHECK(err == 0 && gai_error(one) == 0);
	freeaddrinfo(one->ar_result);
}

/* --- behind the guard's back ---------------------------------------------------------------- */

static void test_uring(void)
{
	struct io_uring *ring = managed(sizeof(*ring));
	struct io_uring_cqe *cqe;

	int err = io_uring_queue_init(NR_PIECES, ring, 0);
	if (err == -ENOSYS || err == -EPERM)
		return; /* not to be had here */
	CHECK(!err);
	for (unsigned round = 0; round < NR_ROUNDS; round++) {
		unsigned char *mem = managed_pages(FILE_BYTES);

		for (unsigned i = 0; i < NR_PIECES; i++)
			io_uring_prep_read(io_uring_get_sqe(ring), file, mem + i * PIECE_BYTES,
			    PIECE_BYTES, i * PIECE_BYTES);
		CHECK(io_uring_submit(ring) == NR_PIECES);
		press();
		for (unsigned i = 0; i < NR_PIECES; i++) {
			do
				err = io_uring_wait_cqe(ring, &cqe);
			while (err == -EINTR);
			CHECK(!err && cqe->res == (int)PIECE_BYTES);
			io_uring_cqe_seen(ring, cqe);
		}
		CHECK(!memcmp(mem, reference, FILE_BYTES));
	}
	io_uring_queue_exit(ring);
}

static void aio_round(aio_context_t context)
{
	unsigned char *mem = managed_pages(FILE_BYTES);
	struct io_event *events = managed(NR_PIECES * sizeof(*events));
	struct iocb *cb = managed(NR_PIECES * sizeof(*cb));
	struct iocb **list = managed(NR_PIECES * sizeof(*list));
	long nr = 0;

	for (unsigned i = 0; i < NR_PIECES; i++) {
		cb[i] = (struct iocb){.aio_fildes = (unsigned)file,
		    .aio_lio_opcode = IOCB_CMD_PREAD,
		    .aio_buf = (uintptr_t)mem + i * PIECE_BYTES,
		    .aio_nbytes = PIECE_BYTES,
		    .aio_offset = i * PIECE_BYTES};
		list[i] = &cb[i];
	}
	CHECK(syscall(SYS_io_submit, context, NR_PIECES, list) == NR_PIECES);
	press();
	while (nr < (long)NR_PIECES) {
		long n = syscall(SYS_io_getevents, context, 1, NR_PIECES - nr, events + nr, NULL);

		CHECK(n > 0);
		nr += n;
	}
	for (unsigned i = 0; i < NR_PIECES; i++)
		CHECK(events[i].res == PIECE_BYTES);
	CHECK(!memcmp(mem, reference, FILE_BYTES));
}

static void test_libaio(void)
{
	aio_context_t context = 0;

	if (syscall(SYS_io_setup, NR_PIECES, &context) && errno == ENOSYS)
		return;
	CHECK(context);
	for (unsigned round = 0; round < NR_ROUNDS; round++)
		aio_round(context);
	CHECK(!syscall(SYS_io_destroy, context));
}

/* A child of such a process goes on as before: it has inherited the decision. */
static void test_fork(void)
{
	pid_t pid = fork();
	int status;

	if (!pid) {
		press();
		_exit(memcmp(managed_copy(reference, FILE_BYTES), reference, FILE_BYTES) != 0);
	}
	CHECK(waitpid(pid, &status, 0) == pid && status == 0);
	CHECK(memcmp(managed_copy(reference, FILE_BYTES), reference, FILE_BYTES) == 0);
}

int main(int argc, char **argv)
{
	const char *only = argc > 1 ? argv[1] : "";

	make_file();
	if (!*only) {
		test_posix_aio();
		test_timer();
		test_message_queue();
		test_look_up();
		press();
	}
	if (strcmp(only, "libaio"))
		test_uring();
	if (strcmp(only, "io_uring"))
		test_libaio();
	test_fork();
	return 0;
}
