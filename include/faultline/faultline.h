// SPDX-License-Identifier: MIT
/*
 * Faultline as a library: a program that links libfaultline chooses itself what is paged.
 *
 *     char why[FL_WHY_BYTES];
 *     struct fl_options options = {.ram_bytes = 64 << 20};
 *     void *p;
 *
 *     if (fl_open(&options, why, sizeof(why)))
 *             errx(1, "%s", why);
 *     if (fl_map(1ull << 30, PROT_READ | PROT_WRITE, &p))
 *             ...
 *     memset(p, 1, 1ull << 30);       1 GiB in 64 MiB of frames
 *     fl_close();
 *
 * There is one pager in a process. Under `faultline run` it is there already: fl_open() says so,
 * and everything else works on that one, whose frames the program's malloc() uses too.
 *
 * All functions return 0 or a negative errno; one that fails has changed nothing. Any thread may
 * call them at any time, but not from a signal handler. Units: bytes; a page is 4 KiB.
 *
 * What the memory is like:
 *   - A touch of a page that has no frame is a fault, served in the touching thread by this
 * library's handlers for SIGBUS and SIGSEGV. Handlers that the program installed *before* fl_open()
 * get the signals that are not such faults. It must not install its own later, nor block the two.
 *   - Without `faultline run` nobody guards system calls: one that is given the address of a page
 *     that is not in a frame may fail with EFAULT or transfer less. Copy, or touch the page and use
 *     it at once. Threads must not have their stacks there.
 *   - After fork() the child has the same memory, its own copy, and a pager of its own, with as
 * many frames. Handlers of pthread_atfork() may use managed memory, but for those of libraries that
 * were initialised before this one.
 */
#ifndef FAULTLINE_FAULTLINE_H
#define FAULTLINE_FAULTLINE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define FL_WHY_BYTES 256u

/* All zero: the defaults. */
struct fl_options {
	uint64_t ram_bytes;     /* frames; at least 256 KiB. 0: 64 MiB */
	uint64_t ram_max_bytes; /* what fl_set_ram() may raise them to. 0: as many as there are */
	uint64_t swap_bytes;    /* most swap to use. 0: what is free in swap_dir, less 5 % */
	const char *swap_dir;   /* where the swap file lies, without a name. NULL: /var/tmp */
	const char *engine;     /* "sigbus", "uffd", "auto". NULL: auto */
	const char *policy;     /* page replacement, as `faultline run --policy`. NULL: clock */
};

/*
 * Start paging in this process.
 * @options: NULL: the defaults. Not kept.
 * @why: NULL, or room for @why_bytes (FL_WHY_BYTES is enough): on failure one line, cause and cure.
 * Return: 0; -EALREADY: it has started before, or runs under `faultline run`, and @options are not
 * used (all else works); -EINVAL: an option that makes no sense; or what the system refused.
 */
int fl_open(const struct fl_options *options, char *why, size_t why_bytes);

/*
 * Unmap all that is mapped. The pager itself lives as long as the process, and memory may be mapped
 * again. Under `faultline run`, where other memory is paged too, what is mapped stays.
 * Return: 0, -EINVAL (not open), or what unmapping was refused for.
 */
int fl_close(void);

/*
 * Change the number of frames while the program runs: at least a quarter of the first one, at most
 * ram_max_bytes. With less, pages are evicted until they fit, and only then this returns.
 * (Policies that divide RAM into parts, 2q and s3-fifo and clock-pro, divide ram_max_bytes.)
 * Return: 0; -EINVAL (not open, or no such number); -ENOMEM: it cannot be emptied, swap is full;
 * -EBUSY: another thread is changing it.
 */
int fl_set_ram(uint64_t bytes);

/*
 * Map @bytes of zeros, to be paged. @prot: PROT_NONE, PROT_READ, or PROT_READ | PROT_WRITE.
 * @ret_addr: where, page-aligned. Costs nothing until touched, whatever its size.
 * Return: 0; -EINVAL (no bytes, another @prot, not open), -ENOMEM.
 */
