/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Capability MSRs for L1: never more than the CPU has, never what is not virtualised, always what KVM asks for. */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

#include "nested/vmcs12.h"

#define HW(hw, name) ((hw)->msr[MSR_IA32_VMX_##name - NESTED_MSR_FIRST])

/* A CPU with every control allowed; the bits forced to 1 are those of real ones. */
static struct nested_hw everything(void)
{
	struct nested_hw hw = { .phys_bits = 46, .linear_bits = 48, .efer_valid = 0xd01 };

	memset(hw.msr, 0xff, sizeof(hw.msr));
	HW(&hw, BASIC) = 0x00da040000000012 | VMX_BASIC_TRUE_CTLS | VMX_BASIC_DUAL_MONITOR;
	HW(&hw, TRUE_PINBASED_CTLS) = ~0ull << 32 | 0x16;
	HW(&hw, TRUE_PROCBASED_CTLS) = ~0ull << 32 | 0x04006172;
	HW(&hw, TRUE_EXIT_CTLS) = ~0ull << 32 | 0x36dfb;
	HW(&hw, TRUE_ENTRY_CTLS) = ~0ull << 32 | 0x11fb;
	HW(&hw, PROCBASED_CTLS2) = ~0ull << 32;
	return hw;
}

static void offers_what_kvm_asks_for(void **state)
{
	struct nested_hw hw = everything();
	struct nested_caps c;

	(void)state;
	nested_caps_compute(&c, &hw);
	assert_int_equal(ctl_allowed(NESTED_CAP(&c, TRUE_PINBASED_CTLS)) & 0x69, 0x69);
	const u32 proc = PROC_HLT_EXITING | PROC_CR8_LOAD_EXITING | PROC_CR8_STORE_EXITING | PROC_CR3_LOAD_EXITING |
			 PROC_CR3_STORE_EXITING | PROC_UNCOND_IO_EXITING | PROC_MOV_DR_EXITING | PROC_TSC_OFFSETTING |
			 PROC_MWAIT_EXITING | PROC_MONITOR_EXITING | PROC_INVLPG_EXITING | PROC_RDPMC_EXITING |
			 PROC_INTR_WINDOW | PROC_TPR_SHADOW | PROC_MSR_BITMAPS | PROC_SECONDARY | PROC_NMI_WINDOW;
	assert_int_equal(ctl_allowed(NESTED_CAP(&c, TRUE_PROCBASED_CTLS)) & proc, proc);
	const u32 proc2 = PROC2_EPT | PROC2_VPID | PROC2_UNRESTRICTED | PROC2_RDTSCP | PROC2_INVPCID | PROC2_XSAVES |
			  PROC2_SHADOW_VMCS;
	assert_int_equal(ctl_allowed(NESTED_CAP(&c, PROCBASED_CTLS2)) & proc2, proc2);
	assert_int_equal(c.needs & ~BIT(NEED_ALWAYS),
			 BITS(NEED_COUNT - 1, 0) & ~(BIT(NEED_ALWAYS) | BIT(NEED_NEVER) | BIT(NEED_APIC_ACCESS)));
	assert_int_equal(NESTED_CAP(&c, VMCS_ENUM), VMCS_ENC_INDEX(VMCS_PREEMPTION_TIMER) << 1);
}

/* Its two fields come and go with VMCS shadowing. */
static void bitmaps_of_vmread_need_shadowing(void **state)
{
	struct nested_hw hw = everything();
	struct nested_caps c;

	(void)state;
	for (u64 has = 0; has < 2; has++) {
		if (!has)
			HW(&hw, PROCBASED_CTLS2) &= ~((u64)PROC2_SHADOW_VMCS << 32);
		else
			hw = everything();
		nested_caps_compute(&c, &hw);
		vmcs12_init(c.needs);
		assert_int_equal(vmcs12_find(VMCS_VMREAD_BITMAP) != NULL, has);
		assert_int_equal(vmcs12_find(VMCS_VMWRITE_BITMAP) != NULL, has);
		assert_int_equal(!!(ctl_allowed(NESTED_CAP(&c, PROCBASED_CTLS2)) & PROC2_SHADOW_VMCS), has);
	}
}

/* VMCS02 is written field by field: one that the CPU has not would be a VMWRITE that fails. */
static void cr3_targets_are_those_of_the_cpu(void **state)
{
	static const struct { u64 hw, offered; } counts[] = { { 0, 0 }, { 2, 2 }, { 4, 4 }, { 256, 4 } };
	struct nested_hw hw = everything();
	struct nested_caps c;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(counts); i++) {
		HW(&hw, MISC) = counts[i].hw << VMX_MISC_CR3_TARGETS_SHIFT;
		nested_caps_compute(&c, &hw);
		assert_int_equal(NESTED_CAP(&c, MISC) & VMX_MISC_CR3_TARGETS,
				 counts[i].offered << VMX_MISC_CR3_TARGETS_SHIFT);
		vmcs12_init(c.needs);
		for (u64 n = 0; n < 4; n++)
			assert_int_equal(vmcs12_find(VMCS_CR3_TARGET_0 + 2 * n) != NULL, n < counts[i].offered);
	}
}

static void hides_the_rest(void **state)
{
	struct nested_hw hw = everything();
	struct nested_caps c;
	u64 x;

	(void)state;
	nested_caps_compute(&c, &hw);
	assert_false(NESTED_CAP(&c, BASIC) & VMX_BASIC_DUAL_MONITOR);
	assert_int_equal(NESTED_CAP(&c, BASIC) & VMX_BASIC_REVISION, NESTED_REVISION);
	assert_int_equal(NESTED_CAP(&c, BASIC) >> VMX_BASIC_SIZE_SHIFT & 0x1fff, PAGE_SIZE);
	assert_false(ctl_allowed(NESTED_CAP(&c, TRUE_PINBASED_CTLS)) & PIN_POSTED_INTR);
	assert_false(ctl_allowed(NESTED_CAP(&c, PROCBASED_CTLS2)) &
		     (PROC2_APIC_REGISTERS | PROC2_VIRT_INTR_DELIVERY |
		      PROC2_X2APIC | PROC2_APIC_ACCESS | PROC2_PT_GPA |
		      PROC2_ENCLS_EXITING));
	assert_false(NESTED_CAP(&c, EPT_VPID_CAP) & (EPTCAP_WALK_5 | EPTCAP_ADVANCED_INFO));
	assert_false(NESTED_CAP(&c, MISC) & (VMX_MISC_ACT_WAIT_SIPI | BIT(14) | BIT(15) | BIT(28) | VMX_MISC_MSR_LIST));
	assert_int_equal(NESTED_CAP(&c, VMFUNC), VMFUNC_EPTP_SWITCHING);
	assert_false(nested_caps_rdmsr(&c, MSR_IA32_VMX_PROCBASED_CTLS3, &x));
	assert_false(nested_caps_rdmsr(&c, MSR_IA32_VMX_BASIC - 1, &x));
	assert_false(nested_caps_rdmsr(&c, MSR_IA32_VMX_BASIC + 64, &x));
	assert_true(nested_caps_rdmsr(&c, MSR_IA32_VMX_BASIC, &x));
	assert_int_equal(x, NESTED_CAP(&c, BASIC));
	assert_int_equal(c.phys_reserved, BITS(63, 46));
}

/* For each control bit taken from the CPU: L1 loses exactly that bit, and required bits stay allowed. */
static void never_more_than_the_cpu(void **state)
{
	static const u32 msrs[] = { MSR_IA32_VMX_TRUE_PINBASED_CTLS, MSR_IA32_VMX_TRUE_PROCBASED_CTLS,
				    MSR_IA32_VMX_TRUE_EXIT_CTLS, MSR_IA32_VMX_TRUE_ENTRY_CTLS };

	(void)state;
	for (u32 m = 0; m < ARRAY_SIZE(msrs); m++)
		for (u32 bit = 0; bit < 32; bit++) {
			u32 i = msrs[m] - NESTED_MSR_FIRST;
			struct nested_hw hw = everything();
			struct nested_caps all, c;

			nested_caps_compute(&all, &hw);
			if (hw.msr[i] & BIT(bit) || all.msr[i - 0xc] & BIT(bit))
				continue; /* forced to 1 */
			hw.msr[i] &= ~BIT(bit + 32);
			nested_caps_compute(&c, &hw);
			assert_int_equal(c.msr[i], all.msr[i] & ~BIT(bit + 32));
			assert_int_equal(ctl_required(c.msr[i]) & ~ctl_allowed(c.msr[i]), 0);
		}
}

static void true_and_default_differ_in_default1(void **state)
{
	struct nested_hw hw = everything();
	struct nested_caps c;

	(void)state;
	nested_caps_compute(&c, &hw);
	assert_int_equal((u32)NESTED_CAP(&c, PROCBASED_CTLS), 0x0401e172);
	assert_int_equal((u32)NESTED_CAP(&c, TRUE_PROCBASED_CTLS), 0x04006172);
	assert_int_equal((u32)NESTED_CAP(&c, PINBASED_CTLS), 0x16);
	assert_int_equal((u32)NESTED_CAP(&c, EXIT_CTLS), 0x36dff);
	assert_int_equal((u32)NESTED_CAP(&c, ENTRY_CTLS), 0x11ff);
}

static void dependent_controls_go_together(void **state)
{
	struct nested_hw hw = everything();
	struct nested_caps c;
	u64 x;

	(void)state;
	HW(&hw, EPT_VPID_CAP) &= ~EPTCAP_WALK_4;
	nested_caps_compute(&c, &hw);
	assert_false(ctl_allowed(NESTED_CAP(&c, PROCBASED_CTLS2)) & (PROC2_EPT | PROC2_UNRESTRICTED));
	assert_false(c.needs & (BIT(NEED_EPT) | BIT(NEED_PML) | BIT(NEED_VE)));
	assert_false(ctl_allowed(NESTED_CAP(&c, PROCBASED_CTLS2)) & (PROC2_PML | PROC2_EPT_VE));
	assert_false(ctl_allowed(NESTED_CAP(&c, PROCBASED_CTLS2)) & PROC2_VMFUNC);
	assert_false(nested_caps_rdmsr(&c, MSR_IA32_VMX_VMFUNC, &x));
	HW(&hw, PROCBASED_CTLS2) = 0;
	nested_caps_compute(&c, &hw);
	assert_false(nested_caps_rdmsr(&c, MSR_IA32_VMX_EPT_VPID_CAP, &x));
	/* What is logged is what sets a dirty flag. */
	hw = everything();
	nested_caps_compute(&c, &hw);
	assert_true(ctl_allowed(NESTED_CAP(&c, PROCBASED_CTLS2)) & PROC2_PML);
	assert_true((c.needs & BIT(NEED_PML)) && (c.needs & BIT(NEED_VE)));
	HW(&hw, EPT_VPID_CAP) &= ~EPTCAP_AD;
	nested_caps_compute(&c, &hw);
	assert_false(ctl_allowed(NESTED_CAP(&c, PROCBASED_CTLS2)) & PROC2_PML);
	assert_false(c.needs & BIT(NEED_PML));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(offers_what_kvm_asks_for),
		cmocka_unit_test(cr3_targets_are_those_of_the_cpu),
		cmocka_unit_test(bitmaps_of_vmread_need_shadowing),
		cmocka_unit_test(hides_the_rest),
		cmocka_unit_test(never_more_than_the_cpu),
		cmocka_unit_test(true_and_default_differ_in_default1),
		cmocka_unit_test(dependent_controls_go_together),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
