/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The L2 image as data of the program that starts it; L2_IMAGE comes from the command line. */
	.section .rodata
	.globl l2_image, l2_image_end
	.balign 16
l2_image:
	.incbin L2_IMAGE
l2_image_end:
	.section .note.GNU-stack, "", @progbits
