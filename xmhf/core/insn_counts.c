/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See insn_counts.h. The counts of other CPUs are read while they may change: a benchmark keeps those CPUs quiet. */
#include "core/insn_counts.h"

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

bool insn_counts_cpuid(struct percpu *cpu, u32 leaf)
{
	if (leaf != INSN_COUNTS_LEAF)
		return false;
	bool second = cpu->gpr[GPR_RCX] & 1;

	cpu->gpr[GPR_RAX] = sum(second ? INSN_INVEPT : INSN_VMREAD);
	cpu->gpr[GPR_RBX] = sum(second ? INSN_INVVPID : INSN_VMWRITE);
	cpu->gpr[GPR_RCX] = second ? sum(INSN_IPI) : sum(INSN_VMPTRLD);
	cpu->gpr[GPR_RDX] = second ? exits() : sum(INSN_VMCLEAR);
	return true;
}
