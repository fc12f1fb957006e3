/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * For targets that include files of the core which read physical memory: an address space of 4 GiB in which only what a
 * target puts there is not zero, and pages behind each piece that nobody may touch.
 */
#ifndef FUZZ_MEMORY_H
#define FUZZ_MEMORY_H

#include <setjmp.h>
#include <sys/mman.h>

#include "target.h"

static uint64_t machine_memory;
#define DIRECT_MAP machine_memory
#include "../../../hypapi/sim/machine/cpu/x86_insn.h"
#include "report/log.h"

u32 machine_in(u16 port, u32 size) { (void)port, (void)size; return ~0u; }
void machine_out(u16 port, u32 size, u32 value) { (void)port, (void)size, (void)value; }
void *machine_self(void) { return NULL; }
void machine_relax(void) { }
void percpu_locks_add(int n) { (void)n; }
void log_line(enum log_level level, const char *f, ...) { (void)level, (void)f; }
enum log_level log_threshold;
_Atomic bool quiesce_given_up;

/* A refusal at boot is an end like another. */
static jmp_buf refused;
void boot_refuse(const char *f, ...) { (void)f; longjmp(refused, 1); }

#define GUARD_BYTES 4096ul
#define PIECE_BYTES (4 * 4096ul)

static void memory_make(void)
{
	if (machine_memory)
		return;
	machine_memory = (uint64_t)mmap(NULL, (1ul << 32) + GUARD_BYTES, PROT_READ | PROT_WRITE,
					MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	MUST(machine_memory != (uint64_t)MAP_FAILED);
}

/* Puts bytes so that they end where a page begins which may not be touched; answers the physical address. */
static uint64_t memory_put(unsigned int piece, const uint8_t *bytes, size_t size)
{
	uint64_t end = 0x100000 + (piece + 1) * (PIECE_BYTES + GUARD_BYTES) - GUARD_BYTES, at = (end - size) & ~7ull;

	MUST(size <= PIECE_BYTES && !mprotect((void *)(machine_memory + end), GUARD_BYTES, PROT_NONE));
	memset((void *)(machine_memory + end - PIECE_BYTES), 0, PIECE_BYTES);
	memcpy((void *)(machine_memory + at), bytes, size);
	return at;
}

/* The page behind a piece may be read. */
static inline void memory_open(unsigned int piece)
{
	uint64_t end = 0x100000 + (piece + 1) * (PIECE_BYTES + GUARD_BYTES) - GUARD_BYTES;

	MUST(!mprotect((void *)(machine_memory + end), GUARD_BYTES, PROT_READ));
}

#endif
