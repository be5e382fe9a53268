// SPDX-License-Identifier: MIT
/* One use of every family of system calls with plain pointers, all of them into managed memory. */
#include "prog.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/fsmap.h>
#include <linux/futex.h>
#include <linux/if_tun.h>
#include <linux/kvm.h>
#include <mqueue.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/sendfile.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/times.h>
#include <sys/un.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <termios.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#define NEW(type, name) type *name = managed(sizeof(type))

static char dir[] = "/tmp/prog_calls.XXXXXX";

static char *in_dir(const char *name)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return managed_string(path);
}

/* Each size crosses another path of the guard: arena, pieces, several pieces. */
static void test_files(void)
{
	static const size_t sizes[] = {0, 1, 100, 4096, 5000, 65536, 65537, 300000, 3000001};
	char *path = in_dir("file");
	struct stat plain;

	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		size_t n = sizes[i];
		char *out = (char *)managed(n + 8) + 3, *in = managed(n + 64);
		int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);

		CHECK(fd >= 0);
		fill_random(out, n, i + 1);
		memset(in, 0x5a, n + 64);
		CHECK(write(fd, out, n) == (ssize_t)n);
		CHECK(lseek(fd, 0, SEEK_SET) == 0);
		CHECK(read(fd, in, n + 60) == (ssize_t)n);
		CHECK(!memcmp(in, out, n));
		for (size_t j = n; j < n + 64; j++)
			CHECK(in[j] == 0x5a); /* not a byte more than was read */
		CHECK(pwrite(fd, out, n, 11) == (ssize_t)n);
		memset(in, 0, n);
		CHECK(pread(fd, in, n, 11) == (ssize_t)n);
		CHECK(!memcmp(in, out, n));
		NEW(struct stat, st);
		CHECK(fstat(fd, st) == 0 && fstat(fd, &plain) == 0);
		CHECK(!memcmp(st, &plain, sizeof(plain)));
		CHECK(stat(path, st) == 0 && st->st_ino == plain.st_ino);
		CHECK(lstat(path, st) == 0 && st->st_size == plain.st_size);
		close(fd);
		fd = open(path, O_WRONLY | O_APPEND);
		CHECK(write(fd, out, n) == (ssize_t)n);
		CHECK(lseek(fd, 0, SEEK_CUR) == plain.st_size + (off_t)n || !n);
		close(fd);
	}
}

static void test_direct_io(void)
{
	char *path = in_dir("direct"), *out = managed_pages(1 << 20), *in = managed_pages(1 << 20);
	int fd = open(path, O_RDWR | O_CREAT | O_DIRECT, 0600);

	if (fd < 0)
		return;
	fill_random(out, 1 << 20, 9);
	CHECK(pwrite(fd, out, 1 << 20, 0) == 1 << 20);
	CHECK(pread(fd, in, 1 << 20, 0) == 1 << 20);
	CHECK(!memcmp(in, out, 1 << 20));
	CHECK(pread(fd, in, 4096, 8192) == 4096 && !memcmp(in, out + 8192, 4096));
	close(fd);
}

/* A device that gives one record a read, however much room there is. */
static void test_records(void)
{
	int fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK);
	static char one[8192];
	char *room = managed_pages(131072);

	if (fd < 0)
		return;
	ssize_t n = read(fd, one, sizeof(one));
	CHECK(lseek(fd, 0, SEEK_SET) == 0);
	ssize_t many = read(fd, room, 131072);
	CHECK(many <= (ssize_t)sizeof(one));
	/* The first one may just have been dropped. */
	if (n > 0 && many > 0 && !memcmp(one, room, 10))
		CHECK(many == n);
	close(fd);
}

