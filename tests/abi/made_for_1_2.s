# SPDX-License-Identifier: GPL-2.0-or-later
	.file	"made_for_1_2.c"
	.text
	.p2align 4
	.type	on_hypercall, @function
on_hypercall:
	pushq	%r13
	pushq	%r12
	pushq	%rbp
	pushq	%rbx
	movq	%rdi, %rbx
	subq	$40, %rsp
	movl	16(%rdi), %esi
	call	hypapi_cpu_storage
	movq	%rbx, %rdi
	movl	$6, %esi
	movq	%rax, %r13
	call	hypapi_reg_get
	movq	%rbx, %rdi
	movb	$0, 7(%rsp)
	movq	%rax, 16(%rsp)
	movq	%rax, %r12
	movl	$3, 24(%rsp)
	call	hypapi_quiesce
	testl	%eax, %eax
	js	.L10
	leaq	8(%rsp), %rcx
	movl	$1, %edx
	leaq	16(%rsp), %rsi
	movq	%rbx, %rdi
	call	hypapi_partition_create
	movslq	%eax, %rbp
	testl	%ebp, %ebp
	je	.L4
.L14:
	movl	%ebp, %eax
	shrl	$31, %eax
.L5:
	testq	%r13, %r13
	je	.L10
	testb	%al, %al
	jne	.L10
	movl	16(%rbx), %ecx
	movl	$1, %esi
	movl	$1, %edx
	movq	%rbx, %rdi
	salq	%cl, %rsi
	call	hypapi_post
	testl	%eax, %eax
	js	.L10
	xorl	%edx, %edx
	xorl	%esi, %esi
	movq	%rbx, %rdi
	call	hypapi_reg_set
	movl	0(%r13), %eax
	movq	%rbx, %rdi
	movl	$3, %esi
	leal	1(%rax), %edx
	movl	%edx, 0(%r13)
	call	hypapi_reg_set
	movzwl	6(%rbx), %edx
	movq	%rbx, %rdi
	movl	$1, %esi
	call	hypapi_reg_set
	movl	work(%rip), %eax
	xorl	%edx, %edx
	movq	%rbx, %rdi
	movl	$2, %esi
	testl	%eax, %eax
	setne	%dl
	salq	$8, %rdx
	orq	%rbp, %rdx
	call	hypapi_reg_set
	addq	$40, %rsp
	movl	$1, %eax
	popq	%rbx
	popq	%rbp
	popq	%r12
	popq	%r13
	ret
	.p2align 4,,10
	.p2align 3
.L4:
	movq	8(%rsp), %rsi
	movq	%r12, %rcx
	leaq	7(%rsp), %rdx
	movq	%rbx, %rdi
	movl	$1, %r8d
	call	hypapi_partition_read
	movslq	%eax, %rbp
	testl	%ebp, %ebp
	jne	.L14
	movq	8(%rsp), %rsi
	movq	%rbx, %rdi
	call	hypapi_partition_destroy
	movslq	%eax, %rbp
	testl	%ebp, %ebp
	jne	.L14
	movzbl	7(%rsp), %ebp
	xorl	%eax, %eax
	jmp	.L5
	.p2align 4,,10
	.p2align 3
.L10:
	addq	$40, %rsp
	movl	$2, %eax
	popq	%rbx
	popq	%rbp
	popq	%r12
	popq	%r13
	ret
	.size	on_hypercall, .-on_hypercall
	.p2align 4
	.type	on_work, @function
on_work:
	cmpq	$1, 56(%rdi)
	je	.L18
	movl	$1, %eax
	ret
	.p2align 4,,10
	.p2align 3
.L18:
	movl	$1, work(%rip)
	movl	$1, %eax
	ret
	.size	on_work, .-on_work
	.globl	hypapp_made_for_1_2
	.section	.rodata.str1.1,"aMS",@progbits,1
.LC0:
	.string	"made_for_1_2"
	.section	.hypapps,"a"
	.align 8
	.type	hypapp_made_for_1_2, @object
	.size	hypapp_made_for_1_2, 680
hypapp_made_for_1_2:
	.long	1346457672
	.long	680
	.value	1
	.value	2
	.long	7001
	.quad	.LC0
	.long	29
	.zero	4
	.long	2
	.long	6
	.zero	8
	.quad	on_hypercall
	.long	23
	.zero	12
	.quad	on_work
	.zero	336
	.long	1
	.long	6
	.long	1537
	.long	1537
	.zero	240
	.long	4
	.zero	4
	.globl	hypapp_made_for_1_2_version
	.section	.rodata
	.align 8
	.type	hypapp_made_for_1_2_version, @object
	.size	hypapp_made_for_1_2_version, 8
hypapp_made_for_1_2_version:
	.quad	hypapi_major_1_is_required
	.local	work
	.comm	work,4,4
	.ident	"GCC: (Debian 12.2.0-14+deb12u1) 12.2.0"
	.section	.note.GNU-stack,"",@progbits
