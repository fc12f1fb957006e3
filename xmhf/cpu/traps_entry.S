/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Root-mode interrupt entries. Vectors 0 to 31 have a stub each; all but the NMI end in trap_exception() with
 * RDI = struct trap_frame. Maskable interrupts are on
 * in root only where one is caught.
 */
#include "cpu/paging.h"
#include "cpu/traps.h"

	.macro save
	pushq %rax
	pushq %rcx
	pushq %rdx
	pushq %rsi
	pushq %rdi
	pushq %r8
	pushq %r9
	pushq %r10
	pushq %r11
	.endm
	.macro restore
	popq %r11
	popq %r10
	popq %r9
	popq %r8
	popq %rdi
	popq %rsi
	popq %rdx
	popq %rcx
	popq %rax
	.endm

	.text
	.balign 16
	.globl trap_stubs
trap_stubs:
	.set vector, 0
	.rept 32
	.balign 16
	.if ((ERROR_CODE_VECTORS | ERROR_CODE_VECTORS_HIDDEN) >> vector) & 1
	.else
	pushq $0
	.endif
	pushq $vector
	jmp exception_common
	.set vector, vector + 1
	.endr

exception_common:
	save
	.irp reg, rbx, rbp, r12, r13, r14, r15
	pushq %\reg
	.endr
	movq %rsp, %rdi
	cld                             /* whatever faulted may have set it */
	call trap_exception
	.irp reg, r15, r14, r13, r12, rbp, rbx
	popq %\reg
	.endr
	restore
	addq $16, %rsp
	iretq

	.globl trap_nmi
trap_nmi:
	save
	leaq 72(%rsp), %rdi             /* &RIP of the interrupted code */
	call trap_nmi_handler
	restore
	iretq

	.globl traps_unblock_nmi
traps_unblock_nmi:
	movq %rsp, %rax
	pushq $SEL_DATA
	pushq %rax
	pushfq
	pushq $SEL_CODE
	leaq 1f(%rip), %rax
	pushq %rax
	iretq
1:	ret

	/* int traps_catch_interrupt(void): EAX; a stub's return address tells the vector. */
	.globl traps_catch_interrupt
traps_catch_interrupt:
	movl $-1, %eax
	lidt catch_idtr(%rip)
	sti
	nop                             /* STI holds interrupts back until this has ended */
	cli
	lidt trap_idtr(%rip)
	ret

	.balign 8
	.globl catch_stubs
catch_stubs:
	.rept 256
	.balign 8
	call catch_common
	.endr
catch_common:
	popq %rax
	subq $catch_stubs, %rax
	shrl $3, %eax
	andl $~0x200, 16(%rsp)          /* interrupts stay off: RFLAGS of the frame, after RIP and CS */
	iretq
