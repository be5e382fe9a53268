// SPDX-License-Identifier: MIT
/*
 * The guard: makes system calls safe on memory whose pages may be absent.
 *
 * Where the kernel will not wait for the pager, a system call that meets an absent page fails with
 * EFAULT or transfers less than it should. A seccomp filter therefore traps every call with a
 * pointer into the window (guard.c); the SIGSYS handler makes the call again on unmanaged memory
 * (guard_call.c for plain arguments, guard_io.c and guard_msg.c for data, guard_special.c for the
 * rest), through the one system call instruction that the filter lets pass (base/sys.h). Pointers
 * nested in structures are invisible to the filter: libc's functions are wrapped for those
 * (wrap_io.c, wrap_exec.c) and come in by guard_call().
 */
#ifndef FL_PRELOAD_GUARD_H
#define FL_PRELOAD_GUARD_H

#include <sys/uio.h>
#include <ucontext.h>

#include "base/types.h"
#include "preload/bounce.h"

#define GUARD_NR_CALLS 463u
#define NR_ARGS        6

/* --- the system calls: guard_table.c ----------------------------------------------------- */

/* What an argument is. Everything but ARG_VALUE is a pointer, and trapped. */
enum arg_kind {
	ARG_VALUE,     /* no pointer, or an address that the kernel only takes note of */
	ARG_STRING,    /* zero-terminated, at most `size` bytes */
	ARG_IN,        /* `size` bytes read by the kernel */
	ARG_INOUT,     /* `size` bytes, perhaps written */
	ARG_IN_BUF,    /* args[len] elements of `size` bytes, read */
	ARG_INOUT_BUF, /* the same, perhaps written */
	ARG_POLLFDS,   /* args[len] of poll's, whose `revents` are written */
	ARG_OUT_BUF, /* room for args[len] elements of `size`; the result says how many there are */
	ARG_OUT_LEN, /* room for *(socklen_t *)args[len] bytes, which afterwards says how many; the
	              * kernel never writes more than `size`, if that is not 0 */
	ARG_SIGSET,  /* signal mask of args[len] bytes */
	ARG_SPECIAL, /* the call's own handler knows */
	ARG_UNKNOWN, /* passed on as it is, pages touched before */
};

struct guard_arg {
	uint8_t kind; /* enum arg_kind */
	uint8_t len;
	uint16_t size;
};

enum guard_special {
	SPECIAL_NONE,
	SPECIAL_IO,      /* read, pwritev2, ...: guard_io.c */
	SPECIAL_RANDOM,  /* getrandom: guard_io.c */
	SPECIAL_MSG,     /* sendto .. recvmmsg: guard_msg.c */
	SPECIAL_MAPPING, /* munmap and its like: the pager's own */
	SPECIAL_FUTEX,
	SPECIAL_SELECT,
	SPECIAL_IOCTL,
	SPECIAL_SOCKOPT, /* getsockopt */
	SPECIAL_FCNTL,
	SPECIAL_PRCTL,
	SPECIAL_SIGNAL, /* what must survive our handler's return */
	SPECIAL_SIZED,  /* structures that contain their own size */
	SPECIAL_MSGQ,
	SPECIAL_EXEC,
	SPECIAL_CLONE,
	SPECIAL_ASYNC,      /* io_uring_setup, io_setup */
	SPECIAL_PROCESS_VM, /* guard_msg.c */
};

struct guard_info {
	struct guard_arg arg[NR_ARGS];
	uint8_t special; /* enum guard_special */
	bool is_known;
};

/* Return: what is known about call @nr; every argument ARG_UNKNOWN if nothing. Context: any. */
const struct guard_info *guard_info(long nr);

/* --- copying that survives bad addresses: guard_copy.c ------------------------------------ */

struct guard_iov;

/* Whether a call that reads (@is_write: writes out) @len bytes at @addr comes to an end of what the
 * program may use there. */
bool guard_has_end(uintptr_t addr, size_t len, bool is_write);
/* How many bytes of the buffers, from the first, such a call may use before that end. */
size_t guard_iov_reach(const struct guard_iov *x, bool is_write);

