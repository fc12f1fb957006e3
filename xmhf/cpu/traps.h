/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Exceptions and NMIs in root mode. An exception is a fault of ours and panics, but for instructions that expect one.
 */
#ifndef XMHF_TRAPS_H
#define XMHF_TRAPS_H

#define SEL_CODE 0x08
#define SEL_DATA 0x10
#define SEL_TSS 0x18
/*
 * Stacks that the CPU switches to: for NMIs, and for exceptions, which may have come from an overflow of the other
 * stacks.
 */
#define IST_NMI 1
#define IST_FAULT 2

#ifndef __ASSEMBLER__
#include "lib/base.h"

/* What an exception leaves on its stack, by cpu/traps_entry.S. */
struct trap_frame {
	u64 r15, r14, r13, r12, rbp, rbx, r11, r10, r9, r8, rdi, rsi, rdx, rcx, rax;
	u64 vector, error_code, rip, cs, rflags, rsp, ss;
};

void traps_init(void);          /* fills the IDT, once */
void traps_load(void);          /* LIDT, on each CPU */
u64 traps_idt_base(void);

/* IRET to the next instruction: unblocks NMIs, in root as in the guest. */
void traps_unblock_nmi(void);

/* HLT until an NMI has set this CPU's `work`; at once if it is set. */
void traps_halt(void);

/*
 * Takes one external interrupt off the CPU, with interrupts on for one instruction: its vector, in service now in
 * whatever controller it came from; -1: there is none.
 */
void traps_catch_init(void);    /* before the first of them; once */
int traps_catch_interrupt(void);

/* False: the instruction raised #GP. */
must_check bool rdmsr_safe(u32 msr, u64 *value);
must_check bool wrmsr_safe(u32 msr, u64 value);
must_check bool xsetbv_safe(u32 index, u64 value);

#endif
#endif
