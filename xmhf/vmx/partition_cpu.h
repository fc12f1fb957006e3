/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a CPU has for partitions: the world that runs them, who called the one that runs now, and what the VMCS still
 * holds of the last one. Owner: the CPU. power/ and report/ read it while the CPU is stopped.
 */
#ifndef XMHF_PARTITION_CPU_H
#define XMHF_PARTITION_CPU_H

#include "cpu/gpr.h"
#include "lib/base.h"
#include "vmx/world.h"

struct partition;

struct partition_cpu {
	struct world world;
	struct partition *running; /* in RUN_PARTITION */
	struct world *caller;      /* of it: L1 or an L2 */
	struct guest_mode caller_mode; /* as the event told it in which the partition was entered */
	u64 caller_gpr[GPR_COUNT];
	u64 since;                 /* when it was entered, as own_ticks() tells */

	/* In the VMCS. No handle is ever used again, so a partition that is gone is nobody's. */
	u64 handle;                /* whose state; 0: nobody's */
	u64 tsc_offset;
	u32 timer;                 /* the preemption timer that entries begin with */
	bool long_mode;            /* code of 64 bits */
	bool fpu;                  /* it may use the FPU */

	bool wiped;                /* the running one has no registers left; set by who has this CPU stopped */
};

#endif
