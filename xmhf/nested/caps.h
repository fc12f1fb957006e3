/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What VMX looks like to L1: the capability MSRs that L0 offers, computed once at boot as "what we virtualise" AND
 * "what the CPU has". Entry checks, VMREAD/VMWRITE and L1's RDMSR of the capability MSRs all read this one struct.
 * Pure data and functions: no VMCS, no hardware access, so host tests run it as it is. Constant after boot.
 */
#ifndef XMHF_NESTED_CAPS_H
#define XMHF_NESTED_CAPS_H

#include "vmx/vmcs.h"

/* What a VMCS field may need to exist for L1; last column of vmx/vmcs_fields.def. */
enum nested_need {
	NEED_ALWAYS,
	NEED_NEVER,
	NEED_VPID,
	NEED_EPT,
	NEED_MSR_BITMAPS,
	NEED_TPR_SHADOW,
	NEED_APIC_ACCESS,
	NEED_XSAVES,
	NEED_PAT,
	NEED_EFER,
	NEED_PROC2,
	NEED_PLE,
	NEED_TIMER,
	NEED_VMFUNC,
	NEED_PML,
	NEED_SHADOW_VMCS,
	NEED_VE,
	NEED_CR3_TARGET_0, /* CPUs may have fewer than four CR3-target values (IA32_VMX_MISC) */
	NEED_CR3_TARGET_1,
	NEED_CR3_TARGET_2,
	NEED_CR3_TARGET_3,
	NEED_COUNT,
};

#define NESTED_MSR_FIRST MSR_IA32_VMX_BASIC
#define NESTED_MSR_COUNT (MSR_IA32_VMX_EXIT_CTLS2 - MSR_IA32_VMX_BASIC + 1)

/* The CPU's own values, as the boot code reads them; a control MSR that does not exist is 0. */
struct nested_hw {
	u64 msr[NESTED_MSR_COUNT];
	u64 efer_valid;   /* bits of IA32_EFER that do not #GP */
	u64 debugctl_valid;
	u8 phys_bits;     /* CPUID 0x80000008 */
	u8 linear_bits;
	bool rtm;
};

struct nested_caps {
	u64 msr[NESTED_MSR_COUNT]; /* by MSR number minus NESTED_MSR_FIRST */
	u32 msr_exists;            /* bit by the same index */
	u32 needs;                 /* bit by enum nested_need: fields of this need exist */
	u64 phys_reserved;         /* address bits beyond the physical width */
	u64 efer_valid;
	u64 debugctl_valid;
	u8 linear_bits;
	bool rtm;
};

#define NESTED_REVISION 0x4d580001u /* L1's VMCS revision identifier; L0's layout of struct vmcs12 */

/* One capability MSR as L1 reads it: NESTED_CAP(caps, MISC). */
#define NESTED_CAP(caps, name) ((caps)->msr[MSR_IA32_VMX_##name - NESTED_MSR_FIRST])

/* Bits that may be 1, and bits that must be, in a capability MSR of a control field. */
static inline u32 ctl_allowed(u64 cap)
{
	return cap >> 32;
}

static inline u32 ctl_required(u64 cap)
{
	return (u32)cap;
}

void nested_caps_compute(struct nested_caps *caps, const struct nested_hw *hw);

/* L1's RDMSR of msr; false: the MSR does not exist for L1, inject #GP. */
must_check bool nested_caps_rdmsr(const struct nested_caps *caps, u32 msr, u64 *value);

#endif
