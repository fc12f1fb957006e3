/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is done against speculation: in root, as the target of guests that train the CPU's predictors, and between
 * worlds that share a CPU. Decided once, at boot, from what the CPU offers and says of itself (the table in
 * speculation.c), before root's text becomes read-only; carried out here and in vmx/entry.S. A CPU that needs nothing
 * executes nothing: its exits come to another entry point, and its `guard` is never set.
 *
 * guard, a word of each CPU beside `work`: what must be done after root's last access to memory and before the guest
 * runs. Owner CPU only.
 */
#ifndef XMHF_SPECULATION_H
#define XMHF_SPECULATION_H

/* Bits of speculation.exit, for vmx/entry.S */
#define SPEC_EXIT_RSB_FILL 1 /* no return of root uses what a guest left in the return stack buffer */
#define SPEC_EXIT_RSB_ONE 2  /* the same where only its top can be used (post-barrier RSB predictions) */

#define SPEC_THUNK_BYTES 64 /* of each indirect branch's thunk; its code begins in the middle */

#ifndef __ASSEMBLER__

#include "cpu/percpu.h"
#include "report/insn_counts.h"

#define GUARD_SPEC_CTRL BIT(0) /* always set where root has an IA32_SPEC_CTRL of its own */
#define GUARD_L1D BIT(1)
#define GUARD_VERW BIT(2)
#define GUARD_COUNT_TOUCHED (CONFIG_INSN_COUNTS ? BIT(3) : 0) /* in builds that count: as if the CPU needed all */
#define GUARD_COUNT_TO_L2 (CONFIG_INSN_COUNTS ? BIT(4) : 0)

enum spec_action {
	SPEC_THUNKS_PLAIN,   /* indirect branches need no retpoline */
	SPEC_RSB_FILL, SPEC_RSB_ONE,
	SPEC_CTRL_KEEP,      /* root has its own IA32_SPEC_CTRL: written at an exit where the guest's differs */
	SPEC_CTRL_ALWAYS,    /* written at each exit: IBRS must be set again after each change to root */
	SPEC_BHI_DIS, SPEC_RRSBA_DIS, /* bits of that value */
	SPEC_IBPB,           /* before a partition runs, and after it */
	SPEC_IBPB_TO_L1,     /* at exits from L2 to L1, whose own IBRS does not tell the two apart */
	SPEC_L1D_FLUSH, SPEC_VERW,
	SPEC_ACTIONS
};

/* Constant after boot. */
extern struct speculation {
	u32 exit;             /* SPEC_EXIT_ bits */
	u32 actions;          /* bit for each enum spec_action */
	u32 touched, to_l2;   /* guard bits: secrets were touched; L2 runs next */
	u64 spec_ctrl;        /* root's */
} speculation;

/* Reads the CPU, decides, and makes the thunks what they shall be: while text can be written. */
void speculation_init(void);

/* The decision alone. leaf7, leaf7_2: CPUID. arch: IA32_ARCH_CAPABILITIES, 0 where there is none. */
struct cpuid_regs;
void speculation_decide(const struct cpuid_regs *leaf7, const struct cpuid_regs *leaf7_2, u64 arch,
			struct speculation *s);

/* Root's own IA32_SPEC_CTRL on this CPU, from now on. */
void speculation_cpu_init(struct percpu *cpu);

/*
 * Rows of the MSR policy: the guest's IA32_SPEC_CTRL, and IA32_ARCH_CAPABILITIES, where L1 reads that it need not flush
 * L1D.
 */
bool speculation_read_ctrl(struct percpu *cpu, u32 msr, u64 *value);
bool speculation_write_ctrl(struct percpu *cpu, u32 msr, u64 value);
bool speculation_read_capabilities(struct percpu *cpu, u32 msr, u64 *value);

/* Whether exits come to vmx_exit_guarded, which calls speculation_leave_guest(). */
static inline bool speculation_guards_exits(void)
{
	return speculation.exit || speculation.spec_ctrl;
}

/* By entry.S, where there is something to do: after an exit, before anything else; before an entry, after all else. */
void speculation_leave_guest(struct percpu *cpu);
void speculation_enter_guest(struct percpu *cpu);

static inline bool speculation_does(enum spec_action action)
{
	return speculation.actions & BIT(action);
}

/* Secrets of a partition are in this CPU's caches and buffers. */
static inline void speculation_touched(struct percpu *cpu)
{
	cpu->guard |= speculation.touched | GUARD_COUNT_TOUCHED;
}

/* L2 runs next: L1 may rely on the flush that the real VM entry would do on a CPU that says SKIP_L1DFL_VMENTRY. */
static inline void speculation_to_l2(struct percpu *cpu)
{
	cpu->guard |= speculation.to_l2 | GUARD_COUNT_TO_L2;
}

void speculation_barrier(void);

/* Another world runs next: between a partition and its caller; from L2 to L1. */
static inline void speculation_partition_crossed(void)
{
	insn_count(INSN_IBPB);
	if (unlikely(speculation_does(SPEC_IBPB)))
		speculation_barrier();
}

static inline void speculation_to_l1(void)
{
	insn_count(INSN_IBPB_TO_L1);
	if (unlikely(speculation_does(SPEC_IBPB_TO_L1)))
		speculation_barrier();
}

#endif
#endif