static void test_names(void)
{
	char *a = in_dir("a"), *b = in_dir("b"), *l = in_dir("l"), *d = in_dir("d");
	char *buf = managed(8192);
	int fd = creat(a, 0640);

	CHECK(fd >= 0);
	close(fd);
	CHECK(rename(a, b) == 0 && access(a, F_OK) < 0 && errno == ENOENT);
	CHECK(access(b, R_OK) == 0 && link(b, a) == 0 && symlink(b, l) == 0);
	memset(buf, '!', 8192);
	CHECK(readlink(l, buf, 4096) == (ssize_t)strlen(b));
	CHECK(!memcmp(buf, b, strlen(b)) && buf[strlen(b)] == '!');
	CHECK(chmod(b, 0600) == 0 && chown(b, (uid_t)-1, (gid_t)-1) == 0);
	CHECK(truncate(b, 12345) == 0);
	NEW(struct stat, st);
	CHECK(stat(a, st) == 0 && st->st_size == 12345 && (st->st_mode & 07777) == 0600);
	NEW(struct statx, sx);
	CHECK(statx(AT_FDCWD, a, 0, STATX_ALL, sx) == 0 && sx->stx_size == 12345);
	CHECK(mkdir(d, 0700) == 0 && rmdir(d) == 0);
	struct timespec *ts = managed(2 * sizeof(*ts));
	ts[0] = ts[1] = (struct timespec){.tv_sec = 1000000000, .tv_nsec = 5};
	CHECK(utimensat(AT_FDCWD, a, ts, 0) == 0 && stat(a, st) == 0);
	CHECK(st->st_mtim.tv_sec == 1000000000);
	NEW(struct statfs, sf);
	CHECK(statfs(dir, sf) == 0 && sf->f_bsize > 0);
	CHECK(chdir(managed_string(dir)) == 0 && getcwd(buf, 4096) == buf && !strcmp(buf, dir));
	char *name = managed_string("user.test"), *value = managed_string("value");
	if (setxattr(a, name, value, 5, 0) == 0) {
		CHECK(getxattr(a, name, buf, 100) == 5 && !memcmp(buf, "value", 5));
		CHECK(listxattr(a, buf, 8192) >= 10);
	}
	/* Too long a name, and one that runs out of its mapping. */
	memset(buf, 'x', 8191);
	buf[8191] = 0;
	CHECK(open(buf, O_RDONLY) < 0 && errno == ENAMETOOLONG);
	char *edge = managed_pages(131072);
	CHECK(munmap(edge + 65536, 65536) == 0);
	memcpy(edge + 65536 - 5, "/tmp", 5);
	CHECK(access(edge + 65536 - 5, F_OK) == 0);
	CHECK(access(edge + 65536 - 5 + 4, F_OK) < 0 && errno == ENOENT); /* "" */
	memcpy(edge + 65536 - 4, "/tmp", 4);
	CHECK(access(edge + 65536 - 4, F_OK) < 0 && errno == EFAULT);
	CHECK(unlink(a) == 0 && unlink(b) == 0 && unlink(l) == 0);
}

static void test_directories(void)
{
	char *buf = managed(40000);
	int fd = open("/usr/include", O_RDONLY | O_DIRECTORY);
	unsigned nr = 0, expected = 0;
	long n;

	CHECK(fd >= 0);
	while ((n = syscall(SYS_getdents64, fd, buf, 32768)) > 0)
		for (long i = 0; i < n; i += *(unsigned short *)(buf + i + 16))
			nr++;
	CHECK(n == 0);
	close(fd);
	DIR *d = opendir("/usr/include");
	while (readdir(d))
		expected++;
	closedir(d);
	CHECK(nr == expected && nr > 2);
}

