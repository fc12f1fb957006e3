/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From 64-bit mode to the 32-bit entry of Linux. Copied to TO_LINUX (linux.c), which the page tables map as it is.
 * EDI: the entry, ESI: boot_params.
 */
	.section .rodata
	.globl to_linux, to_linux_end
	.set TO_LINUX, 0x8000
to_linux:
	cli
	lgdt gdtr(%rip)
	pushq $0x10
	leaq in32(%rip), %rax
	pushq %rax
	lretq
	.code32
in32:
	movl $0x18, %eax
	movl %eax, %ds
	movl %eax, %es
	movl %eax, %ss
	movl %eax, %fs
	movl %eax, %gs
	movl $0x00000011, %eax          /* paging off: long mode ends */
	movl %eax, %cr0
	movl $0xc0000080, %ecx
	xorl %eax, %eax
	xorl %edx, %edx
	wrmsr
	movl %eax, %cr4
	xorl %ebx, %ebx
	xorl %ebp, %ebp
	jmp *%edi
	.balign 8
gdt:
	.quad 0, 0, 0x00cf9b000000ffff, 0x00cf93000000ffff
gdtr:
	.short 31
	.quad TO_LINUX + gdt - to_linux
to_linux_end:
