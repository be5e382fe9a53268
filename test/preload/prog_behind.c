// SPDX-License-Identifier: MIT
/*
 * What the kernel reads and writes behind a call's arguments, and when a thread ends, on pages that
 * are absent; and what of a large transfer others can see: that it is one step.
 */
#include "prog.h"

#include <fcntl.h>
#include <linux/elf.h>
#include <linux/filter.h>
#include <linux/futex.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/ptrace.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define RECORD_BYTES ((size_t)300000) /* no multiple of anything that a pager cuts into */
#define NR_RECORDS   12
#define NR_WRITERS   3
#define PIPE_BYTES   ((size_t)1 << 20)
#define ZERO_BYTES   ((size_t)3 << 20)

/* Everybody's pages go, where a pager keeps to advice. */
static void evict(void *mem, size_t bytes)
{
	uintptr_t at = (uintptr_t)mem & ~(uintptr_t)4095;

	madvise((void *)at, bytes + 4096, MADV_PAGEOUT);
}

/* --- a lock whose owner has ended --- */

static pthread_mutex_t *robust;

static void *take_and_end(void *how)
{
	CHECK(pthread_mutex_lock(robust) == 0);
	evict(robust, sizeof(*robust));
	if (how)
		pthread_exit(NULL);
	return NULL;
}

static void test_robust(void)
{
	pthread_mutexattr_t attr;

	CHECK(!pthread_mutexattr_init(&attr));
	CHECK(!pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST));
	for (int i = 0; i < 8; i++) {
		struct timespec limit;
		pthread_t thread;

		robust = managed(sizeof(*robust));
		CHECK(!pthread_mutex_init(robust, &attr));
		CHECK(!pthread_create(&thread, NULL, take_and_end, i % 2 ? robust : NULL));
		CHECK(!pthread_join(thread, NULL));
		clock_gettime(CLOCK_REALTIME, &limit);
		limit.tv_sec += 30;
		CHECK(pthread_mutex_timedlock(robust, &limit) == EOWNERDEAD);
		CHECK(!pthread_mutex_consistent(robust) && !pthread_mutex_unlock(robust));
		CHECK(!pthread_mutex_lock(robust) && !pthread_mutex_unlock(robust));
	}
}

/* A lock that the thread gives back in a destructor of its own is nobody's. */
static pthread_key_t key;

static void give_back(void *lock)
{
	CHECK(!pthread_mutex_unlock(lock));
}

static void *take_until_destructor(void *lock)
{
	CHECK(!pthread_mutex_lock(lock) && !pthread_setspecific(key, lock));
	return NULL;
}

static void test_destructor(void)
{
	pthread_mutexattr_t attr;
	pthread_t thread;

	CHECK(!pthread_mutexattr_init(&attr));
	CHECK(!pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST));
	robust = managed(sizeof(*robust));
	CHECK(!pthread_mutex_init(robust, &attr) && !pthread_key_create(&key, give_back));
	CHECK(!pthread_create(&thread, NULL, take_until_destructor, robust));
	CHECK(!pthread_join(thread, NULL) && !pthread_mutex_lock(robust));
	CHECK(!pthread_mutex_unlock(robust));
}

/* --- behind the arguments --- */

static void test_words(void)
{
	uint32_t *words[2] = {managed(64), managed(64)};
	struct timespec limit;

	*words[0] = 1, *words[1] = 2;
	for (int is_private = 0; is_private < 2; is_private++) {
		uint32_t flags = FUTEX_32 | (is_private ? FUTEX_PRIVATE_FLAG : 0);
		struct futex_waitv w[2] = {
		    {.val = 1, .uaddr = (uintptr_t)words[0], .flags = flags},
		    {.val = 7, .uaddr = (uintptr_t)words[1], .flags = flags},
		};

		evict(words[0], 256);
		CHECK(syscall(SYS_futex_waitv, w, 2, 0, NULL, 0) == -1 && errno == EAGAIN);
		w[1].val = 2;
		clock_gettime(CLOCK_MONOTONIC, &limit);
		limit.tv_nsec += 1000000;
		limit.tv_sec += limit.tv_nsec / 1000000000;
		limit.tv_nsec %= 1000000000;
		evict(words[0], 256);
		CHECK(syscall(SYS_futex_waitv, w, 2, 0, &limit, CLOCK_MONOTONIC) == -1 &&
		      errno == ETIMEDOUT);
	}
}

