// SPDX-License-Identifier: MIT
/*
 * The shared memory in which every paged process keeps its counters, and which `faultline run`
 * maps: what a process counted is there however it ended.
 *
 * A memfd made by the CLI: one header page, then FL_NR_PROCESSES records of FL_PROCESS_BYTES. A
 * process claims the next record (header.nr_claimed) when its pager starts: at program start, and
 * again in a forked child. Only its owner writes a record (but for requests for another RAM
 * budget); readers take each field as it is. The
 * file is sparse: records never claimed cost nothing.
 */
#ifndef FAULTLINE_TELEMETRY_H
#define FAULTLINE_TELEMETRY_H

#include <stdatomic.h>
#include <stdint.h>

#define FL_TELEMETRY_MAGIC 0x31454e494c544c46ull /* "FLTLINE1" */
#define FL_NR_PROCESSES    65536u
#define FL_PROCESS_BYTES   16384u
#define FL_HEADER_BYTES    4096u
#define FL_TELEMETRY_BYTES (FL_HEADER_BYTES + (uint64_t)FL_NR_PROCESSES * FL_PROCESS_BYTES)

/* Latencies: FL_HIST_SUB buckets for each power of two of nanoseconds, so a bucket is at most
 * 12.5 % wide. Bucket of ns: values below FL_HIST_SUB have their own; above, see fl_hist_bucket. */
#define FL_HIST_SUB     8u
#define FL_HIST_BUCKETS 304u /* up to 2^40 ns */

struct fl_hist {
	_Atomic uint64_t max_ns;
	_Atomic uint64_t count[FL_HIST_BUCKETS];
};

static inline unsigned fl_hist_bucket(uint64_t ns)
{
	if (ns < FL_HIST_SUB)
		return (unsigned)ns;
	unsigned log2 = 63u - (unsigned)__builtin_clzll(ns);
	unsigned b = (log2 - 2u) * FL_HIST_SUB + (unsigned)(ns >> (log2 - 3u) & (FL_HIST_SUB - 1u));
	return b < FL_HIST_BUCKETS ? b : FL_HIST_BUCKETS - 1u;
}

/* Smallest ns that falls into bucket @b. */
static inline uint64_t fl_hist_floor(unsigned b)
{
	if (b < 2u * FL_HIST_SUB)
		return b;
	return (uint64_t)(FL_HIST_SUB + b % FL_HIST_SUB) << (b / FL_HIST_SUB - 1u);
}

/* The last transitions of pages, for finding out how a byte went wrong. */
#define FL_NR_EVENTS 256u

struct fl_event {
	_Atomic uint64_t when_ns; /* CLOCK_MONOTONIC */
	_Atomic uint64_t vpn;
	_Atomic uint32_t slot; /* UINT32_MAX: none */
	_Atomic uint32_t what; /* enum page_event of the pager (lib/telemetry/telemetry.h) */
};

/* Why a program's memory stays resident: it transfers behind the guard's back, sets filters that
 * would bind the pager, or has stacks too small for the frame of a trapped call. */
#define FL_RESIDENT_IO_URING 1u
#define FL_RESIDENT_LIBAIO   2u
#define FL_RESIDENT_SECCOMP  4u
#define FL_RESIDENT_GO       8u

/*
 * Why the pager made a call that takes translations away from the program or makes them other:
 * for each the kernel flushes the TLBs of the other CPUs that the program runs on. (Many pages by
 * one call are one flush: seen on Linux 6.18. Before 6.16 process_madvise flushes for each run.)
 * What the program asks for (munmap, mprotect, mremap, MADV_DONTNEED) is not counted; what it has
 * evicted (MADV_PAGEOUT, fl_evict()) is.
 */
