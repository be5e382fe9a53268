// SPDX-License-Identifier: MIT
/* File-backed regions: the files; see source.h. Faults are fault.c's, evictions reclaim.c's. */
#include "pager/source.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "base/ensure.h"
#include "base/meta.h"
#include "pager/mapping.h"

static struct source *sources; /* [map lock] MAX_SOURCES of them; 0 is not used */
static uint32_t nr_sources;    /* [map lock] in use */

/* Of pages that are written while they stay where they are. [map lock exclusively, or the gate] */
static char *copies;

int source_init(void)
{
	sources = meta_map(page_round_up(MAX_SOURCES * sizeof(*sources)));
	copies = meta_map(SOURCE_MAX_RUN * PAGE_BYTES);
	return sources && copies ? 0 : -ENOMEM;
}

static int check_fd(int fd, bool is_shared, int prot)
{
	struct stat st;
	long flags = sys_call2(SYS_fcntl, fd, F_GETFL);

	if (flags < 0)
		return (int)flags;
	long err = sys_call2(SYS_fstat, fd, (long)&st);
	if (err)
		return (int)err;
	if (!S_ISREG(st.st_mode))
		return -ENODEV;
	if ((flags & O_ACCMODE) == O_WRONLY || flags & O_PATH)
		return -EACCES;
	return is_shared && prot & PROT_WRITE && (flags & O_ACCMODE) != O_RDWR ? -EACCES : 0;
}

int source_open(int fd, uint64_t file_page, bool is_shared, int prot)
{
	int err = check_fd(fd, is_shared, prot);
	uint16_t nr = 1;

	if (err)
		return err;
	while (nr < MAX_SOURCES && sources[nr].fd)
		nr++;
	if (nr == MAX_SOURCES)
		return -ENFILE;
	int copy = (int)sys_call3(SYS_fcntl, fd, F_DUPFD_CLOEXEC, 3);
	if (copy < 0)
		return copy;
	sources[nr] = (struct source){
	    .fd = sys_fd_move_high(copy),
	    .is_shared = is_shared,
	    .is_mutable = (sys_call2(SYS_fcntl, fd, F_GETFL) & O_ACCMODE) == O_RDWR,
	    .file_page = file_page,
	};
	nr_sources++;
	return nr;
}

void source_place(uint16_t nr, struct vpn first)
{
	sources[nr].first = first;
}

void source_sweep(void)
{
	uint64_t used[MAX_SOURCES / 64] = {0};

	if (!nr_sources)
		return;
	for (uint32_t i = 0; i < pg.regions.nr; i++)
		used[pg.regions.r[i].source / 64] |= 1ull << pg.regions.r[i].source % 64;
	for (uint32_t nr = 1; nr < MAX_SOURCES; nr++) {
		if (!sources[nr].fd || used[nr / 64] >> nr % 64 & 1)
			continue;
		sys_call1(SYS_close, sources[nr].fd);
		sources[nr].fd = 0;
		nr_sources--;
	}
}

bool source_is_shared(uint16_t nr)
{
	return nr && sources[nr].is_shared;
}

bool source_allows(uint16_t nr, int prot)
{
	return !source_is_shared(nr) || !(prot & PROT_WRITE) || sources[nr].is_mutable;
}

bool source_owns_fd(int fd)
{
	for (uint32_t nr = 1; nr_sources && nr < MAX_SOURCES; nr++)
		if (sources[nr].fd == fd)
			return true;
	return false;
}

/* --- reading and writing --- */

static off_t offset_of(const struct source *s, struct vpn vpn)
{
	return (off_t)((s->file_page + (vpn.v - s->first.v)) << PAGE_SHIFT);
}

/* Return: 0, -ENXIO or -errno. */
static int read_page(const struct source *s, struct vpn vpn, char *buf)
{
	size_t done = 0;

	while (done < PAGE_BYTES) {
		long n = sys_call4(SYS_pread64, s->fd, (long)(buf + done),
		    (long)(PAGE_BYTES - done), offset_of(s, vpn) + (off_t)done);

		if (n == -EINTR)
			continue;
		if (n < 0)
			return (int)n;
		if (!n)
			break;
		done += (size_t)n;
	}
	if (!done)
		return -ENXIO;
	memset(buf + done, 0, PAGE_BYTES - done);
	COUNT(&pg.telemetry, file_read_bytes, done);
	return 0;
}

/* All of them by one call. Return: whether that gave every byte. */
static bool read_run(const struct source *s, struct vpn first, struct swap_page *pages, uint32_t nr)
{
	struct iovec iov[MAX_WINDOW];

	for (uint32_t i = 0; i < nr; i++) {
		iov[i] = (struct iovec){.iov_base = pages[i].buf, .iov_len = PAGE_BYTES};
		pages[i].result = 0;
	}
	if (sys_call5(SYS_preadv, s->fd, (long)iov, nr, offset_of(s, first), 0) !=
	    (long)(nr * PAGE_BYTES))
		return false;
	COUNT(&pg.telemetry, file_read_bytes, nr * PAGE_BYTES);
	return true;
}

