// SPDX-License-Identifier: MIT
/*
 * Interrupted system calls: for each blocking one, what it returns to a handler with and without
 * SA_RESTART, whether a timer and a Ctrl-C get through, and which signals a mask of the call's own
 * keeps out. The program prints what it saw, and no times: test/preload/run holds what it prints
 * under a pager against what it prints plain.
 */
#include "prog.h"

#include <fcntl.h>
#include <linux/futex.h>
#include <mqueue.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define BIG_BYTES ((size_t)300 << 10)

static pthread_t main_thread;
static volatile sig_atomic_t nr_handled;
static char *buffer; /* BIG_BYTES */
static int fds[2], listener, queue, sem_id;
static pid_t child;

static void on_signal(int sig)
{
	(void)sig;
	nr_handled++;
}

static void set(int sig, int flags)
{
	struct sigaction act = {.sa_handler = on_signal, .sa_flags = flags};

	CHECK(sigaction(sig, &act, NULL) == 0);
}

/* --- what blocks ---------------------------------------------------------------------------- */

static void fill_pipe(void)
{
	CHECK(fcntl(fds[1], F_SETFL, O_NONBLOCK) == 0);
	while (write(fds[1], buffer, 4096) > 0)
		;
	CHECK(errno == EAGAIN && fcntl(fds[1], F_SETFL, 0) == 0);
}

static long do_read(void)
{
	return read(fds[0], buffer, 100);
}

static long do_read_big(void)
{
	return read(fds[0], buffer, BIG_BYTES);
}

static long do_readv(void)
{
	struct iovec v[2] = {{buffer, 50}, {buffer + 5000, 50}};

	return readv(fds[0], v, 2);
}

static long do_write(void)
{
	fill_pipe();
	return write(fds[1], buffer, 100);
}

/* Part of it goes out before it blocks: that is what is reported. */
static long do_write_part(void)
{
	return write(fds[1], buffer, BIG_BYTES);
}

static long do_recv(void)
{
	return recv(fds[0], buffer, 100, 0);
}

static long do_recv_all(void)
{
	CHECK(write(fds[1], "some", 4) == 4);
	return recv(fds[0], buffer, 100, MSG_WAITALL);
}

static long do_recvfrom(void)
{
	socklen_t *len = managed(sizeof(*len));

	*len = 100;
	return recvfrom(fds[0], buffer, 100, 0, (struct sockaddr *)(buffer + 8192), len);
}

static long do_recvmsg(void)
{
	struct iovec v = {buffer, 100};
	struct msghdr *m = managed(sizeof(*m));

	*m = (struct msghdr){.msg_iov = &v, .msg_iovlen = 1};
	return recvmsg(fds[0], m, 0);
}

static long do_send(void)
{
	CHECK(fcntl(fds[1], F_SETFL, O_NONBLOCK) == 0);
	while (send(fds[1], buffer, 4096, 0) > 0)
		;
	CHECK(errno == EAGAIN && fcntl(fds[1], F_SETFL, 0) == 0);
	return send(fds[1], buffer, 100, 0);
}

static long do_recv_timeout(void)
{
	struct timeval *tv = managed(sizeof(*tv));

	*tv = (struct timeval){.tv_sec = 100};
	CHECK(setsockopt(fds[0], SOL_SOCKET, SO_RCVTIMEO, tv, sizeof(*tv)) == 0);
	return recv(fds[0], buffer, 100, 0);
}

static long do_accept(void)
{
	socklen_t *len = managed(sizeof(*len));

	*len = sizeof(struct sockaddr_in);
	return accept(listener, (struct sockaddr *)buffer, len);
}

static long do_poll(void)
{
	struct pollfd *p = managed(sizeof(*p));

	*p = (struct pollfd){.fd = fds[0], .events = POLLIN};
	return poll(p, 1, 100000);
}

static long do_ppoll(void)
{
	struct pollfd *p = managed(sizeof(*p));
	struct timespec *ts = managed(sizeof(*ts));
	sigset_t *none = managed(sizeof(*none));

	sigemptyset(none);
	*ts = (struct timespec){100, 0};
	*p = (struct pollfd){.fd = fds[0], .events = POLLIN};
	return ppoll(p, 1, ts, none);
}

