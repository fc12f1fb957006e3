/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the core does in VMX instructions and IPIs, for `make bench` (configure --enable-insn-counts): they are free in
 * an emulator and dear on silicon. Per-CPU counts, written by their owner; no code at all in an ordinary build. Guests
 * of both levels read the sums over all CPUs by CPUID, where the build has them:
 *
 *     EAX = 0x78696e73, ECX = 0: EAX, EBX, ECX, EDX = VMREAD, VMWRITE, VMPTRLD, VMCLEAR
 *                       ECX = 1: INVEPT, INVVPID, IPIs (a broadcast is one), VM exits
 *                       ECX = 2: what a CPU that needs it would do against speculation, see cpu/speculation.h:
 *                                barriers of indirect branches (IBPB) around partitions, and from L2 to L1; flushes of
 *                                L1D and buffers after secrets were touched; flushes of L1D before L2 runs
 */
#ifndef XMHF_INSN_COUNTS_H
#define XMHF_INSN_COUNTS_H

#include "core/config.h"
#include "cpu/percpu.h"
#include "events/taken.h"

#define INSN_COUNTS_LEAF 0x78696e73u

static inline void insn_count(enum insn_kind kind)
{
	if (CONFIG_INSN_COUNTS)
		this_cpu()->insns[kind]++;
}

/* Answers the leaf, or NOT_TAKEN: this CPUID is another. Called in builds with counts. */
enum taken insn_counts_cpuid(struct percpu *cpu, u32 leaf);

#endif
