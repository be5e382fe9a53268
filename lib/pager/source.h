// SPDX-License-Identifier: MIT
/*
 * Sources: the files behind file-backed regions.
 *
 * A page of such a region that is NONE has its bytes in the file, and is read from there. Clean, it
 * goes back to NONE at eviction: nothing is written. Dirty, it goes to swap if the mapping is
 * private, and is an anonymous page from then on; if it is shared it is written to the file.
 *
 *     NONE --read--> MAPPED clean --evict--> NONE
 *                       | write
 *                       v        private: swap, as any page
 *                    dirty ----> shared:  file, then clean or NONE
 *
 * What is shared is so through the file: other processes see it, and this one sees theirs, when it
 * was written back and is read again. At a fork all dirty shared pages are written, and the child
 * begins without them, so that no process ever writes a page back that it did not change.
 *
 * A file is named by a small number in region and frame, 0 for none. Which page of it belongs to
 * which address never changes: mremap of such a region is refused. Sources come and go under the
 * map lock, held exclusively, with no page of theirs on its way anywhere.
 */
#ifndef FL_PAGER_SOURCE_H
#define FL_PAGER_SOURCE_H

#include <sys/types.h>

#include "base/types.h"
#include "swap/store.h"

struct region;

#define MAX_SOURCES    1024u
#define SOURCE_MAX_RUN 64u /* pages written by one call */

struct source {
	int fd;          /* our own; 0: the entry is free */
	bool is_shared;  /* else private */
	bool is_mutable; /* the descriptor can be written to */
	struct vpn first;
	uint64_t file_page; /* the page of the file that belongs at `first` */
};

/* Return: 0 or -ENOMEM. */
int source_init(void);

/*
 * A source for a mapping of @fd, not placed yet. Duplicates @fd. Map lock held exclusively.
 * Return: its number; -EACCES (@prot needs more than the descriptor allows), -ENODEV (not a regular
 * file), -EBADF, -ENFILE (too many).
 */
int source_open(int fd, uint64_t file_page, bool is_shared, int prot);
void source_place(uint16_t nr, struct vpn first);
/* Close those that no region refers to any more. Map lock held exclusively. */
void source_sweep(void);

bool source_is_shared(uint16_t nr);
/* Whether a region of it may get @prot. */
bool source_allows(uint16_t nr, int prot);
bool source_owns_fd(int fd);

/*
 * Read @nr pages, @stride apart from @first on, each into its buffer; zeros follow the end of the
 * file in its last page. pages[i].result: 0, -ENXIO: beyond the end, or -errno.
 * Context: fault, no lock held; sleeps.
 */
void source_read(
    uint16_t source, struct vpn first, uint32_t stride, struct swap_page *pages, uint32_t nr);

/* Write @nr neighbouring pages, at most SOURCE_MAX_RUN, from @first on, as far as the file goes.
 * Return: 0 or -errno. Context: fault, no lock held; sleeps. */
int source_write(uint16_t source, struct vpn first, void *const *bufs, uint32_t nr);

/* Whether there are any; whether there are in the range (map lock held). */
bool source_exists(void);
bool source_is_in(uintptr_t start, uintptr_t end);

/*
 * Write the dirty pages of shared sources in the range to their files; they are clean then. Map
 * lock held exclusively, or the gate closed; the reclaim lock not. Return: 0, or the first error,
 * with the pages of failed writes dirty still.
 */
int source_flush(uintptr_t start, uintptr_t end);

/* The same for as long as it takes, without keeping others waiting all the time; and to the disk.
 * Context: thread, nothing held. */
int source_sync(uintptr_t start, uintptr_t end);

/* The pages of @r's [start, end) that are NONE get their bytes from the file, so that it can leave
 * management (private); or the kernel maps the file there itself (shared). Map lock held
 * exclusively, no reclaim. Return: 0 or -errno. */
int source_unmanage(const struct region *r, uintptr_t start, uintptr_t end, int prot);

#endif
