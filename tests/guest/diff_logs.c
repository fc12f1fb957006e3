/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Differential fuzzing of what a CPU writes to L1's memory for L2: the page-modification log and the information area
 * of #VE. Its numbers are apart from the story's, so that a seed's story stays what it was. The emulator looks at the
 * log's index at each walk and not only where a flag has to be set: a rule leaves out full logs, which vmx-pml has.
 */
#include "diff.h"

enum { EPTP_INDEX = 0x0004, PML_ADDR = 0x200e, VE_INFORMATION = 0x202a };
/* The emulator takes no index from the VMCS, but that of the last VMFUNC, be it of another VMCS. */
#define NO_SWITCH 0x3e7
/* Of a violation's qualification: what every CPU with EPT defines. */
#define QUALIFICATION 0x11bful

static u64 *log, *area;

static bool has(u32 control)
{
	return rdmsr(MSR_VMX_CPU2) >> 32 & control;
}

/* An address that an entry takes, or one that it refuses. */
static u64 address_of(const u64 *page, u64 choice)
{
	static const u64 wrong[] = { 8, 0x800, BIT(51), BIT(63) };

	return (u64)page | (choice % 16 < ARRAY_SIZE(wrong) ? wrong[choice % 16] : 0);
}

static void use_log(u64 choice)
{
	static const u64 indexes[] = { 511, 400, 300, 510 };

	/* A log tells of flags that stories before may have left, which a CPU that caches need not have set. */
	diff_clear_flags(&diff_world.ept);
	hv_set(VMCS_CPU_CONTROLS2, CPU2_PML);
	vmwrite(PML_ADDR, address_of(log, choice));
	if (choice & BIT(8)) {
		vmwrite(VMCS_EPTP, vmread(VMCS_EPTP) | EPTP_AD);
		vmwrite(PML_INDEX, indexes[choice >> 9 & 3]);
	} else {
		vmwrite(PML_INDEX, choice >> 16 & 0xffff);
	}
}

static void use_area(u64 choice)
{
	hv_set(VMCS_CPU_CONTROLS2, CPU2_EPT_VE);
	vmwrite(VE_INFORMATION, address_of(area, choice));
	vmwrite(EPTP_INDEX, NO_SWITCH);
	area[0] = choice & BIT(9) ? BIT(32 + (choice >> 10 & 31)) : 0;
}

void diff_vary_logs(void)
{
	if (!log) {
		log = page_alloc();
		area = page_alloc();
	}
	for (u32 i = 0; i < 512; i++) {
		log[i] = ~0ull;
		area[i] = 0;
	}
	if (has(CPU2_PML) && !(diff_aside(1) % 5))
		use_log(diff_aside(2));
	if (has(CPU2_EPT_VE) && !(diff_aside(3) % 4))
		use_area(diff_aside(4));
}

void diff_before_entry(void)
{
	if (!(vmread(VMCS_CPU_CONTROLS2) & CPU2_PML))
		return;
	ept_flush(&diff_world.ept);
	if (diff_world.other.root)
		ept_flush(&diff_world.other);
}

/* The manual: a fault pushes RF as 1. Bochs pushes it as it was where the access is one of IRET. */
static void ignore_pushed_rf(void)
{
	u64 at = vmread(VMCS_GUEST_RSP) - (u64)diff_world.stack;

	if (area[0] && at <= PAGE_SIZE - 5 * sizeof(u64) && vmread(VMCS_ENTRY_CONTROLS) & ENTRYC_GUEST_64)
		((u64 *)((u64)diff_world.stack + at))[2] |= BIT(16);
}

void diff_note_logs(void (*note)(const char *what, u64 value))
{
	if (vmread(VMCS_CPU_CONTROLS2) & CPU2_PML) {
		note("log index", vmread(PML_INDEX));
		for (u32 i = 0; i < 512; i++) /* the emulator logs the address of the byte */
			if (log[i] != ~0ull)
				note("logged", log[i] & EPT_ADDRESS);
	}
	if (vmread(VMCS_CPU_CONTROLS2) & CPU2_EPT_VE) {
		note("violation", area[0]);
		note("its qualification", area[1] & QUALIFICATION);
		note("its linear address", area[2]);
		note("its physical address", area[3]);
		if (vmread(EPTP_INDEX) != NO_SWITCH)
			note("its index", area[4] & 0xffff);
		ignore_pushed_rf();
	}
}
