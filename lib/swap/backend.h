// SPDX-License-Identifier: MIT
/*
 * Swap backend: reads and writes runs of slots somewhere. One file per backend.
 */
#ifndef FL_SWAP_BACKEND_H
#define FL_SWAP_BACKEND_H

#include <sys/uio.h>

#include "base/types.h"

struct swap_backend {
	const struct swap_backend_ops *ops; /* [const] */
};

/* One transfer: slots first .. first + sum(iov) / PAGE_BYTES - 1, contiguous in swap, scattered in
 * memory. Every iov_base is page-aligned, unmanaged memory, every iov_len a multiple of a page. */
struct swap_io {
	struct slot first;
	bool is_write;
	uint32_t nr_iov;
	const struct iovec *iov;
	bool may_spin; /* read: the caller would rather burn the CPU than sleep */
	int result;    /* output: 0 or -errno; a short transfer is -EIO */
	/* NULL, or called by the transferring thread as soon as this one is complete, with no lock
	 * held; others may still be under way. */
	void (*done)(struct swap_io *io);
	void *arg; /* for done() */
};

/* Transfers under way. */
struct swap_flight {
	struct swap_io *ios;
	uint32_t nr, nr_done;
	uint32_t nr_tries; /* the backend's */
	void *arg;         /* the backend's */
};

struct swap_backend_ops {
	const char *name;

	/*
	 * Perform all of @ios, in any order and at once, and wait for every one. Each has its own
	 * result; one failing does not stop the others. Any number of threads may be inside at a
	 * time, and each is served on its own: nobody waits for another thread's transfers.
	 *
	 * Context: fault, no pager lock held; sleeps.
	 * Return: 0 when all succeeded, or the first -errno.
	 */
	int (*transfer)(struct swap_backend *b, struct swap_io *ios, uint32_t nr);

	/*
	 * Begin @ios, each of which has a done(); @ios and *@fl stay where they are until all are
	 * complete. NULL: cannot do that. Context: as above, does not sleep.
	 * Return: false: not now, and nothing was begun.
	 */
	bool (*begin)(
	    struct swap_backend *b, struct swap_flight *fl, struct swap_io *ios, uint32_t nr);

	/* Wait for one of them at least, and call its done(). By the thread that began.
	 * Return: whether any are still under way; if not, *@fl is over. */
	bool (*wait)(struct swap_backend *b, struct swap_flight *fl);

	/*
	 * Make slots 0 .. @nr_slots - 1 exist (grow the file). To be called before each write, also
	 * when it has grown that far: limits may have come down. Context: fault; may sleep.
	 * Return: how many slots exist, at least @nr_slots, or -ENOSPC (also for a limit on file
	 * sizes or a quota), -EIO.
	 */
	int64_t (*grow)(struct swap_backend *b, uint32_t nr_slots);

	/* Release everything. No transfer may be under way. Context: fault. */
	void (*close)(struct swap_backend *b);

	/*
	 * This process is a forked child: give up what must not be shared with the parent (rings);
	 * the backend itself stays usable through the inherited descriptor. To be called before any
	 * transfer of the child's. Context: fault.
	 */
	void (*fork_child)(struct swap_backend *b);

	/* Return: whether @fd belongs to @b. Context: any. */
	bool (*owns_fd)(struct swap_backend *b, int fd);
};

/*
 * Open a backend on an unlinked O_TMPFILE in @dir_fd, with O_DIRECT and io_uring where the file
 * system and kernel allow them, else buffered and with pread/pwrite. Its descriptors are
 * close-on-exec and numbered high.
 *
 * @ret_how: a static text for the user, e.g. "O_DIRECT, io_uring".
 * Return: 0, or -errno with nothing opened. Context: fault (a forked child opens its swap in the
 * middle of a fault): no malloc, no stdio.
 */
int backend_uring_open(int dir_fd, struct swap_backend **ret_backend, const char **ret_how);

/* Another one, where it is known how files in @dir_fd can be used: tries nothing, and so costs 5
 * us. Return and context as there. */
int backend_uring_open_another(int dir_fd, bool is_direct, struct swap_backend **ret_backend);
/* Whether @b, opened by one of these two, uses O_DIRECT. */
bool backend_uring_is_direct(const struct swap_backend *b);

/*
 * What backend_uring_open() would find in @dir_fd, by a file that is closed again.
 * Return and *@ret_how as there. Context: fault.
 */
int backend_uring_probe(int dir_fd, const char **ret_how);

/* For tests: a backend over another one, failing the n-th transfer (0 = next) with @error, or
 * flipping one bit of the n-th page read when @error is 0. Closing it closes @inner. Once fired it
 * is harmless until armed again. Not for use in fault context. */
struct swap_backend *backend_faulty_open(struct swap_backend *inner);
void backend_faulty_arm(struct swap_backend *b, uint32_t nth, int error);
bool backend_faulty_fired(struct swap_backend *b);

#endif
