/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * VM exit and VM entry. Invariant: between vmx_enter_check and vmx_enter_end nothing but guest registers is loaded, all
 * from this CPU's structure, so the NMI handler may move RIP back to vmx_enter_check at any instruction there, and
 * a stop that arrives is seen before the guest runs.
 */
#include "cpu/percpu.h"

	.text
	.macro save_guest
	movq %rax, %gs:PERCPU_GPR + 0 * 8
	movq %rcx, %gs:PERCPU_GPR + 1 * 8
	movq %rdx, %gs:PERCPU_GPR + 2 * 8
	movq %rbx, %gs:PERCPU_GPR + 3 * 8
	movq %rbp, %gs:PERCPU_GPR + 5 * 8
	movq %rsi, %gs:PERCPU_GPR + 6 * 8
	movq %rdi, %gs:PERCPU_GPR + 7 * 8
	movq %r8, %gs:PERCPU_GPR + 8 * 8
	movq %r9, %gs:PERCPU_GPR + 9 * 8
	movq %r10, %gs:PERCPU_GPR + 10 * 8
	movq %r11, %gs:PERCPU_GPR + 11 * 8
	movq %r12, %gs:PERCPU_GPR + 12 * 8
	movq %r13, %gs:PERCPU_GPR + 13 * 8
	movq %r14, %gs:PERCPU_GPR + 14 * 8
	movq %r15, %gs:PERCPU_GPR + 15 * 8
	.endm

	/* All registers are the partition's, but RSP (stack_top) and GS (this CPU). */
	.globl vmx_exit_partition
	.balign 16
vmx_exit_partition:
	save_guest
	/* Those that functions would save to the root stack. The others are nobody's to keep. */
	.irp reg, ebx, ebp, r12d, r13d, r14d, r15d
	xorl %\reg, %\reg
	.endr
	jmp handle_exit

	/* The same, of L1 or L2. */
	.globl vmx_exit_entry
	.balign 16
vmx_exit_entry:
	save_guest
handle_exit:
	movq %gs:0, %rdi
	call vmx_handle_exit

	.globl vmx_enter_check, vmx_enter_end
vmx_enter_check:
	cmpl $0, %gs:PERCPU_WORK
	jne work
	cmpb $0, %gs:PERCPU_LAUNCHED    /* ZF holds until the jump: MOV changes no flag */
	movq %gs:PERCPU_GPR + 0 * 8, %rax
	movq %gs:PERCPU_GPR + 1 * 8, %rcx
	movq %gs:PERCPU_GPR + 2 * 8, %rdx
	movq %gs:PERCPU_GPR + 3 * 8, %rbx
	movq %gs:PERCPU_GPR + 5 * 8, %rbp
	movq %gs:PERCPU_GPR + 6 * 8, %rsi
	movq %gs:PERCPU_GPR + 7 * 8, %rdi
	movq %gs:PERCPU_GPR + 8 * 8, %r8
	movq %gs:PERCPU_GPR + 9 * 8, %r9
	movq %gs:PERCPU_GPR + 10 * 8, %r10
	movq %gs:PERCPU_GPR + 11 * 8, %r11
	movq %gs:PERCPU_GPR + 12 * 8, %r12
	movq %gs:PERCPU_GPR + 13 * 8, %r13
	movq %gs:PERCPU_GPR + 14 * 8, %r14
	movq %gs:PERCPU_GPR + 15 * 8, %r15
	je launch
	vmresume
	jmp vmx_enter_end
launch:
	vmlaunch
vmx_enter_end:
	/* The CPU refused the entry: CF or ZF tell which way. */
	movq %gs:0, %rdi
	call vmx_entry_failed
work:
	movq %gs:0, %rdi
	call vmx_handle_work
	jmp vmx_enter_check

	/* vmx_run(rdi: this CPU): the first entry, on an empty stack. */
	.globl vmx_run
vmx_run:
	movq %gs:PERCPU_STACK_TOP, %rsp
	jmp vmx_enter_check
