/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * VM exit and VM entry. Invariant: between vmx_enter_check and vmx_enter_end, and in the same way between
 * vmx_guarded_check and vmx_guarded_end, nothing but guest registers is loaded, all from this CPU's structure, so the
 * NMI handler may move RIP back to the check at any instruction there, and a stop that arrives is seen before the guest
 * runs. The guarded ways are those of CPUs that need something against speculation (cpu/speculation.h).
 */
#include "cpu/percpu.h"
#include "cpu/speculation.h"
#include "vmx/world.h"

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

	/* Of the structure, once the stop has been looked for; `end`: where the CPU goes on if it refuses the entry. */
	.macro load_guest_and_enter end
	movq %gs:PERCPU_WORLD, %rax
	cmpb $0, WORLD_LAUNCHED(%rax)   /* ZF holds until the jump: MOV changes no flag */
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
	je 1f
	vmresume
	jmp \end
1:	vmlaunch
\end:
	.endm

	/* Calls that never return: entries for the return stack buffer whose speculation ends at once. */
	.macro fill_rsb count
	.rept \count
	call 1f
	int3
1:
	.endr
	addq $8 * \count, %rsp
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

	/*
	 * The same, of any guest, on a CPU that needs it. No value of the guest's stays in a register for speculation
	 * to use.
	 */
	.globl vmx_exit_guarded
	.balign 16
vmx_exit_guarded:
	save_guest
	.irp reg, eax, ebx, ecx, edx, esi, ebp, r8d, r9d, r10d, r11d, r12d, r13d, r14d, r15d
	xorl %\reg, %\reg
	.endr
	testl $SPEC_EXIT_RSB_FILL, speculation(%rip)
	jz 2f
	fill_rsb 32
2:	testl $SPEC_EXIT_RSB_ONE, speculation(%rip)
	jz 3f
	fill_rsb 1
3:	movq %gs:0, %rdi
	call speculation_leave_guest
	jmp handle_exit

	/* The same, of L1 or L2. */
	.globl vmx_exit_entry
	.balign 16
vmx_exit_entry:
	save_guest
handle_exit:
	movl %gs:PERCPU_CALLBACKS, %ecx
	andl $CALLBACKS_PLACE, %ecx
	subq %rcx, %rsp
	movq %gs:0, %rdi
	call vmx_handle_exit

	.globl vmx_enter_check, vmx_enter_end
vmx_enter_check:
	cmpq $0, %gs:PERCPU_WORK        /* and PERCPU_GUARD */
	jne work_or_guard
	load_guest_and_enter vmx_enter_end
	/* The CPU refused the entry: CF or ZF tell which way. */
entry_failed:
	movq %gs:0, %rdi
	call vmx_entry_failed
work:
	movq %gs:0, %rdi
	call vmx_handle_work
	jmp vmx_enter_check

work_or_guard:
	cmpl $0, %gs:PERCPU_WORK
	jne work
	testl $GUARD_LOG, %gs:PERCPU_GUARD
	jz 4f
	movq %gs:0, %rdi
	call log_wait_at_entry
4:
	movq %gs:0, %rdi
	call speculation_enter_guest
	.globl vmx_guarded_check, vmx_guarded_end
vmx_guarded_check:
	cmpl $0, %gs:PERCPU_WORK
	jne guarded_work
	load_guest_and_enter vmx_guarded_end
	movq %gs:0, %rdi
	call speculation_leave_guest
	jmp entry_failed
guarded_work:
	/* Root goes on: with its own IA32_SPEC_CTRL. */
	movq %gs:0, %rdi
	call speculation_leave_guest
	jmp work

	/* vmx_run(rdi: this CPU): the first entry, on an empty stack. */
	.globl vmx_run
vmx_run:
	movq %gs:PERCPU_STACK_TOP, %rsp
	jmp vmx_enter_check
