/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * VMX for the guest, as the rest of the core sees it: what vmx/exit.c, mem/guest.c and core/ call. Everything about
 * vmcs12, vmcs02 and EPT02 stays behind these functions.
 */
#ifndef XMHF_NESTED_H
#define XMHF_NESTED_H

#include "mem/guest.h"
#include "vmx/exit.h"

/* At boot, first: reads how many pages EPT02 has; bytes of root memory that they take on each CPU. */
u64 nested_plan(void);

/* At boot: the capability MSRs that L1 will see; nested VMX stays off if the boot option says so. Boot CPU, once. */
void nested_init(void);
bool nested_enabled(void);

/* This CPU's nested state (cpu->nested), VMX off. After VMXON of the host, VMCS01 current. */
void nested_start(struct percpu *cpu);

/* One teardown path for INIT, reset and VMXOFF: L1 is out of VMX operation, mode is RUN_L1 with VMCS01 current. */
void nested_teardown(struct percpu *cpu);

/* Whether L1 is in VMX operation on this CPU (CR4.VMXE is then fixed to 1). */
bool nested_in_vmx(const struct percpu *cpu);

/* INIT, while L1 is in VMX root operation: comes again at VMXOFF. While L2 runs: its exit. */
void nested_hold_init(struct percpu *cpu);
void nested_reflect_init(struct percpu *cpu);

/* IA32_VMX_* MSRs of L1. False: #GP. */
must_check bool nested_read_msr(u32 msr, u64 *value);

/* L1 executed a VMX instruction (EXIT_VMCLEAR .. EXIT_VMXON, EXIT_INVEPT, EXIT_INVVPID). */
exit_handler nested_insn;

/*
 * An exit of L2, VMCS02 current. Decides by the table of exit reasons: reflect to L1 (exit 201) or handle (exit 202).
 */
void nested_exit(struct percpu *cpu, u32 reason);

/* L2 runs, and something has set cpu->work: tells hypapps that EPT02 was dropped, if it was. */
void nested_work(struct percpu *cpu);

/* The CPU refused to enter VMCS02 (VMfail), which the entry checks should have kept away: so it does for L1. */
must_check bool nested_entry_refused(struct percpu *cpu);

/* Guest NMIs are pending and L2 runs: exit to L1 or inject, as vmcs12 says; uses up cpu->guest_nmis. */
void nested_pending_nmi(struct percpu *cpu);

/*
 * Raises an exception in L2, or makes it an exit to L1 if L1's exception bitmap asks for it. L2 runs. cr2 for #PF.
 */
void nested_inject(struct percpu *cpu, unsigned int vector, u32 error_code, gva_t cr2);

/*
 * Why a walk came to GUEST_NOT_OWNED in L2: true if EPT12 does not allow the access, of a table perhaps, or L1 has to
 * make room in its log first.
 */
bool nested_misses(struct guest_walk *w, gva_t gva, u32 rights, struct guest_miss *miss);

/*
 * L1 gets the EPT violation of an access of L2's to gva which EPT12 does not allow, at `miss`, or the misconfiguration
 * that is there; the exit for a full log if EPT12 does allow it. L2 runs.
 */
void nested_page_in(struct percpu *cpu, gva_t gva, const struct guest_miss *miss);

/*
 * Both for an access of the instruction at hand that came to GUEST_NOT_OWNED. True: L1 has its exit. False: it has not,
 * or has mapped the memory since.
 */
must_check bool nested_missed(struct percpu *cpu, gva_t gva, size_t len_bytes, u32 rights);

/* L2's CPU shuts down: an exit to L1, always. */
void nested_reflect_triple_fault(struct percpu *cpu);

/* EPT02 as software sees it: L2-physical to L1- and host-physical, with the rights that EPT12 and EPT01 allow. */
bool nested_translate(struct percpu *cpu, gpa2_t gpa2, struct guest_page *page);
/*
 * The same, for a walk of L2's page tables: the memory itself, if L2 may read it and it is RAM; else NULL.
 * Becomes *fleeting where a CPU's own walk would have to set flags of EPT12 for that.
 */
const void *nested_readable(struct percpu *cpu, gpa2_t gpa2, bool *fleeting);

/* L2 runs, and its L1 has to empty its page-modification log before a page becomes dirty. */
bool nested_log_full(const struct percpu *cpu);
/* Before gpa2 is read or written: EPT12 lets L2 do that, has a flag to set for it, and the log is full. */
bool nested_awaits_log(const struct percpu *cpu, gpa2_t gpa2, bool write);

/*
 * The core is about to access L2's memory at gpa2, HYPAPI_R or _W: sets the flags of EPT12, if L1 has those on, and
 * logs a write, if L1 wants that. L2 runs. False: EPT12 does not allow the access, or the log is full.
 */
must_check bool nested_mark_used(struct percpu *cpu, gpa2_t gpa2, u32 access);

/* How far the clock of the L2 that runs is ahead of the CPU's, ticks modulo 2^64. */
u64 nested_tsc_offset(const struct percpu *cpu);

/*
 * Where EPT12 leads from gpa2, whatever EPT01 leaves L1 there; without EPT12 an address of L2's is L1's. L2 runs.
 * False: nowhere, or not with all of `rights`. The second is for a write of the core's, and sets EPT12's flags; false
 * also where that would need an entry of a full log.
 */
must_check bool nested_gpa1(struct percpu *cpu, gpa2_t gpa2, u32 rights, gpa1_t *gpa1);
must_check bool nested_gpa1_to_write(struct percpu *cpu, gpa2_t gpa2, gpa1_t *gpa1);

/* EPTP12 of the L2 that runs; L1-physical address of its VMCS12. */
u64 nested_eptp12(const struct percpu *cpu);
u64 nested_vmcs12(const struct percpu *cpu);

/*
 * EPT of the L2 that runs or ran last, as stops of one EPT name it: an EPT12 has one name, whatever type and flags
 * EPTP12 has beside it.
 */
u64 nested_ept_key(const struct percpu *cpu);

/*
 * L2's ports of this CPU exit again, whoever asks for them: what the core intercepts has changed. Under a stop, by any
 * CPU.
 */
void nested_close_ports(struct percpu *cpu);

/* What L2, which is at hand, has of unconditional exits by I/O and of I/O bitmaps; whether L1 has the timer for it. */
u32 nested_io_controls(const struct percpu *cpu);
bool nested_uses_timer(const struct percpu *cpu);

/* Drops all EPT02 of this CPU, by the flush work of a stop; INVEPT is then the caller's. */
void nested_drop_ept02(struct percpu *cpu);

#endif
