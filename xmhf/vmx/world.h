/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a CPU runs: L1, an L2 or a partition. A world has a VMCS of its own and the EPT that it runs on. Each CPU has
 * its own worlds, and cpu->world is the one at hand. Invariant: its VMCS is the current one.
 */
#ifndef XMHF_WORLD_H
#define XMHF_WORLD_H

/* Offset for entry.S; compared with the structure below. */
#define WORLD_LAUNCHED 4

#ifndef __ASSEMBLER__

#include "lib/base.h"

enum run_mode { RUN_L1, RUN_L2, RUN_PARTITION, RUN_MODE_COUNT };

/* What the guest that runs is, as events tell it. */
struct guest_mode {
	u8 cpl;
	bool long_mode;
};

struct world {
	enum run_mode mode; /* constant */
	bool launched;      /* its VMCS: VMRESUME instead of VMLAUNCH */
	hpa_t vmcs;         /* region in root memory, constant */
	u64 eptp;           /* what its VMCS has as EPT pointer */
	u64 ept;            /* the same EPT as stops of one EPT name it, see quiesce_use() */
};
_Static_assert(offsetof(struct world, launched) == WORLD_LAUNCHED, "entry.S");

struct percpu;

/* A VMCS for this world, on the CPU that will run it. */
void world_init(struct world *w, enum run_mode mode);

/* The way from one to another: world_load() and world_enter() in vmx/vmx.h. The CPU refused one. */
_Noreturn void world_refused(void);

/* The EPT of `w`, which is at hand. */
void world_set_ept(struct world *w, u64 eptp, u64 ept);

#endif
#endif
