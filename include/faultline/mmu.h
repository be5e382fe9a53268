// SPDX-License-Identifier: MIT
/*
 * A memory management unit in software, as an x86-64 processor has it: physical memory, address
 * spaces with 4-level page tables of 4 KiB, 2 MiB and 1 GiB pages, and a TLB in front of them.
 *
 *     fl_phys    physical memory of N frames; page tables lie in frames of it too
 *     fl_space   one address space: its own root table ("CR3"), what the operating system edits
 *     fl_mmu     one processor's MMU: current space, mode, TLB, counters: what the hardware does
 *
 * The split is that of the machine. Editing a space (map, unmap, protect, share) does not touch
 * any TLB: whoever takes away or narrows a translation must invalidate it, or a stale one goes on
 * being used, as in hardware. A stale translation can reach a frame that was freed, but never a
 * page table nor memory outside the emulated machine.
 *
 * No threads: one phys with its spaces and MMUs is used by one thread at a time. No I/O. Errors are
 * negative errno values; a failed call changed nothing unless its contract says otherwise.
 * Addresses and sizes are in bytes. The order of events and the bits are those of Intel SDM volume
 * 3A, chapter 4 ("Paging"), with CR0.WP = 1, EFER.NXE = 1 and no SMEP or SMAP.
 */
#ifndef FAULTLINE_MMU_H
#define FAULTLINE_MMU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct fl_phys;
struct fl_space;
struct fl_mmu;

enum fl_page { FL_PAGE_4K, FL_PAGE_2M, FL_PAGE_1G, FL_NR_PAGES };

/* 4096, 2 MiB or 1 GiB. */
static inline uint64_t fl_page_bytes(enum fl_page page)
{
	return 4096ull << (9 * page);
}

/* What a page allows. On x86-64 every present page can be read: any right needs FL_READ. 0: nobody
 * may touch the page, but it keeps its frame. */
enum {
	FL_READ = 1,
	FL_WRITE = 2,
	FL_EXEC = 4,
	FL_USER = 8,    /* user mode too, not only supervisor mode */
	FL_GLOBAL = 16, /* the TLB keeps it over a switch of spaces */
};

enum fl_access { FL_ACCESS_READ, FL_ACCESS_WRITE, FL_ACCESS_EXEC };
enum fl_mode { FL_MODE_USER, FL_MODE_SUPERVISOR };

enum fl_fault_kind {
	FL_FAULT_NONE,
	FL_FAULT_NOT_PRESENT,   /* the entry at .level is not present */
	FL_FAULT_READ_ONLY,     /* write, and the entry at .level does not allow writing */
	FL_FAULT_NO_EXECUTE,    /* instruction fetch, and .level says no-execute */
	FL_FAULT_SUPERVISOR,    /* user mode, and .level is for the supervisor only */
	FL_FAULT_NON_CANONICAL, /* bits 63-47 of the address are not all equal (x86: #GP); level 0
	                         */
	FL_FAULT_RESERVED,      /* the entry at .level points outside physical memory */
};

/* Why an access failed. Where several reasons hold, the first of this order is given: not present,
 * reserved, supervisor, read-only, no-execute; and the level nearest the root that denies it. */
struct fl_fault {
	uint64_t va;
	enum fl_fault_kind kind;
	enum fl_access access;
	enum fl_mode mode;
	uint32_t level; /* 4 (root) to 1 */
	uint32_t code;  /* as x86 pushes it: 1 present, 2 write, 4 user, 8 reserved, 16 fetch */
	bool is_cow;    /* READ_ONLY only because the page is shared: fl_space_copy() cures it */
};

/* Return: "not present", "write to read-only", ... */
const char *fl_fault_name(enum fl_fault_kind kind);

static inline bool fl_is_canonical(uint64_t va)
{
	return (uint64_t)((int64_t)(va << 16) >> 16) == va;
}

/* ---- physical memory -------------------------------------------------------------------- */

/* Physical memory of @nr_frames frames of 4 KiB (1 to 2^28); host memory is used when touched.
 * Return: the memory, or NULL: bad number or no memory. Closing takes NULL, and must come after
 * all spaces and MMUs on it are closed. */
struct fl_phys *fl_phys_open(uint64_t nr_frames);
void fl_phys_close(struct fl_phys *phys);

#define FL_FRAME_NONE UINT64_MAX

