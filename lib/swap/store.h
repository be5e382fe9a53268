// SPDX-License-Identifier: MIT
/*
 * Swap store: pages out, pages in. Owns slots, checksums and the backend, and what fork does to
 * them.
 *
 * A process writes to its own store only. A forked child opens one when its pager is built, and
 * reads its ancestors' stores, through the descriptors that it inherited, for the pages that were
 * in swap at the fork: they are its older generations. The ancestor keeps those slots until every
 * process that could read them is gone: the child side holds the write end of a close-on-exec pipe,
 * whose end-of-file the ancestor looks for.
 */
#ifndef FL_SWAP_STORE_H
#define FL_SWAP_STORE_H

#include "base/types.h"

struct swap; /* one per process */

#define SWAP_NR_READINGS 2u

/* Where a page lies: generation (of the store) << 32 | slot, or entry of the compressed tier
 * (tier.h). Fits the 40 bits of a PTE. */
struct swap_ref {
	uint64_t v;
};

#define SWAP_REF_NONE ((struct swap_ref){UINT64_MAX})

static inline bool swap_ref_is_none(struct swap_ref ref)
{
	return ref.v == UINT64_MAX;
}

/* Where a page that was read came from. */
enum swap_from {
	SWAP_FROM_NOWHERE, /* not read yet */
	SWAP_FROM_TIER,    /* the compressed tier: no I/O */
	SWAP_FROM_PACKED,  /* disk, compressed */
	SWAP_FROM_DISK,
};

struct swap_page {
	void *buf;           /* page-aligned, unmanaged */
	struct swap_ref ref; /* read: in. write: out */
	uint64_t checksum;   /* page_checksum(buf); write: in. read: out */
	int result;          /* out: 0 or -errno; read: -EBADMSG when the checksum differs */
	enum swap_from from; /* read: out */
};

struct swap_stats {
	uint64_t used_bytes, read_bytes, written_bytes, read_ops, write_ops;
	uint64_t read_errors, write_errors, checksum_errors;

	/* The compressed tier. */
	uint64_t tier_bytes;                 /* of the RAM budget that it takes up now */
	uint64_t desk_bytes;                 /* ... and to read from disk by */
	uint64_t packed_pages, packed_bytes; /* put into it, and what they were compressed to */
	uint64_t tier_hits, packed_reads;    /* read from it; from its chunks on disk */
	uint64_t offered_pages;              /* of those put into it, by swap_offer() */
	uint64_t unpacked_pages;             /* tried, and not compressible */
	uint64_t tried_pages, fitting_pages, fitting_bytes; /* also where none is kept */
	uint64_t tier_returns; /* calls that gave its memory back to the kernel */
};

/*
 * Prepare swap in directory @dir, at most @max_bytes (0: what the file system has free, less 5 %).
 * The directory is opened and kept open; O_TMPFILE is tried there, so a bad directory shows now.
 *
 * @ret_how: static text, how the first file would be used: "O_DIRECT, io_uring".
 * Return: 0, or -errno: -ENOENT, -ENOTDIR, -EACCES, -EROFS, -EOPNOTSUPP (no O_TMPFILE), -ENOSPC.
 * Context: thread.
 */
int swap_open(const char *dir, uint64_t max_bytes, struct swap **ret_swap, const char **ret_how);
void swap_close(struct swap *s);

/* Memory of the RAM budget for the compressed tier. Called in fault context: give() with
 * locks up to LOCK_TIER held, the others with none. */
struct swap_tier_memory {
	void *area;        /* address to map it at, or NULL */
	uint32_t nr_pages; /* at most, beyond a 128th for reading */
	/* All of them, or none; @may_wait: for pages that are evicted for it. */
	bool (*take)(uint32_t nr_pages, bool may_wait);
	void (*give)(uint32_t nr_pages);
	/* The share is used up: may there be more? Has called swap_tier_share() if true. NULL: no.
	 */
	bool (*more)(void);
};

/*
 * Keep pages compressed from now on, in memory first. @codec: "lz4" or "zstd". The tier's share of
 * the memory is 0 until swap_tier_share(). Return: 0 or -ENOMEM. Context: thread; at the start.
 */
int swap_tier_enable(struct swap *s, const char *codec, const struct swap_tier_memory *memory);

/* The tier may take up @nr_pages of memory. With 0 pages are written as they are, but for a few
 * that are compressed for the statistics. */
void swap_tier_share(struct swap *s, uint32_t nr_pages);
/* Bring it down to its share, and give back what freed pages took up there: some of it. Return:
 * pages given back. Context: fault, no lock held; may write. */
uint32_t swap_tier_trim(struct swap *s);
/* Many pages were freed: give back what they took up there, until no chunk is more than half dead.
 * Context: fault, no lock held; does not wait. */
void swap_tier_drop_dead(struct swap *s);

