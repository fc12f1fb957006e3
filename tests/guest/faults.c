/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * XMHF with hypapps/verify, which faults on request: each boot another fault, from L1 and from L2, until all have reset
 * the machine. CMOS memory, which a reset keeps, counts the boots. With two CPUs: one fault, with the machine stopped.
 */
#include "test.h"

#define CMOS_BOOTS 0x6e
#define FAULT 0x213u
#define OVERFLOW 0x20eu
#define L2_BASE 0x4c415000u

enum { PF, DE, UD, IN_CALL, BOOTS_OF_FAULTS = 6 };

static void call(u32 number, u64 rcx, u64 rdx)
{
	u32 eax = number;

	asm volatile("vmcall" : "+a"(eax) : "c"(rcx), "d"(rdx) : "rbx", "memory");
}

static void in_l2(void)
{
	call(L2_BASE + FAULT, DE, false);
	l2_end();
}

static u8 next_boot(void)
{
	outb(0x70, CMOS_BOOTS);
	u8 boot = inb(0x71);

	outb(0x70, CMOS_BOOTS);
	outb(0x71, boot + 1);
	return boot;
}

DEFINE_TEST(faults, "faults", "XMHF with hypapps/verify: faults of a hypapp reset the machine")
{
	u8 boot = next_boot();

	smp_start();
	print("T boot %u\n", boot);
	if (cpu_count > 1 && boot == 0) {
		call(FAULT, UD, true);
	} else if (cpu_count == 1 && boot < BOOTS_OF_FAULTS) {
		switch (boot) {
		case 0: call(FAULT, PF, false); break;
		case 1:
			hv_on();
			hv_init(&l2, HV_LONG64, in_l2);
			hv_run(&l2);
			break;
		case 2: call(FAULT, UD, true); break;
		case 3: call(FAULT, IN_CALL, false); break;
		case 4: call(OVERFLOW, 0, 0); break;
		default: print("T all faults are over\n"); return;
		}
	} else {
		return;
	}
	fail("the machine goes on after a fault");
}
