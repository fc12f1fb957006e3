/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where the core is entered from xmhf.efi, and where it goes back to the firmware while it starts: efi_handoff.h. The
 * tables map the core and the low 4 GiB as they are, so that both sides of a switch are there.
 */
#include "boot/efi_handoff.h"

	.section .boot, "awx"
	.globl efi_core_entries
efi_core_entries:
	.quad efi_plan, efi_go, efi_resume, efi_cpu, image_file_bytes, image_memory_bytes

	.text
efi_go:
	movq $boot_stack_top, %rsp
	xorl %ebp, %ebp
	call efi_boot

/*
 * void efi_switch(u64 answer, struct efi_cpu_state *boot_cpu_physical, u64 cr3, u64 leave): to the firmware, which
 * comes back through efi_resume. Root's stack and CR3 are kept; the caller loads the rest.
 */
	.globl efi_switch
efi_switch:
	pushq %rbx
	pushq %rbp
	pushq %r12
	pushq %r13
	pushq %r14
	pushq %r15
	movq %cr3, %rax
	pushq %rax
	movq %rsp, efi_stack(%rip)

/*
 * _Noreturn void efi_leave(...): the same for good. It may be another CPU that leaves, while the boot CPU's stack
 * waits.
 */
	.globl efi_leave
efi_leave:
	movq %rdx, %cr3
	xchgq %rdi, %rsi
	jmp __x86_indirect_thunk_rcx

efi_resume:
	movq efi_stack(%rip), %rsp
	popq %rax
	movq %rax, %cr3
	popq %r15
	popq %r14
	popq %r13
	popq %r12
	popq %rbp
	popq %rbx
	ret

efi_cpu:
	movq STATE_STACK(%rdi), %rsp
	movq STATE_PERCPU(%rdi), %rdi
	xorl %ebp, %ebp
	call efi_cpu_main

	.bss
	.balign 8
efi_stack:
	.skip 8
