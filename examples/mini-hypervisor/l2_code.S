/* SPDX-License-Identifier: GPL-2.0-or-later */
/* L2 code of the example that C cannot express: 32-bit, and 16-bit (position-independent, copied to LOW_CODE). */
	.text
	.globl l2_protected32, l2_real16, l2_real16_end
	.code32
l2_protected32:
	movl $0x11110000, %eax
	cpuid
	addl $32, %eax
	vmcall
	hlt

	.code16
l2_real16:
	movl $0x11110000, %eax
	cpuid
	addl $16, %eax
	vmcall
	hlt
l2_real16_end:
	.code64
