/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is done against speculation, on mocks of CPUs: the decision, and each MSR write and VERW that comes of it at an
 * exit and entry, around a PAL, and between L1 and L2. The values of CPUID and IA32_ARCH_CAPABILITIES are those that
 * such CPUs report with microcode of 2024; what is not about speculation is left out.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <cmocka.h>

#include "cpu/speculation.h"
#include "cpu/traps.h"
#include "cpu/x86.h"

#define A(action) (1u << SPEC_##action)

struct counts { u32 spec_ctrl, pred_cmd, flush_cmd, verw; };

static const struct mock {
	const char *name;
	u32 ebx7, edx7, edx7_2;
	u64 arch;
	u32 actions;
	u64 root; /* IA32_SPEC_CTRL */
	/* An exit and an entry of a guest with IA32_SPEC_CTRL 0, and with root's value; a PAL; into L2; out to L1. */
	struct counts exit, same, pal, to_l2, to_l1;
} mocks[] = {
	{ "Skylake client", 1u << 11, 0x9c000400, 0, 0,
	  A(RSB_FILL) | A(CTRL_ALWAYS) | A(IBPB) | A(L1D_FLUSH) | A(VERW), 1,
	  { 2, 0, 0, 0 }, { 1, 0, 0, 0 }, { 2, 2, 1, 1 }, { 2, 0, 1, 0 }, { 2, 0, 0, 0 } },
	{ "Cascade Lake", 1u << 11, 0xbc000400, 0, 0xeb,
	  A(RSB_ONE) | A(CTRL_KEEP) | A(IBPB) | A(IBPB_TO_L1) | A(VERW), 1,
	  { 2, 0, 0, 0 }, { 0, 0, 0, 0 }, { 2, 2, 0, 1 }, { 2, 0, 0, 0 }, { 2, 1, 0, 0 } },
	{ "Alder Lake", 0, 0xbc000400, 0x1f, 0x1008fd6b,
	  A(THUNKS_PLAIN) | A(RSB_ONE) | A(CTRL_KEEP) | A(BHI_DIS) | A(IBPB) | A(IBPB_TO_L1) | A(VERW), 0x401,
	  { 2, 0, 0, 0 }, { 0, 0, 0, 0 }, { 2, 2, 0, 1 }, { 2, 0, 0, 0 }, { 2, 1, 0, 0 } },
	{ "Sapphire Rapids", 1u << 11, 0xbc000400, 0x1f, 0x8e16b,
	  A(THUNKS_PLAIN) | A(RSB_ONE) | A(CTRL_KEEP) | A(BHI_DIS) | A(IBPB) | A(IBPB_TO_L1), 0x401,
	  { 2, 0, 0, 0 }, { 0, 0, 0, 0 }, { 2, 2, 0, 0 }, { 2, 0, 0, 0 }, { 2, 1, 0, 0 } },
	/* Safe by its own word, but for MMIO stale data and what each guest may choose. */
	{ "safe but for MMIO", 1u << 11, 0xbc000400, 0, 0x112012b,
	  A(THUNKS_PLAIN) | A(CTRL_KEEP) | A(IBPB) | A(IBPB_TO_L1) | A(VERW), 1,
	  { 2, 0, 0, 0 }, { 0, 0, 0, 0 }, { 2, 2, 0, 1 }, { 2, 0, 0, 0 }, { 2, 1, 0, 0 } },
	/* With RRSBA and no BHI_DIS_S the retpolines stay, and need its own bit. */
	{ "retpolines and RRSBA", 0, 0xac000000, 1u << 2, 0x108012b,
	  A(CTRL_KEEP) | A(RRSBA_DIS) | A(IBPB) | A(IBPB_TO_L1), 0x41,
	  { 2, 0, 0, 0 }, { 0, 0, 0, 0 }, { 2, 2, 0, 0 }, { 2, 0, 0, 0 }, { 2, 1, 0, 0 } },
	{ "without RSBA", 0, 0xac000400, 0, 0x01, A(RSB_FILL) | A(IBPB) | A(VERW), 0,
	  { 0, 0, 0, 0 }, { 0, 0, 0, 0 }, { 0, 2, 0, 1 }, { 0, 0, 0, 0 }, { 0, 0, 0, 0 } },
	{ "emulator", 0, 0, 0, 0, 0, 0,
	  { 0, 0, 0, 0 }, { 0, 0, 0, 0 }, { 0, 0, 0, 0 }, { 0, 0, 0, 0 }, { 0, 0, 0, 0 } },
};

static struct percpu cpu;
static const struct mock *now;
static u64 spec_ctrl;
static struct counts counted;

bool machine_rdmsr(u32 msr, u64 *value)
{
	if (msr == MSR_SPEC_CTRL && now->edx7 & 1u << 26) {
		*value = spec_ctrl;
		return true;
	}
	if (msr == MSR_ARCH_CAPABILITIES && now->edx7 & 1u << 29) {
		*value = now->arch;
		return true;
	}
	return false;
}

bool machine_wrmsr(u32 msr, u64 value)
{
	if (msr == MSR_SPEC_CTRL && now->edx7 & 1u << 26 && !(value & ~0x4fful)) {
		spec_ctrl = value;
		counted.spec_ctrl++;
		return true;
	}
	if (msr == MSR_PRED_CMD && now->edx7 & 1u << 26 && value == 1) {
		counted.pred_cmd++;
		return true;
	}
	if (msr == MSR_FLUSH_CMD && now->edx7 & 1u << 28 && value == 1) {
		counted.flush_cmd++;
		return true;
	}
	return false;
}

