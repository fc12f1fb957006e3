/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * MSR policy: one table of ranges, from which the MSR bitmap is made and by which exits are answered. An MSR without a
 * row does not exit in L1; when it comes here all the same (from L2, an MSR list, or beyond the bitmap) it is read where
 * the guest's value lives: in the current VMCS, or in the CPU.
 */
#include "vmx/msr.h"

#include "core/events.h"
#include "cpu/apic_guard.h"
#include "cpu/traps.h"
#include "cpu/x86.h"
#include "mem/mtrr.h"
#include "nested/nested.h"
#include "vmx/exit.h"
#include "vmx/vmx.h"

#define MSR_SMM_MONITOR_CTL 0x9b
#define MSR_UCODE_WRITE 0x79
#define MSR_MISC_ENABLE 0x1a0
#define MISC_ENABLE_XD_DISABLE BIT(34)
#define MSR_PEBS_ENABLE 0x3f1
#define MSR_DS_AREA 0x600
#define XSS_PT BIT(8)

typedef bool msr_reader(struct percpu *cpu, u32 msr, u64 *value);
typedef bool msr_writer(struct percpu *cpu, u32 msr, u64 value);

static bool refuse_read(struct percpu *cpu, u32 msr, u64 *value)
{
	(void)cpu, (void)msr, (void)value;
	return false;
}

static bool refuse_write(struct percpu *cpu, u32 msr, u64 value)
{
	(void)cpu, (void)msr, (void)value;
	return false;
}

static bool ignore_write(struct percpu *cpu, u32 msr, u64 value)
{
	(void)cpu, (void)msr, (void)value;
	return true;
}

static bool read_feature_control(struct percpu *cpu, u32 msr, u64 *value)
{
	(void)cpu, (void)msr;
	*value = FEATURE_CONTROL_LOCK | (nested_enabled() ? FEATURE_CONTROL_VMX : 0);
	return true;
}

static bool read_vmx(struct percpu *cpu, u32 msr, u64 *value)
{
	(void)cpu;
	return nested_read_msr(msr, value);
}

/* Where the MSR exists at all, its new value is dropped: a buffer there is written through the tables of whoever runs, root too. */
static bool drop_write(struct percpu *cpu, u32 msr, u64 value)
{
	(void)cpu, (void)value;
	return rdmsr_safe(msr, &value);
}

/* XD disabled would make the core's own EFER.NXE reserved. */
static bool write_misc_enable(struct percpu *cpu, u32 msr, u64 value)
{
	(void)cpu;
	return !(value & MISC_ENABLE_XD_DISABLE) && wrmsr_safe(msr, value);
}

/* Not with trace-packet state: XRSTORS would then program Intel PT. */
static bool write_xss(struct percpu *cpu, u32 msr, u64 value)
{
	(void)cpu;
	return !(value & XSS_PT) && wrmsr_safe(msr, value);
}

/* NULL: the access does not exit. */
static const struct policy {
	u32 first, last;
	msr_reader *read;
	msr_writer *write;
} policies[] = {
	{ MSR_APIC_BASE, MSR_APIC_BASE, apic_guard_read_base, apic_guard_write_base },
	{ MSR_IA32_FEATURE_CONTROL, MSR_IA32_FEATURE_CONTROL, read_feature_control, refuse_write },
	{ MSR_UCODE_WRITE, MSR_UCODE_WRITE, NULL, ignore_write }, /* takes a physical view of its own */
	{ MSR_SMM_MONITOR_CTL, MSR_SMM_MONITOR_CTL, refuse_read, refuse_write },
	{ MSR_MTRR_PHYSBASE0, MSR_MTRR_PHYSBASE0 + 31, mtrr_read_msr, mtrr_write_msr },
	{ MSR_MTRR_FIX64K, MSR_MTRR_FIX64K, mtrr_read_msr, mtrr_write_msr },
	{ MSR_MTRR_FIX16K, MSR_MTRR_FIX16K + 1, mtrr_read_msr, mtrr_write_msr },
	{ MSR_MTRR_FIX4K, MSR_MTRR_FIX4K + 7, mtrr_read_msr, mtrr_write_msr },
	{ MSR_MTRR_DEF_TYPE, MSR_MTRR_DEF_TYPE, mtrr_read_msr, mtrr_write_msr },
	{ MSR_IA32_VMX_BASIC, MSR_IA32_VMX_EXIT_CTLS2, read_vmx, refuse_write },
	{ MSR_MISC_ENABLE, MSR_MISC_ENABLE, NULL, write_misc_enable },
	{ MSR_PEBS_ENABLE, MSR_PEBS_ENABLE, NULL, drop_write },
	{ MSR_DS_AREA, MSR_DS_AREA, NULL, drop_write },
	{ MSR_XSS, MSR_XSS, NULL, write_xss },
	{ 0x560, 0x587, refuse_read, refuse_write },             /* Intel PT: physical output addresses */
	{ MSR_X2APIC_ICR, MSR_X2APIC_ICR, NULL, apic_guard_write_icr },
};

