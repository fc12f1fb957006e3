/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * VM exits: from entry.S through one table for each run mode to a handler. A handler runs on the CPU's own stack with
 * NMIs open, reads the VMCS fields that it needs, and returns to resume whatever VMCS is current then.
 */
#ifndef XMHF_EXIT_H
#define XMHF_EXIT_H

#include "cpu/percpu.h"
#include "vmx/inject.h"
#include "vmx/vmcs.h"
#include "vmx/vmx_insn.h"

typedef void exit_handler(struct percpu *cpu);

/* By entry.S: one VM exit, work before an entry, a failed entry. */
void vmx_handle_exit(struct percpu *cpu);
void vmx_handle_work(struct percpu *cpu);
void vmx_entry_failed(struct percpu *cpu); /* returns only if it was VMCS02 that the CPU refused, and L1 goes on */

/* INIT for this CPU, from wherever. */
exit_handler exit_init;

/* Handlers of L1's exits that L2 shares when L1 does not want them; all skip the instruction themselves. */
exit_handler exit_exception_nmi, exit_cpuid;

/* An NMI exit was taken: unblock NMIs by an IRET, classify, and count it for the guest if it is not a stop's. */
void vmx_take_nmi_exit(struct percpu *cpu);

#endif