int fl_map(size_t bytes, int prot, void **ret_addr);

enum fl_file {
	FL_FILE_PRIVATE, /* what is written stays in this process: dirty pages go to swap */
	FL_FILE_SHARED,  /* ... goes to the file: see below */
};

/*
 * Map @bytes of the file @fd from @offset (a whole number of pages) on, to be paged. Pages are read
 * when they are touched, several at once where they are touched in sequence; clean ones are dropped
 * and read again. The mapping keeps the file open by itself.
 *
 * In the last page zeros follow the end of the file, which is not made longer by writing there; the
 * touch of a page wholly beyond it, or one that cannot be read, raises SIGBUS. A file that is cut
 * short meanwhile: so does the touch of a page that is not in a frame.
 *
 * FL_FILE_SHARED: dirty pages are written to the file when they are evicted, by fl_sync() and
 * fl_unmap(), at fork() and exit(); not when the process dies of a signal. Other processes see what
 * has been written, and what they write is seen by pages that are read after it: the frames are not
 * shared. A child of fork() so works on the file for itself.
 *
 * Return: 0; -EINVAL (no bytes, @offset, @prot, not open), -EACCES (@fd is not open for reading, or
 * a shared writable mapping and not for writing), -EBADF, -ENODEV (not a regular file), -ENFILE
 * (more than 1023 mappings), -ENOMEM.
 */
int fl_map_file(int fd, uint64_t offset, size_t bytes, int prot, enum fl_file how, void **ret_addr);

/* Write the dirty pages of shared files in this range to them, and those to the disk. Return: 0,
 * -EINVAL, -ENOMEM (something there is not mapped), or what writing failed with: those pages are
 * dirty still. */
int fl_sync(void *addr, size_t bytes);

/* Unmap whole pages of mapped memory. Return: 0, -EINVAL (not page-aligned, no bytes), -ENOMEM, or
 * what writing to a shared file failed with: then all is mapped still. */
int fl_unmap(void *addr, size_t bytes);

/* Change what may be done with whole pages: @prot as for fl_map(). Return: 0, -EINVAL, -ENOMEM
 * (something there is not mapped). */
int fl_protect(void *addr, size_t bytes, int prot);

/* Take the frames of these pages away, as reclaim would: dirty ones are written first. A hint: a
 * page that another thread uses may stay. Return: 0, -EINVAL, -ENOMEM. */
int fl_evict(void *addr, size_t bytes);

/* Counted since fl_open(), in this process: a forked child begins with zeros. */
struct fl_stats {
	uint64_t minor_zero;   /* faults: first touch, a page of zeros */
	uint64_t minor_refill; /* faults: the page was in a frame, but not mapped */
	uint64_t minor_write;  /* faults: first write to a clean page */
	uint64_t major;        /* faults: read from swap or file */
	uint64_t invalid;      /* faults on managed pages that allow no such access */
	uint64_t refaults;     /* major ones on pages evicted shortly before */
	uint64_t evict_clean;  /* pages whose bytes were in swap or file already: nothing written */
	uint64_t evict_dirty;  /* pages written */
	uint64_t evict_zero;   /* dirty pages found all zero: forgotten */
	uint64_t same_content; /* of evict_clean: dirty ones found unchanged */
	uint64_t readahead_pages, readahead_used;
	uint64_t file_read_bytes, file_written_bytes;
	uint64_t swap_read_bytes, swap_read_ops, swap_written_bytes, swap_write_ops;
	uint64_t stall_ns;      /* while at least one thread waited for a page */
	uint64_t ram_bytes;     /* the budget */
	uint64_t used_bytes;    /* of it, now */
	uint64_t peak_bytes;    /* of it, at most */
	uint64_t touched_bytes; /* pages that have bytes: in a frame or in swap */
	uint64_t swap_used_bytes;
};

/* Every fault that was served before the call is counted: faults in flight are waited for.
 * Return: 0, -EINVAL (not open). */
int fl_stats(struct fl_stats *ret_stats);

#ifdef __cplusplus
}
#endif

#endif
