/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Boundary values for differential fuzzing. Controls are varied within what both machines offer: the rest is compared
 * by nobody, since a hypervisor may hide it. Host fields get values that are refused, or that L1 survives.
 */
#include "diff.h"

#define FIELD_ROW(name, encoding) { #name, encoding },
static const struct { const char *name; u16 encoding; } fields[] = { VMCS_FIELDS(FIELD_ROW) };
#undef FIELD_ROW

#define WIDE BIT(51)

/* What XMHF offers of the bits that the emulated CPU has, and some that no CPU has. */
static const struct control { u32 field, msr, bits, reserved; } controls[] = {
	{ VMCS_PIN_CONTROLS, MSR_VMX_TRUE_PIN, PIN_INTERRUPT | PIN_NMI | PIN_VIRTUAL_NMI, BIT(31) | BIT(1) | BIT(2) },
	{ VMCS_CPU_CONTROLS, MSR_VMX_TRUE_CPU,
	  CPU_INTERRUPT_WINDOW | CPU_TSC_OFFSET | CPU_HLT | CPU_INVLPG | CPU_MWAIT | CPU_RDPMC | CPU_RDTSC |
		CPU_CR3_LOAD |
		  CPU_CR3_STORE | CPU_CR8_LOAD | CPU_CR8_STORE | CPU_TPR_SHADOW | CPU_NMI_WINDOW | CPU_MOV_DR | CPU_IO |
		  CPU_MSR_BITMAP | CPU_MONITOR | CPU_PAUSE, BIT(0) | BIT(4) | BIT(18) },
	{ VMCS_CPU_CONTROLS2, MSR_VMX_CPU2,
	  CPU2_DESCRIPTOR_TABLE | CPU2_RDTSCP | CPU2_VPID | CPU2_WBINVD | CPU2_UNRESTRICTED | CPU2_INVPCID |
		CPU2_XSAVES,
	  BIT(30) },
	{ VMCS_EXIT_CONTROLS, MSR_VMX_TRUE_EXIT,
	  EXITC_SAVE_DEBUG | EXITC_ACK_INTERRUPT | EXITC_SAVE_PAT | EXITC_LOAD_PAT | EXITC_SAVE_EFER | EXITC_LOAD_EFER |
		  EXITC_SAVE_TIMER, BIT(31) | BIT(0) | BIT(3) },
	{ VMCS_ENTRY_CONTROLS, MSR_VMX_TRUE_ENTRY, ENTRYC_LOAD_DEBUG | ENTRYC_LOAD_PAT | ENTRYC_LOAD_EFER, BIT(31) |
		BIT(0) },
};

/* Each: a field, and the values that it may get. */
#define VALUES(...) (const u64[]){ __VA_ARGS__ }, sizeof((const u64[]){ __VA_ARGS__ }) / 8
static const struct special { u32 field; const u64 *values; u32 count; } specials[] = {
	{ VMCS_CR3_TARGET_COUNT, VALUES(0, 1, 2, 3, 4, 5, ~0u) },
	{ VMCS_ENTRY_INSN_LENGTH, VALUES(0, 1, 2, 15, 16, ~0u) },
	{ VMCS_ENTRY_ERROR_CODE, VALUES(0, 1, 0x7fff, 0x8000, 0xffff, 0x10000, ~0u) },
	{ VMCS_GUEST_ACTIVITY, VALUES(0, 1, 2, 4, ~0u) }, /* wait-for-SIPI is not offered */
	{ VMCS_GUEST_INTERRUPTIBILITY, VALUES(0, 1, 2, 3, 4, 8, 9, 10, 16, 32, ~0u) },
	{ VMCS_TPR_THRESHOLD, VALUES(0, 1, 7, 15, 16, 31, ~0u) },
	{ VMCS_VPID, VALUES(0, 1, 2, 0xfffc, 0xfffd, 0xffff) },
	{ VMCS_HOST_CR0, VALUES(0, CR0_PE, CR0_PG | CR0_PE, CR0_PG | CR0_NE) },
	{ VMCS_HOST_CR4, VALUES(0, CR4_PAE, CR4_VMXE, CR4_PAE | CR4_VMXE | BIT(31), CR4_PAE | CR4_VMXE | BIT(63)) },
	{ VMCS_HOST_CR3, VALUES(WIDE, BIT(63), ~0ull) },
	{ VMCS_HOST_EFER, VALUES(0, EFER_LME, EFER_LMA, ~0ull, EFER_LMA | EFER_LME | BIT(1)) },
	{ VMCS_HOST_PAT, VALUES(2, 8ull << 56, ~0ull, 0x0606060606060606, 0x0007040600070406) },
	{ VMCS_HOST_RIP, VALUES(BIT(63), BIT(47), 1ull << 48) },
	{ VMCS_HOST_CS_SEL, VALUES(0, 1, 4, SEL_CODE64 | 3) }, { VMCS_HOST_TR_SEL, VALUES(0, 3, SEL_TSS | 4) },
	{ VMCS_HOST_SS_SEL, VALUES(1, 4, SEL_DATA | 2) }, { VMCS_HOST_DS_SEL, VALUES(0, 7, SEL_DATA, SEL_DATA | 1) },
	{ VMCS_HOST_ES_SEL, VALUES(0, 7, SEL_DATA, SEL_DATA | 4) }, { VMCS_HOST_FS_SEL, VALUES(0, 3, SEL_DATA) },
	{ VMCS_HOST_GS_SEL, VALUES(4, 3) },
	{ VMCS_HOST_FS_BASE, VALUES(0, 1, BIT(47) - 1, BIT(47), ~0ull, BIT(63)) }, { VMCS_HOST_GS_BASE,
		VALUES(BIT(47), BIT(63)) },
	{ VMCS_HOST_TR_BASE, VALUES(BIT(47), BIT(63)) }, { VMCS_HOST_GDTR_BASE, VALUES(BIT(47), BIT(63)) },
	{ VMCS_HOST_IDTR_BASE, VALUES(BIT(47), BIT(63)) },
	{ VMCS_HOST_SYSENTER_CS, VALUES(0, 1, 0xffff) }, { VMCS_HOST_SYSENTER_ESP, VALUES(0, ~0ull, BIT(47),
		BIT(47) - 1) },
	{ VMCS_HOST_SYSENTER_EIP, VALUES(0, ~0ull, BIT(47), BIT(47) - 1) },
};

