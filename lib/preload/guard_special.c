// SPDX-License-Identifier: MIT
/*
 * Trapped calls that the table cannot describe: what an argument is depends on another one, or the
 * call is about managed memory itself, or it would be undone when our handler returns.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/futex.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <stdatomic.h>
#include <sys/syscall.h>

#include "base/sys.h"
#include "pager/pager.h"
#include "preload/altstack.h"
#include "preload/guard.h"
#include "preload/sigframe.h"
#include "preload/signals.h"
#include "preload/wrap_exec.h"

#define MAX_RETRIES 1000
#define MAX_SIZED   4096u

static long direct(const struct guard_trap *t)
{
	return sys_call6(
	    t->nr, t->args[0], t->args[1], t->args[2], t->args[3], t->args[4], t->args[5]);
}

/* Piece by piece: the vector may be managed, and is not to be touched inside the pager. */
static long mincore_call(const struct guard_trap *t)
{
	unsigned char part[512], *vec = (unsigned char *)t->args[2];
	uintptr_t addr = (uintptr_t)t->args[0];
	size_t len = (size_t)t->args[1];

	if (addr & PAGE_MASK)
		return -EINVAL;
	if (addr + len < addr || page_round_up(len) < len)
		return -ENOMEM;
	while (len) {
		size_t bytes = MIN(len, sizeof(part) * PAGE_BYTES);
		long err = pager_mincore(addr, bytes, part);

		if (err)
			return err;
		if (guard_copy(vec, part, page_round_up(bytes) / PAGE_BYTES))
			return -EFAULT;
		addr += bytes;
		vec += sizeof(part);
		len -= bytes;
	}
	return 0;
}

static long mapping(const struct guard_trap *t)
{
	uintptr_t addr = (uintptr_t)t->args[0];
	size_t len = (size_t)t->args[1];

	switch (t->nr) {
	case SYS_mmap:
		return pager_mmap(
		    addr, len, (int)t->args[2], (int)t->args[3], (int)t->args[4], t->args[5]);
	case SYS_munmap:
		return pager_munmap(addr, len);
	case SYS_mremap:
		return pager_mremap(
		    addr, len, (size_t)t->args[2], (int)t->args[3], (uintptr_t)t->args[4]);
	case SYS_mprotect:
		return pager_mprotect(addr, len, (int)t->args[2]);
	case SYS_pkey_mprotect:
		return (int)t->args[3] == -1 ? pager_mprotect(addr, len, (int)t->args[2]) : -EINVAL;
	case SYS_madvise:
		return pager_madvise(addr, len, (int)t->args[2]);
	case SYS_mlock:
		return pager_mlock(addr, len, 0);
	case SYS_mlock2:
		return pager_mlock(addr, len, (unsigned)t->args[2]);
	case SYS_munlock:
		return pager_munlock(addr, len);
	case SYS_msync:
		return pager_msync(addr, len, (int)t->args[2]);
	case SYS_mincore:
		return mincore_call(t);
	case 462: /* mseal: the pager could not take such pages away */
		return -ENOSYS;
	case SYS_shmat:
		return pager_shmat((int)t->args[0], (uintptr_t)t->args[1], (int)t->args[2]);
	case SYS_shmdt:
		return sys_call1(SYS_shmdt, t->args[0]);
	default: /* remap_file_pages: never over managed memory */
		return -EINVAL;
	}
}

static bool has_timeout(int cmd)
{
	return cmd == FUTEX_WAIT || cmd == FUTEX_WAIT_BITSET || cmd == FUTEX_LOCK_PI ||
	       cmd == FUTEX_WAIT_REQUEUE_PI || cmd == 13 /* FUTEX_LOCK_PI2 */;
}

/* The word itself is what the kernel compares and queues on: never a copy of it. */
static long futex(const struct guard_trap *t)
{
	struct timespec ts;
	long timeout = t->args[3], result = -EFAULT;

	if (has_timeout((int)t->args[1] & FUTEX_CMD_MASK) && in_window((uintptr_t)timeout)) {
		if (guard_copy(&ts, (void *)timeout, sizeof(ts)))
			return -EFAULT;
		timeout = (long)&ts;
	}
	for (int i = 0; i < MAX_RETRIES; i++) {
		result = sys_call6(
		    t->nr, t->args[0], t->args[1], t->args[2], timeout, t->args[4], t->args[5]);
		if (result != -EFAULT)
			break;
		if (!guard_touch_write((uintptr_t)t->args[0]) &&
		    !guard_touch_read((uintptr_t)t->args[0]))
			break;
		if (in_window((uintptr_t)t->args[4]))
			guard_touch_write((uintptr_t)t->args[4]);
	}
	return result;
}

static void touch_words(const struct futex_waitv *w, unsigned nr)
{
	for (unsigned i = 0; i < nr; i++)
		/* Shared ones are looked up for writing. */
		if (in_window(w[i].uaddr) && !guard_touch_write(w[i].uaddr))
			guard_touch_read(w[i].uaddr);
}

/* As futex(): the list is copied, the words are where they are. */
static long futex_waitv(const struct guard_trap *t)
{
	unsigned nr = (unsigned)t->args[1];
	struct timespec ts, *timeout = NULL;
	struct bounce b;

	if (nr > FUTEX_WAITV_MAX)
		return -EINVAL;
	if (t->args[3] && guard_copy(&ts, (void *)t->args[3], sizeof(ts)))
		return -EFAULT;
	if (t->args[3])
		timeout = &ts;
	long result = bounce_begin(&b, t->sp, t->stack);
	if (result)
		return result;
	struct futex_waitv *w = bounce_alloc(&b, nr * sizeof(*w) + 1);
	result = !w ? -ENOMEM : -EFAULT;
	if (w && !guard_copy(w, (void *)t->args[0], nr * sizeof(*w)))
		for (int i = 0; i < MAX_RETRIES && result == -EFAULT; i++) {
			touch_words(w, nr);
			result =
			    sys_call5(t->nr, (long)w, nr, t->args[2], (long)timeout, t->args[4]);
		}
	bounce_end(&b);
	return result;
}

static long select_call(const struct guard_trap *t)
{
	int nfds = MAX((int)t->args[0], 0);
	uint16_t bytes = (uint16_t)(MIN(((unsigned)nfds + 63) / 64, 8000u) * 8);
	struct guard_arg set = {ARG_INOUT, 0, bytes};
	struct guard_arg arg[NR_ARGS] = {{0}, set, set, set, {ARG_INOUT, 0, 16}};
	struct guard_trap own = *t;
	struct {
		uint64_t *set;
		size_t size;
	} mask;
	uint64_t bits;

	if (t->nr == SYS_pselect6 && t->args[5]) {
		if (guard_copy(&mask, (void *)t->args[5], sizeof(mask)))
			return -EFAULT;
		if (mask.set) {
			if (guard_copy(&bits, mask.set, sizeof(bits)))
				return -EFAULT;
			bits &= ~SIGNALS_KEPT;
			mask.set = &bits;
		}
		own.args[5] = (long)&mask;
	}
	return guard_with(&own, arg);
}

/* Of a filter, lengths are numbers of instructions. */
static long socket_filter(const struct guard_trap *t)
{
	socklen_t len;
	struct bounce b;

	if (guard_copy(&len, (void *)t->args[4], sizeof(len)))
		return -EFAULT;
	long result = bounce_begin(&b, t->sp, t->stack);
	if (result)
		return result;
	size_t room = MIN(len, (socklen_t)BPF_MAXINSNS) * sizeof(struct sock_filter);
	void *mem = bounce_alloc(&b, room + 1);
	result = -ENOMEM;
	if (mem)
		result =
		    sys_call5(t->nr, t->args[0], t->args[1], t->args[2], (long)mem, (long)&len);
	/* Where there is no room the number is asked for. */
	size_t bytes = MIN(room, len * sizeof(struct sock_filter));
	if (!result && (guard_copy((void *)t->args[3], mem, bytes) ||
	                   guard_copy((void *)t->args[4], &len, sizeof(len))))
		result = -EFAULT;
	bounce_end(&b);
	return result;
}

static long getsockopt_call(const struct guard_trap *t)
{
	bool is_filter = (int)t->args[1] == SOL_SOCKET && (int)t->args[2] == SO_GET_FILTER;

	return is_filter ? socket_filter(t) : guard_plain(t);
}

static long fcntl_call(const struct guard_trap *t)
{
	struct guard_arg arg[NR_ARGS] = {{0}};

	switch (t->args[1]) {
	case F_GETLK:
	case F_SETLK:
	case F_SETLKW:
	case F_OFD_GETLK:
	case F_OFD_SETLK:
	case F_OFD_SETLKW:
		arg[2] = (struct guard_arg){ARG_INOUT, 0, 32};
		break;
	case F_GETOWN_EX:
	case F_SETOWN_EX:
	case 17: /* F_GETOWNER_UIDS */
	case F_GET_RW_HINT:
	case F_SET_RW_HINT:
	case F_GET_FILE_RW_HINT:
	case F_SET_FILE_RW_HINT:
		arg[2] = (struct guard_arg){ARG_INOUT, 0, 8};
		break;
	default:
		break;
	}
	return guard_with(t, arg);
}

static long prctl_call(const struct guard_trap *t)
{
	static const struct {
		long option;
		uint8_t at, kind;
		uint16_t size;
	} known[] = {
	    {PR_GET_PDEATHSIG, 1, ARG_INOUT, 4},
	    {PR_GET_UNALIGN, 1, ARG_INOUT, 4},
	    {PR_GET_FPEMU, 1, ARG_INOUT, 4},
	    {PR_GET_FPEXC, 1, ARG_INOUT, 4},
	    {PR_GET_ENDIAN, 1, ARG_INOUT, 4},
	    {PR_GET_TSC, 1, ARG_INOUT, 4},
	    {PR_GET_CHILD_SUBREAPER, 1, ARG_INOUT, 4},
	    {PR_GET_TID_ADDRESS, 1, ARG_INOUT, 8},
	    {PR_SET_NAME, 1, ARG_STRING, 16},
	    {PR_GET_NAME, 1, ARG_INOUT, 16},
	    {62 /* PR_SCHED_CORE */, 4, ARG_INOUT, 8},
	};
	struct guard_arg arg[NR_ARGS] = {{0}};

	if (t->args[0] == PR_SET_SECCOMP || t->args[0] == PR_SET_MM)
		return guard_unknown(t);
	if (t->args[0] == 0x53564d41 /* PR_SET_VMA */) {
		if (in_window((uintptr_t)t->args[2]))
			return 0; /* a name would only split the pager's mapping */
		arg[4] = (struct guard_arg){ARG_STRING, 0, 80};
		return guard_with(t, arg);
	}
	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (known[i].option == t->args[0])
			arg[known[i].at] = (struct guard_arg){known[i].kind, 0, known[i].size};
	return guard_with(t, arg);
}

static long arch_prctl_call(const struct guard_trap *t)
{
	struct guard_arg arg[NR_ARGS] = {{0}};

	/* ARCH_SET_FS, ARCH_SET_GS and the like take addresses as values. */
	if (t->args[0] == 0x1003 || t->args[0] == 0x1004 || (t->args[0] & ~7L) == 0x1020)
		arg[1] = (struct guard_arg){ARG_INOUT, 0, 8};
	return guard_with(t, arg);
}

