// SPDX-License-Identifier: MIT
/* The pager of this process: start, the gate, counters, consistency. */
#include "pager/mapping.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>

#include "base/ensure.h"
#include "base/meta.h"
#include "base/say.h"
#include "base/sys.h"
#include "fault/probe.h"
#include "swap/checksum.h"

struct pager pg;

/* The engine's threads come in here. */
static int sink_fault(uintptr_t addr, bool is_write, bool is_absent)
{
	enum access write = is_absent ? ACCESS_WRITE_ABSENT : ACCESS_WRITE;
	enum fault_result r = pager_fault(addr, is_write ? write : ACCESS_READ);

	/* An access that is not allowed is retried: the kernel's own protection stops it. */
	return r == FAULT_IO_ERROR ? -EIO : 0;
}

static const struct engine_sink sink = {.fault = sink_fault};

bool pager_is_silent(void)
{
	return pg.config.tlb.entries || pg.config.is_exact || pg.telemetry.ring;
}

struct event *page_event(struct vpn vpn)
{
	return &pg.page_event[vpn.v % NR_PAGE_EVENTS];
}

void pte_set(uint64_t *pte, enum page_state state, uint64_t payload, uint64_t flags)
{
	uint64_t keep = state == PAGE_NONE ? 0 : *pte & (PTE_NO_ACCESS | PTE_LOCKED);

	__atomic_store_n(
	    pte, state == PAGE_NONE ? 0 : pte_make(state, payload, flags | keep), __ATOMIC_RELAXED);
}

struct pt_leaf lock_page_of(struct frame *f, struct vpn *ret_vpn)
{
	for (;;) {
		struct vpn vpn = {atomic_load(&f->vpn)};
		struct pt_leaf none = {0};

		if (vpn.v == UINT64_MAX)
			return none;
		struct pt_leaf leaf = ptab_walk(&pg.ptab, vpn);
		lock_acquire(leaf.lock);
		if (atomic_load(&f->vpn) == vpn.v) {
			*ret_vpn = vpn;
			return leaf;
		}
		lock_release(leaf.lock); /* freed and used again, or moved, meanwhile */
	}
}

/* --- the gate --- */

static void wait_at_gate(void)
{
	uint32_t ticket = event_begin(&pg.gate_opened);

	event_wait_unless(&pg.gate_opened, ticket, !atomic_load(&pg.gate_closed));
}

bool pager_enter_try(void)
{
	atomic_fetch_add(&pg.nr_inside, 1);
	if (LIKELY(!atomic_load(&pg.gate_closed)))
		return true;
	pager_leave();
	return false;
}

void pager_enter(void)
{
	for (;;) {
		/* Only the child of a fork, not of a vfork, finds the mark wiped. */
		if (UNLIKELY(!atomic_load_explicit(pg.fork_mark, memory_order_relaxed))) {
			fork_become_child();
			continue;
		}
		if (LIKELY(pager_enter_try()))
			return;
		wait_at_gate();
	}
}

void pager_leave(void)
{
	uint32_t before = atomic_fetch_sub(&pg.nr_inside, 1);

	if (before == 1 && UNLIKELY(atomic_load(&pg.gate_closed)))
		futex_wake(&pg.nr_inside, 1);
}

/* --- counters --- */

