/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * MTRRs of the guest. With EPT the CPU takes a guest's memory types from EPT entries and ignores the MTRRs, so the
 * guest's values are kept per CPU and never reach hardware, where they could make root memory or the core's view of
 * the LAPIC cacheable in a wrong way; EPT01 follows the values of the CPU that changed them last, but for SMRAM: at
 * 0xA0000 to 0xBFFFF behind the display's memory, and in TSEG. What is there is uncached, whatever L1 says.
 */
#ifndef XMHF_MTRR_H
#define XMHF_MTRR_H

#include "cpu/percpu.h"

/* The CPU's MTRRs become the guest's. On each CPU at start. */
void mtrr_read(struct percpu *cpu);

/* Makes this CPU's values those of mtrr_type(). */
void mtrr_publish(const struct percpu *cpu);

/* TSEG, whole pages. At boot, after EPT01 is made. */
void mtrr_keep_uncached(u64 start, u64 end);

#define MTRR_WB 6 /* write-back */

/* Memory type of [start, start + size), or -1 if it is not the same throughout. */
int mtrr_type(u64 start, u64 size);

bool mtrr_read_msr(struct percpu *cpu, u32 msr, u64 *value);
bool mtrr_write_msr(struct percpu *cpu, u32 msr, u64 value);

#endif
