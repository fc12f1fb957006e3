# SPDX-License-Identifier: GPL-2.0-or-later
	.file	"made_for_1_1.c"
	.text
	.p2align 4
	.type	on_msr, @function
on_msr:
	movl	$2, %eax
	ret
	.size	on_msr, .-on_msr
	.p2align 4
	.type	on_hypercall, @function
on_hypercall:
	pushq	%rbp
	movl	$6, %esi
	movq	%rdi, %rbp
	pushq	%rbx
	subq	$40, %rsp
	call	hypapi_reg_get
	movq	%rsp, %rcx
	movq	%rbp, %rdi
	movl	$1, %edx
	movq	%rax, %rsi
	call	hypapi_translate
	movq	%rbp, %rdi
	xorl	%edx, %edx
	xorl	%esi, %esi
	movl	%eax, %ebx
	call	hypapi_reg_set
	negl	%ebx
	movq	%rbp, %rdi
	movl	$3, %esi
	movslq	%ebx, %rdx
	call	hypapi_reg_set
	addq	$40, %rsp
	movl	$1, %eax
	popq	%rbx
	popq	%rbp
	ret
	.size	on_hypercall, .-on_hypercall
	.p2align 4
	.type	on_port, @function
on_port:
	cmpb	$0, 59(%rdi)
	movl	$2, %eax
	je	.L5
	cmpb	$4, 58(%rdi)
	jne	.L5
	movzwl	6(%rdi), %eax
	movl	(%rdi), %edx
	salq	$16, %rax
	subq	$184, %rdx
	orq	%rdx, %rax
	movq	%rax, 64(%rdi)
	movl	$1, %eax
.L5:
	ret
	.size	on_port, .-on_port
	.globl	hypapp_made_for_1_1
	.section	.rodata.str1.1,"aMS",@progbits,1
.LC0:
	.string	"made_for_1_1"
	.section	.hypapps,"a"
	.align 8
	.type	hypapp_made_for_1_1, @object
	.size	hypapp_made_for_1_1, 672
hypapp_made_for_1_1:
	.long	1346457672
	.long	672
	.value	1
	.value	1
	.zero	4
	.quad	.LC0
	.long	3
	.zero	4
	.long	6
	.long	6
	.zero	8
	.quad	on_port
	.long	2
	.long	6
	.zero	8
	.quad	on_hypercall
	.long	7
	.long	6
	.zero	8
	.quad	on_msr
	.zero	24
	.long	8
	.zero	12
	.quad	on_msr
	.zero	264
	.long	3
	.long	6
	.long	1554
	.long	1557
	.long	1
	.long	6
	.long	1538
	.long	1538
	.zero	224
	.globl	hypapp_made_for_1_1_version
	.section	.rodata
	.align 8
	.type	hypapp_made_for_1_1_version, @object
	.size	hypapp_made_for_1_1_version, 8
hypapp_made_for_1_1_version:
	.quad	hypapi_major_1_is_required
	.ident	"GCC: (Debian 12.2.0-14+deb12u1) 12.2.0"
	.section	.note.GNU-stack,"",@progbits
