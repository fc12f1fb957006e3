# SPDX-License-Identifier: GPL-2.0-or-later
	.file	"made_for_1_0.c"
	.text
	.p2align 4
	.type	on_hypercall, @function
on_hypercall:
	movl	8(%rdi), %eax
	cmpl	$2, %eax
	jne	.L4
	pushq	%rbx
	cmpl	$1536, 56(%rdi)
	movq	%rdi, %rbx
	jne	.L1
	cmpq	$0, 48(%rdi)
	jne	.L1
	cmpl	$183, (%rdi)
	jbe	.L1
	cmpb	$0, 21(%rdi)
	je	.L10
	xorl	%edx, %edx
	xorl	%esi, %esi
	call	hypapi_reg_set
	movl	calls(%rip), %eax
	movl	$3, %esi
	movq	%rbx, %rdi
	leal	1(%rax), %edx
	movl	%edx, calls(%rip)
	call	hypapi_reg_set
	movzwl	6(%rbx), %edx
	movl	$1, %esi
	movq	%rbx, %rdi
	call	hypapi_reg_set
	movl	(%rbx), %edx
	movl	$2, %esi
	movq	%rbx, %rdi
	subq	$184, %rdx
	call	hypapi_reg_set
	movl	$1, %eax
.L1:
	popq	%rbx
	ret
	.p2align 4,,10
	.p2align 3
.L4:
	movl	$2, %eax
	ret
	.p2align 4,,10
	.p2align 3
.L10:
	movb	$1, 20(%rdi)
	movl	$3, %eax
	popq	%rbx
	ret
	.size	on_hypercall, .-on_hypercall
	.globl	hypapp_made_for_1_0
	.section	.rodata.str1.1,"aMS",@progbits,1
.LC0:
	.string	"made_for_1_0"
	.section	.hypapps,"a"
	.align 8
	.type	hypapp_made_for_1_0, @object
	.size	hypapp_made_for_1_0, 672
hypapp_made_for_1_0:
	.long	1346457672
	.long	672
	.value	1
	.value	0
	.long	7000
	.quad	.LC0
	.long	9
	.zero	4
	.long	2
	.long	6
	.zero	8
	.quad	on_hypercall
	.zero	360
	.long	1
	.long	6
	.long	1536
	.long	1536
	.zero	240
	.globl	hypapp_made_for_1_0_version
	.section	.rodata
	.align 8
	.type	hypapp_made_for_1_0_version, @object
	.size	hypapp_made_for_1_0_version, 8
hypapp_made_for_1_0_version:
	.quad	hypapi_major_1_is_required
	.local	calls
	.comm	calls,4,4
	.ident	"GCC: (Debian 12.2.0-14+deb12u1) 12.2.0"
	.section	.note.GNU-stack,"",@progbits
