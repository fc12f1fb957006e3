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
	static const u32 needs[] = { NEEDS_ALL, BIT(NEED_ALWAYS), NEEDS_ALL & ~BIT(NEED_EPT) };

	(void)state;
	for (u32 i = 0; i < ARRAY_SIZE(needs); i++) {
		vmcs12_init(needs[i]);
		for (u64 e = 0; e < 0x20000; e++)
			assert_ptr_equal(vmcs12_find(e), search(e, needs[i]));
	}
	vmcs12_init(NEEDS_ALL);
	assert_null(vmcs12_find(BIT(32) | VMCS_GUEST_RIP));
	assert_null(vmcs12_find(BIT(63)));
	assert_null(vmcs12_find(VMCS_SPP_TABLE));
}

static void fields_do_not_overlap(void **state)
{
	struct vmcs12 v;

	(void)state;
	memset(&v, 0, sizeof(v));
	for (u32 i = 0; i < VMCS12_FIELD_COUNT; i++)
		assert_true(vmcs12_write(&v, &vmcs12_fields[i], 0, 0x0123456789abcd00 + i));
	for (u32 i = 0; i < VMCS12_FIELD_COUNT; i++) {
		u64 want = 0x0123456789abcd00 + i;

		if (vmcs12_fields[i].width == VMCS_WIDTH_16)
			want = (u16)want;
		else if (vmcs12_fields[i].width == VMCS_WIDTH_32)
			want = (u32)want;
		assert_int_equal(vmcs12_read(&v, &vmcs12_fields[i], 0), want);
		assert_false(vmcs12_write(&v, &vmcs12_fields[i], 0, want));
	}
	assert_int_equal(v.end, 0);
	assert_int_equal(v.revision | v.abort | v.launched, 0);
}

static void halves_and_widths(void **state)
{
	struct vmcs12 v;

	(void)state;
	memset(&v, 0, sizeof(v));
	assert_true(vmcs12_write(&v, vmcs12_find(VMCS_EPTP), VMCS_EPTP, 0x1122334455667788));
	assert_int_equal(vmcs12_read(&v, vmcs12_find(VMCS_EPTP + 1), VMCS_EPTP + 1), 0x11223344);
	assert_true(vmcs12_write(&v, vmcs12_find(VMCS_EPTP + 1), VMCS_EPTP + 1, 0xaabbccddeeff0011));
	assert_int_equal(v.eptp, 0xeeff001155667788);
	assert_false(vmcs12_write(&v, vmcs12_find(VMCS_EPTP), VMCS_EPTP, 0xeeff001155667788));
	assert_true(vmcs12_write(&v, vmcs12_find(VMCS_GUEST_CS_SEL), VMCS_GUEST_CS_SEL, 0x12345));
	assert_int_equal(v.guest_cs_sel, 0x2345);
	assert_int_equal(v.guest_es_sel | v.guest_ss_sel, 0);
	assert_true(vmcs12_write(&v, vmcs12_find(VMCS_GUEST_RIP), VMCS_GUEST_RIP, ~0ull));
	assert_int_equal(vmcs12_read(&v, vmcs12_find(VMCS_GUEST_RIP), VMCS_GUEST_RIP), ~0ull);
	assert_int_equal(vmcs12_find(VMCS_EXIT_REASON)->access, VMCS_ACCESS_RO);
	assert_int_equal(vmcs12_find(VMCS_EPTP)->group, GROUP_EXEC);
}

/* Each field by itself: the copy is exact, and a difference shows in the field's own group. */
static void replace_tells_what_differs(void **state)
{
	static struct vmcs12 v, region;

	(void)state;
	memset(&v, 0, sizeof(v));
	memset(&region, 0, sizeof(region));
	assert_int_equal(vmcs12_replace(&v, &region), 0);
	for (u32 i = 0; i < VMCS12_FIELD_COUNT; i++) {
		vmcs12_write(&region, &vmcs12_fields[i], 0, 0x8001000080008001);
		assert_true(vmcs12_replace(&v, &region) >> vmcs12_fields[i].group & 1);
		assert_memory_equal(&v, &region, sizeof(v));
		assert_int_equal(vmcs12_replace(&v, &region), 0);
	}
	region.launched = 1;
	assert_int_equal(vmcs12_replace(&v, &region), 0);
	assert_int_equal(v.launched, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lookup_is_a_search),
		cmocka_unit_test(fields_do_not_overlap),
		cmocka_unit_test(halves_and_widths),
		cmocka_unit_test(replace_tells_what_differs),
	};

	vmcs12_init(NEEDS_ALL);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
