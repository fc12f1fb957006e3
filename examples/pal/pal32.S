/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A 32-bit PAL and its 32-bit caller inside a 64-bit Linux program: compatibility mode, by Linux's own 32-bit segments.
 * Linked below 4 GiB, not position-independent. Called by pal-demo32.c.
 */
#define LINUX_CODE32 0x23
#define LINUX_DATA 0x2b
#define LINUX_CODE64 0x33

	.section .pal.text, "ax"
	.code32
/*
 * cdecl: (u32 number, u32 *words): adds the number and the secret to both words; returns the first. Outside of the PAL
 * it returns -1, as TV_PAL_ENTRY does.
 */
	.globl pal32_add
pal32_add:
	mov $-1, %eax
	cmpl $0, tv_pal_is_there
	je 1f
	push %ebx
	mov 8(%esp), %eax
	mov 12(%esp), %ebx
	add pal32_secret, %eax
	add %eax, 4(%ebx)
	add %eax, (%ebx)
	mov (%ebx), %eax
	pop %ebx
1:	ret

	.section .pal.data, "aw"
	.globl pal32_secret
pal32_secret:
	.long 0

	.text
/* (u32 number, u32 *words): calls the PAL as a C compiler would, and spoils EAX if ESI or EDI were not kept. */
	.globl call32
call32:
	push %esi
	push %edi
	mov $0x51515151, %esi
	mov $0xd1d1d1d1, %edi
	push 16(%esp)
	push 16(%esp)
	call pal32_add
	add $8, %esp
	cmp $0x51515151, %esi
	jne 1f
	cmp $0xd1d1d1d1, %edi
	je 2f
1:	xor %eax, %eax
2:	pop %edi
	pop %esi
	ret

/* (u32 command, u32 ecx, u32 esi, u32 edi): a hypercall of 32-bit code. */
	.globl hypercall32
hypercall32:
	push %esi
	push %edi
	mov 12(%esp), %eax
	mov 16(%esp), %ecx
	xor %edx, %edx
	mov 20(%esp), %esi
	mov 24(%esp), %edi
	vmcall
	pop %edi
	pop %esi
	ret

	.code64
/*
 * u32 run32(function, a, b, c, d, stack_top): calls a cdecl function in compatibility mode, on a stack below 4 GiB.
 * RDI, RSI, RDX, RCX, R8, R9 in that order; keeps what the 64-bit ABI wants kept.
 */
	.globl run32
run32:
	push %rbx
	push %rbp
	push %r12
	push %r13
	push %r14
	push %r15
	mov %rsp, saved_rsp
	mov %r9, %rsp
	sub $16, %rsp
	mov %esi, (%rsp)
	mov %edx, 4(%rsp)
	mov %ecx, 8(%rsp)
	mov %r8d, 12(%rsp)
	push $LINUX_CODE32
	push $1f
	lretq
	.code32
1:	mov $LINUX_DATA, %eax
	mov %eax, %ds
	mov %eax, %es
	call *%edi
	ljmp $LINUX_CODE64, $2f
	.code64
2:	mov saved_rsp, %rsp
	xor %ecx, %ecx
	mov %ecx, %ds
	mov %ecx, %es
	pop %r15
	pop %r14
	pop %r13
	pop %r12
	pop %rbp
	pop %rbx
	ret

	.bss
	.balign 8
saved_rsp:
	.skip 8
	.section .note.GNU-stack, "", @progbits