/* The mask that counts is the one that our handler returns to. */
static long sigprocmask_call(const struct guard_trap *t)
{
	uint64_t set, old;

	if (t->args[3] != sizeof(set))
		return -EINVAL;
	if (t->args[1] && guard_copy(&set, (void *)t->args[1], sizeof(set)))
		return -EFAULT;
	int err = signals_mask_change((int)t->args[0], t->args[1] ? &set : NULL,
	    (uint64_t *)&t->uc->uc_sigmask, &old, (uintptr_t)t->uc->uc_mcontext.gregs[REG_RSP]);
	if (err)
		return err;
	return t->args[2] && guard_copy((void *)t->args[2], &old, sizeof(old)) ? -EFAULT : 0;
}

static long sigaction_call(const struct guard_trap *t)
{
	struct sys_sigaction act = {0}, old;
	int sig = (int)t->args[0];

	if (t->args[3] != sizeof(act.mask))
		return -EINVAL;
	if (t->args[1] && guard_copy(&act, (void *)t->args[1], sizeof(act)))
		return -EFAULT;
	if (signal_is_kept(sig)) {
		signals_action(sig, t->args[1] ? &act : NULL, &old);
	} else {
		long err = sigframe_action(sig, t->args[1] ? &act : NULL, &old);
		if (err)
			return err;
	}
	return t->args[2] && guard_copy((void *)t->args[2], &old, sizeof(old)) ? -EFAULT : 0;
}

static long sigaltstack_call(const struct guard_trap *t)
{
	uintptr_t sp = (uintptr_t)t->uc->uc_mcontext.gregs[REG_RSP];
	stack_t ss, old;

	if (t->args[0] && guard_copy(&ss, (void *)t->args[0], sizeof(ss)))
		return -EFAULT;
	long err = altstack_change(t->args[0] ? &ss : NULL, &old, sp);
	if (err)
		return err;
	/* The return from our handler sets the kernel's to what its frame says. */
	if (t->args[0] && altstack_is_raw())
		t->uc->uc_stack = ss;
	return t->args[1] && guard_copy((void *)t->args[1], &old, sizeof(old)) ? -EFAULT : 0;
}

static long signal_call(const struct guard_trap *t)
{
	if (t->nr == SYS_rt_sigaction)
		return sigaction_call(t);
	if (!t->uc)
		return -ENOSYS;
	return t->nr == SYS_rt_sigprocmask ? sigprocmask_call(t) : sigaltstack_call(t);
}

/* The 32-bit size at offset @at of argument @i, kept below @max; @zero stands for 0. */
static long size_at(const struct guard_trap *t, int i, size_t at, uint32_t zero, uint32_t max)
{
	uint32_t size;

	if (guard_copy(&size, (const char *)t->args[i] + at, sizeof(size)))
		return -EFAULT;
	return MIN(size ? size : zero, max);
}

static long sized(const struct guard_trap *t)
{
	struct guard_arg arg[NR_ARGS] = {{0}};
	long size = 0;
	int at = 1;

	switch (t->nr) {
	case SYS_sched_setattr:
		size = size_at(t, 1, 0, 48, MAX_SIZED);
		break;
	case SYS_perf_event_open:
		at = 0;
		size = size_at(t, 0, 4, 64, MAX_SIZED);
		break;
	case SYS_name_to_handle_at:
		arg[1] = (struct guard_arg){ARG_STRING, 0, 4096};
		arg[3] = (struct guard_arg){ARG_INOUT, 0, t->args[4] & 1 ? 8 : 4};
		at = 2;
		size = size_at(t, 2, 0, 0, 128);
		size = size < 0 ? size : size + 8;
		break;
	case SYS_open_by_handle_at:
		size = size_at(t, 1, 0, 0, 128);
		size = size < 0 ? size : size + 8;
		break;
	default: /* capget, capset */
		arg[0] = (struct guard_arg){ARG_INOUT, 0, 8};
		size = size_at(t, 0, 0, 1, UINT32_MAX) == _LINUX_CAPABILITY_VERSION_1 ? 12 : 24;
		break;
	}
	if (size < 0)
		return size;
	arg[at] = (struct guard_arg){ARG_INOUT, 0, (uint16_t)size};
	return guard_with(t, arg);
}