static void test_filter(void)
{
	const struct sock_filter all[] = {
	    BPF_STMT(BPF_LD | BPF_W | BPF_LEN, 0), BPF_STMT(BPF_RET | BPF_K, 4)};
	struct sock_filter *filter = managed_copy(all, sizeof(all));
	struct sock_fprog prog = {.len = 2, .filter = filter};
	char in[16];
	int s[2];

	CHECK(socketpair(AF_UNIX, SOCK_DGRAM, 0, s) == 0);
	evict(filter, sizeof(all));
	CHECK(setsockopt(s[0], SOL_SOCKET, SO_ATTACH_FILTER, &prog, sizeof(prog)) == 0);
	CHECK(send(s[1], "0123456789", 10, 0) == 10 && recv(s[0], in, sizeof(in), 0) == 4);
	close(s[0]), close(s[1]);
}

static void test_registers(void)
{
	struct user_regs_struct *regs = managed(sizeof(*regs));
	struct iovec v = {regs, sizeof(*regs) + 104};
	int status;
	pid_t pid = fork();

	if (!pid) {
		ptrace(PTRACE_TRACEME, 0, NULL, NULL);
		raise(SIGSTOP);
		_exit(3);
	}
	CHECK(waitpid(pid, &status, 0) == pid && WIFSTOPPED(status));
	evict(regs, sizeof(*regs));
	CHECK(ptrace(PTRACE_GETREGSET, pid, (void *)NT_PRSTATUS, &v) == 0);
	CHECK(v.iov_len == sizeof(*regs) && regs->rip && regs->cs);
	evict(regs, sizeof(*regs));
	CHECK(ptrace(PTRACE_SETREGSET, pid, (void *)NT_PRSTATUS, &v) == 0);
	CHECK(ptrace(PTRACE_CONT, pid, NULL, NULL) == 0);
	CHECK(waitpid(pid, &status, 0) == pid && WEXITSTATUS(status) == 3);
}

/* --- as one step --- */

static int shared_fd;

static void *write_records(void *arg)
{
	char *record = managed_pages(RECORD_BYTES);

	for (int i = 0; i < NR_RECORDS; i++) {
		memset(record, 'a' + (int)(intptr_t)arg * NR_RECORDS % 20 + i % 3, RECORD_BYTES);
		CHECK(write(shared_fd, record, RECORD_BYTES) == (ssize_t)RECORD_BYTES);
	}
	munmap(record, RECORD_BYTES);
	return NULL;
}

/* By threads that share the file's offset: no record in the middle of another. */
static void test_records(void)
{
	pthread_t threads[NR_WRITERS];
	char path[] = "/var/tmp/prog_behind.XXXXXX";
	char *record = managed_pages(RECORD_BYTES);

	shared_fd = mkstemp(path);
	CHECK(shared_fd >= 0 && unlink(path) == 0);
	for (intptr_t i = 0; i < NR_WRITERS; i++)
		CHECK(!pthread_create(&threads[i], NULL, write_records, (void *)i));
	for (int i = 0; i < NR_WRITERS; i++)
		CHECK(!pthread_join(threads[i], NULL));
	CHECK(lseek(shared_fd, 0, SEEK_CUR) == (off_t)(NR_WRITERS * NR_RECORDS * RECORD_BYTES));
	CHECK(lseek(shared_fd, 0, SEEK_SET) == 0);
	for (int i = 0; i < NR_WRITERS * NR_RECORDS; i++) {
		CHECK(read(shared_fd, record, RECORD_BYTES) == (ssize_t)RECORD_BYTES);
		for (size_t k = 1; k < RECORD_BYTES; k++)
			CHECK(record[k] == record[0]);
	}
	/* At the end there is less than was asked for, and the offset says so. */
	CHECK(lseek(shared_fd, -1000, SEEK_END) > 0);
	CHECK(read(shared_fd, record, RECORD_BYTES) == 1000);
	CHECK(lseek(shared_fd, 0, SEEK_CUR) == lseek(shared_fd, 0, SEEK_END));
	CHECK(read(shared_fd, record, RECORD_BYTES) == 0);
	close(shared_fd);
	munmap(record, RECORD_BYTES);
}

/* All that is in it, by one call. */
static void test_pipe(void)
{
	char *out = managed_pages(PIPE_BYTES), *in = managed_pages(2 * PIPE_BYTES);
	int fds[2];

	fill_random(out, PIPE_BYTES, 5);
	CHECK(pipe(fds) == 0);
	size_t bytes = fcntl(fds[1], F_SETPIPE_SZ, PIPE_BYTES) > 0 ? PIPE_BYTES : 65536;
	CHECK(write(fds[1], out, bytes) == (ssize_t)bytes);
	CHECK(read(fds[0], in, 2 * PIPE_BYTES) == (ssize_t)bytes && !memcmp(in, out, bytes));
	close(fds[0]), close(fds[1]);
	munmap(out, PIPE_BYTES), munmap(in, 2 * PIPE_BYTES);
}

