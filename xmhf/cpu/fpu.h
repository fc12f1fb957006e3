/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * FPU and SIMD registers of a partition that has some of its own. Root computes with none of them, so what a guest has
 * there stays in the CPU; only where such a partition comes and goes, the registers that it can reach are exchanged:
 * x87, SSE, AVX and AVX-512, as far as the CPU has them. All else is out of its reach, by XCR0 and by its CR4: tiles,
 * protection keys, and what IA32_XSS turns on. Its caller's registers are exchanged whole, whatever its XCR0 says.
 */
#ifndef XMHF_FPU_H
#define XMHF_FPU_H

#include "lib/base.h"

/* Two pages of root memory, or none: of who runs the partition, or, if nobody does, of who stops the CPUs. */
struct fpu {
	u8 *own;         /* while the partition does not run */
	u8 *callers;     /* while it runs; else zeros */
	u64 caller_xcr0; /* likewise */
};

/* Once, at boot. */
void fpu_init(void);
/*
 * On each CPU, before the first hypapp: root's CR0 and CR4 let SSE instructions run, whatever a guest's say, for a
 * function that borrows registers and gives them back (docs/design.md, "Partitions").
 */
void fpu_cpu_init(void);
/* Whether the CPU has XSAVE; constant after boot. */
bool fpu_is_there(void);

/* Registers as after a reset. False: no memory. */
must_check bool fpu_alloc(struct fpu *f);
/* The machine ends: no page has the partition's registers any more, nor its caller's, without which it cannot go on. */
void fpu_wipe_own(struct fpu *f);
void fpu_wipe(struct fpu *f);
/* Wipes both pages and gives them back; NULL pages are fine. */
void fpu_free(struct fpu *f);

/* The machine ends: what is in this CPU's registers is as after a reset. */
void fpu_clear(void);

/*
 * The partition comes, or goes. `wide`: 64-bit code, whose last x87 instruction is known by a 64-bit address; of 32-bit
 * code by selector and offset.
 */
void fpu_enter(struct fpu *f, bool wide);
void fpu_leave(struct fpu *f, bool wide);

#endif
