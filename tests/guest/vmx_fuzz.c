/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * test=vmx-fuzz seed=N count=M: VM entries with random damage in controls and guest state. Each round damages one to
 * three fields of a good VMCS, enters once, and prints how it ended. What L2 may do with a state that passes the checks
 * is fenced in: memory is read-only but for its stack, all ports and MSRs exit, and the preemption timer ends it. Host
 * state is left alone, since a wrong value that is allowed would end L1 itself.
 */
#include "test.h"

#define FIELD_ROW(name, encoding) { #name, encoding },
static const struct { const char *name; u16 encoding; } fields[] = { VMCS_FIELDS(FIELD_ROW) };

static u64 state;
static struct ept12 ept;

static u64 random_number(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

/* Addresses of lists are left out (their rows are in vmx_entry.c): a good one would load or store anything anywhere. */
static bool is_target(u16 field)
{
	switch (field) {
	case VMCS_EXIT_MSR_STORE_COUNT: case VMCS_EXIT_MSR_LOAD_COUNT: case VMCS_ENTRY_MSR_LOAD_COUNT: case VMCS_EPTP:
	case VMCS_PIN_CONTROLS: case VMCS_EXIT_CONTROLS: case VMCS_IO_BITMAP_A: case VMCS_IO_BITMAP_B:
	case VMCS_MSR_BITMAP:
	case VMCS_PREEMPTION_TIMER: case VMCS_VIRTUAL_APIC_ADDR: case VMCS_APIC_ACCESS_ADDR: case VMCS_CPU_CONTROLS2:
	/* Controls that a hypervisor may hide. */
	case VMCS_ENTRY_CONTROLS:
	/*
	 * Bochs 2.7 does not check as the SDM says: that RIP is canonical, reserved bits of DEBUGCTL, the high half of
	 * the pending debug exceptions, CR0.PG in IA-32e mode, that SS.DPL is CS.DPL, an SS whose selector is null.
	 */
	case VMCS_GUEST_RIP: case VMCS_GUEST_DEBUGCTL: case VMCS_ENTRY_INSN_LENGTH: case VMCS_GUEST_SMBASE:
	case VMCS_GUEST_PENDING_DEBUG: case VMCS_GUEST_CR0: case VMCS_GUEST_SS_RIGHTS: case VMCS_GUEST_SS_SEL:
		return false;
	}
	return (field >> 10 & 3) != 3 && (field >> 10 & 3) != 1;
}

static u64 damaged(u64 value)
{
	static const u64 values[] = { 0, 1, ~0ull, 0xffff, 0xfffff, 0x80000000, BIT(63), BIT(51), BIT(47), 0x1000, 0x8b,
		0x93 };

	switch (random_number() % 4) {
	case 0:
		return values[random_number() % ARRAY_SIZE(values)];
	case 1:
		return random_number();
	default:
		return value ^ BIT(random_number() % 64);
	}
}

static void damage(void)
{
	for (u32 n = 1 + random_number() % 3; n; n--) {
		u32 i;

		do
			i = random_number() % ARRAY_SIZE(fields);
		while (!is_target(fields[i].encoding));
		vmwrite(fields[i].encoding, damaged(vmread(fields[i].encoding)));
		print("%s=%lx ", fields[i].name, vmread(fields[i].encoding));
	}
}

static void l2_spin(void)
{
	for (;;)
		pause();
}

/* Where the timer or a fault ends L2 does not matter, only that the entry succeeded. */
static void print_end(u32 round, vmx_result result)
{
	if (result != VMX_OK)
		print("\nT %u: VMfail %u\n", round, l2.insn_error);
	else if (l2.exit.reason & EXIT_ENTRY_FAILED)
		print("\nT %u: entry failed %u\n", round, l2.exit.reason & 0xffff);
	else
		print("exit %u\nT %u: entered\n", l2.exit.reason, round);
}

static void fence_in(void)
{
	u64 stack = l2.stack_top - 2 * PAGE_SIZE;

	ept_init(&ept);
	for (u64 at = 0; at < BIT(32); at += ept_leaf_size(EPT_2M))
		if (at != (stack & ~(ept_leaf_size(EPT_2M) - 1)))
			ept_map(&ept, at, at, EPT_2M, EPT_R | EPT_X | EPT_WB);
	for (u64 at = stack & ~(ept_leaf_size(EPT_2M) - 1), i = 0; i < 512; i++, at += PAGE_SIZE)
		ept_map(&ept, at, at, EPT_4K, EPT_R | EPT_X | EPT_WB | (at >= stack && at < l2.stack_top ? EPT_W : 0));
	set_bytes(l2.msr_bitmap, 0xff, PAGE_SIZE);
	set_bytes(l2.io_bitmap_a, 0xff, PAGE_SIZE);
	set_bytes(l2.io_bitmap_b, 0xff, PAGE_SIZE);
}

DEFINE_TEST(vmx_fuzz, "vmx-fuzz", "VM entries with random damage: seed=N count=M")
{
	u64 count = option_number("count", 300);

	state = option_number("seed", 1) * 0x9e3779b97f4a7c15ull | 1;
	if (!hv_supported())
		return;
	hv_on();
	hv_init(&l2, HV_LONG64, l2_spin);
	fence_in();
	for (u32 round = 0; round < count; round++) {
		hv_init(&l2, random_number() % 4 ? HV_LONG64 : HV_PROTECTED32, l2_spin);
		vmwrite(VMCS_EPTP, ept.eptp);
		hv_set(VMCS_PIN_CONTROLS, PIN_PREEMPTION_TIMER | PIN_INTERRUPT | PIN_NMI);
		hv_set(VMCS_EXIT_CONTROLS, EXITC_ACK_INTERRUPT);
		vmwrite(VMCS_PREEMPTION_TIMER, 100);
		vmwrite(VMCS_EXCEPTION_BITMAP, ~0ull);
		damage();
		print_end(round, hv_run(&l2));
	}
	hv_off();
}