static void test_waiting(void)
{
	int *p = managed(8);
	struct pollfd *pfd = managed(3 * sizeof(*pfd));

	CHECK(pipe(p) == 0);
	pfd[0] = (struct pollfd){.fd = p[0], .events = POLLIN, .revents = 77};
	pfd[1] = (struct pollfd){.fd = p[1], .events = POLLOUT, .revents = 77};
	pfd[2] = (struct pollfd){.fd = -1};
	CHECK(poll(pfd, 3, 100) == 1 && pfd[0].revents == 0 && pfd[1].revents == POLLOUT);
	CHECK(write(p[1], managed_string("x"), 1) == 1);
	CHECK(poll(pfd, 3, 100) == 2 && pfd[0].revents == POLLIN);
	NEW(struct timespec, ts);
	NEW(sigset_t, set);
	sigfillset(set);
	*ts = (struct timespec){0, 1000000};
	CHECK(ppoll(pfd, 3, ts, set) == 2);
	fd_set *r = managed(sizeof(fd_set)), *w = managed(sizeof(fd_set));
	NEW(struct timeval, tv);
	FD_ZERO(r);
	FD_ZERO(w);
	FD_SET(p[0], r);
	FD_SET(p[1], w);
	*tv = (struct timeval){1, 0};
	CHECK(select(p[1] + 1, r, w, NULL, tv) == 2 && FD_ISSET(p[0], r) && FD_ISSET(p[1], w));
	CHECK(syscall(SYS_select, p[1] + 1, r, w, NULL, tv) == 2);
	CHECK(pselect(p[1] + 1, r, w, NULL, ts, set) == 2);
	int e = epoll_create1(0);
	NEW(struct epoll_event, ev);
	struct epoll_event *evs = managed(5 * sizeof(*evs));
	*ev = (struct epoll_event){.events = EPOLLIN, .data.u64 = 0x1122334455667788};
	memset(evs, 0x33, 5 * sizeof(*evs));
	CHECK(epoll_ctl(e, EPOLL_CTL_ADD, p[0], ev) == 0);
	CHECK(epoll_wait(e, evs, 5, 100) == 1 && evs[0].data.u64 == ev->data.u64);
	CHECK(evs[1].events == 0x33333333);
	CHECK(epoll_pwait(e, evs, 5, 100, set) == 1);
	CHECK(epoll_wait(e, evs, -1, 0) < 0 && errno == EINVAL);
	close(e), close(p[0]), close(p[1]);
}

struct change {
	struct pollfd *pfd;
	int fd;
};

static void *change_and_wake(void *arg)
{
	const struct change *c = arg;

	usleep(30000);
	c->pfd[1] = (struct pollfd){.fd = 77, .events = POLLOUT, .revents = 5};
	CHECK(write(c->fd, "x", 1) == 1);
	return NULL;
}

/* Of what poll() is given the kernel writes no more than `revents`. */
static void test_changed_while_waiting(void)
{
	NEW(struct change, c);
	pthread_t thread;
	int p[2];

	CHECK(pipe(p) == 0);
	*c = (struct change){managed(2 * sizeof(*c->pfd)), p[1]};
	c->pfd[0] = (struct pollfd){.fd = p[0], .events = POLLIN};
	c->pfd[1] = (struct pollfd){.fd = -1, .events = POLLIN};
	CHECK(pthread_create(&thread, NULL, change_and_wake, c) == 0);
	CHECK(poll(c->pfd, 2, -1) == 1 && c->pfd[0].revents == POLLIN);
	CHECK(pthread_join(thread, NULL) == 0);
	CHECK(c->pfd[1].fd == 77 && c->pfd[1].events == POLLOUT && c->pfd[1].revents == 0);
	close(p[0]), close(p[1]);
}

/* Lengths of filters are numbers of instructions. */
static void test_socket_filter(void)
{
	static struct sock_filter code[] = {
	    {BPF_LD | BPF_H | BPF_ABS, 0, 0, 12},
	    {BPF_JMP | BPF_JEQ | BPF_K, 0, 1, 0x800},
	    {BPF_RET | BPF_K, 0, 0, 0x40000},
	    {BPF_RET | BPF_K, 0, 0, 0},
	};
	struct sock_fprog filter = {sizeof(code) / sizeof(*code), code};
	struct sock_filter *got = managed(16 * sizeof(*got));
	NEW(socklen_t, len);
	int s = socket(AF_INET, SOCK_DGRAM, 0);

	CHECK(setsockopt(s, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof(filter)) == 0);
	*len = 0;
	CHECK(getsockopt(s, SOL_SOCKET, SO_GET_FILTER, got, len) == 0 && *len == filter.len);
	*len = 3;
	CHECK(getsockopt(s, SOL_SOCKET, SO_GET_FILTER, got, len) < 0 && errno == EINVAL);
	memset(got, 0x5a, 16 * sizeof(*got));
	*len = 16;
	CHECK(getsockopt(s, SOL_SOCKET, SO_GET_FILTER, got, len) == 0 && *len == filter.len);
	CHECK(!memcmp(got, code, sizeof(code)) && got[filter.len].k == 0x5a5a5a5a);
	close(s);
}

