/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ticks: prints the time-stamp counter, which Bochs counts in executed instructions from power-on.
 * ticks drain: waits until the console has transmitted everything, so that power-off cuts no line.
 * Called by the init script. Built without the C library (-nostdlib -static -ffreestanding): every byte of the
 * initramfs costs some thirty emulated instructions at boot.
 */
#include <asm/ioctls.h>
#include <asm/unistd_64.h>
#include <x86intrin.h>

static long syscall3(long number, long a, long b, long c)
{
	long result;

	__asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
	return result;
}

static void print_ticks(unsigned long long ticks)
{
	char text[32];
	char *end = text + sizeof(text), *begin = end;

	*--begin = '\n';
	do
		*--begin = (char)('0' + ticks % 10);
	while (ticks /= 10);
	for (const char *name = "=skcit"; *name; name++)
		*--begin = *name;
	syscall3(__NR_write, 1, (long)begin, end - begin);
}

/* Entered by _start with the initial stack pointer, at which argc stands. */
__attribute__((used, noreturn)) static void ticks_main(const long *stack)
{
	/* TCSBRK with a non-zero argument is what tcdrain() does. */
	if (stack[0] > 1)
		syscall3(__NR_ioctl, 1, TCSBRK, 1);
	else
		print_ticks(__rdtsc());
	for (;;)
		syscall3(__NR_exit_group, 0, 0, 0);
}

__asm__(".globl _start\n_start:\n\tmov %rsp, %rdi\n\tcall ticks_main\n");
