/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Real-mode code that the guest runs in a chain start, copied to the top of base memory by guest_chain.c, with the
 * memory map behind it. chain_entry is where the guest begins: it loads the drive's first sector as a BIOS does.
 * chain_int15 stays: it is the guest's INT 15h and answers for memory what the core's map says. Nothing here is
 * trusted: a guest that changes it deceives itself only. Position-independent: CS is the block's segment, offsets count
 * from chain_stub.
 */
#define BOOT_SECTOR 0x7c00
#define SIGNATURE 0xaa55
#define TRIES 3                 /* a floppy drive's motor may need the second and third */
#define SMAP 0x534d4150
#define ENTRY_BYTES 20
#define EXTENDED_BYTES 24       /* with the attributes of ACPI 3.0: bit 0 says that the entry counts */
#define MAX_16BIT_KIB 0xfc00    /* AH=88h says no more than this: up to 64 MiB, as PC BIOSes do */
#define UNSUPPORTED 0x86
#define COM1 0x3f8
#define AT(label) %cs:((label) - chain_stub)

	.section .rodata
	.globl chain_stub, chain_stub_end
	.balign 16
	.code16
chain_stub:                     /* struct chain_header */
	.word chain_entry - chain_stub
	.word chain_int15 - chain_stub
old_int15:
	.long 0
kib_1m_to_16m:
	.long 0
blocks_above_16m:
	.long 0
kib_above_1m:
	.long 0
map_count:
	.long 0

/* In: DL = drive, SS:SP = 0:BOOT_SECTOR, CS = the block's segment. */
chain_entry:
	cld
	sti
	xorw %bp, %bp
	movw %bp, %ds
	movw %bp, %es
	movw $TRIES, %si
1:	movw $0x0201, %ax       /* read one sector: cylinder 0, head 0, sector 1; any drive has it, LBA or not */
	movw $BOOT_SECTOR, %bx
	movw $1, %cx
	xorb %dh, %dh
	pushw %dx
	pushw %si
	int $0x13
	sti                     /* some BIOSes come back with interrupts off */
	popw %si
	popw %dx
	jnc 2f
	pushw %ax
	xorw %ax, %ax           /* reset the drive */
	int $0x13
	popw %ax
	decw %si
	jnz 1b
	movw $(text_unreadable - chain_stub), %si
	jmp failed
2:	movw $(text_unsigned - chain_stub), %si
	movw BOOT_SECTOR + 510, %ax
	cmpw $SIGNATURE, %ax
	jne failed
	xorw %bx, %bx
	xorw %cx, %cx
	xorw %si, %si
	ljmpw $0, $BOOT_SECTOR

/* SI = text, AX = the number that ends it, DL = drive. */
failed:
	movw %ax, %bx
	pushw %si
	movw $(text_drive - chain_stub), %si
	call print
	movb %dl, %al
	call print_hex
	popw %si
	call print
	movb %bh, %al
	call print_hex
	movb %bl, %al
	call print_hex
	movw $(text_end - chain_stub), %si
	call print
	int $0x18               /* the BIOS goes on with its next device, or says that there is none */
3:	hlt
	jmp 3b

print_hex:                      /* AL, as two digits */
	pushw %ax
	shrb $4, %al
	call print_digit
	popw %ax
	andb $15, %al
print_digit:
	addb $'0', %al
	cmpb $'9', %al
	jbe print_char
	addb $('a' - '9' - 1), %al
print_char:                     /* AL; to the screen and to COM1, where the core's log goes, too */
	pushw %bx
	pushw %dx
	pushw %ax
	movb $0x0e, %ah
	movw $7, %bx
	int $0x10
	movw $(COM1 + 5), %dx
4:	inb %dx, %al
	testb $0x20, %al        /* without a UART all bits are 1 */
	jz 4b
	popw %ax
	movw $COM1, %dx
	outb %al, %dx
	popw %dx
	popw %bx
	ret

5:	call print_char
print:                          /* CS:SI, up to a zero byte */
	lodsb %cs:(%si), %al
	testb %al, %al
	jnz 5b
	ret

text_drive:
	.asciz "xmhf: drive 0x"
text_unreadable:
	.asciz ": its first sector cannot be read, INT 13h says AX=0x"
text_unsigned:
	.asciz ": its first sector has no boot signature but 0x"
text_end:
	.asciz "\r\n"

/* The guest's INT 15h. What is not about memory size goes to the handler that was there, with flags as they came. */
chain_int15:
	pushfw
	cmpw $0xe820, %ax
	je get_map
	cmpw $0xe801, %ax
	je get_sizes
	cmpw $0xe881, %ax
	je get_sizes_32
	cmpw $0xda88, %ax
	je get_size_ami
	cmpb $0x88, %ah
	je get_size
	cmpb $0x8a, %ah
	je get_size_phoenix
	cmpb $0xc7, %ah         /* PS/2 memory map: its BIOS would say how much there was before us */
	je unsupported
	cmpb $0xe8, %ah         /* the same for whatever else vendors have put beside E801h */
	je unsupported
	popfw
	ljmpw *AT(old_int15)

/* EBX = index, ECX = size of the buffer at ES:DI, EDX = 'SMAP'. */
get_map:
	cmpl $SMAP, %edx
	jne unsupported
	cmpl $ENTRY_BYTES, %ecx
	jb unsupported
	cmpl AT(map_count), %ebx
	jae unsupported
	pushw %ds
	pushw %si
	pushw %di
	pushl %ecx
	cld
	pushw %cs
	popw %ds
	imulw $ENTRY_BYTES, %bx, %si
	addw $(chain_stub_end - chain_stub), %si
	movw $(ENTRY_BYTES / 4), %cx
	rep movsl
	popl %ecx
	cmpl $EXTENDED_BYTES, %ecx
	movl $ENTRY_BYTES, %ecx
	jb 6f
	movl $1, %eax
	stosl
	movl $EXTENDED_BYTES, %ecx
6:	popw %di
	popw %si
	popw %ds
	incl %ebx
	cmpl AT(map_count), %ebx
	jb 7f
	xorl %ebx, %ebx         /* that was the last one */
7:	movl %edx, %eax
	jmp supported

get_sizes:
	movw AT(kib_1m_to_16m), %ax
	movw %ax, %cx
	movw AT(blocks_above_16m), %bx
	movw %bx, %dx
	jmp supported

get_sizes_32:
	movl AT(kib_1m_to_16m), %eax
	movl %eax, %ecx
	movl AT(blocks_above_16m), %ebx
	movl %ebx, %edx
	jmp supported

get_size_ami:                   /* CL:BX = KiB above 1 MiB */
	movw AT(kib_above_1m), %bx
	movb AT(kib_above_1m + 2), %cl
	jmp supported

get_size:                       /* AX = KiB above 1 MiB */
	movw $MAX_16BIT_KIB, %ax
	cmpl $MAX_16BIT_KIB, AT(kib_above_1m)
	jae supported
	movw AT(kib_above_1m), %ax
	jmp supported

get_size_phoenix:               /* DX:AX = KiB above 1 MiB */
	movw AT(kib_above_1m), %ax
	movw AT(kib_above_1m + 2), %dx

/* The way back: the caller's carry flag, which IRET restores, is the result. On the stack: our PUSHF, IP, CS, flags. */
supported:
	popfw
	pushw %bp
	movw %sp, %bp
	andb $0xfe, 6(%bp)
	popw %bp
	iretw
unsupported:
	popfw
	movb $UNSUPPORTED, %ah
	pushw %bp
	movw %sp, %bp
	orb $1, 6(%bp)
	popw %bp
	iretw
	.balign 4
chain_stub_end:
