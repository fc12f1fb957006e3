/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A VMCS region of L1's, with any content: the checks of an entry end with an answer, the same for all groups at once
 * and one by one; VMREAD and VMWRITE of any encoding stay in the structure.
 */
#include "target.h"

#include "cpu/x86.h"
#include "nested/entry_checks.h"

static struct nested_caps caps;

static void make_caps(void)
{
	struct nested_hw hw = { .efer_valid = 0xd01, .debugctl_valid = 3, .phys_bits = 40, .linear_bits = 48 };

	for (u32 i = 0; i < NESTED_MSR_COUNT; i++)
		hw.msr[i] = ~0ull << 32;
	hw.msr[MSR_IA32_VMX_BASIC - NESTED_MSR_FIRST] = VMX_BASIC_TRUE_CTLS | VMX_BASIC_INS_OUTS;
	hw.msr[MSR_IA32_VMX_MISC - NESTED_MSR_FIRST] = 4 << VMX_MISC_CR3_TARGETS_SHIFT | VMX_MISC_ACT_HLT;
	hw.msr[MSR_IA32_VMX_CR0_FIXED1 - NESTED_MSR_FIRST] = 0xffffffff;
	hw.msr[MSR_IA32_VMX_CR4_FIXED1 - NESTED_MSR_FIRST] = 0x3727ff;
	hw.msr[MSR_IA32_VMX_EPT_VPID_CAP - NESTED_MSR_FIRST] = ~0ull;
	nested_caps_compute(&caps, &hw);
	vmcs12_init(caps.needs);
}

/* By one group at a time, the first failure in the order of the checks is that of all groups at once. */
static void checks(const struct vmcs12 *v, struct entry_env *env)
{
	u32 all = (1u << GROUP_COUNT) - 1;
	enum entry_check whole = entry_check_run(v, env, all), first = ENTRY_CHECKS_PASSED;

	for (u32 g = 0; g < GROUP_COUNT; g++) {
		enum entry_check one = entry_check_run(v, env, 1u << g);

		first = one < first ? one : first;
	}
	MUST(whole == first);
	if (whole != ENTRY_CHECKS_PASSED)
		MUST(entry_check_info[whole].text[0] && (entry_check_error(whole) ||
			entry_check_qualification(whole) <= 4));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct { u32 encodings[8]; u64 value, pdpte[4]; u32 flags, link_revision; } head;
	struct { struct vmcs12 v; u64 behind; } region;

	if (!caps.needs)
		make_caps();
	take(&data, &size, &head, sizeof(head));
	take(&data, &size, &region.v, sizeof(region.v));
	region.behind = 0x1122334455667788;
	struct entry_env env = { .caps = &caps, .current = GPA1(0x1000), .l1_long_mode = head.flags & 1,
				 .vtpr = (u8)(head.flags >> 8), .link_revision = head.link_revision };

	memcpy(env.pdpte, head.pdpte, sizeof(env.pdpte));
	env.wants_pdptes = entry_wants_pdptes(&region.v);
	checks(&region.v, &env);
	for (u32 i = 0; i < 8; i++) {
		const struct vmcs12_field *field = vmcs12_find(head.encodings[i]);

		if (!field)
			continue;
		(void)vmcs12_write(&region.v, field, head.encodings[i], head.value);
		u64 back = vmcs12_read(&region.v, field, head.encodings[i]), mask = field->mask;
		bool high = head.encodings[i] & VMCS_ENC_HIGH;

		MUST(back == (high ? (u32)head.value & mask >> 32 : head.value & mask));
	}
	MUST(region.behind == 0x1122334455667788);
	checks(&region.v, &env);
	return 0;
}