void source_read(
    uint16_t source, struct vpn first, uint32_t stride, struct swap_page *pages, uint32_t nr)
{
	const struct source *s = &sources[source];

	if (nr > 1 && stride == 1 && read_run(s, first, pages, nr))
		return;
	for (uint32_t i = 0; i < nr; i++)
		pages[i].result =
		    read_page(s, (struct vpn){first.v + (uint64_t)i * stride}, pages[i].buf);
}

static int write_part(const struct source *s, off_t at, const char *buf, size_t bytes)
{
	while (bytes) {
		long n = sys_call4(SYS_pwrite64, s->fd, (long)buf, (long)bytes, at);

		if (n == -EINTR)
			continue;
		if (n <= 0)
			return n ? (int)n : -EIO;
		COUNT(&pg.telemetry, file_written_bytes, (uint64_t)n);
		buf += n;
		at += n;
		bytes -= (size_t)n;
	}
	return 0;
}

int source_write(uint16_t source, struct vpn first, void *const *bufs, uint32_t nr)
{
	const struct source *s = &sources[source];
	off_t at = offset_of(s, first);
	struct iovec iov[SOURCE_MAX_RUN];
	struct stat st;
	/* A mapping does not make a file longer; what was cut off meanwhile is lost, as it should
	 * be. */
	long err = sys_call2(SYS_fstat, s->fd, (long)&st);

	if (err)
		return (int)err;
	uint64_t left = st.st_size > at ? (uint64_t)(st.st_size - at) : 0;
	if (nr > 1 && left >= nr * PAGE_BYTES) {
		for (uint32_t i = 0; i < nr; i++)
			iov[i] = (struct iovec){.iov_base = bufs[i], .iov_len = PAGE_BYTES};
		if (sys_call5(SYS_pwritev, s->fd, (long)iov, nr, at, 0) ==
		    (long)(nr * PAGE_BYTES)) {
			COUNT(&pg.telemetry, file_written_bytes, nr * PAGE_BYTES);
			return 0;
		}
	}
	for (uint32_t i = 0; i < nr && left && !err; i++, at += PAGE_BYTES) {
		size_t bytes = MIN(left, PAGE_BYTES);

		err = write_part(s, at, bufs[i], bytes);
		left -= bytes;
	}
	return (int)err;
}

/* --- flushing --- */

static bool is_dirty_in(struct pt_leaf leaf, uint64_t vpn, enum page_state state)
{
	uint64_t pte = *leaf_pte(leaf, (struct vpn){vpn});

	return pte_state(pte) == state && pte & PTE_DIRTY;
}

/* Pages of one state from @vpn on that are dirty, before @stop. */
static uint32_t dirty_run(struct pt_leaf leaf, struct vpn vpn, struct vpn stop)
{
	enum page_state state = pte_state(*leaf_pte(leaf, vpn));
	uint32_t nr = 0;

	if (state != PAGE_MAPPED && state != PAGE_HELD)
		return 0;
	while (vpn.v + nr < stop.v && nr < SOURCE_MAX_RUN && is_dirty_in(leaf, vpn.v + nr, state))
		nr++;
	return nr;
}

/* The run becomes clean, or dirty again. L1 lock held. */
static void set_dirty(struct pt_leaf leaf, struct vpn vpn, uint32_t nr, bool is_dirty)
{
	for (uint32_t i = 0; i < nr; i++) {
		uint64_t *pte = leaf_pte(leaf, (struct vpn){vpn.v + i});

		pte_set(pte, pte_state(*pte), pte_payload(*pte), is_dirty ? PTE_DIRTY : 0);
	}
}

/* Protect the run, so that a write from now on is seen, and copy it. L1 lock held. */
static int copy_run(struct pt_leaf leaf, struct vpn vpn, uint32_t nr)
{
	bool is_mapped = pte_state(*leaf_pte(leaf, vpn)) == PAGE_MAPPED;
	int err =
	    is_mapped ? transport_protect(&pg.transport, vpn, nr, true, FL_SHOOTDOWN_OTHER) : 0;

	for (uint32_t i = 0; i < nr && !err; i++) {
		struct vpn page = {vpn.v + i};
		uint64_t pte = *leaf_pte(leaf, page);
		char *to = copies + i * PAGE_BYTES;

		if (is_mapped)
			err = transport_read(&pg.transport, page, to, pte & PTE_NO_ACCESS);
		else
			memcpy(to, buf_addr(&pg.frames, frame_of(&pg.frames, pte_frame(pte))->buf),
			    PAGE_BYTES);
	}
	if (err && is_mapped)
		transport_protect(&pg.transport, vpn, nr, false, FL_SHOOTDOWN_OTHER);
	return err;
}

/* Nothing but a page's own writer changes it now: no fault comes past the map lock (or the gate),
 * and there is no reclaim. */
