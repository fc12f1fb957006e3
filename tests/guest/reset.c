/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The ends of a machine: reset by port 0xCF9 and by a triple fault (with and without L2 in between), ACPI power-off.
 * After a reset the machine boots again and runs the same test: a mark in CMOS memory, which a reset keeps, tells the
 * second time. Memory must not tell: a word in RAM that the first boot left behind may be there or not.
 */
#include "test.h"

#define CMOS_MARK 0x6e

static u8 cmos_read(u8 index)
{
	outb(0x70, index);
	return inb(0x71);
}

static void cmos_write(u8 index, u8 value)
{
	outb(0x70, index);
	outb(0x71, value);
}

/* True in the second boot. In the first it sets the mark. */
static bool is_second_boot(void)
{
	if (cmos_read(CMOS_MARK) == 0xa5) {
		cmos_write(CMOS_MARK, 0);
		print("T booted again\n");
		return true;
	}
	cmos_write(CMOS_MARK, 0xa5);
	return false;
}

_Noreturn static void no_reset(void)
{
	for (u64 start = rdtsc(); rdtsc() - start < 100000000;)
		pause();
	fail("the machine did not end");
}

static void triple_fault(void)
{
	struct { u16 limit; u64 base; } __attribute__((packed)) nothing = { 0, 0 };

	asm volatile("lidt %0; ud2" :: "m"(nothing));
}

DEFINE_TEST(reset_port, "reset-port", "reset by port 0xCF9")
{
	if (is_second_boot())
		return;
	outb(0xcf9, 2);
	outb(0xcf9, 6);
	no_reset();
}

static void call_hypapp(u32 number)
{
	asm volatile("vmcall" : "+a"(number) :: "rbx", "rcx", "rdx", "memory");
}

static void stop_the_silent(void *unused)
{
	(void)unused;
	for (u64 start = rdtsc(); rdtsc() - start < 100000;)
		pause();
	call_hypapp(0x101);	/* helloworld's stop */
}

/* Not CPU 0 resets: Bochs stops the clock when that does while another CPU is alive. */
DEFINE_TEST(reset_silent_cpu, "reset-silent-cpu",
	    "XMHF only: a CPU that never stops for another; stop-timeout=reset:TIME")
{
	if (is_second_boot())
		return;
	smp_start();
	smp_run(1, stop_the_silent, NULL);
	call_hypapp(0x305);	/* of hypapps/quiesce: never comes back */
	no_reset();
}

DEFINE_TEST(reset_triple_fault, "reset-triple-fault", "reset by a triple fault")
{
	if (is_second_boot())
		return;
	triple_fault();
	no_reset();
}

static void l2_spins(void)
{
	for (;;)
		pause();
}

static void reset_from_other(void *unused)
{
	(void)unused;
	outb(0xcf9, 6);
}

DEFINE_TEST(reset_other_cpu, "reset-other-cpu", "reset by port 0xCF9 from the second CPU while the first is in L2")
{
	static struct vcpu v;

	if (is_second_boot() || !hv_supported())
		return;
	smp_start();
	hv_on();
	hv_init(&v, HV_LONG64, l2_spins);
	smp_run(1, reset_from_other, NULL);
	hv_run(&v);
	no_reset();
}

DEFINE_TEST(power_off, "power-off", "ACPI S5 in L1")
{
	print("T end power-off\n");
	while (!(inb(0x3fd) & 0x40))
		pause();
	asm volatile("outw %0, %1" :: "a"((u16)0x2000), "d"((u16)0xb004));
	no_reset();
}
