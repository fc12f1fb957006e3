/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Between the firmware's world and the core's (boot/efi_handoff.h). Position-independent; the application copies it
 * below 4 GiB, where the tables of both sides map it.
 */
#include "boot/efi_handoff.h"

	.text
	.globl bridge_start, bridge_end, bridge_enter, bridge_leave, bridge_resumed
	.balign 16
bridge_start:

/*
 * u64 bridge_enter(struct efi_cpu_state *state, struct efi_handoff *handoff, u64 cr3, u64 target), System V: keeps this
 * CPU's state and goes to the core. Comes back by bridge_leave, or by VM entry to bridge_resumed.
 */
bridge_enter:
	pushq %rbx
	pushq %rbp
	pushq %r12
	pushq %r13
	pushq %r14
	pushq %r15
	pushfq
	cli
	cld
	movq %rdx, %r8
	movq %rcx, %r9
	movq %rsp, STATE_RSP(%rdi)
	movq %cr0, %rax
	movq %rax, STATE_CR0(%rdi)
	movq %cr3, %rax
	movq %rax, STATE_CR3(%rdi)
	movq %cr4, %rax
	movq %rax, STATE_CR4(%rdi)
	sgdt STATE_GDTR(%rdi)
	sidt STATE_IDTR(%rdi)
	movw %cs, STATE_SEGMENTS + 2 * STATE_CS(%rdi)
	movw %ss, STATE_SEGMENTS + 2 * STATE_SS(%rdi)
	movw %ds, STATE_SEGMENTS + 2 * STATE_DS(%rdi)
	movw %es, STATE_SEGMENTS + 2 * STATE_ES(%rdi)
	movw %fs, STATE_SEGMENTS + 2 * STATE_FS(%rdi)
	movw %gs, STATE_SEGMENTS + 2 * STATE_GS(%rdi)
	movl $0xc0000100, %ecx
	rdmsr
	movl %eax, STATE_FS_BASE(%rdi)
	movl %edx, STATE_FS_BASE + 4(%rdi)
	movl $0xc0000101, %ecx
	rdmsr
	movl %eax, STATE_GS_BASE(%rdi)
	movl %edx, STATE_GS_BASE + 4(%rdi)
	movl $0xc0000080, %ecx
	rdmsr
	movl %eax, STATE_EFER(%rdi)
	movl %edx, STATE_EFER + 4(%rdi)
	orl $0x800, %eax                /* NXE: the core's tables have the bit */
	wrmsr
	movq %cr0, %rax
	orl $0x10020, %eax              /* WP, NE */
	andl $~0x8, %eax                /* not TS */
	movq %rax, %cr0
	movq %r8, %cr3
	jmpq *%r9

/* RDI: state, RSI: the answer. With tables that map this page. VMX operation, if the CPU is in it, goes on: with NE. */
bridge_leave:
	movq %cr4, %rax
	andl $0x2000, %eax              /* VMXE */
	movq %rax, %r8
	orq STATE_CR4(%rdi), %r8
	lgdt STATE_GDTR(%rdi)
	lidt STATE_IDTR(%rdi)
	movq STATE_RSP(%rdi), %rcx
	movzwl STATE_SEGMENTS + 2 * STATE_CS(%rdi), %edx
	movw STATE_SEGMENTS + 2 * STATE_DS(%rdi), %ds
	movw STATE_SEGMENTS + 2 * STATE_ES(%rdi), %es
	movw STATE_SEGMENTS + 2 * STATE_FS(%rdi), %fs
	movw STATE_SEGMENTS + 2 * STATE_GS(%rdi), %gs
	movw STATE_SEGMENTS + 2 * STATE_SS(%rdi), %ss
	movq STATE_CR3(%rdi), %r9
	movq STATE_CR0(%rdi), %r10
	testl %eax, %eax
	jz 1f
	orq $0x20, %r10                 /* NE: without it MOV to CR0 is #GP */
1:	movq %rdx, %r11
	movl $0xc0000100, %ecx
	movl STATE_FS_BASE(%rdi), %eax
	movl STATE_FS_BASE + 4(%rdi), %edx
	wrmsr
	movl $0xc0000101, %ecx
	movl STATE_GS_BASE(%rdi), %eax
	movl STATE_GS_BASE + 4(%rdi), %edx
	wrmsr
	movq %r8, %cr4
	movq %r9, %cr3
	movq STATE_RSP(%rdi), %rsp
	movl $0xc0000080, %ecx
	movl STATE_EFER(%rdi), %eax
	movl STATE_EFER + 4(%rdi), %edx
	wrmsr
	movq %r10, %cr0
	movq %rsi, %rax
	pushq %r11
	leaq bridge_back(%rip), %rcx
	pushq %rcx
	lretq

/* Here VM entry begins, with the state's RSP and nothing in the other registers. */
bridge_resumed:
	xorl %eax, %eax
bridge_back:
	popfq
	popq %r15
	popq %r14
	popq %r13
	popq %r12
	popq %rbp
	popq %rbx
	ret
bridge_end:
