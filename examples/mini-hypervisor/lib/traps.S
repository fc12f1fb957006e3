/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Interrupt and exception entries, and the way to CPL 3 and back. All 256 vectors push a struct trap_frame (guest.h)
 * and call trap_handler(), which may change the frame: that is how an expected fault continues behind the faulting
 * instruction, and how code at CPL 3 comes home.
 */
#include "layout.h"

	.text
	.globl trap_stubs
	.balign 16
trap_stubs:			/* 16 bytes each: cpu.c computes the address from the vector */
	.set vector, 0
	.rept 256
	.balign 16
	.if !(vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21)
	pushq $0
	.endif
	pushq $vector
	jmp trap_common
	.set vector, vector + 1
	.endr

trap_common:
	pushq %r15
	pushq %r14
	pushq %r13
	pushq %r12
	pushq %r11
	pushq %r10
	pushq %r9
	pushq %r8
	pushq %rdi
	pushq %rsi
	pushq %rbp
	pushq %rbx
	pushq %rdx
	pushq %rcx
	pushq %rax
	movq %rsp, %rdi
	cld
	call trap_handler
	popq %rax
	popq %rcx
	popq %rdx
	popq %rbx
	popq %rbp
	popq %rsi
	popq %rdi
	popq %r8
	popq %r9
	popq %r10
	popq %r11
	popq %r12
	popq %r13
	popq %r14
	popq %r15
	addq $16, %rsp
	iretq

/*
 * void user_enter(u64 rip, u64 rsp, u64 cs): returns when CPL 3 raises its first exception or runs INT 0x80. Interrupts
 * are open there if they are open here.
 */
	.globl user_enter, user_return
user_enter:
	pushq %rbx
	pushq %rbp
	pushq %r12
	pushq %r13
	pushq %r14
	pushq %r15
	movq %rsp, %gs:CPU_USER_RETURN_RSP
	pushq $SEL_USER_DATA
	pushq %rsi
	pushfq
	pushq %rdx
	pushq %rdi
	iretq
user_return:			/* trap_handler() sets RIP here and RSP to the saved value */
	popq %r15
	popq %r14
	popq %r13
	popq %r12
	popq %rbp
	popq %rbx
	ret