void pager_publish(bool with_swap)
{
	struct fl_process *p = pg.telemetry.p;
	uint64_t populated = atomic_load(&pg.nr_populated) << PAGE_SHIFT;
	int32_t places_free = atomic_load(&pg.frames.places_free);
	uint32_t lent = atomic_load(&pg.frames.nr_lent);

	/* Read one after the other: the sum may be a little off. */
	uint64_t used =
	    MIN(atomic_load(&pg.frames.frames_used) + share_pages(), pg.frames.nr_frames);
	uint64_t peak = MAX(used, atomic_load(&pg.frames.frames_peak));

	atomic_store_explicit(&p->frames_used, used, memory_order_relaxed);
	if (peak > atomic_load_explicit(&p->frames_peak, memory_order_relaxed))
		atomic_store_explicit(&p->frames_peak, peak, memory_order_relaxed);
	atomic_store_explicit(&p->managed_bytes, populated, memory_order_relaxed);
	if (populated > atomic_load_explicit(&p->managed_bytes_peak, memory_order_relaxed))
		atomic_store_explicit(&p->managed_bytes_peak, populated, memory_order_relaxed);
	atomic_store_explicit(&p->resident_bytes,
	    (uint64_t)(pg.frames.nr_places + lent - atomic_load(&pg.withheld) -
	               (uint32_t)MAX(places_free, 0) + bufs_resident(&pg.frames))
	        << PAGE_SHIFT,
	    memory_order_relaxed);
	if (!with_swap)
		return;
	struct swap_stats s;
	swap_stats(pg.swap, &s);
	atomic_store(&p->swap_used_bytes, s.used_bytes);
	atomic_store(&p->read_bytes, s.read_bytes);
	atomic_store(&p->written_bytes, s.written_bytes);
	atomic_store(&p->read_ops, s.read_ops);
	atomic_store(&p->write_ops, s.write_ops);
	atomic_store(&p->read_errors, s.read_errors);
	atomic_store(&p->write_errors, s.write_errors);
	atomic_store(&p->checksum_errors, s.checksum_errors);
	atomic_store(&p->packed_pages, s.packed_pages);
	atomic_store(&p->packed_bytes, s.packed_bytes);
	atomic_store(&p->unpacked_pages, s.unpacked_pages);
	atomic_store(&p->tier_hits, s.tier_hits);
	atomic_store(&p->packed_reads, s.packed_reads);
	atomic_store(&p->tier_bytes, s.tier_bytes);
	atomic_store(&p->shootdowns[FL_SHOOTDOWN_TIER], s.tier_returns);
	if (s.tier_bytes > atomic_load(&p->tier_bytes_peak))
		atomic_store(&p->tier_bytes_peak, s.tier_bytes);
}

struct fl_process *pager_counters(void)
{
	return pg.telemetry.p;
}

void pager_refresh_counters(void)
{
	uint64_t mask = sys_signals_block(false);

	pager_enter(); /* the child of a fork becomes itself */
	pager_leave();
	pager_stop(); /* a thread may go on before the engine's has counted its fault */
	pager_publish(true);
	pager_go_on();
	sys_signals_restore(mask);
}

void pager_unmanaged_exec(const char *path, bool has_failed)
{
	if (pg.running)
		telemetry_unmanaged_exec(&pg.telemetry, path, has_failed);
}

/* What is shared with a file outlives the process. */
static void flush_all(void)
{
	uint64_t mask = mapping_begin(0, 0);

	source_flush(WINDOW_START, WINDOW_END);
	mapping_end(mask, 0);
}

void pager_at_exit(void)
{
	/* A forked child that never touched managed memory has no record of its own. */
	if (!pg.running || !atomic_load(pg.fork_mark))
		return;
	if (source_exists())
		flush_all();
	pager_publish(true);
	/* Under a filter of the program's own, /proc may be what ends it. */
	if (!(atomic_load(&pg.telemetry.p->resident_why) & FL_RESIDENT_SECCOMP))
		telemetry_sample_outside(&pg.telemetry, -1);
	atomic_store(&pg.telemetry.p->end_ns, now_ns());
	atomic_store(&pg.telemetry.p->state, 3);
}

/* --- start --- */

static int fail(int err, char *why, size_t why_bytes, const char *what, const char *cure)
{
	snprintf(why, why_bytes, "%s: %s; %s", what, strerror(-err), cure);
	return err;
}

