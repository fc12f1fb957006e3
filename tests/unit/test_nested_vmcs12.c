/* SPDX-License-Identifier: GPL-2.0-or-later */
/* VMCS12 by encoding: the lookup against a plain search, widths, high halves, read-only fields, dirty groups. */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

#include "nested/vmcs12.h"

#define NEEDS_ALL (BIT(NEED_COUNT) - 1)

static const struct vmcs12_field *search(u64 encoding, u32 needs)
{
	for (u32 i = 0; i < VMCS12_FIELD_COUNT; i++) {
		const struct vmcs12_field *f = &vmcs12_fields[i];
		bool high = f->width == VMCS_WIDTH_64 && encoding == f->encoding + 1u;

		if ((encoding == f->encoding || high) && (needs & BIT(f->need)))
			return f;
	}
	return NULL;
}

static void lookup_is_a_search(void **state)
{
	(void)state;
	for (u64 e = 0; e < 0x20000; e++) {
		assert_ptr_equal(vmcs12_find(e, NEEDS_ALL), search(e, NEEDS_ALL));
		assert_ptr_equal(vmcs12_find(e, BIT(NEED_ALWAYS)), search(e, BIT(NEED_ALWAYS)));
	}
	assert_null(vmcs12_find(BIT(32) | VMCS_GUEST_RIP, NEEDS_ALL));
	assert_null(vmcs12_find(BIT(63), NEEDS_ALL));
	assert_null(vmcs12_find(VMCS_PML_ADDR, NEEDS_ALL));
}

static void fields_do_not_overlap(void **state)
{
	struct vmcs12 v;

	(void)state;
	memset(&v, 0, sizeof(v));
	for (u32 i = 0; i < VMCS12_FIELD_COUNT; i++)
		assert_true(vmcs12_set(&v, &vmcs12_fields[i], 0x0123456789abcd00 + i));
	for (u32 i = 0; i < VMCS12_FIELD_COUNT; i++) {
		u64 want = 0x0123456789abcd00 + i;

		if (vmcs12_fields[i].width == VMCS_WIDTH_16)
			want = (u16)want;
		else if (vmcs12_fields[i].width == VMCS_WIDTH_32)
			want = (u32)want;
		assert_int_equal(vmcs12_get(&v, &vmcs12_fields[i]), want);
		assert_false(vmcs12_set(&v, &vmcs12_fields[i], want));
	}
	assert_int_equal(v.end, 0);
	assert_int_equal(v.revision | v.abort | v.launched, 0);
}

static void vmread_and_vmwrite(void **state)
{
	struct nested_caps caps = { .needs = NEEDS_ALL };
	struct vmcs12 v;
	u32 dirty = 0;
	u64 x = 0;

	(void)state;
	memset(&v, 0, sizeof(v));
	assert_int_equal(vmcs12_vmwrite(&v, &caps, VMCS_EPTP, 0x1122334455667788, &dirty), 0);
	assert_int_equal(dirty, GROUP(EXEC));
	assert_int_equal(vmcs12_vmread(&v, &caps, VMCS_EPTP + 1, &x), 0);
	assert_int_equal(x, 0x11223344);
	assert_int_equal(vmcs12_vmwrite(&v, &caps, VMCS_EPTP + 1, 0xaabbccddeeff0011, &dirty), 0);
	assert_int_equal(v.eptp, 0xeeff001155667788);
	dirty = 0; /* the same value again is no change */
	assert_int_equal(vmcs12_vmwrite(&v, &caps, VMCS_EPTP, 0xeeff001155667788, &dirty), 0);
	assert_int_equal(dirty, 0);
	assert_int_equal(vmcs12_vmwrite(&v, &caps, VMCS_GUEST_CS_SEL, 0x12345, &dirty), 0);
	assert_int_equal(v.guest_cs_sel, 0x2345);
	assert_int_equal(v.guest_es_sel | v.guest_ss_sel, 0);
	assert_int_equal(dirty, GROUP(SEGS));
	assert_int_equal(vmcs12_vmwrite(&v, &caps, VMCS_GUEST_RIP, ~0ull, &dirty), 0);
	assert_int_equal(vmcs12_vmread(&v, &caps, VMCS_GUEST_RIP, &x), 0);
	assert_int_equal(x, ~0ull);
}

static void refusals(void **state)
{
	struct nested_caps caps = { .needs = NEEDS_ALL & ~BIT(NEED_EPT) };
	struct vmcs12 v;
	u32 dirty = 0;
	u64 x;

	(void)state;
	memset(&v, 0, sizeof(v));
	assert_int_equal(vmcs12_vmread(&v, &caps, VMCS_EPTP, &x), VMXERR_BAD_FIELD);
	assert_int_equal(vmcs12_vmwrite(&v, &caps, VMCS_EPTP, 0, &dirty), VMXERR_BAD_FIELD);
	assert_int_equal(vmcs12_vmread(&v, &caps, VMCS_GUEST_RIP + 1, &x), VMXERR_BAD_FIELD);
	assert_int_equal(vmcs12_vmwrite(&v, &caps, 0xffffffff, 0, &dirty), VMXERR_BAD_FIELD);
	assert_int_equal(vmcs12_vmwrite(&v, &caps, VMCS_EXIT_REASON, 1, &dirty), VMXERR_READ_ONLY_FIELD);
	assert_int_equal(v.exit_reason, 0);
	NESTED_CAP(&caps, MISC) = VMX_MISC_VMWRITE_ALL;
	assert_int_equal(vmcs12_vmwrite(&v, &caps, VMCS_EXIT_REASON, 1, &dirty), 0);
	assert_int_equal(v.exit_reason, 1);
	assert_int_equal(dirty, GROUP(INFO));
}

static void groups_hold_what_vmcs02_copies(void **state)
{
	u32 seen[VMCS12_FIELD_COUNT] = { 0 };

	(void)state;
	for (u32 g = 0; g < GROUP_COUNT; g++)
		for (u32 i = 0; i < vmcs12_groups[g].count; i++) {
			assert_int_equal(vmcs12_fields[vmcs12_groups[g].field[i]].group, g);
			seen[vmcs12_groups[g].field[i]]++;
		}
	for (u32 i = 0; i < VMCS12_FIELD_COUNT; i++)
		assert_int_equal(seen[i], vmcs12_fields[i].role == ROLE_COPY || vmcs12_fields[i].role == ROLE_PASS);
	vmcs12_init(NEEDS_ALL & ~BIT(NEED_PAT));
	for (u32 i = 0; i < vmcs12_groups[GROUP_CRS].count; i++)
		assert_int_not_equal(vmcs12_groups[GROUP_CRS].field[i], VMCS12_GUEST_PAT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lookup_is_a_search),
		cmocka_unit_test(fields_do_not_overlap),
		cmocka_unit_test(vmread_and_vmwrite),
		cmocka_unit_test(refusals),
		cmocka_unit_test(groups_hold_what_vmcs02_copies),
	};

	vmcs12_init(NEEDS_ALL);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
