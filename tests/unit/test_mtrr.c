/* SPDX-License-Identifier: GPL-2.0-or-later */
/* mem/mtrr.c on the host: the memory types of EPT01, which are L1's, and that of SMRAM, which is not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define XMHF_X86_INSN_H /* in place of the real instructions */
#include "lib/base.h"

struct cpuid_regs { u32 eax, ebx, ecx, edx; };
static struct cpuid_regs cpuid(u32 leaf, u32 subleaf)
{
	(void)leaf, (void)subleaf;
	return (struct cpuid_regs){ 39, 0, 0, 0 };
}
static u64 rdmsr(u32 msr);
static void *read_gs_self(void) { return NULL; }
static inline void cpu_pause(void) { }

#include "../../xmhf/mem/mtrr.c"

static u64 def_type, fixed, variable[2];

static u64 rdmsr(u32 msr)
{
	if (msr == MSR_MTRRCAP)
		return 0x508;
	if (msr == MSR_MTRR_DEF_TYPE)
		return def_type;
	return msr - MSR_MTRR_PHYSBASE0 < 2 ? variable[msr - MSR_MTRR_PHYSBASE0] : msr >= MSR_MTRR_FIX64K ? fixed : 0;
}

bool event_prepare(struct percpu *cpu, enum hypapi_event_type type, const void *args, size_t size)
{
	(void)cpu, (void)type, (void)args, (void)size;
	return true;
}

void event_tell(struct percpu *cpu, enum hypapi_event_type type, enum hypapi_level level, const void *args, size_t size)
{
	(void)cpu, (void)type, (void)level, (void)args, (void)size;
}

/* What was retyped, in regions of 1 MiB below 4 GiB. */
static bool retyped, again[4096];
void ept01_retype(u64 start, u64 end)
{
	retyped = true;
	assert_true(start < end);
	for (u64 i = start >> 20; i < ARRAY_SIZE(again) && i <= (end - 1) >> 20; i++)
		again[i] = true;
}

bool quiesce_begin(struct quiesce_cpu *q) { (void)q; return true; }
bool quiesce_end(struct quiesce_cpu *q) { (void)q; return true; }

static void set_up(u64 type, u64 of_fixed)
{
	static struct percpu cpu;

	def_type = type;
	fixed = of_fixed;
	variable[0] = variable[1] = 0;
	mtrr_read(&cpu);
	mtrr_publish(&cpu);
}

static void types_are_those_of_l1(void **state)
{
	(void)state;
	set_up(DEF_ENABLE | DEF_FIXED | MTRR_WB, 0x0606060606060606);
	assert_int_equal(mtrr_type(0x80000, PAGE_SIZE), MTRR_WB);
	assert_int_equal(mtrr_type(0xc0000, PAGE_SIZE), MTRR_WB);
	assert_int_equal(mtrr_type(0x200000, SIZE_2M), MTRR_WB);
	assert_int_equal(mtrr_type(0, SIZE_2M), -1);
	set_up(DEF_ENABLE | MTRR_WB, 0);
	assert_int_equal(mtrr_type(0, SIZE_2M), -1);
	assert_int_equal(mtrr_type(0x9f000, PAGE_SIZE), MTRR_WB);
	assert_int_equal(mtrr_type(0xf0000, PAGE_SIZE), MTRR_WB);
	assert_int_equal(mtrr_type(0x40000000, SIZE_1G), MTRR_WB);
}

static void smram_is_never_cached(void **state)
{
	static const u64 types[] = { DEF_ENABLE | DEF_FIXED | MTRR_WB, DEF_ENABLE | MTRR_WB, 0 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		set_up(types[i], 0x0606060606060606);
		for (u64 at = 0xa0000; at < 0xc0000; at += PAGE_SIZE)
			assert_int_equal(mtrr_type(at, PAGE_SIZE), TYPE_UC);
		assert_int_not_equal(mtrr_type(0, SIZE_2M), MTRR_WB);
		assert_int_not_equal(mtrr_type(0, SIZE_1G), MTRR_WB);
	}
}

static void tseg_is_never_cached(void **state)
{
	static const u8 types[] = { MTRR_WB, TYPE_WT, TYPE_UC, 1, 5 };
	const u64 tseg = 0x3f900000, end = 0x40000000;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		set_up(DEF_ENABLE | types[i], 0x0606060606060606);
		retyped = false;
		mtrr_keep_uncached(tseg, end);
		assert_true(retyped);
		assert_int_equal(mtrr_type(tseg, PAGE_SIZE), TYPE_UC);
		assert_int_equal(mtrr_type(end - PAGE_SIZE, PAGE_SIZE), TYPE_UC);
		assert_int_equal(mtrr_type(tseg + 0x100000, SIZE_2M), TYPE_UC);
		assert_int_equal(mtrr_type(tseg - 0x100000, SIZE_2M), -1);
		assert_int_equal(mtrr_type(0, SIZE_1G), -1);
		assert_int_equal(mtrr_type(tseg - PAGE_SIZE, PAGE_SIZE), types[i]);
		assert_int_equal(mtrr_type(end, SIZE_2M), types[i]);
	}
}

