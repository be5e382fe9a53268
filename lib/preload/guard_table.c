// SPDX-License-Identifier: MIT
/*
 * The system calls of x86-64 and what their arguments point to. Sizes are the kernel's structures,
 * not libc's. ARG_INOUT also stands for what the kernel only writes: the memory is copied in first,
 * so that bytes which the kernel leaves alone come back as they were.
 *
 * Addresses that the kernel keeps for later (set_tid_address, set_robust_list, rseq) count as
 * values, and so does the stack of clone. Calls that are not listed are ARG_UNKNOWN throughout.
 */
#include <sys/socket.h>
#include <sys/syscall.h>

#include "preload/guard.h"

/* Younger than the headers of Debian 12. Of these and of still younger ones, those that are not in
 * the table are passed on with their pages touched, which does for all but large buffers. */
#ifndef SYS_cachestat
#define SYS_cachestat 451
#define SYS_fchmodat2 452
#endif
#ifndef SYS_mseal
#define SYS_mseal 462
#endif

#define VALUE                   \
	{                       \
		ARG_VALUE, 0, 0 \
	}
#define SPECIAL                   \
	{                         \
		ARG_SPECIAL, 0, 0 \
	}
#define UNKNOWN                   \
	{                         \
		ARG_UNKNOWN, 0, 0 \
	}
#define STR                         \
	{                           \
		ARG_STRING, 0, 4096 \
	}
#define NAME                       \
	{                          \
		ARG_STRING, 0, 256 \
	}
#define IN(bytes)                \
	{                        \
		ARG_IN, 0, bytes \
	}
#define INOUT(bytes)                \
	{                           \
		ARG_INOUT, 0, bytes \
	}
#define IN_BUF(len, elem)             \
	{                             \
		ARG_IN_BUF, len, elem \
	}
#define INOUT_BUF(len, elem)             \
	{                                \
		ARG_INOUT_BUF, len, elem \
	}
#define OUT_BUF(len, elem)             \
	{                              \
		ARG_OUT_BUF, len, elem \
	}
#define OUT_LEN(len)                \
	{                           \
		ARG_OUT_LEN, len, 0 \
	}
#define SOCKET_NAME(len)                                          \
	{                                                         \
		ARG_OUT_LEN, len, sizeof(struct sockaddr_storage) \
	}
#define POLLFDS(len)                \
	{                           \
		ARG_POLLFDS, len, 8 \
	}
#define SIGSET(len)                \
	{                          \
		ARG_SIGSET, len, 8 \
	}

