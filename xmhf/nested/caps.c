/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Capability MSRs for L1. A table states what nested VMX virtualises correctly; a bit is offered when it is in the
 * table and the CPU has it. What is absent here is absent on purpose: SMM and dual-monitor treatment, posted
 * interrupts, APIC-register and APIC-access virtualisation, processor trace, five-level EPT.
 * Callers: boot (once), and host tests.
 */
#include "nested/caps.h"
#include "cpu/x86.h"
#include "nested/vmcs12.h"

/*
 * Control fields: what is offered beside the bits that the CPU forces to 1. default1 are the bits that the
 * non-"TRUE" MSR must report as 1 (SDM vol. 3, appendix "VMX Capability Reporting Facility").
 */
static const struct ctl_row {
	u32 msr, true_msr;
	u32 default1;
	u32 offered;
} ctl_rows[] = {
	{ MSR_IA32_VMX_PINBASED_CTLS, MSR_IA32_VMX_TRUE_PINBASED_CTLS, 0x00000016,
	  PIN_INTR_EXITING | PIN_NMI_EXITING | PIN_VIRTUAL_NMIS | PIN_PREEMPTION_TIMER },
	{ MSR_IA32_VMX_PROCBASED_CTLS, MSR_IA32_VMX_TRUE_PROCBASED_CTLS, 0x0401e172,
	  PROC_INTR_WINDOW | PROC_TSC_OFFSETTING | PROC_HLT_EXITING | PROC_INVLPG_EXITING | PROC_MWAIT_EXITING |
		  PROC_RDPMC_EXITING | PROC_RDTSC_EXITING | PROC_CR3_LOAD_EXITING | PROC_CR3_STORE_EXITING |
		  PROC_CR8_LOAD_EXITING | PROC_CR8_STORE_EXITING | PROC_TPR_SHADOW | PROC_NMI_WINDOW |
		  PROC_MOV_DR_EXITING | PROC_UNCOND_IO_EXITING | PROC_IO_BITMAPS | PROC_MONITOR_TRAP |
		  PROC_MSR_BITMAPS | PROC_MONITOR_EXITING | PROC_PAUSE_EXITING | PROC_SECONDARY },
	{ MSR_IA32_VMX_EXIT_CTLS, MSR_IA32_VMX_TRUE_EXIT_CTLS, 0x00036dff,
	  EXITCTL_SAVE_DEBUG | EXITCTL_HOST_64 | EXITCTL_ACK_INTR | EXITCTL_SAVE_PAT | EXITCTL_LOAD_PAT |
		  EXITCTL_SAVE_EFER | EXITCTL_LOAD_EFER | EXITCTL_SAVE_TIMER },
	{ MSR_IA32_VMX_ENTRY_CTLS, MSR_IA32_VMX_TRUE_ENTRY_CTLS, 0x000011ff,
	  ENTRYCTL_LOAD_DEBUG | ENTRYCTL_IA32E | ENTRYCTL_LOAD_PAT | ENTRYCTL_LOAD_EFER },
	{ MSR_IA32_VMX_PROCBASED_CTLS2, MSR_IA32_VMX_PROCBASED_CTLS2, 0,
	  PROC2_EPT | PROC2_DESC_TABLE_EXITING | PROC2_RDTSCP | PROC2_VPID | PROC2_WBINVD_EXITING |
		  PROC2_UNRESTRICTED | PROC2_PAUSE_LOOP_EXITING | PROC2_RDRAND_EXITING | PROC2_INVPCID |
		  PROC2_RDSEED_EXITING | PROC2_XSAVES | PROC2_VMFUNC | PROC2_PML |
		  PROC2_EPT_VE | PROC2_SHADOW_VMCS },
};