enum fl_shootdown {
	FL_SHOOTDOWN_WRITE,   /* a fault: the first write to a clean page */
	FL_SHOOTDOWN_FAULT,   /* a fault: anything else */
	FL_SHOOTDOWN_PROTECT, /* dirty pages that are to be unmapped; or to stay, after all */
	FL_SHOOTDOWN_UNMAP,   /* ... are evicted, watched, or hidden by the trap TLB */
	FL_SHOOTDOWN_TIER,    /* the compressed tier gave memory back */
	FL_SHOOTDOWN_OTHER,   /* a shared file is written, a fork begins */
	FL_NR_SHOOTDOWNS,
};

struct fl_process {
	_Atomic uint32_t state; /* 0 unclaimed, 1 being filled in, 2 live, 3 ended by exit() */
	_Atomic uint32_t pid;
	_Atomic uint32_t ppid;
	char program[64]; /* argv[0] without directory; cut off */
	char engine[16], policy[16];
	char
	    swap[256]; /* the swap directory, and how it is used: "/var/tmp (O_DIRECT, io_uring)" */

	_Atomic uint64_t start_ns; /* CLOCK_MONOTONIC */
	_Atomic uint64_t end_ns;   /* 0 until state 3 */

	_Atomic uint64_t minor_zero, minor_refill,
	    minor_write; /* minor_write: first write to a clean
	                  * page, part of minor_refill in reports */
	_Atomic uint64_t major, invalid;
	_Atomic uint64_t evict_clean, evict_dirty, evict_zero;
	_Atomic uint64_t readahead_pages, readahead_used;
	_Atomic uint64_t read_bytes, written_bytes, read_ops, write_ops;
	_Atomic uint64_t read_errors, write_errors, checksum_errors;
	_Atomic uint64_t same_content; /* dirty pages found unchanged: write spared */

	_Atomic uint64_t frames_budget, frames_used, frames_peak; /* frames */
	_Atomic uint64_t resident_bytes;                    /* pool + mapped pages, right now */
	_Atomic uint64_t managed_bytes, managed_bytes_peak; /* touched: in a frame or in swap */
	_Atomic uint64_t
	    outside_bytes_peak; /* as sampled by the process itself; the CLI samples too */
	_Atomic uint64_t swap_used_bytes;
	_Atomic uint64_t stall_some_ns, stall_full_ns;
	_Atomic uint64_t refaults;     /* pages read back soon after they were evicted */
	_Atomic uint64_t guard_calls;  /* system calls trapped because of a managed pointer */
	_Atomic uint64_t pinned_calls; /* of them: passed on with the pointer as it was */

	struct fl_hist minor, major_hist;

	_Atomic uint32_t next_event;
	struct fl_event events[FL_NR_EVENTS];

	_Atomic uint64_t sampled_ns; /* 0, or when the process last sampled itself: it was alive */
	_Atomic uint32_t resident_why;     /* FL_RESIDENT_*: why it is not paged any more */
	_Atomic uint32_t is_out_of_memory; /* the pager ended it: RAM budget and swap were full */
	_Atomic uint64_t file_read_bytes, file_written_bytes; /* of file-backed regions */

	/* The trap TLB; entries 0: there is none. Set before state 2. */
	uint32_t tlb_entries, tlb_ways,
	    tlb_pages; /* tlb_pages: 4 KiB pages that one entry covers */
	char tlb_replacement[8];
	_Atomic uint64_t tlb_misses, tlb_evictions;
	_Atomic uint64_t
	    tlb_units; /* larger pages: first touches of one; each would bring in all */
	_Atomic uint64_t tlb_probes; /* CLOCK: touches of an entry whose bit was clear; no misses */

	/* The compressed tier: pages put into it and what they came to, pages that did not
	 * compress; pages read back from memory, and from its chunks on disk; memory of the budget
	 * that it has, and had at most. */
	_Atomic uint64_t packed_pages, packed_bytes, unpacked_pages;
	_Atomic uint64_t tier_hits, packed_reads;
	_Atomic uint64_t tier_bytes, tier_bytes_peak;

