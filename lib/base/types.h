// SPDX-License-Identifier: MIT
/*
 * The numbers that everything else passes around. Page, frame and slot numbers are one-member
 * structs: mixing them up is a compile error instead of a lost page.
 */
#ifndef FL_BASE_TYPES_H
#define FL_BASE_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PAGE_SHIFT 12
#define PAGE_BYTES ((size_t)1 << PAGE_SHIFT)
#define PAGE_MASK  (PAGE_BYTES - 1)

/* All managed memory lies in this window of addresses; nothing else is ever placed in it. The
 * guard's filter traps a system call whose pointer argument has an address in it. */
#define WINDOW_START 0x400000000000ull
#define WINDOW_END   0x500000000000ull

struct vpn {
	uint64_t v; /* virtual page number: address >> PAGE_SHIFT */
};

struct frame_nr {
	uint32_t v; /* emulated physical page, 0 .. budget - 1 */
};

struct slot {
	uint32_t v; /* place in swap, in pages from its start */
};

#define SLOT_NONE  ((struct slot){UINT32_MAX})
#define FRAME_NONE ((struct frame_nr){UINT32_MAX})

static inline struct vpn vpn_of(uintptr_t addr)
{
	return (struct vpn){addr >> PAGE_SHIFT};
}

static inline uintptr_t vpn_addr(struct vpn vpn)
{
	return vpn.v << PAGE_SHIFT;
}

static inline bool in_window(uintptr_t addr)
{
	return addr >= WINDOW_START && addr < WINDOW_END;
}

static inline size_t page_round_up(size_t bytes)
{
	return (bytes + PAGE_MASK) & ~PAGE_MASK;
}

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#ifndef MIN /* sys/param.h has both, and libuv includes it */
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))
#endif
#define LIKELY(x)                       __builtin_expect(!!(x), 1)
#define UNLIKELY(x)                     __builtin_expect(!!(x), 0)
#define container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

#endif