/*
 * Pages that are in swap at `ref` already: take copies into the tier, instead of those. Result 0:
 * `ref` is the new one, the old one still to be freed; -EAGAIN: nothing was done.
 * Context: fault, no lock held; sleeps.
 */
void swap_offer(struct swap *s, struct swap_page *pages, uint32_t nr);
/* Whether offers are worth their while at present; if not, few are wanted, to find out when. */
void swap_tier_offers(struct swap *s, bool do_pay);
/* Whether that is worth trying for the page at @ref. Context: fault. */
bool swap_wants(struct swap *s, struct swap_ref ref);

/*
 * Write @nr pages, neighbours in @pages to neighbouring slots, in as few transfers as can be.
 * Failed slots are retired and the page tried once more elsewhere; pages[i].result tells. -ENOSPC:
 * swap is full (its max_bytes or the file system).
 * Context: fault, no lock held; sleeps.
 */
void swap_write(struct swap *s, struct swap_page *pages, uint32_t nr);
/* Threads that wait for the disk to write. Context: any. */
uint32_t swap_nr_writing(struct swap *s);

enum swap_wait {
	SWAP_SLEEP,
	SWAP_SPIN, /* nobody else of this process wants the CPU: look for the end of a short read */
};

/*
 * Read @nr pages and verify each against its checksum; neighbouring refs go in one transfer, all
 * transfers at once. Context: fault, no lock held; sleeps, or spins for a while first.
 */
void swap_read(struct swap *s, struct swap_page *pages, uint32_t nr, enum swap_wait wait);

/* Read those of @pages that are in the compressed tier, without any I/O. Return: how many were not.
 * Context: fault, no lock held. */
uint32_t swap_read_memory(struct swap *s, struct swap_page *pages, uint32_t nr);

/* Told of pages @from .. @to - 1 of a read as soon as they are there, or are not to be had. */
struct swap_reader {
	void (*done)(struct swap_reader *r, uint32_t from, uint32_t to);
};

/*
 * As swap_read(), but for what swap_read_memory() found; long transfers are made in pieces, all at
 * once. @reader->done() is called for each piece, while others are under way; NULL: nobody is told.
 */
void swap_read_rest(struct swap *s, struct swap_page *pages, uint32_t nr, enum swap_wait wait,
    struct swap_reader *reader);

/*
 * Begin to read @nr pages, at most 256, all in the swap file; they, @reader, and their buffers stay
 * where they are until all are there. @reader is told as in swap_read_rest(), during
 * swap_read_wait(). One thread only may have such reads under way, SWAP_NR_READINGS of them.
 * Return: false: not possible here or now, and nothing was begun. Context: as swap_read().
 */
struct swap_reading;
bool swap_read_begin(struct swap *s, struct swap_page *pages, uint32_t nr,
    struct swap_reader *reader, struct swap_reading **ret_reading);
/* Wait for some of it. Return: false: that was the last. */
bool swap_read_wait(struct swap_reading *g);

/* Whether the page at @ref would be read without I/O, now. Context: fault. */
bool swap_is_in_memory(struct swap *s, struct swap_ref ref);
/* If so: swap_free(). Return: whether it was. Context: fault. */
bool swap_forget_memory(struct swap *s, struct swap_ref ref);

/*
 * The page at @ref is not needed any more. An ancestor's slots are counted: with the last of them
 * its descriptors are closed here, and the ancestor may reuse what it has given up itself.
 * Once per ref, no transfer of that page under way. Context: fault.
 */
void swap_free(struct swap *s, struct swap_ref ref);

/* Bytes that are not in use of those that swap may take: for messages about full swap. */
uint64_t swap_capacity_bytes(struct swap *s);
void swap_stats(struct swap *s, struct swap_stats *ret_stats);

/*
 * Fork, in three steps, with no transfer under way and all signals blocked:
 * prepare before, then exactly one of the others on each side (parent also when fork failed).
 * The child may call swap_fork_child() late, inside its first fault; it must not use the swap
 * before. Each is cheap when nothing is in swap.
 * prepare Return: 0 or -errno (then fork must fail with it, and neither of the others follows):
 * -ENOMEM, or -EAGAIN in a chain of more than SWAP_NR_GENERATIONS - 1 ancestors each of which has
 * pages in swap that are still needed.
 */
#define SWAP_NR_GENERATIONS 255u

int swap_fork_prepare(struct swap *s);
void swap_fork_parent(struct swap *s);
void swap_fork_child(struct swap *s);

/* Consistency of the slot map and of the tier. ensure()s. For tests; nobody else is inside. */
void swap_check(struct swap *s);

/* Hook for tests: the own backend, just opened, is replaced by what this returns (NULL: fails). */
struct swap_backend;
extern struct swap_backend *(*swap_wrap_backend)(struct swap_backend *b);

/* Return: whether @fd is one of ours, which the program must not close. Context: any. */
bool swap_owns_fd(struct swap *s, int fd);

#endif
