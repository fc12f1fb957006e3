/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where all indirect branches of root go through (GCC's -mindirect-branch=thunk-extern): __x86_indirect_thunk_REG jumps
 * to the address in REG. Built as retpolines, whose target no guest can train; speculation_boot.c makes them plain
 * jumps where the CPU needs none. In the upper half of a cache line, where the CPUs with indirect target selection
 * predict right.
 */
#include "cpu/speculation.h"

	.text
	.globl thunks_start
	.balign SPEC_THUNK_BYTES, 0xcc
thunks_start:
	.irp reg, rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15
	.balign SPEC_THUNK_BYTES, 0xcc
	.skip SPEC_THUNK_BYTES / 2, 0xcc
	.globl __x86_indirect_thunk_\reg
__x86_indirect_thunk_\reg:
	call 2f
1:	pause                           /* speculation of the RET waits here */
	lfence
	jmp 1b
2:	movq %\reg, (%rsp)
	ret
	int3
	.endr
	.balign SPEC_THUNK_BYTES, 0xcc
