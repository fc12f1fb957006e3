/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See speculation.h. The table rests on Intel's guidance on branch target injection, return stack buffer underflow,
 * post-barrier RSB predictions, branch history injection, L1 terminal fault, and register and buffer sampling. Where a
 * CPU does not say that it is safe, it is taken as unsafe. docs/security.md says what is not done.
 */
#include "cpu/speculation.h"

#include "cpu/traps.h"
#include "cpu/x86.h"

/*
 * IA32_ARCH_CAPABILITIES, by its own bits; and what CPUID offers, from bit 40 on, where that MSR has nothing that
 * counts.
 */
#define RDCL_NO BIT(0)
#define IBRS_ALL BIT(1)
#define RSBA BIT(2)
#define SKIP_L1DFL BIT(3)
#define MDS_NO BIT(5)
#define TAA_NO BIT(8)
#define FB_CLEAR BIT(17)
#define RRSBA BIT(19)
#define BHI_NO BIT(20)
#define PBRSB_NO BIT(24)
#define RFDS_CLEAR BIT(28)
#define ARCH_BITS BITS(39, 0)
#define HAS_SPEC_CTRL BIT(40)
#define HAS_L1D_FLUSH BIT(41)
#define HAS_MD_CLEAR BIT(42)
#define HAS_ARCH BIT(43)
#define HAS_RTM BIT(44)
#define HAS_RRSBA_CTRL BIT(45)
#define HAS_BHI_CTRL BIT(46)

#define SPEC_CTRL_IBRS BIT(0)
#define SPEC_CTRL_RRSBA_DIS_S BIT(6)
#define SPEC_CTRL_BHI_DIS_S BIT(10)
#define PRED_CMD_IBPB BIT(0)
#define FLUSH_CMD_L1D BIT(0)

struct speculation speculation;
_Static_assert(offsetof(struct speculation, exit) == 0, "entry.S");

/* An action is taken if one of its rows has all of `with` and none of `without`. */
static const struct { u8 action; u64 with, without; } rules[] = {
	{ SPEC_THUNKS_PLAIN, HAS_SPEC_CTRL | IBRS_ALL | BHI_NO, 0 },
	{ SPEC_THUNKS_PLAIN, HAS_SPEC_CTRL | IBRS_ALL | HAS_BHI_CTRL, 0 },
	{ SPEC_RSB_FILL, HAS_SPEC_CTRL, IBRS_ALL },
	{ SPEC_RSB_ONE, HAS_SPEC_CTRL | IBRS_ALL, PBRSB_NO },
	{ SPEC_CTRL_KEEP, HAS_SPEC_CTRL | IBRS_ALL, 0 },
	/* Returns that find the return stack buffer empty go by the branch target buffer (RSBA), or may do so. */
	{ SPEC_CTRL_ALWAYS, HAS_SPEC_CTRL, HAS_ARCH },
	{ SPEC_CTRL_ALWAYS, HAS_SPEC_CTRL | RSBA, IBRS_ALL },
	{ SPEC_CTRL_ALWAYS, HAS_SPEC_CTRL | RRSBA, IBRS_ALL },
	{ SPEC_BHI_DIS, HAS_SPEC_CTRL | IBRS_ALL | HAS_BHI_CTRL, BHI_NO },
	/* A retpoline is a return. */
	{ SPEC_RRSBA_DIS, HAS_SPEC_CTRL | IBRS_ALL | RRSBA | HAS_RRSBA_CTRL, HAS_BHI_CTRL | BHI_NO },
	{ SPEC_IBPB, HAS_SPEC_CTRL, 0 },
	{ SPEC_IBPB_TO_L1, HAS_SPEC_CTRL | IBRS_ALL, 0 },
	{ SPEC_L1D_FLUSH, HAS_L1D_FLUSH, RDCL_NO | SKIP_L1DFL },
	{ SPEC_VERW, HAS_MD_CLEAR, MDS_NO },
	{ SPEC_VERW, HAS_MD_CLEAR | HAS_RTM, TAA_NO },
	{ SPEC_VERW, HAS_MD_CLEAR | FB_CLEAR, 0 },
	{ SPEC_VERW, RFDS_CLEAR, 0 },
};

static const struct { u8 action; u64 bit; } spec_ctrl_bits[] = {
	{ SPEC_CTRL_KEEP, SPEC_CTRL_IBRS }, { SPEC_CTRL_ALWAYS, SPEC_CTRL_IBRS },
	{ SPEC_BHI_DIS, SPEC_CTRL_BHI_DIS_S }, { SPEC_RRSBA_DIS, SPEC_CTRL_RRSBA_DIS_S },
};

