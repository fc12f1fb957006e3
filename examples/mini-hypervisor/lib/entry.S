/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From the loader to C, on the first CPU (entry32) and on the others (ap_trampoline, copied to AP_TRAMPOLINE).
 * Both end in long mode with the first 4 GiB mapped one to one by 2 MiB pages, which CPL 3 may use too: a guest program
 * of this framework has no secrets from itself. Interrupts are off until the program asks for them.
 */
#include "layout.h"

	.section .text.entry, "ax"
	.code32
	.globl entry32
/* In: ESI = boot_params; protected mode, paging off, interrupts off (the 32-bit boot protocol). */
entry32:
	cli
	cld
	movl $boot_stack_end, %esp
	movl $bss_start, %edi		/* boot_params and its pages lie outside this image */
	movl $bss_end, %ecx
	subl %edi, %ecx
	shrl $2, %ecx
	xorl %eax, %eax
	rep stosl
	movl $page_pdpt + 7, page_pml4
	movl $page_pd + 7, %eax
	xorl %ebx, %ebx
1:	movl %eax, page_pdpt(, %ebx, 8)
	addl $0x1000, %eax
	incl %ebx
	cmpl $4, %ebx
	jb 1b
	movl $0x87, %eax		/* present, writable, user, 2 MiB */
	xorl %ebx, %ebx
2:	movl %eax, page_pd(, %ebx, 8)
	addl $0x200000, %eax
	incl %ebx
	cmpl $2048, %ebx
	jb 2b
	lgdt boot_gdtr
	call enable_long_mode
	ljmp $SEL_CODE64, $3f
	.code64
3:	movl $SEL_DATA, %eax
	movl %eax, %ds
	movl %eax, %es
	movl %eax, %ss
	xorl %eax, %eax
	movl %eax, %fs
	movl %eax, %gs
	movl $boot_stack_end, %esp
	movl %esi, %edi
	call guest_start
4:	hlt
	jmp 4b

	.code32
/* Turns paging and long mode on with page_pml4; clobbers EAX, ECX, EDX. */
enable_long_mode:
	movl %cr4, %eax
	orl $CR4_PAE, %eax
	movl %eax, %cr4
	movl $page_pml4, %eax
	movl %eax, %cr3
	movl $MSR_EFER, %ecx
	rdmsr
	orl $EFER_LME, %eax
	wrmsr
	movl %cr0, %eax
	andl $~(CR0_CD | CR0_NW), %eax
	orl $(CR0_PG | CR0_PE | CR0_NE | CR0_WP), %eax
	movl %eax, %cr0
	ret

/*
 * A started CPU is in real mode with CS = AP_TRAMPOLINE >> 4. Its stack pointer waits in ap_start_stack. Before
 * anything changes it notes CR0, EDX, CS and FLAGS at AP_FIRST_STATE, for whoever wants to see what SIPI left (SS:SP is
 * still 0:0, so the FLAGS pass through the top of the first 64 KiB).
 */
	.code16
	.globl ap_trampoline, ap_trampoline_end
ap_trampoline:
	cli
	xorw %ax, %ax
	movw %ax, %ds
	movl %edx, AP_FIRST_STATE + 4
	movw %cs, AP_FIRST_STATE + 8
	pushfw
	popw AP_FIRST_STATE + 10
	movl %cr0, %eax
	movl %eax, AP_FIRST_STATE
	lgdtl (AP_TRAMPOLINE + ap_gdtr - ap_trampoline)
	movl %cr0, %eax
	andl $~(CR0_CD | CR0_NW), %eax
	orb $CR0_PE, %al
	movl %eax, %cr0
	ljmpl $SEL_CODE32, $ap_protected
ap_gdtr:
	.word boot_gdt_end - boot_gdt - 1
	.long boot_gdt
ap_trampoline_end:
	.code32
ap_protected:
	movl $SEL_DATA, %eax
	movl %eax, %ds
	movl %eax, %es
	movl %eax, %ss
	movl ap_start_stack, %esp
	call enable_long_mode
	ljmp $SEL_CODE64, $1f
	.code64
1:	xorl %eax, %eax
	movl %eax, %fs
	movl %eax, %gs
	movl ap_start_stack, %esp
	call ap_start
2:	hlt
	jmp 2b

	.section .rodata
	.balign 8
	.globl boot_gdt, boot_gdt_end
boot_gdt:			/* the order of enum selector in layout.h */
	.quad 0
	.quad 0x00af9b000000ffff	/* SEL_CODE64 */
	.quad 0x00cf93000000ffff	/* SEL_DATA */
	.quad 0x00cf9b000000ffff	/* SEL_CODE32 */
	.quad 0x00cffb000000ffff	/* SEL_USER_CODE32 */
	.quad 0x00cff3000000ffff	/* SEL_USER_DATA */
	.quad 0x00affb000000ffff	/* SEL_USER_CODE64 */
	.quad 0x00009b000000ffff	/* SEL_CODE16: the way back to real mode */
	.quad 0x000093000000ffff	/* SEL_DATA16 */
boot_gdt_end:
boot_gdtr:
	.word boot_gdt_end - boot_gdt - 1
	.long boot_gdt

	.section .bss
	.balign 4096
	.globl page_pml4, page_pdpt, page_pd
page_pml4:	.skip 4096
page_pdpt:	.skip 4096
page_pd:	.skip 4 * 4096
	.skip 16384
boot_stack_end:
