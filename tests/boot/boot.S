/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A boot sector, with six more behind it, that says on COM1 what a real-mode program sees of the machine. Lines that
 * begin with "T " are the same on the bare machine and under XMHF; lines that begin with "M " are about memory and are
 * judged by tests/run/memory_map.py. Ends with "T end boot" and the string that ends Bochs. "T FAIL" is a wrong answer.
 * Registers: functions change AX only, unless they say more. DS = ES = SS = CS = 0 throughout.
 */
	.set COM1, 0x3f8
	.set SECTOR2, 0x7e00
	.set MORE_SECTORS, 6
	.set BUFFER, 0x600      /* 512 bytes */
	.set FAR_MEMORY, 0x300000
	.set MAGIC, 0x2eadb007
	.set SMAP, 0x534d4150

	.code16
	.text
	.globl _start

	.macro say text
	call print_inline
	.asciz "\text"
	.endm
	.macro say_word label, reg
	pushw \reg
	say "\label"
	call print_word
	.endm
	.macro check condition, text
	j\condition 9f
	say "T FAIL \text\n"
9:
	.endm

_start:
	ljmpw $0, $1f
1:	cld
	xorw %ax, %ax
	movw %ax, %ds
	movw %ax, %es
	movw %ax, %ss
	movw $0x7c00, %sp
	sti
	movb %dl, drive
	movw $(COM1 + 3), %dx   /* 8 data bits, no parity; the speed stays */
	movb $3, %al
	outb %al, %dx
	say "T boot sector at 7c00, drive "
	movb drive, %al
	call print_byte
	say "\n"
	movw $(0x0200 + MORE_SECTORS), %ax
	movw $SECTOR2, %bx
	movw $2, %cx
	movb drive, %dl
	xorb %dh, %dh
	int $0x13
	jnc 1f
	say "T FAIL INT 13h cannot read the next sectors\n"
1:	cmpl $MAGIC, second_magic
	je second
	say "T FAIL the second sector is not what it should be\n"
	jmp power_off

power_off:
	movw $(COM1 + 5), %dx   /* the last byte leaves the UART */
1:	inb %dx, %al
	testb $0x40, %al
	jz 1b
	movw $0x8900, %dx
	movw $off_text, %si
2:	lodsb
	outb %al, %dx
	testb %al, %al
	jnz 2b
	cli
3:	hlt
	jmp 3b
off_text:
	.asciz "Shutdown"

print_char:                     /* AL */
	pushw %dx
	pushw %ax
	movw $(COM1 + 5), %dx
1:	inb %dx, %al
	testb $0x20, %al
	jz 1b
	popw %ax
	movw $COM1, %dx
	outb %al, %dx
	popw %dx
	ret

print_inline:                   /* the text behind the call; flags stay */
	popw %ax
	pushfw
	pushw %si
	movw %ax, %si
1:	lodsb
	testb %al, %al
	jz 2f
	call print_char
	jmp 1b
2:	movw %si, %ax
	popw %si
	popfw
	pushw %ax
	ret

print_word:                     /* the word that was pushed before the call, which is taken off; flags stay */
	pushfw
	pushw %bp
	movw %sp, %bp
	movb 7(%bp), %al
	call print_byte
	movb 6(%bp), %al
	call print_byte
	popw %bp
	popfw
	ret $2

print_byte:                     /* AL */
	pushw %ax
	shrb $4, %al
	call print_digit
	popw %ax
	andb $15, %al
print_digit:
	addb $'0', %al
	cmpb $'9', %al
	jbe print_char
	addb $39, %al
	jmp print_char

drive:
	.byte 0
	.org 446
	.byte 0x80, 0, 1, 0, 0x7f, 0, 63, 0     /* a partition table, so that the BIOS takes the disk's geometry for
	                                           sane */
	.long 0, 63
	.org 510
	.word 0xaa55

second_magic:
	.long MAGIC

second:
	call test_disk
	call test_screen
	call test_bios
	call test_base_memory
	call test_map
	call test_map_errors
	call test_sizes
	call test_flags
	call test_protected_mode
	call test_ticks
	say "T end boot\n"
	jmp power_off

/* INT 13h: the drive's parameters, and the LBA interface gives the same second sector. */
test_disk:
	movb $8, %ah
	movb drive, %dl
	xorw %di, %di
	int $0x13
	say_word "T disk parameters cx=", %cx
	say_word " dx=", %dx
	say "\n"
	xorw %ax, %ax
	movw %ax, %es
	movb $0x42, %ah
	movb drive, %dl
	movw $disk_packet, %si
	int $0x13
	check nc, "INT 13h, AH=42h sets carry"
	movw $SECTOR2, %si
	movw $BUFFER, %di
	movw $256, %cx
	repe cmpsw
	check e, "INT 13h, AH=42h reads other bytes than AH=2"
	say "T disk by LBA\n"
	ret
	.balign 4
disk_packet:
	.byte 16, 0
	.word 1, BUFFER, 0
	.quad 1

/* INT 10h writes a character: the cursor moves. */
test_screen:
	movb $3, %ah
	xorb %bh, %bh
	int $0x10
	pushw %dx
	movw $0x0e58, %ax
	movw $7, %bx
	int $0x10
	movb $3, %ah
	xorb %bh, %bh
	int $0x10
	popw %ax
	incw %ax
	cmpw %ax, %dx
	check e, "INT 10h does not move the cursor"
	say "T screen\n"
	ret

/* Calls that the old INT 15h handler serves: configuration table, A20, a wait, and a copy through protected mode. */
test_bios:
	movw $0xc000, %ax
	stc
	int $0x15
	pushfw
	say_word "T INT 15h AH=c0: es=", %es
	say_word " bx=", %bx
	popw %ax
	andw $1, %ax
	say_word " cf=", %ax
	say "\n"
	xorw %ax, %ax
	movw %ax, %es
	movw $0x2402, %ax
	int $0x15
	movb $1, a20
	jc 1f
	movb %al, a20
1:	movw $0x7777, %ax
	int $0x15
	check c, "INT 15h, AX=7777h clears carry"
	say_word "T INT 15h AX=7777: ", %ax
	say "\n"
	movb $0x86, %ah
	xorw %cx, %cx
	movw $5000, %dx
	int $0x15               /* Bochs' BIOS waits and sets carry all the same */
	say "T waited, a20="
	movb a20, %al
	call print_byte
	say "\n"
	movb $0x87, %ah
	movw $256, %cx
	movw $move_gdt, %si
	int $0x15
	check nc, "INT 15h, AH=87h does not copy"
	movb $0x87, %ah
	movw $256, %cx
	movl $(0x93000000 + FAR_MEMORY), move_source
	movl $(0x93000000 + BUFFER), move_target
	movw $move_gdt, %si
	int $0x15
	movw $0x7c00, %si
	movw $BUFFER, %di
	movw $256, %cx
	repe cmpsw
	check e, "INT 15h, AH=87h copies something else"
	say "T copied to extended memory and back\n"
	ret
a20:
	.byte 0
	.balign 8
move_gdt:
	.quad 0, 0
	.word 0xffff
move_source:
	.long 0x93000000 + 0x7c00
	.word 0
	.word 0xffff
move_target:
	.long 0x93000000 + FAR_MEMORY
	.word 0
	.quad 0, 0

/* INT 12h agrees with the BIOS data area. */
test_base_memory:
	int $0x12
	cmpw 0x413, %ax
	check e, "INT 12h differs from 40:13"
	int $0x12
	say_word "M int12=", %ax
	say "\n"
	ret

/* The whole map, with buffers of 20 and of 24 bytes: "M e820 size: address length type attributes next". */
test_map:
	movl $20, %ecx
	call one_map
	movl $24, %ecx
one_map:
	movl %ecx, buffer_size
	xorl %ebx, %ebx
1:	movw $BUFFER, %di
	movl $SMAP, %edx
	movl $0xe820, %eax
	movl buffer_size, %ecx
	movl $0xeeeeeeee, BUFFER + 20
	stc
	int $0x15
	jc 2f
	cmpl $SMAP, %eax
	check e, "E820h: EAX is not SMAP"
	cmpw $BUFFER, %di
	check e, "E820h changes DI"
	say_word "M e820 ", %cx
	say ":"
	call print_entry
	pushl %ebx
	say " "
	call print_dword
	say "\n"
	testl %ebx, %ebx
	jnz 1b
	ret
2:	say "T FAIL E820h sets carry\n"
	ret
