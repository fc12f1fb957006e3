/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The MSRs that the core does not leave to the guest. msr_read() and msr_write() are in vmx/exit.h. */
#ifndef XMHF_MSR_H
#define XMHF_MSR_H

#include <hypapi/event.h>

#include "vmx/exit.h"

/* Fills vmx_msr_bitmap from the policy table. Once, at boot. */
void msr_init(void);

/* RDMSR or WRMSR of the level that runs, as the arguments of an event. */
static inline struct hypapi_msr_args msr_args(const struct percpu *cpu, bool write)
{
	return (struct hypapi_msr_args){ .msr = (u32)cpu->gpr[GPR_RCX], .write = write,
					 .value = write ? cpu->gpr[GPR_RDX] << 32 | (u32)cpu->gpr[GPR_RAX] : 0 };
}

/* Carries it out by the policy, unless a hypapp has done so, and completes the instruction; or raises #GP(0). */
void msr_perform(struct percpu *cpu, const struct hypapi_msr_args *msr, bool handled);

/* L1's RDMSR and WRMSR, once an MSR is claimed there. */
exit_handler exit_msr_claimed;

#endif
