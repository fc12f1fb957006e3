/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From the boot loader (multiboot 1 or 2, 32-bit protected mode, paging off) to boot_main() in 64-bit mode.
 * In: EAX = loader's magic, EBX = physical address of its information. The tables made here map the low 4 GiB three
 * times: as they are, at the direct map, and the image at its linked address; boot_main() replaces them.
 */
#include "boot/long_mode.inc"

#define MB1_MAGIC 0x1badb002
#define MB1_FLAGS 0x00010003 /* page-aligned modules, memory map, address fields */
#define MB2_MAGIC 0xe85250d6

	.section .boot.headers, "awx"   /* in the first 8 KiB of the file: no large alignment before */
	.balign 8
mb2_header:
	.long MB2_MAGIC, 0, mb2_end - mb2_header, -(MB2_MAGIC + (mb2_end - mb2_header))
	.balign 8
	.short 1, 0                     /* information request: memory map, modules, command line */
	.long 8 + 3 * 4, 6, 3, 1
	.balign 8
	.short 1, 1                     /* and, where the loader knows it: framebuffer, EFI, ACPI's old and new RSDP */
	.long 8 + 4 * 4, 8, 12, 14, 15
	.balign 8
	.short 6, 0                     /* modules on page boundaries */
	.long 8
	.balign 8
	.short 0, 0
	.long 8
mb2_end:
	.balign 4
mb1_header:
	.long MB1_MAGIC, MB1_FLAGS, -(MB1_MAGIC + MB1_FLAGS)
	.long mb1_header, image_load, image_file_end, image_memory_end, boot_entry

	.section .boot, "awx"
	.code32
	.globl boot_entry
boot_entry:
	cli
	cld
	movl %eax, %esi                 /* kept for boot_main(magic, info) */
	movl %ebx, %edi
	movl $0x80000001, %eax
	cpuid
	btl $29, %edx
	jc 1f
	/* Nothing of the core runs here, its log included: COM1, and VGA's text mode, which such a machine is in. */
	movl $no_long_mode, %ebx
	movl $0xb8000, %edi
	movw $0x3f8, %dx
	movb $0x07, %ah
0:	movb (%ebx), %al
	outb %al, %dx
	stosw
	incl %ebx
	testb %al, %al
	jnz 0b
4:	hlt
	jmp 4b
no_long_mode:
	.asciz "xmhf: error: this CPU has no 64-bit mode\r\n"
1:
	/* Four page directories of 2 MiB pages: 4 GiB. */
	movl $boot_pd, %ebx
	movl $0x83, %eax
	xorl %ecx, %ecx
2:	movl %eax, (%ebx,%ecx,8)
	movl $0, 4(%ebx,%ecx,8)
	addl $0x200000, %eax
	incl %ecx
	cmpl $2048, %ecx
	jb 2b
	/* The image at its linked address: from 2 MiB on, 64 MiB. */
	movl $boot_pd_image, %ebx
	movl $0x200083, %eax
	xorl %ecx, %ecx
3:	movl %eax, (%ebx,%ecx,8)
	addl $0x200000, %eax
	incl %ecx
	cmpl $32, %ecx
	jb 3b

	movl $boot_pml4, %eax
	enter_long_mode
	lgdt boot_gdtr
	ljmp $8, $boot64

	.code64
boot64:
	movl $16, %eax
	movl %eax, %ds
	movl %eax, %es
	movl %eax, %ss
	xorl %eax, %eax
	movl %eax, %fs
	movl %eax, %gs
	movq $boot_stack_top, %rsp
	xchgq %rsi, %rdi                /* magic, info */
	movq $boot_main, %rax
	xorl %ebp, %ebp
	callq *%rax

	.balign 8
boot_gdt:
	.quad 0, 0x00af9b000000ffff, 0x00cf93000000ffff
boot_gdtr:
	.short 23
	.quad boot_gdt

	.balign 4096
boot_pml4:
	.quad boot_pdpt + 3
	.fill 255, 8, 0
	.quad boot_pdpt + 3             /* direct map */
	.fill 254, 8, 0
	.quad boot_pdpt_image + 3
boot_pdpt:
	.quad boot_pd + 3, boot_pd + 0x1003, boot_pd + 0x2003, boot_pd + 0x3003
	.fill 508, 8, 0
boot_pdpt_image:
	.fill 510, 8, 0
	.quad boot_pd_image + 3, 0
boot_pd:
	.fill 2048, 8, 0
boot_pd_image:
	.fill 512, 8, 0

	.text
	.globl boot_relocate
/*
 * boot_relocate(rdi: destination, rsi: source, rdx: bytes, rcx: new CR3). Copies the image, all of it, through the
 * direct map, and continues in the copy. The stack is in the image; nothing is written to it between the copy and the
 * switch.
 */
boot_relocate:
	movq %rcx, %rax
	movq %rdx, %rcx
	rep movsb
	movq %rax, %cr3
	ret

	.bss
	.balign 4096
	.globl boot_stack_guard, boot_stack_top
boot_stack_guard:                       /* not mapped once the image has moved */
	.skip 4096
	.skip 16384
boot_stack_top:
