// SPDX-License-Identifier: MIT
/*
 * Asynchronous work. io_uring and libaio, which transfer behind the guard's back, end the paging of
 * this process when they are set up (pager/resident.c). POSIX aio and asynchronous name
 * look-ups are done by libc's own threads, which are made with all signals blocked: like those of
 * pthread_create() they must be made without ours among them (blocked_window.h).
 *
 * Set up by a system call instruction that is not libc's or liburing's, with parameters outside
 * managed memory, a ring goes unseen.
 */
#include <aio.h>
#include <netdb.h>
#include <signal.h>

#include "base/sys.h"
#include "faultline/telemetry.h"
#include "pager/pager.h"
#include "preload/blocked_window.h"
#include "preload/real.h"

struct io_uring;
struct io_uring_params;

/* Their declarations need not be installed: liburing and libaio need not be there at all. */
int io_uring_setup(unsigned entries, struct io_uring_params *p);
int io_uring_queue_init(unsigned entries, struct io_uring *ring, unsigned flags);
int io_uring_queue_init_params(unsigned entries, struct io_uring *ring, struct io_uring_params *p);
int io_uring_queue_init_mem(
    unsigned entries, struct io_uring *ring, struct io_uring_params *p, void *buf, size_t bytes);
int io_setup(int nr, void *ret_context);
int io_queue_init(int nr, void *ret_context);

REAL(io_uring_setup);
REAL(io_uring_queue_init);
REAL(io_uring_queue_init_params);
REAL(io_uring_queue_init_mem);
REAL(io_setup);
REAL(io_queue_init);
REAL(aio_read);
REAL(aio_write);
REAL(aio_fsync);
REAL(lio_listio);
REAL(getaddrinfo_a);

RESOLVE_EARLY static void resolve(void)
{
	RESOLVE(io_uring_setup);
	RESOLVE(io_uring_queue_init);
	RESOLVE(io_uring_queue_init_params);
	RESOLVE(io_uring_queue_init_mem);
	RESOLVE(io_setup);
	RESOLVE(io_queue_init);
	RESOLVE(aio_read);
	RESOLVE(aio_write);
	RESOLVE(aio_fsync);
	RESOLVE(lio_listio);
	RESOLVE(getaddrinfo_a);
}

/* --- transfers behind the guard's back ------------------------------------------------------ */

/* A library loaded later than this one was not there to be resolved. Its own errors are -errno. */
#define SET_UP(why, fn, ...)                                                            \
	do {                                                                            \
		if (!sys_makes_ring) { /* the pager's own go through these names too */ \
			int err_ = pager_stay_resident(why);                            \
			if (err_)                                                       \
				return err_;                                            \
		}                                                                       \
		return NEED(fn) ? real_##fn(__VA_ARGS__) : -ENOSYS;                     \
	} while (0)

EXPORT int io_uring_setup(unsigned entries, struct io_uring_params *p)
{
	SET_UP(FL_RESIDENT_IO_URING, io_uring_setup, entries, p);
}

EXPORT int io_uring_queue_init(unsigned entries, struct io_uring *ring, unsigned flags)
{
	SET_UP(FL_RESIDENT_IO_URING, io_uring_queue_init, entries, ring, flags);
}

EXPORT int io_uring_queue_init_params(
    unsigned entries, struct io_uring *ring, struct io_uring_params *p)
{
	SET_UP(FL_RESIDENT_IO_URING, io_uring_queue_init_params, entries, ring, p);
}

EXPORT int io_uring_queue_init_mem(
    unsigned entries, struct io_uring *ring, struct io_uring_params *p, void *buf, size_t bytes)
{
	SET_UP(FL_RESIDENT_IO_URING, io_uring_queue_init_mem, entries, ring, p, buf, bytes);
}

EXPORT int io_setup(int nr, void *ret_context)
{
	SET_UP(FL_RESIDENT_LIBAIO, io_setup, nr, ret_context);
}

EXPORT int io_queue_init(int nr, void *ret_context)
{
	SET_UP(FL_RESIDENT_LIBAIO, io_queue_init, nr, ret_context);
}

/* --- threads of libc's ---------------------------------------------------------------------- */

static void watch(void)
{
	if (pager_is_running())
		blocked_window_watch_threads();
}

static int watched(int result)
{
	if (pager_is_running())
		blocked_window_forget();
	return result;
}

#define WITH_THREAD(call) (watch(), watched(call))

EXPORT int aio_read(struct aiocb *cb)
{
	return WITH_THREAD(NEED(aio_read)(cb));
}

EXPORT int aio_write(struct aiocb *cb)
{
	return WITH_THREAD(NEED(aio_write)(cb));
}

EXPORT int aio_fsync(int op, struct aiocb *cb)
{
	return WITH_THREAD(NEED(aio_fsync)(op, cb));
}

EXPORT int lio_listio(
    int mode, struct aiocb *const list[restrict], int nr, struct sigevent *restrict event)
{
	return WITH_THREAD(NEED(lio_listio)(mode, list, nr, event));
}

EXPORT int aio_read64(struct aiocb64 *cb)
{
	return aio_read((struct aiocb *)cb); /* the same on x86-64 */
}

EXPORT int aio_write64(struct aiocb64 *cb)
{
	return aio_write((struct aiocb *)cb);
}

EXPORT int aio_fsync64(int op, struct aiocb64 *cb)
{
	return aio_fsync(op, (struct aiocb *)cb);
}

EXPORT int lio_listio64(
    int mode, struct aiocb64 *const list[restrict], int nr, struct sigevent *restrict event)
{
	return lio_listio(mode, (struct aiocb *const *)list, nr, event);
}

EXPORT int getaddrinfo_a(
    int mode, struct gaicb *list[restrict], int nr, struct sigevent *restrict event)
{
	return WITH_THREAD(NEED(getaddrinfo_a)(mode, list, nr, event));
}