static void describe(const struct pager_config *c, const char *how)
{
	struct fl_process *p = pg.telemetry.p;

	snprintf(p->engine, sizeof(p->engine), "%s", pg.engine->name);
	snprintf(p->policy, sizeof(p->policy), "%s", pg.policy_ops->name);
	snprintf(p->swap, sizeof(p->swap), "%.200s (%s)", c->swap_dir, how);
	atomic_store(&p->frames_budget, frames_budget());
	p->tlb_entries = c->tlb.entries;
	p->tlb_ways = c->tlb.ways;
	p->tlb_pages = 1u << c->tlb_shift;
	snprintf(p->tlb_replacement, sizeof(p->tlb_replacement), "%s",
	    tlb_replacement_name(c->tlb.replacement));
	atomic_store(&p->state, 2);
}

static int start_engine(const char *asked, char *why, size_t why_bytes)
{
	const char *name = asked;

	if (!strcmp(asked, "auto") || !*asked) {
		struct probe probe;

		probe_machine(NULL, &probe);
		name = probe_engine(&probe, "auto", why, why_bytes);
		if (!name)
			return -EOPNOTSUPP;
	}
	pg.engine = engine_find(name);
	/* One thread's faults are served by any of the few that read them, in engine `uffd`. */
	pg.block_threads = strcmp(name, "uffd") ? 1 : 4;
	int fd = pg.engine->open();
	if (fd < 0)
		return fail(fd, why, why_bytes, "userfaultfd", "see `faultline doctor`");
	transport_init(&pg.transport, fd, &pg.telemetry);
	pg.transport.is_silent = pager_is_silent();
	int err = pg.engine->start(fd, &sink);
	if (err) {
		sys_call1(SYS_close, fd);
		return fail(err, why, why_bytes, "pager threads", "raise `ulimit -u`");
	}
	return 0;
}

static bool is_engine(const char *name)
{
	return !*name || !strcmp(name, "auto") || engine_find(name);
}

static bool is_reclaim(const char *name)
{
	return !*name || !strcmp(name, "auto") || !strcmp(name, "thread") ||
	       !strcmp(name, "inline");
}

static int no_such(
    const char *what, const char *name, const char *known, char *why, size_t why_bytes)
{
	snprintf(why, why_bytes, "%s %s: there is none of that name; choose %s", what, name, known);
	return -EINVAL;
}

/* Whether all names in @config are known. Return: 0 or -EINVAL with *why, which lists them. */
static int check_names(const struct pager_config *config, char *why, size_t why_bytes)
{
	char known[160] = "";

	for (size_t i = 0; policies[i]; i++)
		snprintf(known + strlen(known), sizeof(known) - strlen(known), "%s%s",
		    !i                ? ""
		    : policies[i + 1] ? ", "
		                      : " or ",
		    policies[i]->name);
	if (!policy_find(config->policy))
		return no_such("policy", config->policy, known, why, why_bytes);
	if (!is_engine(config->engine))
		return no_such("engine", config->engine, "auto, sigbus or uffd", why, why_bytes);
	if (!is_reclaim(config->reclaim))
		return no_such(
		    "reclaim", config->reclaim, "auto, thread or inline", why, why_bytes);
	if (!share_codec_find(config->compress))
		return no_such(
		    "compress", config->compress, "auto, off, lz4 or zstd", why, why_bytes);
	return 0;
}

/* All that RAM may ever have, less what it shall not have yet. */
static int init_frames(const struct pager_config *config, uint32_t nr_frames)
{
	uint32_t nr_max = (uint32_t)MIN(config->ram_max_bytes >> PAGE_SHIFT, UINT32_MAX / 2);
	uint32_t reach = config->tlb.entries << config->tlb_shift;

	/* Buffers for all that may be watched or hidden, and for what is being read or written; a
	 * place more than frames, so that it is never places that are short. */
	if (config->is_exact)
		return frames_init_exact(&pg.frames, nr_frames, reach ? reach : nr_frames + 1,
		    ((nr_frames + 15) & ~15u) + PTAB_ENTRIES);
	if (nr_max <= nr_frames || reach)
		return frames_init(&pg.frames, nr_frames, reach);
	int err = frames_init(&pg.frames, nr_max, nr_max - frames_pool_size(nr_frames));
	if (!err)
		atomic_store(&pg.withheld, places_take(&pg.frames, nr_max - nr_frames));
	return err;
}

static int start(const struct pager_config *config, char *why, size_t why_bytes)
{
	const char *how;

	int err = check_names(config, why, why_bytes);
	if (err)
		return err;
	pg.config = *config;
	vfork_after_fork();
	rwlock_init(&pg.map_lock, LOCK_MAP);
	checksum_seed();
	pg.policy_ops = policy_find(config->policy);
	/*
	 * While few threads wait for reads, each unmaps for itself: a second running thread would
	 * make every change of a mapping a TLB shootdown. Measured with bench/compare on two CPUs,
	 * one thread: inline is 5-20 % faster; eight threads that read: the pager thread is 12 %
	 * faster.
	 */
	pg.inline_threads = !strcmp(config->reclaim, "thread")   ? 0
	                    : !strcmp(config->reclaim, "inline") ? UINT32_MAX
	                                                         : 3;
	uint64_t nr_frames = MIN(config->ram_bytes >> PAGE_SHIFT, UINT32_MAX / 2);
	if (nr_frames < pager_min_frames(config)) {
		snprintf(why, why_bytes, "--ram: less than %llu pages; give more%s",
		    (unsigned long long)pager_min_frames(config),
		    config->tlb.entries ? ", or --tlb fewer entries" : "");
		return -EINVAL;
	}
	err = swap_open(config->swap_dir, config->swap_bytes, &pg.swap, &how);
	if (err)
		return fail(err, why, why_bytes, config->swap_dir, "choose another with --swap");
	err = telemetry_open(&pg.telemetry, config->telemetry);
	if (!err)
		err = ptab_init(&pg.ptab);
	if (!err)
		err = region_map_init(&pg.regions);
	if (!err)
		err = source_init();
	if (!err)
		err = tlb_init(&pg.tlb, &config->tlb, config->tlb_shift);
	if (!err)
		err = init_frames(config, (uint32_t)nr_frames);
	if (!err) {
		pg.touch_ns = machine_touch_ns();
		err = share_init();
	}
	if (!err)
		err = reclaim_init();
	pg.zeros = meta_map(MAX_AROUND * PAGE_BYTES);
	if (!err)
		err = fork_init(&sink);
	if (err || !pg.zeros)
		return fail(err ? err : -ENOMEM, why, why_bytes, "memory for the pager",
		    "raise `ulimit -v`");
	err = start_engine(config->engine, why, why_bytes);
	if (err)
		return err;
	describe(config, how);
	pg.running = true;
	err = sample_start() ?: request_start();
	return err ? fail(err, why, why_bytes, "pager threads", "raise `ulimit -u`") : 0;
}

int pager_start(const struct pager_config *config, char *why, size_t why_bytes)
{
	if (pg.running)
		return 0;
	int err = start(config, why, why_bytes);
	if (err && !pg.running) {
		/* For another try. The rest is but addresses. */
		frames_fini(&pg.frames);
		swap_close(pg.swap);
		pg.swap = NULL;
	}
	return err;
}

size_t pager_own_bytes(void)
{
	return meta_bytes() + ((size_t)pg.frames.nr_bufs << PAGE_SHIFT);
}

bool pager_is_running(void)
{
	return pg.running;
}

bool pager_owns_fd(int fd)
{
	if (!pg.running || fd < 0)
		return false;
	return fd == pg.transport.uffd || fd == pg.transport.self_mem || fd == pg.telemetry.fd ||
	       swap_owns_fd(pg.swap, fd) || sample_owns_fd(fd) || source_owns_fd(fd);
}
