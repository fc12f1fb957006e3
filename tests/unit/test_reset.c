/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A machine that no port resets: all ways are tried in turn, each after the wipe, and the last one is a triple fault.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "../../hypapi/sim/machine/cpu/x86_insn.h"
#include "../../xmhf/power/reset.c"

struct acpi_info acpi_info = { .reset = { ACPI_IO, 0x1234 }, .reset_value = 0x99 };
struct percpu *cpus[MAX_CPUS];
u32 cpu_count = 2;
u64 direct_map_end;

static struct percpu two[2];
static u32 wiped_stacks, log_count;
static struct { u16 port; u32 value; } written[16];
static u64 now;
static bool written_back, cleared;
static sigjmp_buf end;

u64 clock_ticks_per_ms(void) { return 10; }
u64 machine_ticks(void) { return now += 5; }
void machine_relax(void) { }
void fpu_clear(void) { cleared = true; }
void pci_write8(u32 address, u8 value) { (void)address, (void)value; }
u64 root_map_stack_bytes(enum root_stack stack) { (void)stack; return 4096; }

void partition_wipe_caller(struct percpu *cpu)
{
	memset(cpu->partition.caller_gpr, 0, sizeof(cpu->partition.caller_gpr));
}

void root_map_wipe_stack(u32 cpu_index, enum root_stack stack)
{
	(void)cpu_index, (void)stack;
	wiped_stacks++;
}

u32 machine_in(u16 port, u32 size)
{
	(void)port, (void)size;
	return 0;
}

/* Caches are written back after the last wipe, and before the first way is tried. */
void machine_wbinvd(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(two); i++)
		for (size_t reg = 0; reg < GPR_COUNT; reg++)
			assert_int_equal(two[i].gpr[reg] | two[i].partition.caller_gpr[reg], 0);
	assert_int_equal(wiped_stacks, 4);
	written_back = true;
}

void machine_out(u16 port, u32 size, u32 value)
{
	(void)size;
	assert_true(written_back && cleared);
	assert_true(reset_is_near);
	assert_true(log_count < ARRAY_SIZE(written));
	written[log_count].port = port;
	written[log_count++].value = value;
}

/* LIDT: the last way. */
static void on_fault(int signal)
{
	(void)signal;
	siglongjmp(end, 1);
}

static void all_ways_in_turn(void **state)
{
	static const struct { u16 port; u32 value; } expected[] = {
		{ 0xcf9, 2 }, { 0xcf9, 6 }, { 0x1234, 0x99 }, { 0x64, 0xfe }, { 0x92, 0 }, { 0x92, 1 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(two); i++) {
		cpus[i] = &two[i];
		memset(two[i].gpr, 0x55, sizeof(two[i].gpr));
		memset(two[i].partition.caller_gpr, 0x66, sizeof(two[i].partition.caller_gpr));
	}
	two[0].quiesce.online = true; /* the other one does not end, and is not waited for without end */
	signal(SIGSEGV, on_fault);
	signal(SIGILL, on_fault);
	if (!sigsetjmp(end, 1))
		reset_machine(&two[0]);
	assert_int_equal(log_count, ARRAY_SIZE(expected));
	for (size_t i = 0; i < ARRAY_SIZE(expected); i++) {
		assert_int_equal(written[i].port, expected[i].port);
		assert_int_equal(written[i].value, expected[i].value);
	}
	assert_int_equal(wiped_stacks, 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(all_ways_in_turn) };

	return cmocka_run_group_tests_name("reset", tests, NULL, NULL);
}
