/* SPDX-License-Identifier: GPL-2.0-or-later */
/* MSRs of guests. What they go by is the table of vmx/msr_policy.h. */
#ifndef XMHF_MSR_H
#define XMHF_MSR_H

#include <hypapi/event.h>

#include "vmx/exit.h"

/* Fills vmx_msr_bitmap from the policy table. Once, at boot. */
void msr_init(void);

/* Option msr=watch: every write of a guest exits, and this notes that there was one. */
enum msr_source { MSR_BY_L1, MSR_BY_L2, MSR_BY_LIST };
void msr_watch(enum msr_source source, u32 msr);

/* Lines "stat msr LEVEL NUMBER ANSWER" on the log: what has been written by then. */
void msr_log_watched(void);

/*
 * From here on stores to the x2APIC LVT exit: a CPU is open to SMIs (see cpu/smm.h). At boot, before the guest starts.
 */
void msr_intercept_lvts(void);

/* The RDMSR or WRMSR that exited, as the arguments of an event. */
static inline struct hypapi_msr_args msr_args(const struct percpu *cpu)
{
	bool write = cpu->exit_reason == EXIT_WRMSR;

	return (struct hypapi_msr_args){ .msr = (u32)cpu->gpr[GPR_RCX], .write = write,
					 .value = write ? cpu->gpr[GPR_RDX] << 32 | (u32)cpu->gpr[GPR_RAX] : 0 };
}

/* Carries it out by the policy, unless a hypapp has done so, and completes the instruction; or raises #GP(0). */
void msr_perform(struct percpu *cpu, const struct hypapi_msr_args *msr, bool handled);

/* L1's RDMSR and WRMSR. */
exit_handler exit_msr;

/* RDMSR and WRMSR as L1's own, by that table. False: #GP(0). */
must_check bool msr_read(struct percpu *cpu, u32 msr, u64 *value);
must_check bool msr_write(struct percpu *cpu, u32 msr, u64 value);

#endif
