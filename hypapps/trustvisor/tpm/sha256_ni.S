/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * SHA-256 of whole blocks by the CPU's instructions: void sha256_ni(uint32_t state[8], const void *blocks,
 * uint64_t count), `count` 1 or more.
 *
 * The one function in root that computes with SIMD registers. They hold the values of whoever runs, a guest or a PAL:
 * it saves each that it uses before the use, restores all of them on its only way out, and wipes where they were.
 * Legacy encodings leave the upper parts of YMM and ZMM registers as they are, and do not depend on XCR0, which is the
 * guest's; CR0 and CR4 are root's own. tests/run/no_simd.py checks the saves and the way out in the linked image.
 */
#define ABEF %xmm1
#define CDGH %xmm2
#define SAVED_STATE 0x80 /* on the stack, above the saved registers */
#define FRAME 0xa0
#define PAD 8            /* the stack is aligned to 16 before a call */

/* Four rounds, with words \w of the schedule; RAX: constants of four times four rounds. */
.macro rounds w, i
	movdqa 16 * \i(%rax), %xmm0
	paddd \w, %xmm0
	sha256rnds2 ABEF, CDGH
	pshufd $0x0e, %xmm0, %xmm0
	sha256rnds2 CDGH, ABEF
.endm

/* Words t to t + 3 of the schedule in place of those of t - 16; then come those of t - 12, t - 8, t - 4. */
.macro next w, w12, w8, w4
	sha256msg1 \w12, \w
	movdqa \w4, %xmm7
	palignr $4, \w8, %xmm7
	paddd %xmm7, \w
	sha256msg2 \w4, \w
.endm

.macro load w, i
	movdqu 16 * \i(%rsi), \w
	pshufb big_endian(%rip), \w
.endm

	.text
	.globl sha256_ni
	.type sha256_ni, @function
sha256_ni:
	subq $FRAME + PAD, %rsp
.irp i, 0, 1, 2, 3, 4, 5, 6, 7
	movdqa %xmm\i, 16 * \i(%rsp)
.endr
	/* From words a to h, the first lowest, to a, b, e, f and c, d, g, h, the first highest. */
	movdqu (%rdi), %xmm0
	movdqu 16(%rdi), CDGH
	pshufd $0xb1, %xmm0, %xmm0
	pshufd $0x1b, CDGH, CDGH
	movdqa %xmm0, ABEF
	palignr $8, CDGH, ABEF
	pblendw $0xf0, %xmm0, CDGH
1:
	movdqa ABEF, SAVED_STATE(%rsp)
	movdqa CDGH, SAVED_STATE + 16(%rsp)
	leaq sha256_constants(%rip), %rax
	load %xmm3, 0
	load %xmm4, 1
	load %xmm5, 2
	load %xmm6, 3
	rounds %xmm3, 0
	rounds %xmm4, 1
	rounds %xmm5, 2
	rounds %xmm6, 3
	movl $3, %ecx
2:
	addq $64, %rax
	next %xmm3, %xmm4, %xmm5, %xmm6
	rounds %xmm3, 0
	next %xmm4, %xmm5, %xmm6, %xmm3
	rounds %xmm4, 1
	next %xmm5, %xmm6, %xmm3, %xmm4
	rounds %xmm5, 2
	next %xmm6, %xmm3, %xmm4, %xmm5
	rounds %xmm6, 3
	decl %ecx
	jnz 2b
	paddd SAVED_STATE(%rsp), ABEF
	paddd SAVED_STATE + 16(%rsp), CDGH
	addq $64, %rsi
	decq %rdx
	jnz 1b
	pshufd $0x1b, ABEF, %xmm0
	pshufd $0xb1, CDGH, CDGH
	movdqa %xmm0, ABEF
	pblendw $0xf0, CDGH, ABEF
	palignr $8, %xmm0, CDGH
	movdqu ABEF, (%rdi)
	movdqu CDGH, 16(%rdi)
.irp i, 0, 1, 2, 3, 4, 5, 6, 7
	movdqa 16 * \i(%rsp), %xmm\i
.endr
	xorl %eax, %eax
	movq %rsp, %rdi
	movl $FRAME / 8, %ecx
	rep stosq
	addq $FRAME + PAD, %rsp
	ret
	.size sha256_ni, . - sha256_ni

	.section .rodata
	.balign 16
big_endian:
	.byte 3, 2, 1, 0, 7, 6, 5, 4, 11, 10, 9, 8, 15, 14, 13, 12

	.section .note.GNU-stack, "", @progbits