/* A zeroed run of frames for one page of size @page, aligned to its size; the caller holds one
 * reference, to be given back with fl_phys_put(). Return: its first frame, or FL_FRAME_NONE. */
uint64_t fl_phys_alloc(struct fl_phys *phys, enum fl_page page);

/* Give back a reference to the run of size @page at @frame. The frame is free when nobody has one.
 * Return: 0; -EINVAL: not such a run. */
int fl_phys_put(struct fl_phys *phys, uint64_t frame, enum fl_page page);

/* References to @frame: mappings and holders. 0: free, a table, or no such frame. */
uint32_t fl_phys_refs(const struct fl_phys *phys, uint64_t frame);

/* Copy @bytes from or to physical addresses at @pa, by no page table. Tables can be read, not
 * written. Return: 0; -EINVAL: outside memory, or a table would be written. */
int fl_phys_read(const struct fl_phys *phys, uint64_t pa, void *ret_bytes, size_t bytes);
int fl_phys_write(struct fl_phys *phys, uint64_t pa, const void *from, size_t bytes);

struct fl_phys_stats {
	uint64_t nr_frames; /* = nr_free + nr_tables + nr_data */
	uint64_t nr_free;
	uint64_t nr_tables; /* page tables of all spaces, roots included */
	uint64_t nr_data;
};
void fl_phys_stats(const struct fl_phys *phys, struct fl_phys_stats *ret);

/* ---- address spaces --------------------------------------------------------------------- */

/* An empty space: one table, the root. Return: the space, or NULL: no frame or memory. Closing
 * unmaps everything, and takes NULL. An MMU may still be on it, or hold its translations; what
 * they then give is as stale as on a real machine, but harmless. */
struct fl_space *fl_space_open(struct fl_phys *phys);
void fl_space_close(struct fl_space *space);

/*
 * Map [@va, @va + @bytes) to pages of size @page with rights @prot, onto the frames from @frame on,
 * each of which gets a reference of its own; FL_FRAME_NONE: onto fresh zeroed frames.
 * Return: 0, or nothing was mapped: -EINVAL (zero bytes, not aligned to @page, rights that x86
 * cannot express, not canonical, frames misaligned or not allocated), -EEXIST (something is mapped
 * there), -ENOMEM (no frame left for a page or a table).
 */
int fl_space_map(struct fl_space *space, uint64_t va, uint64_t bytes, enum fl_page page,
    uint64_t frame, uint32_t prot);

/*
 * Unmap whatever is mapped in [@va, @va + @bytes); holes are no error. Tables that become empty are
 * freed: a space with nothing mapped has one table. Large pages are never split silently.
 * Return: pages unmapped; or nothing was changed: -EINVAL (zero, not multiples of 4 KiB, not
 * canonical), -EBUSY (a large page lies only partly in the range: fl_space_split() it first).
 */
int64_t fl_space_unmap(struct fl_space *space, uint64_t va, uint64_t bytes);

/* Give every page in the range the rights @prot. A page that is shared copy-on-write stays so:
 * FL_WRITE takes effect with the copy. Return: pages changed; or nothing was changed: as unmap,
 * and -ENOENT (there is a hole). */
int64_t fl_space_protect(struct fl_space *space, uint64_t va, uint64_t bytes, uint32_t prot);

/* Make of the 2 MiB or 1 GiB page at @va 512 pages of the next smaller size, with the same rights,
 * accessed and dirty bits. Return: 0, -ENOENT (no page), -EINVAL (a 4 KiB page), -ENOMEM. */
int fl_space_split(struct fl_space *space, uint64_t va);

/* Narrow all that lies below one table entry: @level 4, 3 or 2 above the page at @va. Only
 * FL_WRITE, FL_EXEC and FL_USER of @prot count: a right is granted only if every level grants it.
 * Fresh entries grant all. Return: 0, -EINVAL (level), -ENOENT (no table below it). */
int fl_space_restrict(struct fl_space *space, uint64_t va, uint32_t level, uint32_t prot);

/*
 * Map the page that @from has at @from_va also into @to at @to_va, with the same rights. @is_cow:
 * as private memory after fork: both become read-only until one of them writes and faults
 * (fl_fault.is_cow) and gets its copy by fl_space_copy(). Else both see each other's writes.
 * After a copy-on-write share, TLBs that may hold writable translations of @from are to be
 * invalidated. Return: 0, -ENOENT (nothing there), -EXDEV (two physical memories), -EINVAL
 * (alignment, or sharing openly what is shared copy-on-write), -EEXIST, -ENOMEM.
 */
