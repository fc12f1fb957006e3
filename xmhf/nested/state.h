/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The state of nested VMX of one CPU, and what the files of this folder call of each other. The rest of the core sees
 * nested/nested.h only. Owner of all of it: the CPU; no other CPU looks.
 */
#ifndef XMHF_NESTED_STATE_H
#define XMHF_NESTED_STATE_H

#include <hypapi/event.h>

#include "cpu/speculation.h"
#include "nested/ept02.h"
#include "nested/ept12.h"
#include "nested/entry_checks.h"
#include "nested/l1_memory.h"
#include "nested/nested.h"
#include "nested/operand.h"
#include "vmx/vmx.h"

#define NO_VMCS (~0ull)

/* VMX-abort indicators (SDM vol. 3, "VMX Aborts") */
#define VMX_ABORT_MSR_STORE 1
#define VMX_ABORT_HOST_PDPTE 2
#define VMX_ABORT_MSR_LOAD 4
#define VMX_ABORT_IA32E 6

/*
 * A bitmap of VMCS02 that starts as all ones and is opened bit by bit: an exit that neither L1's bitmap nor ours asks
 * for clears its bit. L1 may change its bitmap at any time, so each entry looks again at the bits that are open.
 */
#define OPEN_MAX 16
struct open_bits {
	u8 *bitmap;         /* one page of root memory (I/O: two) */
	u32 count;
	u16 bit[OPEN_MAX];
};

struct nested_cpu {
	struct world l2;    /* VMCS02 */
	bool in_vmx;        /* between VMXON and VMXOFF of L1 */
	bool entering;      /* VMCS02 was launched by L1's VMLAUNCH and has not exited yet */
	bool nmi_window;    /* the NMI-window exiting of VMCS02 is L0's, too */
	gpa1_t vmxon;       /* VMXON region */
	u64 current;        /* L1-physical address of the current VMCS, or NO_VMCS */
	u32 dirty;          /* groups that L1 wrote since the last entry that passed */
	u32 lazy;           /* groups whose values are in VMCS02, newer than in vmcs12 */
	bool modified;      /* vmcs12 differs from L1's memory */
	u32 root;           /* EPT02 root of VMCS02 */
	u64 eptp12_told;    /* of the L2 that entered last, as EPT02_ROOT tells it; 0: none */
	u64 eptp12_made;    /* EPT02 was made for it, and EPT02_ROOT has not told so */
	bool emptied;       /* EPT02's pages were used up, and EPT02_FLUSH has not told so */
	gpa2_t missed;      /* what L2 missed when it last exited to L1 for that, and with what access; 0: nothing */
	u32 missed_access;
	u16 vpid02;
	bool own_vpid;      /* vpid02 is not shared by several of L1's: no flush on entry */
	u64 ept01_seen;     /* ept01_generation when the pages below were translated */
	const u8 *virtual_apic, *msr_bitmap12, *io_bitmap12[2]; /* L1's pages, direct map; NULL: not used, or no RAM */
	struct open_bits msrs, ports;
	void *scratch_page; /* stands for a virtual-APIC page that is not RAM */
	struct vmcs12 vmcs12;
	struct l1_memory memory;
	struct operand_walk walks[OPERAND_WALKS];
	u64 ept02_seen;     /* ept01_generation when all of this was looked at last */
	struct ept02 ept02;
	struct shadow *shadow; /* VMCS shadowing, NULL if it is not used */
};

extern struct nested_caps nested_caps; /* constant after boot */

/* ---- vmcs02.c: between vmcs12 and VMCS02 ---- */

/* Fills what never changes in VMCS02. It is current. */
void vmcs02_init(struct percpu *cpu);
/* Before an entry, checks passed, VMCS01 current: makes VMCS02 current and brings it up to date. */
void vmcs02_merge(struct percpu *cpu);
/* Addresses that VMCS02 holds were made with an older EPT01: again. VMCS02 is current. */
void vmcs02_retranslate(struct percpu *cpu);
/* Reads groups back from VMCS02 into vmcs12. VMCS02 is current. */
void vmcs02_read_groups(struct nested_cpu *n, u32 groups);
/* The same for those in `groups` that are lazy; whatever VMCS is current stays so. */
void vmcs02_sync(struct percpu *cpu, u32 groups);
/* L0 wants to know when L2 can take an NMI, or no longer. VMCS02 is current. */
void vmcs02_nmi_window(struct percpu *cpu, bool wanted);
/* The windows that hypapps wait for, or no longer. VMCS02 is current. */
void vmcs02_windows(struct percpu *cpu);
/* Which VPID stands for one of L1's; own: no other one of L1 has it. */
u16 vpid02_of(u16 vpid12, bool *own);

