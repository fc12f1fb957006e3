/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a fault in a hypapp comes back to: see drop.h. */
	.text
	/* guard_call(rdi: handler, rsi: its event, rdx: where RSP goes): EAX. */
	.globl guard_call, guard_return
guard_call:
	.irp reg, rbx, rbp, r12, r13, r14, r15
	pushq %\reg
	.endr
	subq $8, %rsp                   /* the handler's stack is aligned */
	movq %rsp, (%rdx)
	movq %rdi, %rax
	movq %rsi, %rdi
	call __x86_indirect_thunk_rax
guard_return:
	addq $8, %rsp
	.irp reg, r15, r14, r13, r12, rbp, rbx
	popq %\reg
	.endr
	ret
