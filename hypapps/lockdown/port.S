/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * uint8_t port_in(uint16_t port), uint16_t port_in16(uint16_t port), void port_out(uint16_t port, uint8_t value):
 * hypapps run in ring 0. They change RAX and RDX.
 */
	.globl port_in, port_in16, port_out
port_in:
	movl	%edi, %edx
	xorl	%eax, %eax
	inb	%dx, %al
	ret

port_in16:
	movl	%edi, %edx
	xorl	%eax, %eax
	inw	%dx, %ax
	ret

port_out:
	movl	%edi, %edx
	movl	%esi, %eax
	outb	%al, %dx
	ret
	.section .note.GNU-stack, "", @progbits