buffer_size:
	.long 0

print_entry:                    /* the 24 bytes at BUFFER */
	say " "
	pushl BUFFER + 4
	call print_dword
	pushl BUFFER
	call print_dword
	say " "
	pushl BUFFER + 12
	call print_dword
	pushl BUFFER + 8
	call print_dword
	say " "
	pushl BUFFER + 16
	call print_dword
	say " "
	pushl BUFFER + 20
	call print_dword
	ret

print_dword:                    /* as print_word, for two words */
	pushw %bp
	movw %sp, %bp
	pushw 6(%bp)
	call print_word
	pushw 4(%bp)
	call print_word
	popw %bp
	ret $4

/* Past the end, and without the signature. */
test_map_errors:
	movl $SMAP, %edx
	movl $1000, %ebx
	call bad_map
	movl $SMAP - 1, %edx
	xorl %ebx, %ebx
bad_map:
	movl $0xe820, %eax
	movl $20, %ecx
	movw $BUFFER, %di
	clc
	int $0x15
	check c, "E820h takes a wrong argument"
	shrw $8, %ax
	say_word "T e820 error ", %ax
	say "\n"
	ret

/* The older calls: "M int15 AX: cf eax ebx ecx edx". */
test_sizes:
	movw $size_calls, %si
1:	lodsw
	testw %ax, %ax
	jz 2f
	movw %ax, size_call
	movzwl %ax, %eax
	xorl %ebx, %ebx
	xorl %ecx, %ecx
	xorl %edx, %edx
	stc
	int $0x15
	pushfw
	popw size_flags
	andw $1, size_flags
	pushl %edx
	pushl %ecx
	pushl %ebx
	pushl %eax
	say_word "M int15 ", size_call
	say_word ": ", size_flags
	say " "
	call print_dword
	say " "
	call print_dword
	say " "
	call print_dword
	say " "
	call print_dword
	say "\n"
	jmp 1b
2:	ret
size_calls:
	.word 0xe801, 0xe881, 0x8800, 0x8a00, 0xda88, 0xc700, 0xe802, 0
size_call:
	.word 0
size_flags:
	.word 0

/* INT 15h gives back the flags that it got, carry apart: interrupts, direction, sign. */
test_flags:
	movw $0x0602, %bx       /* IF and DF */
	call one_flags
	movw $0x0082, %bx       /* SF */
one_flags:
	movw %bx, flags
	movw $0xe801, %ax
	pushw %bx
	popfw
	int $0x15
	pushfw
	popw %ax
	cld
	sti
	cmpw flags, %ax
	check e, "INT 15h changes flags"
	say_word "T flags ", flags
	say "\n"
	ret
flags:
	.word 0

/* Into 32-bit protected mode, a store above 1 MiB, and back. */
test_protected_mode:
	cli
	lgdt gdtr
	movl %cr0, %eax
	orb $1, %al
	movl %eax, %cr0
	ljmpw $8, $in_protected
	.code32
in_protected:
	movw $16, %ax
	movw %ax, %ds
	movl $0x12345678, FAR_MEMORY
	addl $0x11111111, FAR_MEMORY
	movl FAR_MEMORY, %ecx
	ljmp $24, $in_16bit
	.code16
in_16bit:
	movw $32, %ax
	movw %ax, %ds
	movl %cr0, %eax
	andb $0xfe, %al
	movl %eax, %cr0
	ljmpw $0, $in_real
in_real:
	xorw %ax, %ax
	movw %ax, %ds
	sti
	pushl %ecx
	say "T protected mode: "
	call print_dword
	say "\n"
	ret
	.balign 8
gdt:
	.quad 0
	.quad 0x00cf9a000000ffff, 0x00cf92000000ffff
	.quad 0x00009a000000ffff, 0x000092000000ffff
gdtr:
	.word gdtr - gdt - 1
	.long gdt

/* Timer interrupts come in, with HLT in between. */
test_ticks:
	xorb %ah, %ah
	int $0x1a
	movw %dx, %bx
1:	hlt
	xorb %ah, %ah
	int $0x1a
	subw %bx, %dx
	cmpw $3, %dx
	jb 1b
	say "T timer ticks\n"
	ret

	.org 512 * (1 + MORE_SECTORS)