/* ---- nested.c ---- */
/* L1 goes on: VMCS01 becomes current. */
static inline void nested_to_l1(struct percpu *cpu)
{
	world_enter(cpu, &cpu->l1);
	speculation_to_l1();
}
void nested_fix_cr0(bool fixed);
/* L1's exit cannot be completed: a VMX abort, which shuts the CPU down. Here it resets the machine. Never returns. */
_Noreturn void nested_abort(struct percpu *cpu, u32 indicator);

/* ---- insn.c ---- */
/* The VMX instruction with which L1 exited last ends so. VMCS01 is current. */
void nested_vmfail(struct percpu *cpu, enum vmx_error error);

/* ---- entry.c ---- */
/* VMLAUNCH or VMRESUME of L1; the operandless part of the instruction is checked. Answers what VMfail reports. */
enum vmx_error nested_enter(struct percpu *cpu, bool launch);
/* After a crossing from L1 to L2 or back, if cpu->crossing is not 0: NMIs that wait, and hypapps that watch. */
void nested_crossed(struct percpu *cpu, enum hypapi_event_type type);
/* Back to L1's host state with a VM-entry failure, exit 33, 34 or 41. */
void nested_entry_failed(struct percpu *cpu, u32 reason, u64 qualification);
void nested_entry_init(void);

/* ---- exit.c: L2 to L1 ---- */
struct exit_info {
	u32 reason;
	u32 intr_info, intr_error, idt_info, idt_error, insn_len, insn_info;
	u64 qualification, guest_linear, guest_physical;
};
/* Exit 201: L2's state and this exit go to vmcs12, L1's host state to VMCS01, which becomes current. */
void nested_reflect(struct percpu *cpu, const struct exit_info *exit);
/* An exit in VMCS02 as hardware reported it. */
void nested_reflect_hardware(struct percpu *cpu, u32 reason);

/* ---- ept02_fault.c ---- */
exit_handler nested_ept_fault;
/* EPT02 of L1's current EPTP12 becomes VMCS02's. VMCS02 is current. */
void nested_select_ept02(struct percpu *cpu);
/* Fills in what L2 missed if L1 has mended it, so that L2 need not exit for it again. VMCS02 is current. */
void nested_refill(struct percpu *cpu);
/* INVEPT of L1, type checked. False: of an EPTP12 that has no EPT02 here. */
bool nested_invept(struct percpu *cpu, enum invept_type type, u64 eptp12);

/* ---- shadow.c: VMCS shadowing, where the CPU has it; without it these do nothing ---- */
void nested_shadow_init(struct percpu *cpu);
/* L1's current VMCS changed: shadowing follows. VMCS01 is current. */
void nested_shadow_switch(struct percpu *cpu);
/*
 * What L1 wrote by shadowed VMWRITEs since the last publish goes into vmcs12; VMCS01 is current, and the other way.
 */
void nested_shadow_collect(struct percpu *cpu);
void nested_shadow_publish(struct percpu *cpu);

/* ---- bitmaps.c: MSR and I/O bitmaps of L1 ---- */
/* Exits of L2: hypapps that claim the MSR or port are asked first, then L1's bitmap, then L0 carries it out. */
exit_handler nested_msr_exit, nested_io_exit;
/* Closes the open bits that L1 asks for by now. */
void nested_recheck_open(struct nested_cpu *n);
void nested_close_all(struct open_bits *open);

/* ---- msr_area.c: L1's MSR lists. 0, or the number of the first entry (from 1) that failed ---- */
u32 msr_area_load(struct percpu *cpu, u64 gpa1, u32 count);
u32 msr_area_store(struct percpu *cpu, u64 gpa1, u32 count);

/* ---- host_state.c ---- */
/* What an exit to L1 leaves as L2 had it. efer and pat: only if L1's exit controls do not load them. */
struct l2_leftover {
	u64 cr0, efer, pat;
	bool nmi_blocked;
};
/* Guest state of VMCS01, which is current, from the host state of vmcs12. 0, or the VMX-abort indicator. */
must_check u32 nested_load_host_state(struct percpu *cpu, const struct l2_leftover *l2);

#endif