bool rdmsr_safe(u32 msr, u64 *value) { return machine_rdmsr(msr, value); }
bool wrmsr_safe(u32 msr, u64 value) { return machine_wrmsr(msr, value); }
void *machine_self(void) { return &cpu; }

void machine_verw(void)
{
	assert_true(now->edx7 & 1u << 10 || now->arch & 1u << 28);
	/* Last of all, and with the guest's value in force: nothing of root's follows. */
	assert_int_equal(spec_ctrl, cpu.guest_spec_ctrl);
	counted.verw++;
}

static void start(const struct mock *mock, u64 guest)
{
	struct cpuid_regs leaf7 = { .ebx = mock->ebx7, .edx = mock->edx7 }, leaf7_2 = { .edx = mock->edx7_2 };

	now = mock;
	cpu = (struct percpu){ .self = &cpu };
	speculation_decide(&leaf7, &leaf7_2, mock->arch, &speculation);
	spec_ctrl = 0;
	speculation_cpu_init(&cpu);
	spec_ctrl = guest;
	counted = (struct counts){ 0 };
}

/* As entry.S does. */
static void vm_exit(void)
{
	if (speculation_guards_exits())
		speculation_leave_guest(&cpu);
}

static void vm_entry(void)
{
	if (cpu.guard)
		speculation_enter_guest(&cpu);
}

static void check(const char *what, const struct counts *wanted)
{
	if (counted.spec_ctrl != wanted->spec_ctrl || counted.pred_cmd != wanted->pred_cmd ||
	    counted.flush_cmd != wanted->flush_cmd || counted.verw != wanted->verw)
		fail_msg("%s, %s: SPEC_CTRL %u, PRED_CMD %u, FLUSH_CMD %u, VERW %u", now->name, what, counted.spec_ctrl,
			 counted.pred_cmd, counted.flush_cmd, counted.verw);
	counted = (struct counts){ 0 };
}

static void each_cpu_does_what_it_needs(void **state)
{
	(void)state;
	for (const struct mock *m = mocks; m < mocks + ARRAY_SIZE(mocks); m++) {
		start(m, 0);
		if (speculation.actions != m->actions || speculation.spec_ctrl != m->root)
			fail_msg("%s: actions %x, IA32_SPEC_CTRL %lx", m->name, speculation.actions,
				 speculation.spec_ctrl);
		vm_exit();
		vm_entry();
		check("exit", &m->exit);
		vm_exit();
		speculation_partition_crossed(); /* in and out; the exit between is one of those above */
		speculation_partition_crossed();
		speculation_touched(&cpu);
		vm_entry();
		check("a PAL", &m->pal);
		vm_exit();
		speculation_to_l2(&cpu);
		vm_entry();
		check("into L2", &m->to_l2);
		vm_exit();
		speculation_to_l1();
		vm_entry();
		check("out to L1", &m->to_l1);
		start(m, m->root);
		vm_exit();
		vm_entry();
		check("exit of a guest with root's value", &m->same);
	}
}

/*
 * Root has its own value, whatever the guest chose, and gives the guest's back; also one that a list wrote meanwhile.
 */
static void root_and_guest_have_their_own_value(void **state)
{
	u64 value;

	(void)state;
	for (const struct mock *m = mocks; m < mocks + ARRAY_SIZE(mocks); m++) {
		start(m, 0x4);
		vm_exit();
		assert_int_equal(spec_ctrl, m->root ? m->root : 0x4);
		assert_int_equal(speculation_read_ctrl(&cpu, MSR_SPEC_CTRL, &value), m->edx7 >> 26 & 1);
		assert_int_equal(speculation_write_ctrl(&cpu, MSR_SPEC_CTRL, 1ul << 60), false);
		assert_int_equal(speculation_write_ctrl(&cpu, MSR_SPEC_CTRL, 0x84), m->edx7 >> 26 & 1);
		if (m->root)
			assert_int_equal(spec_ctrl, m->root);
		vm_entry();
		if (m->edx7 >> 26 & 1)
			assert_int_equal(spec_ctrl, 0x84);
	}
}

/* A stop between the flush and the entry takes root back: with its own value, and no flush is forgotten. */
static void root_goes_on_after_the_guard(void **state)
{
	(void)state;
	for (const struct mock *m = mocks; m < mocks + ARRAY_SIZE(mocks); m++) {
		if (!m->root)
			continue;
		start(m, 0);
		vm_exit();
		vm_entry();
		speculation_leave_guest(&cpu);
		assert_int_equal(spec_ctrl, m->root);
		speculation_touched(&cpu);
		counted = (struct counts){ 0 };
		vm_entry();
		assert_int_equal(spec_ctrl, 0);
		assert_int_equal(counted.flush_cmd, m->pal.flush_cmd);
		assert_int_equal(counted.verw, m->pal.verw);
	}
}

static void l1_reads_that_l0_flushes(void **state)
{
	u64 value;

	(void)state;
	start(&mocks[0], 0); /* has no such MSR: CPUID shows it, as vmx/cpuid.c does it */
	assert_true(speculation_read_capabilities(&cpu, MSR_ARCH_CAPABILITIES, &value));
	assert_int_equal(value, 8);
	start(&mocks[1], 0);
	assert_true(speculation_read_capabilities(&cpu, MSR_ARCH_CAPABILITIES, &value));
	assert_int_equal(value, mocks[1].arch);
	start(&mocks[ARRAY_SIZE(mocks) - 1], 0);
	assert_false(speculation_read_capabilities(&cpu, MSR_ARCH_CAPABILITIES, &value));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_cpu_does_what_it_needs), cmocka_unit_test(root_and_guest_have_their_own_value),
		cmocka_unit_test(root_goes_on_after_the_guard), cmocka_unit_test(l1_reads_that_l0_flushes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