/* A message is a long and then as many bytes as the call says. */
static long msgq(const struct guard_trap *t)
{
	struct bounce b;
	size_t len = (size_t)t->args[2];

	if (len > INT_MAX - sizeof(long))
		return -EINVAL;
	long result = bounce_begin(&b, t->sp, t->stack);
	if (result)
		return result;
	char *mem = bounce_alloc(&b, sizeof(long) + len);
	if (!mem)
		result = -ENOMEM;
	else if (t->nr == SYS_msgsnd && guard_copy(mem, (void *)t->args[1], sizeof(long) + len))
		result = -EFAULT;
	else
		result = sys_call5(t->nr, t->args[0], (long)mem, (long)len, t->args[3], t->args[4]);
	if (t->nr == SYS_msgrcv && result >= 0 &&
	    guard_copy((void *)t->args[1], mem, sizeof(long) + (size_t)result))
		result = -EFAULT;
	bounce_end(&b);
	return result;
}

/*
 * What makes a second thread of control cannot be made in here if both share this stack's memory.
 * libc takes -ENOSYS for clone3 as "use clone", whose pointers lie on the new thread's own stack.
 */
static long clone_call(const struct guard_trap *t)
{
	long flags = t->args[0];

	if (t->nr == SYS_clone3 || t->args[1] || flags & CLONE_VM) {
		if (pager_is_running())
			atomic_fetch_add(&pager_counters()->pinned_calls, 1);
		return -ENOSYS;
	}
	long pid = direct(t);
	int id = (int)pid;
	if (pid > 0 && flags & (CLONE_PARENT_SETTID | CLONE_PIDFD))
		/* The kernel may have found the page absent; a pidfd it would have refused. */
		if (!(flags & CLONE_PIDFD))
			guard_copy((void *)t->args[2], &id, sizeof(id));
	if (pid == 0 && flags & CLONE_CHILD_SETTID) {
		id = (int)sys_call0(SYS_gettid);
		guard_copy((void *)t->args[3], &id, sizeof(id));
	}
	return pid;
}

/* What transfers behind our back. */
static long async_setup(const struct guard_trap *t)
{
	int err =
	    pager_stay_resident(t->nr == SYS_io_setup ? FL_RESIDENT_LIBAIO : FL_RESIDENT_IO_URING);

	return err ? err : guard_plain(t);
}

long guard_special(struct guard_trap *t, enum guard_special what)
{
	switch (what) {
	case SPECIAL_MAPPING:
		return mapping(t);
	case SPECIAL_FUTEX:
		return t->nr == SYS_futex_waitv ? futex_waitv(t) : futex(t);
	case SPECIAL_SELECT:
		return select_call(t);
	case SPECIAL_IOCTL:
		return guard_ioctl(t);
	case SPECIAL_SOCKOPT:
		return getsockopt_call(t);
	case SPECIAL_FCNTL:
		return fcntl_call(t);
	case SPECIAL_PRCTL:
		return t->nr == SYS_prctl ? prctl_call(t) : arch_prctl_call(t);
	case SPECIAL_SIGNAL:
		return signal_call(t);
	case SPECIAL_SIZED:
		return sized(t);
	case SPECIAL_MSGQ:
		return msgq(t);
	case SPECIAL_EXEC:
		return exec_guarded(t);
	case SPECIAL_CLONE:
		return clone_call(t);
	case SPECIAL_ASYNC:
		return async_setup(t);
	case SPECIAL_RANDOM:
		return guard_random(t);
	case SPECIAL_PROCESS_VM:
		return guard_process_vm(t);
	default:
		return guard_unknown(t);
	}
}