/* MSRs whose value is the CPU's under a mask, with some bits that are always L0's own. */
static const struct plain_row {
	u32 msr;
	u64 mask, fixed;
} plain_rows[] = {
	{ MSR_IA32_VMX_BASIC, VMX_BASIC_INS_OUTS | VMX_BASIC_ANY_ERROR_CODE,
	  NESTED_REVISION | PAGE_SIZE << VMX_BASIC_SIZE_SHIFT | (u64)EPT_TYPE_WB << VMX_BASIC_TYPE_SHIFT |
		  VMX_BASIC_TRUE_CTLS },
	{ MSR_IA32_VMX_MISC,
	  VMX_MISC_TIMER_SHIFT | VMX_MISC_EFER_LMA | VMX_MISC_ACT_HLT | VMX_MISC_ACT_SHUTDOWN | VMX_MISC_CR3_TARGETS |
		  VMX_MISC_VMWRITE_ALL | VMX_MISC_ZERO_LEN_EVENT,
	  0 },
	{ MSR_IA32_VMX_CR0_FIXED0, ~0ull, 0 },
	{ MSR_IA32_VMX_CR0_FIXED1, ~0ull, 0 },
	{ MSR_IA32_VMX_CR4_FIXED0, ~0ull, 0 },
	{ MSR_IA32_VMX_CR4_FIXED1, ~(u64)CR4_SMXE, 0 }, /* the core hides SMX */
	{ MSR_IA32_VMX_EPT_VPID_CAP,
	  EPTCAP_EXEC_ONLY | EPTCAP_WALK_4 | EPTCAP_UC | EPTCAP_WB | EPTCAP_2M | EPTCAP_1G | EPTCAP_AD | EPTCAP_INVEPT |
		  EPTCAP_INVEPT_SINGLE | EPTCAP_INVEPT_ALL | EPTCAP_INVVPID | EPTCAP_INVVPID_ADDR |
		  EPTCAP_INVVPID_SINGLE | EPTCAP_INVVPID_ALL | EPTCAP_INVVPID_GLOBALS,
	  0 },
	{ MSR_IA32_VMX_VMFUNC, VMFUNC_EPTP_SWITCHING, 0 },
};

/* Which control bit brings a class of fields into being. */
static const struct need_row {
	enum nested_need need;
	u32 msr, bit;
} need_rows[] = {
	{ NEED_VPID, MSR_IA32_VMX_PROCBASED_CTLS2, PROC2_VPID },
	{ NEED_EPT, MSR_IA32_VMX_PROCBASED_CTLS2, PROC2_EPT },
	{ NEED_APIC_ACCESS, MSR_IA32_VMX_PROCBASED_CTLS2, PROC2_APIC_ACCESS },
	{ NEED_VMFUNC, MSR_IA32_VMX_PROCBASED_CTLS2, PROC2_VMFUNC },
	{ NEED_PML, MSR_IA32_VMX_PROCBASED_CTLS2, PROC2_PML },
	{ NEED_SHADOW_VMCS, MSR_IA32_VMX_PROCBASED_CTLS2, PROC2_SHADOW_VMCS },
	{ NEED_VE, MSR_IA32_VMX_PROCBASED_CTLS2, PROC2_EPT_VE },
	{ NEED_XSAVES, MSR_IA32_VMX_PROCBASED_CTLS2, PROC2_XSAVES },
	{ NEED_PLE, MSR_IA32_VMX_PROCBASED_CTLS2, PROC2_PAUSE_LOOP_EXITING },
	{ NEED_MSR_BITMAPS, MSR_IA32_VMX_PROCBASED_CTLS, PROC_MSR_BITMAPS },
	{ NEED_TPR_SHADOW, MSR_IA32_VMX_PROCBASED_CTLS, PROC_TPR_SHADOW },
	{ NEED_PROC2, MSR_IA32_VMX_PROCBASED_CTLS, PROC_SECONDARY },
	{ NEED_PAT, MSR_IA32_VMX_ENTRY_CTLS, ENTRYCTL_LOAD_PAT },
	{ NEED_EFER, MSR_IA32_VMX_ENTRY_CTLS, ENTRYCTL_LOAD_EFER },
	{ NEED_TIMER, MSR_IA32_VMX_PINBASED_CTLS, PIN_PREEMPTION_TIMER },
};

#define PLACE(number) ((number) - NESTED_MSR_FIRST) /* among the MSRs of VMX */

static void offer(struct nested_caps *caps, u32 msr, u64 value)
{
	caps->msr[PLACE(msr)] = value;
	caps->msr_exists |= BIT(PLACE(msr));
}

static void offer_controls(struct nested_caps *caps, const struct nested_hw *hw, const struct ctl_row *row)
{
	bool have_true = hw->msr[PLACE(MSR_IA32_VMX_BASIC)] & VMX_BASIC_TRUE_CTLS;
	u64 cap = hw->msr[PLACE(have_true ? row->true_msr : row->msr)];
	u32 required = ctl_required(cap);
	u32 allowed = (ctl_allowed(cap) & row->offered) | required | row->default1;

	offer(caps, row->msr, (u64)allowed << 32 | required | row->default1);
	if (row->true_msr != row->msr)
		offer(caps, row->true_msr, (u64)allowed << 32 | required);
}