static int flush_run(uint16_t source, struct pt_leaf leaf, struct vpn vpn, uint32_t nr)
{
	void *bufs[SOURCE_MAX_RUN];

	lock_acquire(leaf.lock);
	int err = copy_run(leaf, vpn, nr);
	if (!err)
		set_dirty(leaf, vpn, nr, false);
	lock_release(leaf.lock);
	if (err)
		return err;
	for (uint32_t i = 0; i < nr; i++)
		bufs[i] = copies + i * PAGE_BYTES;
	err = source_write(source, vpn, bufs, nr);
	if (err) {
		lock_acquire(leaf.lock);
		if (pte_state(*leaf_pte(leaf, vpn)) == PAGE_MAPPED)
			transport_protect(&pg.transport, vpn, nr, false, FL_SHOOTDOWN_OTHER);
		set_dirty(leaf, vpn, nr, true);
		lock_release(leaf.lock);
	}
	return err;
}

static int flush_region(uint16_t source, struct vpn vpn, struct vpn last)
{
	int err = 0;

	while ((vpn = ptab_next(&pg.ptab, vpn, last)).v < last.v) {
		struct pt_leaf leaf = ptab_walk(&pg.ptab, vpn);
		struct vpn stop = {MIN(leaf_end(vpn).v, last.v)};

		while (vpn.v < stop.v) {
			uint32_t nr = dirty_run(leaf, vpn, stop);

			if (nr)
				err = flush_run(source, leaf, vpn, nr) ?: err;
			vpn.v += MAX(nr, 1u);
		}
	}
	return err;
}

bool source_exists(void)
{
	return nr_sources;
}

/* The first region from number @i on, before @end, that has a source, or pg.regions.nr. */
static uint32_t next_backed(uint32_t i, uintptr_t end)
{
	while (i < pg.regions.nr && pg.regions.r[i].start < end && !pg.regions.r[i].source)
		i++;
	return i < pg.regions.nr && pg.regions.r[i].start < end ? i : pg.regions.nr;
}

bool source_is_in(uintptr_t start, uintptr_t end)
{
	return nr_sources && next_backed(region_index(&pg.regions, start), end) < pg.regions.nr;
}

int source_flush(uintptr_t start, uintptr_t end)
{
	uint32_t first =
	    nr_sources ? next_backed(region_index(&pg.regions, start), end) : pg.regions.nr;
	int err = 0;

	if (first == pg.regions.nr)
		return 0;
	/* Written to already by a thread that goes on, a page may be READING still to the one that
	 * serves it. */
	for (uint32_t i = first; i < pg.regions.nr; i = next_backed(i + 1, end))
		mapping_each_page(MAX(start, pg.regions.r[i].start), MIN(end, pg.regions.r[i].end),
		    mapping_page_still, NULL);
	/* Private pages, too, are on no way out when their source goes. */
	reclaim_stop();
	for (uint32_t i = first; i < pg.regions.nr; i = next_backed(i + 1, end)) {
		const struct region *r = &pg.regions.r[i];

		if (source_is_shared(r->source))
			err = flush_region(
			          r->source, vpn_of(MAX(start, r->start)), vpn_of(MIN(end, r->end)))
			          ?: err;
	}
	reclaim_go_on();
	return err;
}

/* One piece of a range. Return: where the next begins; *@ret_fd: to be synced, -1: nothing. */
static uintptr_t sync_piece(uintptr_t start, uintptr_t end, int *ret_fd, int *ret_err)
{
	uint64_t mask = mapping_begin(start, MIN(end, start + PTAB_ENTRIES * PAGE_BYTES));
	struct piece p = mapping_piece(start, MIN(end, start + PTAB_ENTRIES * PAGE_BYTES));
	bool is_shared = p.kind == PIECE_MANAGED && source_is_shared(p.r.source);

	*ret_fd = is_shared ? sources[p.r.source].fd : -1;
	if (is_shared)
		*ret_err = source_flush(p.start, p.end);
	mapping_end(mask, 0);
	return p.end;
}

int source_sync(uintptr_t start, uintptr_t end)
{
	int fd, err = 0, synced = -1;

	while (start < end) {
		int failed = 0;

		start = sync_piece(start, end, &fd, &failed);
		err = err ?: failed;
		/* Under no lock; if the file was unmapped meanwhile that is another one, or none.
		 */
		if (fd >= 0 && (fd != synced || start >= end))
			failed = (int)sys_call1(SYS_fdatasync, fd);
		if (failed != -EBADF)
			err = err ?: failed;
		synced = fd;
	}
	return err;
}

int source_unmanage(const struct region *r, uintptr_t start, uintptr_t end, int prot)
{
	const struct source *s = &sources[r->source];

	if (s->is_shared) {
		long at = raw_mmap(start, end - start, prot, MAP_SHARED | MAP_FIXED, s->fd,
		    offset_of(s, vpn_of(start)));

		return at < 0 ? (int)at : 0;
	}
	for (struct vpn vpn = vpn_of(start); vpn.v < vpn_of(end).v; vpn.v++) {
		struct pt_leaf leaf = ptab_walk(&pg.ptab, vpn);
		int err = 0;

		if (leaf.pte && pte_state(*leaf_pte(leaf, vpn)) != PAGE_NONE)
			continue;
		err = read_page(s, vpn, copies);
		if (!err)
			err = transport_map(&pg.transport, vpn, copies, 1, false);
		if (err && err != -ENXIO)
			return err;
	}
	return 0;
}