/* A write while MTRRs are on: wherever a type is another one than before EPT01 looks again, and not everywhere. */
static void only_changes_are_retyped(void **state)
{
	static struct percpu cpu;
	static int before[ARRAY_SIZE(again)];
	static const struct { u32 offset; u64 value; u32 most; } writes[] = { /* from PHYSBASE0; MiB to retype */
		{ 0, 0xc0000000 | TYPE_UC, 0 }, { 1, (BITS(38, 28)) | MASK_VALID, 256 }, { 0, 0xc0000000 | 1, 256 },
		{ 0, 0x10000000 | 1, 512 }, { 3, BITS(38, 12) & ~BIT(20), 0 }, { 2, 0x200000 | TYPE_WT, 0 },
		{ 3, (BITS(38, 12) & ~BIT(22)) | MASK_VALID, 4096 }, /* a mask with a hole */
		{ 3, 0, 4096 }, { 1, 0, 256 },
	};

	(void)state;
	def_type = DEF_ENABLE | DEF_FIXED | MTRR_WB;
	fixed = 0x0606060606060606;
	variable[0] = variable[1] = 0;
	mtrr_read(&cpu);
	mtrr_publish(&cpu);
	for (size_t i = 0; i < ARRAY_SIZE(writes); i++) {
		u32 count = 0;

		for (u64 at = 0; at < ARRAY_SIZE(again); at++)
			before[at] = mtrr_type(at << 20, PAGE_SIZE);
		memset(again, 0, sizeof(again));
		assert_true(mtrr_write_msr(&cpu, MSR_MTRR_PHYSBASE0 + writes[i].offset, writes[i].value));
		for (u64 at = 0; at < ARRAY_SIZE(again); at++) {
			assert_true(again[at] || before[at] == mtrr_type(at << 20, PAGE_SIZE));
			count += again[at];
		}
		assert_in_range(count, 0, writes[i].most);
	}
	memset(again, 0, sizeof(again));
	assert_true(mtrr_write_msr(&cpu, MSR_MTRR_FIX64K, 0));
	assert_true(again[0] && !again[1]);
	assert_true(mtrr_write_msr(&cpu, MSR_MTRR_DEF_TYPE, DEF_ENABLE | DEF_FIXED));
	assert_true(again[0] && again[4095]);
}

/* What is on counts, as it is now: UC wins over all, WT over WB. */
static void ranges_that_are_on_count(void **state)
{
	enum { AT = 0x60000000, SIZE = 0x10000000 };
	static struct percpu cpu;
	static const struct { u32 offset; u64 value; int first, second; } writes[] = { /* types at AT, at AT + SIZE */
		{ 1, BITS(38, 28) | MASK_VALID, MTRR_WB, MTRR_WB }, { 0, AT | TYPE_UC, TYPE_UC, MTRR_WB },
		{ 4, (AT + SIZE) | TYPE_WT, TYPE_UC, MTRR_WB }, { 5, BITS(38, 28) | MASK_VALID, TYPE_UC, TYPE_WT },
		{ 1, 0, MTRR_WB, TYPE_WT }, { 4, AT | TYPE_WT, TYPE_WT, MTRR_WB },
		{ 1, BITS(38, 28) | MASK_VALID, TYPE_UC, MTRR_WB }, { 5, BITS(38, 28), TYPE_UC, MTRR_WB },
		{ 0, AT | MTRR_WB, MTRR_WB, MTRR_WB }, { 5, BITS(38, 28) | MASK_VALID, TYPE_WT, MTRR_WB },
	};

	(void)state;
	set_up(DEF_ENABLE | MTRR_WB, 0);
	mtrr_read(&cpu);
	cpu.mtrr.var[0] = 0x80000000 | TYPE_UC; /* off */
	for (size_t i = 0; i < ARRAY_SIZE(writes); i++) {
		assert_true(mtrr_write_msr(&cpu, MSR_MTRR_PHYSBASE0 + writes[i].offset, writes[i].value));
		assert_int_equal(mtrr_type(AT, SIZE_2M), writes[i].first);
		assert_int_equal(mtrr_type(AT + SIZE, PAGE_SIZE), writes[i].second);
		assert_int_equal(mtrr_type(AT - SIZE_2M, SIZE_2M), MTRR_WB);
	}
	assert_int_equal(mtrr_type(AT & ~(SIZE_1G - 1), SIZE_1G), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(types_are_those_of_l1),
		cmocka_unit_test(smram_is_never_cached),
		cmocka_unit_test(tseg_is_never_cached),
		cmocka_unit_test(only_changes_are_retyped),
		cmocka_unit_test(ranges_that_are_on_count),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