/* Never short, whatever the pager waits for meanwhile. */
static void test_zeros(void)
{
	char *p = managed_pages(ZERO_BYTES);
	int zero = open("/dev/zero", O_RDONLY);

	CHECK(zero >= 0);
	for (int i = 0; i < 6; i++) {
		memset(p, 1, ZERO_BYTES);
		CHECK(read(zero, p, ZERO_BYTES) == (ssize_t)ZERO_BYTES);
		for (size_t k = 0; k < ZERO_BYTES; k += 64)
			CHECK(!p[k]);
		CHECK(getrandom(p, ZERO_BYTES, 0) == (ssize_t)ZERO_BYTES);
	}
	close(zero);
	/* As much as there is room for. */
	char *end =
	    mmap(NULL, 2 * ZERO_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(end != MAP_FAILED);
	end += ZERO_BYTES;
	CHECK(munmap(end, ZERO_BYTES) == 0);
	CHECK(getrandom(end - 17, 100, 0) == 17);
	munmap(end - ZERO_BYTES, ZERO_BYTES), munmap(p, ZERO_BYTES);
}

/* What may only be written can be read all the same, by the kernel too. */
static void test_write_only(void)
{
	char *p = managed_pages(65536), in[100];
	int fds[2];

	memset(p, 'w', 65536);
	CHECK(pipe(fds) == 0 && mprotect(p, 65536, PROT_WRITE) == 0);
	for (int i = 0; i < 4; i++) {
		evict(p, 65536);
		CHECK(write(fds[1], p + 5000, 100) == 100 && read(fds[0], in, 100) == 100);
		CHECK(in[0] == 'w' && in[99] == 'w');
	}
	close(fds[0]), close(fds[1]);
	CHECK(mprotect(p, 65536, PROT_READ | PROT_WRITE) == 0 && munmap(p, 65536) == 0);
}

/* The memory of a virtual machine, which reads a byte of it. */
static void run_guest(int kvm, int machine)
{
	static const unsigned char code[] = {0xa0, 0x00, 0x50, 0xf4}; /* mov 0x5000, %al; hlt */
	unsigned char *memory = managed_pages(1 << 20);
	struct kvm_userspace_memory_region region = {
	    .memory_size = 1 << 20, .userspace_addr = (uintptr_t)memory};
	struct kvm_regs regs = {.rip = 0x1000, .rflags = 2};
	struct kvm_sregs segments;

	CHECK(!ioctl(machine, KVM_SET_USER_MEMORY_REGION, &region));
	memcpy(memory + 0x1000, code, sizeof(code));
	memory[0x5000] = 0x5a;
	for (int i = 0; i < 8; i++)
		memset(managed_pages(1 << 20), 1, 1 << 20);
	int cpu = ioctl(machine, KVM_CREATE_VCPU, 0);
	CHECK(cpu >= 0);
	struct kvm_run *run = mmap(NULL, (size_t)ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0),
	    PROT_READ | PROT_WRITE, MAP_SHARED, cpu, 0);
	CHECK(run != MAP_FAILED && !ioctl(cpu, KVM_GET_SREGS, &segments));
	segments.cs.base = segments.cs.selector = segments.ds.base = segments.ds.selector = 0;
	CHECK(!ioctl(cpu, KVM_SET_SREGS, &segments) && !ioctl(cpu, KVM_SET_REGS, &regs));
	CHECK(!ioctl(cpu, KVM_RUN, 0) && run->exit_reason == KVM_EXIT_HLT);
	CHECK(!ioctl(cpu, KVM_GET_REGS, &regs) && (regs.rax & 0xff) == 0x5a);
	close(cpu);
}

static void test_guest(void)
{
	const char *preloaded = getenv("LD_PRELOAD");
	int kvm = open("/dev/kvm", O_RDWR);
	int machine = kvm < 0 ? -1 : ioctl(kvm, KVM_CREATE_VM, 0);

	if (preloaded && strstr(preloaded, "fake"))
		fprintf(stderr, "skipped guest: the fake pager keeps all that it has\n");
	else if (machine < 0)
		fprintf(stderr, "skipped guest: no virtual machines here: %s\n", strerror(errno));
	else
		run_guest(kvm, machine);
	close(machine);
	close(kvm);
}

int main(void)
{
	test_guest();
	test_robust();
	test_destructor();
	test_words();
	test_filter();
	test_registers();
	test_records();
	test_pipe();
	test_zeros();
	test_write_only();
	return 0;
}
