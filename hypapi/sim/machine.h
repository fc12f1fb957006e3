/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The simulated machine, as the files of the simulator share it. A CPU is a host thread; struct sim_cpu is what that
 * CPU's silicon would hold, and belongs to its thread but for `nmis` and what a mutex guards. What the core
 * holds is the core's own struct percpu.
 */
#ifndef HYPAPI_SIM_MACHINE_H
#define HYPAPI_SIM_MACHINE_H

#include <hypapi/sim.h>
#include <pthread.h>
#include <setjmp.h>

#include "cpu/percpu.h"
#include "vmx/vmx_insn.h"

#define TLB_SETS 256 /* of each kind */
#define TLB_WAYS 4
#define TLB_ENTRIES (TLB_SETS * TLB_WAYS)
#define MACHINE_MSRS 64
#define LOCKS_HELD 8

/* Where a mapping leads, with the EPT's rights and memory type. */
struct tlb_target {
	u64 hpa;      /* of a page, or of an EPT table */
	u32 rights;   /* enum hypapi_rights */
	u8 type;
	bool cached;  /* by an entry for this very page that an earlier access has left */
};

/* A combined mapping (SDM vol. 3, "Information That May Be Cached"). */
struct tlb_linear {
	bool valid, global;
	u16 vpid, pcid;
	u64 ep4ta;      /* address of the EPT's root: bits 51:12 of EPTP */
	u64 gva, gpa;   /* pages */
	u64 refused;    /* bits of page-table entries: PTE_W, PTE_U where one is 0, PTE_NX where one is 1 */
	struct tlb_target to;
};

/* A guest-physical mapping: of a page (level 1), or of what an EPT entry of a higher level leads to. */
struct tlb_physical {
	bool valid;
	unsigned int level;
	u64 ep4ta, gpa;
	struct tlb_target to;
};

/* Which linear mappings go. */
struct tlb_drop {
	bool every_vpid;  /* but 0 */
	bool every_pcid;
	bool globals;     /* those that are global, too */
	bool one;         /* of one page */
	u16 vpid, pcid;
	u64 gva;
};

/* Whose C code runs in this thread; differs from the core's run mode from an exit until the other world's code runs. */
enum sim_world { WORLD_L1, WORLD_L2, WORLD_PARTITION };

struct machine_vmcs;

struct sim_cpu {
	struct percpu *core;
	u32 index;
	pthread_t thread;
	struct machine_vmcs *vmcs;        /* current */
	u64 cr[5];
	u64 xcr0, ymm0[4];
	u32 pkru;
	u32 mxcsr;
	struct { u32 number; u64 value; } msrs[MACHINE_MSRS];
	struct tlb_linear linear[TLB_ENTRIES];
	struct tlb_physical physical[TLB_ENTRIES];
	u32 tlb_victim;
	struct { const void *lock; const char *name; } held[LOCKS_HELD];
	u32 held_count;

	enum sim_world world;
	jmp_buf *partition_jump, *l2_jump; /* out of a partition's code, out of L2's */
	struct sim_l2 *l2;                 /* the one that runs */
	struct { u64 rip, gpa2; u32 reason, count; } resumed; /* from the same exit at the same place, in a row */
	bool in_vmx;                       /* L1 has executed VMXON */
	struct sim_exception exception;    /* delivered to the guest, not yet told to its code */
	u64 guest_nmis, interrupts;        /* delivered to the guest */
	u32 waiting_vector, served_vector; /* of an interrupt in the local APIC, plus 1; 0: none */

	bool runs;                         /* a job, for the CPU's own use */

	_Atomic u32 nmis;                  /* sent to this CPU, not yet taken */
	pthread_mutex_t mutex;             /* guards the next three */
	pthread_cond_t wake;
	sim_code *code;                    /* the next job */
	void *arg;
	pthread_mutex_t busy_mutex;        /* guards the next two */
	pthread_cond_t done;
	bool busy;                         /* boots, or has a job */
};

extern _Thread_local struct sim_cpu *sim_self;
extern struct sim_cpu *machine_cpus[];
extern u32 machine_cpu_count;      /* CPUs that have a thread */
extern struct sim_options machine_options;
extern _Atomic u32 machine_active; /* CPUs that have a job */

/* boot.c */
_Noreturn void machine_end(int status); /* of the process */

/* machine.c */
void machine_init_cpu(struct sim_cpu *c);
void machine_nmi(u32 index); /* to a CPU by its index */
u64 *vmcs_field(struct sim_cpu *c, u32 field); /* of the current VMCS; read-only ones, too */

/* mmu.c */
enum mmu_result { MMU_OK, MMU_PAGE_FAULT, MMU_VIOLATION };
struct mmu_fault {
	u32 error_code;    /* of a #PF */
	u64 gpa;           /* of a violation */
	u64 qualification; /* likewise */
};
/* What the guest of this CPU that runs may reach at gva with these rights. Fills the TLB. */
enum mmu_result mmu_translate(struct sim_cpu *c, u64 gva, u32 rights, u64 *hpa, struct mmu_fault *fault);
void mmu_invept(struct sim_cpu *c, bool all, u64 eptp);
void mmu_drop_linear(struct sim_cpu *c, const struct tlb_drop *d);
/* What an instruction of the guest drops. Operand of MOV to CR3: the new value; of INVLPG: the address. */
enum mmu_guest_insn { MMU_MOV_CR3, MMU_INVLPG, MMU_EVERYTHING, MMU_THIS_PCID };
void mmu_guest_drops(struct sim_cpu *c, enum mmu_guest_insn insn, u64 operand);
void mmu_crossing(struct sim_cpu *c);     /* VM entry or exit */
void mmu_judge_vmcs(const struct sim_cpu *c); /* at VM entry */
void mmu_leave_behind(struct sim_cpu *c); /* before the core has started this CPU: as if others had used VMX on it */

/* guest.c: one VM exit, and all until a guest runs again */
void guest_exit(struct sim_cpu *c, u32 reason, u64 qualification, u32 insn_len);
struct sim_cpu *guest_begin(void);       /* before an instruction: takes NMIs. The CPU */
void guest_settle(struct sim_cpu *c);    /* after an exit: runs the code of the world that runs now */
void guest_take_nmis(struct sim_cpu *c);

/* l2.c: L2 has exited to L1 */
void l1_answer(struct sim_cpu *c);

#endif