static void test_sockets(void)
{
	int *sv = managed(8), *one = managed(sizeof(int));
	socklen_t *len = managed(sizeof(*len));
	NEW(struct sockaddr_in, addr);
	char *buf = managed(1 << 20), *back = managed(1 << 20);

	CHECK(socketpair(AF_UNIX, SOCK_DGRAM, 0, sv) == 0);
	fill_random(buf, 1 << 20, 4);
	CHECK(send(sv[0], buf, 70000, 0) == 70000 && send(sv[0], buf, 10, 0) == 10);
	memset(back, 0x11, 100000);
	CHECK(recv(sv[1], back, 1 << 20, 0) == 70000 && !memcmp(buf, back, 70000));
	CHECK(back[70000] == 0x11);
	CHECK(recv(sv[1], back, 4, MSG_TRUNC) == 10);
	close(sv[0]), close(sv[1]);
	int l = socket(AF_INET, SOCK_STREAM, 0), c = socket(AF_INET, SOCK_STREAM, 0);
	*one = 1, *len = sizeof(int);
	CHECK(setsockopt(l, SOL_SOCKET, SO_REUSEADDR, one, sizeof(int)) == 0);
	*one = 0;
	CHECK(getsockopt(l, SOL_SOCKET, SO_REUSEADDR, one, len) == 0 && *one && *len == 4);
	*addr =
	    (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	CHECK(bind(l, (void *)addr, sizeof(*addr)) == 0 && listen(l, 5) == 0);
	*len = sizeof(*addr);
	CHECK(getsockname(l, (void *)addr, len) == 0 && *len == sizeof(*addr) && addr->sin_port);
	CHECK(connect(c, (void *)addr, sizeof(*addr)) == 0);
	NEW(struct sockaddr_in, peer);
	memset(peer, 0x77, sizeof(*peer));
	*len = 4; /* less than there is: cut off, and the true length told */
	int s = accept(l, (void *)peer, len);
	CHECK(s >= 0 && *len == sizeof(*peer) && peer->sin_addr.s_addr == 0x77777777);
	*len = sizeof(*peer);
	CHECK(getpeername(s, (void *)peer, len) == 0 && peer->sin_family == AF_INET);
	if (fork() == 0) {
		size_t done = 0;
		while (done < 1 << 20) {
			ssize_t n = send(c, buf + done, (1 << 20) - done, 0);
			CHECK(n > 0);
			done += (size_t)n;
		}
		_exit(0);
	}
	memset(back, 0, 1 << 20);
	CHECK(recv(s, back, 1 << 20, MSG_WAITALL) == 1 << 20 && !memcmp(buf, back, 1 << 20));
	NEW(int, status);
	CHECK(wait(status) > 0 && *status == 0);
	close(l), close(c), close(s);
	int u = socket(AF_INET, SOCK_DGRAM, 0), v = socket(AF_INET, SOCK_DGRAM, 0);
	addr->sin_port = 0;
	CHECK(bind(u, (void *)addr, sizeof(*addr)) == 0);
	*len = sizeof(*addr);
	CHECK(getsockname(u, (void *)addr, len) == 0);
	CHECK(sendto(v, buf, 1000, 0, (void *)addr, sizeof(*addr)) == 1000);
	*len = sizeof(*peer);
	memset(peer, 0, sizeof(*peer));
	CHECK(recvfrom(u, back, 5000, 0, (void *)peer, len) == 1000 && peer->sin_port);
	close(u), close(v);
}

static void test_pipes(void)
{
	int *p = managed(8);
	size_t n = 900001;
	char *buf = managed(n), *back = managed(n);

	CHECK(pipe2(p, O_CLOEXEC) == 0);
	fill_random(buf, n, 77);
	if (fork() == 0) {
		/* One blocking write of more than the pipe holds must be complete. */
		CHECK(write(p[1], buf, n) == (ssize_t)n);
		_exit(0);
	}
	for (size_t done = 0; done < n;) {
		ssize_t r = read(p[0], back + done, n - done);
		CHECK(r > 0);
		done += (size_t)r;
	}
	CHECK(!memcmp(buf, back, n));
	CHECK(wait(NULL) > 0);
	CHECK(fcntl(p[1], F_SETFL, O_NONBLOCK) == 0);
	ssize_t w = write(p[1], buf, n);
	CHECK(w > 0 && w < (ssize_t)n);
	int out = open(in_dir("spliced"), O_RDWR | O_CREAT | O_TRUNC, 0600);
	loff_t *at = managed(sizeof(*at));
	*at = 100;
	CHECK(splice(p[0], NULL, out, at, 5000, 0) == 5000 && *at == 5100);
	int again = open(in_dir("copied"), O_RDWR | O_CREAT | O_TRUNC, 0600);
	*at = 100;
	CHECK(sendfile(again, out, at, 1000) == 1000 && *at == 1100);
	CHECK(pread(again, back, 1000, 0) == 1000 && !memcmp(back, buf, 1000));
	close(p[0]), close(p[1]), close(out), close(again);
}

static void test_time(void)
{
	NEW(struct timespec, ts);
	NEW(struct timespec, rem);
	NEW(struct timeval, tv);
	NEW(struct tms, tms);
	NEW(struct itimerval, itv);
	NEW(struct itimerspec, its);
	NEW(time_t, t);

	CHECK(syscall(SYS_clock_gettime, CLOCK_REALTIME, ts) == 0 && ts->tv_sec > 1600000000);
	CHECK(syscall(SYS_clock_getres, CLOCK_MONOTONIC, ts) == 0);
	CHECK(syscall(SYS_gettimeofday, tv, NULL) == 0 && tv->tv_sec > 1600000000);
	CHECK(syscall(SYS_time, t) == *t);
	CHECK(times(tms) != (clock_t)-1);
	*ts = (struct timespec){0, 2000000};
	CHECK(nanosleep(ts, rem) == 0 && clock_nanosleep(CLOCK_MONOTONIC, 0, ts, rem) == 0);
	CHECK(syscall(SYS_nanosleep, ts, rem) == 0);
	*itv = (struct itimerval){0};
	CHECK(setitimer(ITIMER_REAL, itv, NULL) == 0 && getitimer(ITIMER_REAL, itv) == 0);
	int fd = timerfd_create(CLOCK_MONOTONIC, 0);
	*its = (struct itimerspec){.it_value.tv_nsec = 1000000};
	CHECK(timerfd_settime(fd, 0, its, NULL) == 0 && timerfd_gettime(fd, its) == 0);
	CHECK(read(fd, managed(8), 8) == 8);
	close(fd);
	NEW(struct sigevent, sev);
	*sev = (struct sigevent){.sigev_notify = SIGEV_NONE};
	int *timer = managed(sizeof(int));
	CHECK(syscall(SYS_timer_create, CLOCK_MONOTONIC, sev, timer) == 0);
	its->it_value.tv_sec = 1000;
	CHECK(syscall(SYS_timer_settime, *timer, 0, its, NULL) == 0);
	CHECK(syscall(SYS_timer_gettime, *timer, its) == 0 && its->it_value.tv_sec > 900);
	syscall(SYS_timer_delete, *timer);
}

static void test_process(void)
{
	NEW(struct utsname, un);
	NEW(struct sysinfo, si);
	NEW(struct rlimit, rl);
	NEW(struct rusage, ru);
	NEW(cpu_set_t, cpus);
	struct utsname plain;
	uid_t *ids = managed(12);

	CHECK(uname(un) == 0 && uname(&plain) == 0 && !memcmp(un, &plain, sizeof(plain)));
	CHECK(sysinfo(si) == 0 && si->totalram);
	CHECK(getrlimit(RLIMIT_NOFILE, rl) == 0 && setrlimit(RLIMIT_NOFILE, rl) == 0);
	CHECK(getrusage(RUSAGE_SELF, ru) == 0);
	CHECK(getresuid(ids, ids + 1, ids + 2) == 0 && ids[0] == getuid());
	CHECK(getgroups(0, NULL) >= 0 && getgroups(16, managed(64)) >= 0);
	CHECK(sched_getaffinity(0, sizeof(*cpus), cpus) == 0 && CPU_COUNT(cpus) > 0);
	CHECK(sched_setaffinity(0, sizeof(*cpus), cpus) == 0);
	NEW(struct sched_param, sp);
	CHECK(sched_getparam(0, sp) == 0);
	char *name = managed(16);
	CHECK(prctl(PR_SET_NAME, managed_string("a name")) == 0);
	CHECK(prctl(PR_GET_NAME, name) == 0 && !strcmp(name, "a name"));
	unsigned char *rnd = managed(100000);
	CHECK(getrandom(rnd, 100000, 0) == 100000);
	NEW(int, status);
	pid_t pid = fork();
	if (!pid)
		_exit(7);
	CHECK(wait4(pid, status, 0, ru) == pid && WEXITSTATUS(*status) == 7);
	pid = fork();
	if (!pid)
		_exit(8);
	NEW(siginfo_t, info);
	CHECK(waitid(P_PID, (id_t)pid, info, WEXITED) == 0 && info->si_status == 8);
}

static void test_ioctl(void)
{
	NEW(int, n);
	NEW(struct winsize, ws);
	NEW(struct termios, tio);
	int p[2], *sv = managed(8);

	CHECK(pipe(p) == 0 && write(p[1], "abc", 3) == 3);
	CHECK(ioctl(p[0], FIONREAD, n) == 0 && *n == 3);
	*n = 1;
	CHECK(ioctl(p[0], FIONBIO, n) == 0 && fcntl(p[0], F_GETFL) & O_NONBLOCK);
	CHECK(ioctl(p[0], TCGETS, tio) < 0 && errno == ENOTTY);
	int m = posix_openpt(O_RDWR | O_NOCTTY);
	if (m >= 0) {
		*ws = (struct winsize){.ws_row = 12, .ws_col = 34};
		CHECK(ioctl(m, TIOCSWINSZ, ws) == 0);
		memset(ws, 0, sizeof(*ws));
		CHECK(ioctl(m, TIOCGWINSZ, ws) == 0 && ws->ws_row == 12 && ws->ws_col == 34);
		CHECK(ioctl(m, TCGETS, tio) == 0 && tcgetattr(m, tio) == 0);
		CHECK(ioctl(m, TIOCGPTN, n) == 0);
		close(m);
	}
	NEW(struct flock, lock);
	int fd = open(in_dir("lock"), O_RDWR | O_CREAT, 0600);
	*lock = (struct flock){.l_type = F_WRLCK, .l_whence = SEEK_SET};
	CHECK(fcntl(fd, F_SETLK, lock) == 0);
	lock->l_type = F_RDLCK;
	CHECK(fcntl(fd, F_GETLK, lock) == 0 && lock->l_type == F_UNLCK);
	close(fd), close(p[0]), close(p[1]);
	(void)sv;
}

/* Requests that use more than their numbers say, where the machine has such devices. */
static void test_long_ioctl(void)
{
	const size_t nr = 200;
	struct kvm_cpuid2 *cpuid = managed(sizeof(*cpuid) + nr * sizeof(cpuid->entries[0]));
	static struct fsmap_head plain;
	struct fsmap_head *map = managed(sizeof(*map) + 8 * sizeof(map->fmh_recs[0]));
	NEW(struct ifreq, name);
	char *end = (char *)managed_pages(131072) + 65536;

	int fd = open("/dev/net/tun", O_RDWR);
	memset(name, 0, sizeof(*name));
	strcpy(name->ifr_name, "fltest%d");
	name->ifr_flags = IFF_TUN | IFF_NO_PI;
	if (fd >= 0 && ioctl(fd, TUNSETIFF, name) == 0)
		CHECK(!strncmp(name->ifr_name, "fltest", 6) && name->ifr_name[6] != '%');
	/* ... and where there is not as much memory. */
	CHECK(munmap(end, 65536) == 0);
	if (fd >= 0)
		CHECK(ioctl(fd, TUNSETIFF, end - sizeof(int)) < 0 && errno == EFAULT);
	close(fd);

	fd = open("/dev/kvm", O_RDWR);
	memset(cpuid, 0, sizeof(*cpuid) + nr * sizeof(cpuid->entries[0]));
	cpuid->nent = nr;
	if (fd >= 0 && ioctl(fd, KVM_GET_SUPPORTED_CPUID, cpuid) == 0)
		CHECK(cpuid->nent > 1 && cpuid->entries[0].eax && cpuid->entries[1].eax);
	close(fd);

	fd = open("/", O_RDONLY);
	memset(&plain, 0, sizeof(plain));
	memset(&plain.fmh_keys[1], 0xff, sizeof(plain.fmh_keys[1]));
	memset(plain.fmh_keys[1].fmr_reserved, 0, sizeof(plain.fmh_keys[1].fmr_reserved));
	plain.fmh_keys[1].fmr_length = 0;
	memcpy(map, &plain, sizeof(plain));
	memset(map->fmh_recs, 0x5a, 8 * sizeof(map->fmh_recs[0]));
	map->fmh_count = 8;
	if (ioctl(fd, FS_IOC_GETFSMAP, map) == 0 && map->fmh_entries)
		CHECK(map->fmh_recs[0].fmr_length != 0x5a5a5a5a5a5a5a5a);
	close(fd);
}

static void test_signals(void)
{
	NEW(sigset_t, set);
	NEW(sigset_t, old);
	NEW(siginfo_t, si);
	NEW(struct timespec, ts);
	NEW(uint64_t, bits);

	sigemptyset(set), sigaddset(set, SIGUSR1);
	CHECK(sigprocmask(SIG_BLOCK, set, old) == 0 && !sigismember(old, SIGUSR1));
	/* Raw, with managed pointers: goes through the trap and must outlive it. */
	*bits = 1ull << (SIGUSR2 - 1);
	CHECK(syscall(SYS_rt_sigprocmask, SIG_BLOCK, bits, managed(8), 8) == 0);
	CHECK(sigprocmask(SIG_BLOCK, NULL, old) == 0);
	CHECK(sigismember(old, SIGUSR1) && sigismember(old, SIGUSR2));
	kill(getpid(), SIGUSR1);
	CHECK(sigpending(old) == 0 && sigismember(old, SIGUSR1) && !sigismember(old, SIGUSR2));
	*ts = (struct timespec){1, 0};
	CHECK(sigtimedwait(set, si, ts) == SIGUSR1 && si->si_pid == getpid());
	*ts = (struct timespec){0, 1000000};
	CHECK(sigtimedwait(set, si, ts) < 0 && errno == EAGAIN);
	int fd = signalfd(-1, set, 0);
	kill(getpid(), SIGUSR1);
	NEW(struct signalfd_siginfo, ssi);
	CHECK(read(fd, ssi, sizeof(*ssi)) == sizeof(*ssi) && ssi->ssi_signo == SIGUSR1);
	close(fd);
	NEW(stack_t, ss);
	NEW(stack_t, was);
	static char stack[65536];
	*ss = (stack_t){.ss_sp = stack, .ss_size = sizeof(stack)};
	CHECK(sigaltstack(ss, was) == 0 && sigaltstack(NULL, was) == 0 && was->ss_sp == stack);
	ss->ss_flags = SS_DISABLE;
	CHECK(sigaltstack(ss, NULL) == 0);
	CHECK(sigaltstack(NULL, was) == 0 && was->ss_flags == SS_DISABLE);
}

static _Atomic uint32_t *word;

static void *futex_waker(void *arg)
{
	long nr_woken;

	/* Until it sleeps; the harness ends a test that waits for ever. */
	while (!(nr_woken = syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0)))
		usleep(1000);
	CHECK(nr_woken == 1);
	return arg;
}

