/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The first 1,024 bytes of the file: one boot sector and one setup sector with the setup header of the Linux/x86 boot
 * protocol, version 2.12. There is no real-mode code: every loader that uses the 32-bit protocol (GRUB's `linux`,
 * XMHF's direct start) copies the rest of the file to 0x100000 and jumps there with the address of boot_params in ESI.
 * The image is not relocatable, so the linker script fixes it at the same address.
 */
	.section .setup, "a"
	.org 0x1f1
	.byte 1				/* setup_sects */
	.word 0				/* root_flags */
	.long image_paragraphs		/* syssize, in 16-byte units */
	.word 0				/* ram_size */
	.word 0xffff			/* vid_mode: normal */
	.word 0				/* root_dev */
	.word 0xaa55			/* boot_flag */
	.byte 0xeb, header_end - 1f	/* jump; also tells loaders where the header ends */
1:	.ascii "HdrS"
	.word 0x020c			/* version 2.12 */
	.long 0				/* realmode_swtch */
	.word 0				/* start_sys_seg */
	.word 0				/* kernel_version: no string */
	.byte 0				/* type_of_loader, filled in by it */
	.byte 1				/* loadflags: LOADED_HIGH */
	.word 0				/* setup_move_size */
	.long 0x100000			/* code32_start */
	.long 0, 0			/* ramdisk_image, ramdisk_size */
	.long 0				/* bootsect_kludge */
	.word 0				/* heap_end_ptr */
	.byte 0, 0			/* ext_loader_ver, ext_loader_type */
	.long 0				/* cmd_line_ptr */
	.long 0x7fffffff		/* initrd_addr_max */
	.long 0x100000			/* kernel_alignment */
	.byte 0				/* relocatable_kernel */
	.byte 20			/* min_alignment, a power of two */
	.word 0				/* xloadflags: no 64-bit entry, no EFI */
	.long 255			/* cmdline_size */
	.long 0				/* hardware_subarch: PC */
	.quad 0				/* hardware_subarch_data */
	.long 0, 0			/* payload_offset, payload_length */
	.quad 0				/* setup_data */
	.quad 0x100000			/* pref_address */
	.long image_memory_size		/* init_size: file, BSS and boot stack */
	.long 0				/* handover_offset */
header_end:
	.org 0x400