static long do_select(void)
{
	fd_set *r = managed(sizeof(*r));
	struct timeval *tv = managed(sizeof(*tv));

	*tv = (struct timeval){.tv_sec = 100};
	FD_ZERO(r);
	FD_SET(fds[0], r);
	return select(fds[0] + 1, r, NULL, NULL, tv);
}

static long do_epoll_wait(void)
{
	struct epoll_event *e = managed(4 * sizeof(*e));
	int ep = epoll_create1(0);

	*e = (struct epoll_event){.events = EPOLLIN};
	CHECK(epoll_ctl(ep, EPOLL_CTL_ADD, fds[0], e) == 0);
	long result = epoll_wait(ep, e, 4, 100000);
	int saved = errno;
	close(ep);
	errno = saved;
	return result;
}

static long do_nanosleep(void)
{
	struct timespec *ts = managed(sizeof(*ts)), *rest = managed(sizeof(*rest));

	*ts = (struct timespec){100, 0};
	*rest = (struct timespec){-1, -1};
	long result = nanosleep(ts, rest);
	CHECK(rest->tv_sec <= 99 && rest->tv_sec > 50);
	return result;
}

static long do_clock_nanosleep(void)
{
	struct timespec *ts = managed(sizeof(*ts));

	clock_gettime(CLOCK_MONOTONIC, ts);
	ts->tv_sec += 100;
	int err = clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, ts, NULL);
	errno = err;
	return err ? -1 : 0;
}

static long do_futex(void)
{
	int *word = managed(sizeof(*word));
	struct timespec *ts = managed(sizeof(*ts));

	*word = 7;
	*ts = (struct timespec){100, 0};
	return syscall(SYS_futex, word, FUTEX_WAIT, 7, ts, NULL, 0);
}

static long do_sem_wait(void)
{
	sem_t *sem = managed(sizeof(*sem));

	CHECK(sem_init(sem, 0, 0) == 0);
	return sem_wait(sem);
}

static long do_sem_timedwait(void)
{
	sem_t *sem = managed(sizeof(*sem));
	struct timespec *ts = managed(sizeof(*ts));

	CHECK(sem_init(sem, 0, 0) == 0);
	clock_gettime(CLOCK_REALTIME, ts);
	ts->tv_sec += 100;
	return sem_timedwait(sem, ts);
}

static long do_wait4(void)
{
	int *status = managed(sizeof(*status));
	struct rusage *usage = managed(256);

	return wait4(child, status, 0, usage);
}

static long do_waitid(void)
{
	return waitid(P_PID, (id_t)child, managed(sizeof(siginfo_t)), WEXITED);
}

static long do_msgrcv(void)
{
	return msgrcv(queue, buffer, 1000, 0, 0);
}

static long do_semop(void)
{
	struct sembuf *op = managed(sizeof(*op));

	*op = (struct sembuf){.sem_op = -1};
	return semop(sem_id, op, 1);
}

static long do_sigtimedwait(void)
{
	sigset_t *mask = managed(sizeof(*mask));
	struct timespec *ts = managed(sizeof(*ts));

	sigemptyset(mask), sigaddset(mask, SIGUSR2);
	*ts = (struct timespec){100, 0};
	return sigtimedwait(mask, managed(sizeof(siginfo_t)), ts);
}

static long do_sigsuspend(void)
{
	sigset_t *mask = managed(sizeof(*mask));

	sigemptyset(mask);
	return sigsuspend(mask);
}

static long do_open_fifo(void)
{
	char *path = managed_string("/tmp/prog_eintr.XXXXXX");

	CHECK(mkdtemp(path) && strlen(path) < 64);
	char *fifo = managed(100);
	sprintf(fifo, "%s/fifo", path);
	CHECK(mkfifo(fifo, 0600) == 0);
	long result = open(fifo, O_RDONLY);
	int saved = errno;
	/* Opened after a restart: for both ways, see the helper of run_one(). */
	if (result >= 0)
		close((int)result), result = 0;
	unlink(fifo), rmdir(path);
	errno = saved;
	return result;
}

static long do_lock(void)
{
	struct flock *lock = managed(sizeof(*lock));

	*lock = (struct flock){.l_type = F_WRLCK, .l_whence = SEEK_SET};
	return fcntl(fds[0], F_SETLKW, lock);
}