/* Guest MSRs that live in the VMCS while a guest runs. */
static const struct { u32 msr, field; } in_vmcs[] = {
	{ MSR_FS_BASE, VMCS_GUEST_FS_BASE }, { MSR_GS_BASE, VMCS_GUEST_GS_BASE }, { MSR_PAT, VMCS_GUEST_PAT },
	{ MSR_SYSENTER_CS, VMCS_GUEST_SYSENTER_CS }, { MSR_SYSENTER_ESP, VMCS_GUEST_SYSENTER_ESP },
	{ MSR_SYSENTER_EIP, VMCS_GUEST_SYSENTER_EIP }, { MSR_EFER, VMCS_GUEST_EFER }, { MSR_DEBUGCTL, VMCS_GUEST_DEBUGCTL },
};

static void intercept(u32 msr, bool read, bool write)
{
	u32 base = msr >= 0xc0000000 ? 1024 : 0, bit = msr & 0x1fff;

	if (read)
		vmx_msr_bitmap[base + bit / 8] |= (u8)BIT(bit % 8);
	if (write)
		vmx_msr_bitmap[2048 + base + bit / 8] |= (u8)BIT(bit % 8);
}

void msr_init(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(policies); i++)
		for (u32 msr = policies[i].first; msr <= policies[i].last; msr++)
			intercept(msr, policies[i].read, policies[i].write);
}

static const struct policy *find_policy(u32 msr)
{
	for (size_t i = 0; i < ARRAY_SIZE(policies); i++)
		if (msr >= policies[i].first && msr <= policies[i].last)
			return &policies[i];
	return NULL;
}

static u32 vmcs_field_of(u32 msr)
{
	for (size_t i = 0; i < ARRAY_SIZE(in_vmcs); i++)
		if (in_vmcs[i].msr == msr)
			return in_vmcs[i].field;
	return 0;
}

bool msr_read(struct percpu *cpu, u32 msr, u64 *value)
{
	const struct policy *policy = find_policy(msr);
	u32 field;

	if (policy && policy->read)
		return policy->read(cpu, msr, value);
	field = vmcs_field_of(msr);
	if (!field)
		return rdmsr_safe(msr, value);
	*value = vmread(field);
	return true;
}

static bool is_canonical(u64 v)
{
	return (u64)((long)(v << 16) >> 16) == v;
}

static bool pat_is_valid(u64 pat)
{
	for (int i = 0; i < 64; i += 8) {
		u64 type = pat >> i & 0xff;

		if (type > 7 || type == 2 || type == 3)
			return false;
	}
	return true;
}

/* What WRMSR would check, for the MSRs that live in the VMCS. `value` may be adjusted. */
static bool vmcs_msr_is_valid(u32 msr, u64 *value)
{
	u64 efer_bits = EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE, efer = vmread(VMCS_GUEST_EFER);

	switch (msr) {
	case MSR_PAT:
		return pat_is_valid(*value);
	case MSR_SYSENTER_CS:
		*value = (u32)*value;
		return true;
	case MSR_EFER:
		if ((*value & ~efer_bits) || ((*value ^ efer) & EFER_LME && vmread(VMCS_GUEST_CR0) & CR0_PG))
			return false;
		*value = (*value & ~EFER_LMA) | (efer & EFER_LMA);
		return true;
	case MSR_DEBUGCTL:
		return !(*value & ~0xffc3ull);
	default:
		return is_canonical(*value);
	}
}

bool msr_write(struct percpu *cpu, u32 msr, u64 value)
{
	const struct policy *policy = find_policy(msr);
	u32 field;

	if (policy && policy->write)
		return policy->write(cpu, msr, value);
	field = vmcs_field_of(msr);
	if (!field)
		return wrmsr_safe(msr, value);
	if (!vmcs_msr_is_valid(msr, &value))
		return false;
	vmwrite(field, value);
	return true;
}

void msr_perform(struct percpu *cpu, const struct hypapi_msr_args *msr, bool handled)
{
	u64 value = msr->value;

	if (!handled && !(msr->write ? msr_write(cpu, msr->msr, value) : msr_read(cpu, msr->msr, &value))) {
		vmx_raise(cpu, VEC_GP, 0, GVA(0));
		return;
	}
	if (!msr->write) {
		cpu->gpr[GPR_RAX] = (u32)value;
		cpu->gpr[GPR_RDX] = value >> 32;
	}
	vmx_skip_instruction();
}

void exit_msr_claimed(struct percpu *cpu)
{
	struct hypapi_msr_args msr = msr_args(cpu, vmread(VMCS_EXIT_REASON) == EXIT_WRMSR);
	enum asked answer = event_msr(cpu, &msr);

	if (answer != ASKED_ENDED)
		msr_perform(cpu, &msr, answer == ASKED_HANDLED);
}
