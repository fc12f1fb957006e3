/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vmx_result hv_enter(struct vcpu *v): swaps the general registers with L2's and runs VMLAUNCH or VMRESUME. A VM exit
 * comes back at hv_exit, with our RSP from HOST_RSP, so it looks as if VMLAUNCH had returned. HOST_RSP is written only
 * when our stack moved: a VMWRITE is dear under another hypervisor.
 */
	.set HOST_RSP, 0x6c14
	.set OFF_HOST_RSP, 128
	.set OFF_LAUNCHED, 136

	.text
	.globl hv_enter, hv_exit
hv_enter:
	pushq %rbx
	pushq %rbp
	pushq %r12
	pushq %r13
	pushq %r14
	pushq %r15
	pushq %rdi
	cmpq %rsp, OFF_HOST_RSP(%rdi)
	je 1f
	movl $HOST_RSP, %eax
	vmwrite %rsp, %rax
	movq %rsp, OFF_HOST_RSP(%rdi)
1:	cmpq $0, OFF_LAUNCHED(%rdi)	/* MOV keeps the flags for the JNE below */
	movq 0(%rdi), %rax
	movq 8(%rdi), %rcx
	movq 16(%rdi), %rdx
	movq 24(%rdi), %rbx
	movq 40(%rdi), %rbp
	movq 48(%rdi), %rsi
	movq 64(%rdi), %r8
	movq 72(%rdi), %r9
	movq 80(%rdi), %r10
	movq 88(%rdi), %r11
	movq 96(%rdi), %r12
	movq 104(%rdi), %r13
	movq 112(%rdi), %r14
	movq 120(%rdi), %r15
	movq 56(%rdi), %rdi
	jne 2f
	vmlaunch
	jmp 3f
2:	vmresume
3:	movl $1, %eax			/* VMfail: CF invalid, else ZF valid */
	jc 4f
	movl $2, %eax
4:	popq %rdi
	jmp 5f

hv_exit:
	pushq %rdi
	movq 8(%rsp), %rdi
	movq %rax, 0(%rdi)
	movq %rcx, 8(%rdi)
	movq %rdx, 16(%rdi)
	movq %rbx, 24(%rdi)
	movq %rbp, 40(%rdi)
	movq %rsi, 48(%rdi)
	popq 56(%rdi)
	movq %r8, 64(%rdi)
	movq %r9, 72(%rdi)
	movq %r10, 80(%rdi)
	movq %r11, 88(%rdi)
	movq %r12, 96(%rdi)
	movq %r13, 104(%rdi)
	movq %r14, 112(%rdi)
	movq %r15, 120(%rdi)
	popq %rdi
	xorl %eax, %eax
5:	popq %r15
	popq %r14
	popq %r13
	popq %r12
	popq %rbp
	popq %rbx
	ret
