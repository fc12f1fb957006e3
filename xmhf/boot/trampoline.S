/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An application processor's way from SIPI (real mode, CS:IP = page:0) to ap_main() in 64-bit mode. Copied to a page in
 * the first MiB; the parameters at its end are filled by smp_boot.c. Position-independent: EBX holds the page's
 * address.
 */
#include "boot/long_mode.inc"

	.section .rodata
	.globl trampoline_start, trampoline_end, trampoline_cr3, trampoline_cpu, trampoline_stack
	.balign 16
	.code16
trampoline_start:
	cli
	cld
	movw %cs, %ax
	movw %ax, %ds
	movzwl %ax, %ebx
	shll $4, %ebx
	leal (gdt - trampoline_start)(%ebx), %eax
	movl %eax, gdtr - trampoline_start + 2
	lgdtl gdtr - trampoline_start
	leal (in64 - trampoline_start)(%ebx), %eax
	movl %eax, far - trampoline_start
	movl trampoline_cr3 - trampoline_start, %eax
	enter_long_mode
	ljmpl *(far - trampoline_start)
	.code64
in64:
	movl $16, %eax
	movl %eax, %ds
	movl %eax, %es
	movl %eax, %ss
	movq trampoline_stack(%rip), %rsp
	movq trampoline_cpu(%rip), %rdi
	movq $ap_main, %rax
	xorl %ebp, %ebp
	callq *%rax
	.balign 8
gdt:
	.quad 0, 0x00af9b000000ffff, 0x00cf93000000ffff
gdtr:
	.short 23
	.long 0
far:
	.long 0
	.short 8
	.balign 8
trampoline_cr3:
	.quad 0
trampoline_cpu:
	.quad 0
trampoline_stack:
	.quad 0
trampoline_end:
