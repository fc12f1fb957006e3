/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * VM exits: from entry.S through one table for each run mode to a handler. A handler runs on the CPU's own stack with
 * NMIs open, reads the VMCS fields that it needs, and returns to resume whatever VMCS is current then.
 */
#ifndef XMHF_EXIT_H
#define XMHF_EXIT_H

#include "cpu/percpu.h"
#include "vmx/vmcs.h"
#include "vmx/vmx_insn.h"

typedef void exit_handler(struct percpu *cpu);

/* By entry.S: one VM exit, work before an entry, a failed entry. */
void vmx_handle_exit(struct percpu *cpu);
void vmx_handle_work(struct percpu *cpu);
void vmx_entry_failed(struct percpu *cpu); /* returns only if it was VMCS02 that the CPU refused, and L1 goes on */

/* Steps over the instruction that exited: RIP, interrupt shadow, single-step trap. */
void vmx_skip_instruction(void);

/* The same for one that was decoded, where the exit has no length. */
void vmx_skip_bytes(u32 len);

/* INIT for this CPU, from wherever. */
exit_handler exit_init;

/* Injects a hardware exception at the next entry. */
void vmx_inject(unsigned int vector, u32 error_code);
void vmx_inject_ud(void);
void vmx_inject_gp(void);
void vmx_inject_pf(gva_t gva, u32 error_code);

/* Raises an exception at the level that runs: in L2 it may become an exit to L1. cr2: of a #PF. */
void vmx_raise(struct percpu *cpu, unsigned int vector, u32 error_code, gva_t cr2);

/* An exit interrupted the delivery of an event: let the next entry deliver it again (SDM vol. 3, "IDT-Vectoring Information"). */
void vmx_requeue_event(void);

/* The same after an EPT violation, if the access is to be made again: NMIs are blocked as before the instruction. */
void vmx_requeue_access(u64 qualification);

/* EPT01 has not allowed an access to gpa1: whose the page is deals with it. gpa2: in L2, where L2 meant it; else 0. */
void vmx_violation(struct percpu *cpu, gpa1_t gpa1, gpa2_t gpa2, u64 qualification);

/* Handlers of L1's exits that L2 shares when L1 does not want them; all skip the instruction themselves. */
exit_handler exit_exception_nmi, exit_cpuid, exit_xsetbv, exit_vmcall;

/* RDMSR and WRMSR as L1's own: the policy table of vmx/msr.c. False: #GP(0). */
must_check bool msr_read(struct percpu *cpu, u32 msr, u64 *value);
must_check bool msr_write(struct percpu *cpu, u32 msr, u64 value);

/* An NMI exit was taken: unblock NMIs by an IRET, classify, and count it for the guest if it is not a stop's. */
void vmx_take_nmi_exit(struct percpu *cpu);

#endif
