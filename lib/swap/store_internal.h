// SPDX-License-Identifier: MIT
/* Shared by store.c (pages out and in) and store_fork.c (generations). */
#ifndef FL_SWAP_STORE_INTERNAL_H
#define FL_SWAP_STORE_INTERNAL_H

#include "base/lock.h"
#include "swap/backend.h"
#include "swap/slots.h"
#include "swap/store.h"
#include "swap/tier.h"

/* Forks whose children may still read our slots are told apart up to this many; further ones share
 * one entry (overflow), so that a process with many children does not run out of descriptors. */
#define NR_FORKS 64u

/* An ancestor's store, as this process still reads it. Its index is the generation of a ref. */
struct generation {
	_Atomic uint32_t nr_refs;     /* 0: index free; 1 for `live` having slots, 1 per reader */
	struct swap_backend *backend; /* [const while nr_refs] inherited, as are the next two */
	struct slot_share *live;      /* what this process may read and has not freed */
	uint32_t *checksum;
	struct tier *tier;    /* NULL: nothing of it is compressed */
	uint32_t nr_slots;    /* size of `checksum` */
	_Atomic int write_fd; /* pipe end whose closing tells the ancestor; -1: none */
};

/* A fork of this process, or several, whose children may read slots of ours. */
struct fork_entry {
	struct slot_share *share; /* NULL: entry free */
	_Atomic int read_fd; /* [atomic, relaxed] end-of-file: they are gone; -1: never known */
};

/* Of the file with what it takes to use it: the file itself is opened before the program can be in
 * the way of it (store.c). */
enum file_state {
	FILE_NONE,
	FILE_OPENING,
	FILE_OPEN,
};

#define CHUNK 256u /* pages per round of transfers: 1 MiB */

struct round {
	uint32_t nr_ios, nr_iov;
	struct swap_io ios[CHUNK];
	struct iovec iov[CHUNK];
	uint32_t first_page[CHUNK]; /* by transfer: index of its first page in the caller's list */
};

/* Where the pages of one generation are read from. */
struct source {
	struct swap_backend *backend;
	const uint32_t *checksum;
	struct tier *tier;
	struct generation *g; /* NULL: our own file */
};

/* A round of reads, of pages of one generation. */
struct read_round {
	struct round r;
	struct swap *s;
	struct source from;
	struct swap_page *pages; /* of the caller, who calls the first one number `first` */
	uint32_t nr, first;
	struct swap_reader *reader;
};

/* Under way. */
struct swap_reading {
	bool is_used;
	struct read_round round;
	struct swap_flight flight;
};

struct swap {
	int dir_fd;         /* [const] */
	uint64_t max_bytes; /* [const] */
	bool is_direct;     /* [const] how files there are opened */

	/* This process's own file. Everything but its state is written by the thread that opens. */
	_Atomic uint32_t file_state;  /* enum file_state */
	struct event file_event;      /* file_state has changed */
	struct swap_backend *backend; /* NULL: could not be opened yet */
	_Atomic bool has_backend;     /* for swap_owns_fd() */
	struct slot_map map;
	struct room *room;         /* [const] NULL: no compressed tier */
	struct tier *tier;         /* with the file */
	_Atomic uint32_t nr_exist; /* slots that the file is known to have */
	_Atomic uint64_t
	    limited_ns; /* when slots were limited to those that exist; 0: they are not */

	_Atomic uint32_t is_collecting;    /* 1: some thread owns forks[] and overflow */
	_Atomic uint32_t nr_frees;         /* [atomic, relaxed] paces collection */
	_Atomic uint32_t nr_forks;         /* [atomic, relaxed] entries in use, overflow included */
	struct fork_entry forks[NR_FORKS]; /* [owner: is_collecting] */
	struct fork_entry overflow;        /* [owner: is_collecting] */
	_Atomic int overflow_write_fd;     /* kept open for the next child; -1: none */

	/* The fork under way, from prepare to parent or child. */
	struct slot_share *fork_share; /* NULL: nothing in swap */
	_Atomic int fork_write_fd;     /* closed in the parent unless it is the overflow's */
	uint32_t child_own;

	struct swap_reading reading[SWAP_NR_READINGS]; /* [owner: the thread that reads ahead] */

	uint32_t own;                                /* generation of this process's own refs */
	struct generation gens[SWAP_NR_GENERATIONS]; /* gens[own] is free */

	_Atomic uint32_t nr_writing; /* [atomic, relaxed] threads that wait for their writes */
	_Atomic uint64_t read_bytes, written_bytes, read_ops, write_ops; /* [atomic, relaxed] */
	_Atomic uint64_t read_errors, write_errors, checksum_errors;     /* [atomic, relaxed] */
};

static inline uint32_t ref_generation(struct swap_ref ref)
{
	return (uint32_t)(ref.v >> 32);
}

static inline struct slot ref_slot(struct swap_ref ref)
{
	return (struct slot){(uint32_t)ref.v};
}

/* Open this process's file, which has no slots yet. Return: 0 or -errno. Context: fault. */
int swap_file_begin(struct swap *s);
/* Up to @want contiguous slots that exist on disk. Return: how many, or -errno: -ENOSPC when there
 * is none. Context: fault, no lock held. */
int64_t swap_take_run(struct swap *s, uint32_t want, struct slot *ret_first);
void swap_free_run(struct swap *s, struct slot first, uint32_t nr);
/* Write @ios to this process's backend. */
void swap_transfer_out(struct swap *s, struct swap_io *ios, uint32_t nr);
/* Count a transfer of @nr pages. */
void swap_note_write(struct swap *s, int result, uint32_t nr);
void swap_note_read(struct swap *s, int result, uint32_t nr);

/* Give slots back whose readers are gone. Does nothing while another thread is at it. */
void swap_collect(struct swap *s);

/* Start using generation @index for a transfer; ensure()s that it is there. */
struct generation *generation_get(struct swap *s, uint32_t index);
void generation_put(struct generation *g);

/* Close what fork has left: ancestors' files, pipes. */
void swap_fork_init(struct swap *s);
void swap_fork_fini(struct swap *s);

#endif
