/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See insn_counts.h. The counts of other CPUs are read while they may change: a benchmark keeps those CPUs quiet. */
#include "report/insn_counts.h"

static u32 sum(enum insn_kind kind)
{
	u64 total = 0;

	for (u32 i = 0; i < cpu_count; i++)
		total += cpus[i]->insns[kind];
	return (u32)total;
}

static u32 exits(void)
{
	u64 total = 0;

	for (u32 i = 0; i < cpu_count; i++)
		for (u32 mode = 0; mode < RUN_MODE_COUNT; mode++)
			total += cpus[i]->stats.exits[mode];
	return (u32)total;
}

static void answer(struct percpu *cpu, u32 a, u32 b, u32 c, u32 d)
{
	cpu->gpr[GPR_RAX] = a;
	cpu->gpr[GPR_RBX] = b;
	cpu->gpr[GPR_RCX] = c;
	cpu->gpr[GPR_RDX] = d;
}

enum taken insn_counts_cpuid(struct percpu *cpu, u32 leaf)
{
	if (leaf != INSN_COUNTS_LEAF)
		return NOT_TAKEN;
	switch (cpu->gpr[GPR_RCX]) {
	case 0:
		answer(cpu, sum(INSN_VMREAD), sum(INSN_VMWRITE), sum(INSN_VMPTRLD), sum(INSN_VMCLEAR));
		break;
	case 1:
		answer(cpu, sum(INSN_INVEPT), sum(INSN_INVVPID), sum(INSN_IPI), exits());
		break;
	default:
		answer(cpu, sum(INSN_IBPB), sum(INSN_IBPB_TO_L1), sum(INSN_FLUSH), sum(INSN_FLUSH_TO_L2));
	}
	return ANSWERED;
}
