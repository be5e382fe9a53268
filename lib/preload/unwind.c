// SPDX-License-Identifier: MIT
/* See unwind.h. Call frame information: DWARF 4, section 6.4, as in .eh_frame (Linux Standard Base,
 * "Exception Frames"). The register numbers are those of the x86-64 ABI. */
#include "preload/unwind.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stddef.h>

#include "base/sys.h"

#define RSP            7
#define RETURN_ADDRESS 16
#define SLEB_MINUS_8   0x78

enum {
	CFA_NOP = 0,
	CFA_DEF = 0x0c,    /* register, offset */
	CFA_OFFSET = 0x80, /* of the register in the low bits: offset in data alignments */
};

/* One entry for all: the gate has no frame, its caller is at the stack pointer throughout. */
static const struct {
	struct {
		uint32_t bytes, id;
		uint8_t version, augmentation, code_align, data_align, return_address;
		uint8_t program[7];
	} __attribute__((packed)) common;
	struct {
		uint32_t bytes, back;
		uint64_t start, length;
		uint8_t program[8];
	} __attribute__((packed)) gate;
	uint32_t end;
} __attribute__((packed, aligned(8))) frames = {
    .common = {sizeof(frames.common) - 4, 0, 1, 0, 1, SLEB_MINUS_8, RETURN_ADDRESS,
        {CFA_DEF, RSP, 8, CFA_OFFSET | RETURN_ADDRESS, 1}},
    .gate = {sizeof(frames.gate) - 4,
        offsetof(__typeof__(frames), gate.back) - offsetof(__typeof__(frames), common),
        SYS_GATE_PAGE, SYS_GATE_BYTES, {CFA_NOP}},
};

static void know_gate(void)
{
	/* libc's own way to unwind; it will be loaded at the first cancellation anyway. */
	void *lib = dlopen("libgcc_s.so.1", RTLD_LAZY);
	void (*take)(const void *) =
	    lib ? (void (*)(const void *))dlsym(lib, "__register_frame") : NULL;
	if (take)
		take(&frames);
}

void unwind_know_gate(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, know_gate);
}
