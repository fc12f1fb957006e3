/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See insn_counts.h. The counts of other CPUs are read while they may change: a benchmark keeps those CPUs quiet. */
#include "report/insn_counts.h"

/* What the leaf answers in EAX, EBX, ECX, EDX, by ECX. */
#define EXITS INSN_KINDS
static const u8 answers[][4] = {
	{ INSN_VMREAD, INSN_VMWRITE, INSN_VMPTRLD, INSN_VMCLEAR },
	{ INSN_INVEPT, INSN_INVVPID, INSN_IPI, EXITS },
	{ INSN_IBPB, INSN_IBPB_TO_L1, INSN_FLUSH, INSN_FLUSH_TO_L2 },
};

static u32 sum(u32 kind)
{
	u64 total = 0;

	for (u32 i = 0; i < cpu_count; i++) {
		for (u32 mode = 0; kind == EXITS && mode < RUN_MODE_COUNT; mode++)
			total += cpus[i]->exits[mode];
		total += kind == EXITS ? 0 : cpus[i]->insns[kind];
	}
	return (u32)total;
}

enum taken insn_counts_cpuid(struct percpu *cpu, u32 leaf)
{
	static const u8 registers[] = { GPR_RAX, GPR_RBX, GPR_RCX, GPR_RDX };
	u64 row = MIN(cpu->gpr[GPR_RCX], ARRAY_SIZE(answers) - 1);

	if (leaf != INSN_COUNTS_LEAF)
		return NOT_TAKEN;
	for (u32 i = 0; i < ARRAY_SIZE(registers); i++)
		cpu->gpr[registers[i]] = sum(answers[row][i]);
	return ANSWERED;
}