	/* `faultline ram` asks for another budget: the one thing here that others write. It is
	 * answered when ram_answered is the request; each side rings (a futex of ram_bell). */
	_Atomic uint64_t ram_max_bytes; /* 0: the budget is fixed */
	_Atomic uint64_t ram_request, ram_answered;
	_Atomic int32_t ram_result; /* 0 or -errno */
	_Atomic uint32_t ram_bell;

	_Atomic uint64_t neighbours; /* pages read along with the one beside them, for a record
	                              * that goes on there; whether it did is not known */

	_Atomic uint64_t shootdowns[FL_NR_SHOOTDOWNS]; /* calls; by enum fl_shootdown */
	_Atomic uint64_t unmapped_pages;               /* by those of FL_SHOOTDOWN_UNMAP */
	_Atomic uint64_t shootdowns_waited; /* of _PROTECT and _UNMAP: made by the thread whose
	                                     * fault found no room, or that serves it */

	_Atomic uint64_t refilled_along; /* pages that were unmapped to see, and mapped again as
	                                  * the one beside them was touched; no faults */
};

/* A request differs from the one before: 16 bits count them, 48 are frames. */
static inline uint64_t fl_ram_request(uint64_t last, uint64_t frames)
{
	return ((last >> 48) + 1) << 48 | (frames & 0xffffffffffffu);
}

static inline uint64_t fl_ram_request_frames(uint64_t request)
{
	return request & 0xffffffffffffu;
}

_Static_assert(
    sizeof(struct fl_process) <= FL_PROCESS_BYTES, "a process record has outgrown its place");

/* A program started by paged ones and not paged itself. */
#define FL_NR_UNMANAGED 16u

struct fl_unmanaged {
	_Atomic uint32_t state; /* 0 free, 1 being filled in, 2 valid */
	_Atomic uint32_t nr_execs;
	char program[56]; /* without directory; cut off */
};

struct fl_telemetry {
	uint64_t magic;
	uint32_t nr_processes, process_bytes;
	_Atomic uint32_t nr_claimed;         /* may exceed nr_processes: the rest went uncounted */
	_Atomic uint64_t nr_unmanaged_execs; /* static or setuid programs started by paged ones */
	struct fl_unmanaged unmanaged[FL_NR_UNMANAGED]; /* the first so many by name */
	uint32_t has_rings; /* faults are recorded: each process has a ring of its own */
};

_Static_assert(sizeof(struct fl_telemetry) <= FL_HEADER_BYTES, "the header has outgrown its page");

/*
 * Where faults are recorded (has_rings), the records are followed by as many rings. Threads of the
 * process take slots by counting up head, where tail is not FL_TRACE_SLOTS behind, and set seq to
 * their number plus one when a slot is filled in; the reader counts up tail.
 */
#define FL_TRACE_SLOTS 65536u

struct fl_trace_slot {
	_Atomic uint64_t seq;
	uint64_t time_ns; /* CLOCK_MONOTONIC */
	uint64_t page;    /* number << 4 | enum fl_trace_kind << 1 | write */
	uint32_t thread, latency_ns;
};

struct fl_trace_ring {
	_Atomic uint64_t head, nr_lost;
	char pad[48]; /* head and tail have different writers */
	_Atomic uint64_t tail;
	char pad_to_page[4024];
	struct fl_trace_slot slot[FL_TRACE_SLOTS];
};

#define FL_TRACE_RING_BYTES ((uint64_t)sizeof(struct fl_trace_ring))
#define FL_TELEMETRY_BYTES_WITH_RINGS \
	(FL_TELEMETRY_BYTES + (uint64_t)FL_NR_PROCESSES * FL_TRACE_RING_BYTES)

_Static_assert(sizeof(struct fl_trace_ring) % 4096 == 0, "rings are mapped one by one");

static inline uint64_t fl_trace_ring_offset(uint32_t index)
{
	return FL_TELEMETRY_BYTES + (uint64_t)index * FL_TRACE_RING_BYTES;
}

static inline uint64_t fl_process_offset(uint32_t index)
{
	return FL_HEADER_BYTES + (uint64_t)index * FL_PROCESS_BYTES;
}

#endif
