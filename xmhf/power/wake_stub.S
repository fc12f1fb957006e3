/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where the firmware goes when the machine wakes from a sleep: real mode, CS the page's segment, IP 0. All memory
 * that a guest or the core had is overwritten with zeros, and the machine is reset. Copied to the first of two pages
 * that L1 never has, the fields at its end filled by wake.c; the second page is the page directory. No stack: ESP is
 * a number like others. EBX: the page's address.
 */
	.section .rodata
	.globl wake_stub, wake_stub_end, wake_gdtr_base, wake_far, wake_code32, wake_gdt, wake_pdpt, wake_ranges
	.balign 16
	.code16
	.set WINDOW, 0x200000
	.set PD, 0x1000
wake_stub:
	cli
	cld
	movw %cs, %ax
	movw %ax, %ds
	movzwl %ax, %ebx
	shll $4, %ebx
	lgdtl wake_gdtr - wake_stub
	movl %cr0, %eax
	andl $0x1fffffff, %eax          /* caches on, paging off */
	orb $1, %al
	movl %eax, %cr0
	ljmpl *(wake_far - wake_stub)
	.code32
wake_code32:
	movl $16, %eax
	movl %eax, %ds
	movl %eax, %es
	movl %cr4, %eax
	orb $0x20, %al                  /* PAE */
	movl %eax, %cr4
	leal (wake_pdpt - wake_stub)(%ebx), %eax
	movl %eax, %cr3
	movl %cr0, %eax
	orl $0x80000000, %eax
	movl %eax, %cr0
	leal (wake_ranges - wake_stub)(%ebx), %esi
next_range:
	movl (%esi), %eax               /* EDX:EAX is the address */
	movl 4(%esi), %edx
	movl 8(%esi), %ecx
	orl 12(%esi), %ecx
	jz end
next_window:
	cmpl 12(%esi), %edx
	ja range_done
	jb 1f
	cmpl 8(%esi), %eax
	jae range_done
1:	movl %eax, %ecx
	andl $0xffe00000, %ecx
	orl $0x83, %ecx
	movl %ecx, PD + 8(%ebx)
	movl %edx, PD + 12(%ebx)
	movl $WINDOW, %edi
	invlpg (%edi)
	movl %eax, %ecx
	andl $0x1fffff, %ecx
	addl %ecx, %edi
	negl %ecx
	addl $WINDOW, %ecx              /* to the end of the window, or of the range */
	movl 8(%esi), %ebp
	subl %eax, %ebp
	movl 12(%esi), %esp
	sbbl %edx, %esp
	jnz 2f
	cmpl %ebp, %ecx
	jbe 2f
	movl %ebp, %ecx
2:	addl %ecx, %eax
	adcl $0, %edx
	movl %eax, %ebp
	xorl %eax, %eax
	shrl $2, %ecx
	rep stosl
	movl %ebp, %eax
	jmp next_window
range_done:
	addl $16, %esi
	jmp next_range

end:
	wbinvd
	movw $0xcf9, %dx
	movb $2, %al
	outb %al, %dx
	movb $6, %al
	outb %al, %dx
	movl $0x1000000, %ecx
3:	pause
	loop 3b
	movb $0xfe, %al
	outb %al, $0x64
	movl $0x1000000, %ecx
4:	pause
	loop 4b
	lidtl (wake_nothing - wake_stub)(%ebx)
	ud2

	.balign 8
wake_gdt:
	.quad 0, 0x00cf9b000000ffff, 0x00cf93000000ffff
wake_gdtr:
	.word 23
wake_gdtr_base:
	.long 0
wake_nothing:
	.word 0
	.long 0
	.balign 4
wake_far:
	.long 0
	.word 8
	.balign 32
wake_pdpt:
	.quad 0, 0, 0, 0
wake_ranges:                            /* start and end, 64 bits each; both 0: no more */
wake_stub_end:
