/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which CPUs the core takes from xmhf.efi: those of the MP services, with APIC ids of 32 bits, and none that the ACPI
 * tables have and nobody starts; no XMHF under XMHF that nobody asked for; and how a CPU that refuses goes back.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static uint64_t machine_memory; /* physical addresses are this program's */
#define DIRECT_MAP machine_memory
#include "../../hypapi/sim/machine/cpu/x86_insn.h"
#include "../../xmhf/boot/efi.c"

struct boot_info boot_info;
struct acpi_info acpi_info;
struct percpu *cpus[MAX_CPUS];
u32 cpu_count;
enum log_level log_threshold;
void (*boot_way_back)(const char *why);

static jmp_buf done;
static char refusal[256];
static struct efi_handoff told;
static u32 table_ids[3], table_count;
static bool is_twice, has_htt, has_xmhf;
static u32 boot_id;

void boot_refuse(const char *f, ...)
{
	va_list args;

	va_start(args, f);
	vsnprintf(refusal, sizeof(refusal), f, args);
	va_end(args);
	longjmp(done, 1);
}

struct cpuid_regs machine_cpuid(u32 leaf, u32 subleaf)
{
	(void)subleaf;
	if (leaf == XMHF_LEAF)
		return (struct cpuid_regs){ .eax = has_xmhf ? XMHF_LEAF : 0 };
	return (struct cpuid_regs){ .edx = leaf == 1 && has_htt ? BIT(28) : 0 };
}

bool cmdline_is(const char *name, const char *word)
{
	return is_twice && !strcmp(name, "twice") && !strcmp(word, "on");
}

void boot_read_options(void)
{
	acpi_info.cpu_count = table_count;
	memcpy(acpi_info.apic_ids, table_ids, sizeof(table_ids));
}

static enum efi_answer expected;
void efi_leave(u64 answer, u64 state, u64 cr3, u64 leave)
{
	(void)state, (void)cr3, (void)leave;
	assert_int_equal(answer, expected);
	longjmp(done, 2);
}

u32 lapic_boot_id(void) { return boot_id; }
u64 boot_root_bytes(void) { return SIZE_2M; }
void memory_map_add(u64 start, u64 size, u32 type) { (void)start, (void)size, (void)type; }
void firmware_complete(void) { }
void display_open(void) { }

/* What the core says of a machine with these CPUs; "" if it goes on. */
static const char *planned(u32 count, const u32 *ids, bool are_known)
{
	told = (struct efi_handoff){
		.cpu_count = count, .cpus_are_known = are_known,
		.map_entry_bytes = sizeof(struct efi_memory),
		.rsdp = { .checksum = 1, .revision = 2, .xsdt = 0x7000 },
	};
	for (u32 i = 0; i < count; i++)
		told.cpu[i].apic_id = ids[i];
	acpi_info = (struct acpi_info){ 0 };
	boot_id = ids[0];
	refusal[0] = 0;
	expected = EFI_PLANNED;
	if (!setjmp(done))
		efi_plan(0, (u64)&told);
	return refusal;
}

static void set_tables(u32 count, u32 a, u32 b, u32 c)
{
	table_count = count;
	table_ids[0] = a, table_ids[1] = b, table_ids[2] = c;
}

static void ids_of_32_bits(void **state)
{
	(void)state;
	set_tables(3, 0, 300, 0x10000);
	assert_string_equal(planned(3, (const u32[]){ 0x10000, 0, 300 }, true), "");
	assert_int_equal(boot_info.rsdp.xsdt, 0x7000); /* as an operating system takes it, with a wrong checksum */
	assert_int_equal(acpi_info.cpu_count, 3); /* in the firmware's order: the boot CPU first */
	assert_int_equal(acpi_info.apic_ids[0], 0x10000);
	assert_int_equal(acpi_info.apic_ids[2], 300);
	/* 300 is not 44, which is its lowest byte. */
	assert_non_null(strstr(planned(3, (const u32[]){ 0x10000, 0, 44 }, true), "APIC id 300"));
}

/* The tables have the ids that the APICs have, whatever firmware without MP services could tell. */
static void boot_cpu_is_renumbered(void **state)
{
	(void)state;
	set_tables(1, 7, 0, 0);
	assert_string_equal(planned(1, (const u32[]){ 7 }, false), "");
	told.cpu[0].apic_id = 0;
	acpi_info = (struct acpi_info){ 0 };
	if (!setjmp(done))
		efi_plan(0, (u64)&told);
	assert_string_equal(refusal, "");
	assert_int_equal(acpi_info.apic_ids[0], 7);
}

static void cpus_that_nobody_starts(void **state)
{
	(void)state;
	set_tables(2, 0, 1, 0);
	assert_string_equal(planned(2, (const u32[]){ 0, 1 }, true), "");
	assert_non_null(strstr(planned(1, (const u32[]){ 0 }, true), "APIC id 1"));
	assert_non_null(strstr(planned(1, (const u32[]){ 0 }, false), "APIC id 1"));
	set_tables(1, 0, 0, 0);
	assert_string_equal(planned(1, (const u32[]){ 0 }, false), "");
	/* The tables may know fewer: the firmware starts them, and they come under the core. */
	assert_string_equal(planned(2, (const u32[]){ 0, 1 }, true), "");
	assert_int_equal(acpi_info.cpu_count, 2);
	/* No tables: the MP services know; without them, the CPU. */
	set_tables(0, 0, 0, 0);
	has_htt = true;
	assert_string_equal(planned(1, (const u32[]){ 0 }, true), "");
	assert_non_null(strstr(planned(1, (const u32[]){ 0 }, false), "neither MP services nor"));
	has_htt = false;
	assert_string_equal(planned(1, (const u32[]){ 0 }, false), "");
	assert_int_equal(acpi_info.cpu_count, 1);
}

static void not_under_itself(void **state)
{
	(void)state;
	set_tables(1, 0, 0, 0);
	has_xmhf = true;
	assert_non_null(strstr(planned(1, (const u32[]){ 0 }, true), "runs on this machine already"));
	is_twice = true;
	assert_string_equal(planned(1, (const u32[]){ 0 }, true), "");
	has_xmhf = false;
	is_twice = false;
}

/* ---- What VMX operation needs while the boot CPU is in the firmware ---- */

static u64 control[9];
static struct percpu boot_cpu;
static bool is_joined = true;

u64 *machine_cr(u32 number) { return &control[number]; }
bool machine_rdmsr(u32 msr, u64 *value) { (void)msr, (void)value; return false; }
bool machine_wrmsr(u32 msr, u64 value) { (void)msr, (void)value; return true; }
void *machine_self(void)
{
	assert_true(is_joined);
	return &boot_cpu;
}
u64 root_map_low_cr3(u64 bytes) { (void)bytes; return 0; }
void percpu_load_tables(struct percpu *cpu) { assert_ptr_equal(cpu, &boot_cpu); }

/* As bridge.S: what it has given the firmware is saved when the boot CPU comes back, and what the firmware changed. */
void efi_switch(u64 answer, u64 state, u64 cr3, u64 leave)
{
	(void)answer, (void)state, (void)cr3, (void)leave;
	told.cpu[0].cr0 |= CR0_NE | CR0_WP;
	told.cpu[0].cr4 |= CR4_VMXE;
}

static void firmware_keeps_its_bits(void **state)
{
	(void)state;
	handoff = &told;
	for (u64 ne = 0; ne <= CR0_NE; ne += CR0_NE) {
		told = (struct efi_handoff){ .cpu_count = 1 };
		told.cpu[0].cr0 = CR0_PE | ne;
		told.cpu[0].cr4 = BIT(5);
		efi_start_others();
		assert_int_equal(told.cpu[0].cr0, CR0_PE | CR0_WP | ne);
		assert_int_equal(told.cpu[0].cr4, BIT(5));
	}
}

/* ---- Back to the firmware ---- */

static u64 ticks;
static bool boot_cpu_looks; /* as soon as it may see that another CPU has refused */
u64 machine_ticks(void) { return ticks += 1ul << 32; }
void machine_relax(void) { }
u64 clock_ticks_per_ms(void) { return 1; }
void iommu_end(void) { }
void smm_give_back(struct percpu *cpu) { (void)cpu; }
void speculation_enter_guest(struct percpu *cpu) { (void)cpu; }

/* The reason comes into the handoff: whoever looks now must not believe that it is there. */
size_t string_copy(char *to, const char *from, size_t room)
{
	boot_cpu_looks = atomic_load(&turn) == TURN_BACK;
	return (size_t)snprintf(to, room, "%s", from);
}

static void reason_is_there_before_it_is_told(void **state)
{
	static struct percpu other = { .index = 1, .world = &other.l1 };

	(void)state;
	told = (struct efi_handoff){ .cpu_count = 2 };
	handoff = &told;
	expected = EFI_REFUSED;
	boot_cpu.world = &boot_cpu.l1;
	control[4] = CR4_VMXE; /* the firmware's, too */
	cpu_count = 2;
	cpus[0] = &boot_cpu, cpus[1] = &other;
	turn = TURN_NOBODY;
	/* The firmware keeps the boot CPU: this one gives up. Its GS is the firmware's. */
	is_joined = false;
	if (!setjmp(done))
		efi_cpu_main(&other);
	is_joined = true;
	assert_int_equal(turn, TURN_BACK);
	assert_false(boot_cpu_looks);
	assert_non_null(strstr(told.refusal, "keeps the boot CPU"));
	/* Because of it the boot CPU refuses, too, and that is not told. */
	if (!setjmp(done))
		back_to_firmware("because of it");
	assert_non_null(strstr(told.refusal, "keeps the boot CPU"));
	cpu_count = 0;
}

/* ---- To the guest ---- */

static bool lvts_are_masked;
_Atomic bool smp_work_began;
_Atomic u64 quiesce_held = 1;
void smp_join(struct percpu *cpu) { (void)cpu; }
bool vmx_vmread(u32 field, u64 *value) { (void)field, *value = 0; return true; }
bool vmx_vmwrite(u32 field, u64 value) { (void)field, (void)value; return true; }
void smm_mask_lvts(const struct percpu *cpu) { lvts_are_masked = smp_work_began && cpu->index == 1; }
_Noreturn void vmx_run(struct percpu *cpu) { (void)cpu; longjmp(done, 3); }

/* Of a CPU that has not been started by INIT the LVT entries are as the firmware left them. */
static void other_cpu_masks_its_lvts(void **state)
{
	static struct percpu other = { .index = 1, .world = &other.l1 };

	(void)state;
	told = (struct efi_handoff){ .cpu_count = 2 };
	handoff = &told;
	turn = 1;
	smp_work_began = true;
	if (!setjmp(done))
		efi_cpu_main(&other);
	assert_true(lvts_are_masked);
	smp_work_began = false;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ids_of_32_bits),
		cmocka_unit_test(cpus_that_nobody_starts),
		cmocka_unit_test(not_under_itself),
		cmocka_unit_test(boot_cpu_is_renumbered),
		cmocka_unit_test(firmware_keeps_its_bits),
		cmocka_unit_test(reason_is_there_before_it_is_told),
		cmocka_unit_test(other_cpu_masks_its_lvts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