static long do_mq_receive(void)
{
	struct mq_attr *attr = managed(sizeof(*attr));
	char *name = managed(64);

	sprintf(name, "/prog_eintr.%d", getpid());
	*attr = (struct mq_attr){.mq_maxmsg = 2, .mq_msgsize = 100};
	mqd_t q = mq_open(name, O_RDWR | O_CREAT, 0600, attr);
	if (q < 0) { /* no such queues here */
		errno = EINTR;
		return -1;
	}
	mq_unlink(name);
	long result = mq_receive(q, buffer, 100, NULL);
	int saved = errno;
	mq_close(q);
	errno = saved;
	return result;
}

enum setup {
	SETUP_PIPE,
	SETUP_SOCKETS,
	SETUP_DATAGRAMS,
	SETUP_FILE,
};

static const struct {
	const char *name;
	long (*call)(void);
	enum setup setup;
} calls[] = {
    {"read", do_read, SETUP_PIPE},
    {"read large", do_read_big, SETUP_PIPE},
    {"readv", do_readv, SETUP_PIPE},
    {"write", do_write, SETUP_PIPE},
    {"write in part", do_write_part, SETUP_PIPE},
    {"recv", do_recv, SETUP_SOCKETS},
    {"recv MSG_WAITALL", do_recv_all, SETUP_SOCKETS},
    {"recvfrom", do_recvfrom, SETUP_DATAGRAMS},
    {"recvmsg", do_recvmsg, SETUP_SOCKETS},
    {"send", do_send, SETUP_SOCKETS},
    {"recv SO_RCVTIMEO", do_recv_timeout, SETUP_SOCKETS},
    {"accept", do_accept, SETUP_PIPE},
    {"poll", do_poll, SETUP_PIPE},
    {"ppoll", do_ppoll, SETUP_PIPE},
    {"select", do_select, SETUP_PIPE},
    {"epoll_wait", do_epoll_wait, SETUP_PIPE},
    {"nanosleep", do_nanosleep, SETUP_PIPE},
    {"clock_nanosleep", do_clock_nanosleep, SETUP_PIPE},
    {"futex", do_futex, SETUP_PIPE},
    {"sem_wait", do_sem_wait, SETUP_PIPE},
    {"sem_timedwait", do_sem_timedwait, SETUP_PIPE},
    {"wait4", do_wait4, SETUP_PIPE},
    {"waitid", do_waitid, SETUP_PIPE},
    {"msgrcv", do_msgrcv, SETUP_PIPE},
    {"semop", do_semop, SETUP_PIPE},
    {"sigtimedwait", do_sigtimedwait, SETUP_PIPE},
    {"sigsuspend", do_sigsuspend, SETUP_PIPE},
    {"open of a FIFO", do_open_fifo, SETUP_PIPE},
    {"fcntl F_SETLKW", do_lock, SETUP_FILE},
    {"mq_receive", do_mq_receive, SETUP_PIPE},
};

static void open_lock_file(void)
{
	char path[] = "/tmp/prog_eintr.XXXXXX";
	int ready[2];
	char byte;

	fds[0] = mkstemp(path);
	CHECK(fds[0] >= 0 && unlink(path) == 0 && pipe(ready) == 0);
	fds[1] = dup(fds[0]);
	kill(child, SIGKILL), waitpid(child, NULL, 0);
	child = fork();
	if (!child) {
		struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

		CHECK(fcntl(fds[0], F_SETLKW, &lock) == 0 && write(ready[1], "x", 1) == 1);
		for (;;)
			pause();
	}
	CHECK(read(ready[0], &byte, 1) == 1);
	close(ready[0]), close(ready[1]);
}

static void set_up(enum setup setup)
{
	child = fork();
	if (!child)
		for (;;)
			pause();
	CHECK(child > 0);
	switch (setup) {
	case SETUP_PIPE:
		CHECK(pipe(fds) == 0);
		break;
	case SETUP_FILE:
		open_lock_file();
		break;
	default:
		CHECK(socketpair(
		          AF_UNIX, setup == SETUP_SOCKETS ? SOCK_STREAM : SOCK_DGRAM, 0, fds) == 0);
	}
}