/* Return: how many bytes at the end could not be copied. Context: any. */
size_t guard_copy(void *dst, const void *src, size_t len);
/* Make the page of @addr present. Return: whether it can be read / written. Context: any. */
bool guard_touch_read(uintptr_t addr);
bool guard_touch_write(uintptr_t addr);
/* Copy a string with its zero. Return: its bytes with the zero, -EFAULT, or -ENAMETOOLONG (@dst is
 * then full and unterminated). Context: any. */
long guard_copy_string(char *dst, const char *src, size_t max);
/* Return: bytes of the string with its zero, -EFAULT, or -E2BIG for more than @max. Context: any.
 */
long guard_string_bytes(const char *src, size_t max);
/* For the fault handlers: if @uc was interrupted in one of these, make it fail. */
bool guard_fixup(ucontext_t *uc);

/* The program's buffers, with a cursor. */
struct guard_iov {
	struct iovec *v; /* unmanaged copy */
	unsigned long nr;
	size_t total;     /* bytes; at most what one call may transfer */
	unsigned long at; /* cursor: next byte is v[at] + offset */
	size_t offset;
};

/* Copy the array at @user, @nr long, into @b. Return: 0, -EINVAL, -EFAULT or -ENOMEM. */
int guard_iov_load(struct guard_iov *x, struct bounce *b, uintptr_t user, unsigned long nr);
/* One buffer, whose description is in *@one. */
void guard_iov_single(struct guard_iov *x, struct iovec *one, uintptr_t base, size_t len);
/* Move @len bytes between @buf and the buffers at the cursor. Return: how many could be. */
size_t guard_iov_gather(struct guard_iov *x, void *buf, size_t len);
size_t guard_iov_scatter(struct guard_iov *x, const void *buf, size_t len);
/* Before a receive with @flags (MSG_*): what the kernel discards instead of storing it (TCP with
 * MSG_TRUNC) shall be there afterwards as before. The cursor stays. */
void guard_iov_keep(const struct guard_iov *x, int flags, void *buf, size_t len);

/* --- the guard ----------------------------------------------------------------------------- */

/* One trapped call. */
struct guard_trap {
	long nr;
	long args[NR_ARGS];
	uintptr_t sp, stack; /* for bounce_begin() */
	ucontext_t *uc;      /* context to return to; NULL when called by a wrapper */
};

/*
 * Trap this process's system calls. Needs the fault handlers. Return: 0 or -errno. Context:
 * thread; before there are others.
 */
int guard_install(void);
bool guard_is_installed(void);
/* Whether a call on what @p points to is the guard's to make. Context: any. */
static inline bool guard_is_for(const volatile void *p)
{
	return in_window((uintptr_t)p) && guard_is_installed();
}

/* All memory is there and stays: make trapped calls as they are, and no others beside them, for the
 * rest of this process. Context: any. */
void guard_pass_through(void);
/* Whether a system call with these registers is one that the filter traps. Context: any. */
bool guard_would_trap(const greg_t *regs);

/*
 * Make call @nr on memory that may be managed, nested pointers too.
 * Return: result or -errno. Context: thread, or a handler of the program; sleeps.
 */
long guard_call(long nr, long a, long b, long c, long d, long e, long f);

/* The same as a cancellation point, for the wrapper of a function that is one. Return: as that:
 * result, or -1 and errno. */
long guard_call_cancellable(long nr, long a, long b, long c, long d, long e, long f);

/* The parts, for each other. */
long guard_dispatch(struct guard_trap *t);
long guard_plain(const struct guard_trap *t);   /* by the table */
long guard_unknown(const struct guard_trap *t); /* touch and pass on */
long guard_io(const struct guard_trap *t);
long guard_random(const struct guard_trap *t);
long guard_msg(const struct guard_trap *t);
long guard_process_vm(const struct guard_trap *t);
long guard_ioctl(const struct guard_trap *t);
/* Transfers of stream sockets that are too large for one bounce. */
long guard_io_stream(const struct guard_trap *t);
/* The same of several buffers. Return: bytes or -errno. */
long guard_io_socket(
    int fd, bool is_send, int flags, const struct guard_iov *data, struct bounce *b);
long guard_special(struct guard_trap *t, enum guard_special what);

/* guard_plain() with other arguments than the table's. */
long guard_with(const struct guard_trap *t, const struct guard_arg arg[NR_ARGS]);

#endif
