/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * System management mode. An SMI takes a CPU to the code at SMBASE + 0x8000, past all tables of ours. After a reset
 * SMBASE is 0x30000, which is L1's memory. A CPU is closed when an SMI of ours did not run a stub there, since then
 * the firmware has moved SMBASE, or when the stub ran and moved it to root memory. On a closed CPU an SMI does no
 * harm, whoever sends it.
 */
#ifndef XMHF_SMM_H
#define XMHF_SMM_H

#include "cpu/lapic.h"
#include "cpu/percpu.h"

enum smm_state { SMM_OPEN, SMM_FIRMWARE, SMM_OURS, SMM_STATE_COUNT };

#define SMM_SEGMENT_BYTES 0x10000ul
#define SMM_MAP_BYTES 0x400ul /* the save map, at the end of the segment, in either of its forms */

/* What a stub reads and writes, below 4 GiB. */
struct smm_mailbox {
	u32 runs;
	u32 slot;     /* physical address where a new SMBASE is written; 0: it stays */
	u32 new_base;
};

/* Root memory for the handlers of this many CPUs. */
u64 smm_bytes(u32 cpu_count);

/* Takes that memory, and locks SMRAM where the host bridge is known. Boot CPU, once, before any probe. */
void smm_init(void);

/* Closes this CPU if it can. In root, before VMXON; one CPU at a time, since the 64 KiB at SMBASE are borrowed. */
void smm_probe(struct percpu *cpu);

/*
 * Of a core that goes back to the firmware: SMBASE is where it was. Else the next start would find this CPU closed, by
 * a handler in memory that is L1's by then. This CPU, in root, after VMXOFF; any time after or without smm_probe().
 */
void smm_give_back(struct percpu *cpu);

/*
 * The LVT entries that the firmware has left on this CPU go by smm_filter_lvt(), as do those that L1 stores. Not before
 * it is sure that the guest starts. On each CPU that no INIT has reset.
 */
void smm_mask_lvts(const struct percpu *cpu);

/* When all CPUs have been probed: says what is open, and refuses to go on where smm=require was given. */
void smm_finish(void);

/*
 * The LVT entry as it may be stored on this CPU. One that would send an SMI to an open CPU is masked, and not
 * dropped: L1 reads back what became of it, and the entry that stood there before does not go on.
 */
static inline u32 smm_filter_lvt(const struct percpu *cpu, u32 value)
{
	return !cpu->smm_closed && (value & LVT_MODE) == LVT_SMI ? value | (u32)LVT_MASKED : value;
}

#endif