#define CALL(name, ...) [SYS_##name] = {.is_known = true, .arg = {__VA_ARGS__}}
#define SPECIAL_CALL(name, what, ...) \
	[SYS_##name] = {.is_known = true, .special = SPECIAL_##what, .arg = {__VA_ARGS__}}
#define NO_POINTER(name) [SYS_##name] = {.is_known = true}

/* clang-format off */
static const struct guard_info calls[GUARD_NR_CALLS] = {
	SPECIAL_CALL(read, IO, VALUE, SPECIAL),
	SPECIAL_CALL(write, IO, VALUE, SPECIAL),
	CALL(open, STR),
	NO_POINTER(close),
	CALL(stat, STR, INOUT(144)),
	CALL(fstat, VALUE, INOUT(144)),
	CALL(lstat, STR, INOUT(144)),
	CALL(poll, POLLFDS(1)),
	NO_POINTER(lseek),
	SPECIAL_CALL(mmap, MAPPING, SPECIAL),
	SPECIAL_CALL(mprotect, MAPPING, SPECIAL),
	SPECIAL_CALL(munmap, MAPPING, SPECIAL),
	NO_POINTER(brk),
	SPECIAL_CALL(rt_sigaction, SIGNAL, VALUE, SPECIAL, SPECIAL),
	SPECIAL_CALL(rt_sigprocmask, SIGNAL, VALUE, SPECIAL, SPECIAL),
	NO_POINTER(rt_sigreturn),
	SPECIAL_CALL(ioctl, IOCTL, VALUE, VALUE, SPECIAL),
	SPECIAL_CALL(pread64, IO, VALUE, SPECIAL),
	SPECIAL_CALL(pwrite64, IO, VALUE, SPECIAL),
	SPECIAL_CALL(readv, IO, VALUE, SPECIAL),
	SPECIAL_CALL(writev, IO, VALUE, SPECIAL),
	CALL(access, STR),
	CALL(pipe, INOUT(8)),
	SPECIAL_CALL(select, SELECT, VALUE, SPECIAL, SPECIAL, SPECIAL, SPECIAL),
	NO_POINTER(sched_yield),
	SPECIAL_CALL(mremap, MAPPING, SPECIAL, VALUE, VALUE, VALUE, SPECIAL),
	SPECIAL_CALL(msync, MAPPING, SPECIAL),
	SPECIAL_CALL(mincore, MAPPING, SPECIAL, VALUE, SPECIAL),
	SPECIAL_CALL(madvise, MAPPING, SPECIAL),
	NO_POINTER(shmget),
	SPECIAL_CALL(shmat, MAPPING, VALUE, SPECIAL),
	CALL(shmctl, VALUE, VALUE, INOUT(112)),
	NO_POINTER(dup),
	NO_POINTER(dup2),
	NO_POINTER(pause),
	CALL(nanosleep, IN(16), INOUT(16)),
	CALL(getitimer, VALUE, INOUT(32)),
	NO_POINTER(alarm),
	CALL(setitimer, VALUE, IN(32), INOUT(32)),
	NO_POINTER(getpid),
	CALL(sendfile, VALUE, VALUE, INOUT(8)),
	NO_POINTER(socket),
	CALL(connect, VALUE, IN_BUF(2, 1)),
	CALL(accept, VALUE, SOCKET_NAME(2), INOUT(4)),
	SPECIAL_CALL(sendto, MSG, VALUE, SPECIAL, VALUE, VALUE, SPECIAL),
	SPECIAL_CALL(recvfrom, MSG, VALUE, SPECIAL, VALUE, VALUE, SPECIAL, SPECIAL),
	SPECIAL_CALL(sendmsg, MSG, VALUE, SPECIAL),
	SPECIAL_CALL(recvmsg, MSG, VALUE, SPECIAL),
	NO_POINTER(shutdown),
	CALL(bind, VALUE, IN_BUF(2, 1)),
	NO_POINTER(listen),
	CALL(getsockname, VALUE, SOCKET_NAME(2), INOUT(4)),
	CALL(getpeername, VALUE, SOCKET_NAME(2), INOUT(4)),
	CALL(socketpair, VALUE, VALUE, VALUE, INOUT(8)),
	CALL(setsockopt, VALUE, VALUE, VALUE, IN_BUF(4, 1)),
	SPECIAL_CALL(getsockopt, SOCKOPT, VALUE, VALUE, VALUE, OUT_LEN(4), INOUT(4)),
	SPECIAL_CALL(clone, CLONE, VALUE, VALUE, SPECIAL, SPECIAL),
	NO_POINTER(fork),
	NO_POINTER(vfork),
	SPECIAL_CALL(execve, EXEC, SPECIAL, SPECIAL, SPECIAL),
	NO_POINTER(exit),
	CALL(wait4, VALUE, INOUT(4), VALUE, INOUT(144)),
	NO_POINTER(kill),
	CALL(uname, INOUT(390)),
	NO_POINTER(semget),
	CALL(semop, VALUE, IN_BUF(2, 6)),
	CALL(semctl, VALUE, VALUE, VALUE, UNKNOWN),
	SPECIAL_CALL(shmdt, MAPPING, SPECIAL),
	NO_POINTER(msgget),
	SPECIAL_CALL(msgsnd, MSGQ, VALUE, SPECIAL),
	SPECIAL_CALL(msgrcv, MSGQ, VALUE, SPECIAL),
	CALL(msgctl, VALUE, VALUE, INOUT(120)),
	SPECIAL_CALL(fcntl, FCNTL, VALUE, VALUE, SPECIAL),
	NO_POINTER(flock),
	NO_POINTER(fsync),
	NO_POINTER(fdatasync),
	CALL(truncate, STR),
	NO_POINTER(ftruncate),
	CALL(getdents, VALUE, OUT_BUF(2, 1)),
	CALL(getcwd, OUT_BUF(1, 1)),
	CALL(chdir, STR),
	NO_POINTER(fchdir),
	CALL(rename, STR, STR),
	CALL(mkdir, STR),
	CALL(rmdir, STR),
	CALL(creat, STR),
	CALL(link, STR, STR),
	CALL(unlink, STR),
	CALL(symlink, STR, STR),
	CALL(readlink, STR, OUT_BUF(2, 1)),
	CALL(chmod, STR),
	NO_POINTER(fchmod),
	CALL(chown, STR),
	NO_POINTER(fchown),
	CALL(lchown, STR),
	NO_POINTER(umask),
	CALL(gettimeofday, INOUT(16), INOUT(8)),
	CALL(getrlimit, VALUE, INOUT(16)),
	CALL(getrusage, VALUE, INOUT(144)),
	CALL(sysinfo, INOUT(112)),
	CALL(times, INOUT(32)),
	CALL(ptrace, VALUE, VALUE, UNKNOWN, UNKNOWN),
	NO_POINTER(getuid),
	CALL(syslog, VALUE, OUT_BUF(2, 1)),
	NO_POINTER(getgid),
	NO_POINTER(setuid),
	NO_POINTER(setgid),
	NO_POINTER(geteuid),
	NO_POINTER(getegid),
	NO_POINTER(setpgid),
	NO_POINTER(getppid),
	NO_POINTER(getpgrp),
	NO_POINTER(setsid),
	NO_POINTER(setreuid),
	NO_POINTER(setregid),
	CALL(getgroups, VALUE, OUT_BUF(0, 4)),
	CALL(setgroups, VALUE, IN_BUF(0, 4)),
	NO_POINTER(setresuid),
	CALL(getresuid, INOUT(4), INOUT(4), INOUT(4)),
	NO_POINTER(setresgid),
	CALL(getresgid, INOUT(4), INOUT(4), INOUT(4)),
	NO_POINTER(getpgid),
	NO_POINTER(setfsuid),
	NO_POINTER(setfsgid),
	NO_POINTER(getsid),
	SPECIAL_CALL(capget, SIZED, SPECIAL, SPECIAL),
	SPECIAL_CALL(capset, SIZED, SPECIAL, SPECIAL),
	CALL(rt_sigpending, INOUT_BUF(1, 1)),
	CALL(rt_sigtimedwait, SIGSET(3), INOUT(128), IN(16)),
	CALL(rt_sigqueueinfo, VALUE, VALUE, IN(128)),
	CALL(rt_sigsuspend, SIGSET(1)),
	SPECIAL_CALL(sigaltstack, SIGNAL, SPECIAL, SPECIAL),
	CALL(utime, STR, IN(16)),
	CALL(mknod, STR),
	CALL(uselib, STR),
	NO_POINTER(personality),
	CALL(ustat, VALUE, INOUT(32)),
	CALL(statfs, STR, INOUT(120)),
	CALL(fstatfs, VALUE, INOUT(120)),
	CALL(sysfs, UNKNOWN, UNKNOWN, UNKNOWN),
	NO_POINTER(getpriority),
	NO_POINTER(setpriority),
	CALL(sched_setparam, VALUE, IN(4)),
	CALL(sched_getparam, VALUE, INOUT(4)),
	CALL(sched_setscheduler, VALUE, VALUE, IN(4)),
	NO_POINTER(sched_getscheduler),
	NO_POINTER(sched_get_priority_max),
	NO_POINTER(sched_get_priority_min),
	CALL(sched_rr_get_interval, VALUE, INOUT(16)),
	SPECIAL_CALL(mlock, MAPPING, SPECIAL),
	SPECIAL_CALL(munlock, MAPPING, SPECIAL),
	NO_POINTER(mlockall),
	NO_POINTER(munlockall),
	NO_POINTER(vhangup),
	CALL(modify_ldt, VALUE, UNKNOWN),
	CALL(pivot_root, STR, STR),
	SPECIAL_CALL(prctl, PRCTL, VALUE, SPECIAL, SPECIAL, SPECIAL, SPECIAL),
	SPECIAL_CALL(arch_prctl, PRCTL, VALUE, SPECIAL),
	CALL(adjtimex, INOUT(208)),
	CALL(setrlimit, VALUE, IN(16)),
	CALL(chroot, STR),
	NO_POINTER(sync),
	CALL(acct, STR),
	CALL(settimeofday, IN(16), IN(8)),
	CALL(mount, STR, STR, STR, VALUE, STR),
	CALL(umount2, STR),
	CALL(swapon, STR),
	CALL(swapoff, STR),
	CALL(reboot, VALUE, VALUE, VALUE, STR),
	CALL(sethostname, IN_BUF(1, 1)),
	CALL(setdomainname, IN_BUF(1, 1)),
	NO_POINTER(iopl),
	NO_POINTER(ioperm),
	CALL(init_module, UNKNOWN, VALUE, STR),
	CALL(delete_module, STR),
	CALL(quotactl, VALUE, STR, VALUE, UNKNOWN),
	NO_POINTER(gettid),
	NO_POINTER(readahead),
	CALL(setxattr, STR, NAME, IN_BUF(3, 1)),
	CALL(lsetxattr, STR, NAME, IN_BUF(3, 1)),
	CALL(fsetxattr, VALUE, NAME, IN_BUF(3, 1)),
	CALL(getxattr, STR, NAME, OUT_BUF(3, 1)),
	CALL(lgetxattr, STR, NAME, OUT_BUF(3, 1)),
	CALL(fgetxattr, VALUE, NAME, OUT_BUF(3, 1)),
	CALL(listxattr, STR, OUT_BUF(2, 1)),
	CALL(llistxattr, STR, OUT_BUF(2, 1)),
	CALL(flistxattr, VALUE, OUT_BUF(2, 1)),
	CALL(removexattr, STR, NAME),
	CALL(lremovexattr, STR, NAME),
	CALL(fremovexattr, VALUE, NAME),
	NO_POINTER(tkill),
	CALL(time, INOUT(8)),
	SPECIAL_CALL(futex, FUTEX, SPECIAL, VALUE, VALUE, SPECIAL, SPECIAL),
	CALL(sched_setaffinity, VALUE, VALUE, IN_BUF(1, 1)),
	CALL(sched_getaffinity, VALUE, VALUE, OUT_BUF(1, 1)),
	CALL(set_thread_area, INOUT(16)),
	SPECIAL_CALL(io_setup, ASYNC, VALUE, INOUT(8)),
	NO_POINTER(io_destroy),
	CALL(io_getevents, VALUE, VALUE, VALUE, OUT_BUF(2, 32), INOUT(16)),
	CALL(io_submit, VALUE, VALUE, UNKNOWN),
	CALL(io_cancel, VALUE, UNKNOWN, UNKNOWN),
	CALL(get_thread_area, INOUT(16)),
	CALL(lookup_dcookie, VALUE, OUT_BUF(2, 1)),
	NO_POINTER(epoll_create),
	SPECIAL_CALL(remap_file_pages, MAPPING, SPECIAL),
	CALL(getdents64, VALUE, OUT_BUF(2, 1)),
	NO_POINTER(set_tid_address),
	NO_POINTER(restart_syscall),
	CALL(semtimedop, VALUE, IN_BUF(2, 6), VALUE, IN(16)),
	NO_POINTER(fadvise64),
	CALL(timer_create, VALUE, IN(64), INOUT(4)),
	CALL(timer_settime, VALUE, VALUE, IN(32), INOUT(32)),
	CALL(timer_gettime, VALUE, INOUT(32)),
	NO_POINTER(timer_getoverrun),
	NO_POINTER(timer_delete),
	CALL(clock_settime, VALUE, IN(16)),
	CALL(clock_gettime, VALUE, INOUT(16)),
	CALL(clock_getres, VALUE, INOUT(16)),
	CALL(clock_nanosleep, VALUE, VALUE, IN(16), INOUT(16)),
	NO_POINTER(exit_group),
	CALL(epoll_wait, VALUE, OUT_BUF(2, 12)),
	CALL(epoll_ctl, VALUE, VALUE, VALUE, IN(12)),
	NO_POINTER(tgkill),
	CALL(utimes, STR, IN(32)),
	CALL(mbind, VALUE, VALUE, VALUE, UNKNOWN),
	CALL(set_mempolicy, VALUE, UNKNOWN),
	CALL(get_mempolicy, INOUT(4), UNKNOWN),
	CALL(mq_open, STR, VALUE, VALUE, IN(64)),
	CALL(mq_unlink, STR),
	CALL(mq_timedsend, VALUE, IN_BUF(2, 1), VALUE, VALUE, IN(16)),
	CALL(mq_timedreceive, VALUE, OUT_BUF(2, 1), VALUE, INOUT(4), IN(16)),
	CALL(mq_notify, VALUE, IN(64)),
	CALL(mq_getsetattr, VALUE, IN(64), INOUT(64)),
	CALL(kexec_load, VALUE, VALUE, UNKNOWN),
	CALL(waitid, VALUE, VALUE, INOUT(128), VALUE, INOUT(144)),
	CALL(add_key, STR, STR, IN_BUF(3, 1)),
	CALL(request_key, STR, STR, STR),
	CALL(keyctl, VALUE, UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN),
	NO_POINTER(ioprio_set),
	NO_POINTER(ioprio_get),
	NO_POINTER(inotify_init),
	CALL(inotify_add_watch, VALUE, STR),
	NO_POINTER(inotify_rm_watch),
	CALL(migrate_pages, VALUE, VALUE, UNKNOWN, UNKNOWN),
	CALL(openat, VALUE, STR),
	CALL(mkdirat, VALUE, STR),
	CALL(mknodat, VALUE, STR),
	CALL(fchownat, VALUE, STR),
	CALL(futimesat, VALUE, STR, IN(32)),
	CALL(newfstatat, VALUE, STR, INOUT(144)),
	CALL(unlinkat, VALUE, STR),
	CALL(renameat, VALUE, STR, VALUE, STR),
	CALL(linkat, VALUE, STR, VALUE, STR),
	CALL(symlinkat, STR, VALUE, STR),
	CALL(readlinkat, VALUE, STR, OUT_BUF(3, 1)),
	CALL(fchmodat, VALUE, STR),
	CALL(faccessat, VALUE, STR),
	SPECIAL_CALL(pselect6, SELECT, VALUE, SPECIAL, SPECIAL, SPECIAL, SPECIAL, SPECIAL),
	CALL(ppoll, POLLFDS(1), VALUE, INOUT(16), SIGSET(4)),
	NO_POINTER(unshare),
	NO_POINTER(set_robust_list),
	CALL(get_robust_list, VALUE, INOUT(8), INOUT(8)),
	CALL(splice, VALUE, INOUT(8), VALUE, INOUT(8)),
	NO_POINTER(tee),
	NO_POINTER(sync_file_range),
	SPECIAL_CALL(vmsplice, IO, VALUE, SPECIAL),
	CALL(move_pages, VALUE, VALUE, UNKNOWN, UNKNOWN, UNKNOWN),
	CALL(utimensat, VALUE, STR, IN(32)),
	CALL(epoll_pwait, VALUE, OUT_BUF(2, 12), VALUE, VALUE, SIGSET(5)),
	CALL(signalfd, VALUE, SIGSET(2)),
	NO_POINTER(timerfd_create),
	NO_POINTER(eventfd),
	NO_POINTER(fallocate),
	CALL(timerfd_settime, VALUE, VALUE, IN(32), INOUT(32)),
	CALL(timerfd_gettime, VALUE, INOUT(32)),
	CALL(accept4, VALUE, SOCKET_NAME(2), INOUT(4)),
	CALL(signalfd4, VALUE, SIGSET(2)),
	NO_POINTER(eventfd2),
	NO_POINTER(epoll_create1),
	NO_POINTER(dup3),
	CALL(pipe2, INOUT(8)),
	NO_POINTER(inotify_init1),
	SPECIAL_CALL(preadv, IO, VALUE, SPECIAL),
	SPECIAL_CALL(pwritev, IO, VALUE, SPECIAL),
	CALL(rt_tgsigqueueinfo, VALUE, VALUE, VALUE, IN(128)),
	SPECIAL_CALL(perf_event_open, SIZED, SPECIAL),
	SPECIAL_CALL(recvmmsg, MSG, VALUE, SPECIAL, VALUE, VALUE, SPECIAL),
	NO_POINTER(fanotify_init),
	CALL(fanotify_mark, VALUE, VALUE, VALUE, VALUE, STR),
	CALL(prlimit64, VALUE, VALUE, IN(16), INOUT(16)),
	SPECIAL_CALL(name_to_handle_at, SIZED, VALUE, SPECIAL, SPECIAL, SPECIAL),
	SPECIAL_CALL(open_by_handle_at, SIZED, VALUE, SPECIAL),
	CALL(clock_adjtime, VALUE, INOUT(208)),
	NO_POINTER(syncfs),
	SPECIAL_CALL(sendmmsg, MSG, VALUE, SPECIAL),
	NO_POINTER(setns),
	CALL(getcpu, INOUT(4), INOUT(4)),
	SPECIAL_CALL(process_vm_readv, PROCESS_VM, VALUE, SPECIAL, VALUE, SPECIAL),
	SPECIAL_CALL(process_vm_writev, PROCESS_VM, VALUE, SPECIAL, VALUE, SPECIAL),
	NO_POINTER(kcmp),
	CALL(finit_module, VALUE, STR),
	SPECIAL_CALL(sched_setattr, SIZED, VALUE, SPECIAL),
	CALL(sched_getattr, VALUE, INOUT_BUF(2, 1)),
	CALL(renameat2, VALUE, STR, VALUE, STR),
	CALL(seccomp, VALUE, VALUE, UNKNOWN),
	SPECIAL_CALL(getrandom, RANDOM, SPECIAL),
	CALL(memfd_create, STR),
	CALL(kexec_file_load, VALUE, VALUE, VALUE, STR),
	CALL(bpf, VALUE, UNKNOWN),
	SPECIAL_CALL(execveat, EXEC, VALUE, SPECIAL, SPECIAL, SPECIAL),
	NO_POINTER(userfaultfd),
	NO_POINTER(membarrier),
	SPECIAL_CALL(mlock2, MAPPING, SPECIAL),
	CALL(copy_file_range, VALUE, INOUT(8), VALUE, INOUT(8)),
	SPECIAL_CALL(preadv2, IO, VALUE, SPECIAL),
	SPECIAL_CALL(pwritev2, IO, VALUE, SPECIAL),
	SPECIAL_CALL(pkey_mprotect, MAPPING, SPECIAL),
	NO_POINTER(pkey_alloc),
	NO_POINTER(pkey_free),
	CALL(statx, VALUE, STR, VALUE, VALUE, INOUT(256)),
	CALL(io_pgetevents, VALUE, VALUE, VALUE, OUT_BUF(2, 32), INOUT(16), UNKNOWN),
	NO_POINTER(rseq),
	CALL(pidfd_send_signal, VALUE, VALUE, IN(128)),
	SPECIAL_CALL(io_uring_setup, ASYNC, VALUE, INOUT(120)),
	CALL(io_uring_enter, VALUE, VALUE, VALUE, VALUE, UNKNOWN),
	CALL(io_uring_register, VALUE, VALUE, UNKNOWN),
	CALL(open_tree, VALUE, STR),
	CALL(move_mount, VALUE, STR, VALUE, STR),
	CALL(fsopen, STR),
	CALL(fsconfig, VALUE, VALUE, UNKNOWN, UNKNOWN),
	NO_POINTER(fsmount),
	CALL(fspick, VALUE, STR),
	NO_POINTER(pidfd_open),
	SPECIAL_CALL(clone3, CLONE, SPECIAL),
	NO_POINTER(close_range),
	CALL(openat2, VALUE, STR, IN_BUF(3, 1)),
	NO_POINTER(pidfd_getfd),
	CALL(faccessat2, VALUE, STR),
	CALL(process_madvise, VALUE, UNKNOWN),
	CALL(epoll_pwait2, VALUE, OUT_BUF(2, 12), VALUE, IN(16), SIGSET(5)),
	CALL(mount_setattr, VALUE, STR, VALUE, IN_BUF(4, 1)),
	CALL(quotactl_fd, VALUE, VALUE, VALUE, UNKNOWN),
	CALL(landlock_create_ruleset, IN_BUF(1, 1)),
	CALL(landlock_add_rule, VALUE, VALUE, UNKNOWN),
	NO_POINTER(landlock_restrict_self),
	NO_POINTER(memfd_secret),
	NO_POINTER(process_mrelease),
	SPECIAL_CALL(futex_waitv, FUTEX, SPECIAL, VALUE, VALUE, SPECIAL),
	NO_POINTER(set_mempolicy_home_node),
	CALL(cachestat, VALUE, IN(16), INOUT(40)),
	CALL(fchmodat2, VALUE, STR),
	SPECIAL_CALL(mseal, MAPPING, SPECIAL),
	/* Not supported, by the kernel itself: ENOSYS whatever the arguments are. */
	NO_POINTER(_sysctl),
	NO_POINTER(create_module),
	NO_POINTER(get_kernel_syms),
	NO_POINTER(query_module),
	NO_POINTER(nfsservctl),
	NO_POINTER(getpmsg),
	NO_POINTER(putpmsg),
	NO_POINTER(afs_syscall),
	NO_POINTER(tuxcall),
	NO_POINTER(security),
	NO_POINTER(epoll_ctl_old),
	NO_POINTER(epoll_wait_old),
	NO_POINTER(vserver),
};
/* clang-format on */

static const struct guard_info unknown = {
    .arg = {UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN}};

const struct guard_info *guard_info(long nr)
{
	if (nr < 0 || (unsigned long)nr >= GUARD_NR_CALLS || !calls[nr].is_known)
		return &unknown;
	return &calls[nr];
}