int fl_space_share(
    struct fl_space *to, uint64_t to_va, struct fl_space *from, uint64_t from_va, bool is_cow);

/* fork: a new space that shares all of @space copy-on-write. Return: it, or NULL: no memory; pages
 * of @space may then be marked shared, which the next write to each undoes. */
struct fl_space *fl_space_clone(struct fl_space *space);

/* Resolve a copy-on-write page at @va: copy it, unless nobody shares it any more, and make it
 * writable. The old translation is to be invalidated. Return: 1 copied, 0 taken over without
 * a copy; -ENOENT (nothing there), -EACCES (not writable by its rights, or not copy-on-write),
 * -ENOMEM. */
int fl_space_copy(struct fl_space *space, uint64_t va);

struct fl_space_stats {
	uint64_t nr_tables; /* frames that hold tables, the root included */
	uint64_t nr_pages[FL_NR_PAGES];
	uint64_t root; /* physical address of the root table: CR3 */
};
void fl_space_stats(const struct fl_space *space, struct fl_space_stats *ret);

/* One page of a space, as the operating system sees it. */
struct fl_mapping {
	uint64_t va;
	uint64_t frame;
	enum fl_page page;
	uint32_t prot; /* the rights asked for: FL_WRITE also while copy-on-write holds it back */
	bool is_cow;
	bool is_accessed;
	bool is_dirty;
};

/* The first page at or after @va (the one that contains it, first). Return: 0 or -ENOENT. */
int fl_space_next(const struct fl_space *space, uint64_t va, struct fl_mapping *ret);

/* Clear accessed and/or dirty bits of the page at @va. A TLB that knows the page is not told: as in
 * hardware, the bits come back only after it is invalidated. Return: 0 or -ENOENT. */
int fl_space_clear(struct fl_space *space, uint64_t va, bool accessed, bool dirty);

/* ---- the walk --------------------------------------------------------------------------- */

struct fl_walk_step {
	uint32_t level; /* 4 (root) to 1 */
	uint32_t index; /* 0 to 511, taken from the address */
	uint64_t pa;    /* physical address of the entry */
	uint64_t entry; /* what was read there */
};

/* A walk through the tables, step by step: fit for printing. */
struct fl_walk {
	uint64_t va;
	uint32_t nr_steps; /* entries read: memory accesses; fewer for large pages and faults */
	uint32_t nr_marks; /* entries written: accessed or dirty bits set */
	struct fl_walk_step step[4];
	struct fl_fault fault; /* .kind FL_FAULT_NONE: the access is allowed */
	/* Only then: */
	uint64_t pa;
	enum fl_page page;
	uint32_t prot; /* what all levels together grant */
	bool is_dirty; /* after the access */
};

/* Walk the tables of @space as the hardware would for @access in @mode, and set accessed and dirty
 * bits as it would: accessed at every level and dirty at the last, if the access is allowed; none
 * otherwise. No TLB is asked. Return: 0, or -EFAULT with ret->fault saying why. */
int fl_space_translate(struct fl_space *space, uint64_t va, enum fl_access access,
    enum fl_mode mode, struct fl_walk *ret);

/* The same, looking only: no bit is set. */
int fl_space_walk(const struct fl_space *space, uint64_t va, enum fl_access access,
    enum fl_mode mode, struct fl_walk *ret);

/* Write @walk as lines of text into @buf, one per level and one for the outcome. Return: the
 * length of the whole text; what does not fit into @bytes is cut off (as snprintf). */
int fl_walk_format(const struct fl_walk *walk, char *buf, size_t bytes);

/* ---- the TLB ---------------------------------------------------------------------------- */

/* PLRU: the binary tree. CLOCK: a bit per entry, set by use, and a hand per set that clears it. */
enum fl_replacement { FL_LRU, FL_PLRU, FL_FIFO, FL_RANDOM, FL_CLOCK };

/* One array of entries. Set = page number modulo sets; an entry is found by comparing all ways. */
struct fl_tlb_unit {
	uint32_t sets;  /* a power of two */
	uint32_t ways;  /* at least 1; PLRU: at most 64. sets * ways at most 65536 */
	uint32_t pages; /* page sizes that it holds: bits 1 << FL_PAGE_x */
	enum fl_replacement replacement;
};

/* A page size that no unit of a level holds is kept there in pieces of the largest smaller size
 * that is held ("smashed"), or not at all. Each size is held by one unit at most. */
