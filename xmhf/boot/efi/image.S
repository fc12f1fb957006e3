/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The core's image, from its first byte on, as the file that make has laid out. */
	.section .rodata
	.globl core_image, core_image_end
	.balign 16
core_image:
	.incbin CORE_IMAGE
core_image_end:
