/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One struct percpu a CPU, reached through GS in root mode (the VMCS's host GS base). Other CPUs touch the public part
 * only, as its comments say. The owner's normal context and its NMI handler write the rest. At the end of the machine,
 * power/ wipes the registers of CPUs that are stopped.
 */
#ifndef XMHF_PERCPU_H
#define XMHF_PERCPU_H

/* Offsets for assembly; compared with the structure below. */
#define PERCPU_GPR 8
#define PERCPU_WORK 136
#define PERCPU_GUARD 140 /* with PERCPU_WORK one quadword */
#define PERCPU_WORLD 144
#define PERCPU_STACK_TOP 152
#define PERCPU_CALLBACKS 160

/*
 * Where on the stack an exit's events lie is told by these bits of `callbacks`, which each event makes grow by the
 * lowest of them: one that is over lies elsewhere than the one at hand, so that a pointer to it is found out. 64
 * places.
 */
#define CALLBACKS_PLACE 0x3f0

/* Bit of `guard`: lines of the log wait for the UART, see vmx/log_wait.h. Those below it are cpu/speculation.h's. */
#define GUARD_LOG 0x100

#ifndef __ASSEMBLER__

#include "apic/apic_cpu.h"
#include "cpu/gpr.h"
#include "cpu/x86_insn.h"
#include "lib/base.h"
#include "mem/mtrr_cpu.h"
#include "quiesce/quiesce.h"
#include "vmx/partition_cpu.h"
#include "vmx/world.h"

#define MAX_CPUS 64
#define MAX_HYPAPPS 16
/* A set of hypapps: bit i for the one with number i + 1. */
typedef u16 hypapp_mask;
_Static_assert(MAX_HYPAPPS <= 8 * sizeof(hypapp_mask), "a bit of it for each");
/* Two NMIs can wait on a bare CPU: one pending while another's handler runs. More merge. */
#define MAX_PENDING_NMIS 2

struct nested_cpu;
struct dispatch;
struct guard;
struct hypapp_stats;
struct log_ring;
struct trace;

/* What insn_counts.h counts. */
enum insn_kind { INSN_VMREAD, INSN_VMWRITE, INSN_VMPTRLD, INSN_VMCLEAR, INSN_INVEPT, INSN_INVVPID, INSN_IPI,
	INSN_IBPB, INSN_IBPB_TO_L1, INSN_FLUSH, INSN_FLUSH_TO_L2, INSN_KINDS };

struct percpu {
	/* At fixed places, for vmx/entry.S. Others read gpr and world while they have the owner stopped. */
	struct percpu *self;
	u64 gpr[GPR_COUNT]; /* of the guest that runs */
	u32 work;         /* not 0: look for work before the next VM entry. Set by this CPU's NMI handler, too */
	u32 guard;        /* GUARD_ bits of cpu/speculation.h: to be done last before the next VM entry */
	struct world *world; /* what runs here; L1, before it can */
	u64 stack_top;
	u64 callbacks;    /* grows with each event: makes the EPT handles of each valid in its callback only */

	/* Public part. Constant once the CPU runs: */
	u32 index;        /* 0 .. cpu_count - 1; the boot CPU is 0 */
	u32 apic_id;
	u8 *smm_map;      /* where an SMI leaves this CPU's registers in root memory, SMM_MAP_BYTES; NULL: not there */
	u8 *hypapp_storage; /* hypapi_cpu_storage() of all hypapps, each at a place of its own */
	/* Its members are what others read while the owner is stopped, or, of counts, at any time. */
	struct apic_cpu apic;
	struct partition_cpu partition;
	struct nested_cpu *nested; /* nested VMX, NULL if it is off */
	struct hypapp_stats *hypapp_stats;
	struct log_ring *log; /* see report/log_ring.h; NULL: lines go out at once */
	struct trace *trace; /* see report/trace.h; NULL: no trace */
	u64 exits[RUN_MODE_COUNT]; /* counts for the statistics at the end of a run */
	u64 insns[INSN_KINDS]; /* see report/insn_counts.h */
	/* Written by other CPUs: */
	line_aligned _Atomic hypapp_mask mail_for; /* who has mail here */
	_Atomic u64 mail[MAX_HYPAPPS];    /* bits of hypapi_post() that wait for the WORK event; written before
	                                     mail_for */
	struct quiesce_cpu quiesce;       /* its own header says who touches what */

	/* Private part, by folder. cpu/: */
	line_aligned u32 locks_held; /* spinlocks */
	bool smm_closed;  /* see cpu/smm.h; constant after the probe */
	u64 guest_spec_ctrl; /* the guest's IA32_SPEC_CTRL, while root has its own */
	u64 gdt[8];
	u32 tss[26];
	/* vmx/: */
	struct world l1;
	u32 exit_reason;  /* of the newest VM exit */
	bool stale_nmi_block; /* INIT came while NMIs were blocked: the bit in VMCS01 means nothing until the next
	                         NMI */
	bool xd_disabled; /* IA32_MISC_ENABLE's bit as the guest set it; hardware has it clear */
	hypapp_mask windows[2]; /* who waits for the interrupt window, for the NMI window */
	union {           /* `crossing`: one look, at a crossing between L1 and L2, tells whether there is work */
		struct {
			u32 guest_nmis; /* NMIs that wait for injection; incremented by the NMI handler */
			u32 watched;    /* not 0: a hypapp waits for events of crossings. Constant after CPU_INIT */
		};
		u64 crossing;
	};
	/* events/: */
	struct dispatch *dispatch; /* the event that hypapps see now, NULL outside of one */
	struct guard *handler_guard; /* of the innermost handler here that a fault may leave, see events/drop.h */
	struct repeat { u64 rip, address; u32 type, count; } repeat; /* the newest event that came again */
	/* mem/: */
	struct mtrr_cpu mtrr;
	/* nested/: */
	u64 ept12_changes; /* grows where L2's memory may lie elsewhere from here on: INVEPT, violations */
};

_Static_assert(offsetof(struct percpu, gpr) == PERCPU_GPR, "entry.S");
_Static_assert(offsetof(struct percpu, work) == PERCPU_WORK, "entry.S");
_Static_assert(offsetof(struct percpu, guard) == PERCPU_GUARD, "entry.S");
_Static_assert(offsetof(struct percpu, world) == PERCPU_WORLD, "entry.S");
_Static_assert(offsetof(struct percpu, stack_top) == PERCPU_STACK_TOP, "entry.S");
_Static_assert(offsetof(struct percpu, callbacks) == PERCPU_CALLBACKS, "entry.S");

extern u32 cpu_count;                   /* CPUs that run, constant after boot */
extern struct percpu *cpus[MAX_CPUS];   /* [0, cpu_count), constant after boot */

static inline struct percpu *this_cpu(void)
{
	return read_gs_self();
}

/* The guest of this CPU runs on this EPT from here on, see quiesce_use(). */
static inline void percpu_use_ept(struct percpu *cpu, u64 ept)
{
	if (unlikely(quiesce_use(&cpu->quiesce, ept)))
		cpu->work = 1;
}

/* An NMI has arrived here: a stop's, or one for the guest. */
static inline void percpu_take_nmi(struct percpu *cpu)
{
	if (!quiesce_nmi(&cpu->quiesce) && cpu->guest_nmis < MAX_PENDING_NMIS)
		cpu->guest_nmis++;
	cpu->work = 1;
}

/* For locks: may run before GS is set up, when there is one CPU and no stop. */
void percpu_locks_add(int n);

/* Allocates and fills the structure for the CPU with this APIC id. Boot CPU only. */
struct percpu *percpu_create(u32 apic_id);

/* Of a TSS that no CPU has loaded: the first half of its descriptor. The other is the high half of `base`. */
static inline u64 tss_descriptor(u64 base, u32 limit)
{
	return (limit & 0xffff) | (base & 0xffffff) << 16 | 0x89ull << 40 | (u64)(limit >> 16 & 15) << 48 |
	       (base >> 24 & 0xff) << 56;
}

/* Loads GDT, IDT, TSS and GS of this CPU: for the first time; or again, when the firmware had it in between. */
void percpu_load_tables(struct percpu *cpu);
void percpu_load(struct percpu *cpu);

#endif
#endif