static u64 facts_of(const struct cpuid_regs *leaf7, const struct cpuid_regs *leaf7_2, u64 arch)
{
	const struct { u32 reg; u8 bit; u64 fact; } offers[] = {
		{ leaf7->edx, 26, HAS_SPEC_CTRL }, { leaf7->edx, 28, HAS_L1D_FLUSH }, { leaf7->edx, 10, HAS_MD_CLEAR },
		{ leaf7->edx, 29, HAS_ARCH }, { leaf7->ebx, 11, HAS_RTM }, { leaf7_2->edx, 2, HAS_RRSBA_CTRL },
		{ leaf7_2->edx, 4, HAS_BHI_CTRL },
	};
	u64 facts = arch & ARCH_BITS;

	for (size_t i = 0; i < ARRAY_SIZE(offers); i++)
		if (offers[i].reg & BIT(offers[i].bit))
			facts |= offers[i].fact;
	return facts;
}

void speculation_decide(const struct cpuid_regs *leaf7, const struct cpuid_regs *leaf7_2, u64 arch,
			struct speculation *s)
{
	u64 facts = facts_of(leaf7, leaf7_2, arch);

	*s = (struct speculation){ 0 };
	for (size_t i = 0; i < ARRAY_SIZE(rules); i++)
		if ((facts & rules[i].with) == rules[i].with && !(facts & rules[i].without))
			s->actions |= (u32)BIT(rules[i].action);
	for (size_t i = 0; i < ARRAY_SIZE(spec_ctrl_bits); i++)
		if (s->actions & BIT(spec_ctrl_bits[i].action))
			s->spec_ctrl |= spec_ctrl_bits[i].bit;
	if (s->actions & BIT(SPEC_L1D_FLUSH))
		s->touched = s->to_l2 = GUARD_L1D;
	if (s->actions & BIT(SPEC_VERW))
		s->touched |= GUARD_VERW;
	if (s->actions & BIT(SPEC_RSB_FILL))
		s->exit |= SPEC_EXIT_RSB_FILL;
	if (s->actions & BIT(SPEC_RSB_ONE))
		s->exit |= SPEC_EXIT_RSB_ONE;
}

void speculation_cpu_init(struct percpu *cpu)
{
	if (!speculation.spec_ctrl)
		return;
	cpu->guest_spec_ctrl = rdmsr(MSR_SPEC_CTRL);
	wrmsr(MSR_SPEC_CTRL, speculation.spec_ctrl);
	cpu->guard |= GUARD_SPEC_CTRL;
}

void speculation_barrier(void)
{
	wrmsr(MSR_PRED_CMD, PRED_CMD_IBPB);
}

void speculation_leave_guest(struct percpu *cpu)
{
	lfence(); /* nothing here runs ahead of the refilling of the return stack buffer */
	if (speculation.spec_ctrl) {
		cpu->guest_spec_ctrl = rdmsr(MSR_SPEC_CTRL);
		if (cpu->guest_spec_ctrl != speculation.spec_ctrl || speculation_does(SPEC_CTRL_ALWAYS))
			wrmsr(MSR_SPEC_CTRL, speculation.spec_ctrl);
	}
	lfence(); /* nor does root run with the guest's value, should the CPU have guessed that branch */
}

void speculation_enter_guest(struct percpu *cpu)
{
	u32 guard = cpu->guard;

	cpu->guard = guard & (GUARD_SPEC_CTRL | GUARD_LOG);
	if (CONFIG_INSN_COUNTS && (guard & GUARD_COUNT_TOUCHED))
		insn_count(INSN_FLUSH);
	if (CONFIG_INSN_COUNTS && (guard & GUARD_COUNT_TO_L2))
		insn_count(INSN_FLUSH_TO_L2);
	if (guard & GUARD_L1D)
		wrmsr(MSR_FLUSH_CMD, FLUSH_CMD_L1D);
	if ((guard & GUARD_SPEC_CTRL) && cpu->guest_spec_ctrl != speculation.spec_ctrl)
		wrmsr(MSR_SPEC_CTRL, cpu->guest_spec_ctrl);
	if (guard & GUARD_VERW)
		verw();
}

bool speculation_read_ctrl(struct percpu *cpu, u32 msr, u64 *value)
{
	*value = cpu->guest_spec_ctrl;
	return speculation.spec_ctrl || rdmsr_safe(msr, value);
}

bool speculation_write_ctrl(struct percpu *cpu, u32 msr, u64 value)
{
	if (!wrmsr_safe(msr, value))
		return false;
	cpu->guest_spec_ctrl = value;
	if (speculation.spec_ctrl)
		wrmsr(msr, speculation.spec_ctrl);
	return true;
}

bool speculation_read_capabilities(struct percpu *cpu, u32 msr, u64 *value)
{
	(void)cpu;
	if (!rdmsr_safe(msr, value)) {
		if (!speculation_does(SPEC_L1D_FLUSH))
			return false;
		*value = 0;
	}
	*value |= speculation_does(SPEC_L1D_FLUSH) ? SKIP_L1DFL : 0;
	return true;
}
