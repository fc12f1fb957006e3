/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which APIC ids the core starts: above 254, as the emulators' CPUs do not have them, in x2APIC mode alone, since no
 * NMI of a stop would reach that CPU. By xmhf.efi and by INIT and SIPI, before any CPU is started. And that each CPU's
 * own APIC is looked at before it is used.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "../../xmhf/cpu/smp_boot.c"

struct acpi_info acpi_info;
u32 cpu_count;

static struct percpu self = { .apic_id = 0 };
static jmp_buf done;
static char refusal[256];
static bool by_firmware;

void *machine_self(void) { return &self; }
bool efi_stays(void) { return by_firmware; }
void efi_start_others(void) { longjmp(done, 2); }
void *pages_boot_alloc(u64 count) { (void)count; longjmp(done, 2); } /* the first step by INIT and SIPI */

#define ANOTHER_BASE 0xfee00800ul
static u64 checked;

bool machine_rdmsr(u32 msr, u64 *value) { *value = msr == MSR_APIC_BASE ? ANOTHER_BASE : 0; return true; }
u64 *machine_cr(u32 number) { static u64 cr[9]; return &cr[number]; }
u64 root_map_cr3(void) { return 0; }
void percpu_load(struct percpu *cpu) { (void)cpu; }
void traps_unblock_nmi(void) { }
void mtrr_read(struct percpu *cpu) { (void)cpu; }
void lapic_check(u64 base) { checked = base; }
void smm_probe(struct percpu *cpu) { (void)cpu; longjmp(done, 2); } /* by an IPI */

void boot_refuse(const char *f, ...)
{
	va_list args;

	va_start(args, f);
	vsnprintf(refusal, sizeof(refusal), f, args);
	va_end(args);
	longjmp(done, 1);
}

/* Of a machine with CPU 0 and this one: the refusal, or "" if CPUs are started. */
static const char *started_with(u32 apic_id, bool x2apic)
{
	acpi_info = (struct acpi_info){ .cpu_count = 2, .apic_ids = { 0, apic_id } };
	self.apic.base = 0xfee00900 | (x2apic ? APIC_BASE_X2APIC : 0);
	refusal[0] = 0;
	if (!setjmp(done))
		smp_start_others();
	return refusal;
}

static void ids_above_254(void **state)
{
	(void)state;
	for (int way = 0; way < 2; way++) {
		by_firmware = way;
		assert_string_equal(started_with(254, false), "");
		assert_non_null(strstr(started_with(255, false), "APIC id 255, above 254, and x2APIC mode is off"));
		assert_non_null(strstr(started_with(0x10000, false), "APIC id 65536"));
		assert_string_equal(started_with(255, true), "");
		assert_string_equal(started_with(0x10000, true), "");
	}
}

static void apic_of_another_cpu(void **state)
{
	(void)state;
	if (!setjmp(done))
		smp_join(&self);
	assert_int_equal(checked, ANOTHER_BASE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ids_above_254),
		cmocka_unit_test(apic_of_another_cpu),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
