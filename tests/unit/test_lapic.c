/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The local APIC at boot: which id this CPU has, and that an APIC that is off or at another place than the known one is
 * refused.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static uint64_t machine_memory;
#define DIRECT_MAP machine_memory
#define BY_CPUID 5
#define BY_MSR 300
#define BY_REGISTER 7
#include "../../hypapi/sim/machine/cpu/x86_insn.h"
static u32 initial_apic_id(void) { return BY_CPUID; }
#include "../../xmhf/cpu/lapic.c"

static u64 base;
static u32 page[1024] = { [LAPIC_ID / 4] = BY_REGISTER << 24 };
static jmp_buf refused;
static char why[256];

bool machine_rdmsr(u32 msr, u64 *value)
{
	*value = msr == MSR_APIC_BASE ? base : BY_MSR;
	return true;
}

void *root_map_uncached(hpa_t at)
{
	assert_true(at.addr == LAPIC_BASE);
	return page;
}

void boot_refuse(const char *f, ...)
{
	va_list args;

	va_start(args, f);
	vsnprintf(why, sizeof(why), f, args);
	va_end(args);
	longjmp(refused, 1);
}

/* Memory beyond the page is not mapped: a read of an APIC elsewhere is a fault. */
static const struct { u64 base; u32 id; bool is_refused; } places[] = {
	{ LAPIC_BASE | APIC_BASE_ENABLE, BY_REGISTER, false },
	{ LAPIC_BASE | APIC_BASE_ENABLE | APIC_BASE_BSP, BY_REGISTER, false },
	{ LAPIC_BASE, BY_CPUID, true },
	{ LAPIC_BASE | APIC_BASE_ENABLE | APIC_BASE_X2APIC, BY_MSR, false },
	{ 1ul << 36 | APIC_BASE_ENABLE | APIC_BASE_X2APIC, BY_MSR, false },
	{ 1ul << 36 | APIC_BASE_ENABLE, BY_CPUID, true },
	{ 0xfee01000 | APIC_BASE_ENABLE, BY_CPUID, true },
};

static bool is_refused(void)
{
	why[0] = 0;
	if (!setjmp(refused))
		lapic_init();
	return strstr(why, base & APIC_BASE_ENABLE ? "has moved the local APIC" : "has switched the local APIC off");
}

static void test_places(void **state)
{
	(void)state;
	machine_memory = (u64)page - LAPIC_BASE;
	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		base = places[i].base;
		assert_int_equal(lapic_boot_id(), places[i].id);
		assert_int_equal(is_refused(), places[i].is_refused);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_places) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