static void test_futex(void)
{
	NEW(struct timespec, ts);
	pthread_t thread;

	word = managed(64);
	*word = 0;
	*ts = (struct timespec){0, 1000000};
	CHECK(syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, 1, ts, NULL, 0) < 0 && errno == EAGAIN);
	CHECK(
	    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, 0, ts, NULL, 0) < 0 && errno == ETIMEDOUT);
	CHECK(syscall(SYS_futex, word, FUTEX_WAIT, 0, ts, NULL, 0) < 0 && errno == ETIMEDOUT);
	pthread_create(&thread, NULL, futex_waker, NULL);
	CHECK(syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0) == 0);
	pthread_join(thread, NULL);
	*word = 0;
	CHECK(syscall(SYS_futex, word, FUTEX_LOCK_PI, 0, NULL, NULL, 0) == 0);
	CHECK((*word & 0x3fffffff) == (uint32_t)gettid());
	CHECK(syscall(SYS_futex, word, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0) == 0);
	uint32_t *other = managed(8192);
	CHECK(syscall(SYS_futex, word, FUTEX_WAKE_OP, 1, 1, other + 1500,
	          FUTEX_OP(FUTEX_OP_ADD, 5, FUTEX_OP_CMP_EQ, 0)) == 0);
	CHECK(other[1500] == 5);
}

