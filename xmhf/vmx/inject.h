/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The end of an instruction that the core carries out for the guest that runs, and exceptions instead of it. All write
 * the current VMCS. Callers: exit handlers of all worlds, events/.
 */
#ifndef XMHF_INJECT_H
#define XMHF_INJECT_H

#include "cpu/percpu.h"

/* Steps over the instruction that exited: RIP, interrupt shadow, single-step trap. */
void vmx_skip_instruction(void);

/* The same for one that was decoded, where the exit has no length. */
void vmx_skip_bytes(u32 len);

/* Injects a hardware exception at the next entry. */
void vmx_inject(unsigned int vector, u32 error_code);
void vmx_inject_ud(void);
void vmx_inject_gp(void);
void vmx_inject_pf(gva_t gva, u32 error_code);

/*
 * RFLAGS as a fault saves them: RF is 1, so that the instruction, run again, meets no breakpoint of its own again (SDM
 * vol. 3, "Instruction-Breakpoint Exception Condition"). #DB has them from hardware. Injected faults have it done.
 */
void vmx_save_as_fault(unsigned int vector);

/* Raises an exception at the level that runs: in L2 it may become an exit to L1. cr2: of a #PF. */
void vmx_raise(struct percpu *cpu, unsigned int vector, u32 error_code, gva_t cr2);

/*
 * An exit interrupted the delivery of an event: let the next entry deliver it again (SDM vol. 3, "IDT-Vectoring
 * Information").
 */
void vmx_requeue_event(void);

/* The same after an EPT violation, if the access is to be made again: NMIs are blocked as before the instruction. */
void vmx_requeue_access(u64 qualification);

/* EPT01 has not allowed an access to gpa1: the page's owner deals with it. gpa2: where L2 meant it to go; 0 in L1. */
void vmx_violation(struct percpu *cpu, gpa1_t gpa1, gpa2_t gpa2, u64 qualification);

/*
 * Blocking by STI and MOV SS ends: by the delivery of an event, since with TF the entry itself would be refused; and
 * before an instruction that the guest executes again, perhaps for long, since interrupts come in between.
 */
void vmx_end_interrupt_shadow(void);

#endif
