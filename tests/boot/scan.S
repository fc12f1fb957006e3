/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A boot sector that looks through all of memory for what the boot before has left, as an attacker's would, says so
 * on COM1 and lets the BIOS go on with the next device. It looks for the 64-bit words that tests/guest/ways_down.c
 * makes: "S marks secrets address": how many marks of L1's own, which show that memory survived; how many secrets;
 * and where the last of those was. The words are kept inverted here, so that the sector does not find itself.
 */
	.set COM1, 0x3f8
	.set LOW_INVERTED, 0xa5173c29   /* ~ of the low half */
	.set HIGH_INVERTED, 0x6e91d4ff  /* ~ of the high half, whose last byte is 0 for a mark */

	.code16
	.text
	.globl _start
_start:
	ljmpw $0, $1f
1:	cld
	xorw %ax, %ax
	movw %ax, %ds
	movw %ax, %es
	movw %ax, %ss
	movw $0x7c00, %sp
	cli
	inb $0x92, %al                  /* A20 */
	orb $2, %al
	outb %al, $0x92
	lgdtl gdtr
	movl %cr0, %eax
	orb $1, %al
	movl %eax, %cr0
	ljmpw $8, $scan

	.code32
scan:
	movw $16, %ax
	movw %ax, %ds
	movw %ax, %es
	movb $0x35, %al                 /* CMOS: memory above 16 MiB, in 64 KiB */
	outb %al, $0x70
	inb $0x71, %al
	movb %al, %ah
	movb $0x34, %al
	outb %al, $0x70
	inb $0x71, %al
	movzwl %ax, %ecx
	addl $256, %ecx
	shll $14, %ecx                  /* in words of 32 bits */
	movl $LOW_INVERTED, %eax
	notl %eax
	movl $HIGH_INVERTED, %edx
	notl %edx
	xorl %edi, %edi
1:	repne scasl
	jne 3f
	movl (%edi), %ebx
	xorl %edx, %ebx
	testl $0xffffff00, %ebx
	jnz 2f
	testb %bl, %bl
	setnz %bl
	incl counts(,%ebx,4)              /* EBX is 0 or 1 */
	testb %bl, %bl
	jz 2f
	movl %edi, last
2:	testl %ecx, %ecx
	jnz 1b
3:	ljmp $24, $in_16bit
	.code16
in_16bit:
	movw $32, %ax
	movw %ax, %ds
	movw %ax, %es
	movl %cr0, %eax
	andb $0xfe, %al
	movl %eax, %cr0
	ljmpw $0, $in_real
in_real:
	xorw %ax, %ax
	movw %ax, %ds
	movw %ax, %es
	sti
	movw $(COM1 + 3), %dx
	movb $3, %al
	outb %al, %dx
	movb $'S', %al
	call put
	movb $' ', %al
	call put
	movw $(counts + 3), %si
	call put_long
	movb $' ', %al
	call put
	movw $(counts + 7), %si
	call put_long
	movb $' ', %al
	call put
	movw $(last + 3), %si
	call put_long
	movb $10, %al
	call put
	int $0x18

put_long:                               /* the four bytes that end at SI */
	movw $4, %cx
4:	movb (%si), %al
	call put_byte
	decw %si
	loop 4b
	ret
put_byte:
	pushw %ax
	shrb $4, %al
	call put_digit
	popw %ax
	andb $15, %al
put_digit:
	addb $'0', %al
	cmpb $'9', %al
	jbe put
	addb $39, %al
put:                                    /* AL */
	pushw %ax
	movw $(COM1 + 5), %dx
5:	inb %dx, %al
	testb $0x20, %al
	jz 5b
	popw %ax
	movw $COM1, %dx
	outb %al, %dx
	ret

counts:
	.long 0, 0
last:
	.long 0
	.balign 8
gdt:
	.quad 0
	.quad 0x00cf9a000000ffff, 0x00cf92000000ffff
	.quad 0x00009a000000ffff, 0x000092000000ffff
gdtr:
	.word gdtr - gdt - 1
	.long gdt
	.org 446
	.byte 0x80, 0, 1, 0, 0x7f, 0, 63, 0     /* a partition table, so that the BIOS takes the disk's geometry for
	                                           sane */
	.long 0, 63
	.org 510
	.word 0xaa55