static void tear_down(void)
{
	kill(child, SIGKILL), waitpid(child, NULL, 0);
	close(fds[0]), close(fds[1]);
}

/* --- the signals ---------------------------------------------------------------------------- */

static _Atomic pid_t main_tid;
static _Atomic bool is_over;

static bool is_asleep(pid_t tid)
{
	char path[64], line[512];
	int fd;

	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", tid);
	fd = open(path, O_RDONLY);
	ssize_t n = fd < 0 ? 0 : read(fd, line, sizeof(line) - 1);
	close(fd);
	if (n <= 0)
		return false;
	line[n] = 0;
	const char *state = strrchr(line, ')');
	return state && state[2] == 'S';
}

/* Several times in a row: the main thread sleeps for the pager too, but not for long. */
static void wait_until_blocked(void)
{
	for (int nr = 0; nr < 15 && !is_over; usleep(2000))
		nr = is_asleep(main_tid) ? nr + 1 : 0;
}

struct sender {
	int sig, times;
};

static void *send_signals(void *arg)
{
	struct sender s = *(struct sender *)arg;

	for (int i = 0; i < s.times; i++) {
		wait_until_blocked();
		if (!is_over)
			pthread_kill(main_thread, s.sig);
	}
	/* Whose handler never restarts a call. Again and again: one may come before the call. */
	for (wait_until_blocked(); !is_over; usleep(20000))
		pthread_kill(main_thread, SIGUSR2);
	return NULL;
}

static long run_one(size_t i, struct sender *s, int *ret_errno)
{
	pthread_t thread;
	sigset_t both, old;

	set_up(calls[i].setup);
	nr_handled = 0;
	is_over = false;
	/* The other thread must not take what is sent to the process. */
	sigfillset(&both);
	CHECK(pthread_sigmask(SIG_BLOCK, &both, &old) == 0);
	CHECK(pthread_create(&thread, NULL, send_signals, s) == 0);
	CHECK(pthread_sigmask(SIG_SETMASK, &old, NULL) == 0);
	errno = 0;
	long result = calls[i].call();
	*ret_errno = result < 0 ? errno : 0;
	is_over = true;
	CHECK(pthread_join(thread, NULL) == 0);
	tear_down();
	return result;
}

static void test_one(size_t i, const char *how, struct sender *s)
{
	int error;
	long result = run_one(i, s, &error);

	printf("%s, %s: %ld %s%s\n", calls[i].name, how, result,
	    error ? strerrorname_np(error) : "ok",
	    nr_handled == 0  ? ""
	    : nr_handled < 3 ? ", handled"
	                     : ", handled, and gone on with");
}

static void test_call(size_t i)
{
	struct sender nobody = {SIGUSR1, 0}, thrice = {SIGUSR1, 3};

	set(SIGUSR2, 0);
	test_one(i, "interrupted", &nobody);
	set(SIGUSR1, SA_RESTART);
	test_one(i, "SA_RESTART", &thrice);
	CHECK(signal(SIGUSR1, SIG_IGN) != SIG_ERR);
	test_one(i, "ignored", &thrice);
}

/* --- timers, Ctrl-C, masks ------------------------------------------------------------------ */

static void test_timer(void)
{
	struct itimerval it = {.it_value.tv_usec = 30000, .it_interval.tv_usec = 30000};
	int nr = 0;

	CHECK(pipe(fds) == 0);
	set(SIGALRM, 0);
	CHECK(setitimer(ITIMER_REAL, &it, NULL) == 0);
	for (int i = 0; i < 10; i++)
		nr += read(fds[0], buffer, BIG_BYTES) < 0 && errno == EINTR;
	it = (struct itimerval){0};
	CHECK(setitimer(ITIMER_REAL, &it, NULL) == 0);
	close(fds[0]), close(fds[1]);
	printf("a timer interrupted %d of 10 reads\n", nr);
}

static void test_death(int sig)
{
	int status;

	CHECK(pipe(fds) == 0);
	pid_t pid = fork();
	if (!pid) {
		signal(sig, SIG_DFL);
		alarm(60); /* else it hangs */
		CHECK(read(fds[0], buffer, 100) < 0);
		_exit(1);
	}
	usleep(100000);
	CHECK(kill(pid, sig) == 0 && waitpid(pid, &status, 0) == pid);
	printf("%s: dead of signal %d\n", sigabbrev_np(sig),
	    WIFSIGNALED(status) ? WTERMSIG(status) : 0);
	close(fds[0]), close(fds[1]);
}

/* Of two signals that are pending, the call's own mask lets one in. */
static void test_mask(const char *name, long (*call)(const sigset_t *mask))
{
	sigset_t both, old, *open_mask = managed(sizeof(*open_mask)), pending;

	CHECK(pipe(fds) == 0);
	set(SIGUSR1, 0);
	set(SIGUSR2, 0);
	sigemptyset(&both), sigaddset(&both, SIGUSR1), sigaddset(&both, SIGUSR2);
	CHECK(pthread_sigmask(SIG_BLOCK, &both, &old) == 0);
	CHECK(raise(SIGUSR1) == 0 && raise(SIGUSR2) == 0);
	nr_handled = 0;
	*open_mask = both;
	sigdelset(open_mask, SIGUSR1);
	long result = call(open_mask);
	int error = errno;
	CHECK(sigpending(&pending) == 0);
	printf("%s: %ld %s, %d handled, pending %d %d\n", name, result, strerrorname_np(error),
	    (int)nr_handled, sigismember(&pending, SIGUSR1), sigismember(&pending, SIGUSR2));
	CHECK(pthread_sigmask(SIG_SETMASK, &old, NULL) == 0);
	printf("%s: then %d handled\n", name, (int)nr_handled);
	close(fds[0]), close(fds[1]);
}

static long mask_ppoll(const sigset_t *mask)
{
	struct pollfd *p = managed(sizeof(*p));

	*p = (struct pollfd){.fd = fds[0], .events = POLLIN};
	return ppoll(p, 1, NULL, mask);
}

static long mask_pselect(const sigset_t *mask)
{
	fd_set *r = managed(sizeof(*r));

	FD_ZERO(r);
	FD_SET(fds[0], r);
	return pselect(fds[0] + 1, r, NULL, NULL, NULL, mask);
}

static long mask_epoll(const sigset_t *mask)
{
	struct epoll_event *e = managed(sizeof(*e));
	int ep = epoll_create1(0);
	long result = epoll_pwait(ep, e, 1, -1, mask);
	int saved = errno;

	close(ep);
	errno = saved;
	return result;
}

static long mask_epoll2(const sigset_t *mask)
{
	struct epoll_event *e = managed(sizeof(*e));
	int ep = epoll_create1(0);
	long result = syscall(SYS_epoll_pwait2, ep, e, 1, NULL, mask, 8);
	int saved = errno;

	close(ep);
	errno = saved;
	return result;
}

static void open_all(void)
{
	struct sockaddr_in addr = {.sin_family = AF_INET};

	addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	listener = socket(AF_INET, SOCK_STREAM, 0);
	CHECK(bind(listener, (struct sockaddr *)&addr, sizeof(addr)) == 0);
	CHECK(listen(listener, 1) == 0);
	queue = msgget(IPC_PRIVATE, 0600);
	sem_id = semget(IPC_PRIVATE, 1, 0600);
	CHECK(queue >= 0 && sem_id >= 0);
}

static void close_all(void)
{
	msgctl(queue, IPC_RMID, NULL);
	semctl(sem_id, 0, IPC_RMID);
}

int main(int argc, char **argv)
{
	buffer = managed(BIG_BYTES + 16384);
	memset(buffer, 1, BIG_BYTES);
	main_thread = pthread_self();
	main_tid = (pid_t)syscall(SYS_gettid);
	open_all();
	for (size_t i = 0; i < sizeof(calls) / sizeof(*calls); i++)
		if (argc < 2 || !strcmp(argv[1], calls[i].name))
			test_call(i);
	if (argc < 2) {
		test_timer();
		test_death(SIGINT);
		test_death(SIGTERM);
		test_mask("ppoll", mask_ppoll);
		test_mask("pselect", mask_pselect);
		test_mask("epoll_pwait", mask_epoll);
		test_mask("epoll_pwait2", mask_epoll2);
	}
	close_all();
	return 0;
}