static void test_ipc(void)
{
	struct {
		long type;
		char text[5000];
	} *m = managed(sizeof(*m));
	int q = msgget(IPC_PRIVATE, 0600);

	CHECK(q >= 0);
	m->type = 3;
	fill_random(m->text, sizeof(m->text), 5);
	CHECK(msgsnd(q, m, 5000, 0) == 0);
	memset(m, 0, sizeof(*m));
	CHECK(msgrcv(q, m, 5000, 0, 0) == 5000 && m->type == 3);
	char *again = managed(5000);
	fill_random(again, 5000, 5);
	CHECK(!memcmp(again, m->text, 5000));
	NEW(struct msqid_ds, ds);
	CHECK(msgctl(q, IPC_STAT, ds) == 0 && ds->msg_qnum == 0);
	msgctl(q, IPC_RMID, NULL);
	int s = semget(IPC_PRIVATE, 1, 0600);
	NEW(struct sembuf, op);
	*op = (struct sembuf){.sem_num = 0, .sem_op = 1};
	CHECK(s >= 0 && semop(s, op, 1) == 0);
	op->sem_op = -1;
	CHECK(semop(s, op, 1) == 0);
	semctl(s, 0, IPC_RMID);
}

static void test_bad_addresses(void)
{
	char *gone = managed_pages(131072), *buf = managed(100);
	int p[2];

	CHECK(munmap(gone, 65536) == 0);
	CHECK(pipe(p) == 0);
	CHECK(write(p[1], gone, 10) < 0 && errno == EFAULT);
	CHECK(write(p[1], "abc", 3) == 3);
	CHECK(read(p[0], gone, 3) < 0 && errno == EFAULT);
	CHECK(syscall(SYS_uname, gone) < 0 && errno == EFAULT);
	CHECK(syscall(SYS_pipe2, gone, 0) < 0 && errno == EFAULT);
	CHECK(open(gone, O_RDONLY) < 0 && errno == EFAULT);
	CHECK(mprotect(gone + 65536, 65536, PROT_READ) == 0);
	CHECK(write(p[1], "abc", 3) == 3);
	CHECK(read(p[0], gone + 65536, 3) < 0 && errno == EFAULT);
	CHECK(read(-1, buf, 3) < 0 && errno == EBADF);
	CHECK(read(p[0], buf, (size_t)-5) < 0);
	CHECK(mincore(managed_pages(65536), 65536, managed(64)) == 0);
	CHECK(mlock(buf, 100) == 0 && munlock(buf, 100) == 0);
	close(p[0]), close(p[1]);
}

static void test_inotify(void)
{
	char *buf = managed(4096);
	int fd = inotify_init();

	CHECK(inotify_add_watch(fd, managed_string(dir), IN_CREATE) >= 0);
	unlink(in_dir("seen"));
	close(creat(in_dir("seen"), 0600));
	CHECK(read(fd, buf, 4096) >= (ssize_t)sizeof(struct inotify_event));
	CHECK(!strcmp(((struct inotify_event *)buf)->name, "seen"));
	close(fd);
}

int main(int argc, char **argv)
{
	int rounds = argc > 1 ? atoi(argv[1]) : 5;

	CHECK(mkdtemp(dir));
	for (int i = 0; i < rounds; i++) {
		test_files();
		test_direct_io();
		test_records();
		test_names();
		test_directories();
		test_waiting();
		test_changed_while_waiting();
		test_socket_filter();
		test_sockets();
		test_pipes();
		test_time();
		test_process();
		test_ioctl();
		test_long_ioctl();
		test_signals();
		test_futex();
		test_ipc();
		test_bad_addresses();
		test_inotify();
		sigset_t none;
		sigemptyset(&none);
		sigprocmask(SIG_SETMASK, &none, NULL);
	}
	char command[300];
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	return system(command) ? 1 : 0;
}