static u64 moved_number(u64 old)
{
	static const u64 values[] = { 0, 1, 2, ~0ull, 0xffff, 0xfffff, 0x80000000, 0xffffffff, BIT(32), BIT(63),
		BIT(51), BIT(47),
				      BIT(47) - 1, 0xffff800000000000, 0x1000, 0x8b, 0x93, 0x9b, 0x10000 };

	switch (diff_below(4)) {
	case 0: return values[diff_below(ARRAY_SIZE(values))];
	case 1: return diff_random();
	case 2: return diff_one_in(2) ? old + 1 : old - 1;
	default: return old ^ BIT(diff_below(64));
	}
}

/* A page that is there, or an address that no page has. */
static u64 moved_address(u32 field, u64 old)
{
	struct world *w = &diff_world;

	switch (diff_below(6)) {
	case 0: return old | (1 + diff_below(0xfff));
	case 1: return old | WIDE;
	case 2: return old | BIT(63);
	case 3: return ~0ull;
	default: break;
	}
	switch (field) {
	case VMCS_MSR_BITMAP: return diff_one_in(2) ? (u64)w->safe_msrs : (u64)w->ones;
	case VMCS_IO_BITMAP_A: return diff_one_in(2) ? (u64)w->safe_ports : (u64)w->ones;
	case VMCS_VIRTUAL_APIC_ADDR: return diff_one_in(2) ? (u64)w->zeros : (u64)w->virtual_apic;
	case VMCS_LINK_POINTER: return diff_one_in(2) ? (u64)w->zeros : w->v.vmcs;
	default: return old;
	}
}

static u64 moved_eptp(u64 old)
{
	static const u64 flips[] = { 1, 2, 7, 8, 0x10, 0x20, EPTP_AD, 0x80, 0x100, 0x800, WIDE, BIT(63) };

	return old ^ flips[diff_below(ARRAY_SIZE(flips))];
}

static const struct control *control_of(u32 field)
{
	for (size_t i = 0; i < ARRAY_SIZE(controls); i++)
		if (controls[i].field == field)
			return &controls[i];
	return NULL;
}

static u32 one_bit_of(u32 bits)
{
	u32 bit;

	do
		bit = 1u << diff_below(32);
	while (!(bits & bit));
	return bit;
}

static u64 moved(u32 field, u64 old)
{
	const struct control *c = control_of(field);

	for (size_t i = 0; i < ARRAY_SIZE(specials); i++)
		if (specials[i].field == field)
			return specials[i].values[diff_below(specials[i].count)];
	if (c)
		return old ^ one_bit_of(diff_one_in(4) ? c->reserved : c->bits);
	switch (field) {
	case VMCS_EPTP: return moved_eptp(old);
	case VMCS_ENTRY_INTR_INFO: return diff_one_in(2) ? (diff_random() | INTR_VALID) : old ^ BIT(diff_below(32));
	case VMCS_IO_BITMAP_A: case VMCS_IO_BITMAP_B: case VMCS_MSR_BITMAP: case VMCS_VIRTUAL_APIC_ADDR:
	case VMCS_LINK_POINTER:
	case VMCS_EXIT_MSR_STORE_ADDR: case VMCS_EXIT_MSR_LOAD_ADDR: case VMCS_ENTRY_MSR_LOAD_ADDR:
		return moved_address(field, old);
	default: return moved_number(old);
	}
}

/* Not moved: counts (their lists vary), the timer, what has no field with fewer features,
	what VMWRITE may not write. */
static bool is_fixed(u32 field)
{
	switch (field) {
	case VMCS_EXIT_MSR_STORE_COUNT: case VMCS_EXIT_MSR_LOAD_COUNT: case VMCS_ENTRY_MSR_LOAD_COUNT:
	case VMCS_PREEMPTION_TIMER: case VMCS_APIC_ACCESS_ADDR: case VMCS_HOST_RSP:
		return true;
	default:
		return (field >> 10 & 3) == 1;
	}
}

