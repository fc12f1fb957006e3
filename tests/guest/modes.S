/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A tour of the processor modes: long mode -> 32-bit protected mode -> paging with 4 MiB pages -> PAE paging ->
 * virtual-8086 mode -> real mode -> long mode. It runs in L1 and in L2 alike. Each stop writes what it sees into the
 * log at MODE_LOG (below 1 MiB, so that real mode reaches it): EDI points at the next free word all the time. modes.c
 * prepares tables.
 */
#include "lib/layout.h"
#include "modes.h"

	.text
	.macro LOG value
	movl \value, (%edi)
	addl $4, %edi
	.endm
	.macro LOG_MEMORY		/* what the page at MODE_VIRTUAL holds */
	movl MODE_VIRTUAL, %edx
	LOG %edx
	.endm

/* u32 mode_tour(u64 gs_base, u64 cr3): returns the address behind the last log entry. Interrupts must be off. */
	.globl mode_tour
	.code64
mode_tour:
	pushq %rbx
	pushq %rbp
	pushq %r12
	pushq %r13
	pushq %r14
	pushq %r15
	pushq %rdi
	pushq %rsi
	sidt saved_idtr
	movq %rsp, saved_rsp
	movq %cr4, %rax
	movq %rax, saved_cr4
	movl $MODE_LOG, %edi
	pushq $SEL_CODE32
	pushq $to_protected32
	lretq

	.code32
to_protected32:
	movl $SEL_DATA, %eax
	movl %eax, %ds
	movl %eax, %es
	movl %eax, %ss
	lidt mode_idtr
	movl %cr0, %eax
	andl $~CR0_PG, %eax
	movl %eax, %cr0
	movl $MSR_EFER, %ecx
	rdmsr
	andl $~EFER_LME, %eax
	wrmsr
	rdmsr
	LOG %eax			/* LMA and LME are gone */
	movl %cr4, %eax
	andl $~(CR4_PAE | CR4_PGE), %eax
	movl %eax, %cr4
	xorl %eax, %eax
	cpuid
	LOG %ebx
	movl $0x1b, %ecx
	rdmsr
	andl $0x900, %eax
	LOG %eax

	/* Refused transitions: each #GP is logged by the handler and continues at the address in EBP. */
	movl $1f, %ebp
	movl %cr4, %eax
	orl $CR4_PCIDE, %eax		/* needs long mode */
	movl %eax, %cr4
1:	movl $2f, %ebp
	movl %cr0, %eax
	andl $~CR0_PE, %eax
	orl $CR0_PG, %eax		/* paging without protection */
	movl %eax, %cr0
2:	movl $MSR_EFER, %ecx
	rdmsr
	orl $EFER_LME, %eax
	wrmsr
	movl $3f, %ebp
	movl %cr0, %eax
	orl $CR0_PG, %eax		/* long mode without PAE */
	movl %eax, %cr0
3:	movl $MSR_EFER, %ecx
	rdmsr
	andl $~EFER_LME, %eax
	wrmsr

	/* 4 MiB pages, on and off ten times, with a page fault */
	movl %cr4, %eax
	orl $CR4_PSE, %eax
	movl %eax, %cr4
	movl $mode_pd, %eax
	movl %eax, %cr3
	movl $10, %ebx
4:	movl %cr0, %eax
	orl $CR0_PG, %eax
	movl %eax, %cr0
	movl MODE_VIRTUAL, %edx		/* another page than without paging */
	xorl $CR0_PG, %eax
	movl %eax, %cr0
	decl %ebx
	jnz 4b
	LOG %edx
	orl $CR0_PG, %eax
	movl %eax, %cr0
	movl $5f, %ebp
	movl MODE_UNMAPPED, %eax
5:	movl $6f, %ebp
	movl %eax, MODE_UNMAPPED + 0x123
6:	movl %cr0, %eax
	andl $~CR0_PG, %eax
	movl %eax, %cr0

	/* PAE paging: two sets of page-directory pointers, and a bad one */
	movl %cr4, %eax
	orl $CR4_PAE, %eax
	movl %eax, %cr4
	movl $mode_pdpt, %eax
	movl %eax, %cr3
	movl %cr0, %eax
	orl $CR0_PG, %eax
	movl %eax, %cr0
	LOG_MEMORY
	movl $mode_pdpt + 32, %eax
	movl %eax, %cr3
	LOG_MEMORY
	movl $mode_pdpt, %eax
	movl %eax, %cr3
	LOG_MEMORY
	movl $7f, %ebp
	movl $mode_pdpt + 64, %eax	/* a reserved bit in its second entry: #GP, and CR3 stays */
	movl %eax, %cr3
7:	LOG_MEMORY
	movl $8f, %ebp
	movl MODE_UNMAPPED, %eax
8:	xorl %eax, %eax
	cpuid
	LOG %ecx
	movl %cr0, %eax
	andl $~CR0_PG, %eax
	movl %eax, %cr0
	movl %cr4, %eax
	andl $~(CR4_PAE | CR4_PSE), %eax
	movl %eax, %cr4

	/* Virtual-8086 mode with IOPL 3: CPUID works, INT n and HLT come to the handler as #GP or through the IDT */
	movl $SEL_MODE_TSS, %eax
	ltr %ax
	movl %esp, mode_tss + 4
	movl $SEL_DATA, mode_tss + 8
	movl $v86_end, %ebp
	pushl $0			/* GS, FS, DS, ES */
	pushl $0
	pushl $0
	pushl $0
	pushl $0			/* SS:ESP */
	pushl $LOW_STACK
	pushl $0x23002			/* VM, IOPL 3 */
	pushl $LOW_CODE >> 4
	pushl $v86_code - low_start
	iretl
v86_end:
	movl $SEL_DATA, %eax
	movl %eax, %ds
	movl %eax, %es

	/* Real mode, with interrupt vector 0x60 of our own */
	movl $(LOW_CODE >> 4) << 16 | (real_int - low_start), %eax
	movl %eax, 0x60 * 4
	lidt real_idtr
	ljmp $SEL_CODE16, $LOW_CODE + real_code - low_start
back_from_real:
	movl $SEL_DATA, %eax
	movl %eax, %ds
	movl %eax, %es
	movl %eax, %ss
	movl %eax, %fs
	movl %eax, %gs
	movl saved_rsp, %esp

	/* Home */
	movl saved_cr4, %eax
	movl %eax, %cr4
	movl (%esp), %eax		/* the cr3 argument */
	movl %eax, %cr3
	movl $MSR_EFER, %ecx
	rdmsr
	orl $EFER_LME, %eax
	wrmsr
	movl %cr0, %eax
	orl $CR0_PG, %eax
	movl %eax, %cr0
	ljmp $SEL_CODE64, $9f
	.code64
9:	movl $0xc0000101, %ecx		/* GS_BASE: loading GS has cleared it */
	movl 8(%rsp), %eax
	xorl %edx, %edx
	wrmsr
	lidt saved_idtr
	movl $MSR_EFER, %ecx
	rdmsr
	LOG %eax
	movl %edi, %eax
	popq %rsi
	popq %rdi
	popq %r15
	popq %r14
	popq %r13
	popq %r12
	popq %rbp
	popq %rbx
	ret

/*
 * The 32-bit exception handlers: log vector, error code (for #PF also CR2), and go on at EBP. From virtual-8086 mode
 * the same, at CPL 0, which drops the frame.
 */
	.code32
	.globl mode_trap_ud, mode_trap_gp, mode_trap_pf, mode_trap_int
mode_trap_ud:
	pushl $0
	pushl $6
	jmp mode_trap
mode_trap_gp:
	pushl $13
	jmp mode_trap
mode_trap_pf:
	movl %cr2, %eax
	LOG %eax
	pushl $14
mode_trap:
	pushl %ss			/* a fault in virtual-8086 mode leaves DS null */
	popl %ds
	popl %eax
	LOG %eax
	popl %eax
	LOG %eax
	testl $0x20000, 8(%esp)
	jnz from_v86
	movl %ebp, (%esp)
	iretl
from_v86:
	movl %ss:(%esp), %eax		/* where it happened, relative to the copied code */
	LOG %eax
	movl mode_tss + 4, %esp
	jmp *%ebp
/* INT 0x42 of virtual-8086 mode: logs AX and returns there. */
mode_trap_int:
	pushl %ds
	pushl $SEL_DATA
	popl %ds
	LOG %eax
	popl %ds
	iretl

/* Copied to LOW_CODE: virtual-8086 and real-mode code. DS is 0 there, so EDI reaches the log. */
	.globl low_start, low_end
low_start:
	.code16
v86_code:
	xorw %ax, %ax
	movw %ax, %ds
	movl $0x11, (%edi)
	addl $4, %edi
	pushl %edi
	xorl %eax, %eax
	cpuid
	popl %edi
	movl %edx, (%edi)
	addl $4, %edi
	movl $0x4242, %eax
	int $0x42
	pushfw
	popw %ax
	movzwl %ax, %eax
	movl %eax, (%edi)
	addl $4, %edi
	hlt				/* #GP: home */
real_code:				/* still protected, CS is a 16-bit segment with base 0 */
	movl $SEL_DATA16, %eax
	movw %ax, %ds
	movw %ax, %ss
	movl %cr0, %eax
	andb $~CR0_PE, %al
	movl %eax, %cr0
	ljmpw $LOW_CODE >> 4, $(1f - low_start)
1:	xorw %ax, %ax
	movw %ax, %ds
	movw %ax, %es
	movw %ax, %ss
	movl $LOW_STACK, %esp
	smsw %ax
	movzwl %ax, %eax
	andl $0xf, %eax
	movl %eax, (%edi)
	addl $4, %edi
	xorl %eax, %eax
	cpuid
	movl %edx, (%edi)
	addl $4, %edi
	int $0x60
	movzwl %ax, %eax
	movl %eax, (%edi)
	addl $4, %edi
	movl $0x10, %ecx
	rdmsr
	inb $0x80, %al
	pushw $0x1234
	movw %sp, %ax
	movzwl %ax, %eax
	movl %eax, (%edi)
	addl $4, %edi
	popw %bx
	movw $0x7100, %si		/* a string instruction with 16-bit addresses */
	movw $0x7200, %bx
	pushl %edi
	movl $0xcafe, (%si)
	movw %bx, %di
	movw $2, %cx
	rep movsw
	popl %edi
	movl (%bx), %eax
	movl %eax, (%edi)
	addl $4, %edi
	movl %cr0, %eax
	orb $CR0_PE, %al
	movl %eax, %cr0
	ljmpl $SEL_CODE32, $back_from_real
real_int:
	movw $0x6060, %ax
	iretw
low_end:
	.code64

	.data
	.balign 8
saved_rsp:	.quad 0
saved_cr4:	.quad 0
saved_idtr:	.skip 10
	.balign 4
	.word 0
mode_idtr:	.word 0x43 * 8 - 1
		.long mode_idt
	.balign 4
	.word 0
real_idtr:	.word 0x3ff
		.long 0
