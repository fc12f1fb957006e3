/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The L2 kernel's way from 32-bit protected mode to 64-bit C, its exception entries, and its way to ring 3.
 * Called by: the VMM (start), the CPU (exception_entries), l2-kernel.c (enter_user), l2-user.c (try_call).
 */
#define P 1
#define PW 3
#define PWU 7
#define U 4
#define CR0_PE_PG 0x80000001
#define CR4_PAE 0x20
#define MSR_EFER 0xc0000080
#define EFER_LME 0x100
#define KERNEL_CODE 0x08
#define KERNEL_DATA 0x10
#define USER_DATA 0x1b
#define USER_CODE 0x23
#define USER_RFLAGS 0x3202 /* interrupts on, IOPL 3: ring 3 does its own port I/O */
#define STACK_BYTES 8192

	.text
	.code32
/* EBX: vCPU, ESI: number of vCPUs, EDI: rounds; kept until kernel_main. The others are free. */
	.globl start
start:
	test %ebx, %ebx
	jnz wait_for_tables
	movl $pdpt + PWU, pml4
	movl $pd + PWU, pdpt
	movl $pt + PWU, pd
	movl $pt + 0x1000 + PWU, pd + 8
	mov $PW, %eax
	xor %ecx, %ecx
1:	mov %eax, pt(, %ecx, 8)
	add $0x1000, %eax
	inc %ecx
	cmp $1024, %ecx
	jne 1b
	mov $user_start, %ecx
2:	mov %ecx, %eax
	shr $12, %eax
	orl $U, pt(, %eax, 8)
	add $0x1000, %ecx
	cmp $user_end, %ecx
	jne 2b
	movl $1, tables_ready
wait_for_tables:
	pause
	cmpl $0, tables_ready
	je wait_for_tables

	mov %cr4, %eax
	or $CR4_PAE, %eax
	mov %eax, %cr4
	mov $pml4, %eax
	mov %eax, %cr3
	mov $MSR_EFER, %ecx
	rdmsr
	or $EFER_LME, %eax
	wrmsr
	mov %cr0, %eax
	or $CR0_PE_PG, %eax
	mov %eax, %cr0
	lgdt gdt_pointer
	ljmp $KERNEL_CODE, $long_mode

	.code64
long_mode:
	mov $KERNEL_DATA, %eax
	mov %eax, %ds
	mov %eax, %es
	mov %eax, %ss
	mov %ebx, %ecx
	inc %ecx
	imul $STACK_BYTES, %ecx, %ecx
	lea kernel_stacks(%rcx), %rsp
	mov %edi, %edx
	mov %ebx, %edi
	call kernel_main
	ud2

/* RDI, RSI, RDX: arguments of user_main; RCX: top of the user stack. Does not return. */
	.globl enter_user
enter_user:
	sub $8, %rcx /* as after a call */
	push $USER_DATA
	push %rcx
	push $USER_RFLAGS
	push $USER_CODE
	lea user_main(%rip), %rax
	push %rax
	iretq

/* 32 entries of 16 bytes. Each leaves the error code (or 0) and the vector on the stack. */
	.globl exception_entries
	.balign 16
exception_entries:
	.set vector, 0
	.rept 32
	.balign 16
	.if !(vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21)
	push $0
	.endif
	push $vector
	jmp exception_common
	.set vector, vector + 1
	.endr

/* All general registers are saved as struct trap of l2-kernel.c, which may change them. */
exception_common:
	push %rax
	push %rcx
	push %rdx
	push %rbx
	push %rbp
	push %rsi
	push %rdi
	push %r8
	push %r9
	push %r10
	push %r11
	push %r12
	push %r13
	push %r14
	push %r15
	mov %rsp, %rdi
	cld
	call on_exception
	pop %r15
	pop %r14
	pop %r13
	pop %r12
	pop %r11
	pop %r10
	pop %r9
	pop %r8
	pop %rdi
	pop %rsi
	pop %rbp
	pop %rbx
	pop %rdx
	pop %rcx
	pop %rax
	add $16, %rsp
	iretq

	.data
	.balign 16
	.globl gdt
gdt:
	.quad 0
	.quad 0x00af9a000000ffff /* kernel code, 64-bit */
	.quad 0x00cf92000000ffff /* kernel data */
	.quad 0x00cff2000000ffff /* user data */
	.quad 0x00affa000000ffff /* user code, 64-bit */
	.fill 4, 8, 0            /* a TSS for each vCPU */
gdt_end:
	.globl gdt_pointer
gdt_pointer:
	.word gdt_end - gdt - 1
	.quad gdt
tables_ready:
	.long 0

	.bss
	.balign 4096
pml4:	.skip 4096
pdpt:	.skip 4096
pd:	.skip 4096
pt:	.skip 8192
	.globl kernel_stacks
kernel_stacks:
	.skip 2 * STACK_BYTES
	.section .note.GNU-stack, "", @progbits