void diff_move_field(void)
{
	u32 i;

	do
		i = diff_below(ARRAY_SIZE(fields));
	while (is_fixed(fields[i].encoding));
	vmwrite(fields[i].encoding, moved(fields[i].encoding, vmread(fields[i].encoding)));
	if (diff_tells)
		print("moved %s: %lx\n", fields[i].name, vmread(fields[i].encoding));
}

void diff_vary_controls(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(controls); i++) {
		const struct control *c = &controls[i];
		u32 flips = (u32)(diff_random() & diff_random()) & c->bits;

		vmwrite(c->field, hv_controls(c->msr, (u32)vmread(c->field) ^ flips) |
			((u32)vmread(c->field) & ~c->bits));
	}
	/* What one control needs of another one. */
	if (!(vmread(VMCS_PIN_CONTROLS) & PIN_NMI))
		hv_clear(VMCS_PIN_CONTROLS, PIN_VIRTUAL_NMI);
	if (!(vmread(VMCS_PIN_CONTROLS) & PIN_VIRTUAL_NMI))
		hv_clear(VMCS_CPU_CONTROLS, CPU_NMI_WINDOW);
	hv_set(VMCS_CPU_CONTROLS, CPU_SECONDARY);
	hv_set(VMCS_CPU_CONTROLS2, CPU2_EPT);
	if (!(vmread(VMCS_GUEST_CR0) & CR0_PE) || !(vmread(VMCS_GUEST_CR0) & CR0_PG))
		hv_set(VMCS_CPU_CONTROLS2, CPU2_UNRESTRICTED);
	if (!(vmread(VMCS_CPU_CONTROLS2) & CPU2_UNRESTRICTED))
		vmwrite(VMCS_CR0_MASK, CR0_PE | CR0_PG);
	hv_set(VMCS_PIN_CONTROLS, PIN_PREEMPTION_TIMER);
	if (diff_one_in(2))
		vmwrite(VMCS_EXCEPTION_BITMAP, diff_random() & diff_random());
	if (diff_one_in(4))
		vmwrite(VMCS_MSR_BITMAP, (u64)diff_world.safe_msrs);
	if (diff_one_in(4))
		vmwrite(VMCS_EPTP, vmread(VMCS_EPTP) | EPTP_AD);
	if (diff_one_in(4))
		hv_set(VMCS_GUEST_RFLAGS, 0x200);
}

/* An event that an entry may inject. */
void diff_vary_event(void)
{
	static const u32 events[] = { INTR_HARD | VEC_DE, INTR_HARD | VEC_UD, INTR_HARD | INTR_ERROR | VEC_GP,
				      INTR_HARD | INTR_ERROR | VEC_PF, INTR_HARD | INTR_ERROR | VEC_DF, INTR_HARD |
					VEC_DB,
				      INTR_NMI | VEC_NMI, INTR_EXTERNAL | VEC_TEST, INTR_SOFT_INT | VEC_TEST,
				      INTR_SOFT_EXC | VEC_BP, INTR_SOFT_EXC | VEC_OF, INTR_PRIV | VEC_DB, INTR_HARD |
					INTR_ERROR | VEC_AC };
	u32 event = events[diff_below(ARRAY_SIZE(events))];

	vmwrite(VMCS_ENTRY_INTR_INFO, INTR_VALID | event);
	vmwrite(VMCS_ENTRY_ERROR_CODE, diff_below(4) * 8);
	vmwrite(VMCS_ENTRY_INSN_LENGTH, 1 + diff_below(3));
	if (event == (INTR_EXTERNAL | VEC_TEST))
		hv_set(VMCS_GUEST_RFLAGS, 0x200);
}

void diff_vary_lists(void)
{
	/* Only a load at entry may fail: one at exit would end the machine. */
	static const u32 bad[] = { 0xc0000100, 0xc0000101, 0x9b, 0x808, 0x8ff, 0x40000000 };
	static const u16 address[] = { VMCS_ENTRY_MSR_LOAD_ADDR, VMCS_EXIT_MSR_STORE_ADDR, VMCS_EXIT_MSR_LOAD_ADDR };
	static const u16 count[] = { VMCS_ENTRY_MSR_LOAD_COUNT, VMCS_EXIT_MSR_STORE_COUNT, VMCS_EXIT_MSR_LOAD_COUNT };
	u32 msrs = 0;

	while (diff_msrs[msrs])
		msrs++;
	for (u32 list = 0; list < 3; list++) {
		struct msr_entry *entries = diff_world.lists + list * 8;

		vmwrite(address[list], (u64)entries);
		vmwrite(count[list], diff_below(4));
		for (u32 i = 0; i < 8; i++)
			entries[i] = (struct msr_entry){ diff_msrs[diff_below(msrs)], 0, diff_random() & 0x7fffffff };
		if (list == 0 && diff_one_in(8))
			entries[diff_below(3)].index = bad[diff_below(ARRAY_SIZE(bad))];
		if (list == 0 && diff_one_in(16))
			entries[diff_below(3)].reserved = 1;
	}
}