static u32 field_needs(const struct nested_caps *caps)
{
	u32 needs = BIT(NEED_ALWAYS);

	for (size_t i = 0; i < ARRAY_SIZE(need_rows); i++)
		if (ctl_allowed(caps->msr[PLACE(need_rows[i].msr)]) & need_rows[i].bit)
			needs |= BIT(need_rows[i].need);
	for (u32 i = 0; i < (NESTED_CAP(caps, MISC) & VMX_MISC_CR3_TARGETS) >> VMX_MISC_CR3_TARGETS_SHIFT; i++)
		needs |= BIT(NEED_CR3_TARGET_0 + i);
	return needs;
}

/* A count above four would speak of fields that have no encoding. */
static void limit_cr3_targets(u64 *misc)
{
	u64 count = MIN((*misc & VMX_MISC_CR3_TARGETS) >> VMX_MISC_CR3_TARGETS_SHIFT, 4ull);

	*misc = (*misc & ~VMX_MISC_CR3_TARGETS) | count << VMX_MISC_CR3_TARGETS_SHIFT;
}

/* A secondary control is worthless without the MSRs and fields behind it. */
static void drop_dependent(struct nested_caps *caps)
{
	u64 *proc2 = &caps->msr[PLACE(MSR_IA32_VMX_PROCBASED_CTLS2)];
	u64 ept = NESTED_CAP(caps, EPT_VPID_CAP);
	const u64 ept_must = EPTCAP_WALK_4 | EPTCAP_WB | EPTCAP_INVEPT | EPTCAP_INVEPT_ALL;

	if ((ept & ept_must) != ept_must)
		*proc2 &= ~((u64)PROC2_EPT << 32);
	if (!(ctl_allowed(*proc2) & PROC2_EPT))
		*proc2 &= ~((u64)(PROC2_UNRESTRICTED | PROC2_EPT_VE) << 32);
	if (!(ctl_allowed(*proc2) & PROC2_EPT) || !NESTED_CAP(caps, VMFUNC))
		*proc2 &= ~((u64)PROC2_VMFUNC << 32);
	if (!(ctl_allowed(*proc2) & PROC2_EPT) || !(ept & EPTCAP_AD))
		*proc2 &= ~((u64)PROC2_PML << 32);
	if (!(ctl_allowed(*proc2) & PROC2_VMFUNC))
		caps->msr_exists &= ~BIT(PLACE(MSR_IA32_VMX_VMFUNC));
	if (!(ctl_allowed(*proc2) & (PROC2_EPT | PROC2_VPID)))
		caps->msr_exists &= ~BIT(PLACE(MSR_IA32_VMX_EPT_VPID_CAP));
}

void nested_caps_compute(struct nested_caps *caps, const struct nested_hw *hw)
{
	*caps = (struct nested_caps){ 0 };
	for (size_t i = 0; i < ARRAY_SIZE(ctl_rows); i++)
		offer_controls(caps, hw, &ctl_rows[i]);
	for (size_t i = 0; i < ARRAY_SIZE(plain_rows); i++)
		offer(caps, plain_rows[i].msr,
		      (hw->msr[PLACE(plain_rows[i].msr)] & plain_rows[i].mask) | plain_rows[i].fixed);
	limit_cr3_targets(&caps->msr[PLACE(MSR_IA32_VMX_MISC)]);
	drop_dependent(caps);
	caps->needs = field_needs(caps);
	caps->phys_reserved = hw->phys_bits < 64 ? ~0ull << hw->phys_bits : 0;
	caps->linear_bits = hw->linear_bits;
	caps->efer_valid = hw->efer_valid;
	caps->debugctl_valid = hw->debugctl_valid;
	caps->rtm = hw->rtm;
	offer(caps, MSR_IA32_VMX_VMCS_ENUM, (u64)vmcs12_highest_index(caps->needs) << 1);
}

bool nested_caps_rdmsr(const struct nested_caps *caps, u32 msr, u64 *value)
{
	u32 index = PLACE(msr);

	if (index >= NESTED_MSR_COUNT || !(caps->msr_exists & BIT(index)))
		return false;
	*value = caps->msr[index];
	return true;
}