struct fl_tlb_level {
	uint32_t nr_units; /* 0 to 3 */
	struct fl_tlb_unit unit[FL_NR_PAGES];
};

/*
 * Level 1 is asked first, then level 2. A walk fills both, a hit in level 2 fills level 1; an
 * eviction from either does not touch the other (neither inclusive nor exclusive).
 */
struct fl_mmu_config {
	const char *name;   /* NULL unless a preset */
	const char *source; /* the vendor's document, and what of it could not be modelled */
	uint32_t nr_levels; /* 0 (every access walks) to 2 */
	struct fl_tlb_level level[2];
	uint32_t
	    nr_asids; /* 0 or 1: none, a switch empties the TLB but for global pages; to 4096 */
	/* Paging-structure caches: entries for what levels 4, 3, 2 point to ([0] = level 4); 0 =
	 * none, at most 1024. Fully associative, LRU. */
	uint32_t psc[3];
	uint64_t seed; /* for FL_RANDOM; same seed, same victims */
};

/* The named configurations: @i from 0 on, NULL after the last; and by name, NULL: unknown. Data
 * TLBs, LRU unless the vendor says otherwise (they do not), one ASID set of 4096 (x86 PCIDs). */
const struct fl_mmu_config *fl_mmu_preset(size_t i);
const struct fl_mmu_config *fl_mmu_preset_find(const char *name);

/* Bytes that level @level (0 or 1) covers when filled with pages of size @page only. */
uint64_t fl_mmu_reach(const struct fl_mmu_config *config, uint32_t level, enum fl_page page);

struct fl_tlb_counts {
	uint64_t hits;
	uint64_t misses;
	uint64_t evictions;   /* valid entries thrown out for others */
	uint64_t invalidated; /* entries dropped by invalidation, switch or fault */
};

struct fl_mmu_counts {
	uint64_t
	    accesses; /* translations asked for; level[0].hits + .misses, if there is a level */
	struct fl_tlb_counts level[2];
	uint64_t walks;
	uint64_t walk_reads;  /* table entries read from memory by walks */
	uint64_t walk_writes; /* table entries written: accessed and dirty bits */
	uint64_t dirty_walks; /* of the walks: a write hit an entry not yet dirty */
	uint64_t psc_hits[3]; /* walks that started below level 4, 3, 2 */
	uint64_t faults;
	uint64_t switches; /* fl_mmu_switch() */
	uint64_t flushes;  /* invalidations of a whole space or of all, by switches too */
};

/* Called for each fault of fl_load, fl_store and fl_fetch: the operating system's page-fault
 * handler. Return: 0 to try the access again, or -errno to let it fail with that. */
typedef int fl_fault_handler(struct fl_mmu *mmu, const struct fl_fault *fault, void *context);

/* An MMU on @phys, in user mode, on no space. @config is copied; NULL: a single level of 64
 * entries, 4 ways, LRU. Return: 0; -EINVAL: a field is outside what is allowed above; -ENOMEM. */
int fl_mmu_open(struct fl_phys *phys, const struct fl_mmu_config *config, struct fl_mmu **ret_mmu);
void fl_mmu_close(struct fl_mmu *mmu);

/* Load CR3. Without ASIDs this empties the TLB but for global pages, also when @space is current
 * already. With them a space keeps its entries until its ASID is given to another. NULL: none.
 * Return: 0, -EXDEV: another physical memory. */
int fl_mmu_switch(struct fl_mmu *mmu, struct fl_space *space);
void fl_mmu_set_mode(struct fl_mmu *mmu, enum fl_mode mode);
void fl_mmu_on_fault(struct fl_mmu *mmu, fl_fault_handler *handler, void *context);

/* What a translation through the TLB came to. */
struct fl_translation {
	uint64_t pa;
	enum fl_page page;
	uint32_t hit_level; /* 1 or 2: found in that level; 0: by a walk */
	struct fl_fault fault;
	struct fl_walk walk; /* .nr_steps 0: there was none */
	uint32_t
	    first_step; /* level at which the walk began: below 4 by a paging-structure cache */
};

/* Translate @va in the current space and mode: TLB, then walk and fill. A hit without the right
 * drops the entry and walks: granting more needs no invalidation (SDM 4.10.4.1). @ret may be NULL.
 * Return: 0; -EFAULT: ret->fault; -EINVAL: no space. No handler is called. */
int fl_mmu_translate(
    struct fl_mmu *mmu, uint64_t va, enum fl_access access, struct fl_translation *ret);

/* INVLPG: drop what is known of the page at @va in @space, global or not, in every level, all
 * pieces of a smashed page, and all of the space's paging-structure caches. */
void fl_mmu_invalidate(struct fl_mmu *mmu, const struct fl_space *space, uint64_t va);
/* Drop all of @space, but not global pages. */
void fl_mmu_invalidate_space(struct fl_mmu *mmu, const struct fl_space *space);
/* Drop everything. */
void fl_mmu_invalidate_all(struct fl_mmu *mmu);

void fl_mmu_counts(const struct fl_mmu *mmu, struct fl_mmu_counts *ret);
void fl_mmu_reset_counts(struct fl_mmu *mmu);

/* ---- load and store --------------------------------------------------------------------- */

/*
 * What the inline functions see: a small direct-mapped index over level 1 of the TLB. An entry is
 * here only as long as it is in level 1 too, so a match here is a hit there, and is counted and
 * marked as used as such. Nobody else looks into it.
 */
#define FL_NR_FAST   256u
#define FL_FAST_NONE 0x800ull /* no page address, with any alignment bits, is equal to it */

struct fl_fast {
	uint64_t tag_read, tag_write; /* page address if allowed without a walk, or FL_FAST_NONE */
	uintptr_t host;               /* host address of the frame less the page's address */
	uint64_t *last_use;           /* of the level-1 entry */
	uint64_t *tree;               /* PLRU: the set's tree; else NULL */
	uint64_t tree_keep, tree_set;
	uint64_t reserved;
};

struct fl_mmu_head {
	struct fl_fast fast[FL_NR_FAST];
	uint64_t clock; /* accesses so far */
};

int fl_load_slow(struct fl_mmu *mmu, uint64_t va, void *ret_bytes, size_t bytes);
int fl_store_slow(struct fl_mmu *mmu, uint64_t va, const void *from, size_t bytes);

static inline bool fl_fast_hit(
    struct fl_mmu *mmu, struct fl_fast *fast, uint64_t tag, uint64_t va, size_t bytes)
{
	/* Only naturally aligned accesses of a register's size match: others may cross a page. */
	if (__builtin_expect((va & (~0xfffull | (bytes - 1))) != tag, 0))
		return false;
	*fast->last_use = ++((struct fl_mmu_head *)mmu)->clock;
	if (fast->tree)
		*fast->tree = (*fast->tree & fast->tree_keep) | fast->tree_set;
	return true;
}

/*
 * Read @bytes (1 to 4096) at @va in the current space and mode. May cross a page: then both
 * pages are translated before anything is copied. With a constant size of 1, 2, 4 or 8 a hit in
 * the TLB's first level costs about a nanosecond or two.
 * Return: 0; -EFAULT: a fault that no handler cured; what the handler said; -EINVAL: size, or
 * no space. *@ret_bytes is written only on success.
 */
static inline int fl_load(struct fl_mmu *mmu, uint64_t va, void *ret_bytes, size_t bytes)
{
	struct fl_fast *fast = &((struct fl_mmu_head *)mmu)->fast[(va >> 12) % FL_NR_FAST];

	if ((bytes == 8 || bytes == 4 || bytes == 2 || bytes == 1) &&
	    fl_fast_hit(mmu, fast, fast->tag_read, va, bytes)) {
		memcpy(ret_bytes, (const void *)(fast->host + va), bytes);
		return 0;
	}
	return fl_load_slow(mmu, va, ret_bytes, bytes);
}

/* Write, likewise. A store that faults has written nothing. */
static inline int fl_store(struct fl_mmu *mmu, uint64_t va, const void *from, size_t bytes)
{
	struct fl_fast *fast = &((struct fl_mmu_head *)mmu)->fast[(va >> 12) % FL_NR_FAST];

	if ((bytes == 8 || bytes == 4 || bytes == 2 || bytes == 1) &&
	    fl_fast_hit(mmu, fast, fast->tag_write, va, bytes)) {
		memcpy((void *)(fast->host + va), from, bytes);
		return 0;
	}
	return fl_store_slow(mmu, va, from, bytes);
}

/* Fetch an instruction of @bytes: as fl_load, but needs the right to execute. */
int fl_fetch(struct fl_mmu *mmu, uint64_t va, void *ret_bytes, size_t bytes);

#endif
