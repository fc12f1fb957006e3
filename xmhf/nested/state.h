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

/*
 * A VMCS of L1's that is active on this CPU: from VMPTRLD to VMCLEAR or VMXOFF, or until its place is needed for
 * another one (SDM vol. 3, "Overview" of VMCSs). What it holds is in up to four places. Which of them is the newest:
 *
 *   L1's memory <--unsaved-- vmcs12 --unmerged--> VMCS02     of each group one at most is set: who writes a group to
 *                              ^  ^--- unread ---'           vmcs12 while it is unread reads it first
 *                              '-- shadow VMCS: what L1 wrote there since its newest publication
 *
 *   VMPTRLD of one that is not active        unmerged where it differs from what its place held before
 *   L1's VMWRITE, exiting or collected       its group unmerged, unsaved
 *   entry that passes                        nothing unmerged
 *   exit to L1                               groups that hypervisors seldom look at unread; unsaved
 *   entry that fails, after the checks       all unmerged
 *   VMCLEAR, VMXOFF, place needed            collected, read, saved
 */
struct active_vmcs {
	u64 gpa1;           /* L1's region; NO_VMCS: this place is free */
	u32 unmerged;       /* groups that are newer in vmcs12 than in VMCS02 */
	u32 unread;         /* groups that are newer in VMCS02 than in vmcs12 */
	bool unsaved;       /* vmcs12 is newer than L1's memory */
	bool own_vpid;      /* vpid02 is not shared by several of L1's: no flush on entry */
	u16 vpid02;
	u32 proc2;          /* vmcs12_proc2() of VMCS02 */
	u32 root;           /* EPT02 root of VMCS02, as long as that has its key */
	u64 pages_since;    /* ept01_generation when these pages of L1's were translated: */
	const u8 *virtual_apic, *msr_bitmap12, *io_bitmap12[2]; /* direct map; NULL: not used, or no RAM */
	struct world l2;    /* VMCS02 */
	struct shadow *shadow; /* NULL: there is no VMCS shadowing */
	struct vmcs12 vmcs12;
};
#define ACTIVE_VMCSS 4

struct nested_cpu {
	bool in_vmx;        /* between VMXON and VMXOFF of L1 */
	bool init_held;     /* an INIT has come since, and waits for VMXOFF */
	bool nmi_window;    /* the NMI-window exiting of VMCS02 is L0's, too */
	bool pool_emptied;  /* EPT02's pages were used up, and no EPT02_FLUSH has told so yet */
	gpa1_t vmxon;       /* VMXON region */
	struct active_vmcs *current; /* NULL: none */
	struct active_vmcs active[ACTIVE_VMCSS];
	u32 next_to_go;     /* the place that is made free when all are taken */
	struct world *open_shadow; /* the shadow VMCS that the CPU may keep data of; NULL whenever VMCS01 is at hand */
	u32 shadow_width;   /* that of the bitmaps that VMCS01 has, see shadow.c */
	u64 reported_eptp12; /* by the newest EPT02_ROOT; 0: none */
	u64 made_eptp12;    /* a root was made for it, and no EPT02_ROOT has told so yet */
	struct {
		gpa2_t gpa2;
		u32 access; /* 0: nothing */
	} missed;           /* by L2 in EPT12, when it last exited to L1 for that */
	struct open_bits msrs, ports;
	void *scratch_page; /* stands for a virtual-APIC page that is not RAM */
	struct l1_memory memory;
	struct guest_kept operands[2][OPERAND_PAGES]; /* that L1's instructions read; that they write */
	struct ept12_kept kept12[EPT12_KEPT];
	u64 ept02_since;    /* ept01_generation when EPT02 was looked through last */
	struct ept02 ept02;
};

/* Of the VMCS that is current, which there is while L2 runs. */
static inline struct vmcs12 *vmcs12_of(const struct percpu *cpu)
{
	return &cpu->nested->current->vmcs12;
}

extern struct nested_caps nested_caps; /* constant after boot */

/* ---- vmcs02.c: between vmcs12 and VMCS02 ---- */

/* Fills what never changes in VMCS02. VMCS01 is not at hand afterwards. */
void vmcs02_init(struct percpu *cpu, struct active_vmcs *a);
/* L1's values of what an entry may leave as it was. VMCS01 is at hand. */
struct l1_registers {
	u64 efer, pat, debugctl, dr7;
};
/* Before an entry, checks passed: makes VMCS02 of the current VMCS the one at hand, and brings it up to date. */
void vmcs02_merge(struct percpu *cpu, const struct l1_registers *l1);
/* Addresses in the VMCS02 of the current VMCS were made with an older EPT01: again. It is at hand. */
void vmcs02_retranslate(struct percpu *cpu);
/* Reads those of `groups` that are unread. VMCS02 is at hand afterwards if there were any. */
void vmcs02_read(struct percpu *cpu, struct active_vmcs *a, u32 groups);
/* L0 wants to know when L2 can take an NMI, or no longer. VMCS02 is at hand. */
void vmcs02_nmi_window(struct percpu *cpu, bool wanted);
/* The windows that hypapps wait for, or no longer. VMCS02 is at hand. */
void vmcs02_windows(struct percpu *cpu);
/* Which VPID stands for one of L1's; own: no other one of L1 has it. */
u16 vpid02_of(u16 vpid12, bool *own);

/* ---- nested.c ---- */
/* VMCS01 becomes the world at hand: the only way to it in this folder, and no shadow VMCS stays open. */
void nested_load_vmcs01(struct percpu *cpu);
/* From L2 L1 goes on. */
static inline void nested_to_l1(struct percpu *cpu)
{
	nested_load_vmcs01(cpu);
	world_enter(cpu, &cpu->l1);
	speculation_to_l1();
}
void nested_fix_cr0(bool fixed);
/* L1's exit cannot be completed: a VMX abort, which shuts the CPU down. Here it resets the machine. Never returns. */
_Noreturn void nested_abort(struct percpu *cpu, u32 indicator);

/* ---- insn.c ---- */
/* What a VMX instruction answers beside 0 (VMsucceed) and a VM-instruction error (VMfail). */
#define INSN_DONE (-1)    /* a fault was injected, or another world runs: RIP and flags stay */
#define INSN_INVALID (-2) /* VMfailInvalid */
/* The VMX instruction with which the world at hand exited last ends so, which is not INSN_DONE. */
void nested_end_insn(struct percpu *cpu, int result);
/* No VMCS of L1's at gpa1 is active afterwards: its memory holds it. VMCS01 may not be at hand afterwards. */
void nested_deactivate(struct percpu *cpu, u64 gpa1);
/* No VMCS of L1's is active or current afterwards. VMCS01 may not be at hand afterwards. */
void nested_deactivate_all(struct percpu *cpu);

/* ---- entry.c ---- */
/*
 * VMLAUNCH or VMRESUME of L1, which may execute it and has a current VMCS. l1_long_mode: its IA32_EFER.LMA. Answers
 * what VMfail reports.
 */
enum vmx_error nested_enter(struct percpu *cpu, bool launch, bool l1_long_mode);
/* After a crossing from L1 to L2 or back, if cpu->crossing is not 0: NMIs that wait, and hypapps that watch. */
void nested_crossed(struct percpu *cpu, enum hypapi_event_type type);
/* Hypapps are told if L2's root is another one than they know of. */
void nested_report_root(struct percpu *cpu);
/* Back to L1's host state with a VM-entry failure, exit 33, 34 or 41. */
void nested_entry_failed(struct percpu *cpu, u32 reason, u64 qualification);
void nested_entry_init(void);

/* ---- exit.c: L2 to L1 ---- */
/* An exit to L1 is being made: vmcs12 has its reason, and 0 in the rest of the exit information, for who knows more. */
static inline struct vmcs12 *nested_begin_exit(struct percpu *cpu, u32 reason)
{
	struct vmcs12 *v = vmcs12_of(cpu);

	v->exit_reason = reason;
	v->exit_intr_info = v->exit_intr_error = v->idt_info = v->idt_error = 0;
	v->exit_insn_len = v->exit_insn_info = 0;
	v->exit_qualification = v->guest_linear_addr = v->guest_phys_addr = 0;
	return v;
}
/* Exit 201, as begun: L2's state goes to vmcs12, L1's host state to VMCS01, which becomes current. */
void nested_reflect(struct percpu *cpu);
/* The event whose delivery VMCS02's exit has ended, if any: IDT-vectoring information and instruction length. */
static inline void nested_read_idt_info(struct vmcs12 *v)
{
	v->idt_info = (u32)vmread(VMCS_IDT_INFO);
	if (likely(!(v->idt_info & INTR_VALID)))
		return;
	v->exit_insn_len = (u32)vmread(VMCS_EXIT_INSN_LEN);
	if (v->idt_info & INTR_ERROR_CODE)
		v->idt_error = (u32)vmread(VMCS_IDT_ERROR);
}
/* An exit in VMCS02 as hardware reported it. */
void nested_reflect_hardware(struct percpu *cpu, u32 reason);

/* ---- ept02_fault.c ---- */
exit_handler nested_ept_fault;
/* Fills in what L2 missed if L1 has mended it, so that L2 need not exit for it again. */
void nested_refill(struct percpu *cpu);

/* ---- violation.c: what an access of L2's comes to that EPT12 does not simply allow ---- */
/*
 * Accessed and dirty flags of an access that l12, the leaf of gpa2, allows; they are in use. The write that sets a
 * dirty flag is logged, if L1 wants that. *dirty: the flag afterwards.
 */
enum marked {
	MARKED,
	MARK_AGAIN,    /* L1 has changed an entry meanwhile */
	MARK_LOG_FULL, /* nothing is set, and L1 is to get an exit */
};
must_check enum marked nested_mark(struct nested_cpu *n, gpa2_t gpa2, struct ept12_leaf *l12, bool write, bool *dirty);
/* An EPT violation that EPT12 gives, with what was found there: #VE for L2, or L1's exit. */
void nested_violation(struct percpu *cpu, const struct ept12_leaf *l12, gpa2_t gpa2, gva_t gva, u64 qualification);
/* L1 gets the exit for a full log; of the violation in VMCS02, if that caused it, its qualification, else 0. */
void nested_reflect_log_full(struct percpu *cpu, u64 qualification);

/* ---- ept02_use.c ---- */
/* EPT02 of L1's current EPTP12 becomes VMCS02's, which is at hand. */
void nested_select_ept02(struct percpu *cpu);
/* INVEPT of L1, type checked. False: of an EPTP12 that has no EPT02 here. */
bool nested_invept(struct percpu *cpu, enum invept_type type, u64 eptp12);

/* ---- shadow.c: VMCS shadowing, where the CPU has it; without it these do nothing ---- */
void nested_shadow_init(struct percpu *cpu);
/* L1 is in VMX operation, or no longer. VMCS01 is at hand. */
void nested_shadow_enable(struct percpu *cpu, bool enable);
/* L1's VMREADs and VMWRITEs go to the shadow of the VMCS that is current now. VMCS01 is at hand. */
void nested_shadow_link(struct percpu *cpu);
/*
 * What L1 wrote by shadowed VMWRITEs since the last publication goes into vmcs12; all of it, or what an entry needs.
 * VMCS01 is not at hand afterwards.
 */
void nested_shadow_collect(struct percpu *cpu, struct active_vmcs *a, bool all);
/* And the other way, but for what no exit changes: no VMWRITE of those exits. VMCS01 is not at hand afterwards. */
void nested_shadow_publish(struct percpu *cpu, struct active_vmcs *a);
/*
 * An exit to L1 for which it will walk L2's page tables. VMCS02 is at hand, and all that it wrote is in vmcs12. L1's
 * VMREADs see what is published then once VMCS01, which is at hand, has the bitmaps for it.
 */
void nested_shadow_foresee(struct active_vmcs *a);
void nested_shadow_widen(struct percpu *cpu, const struct active_vmcs *a);
/* vmcs12 has come from L1's memory: published for the first time; VMCS01 is not at hand afterwards. */
void nested_shadow_activated(struct percpu *cpu, struct active_vmcs *a);
/* Whether a change of the field, by an exiting VMWRITE, has to be published: L1 reads it without an exit. */
bool nested_shadow_shows(const struct nested_cpu *n, const struct vmcs12_field *field);
/* VMREAD or VMWRITE of L1 has exited for the field, and is done: the shadow may become wide. VMCS01 is at hand. */
void nested_shadow_missed(struct percpu *cpu, const struct vmcs12_field *field);

/* ---- shadow12.c: VMREAD and VMWRITE of L2, where L1 has a shadow VMCS for it ---- */
bool nested_wants_vmcs_access(struct percpu *cpu, u32 reason);
exit_handler nested_vmcs_access;

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
/*
 * The end of every way to L1: VMCS01, which is current, gets the host state and MSR list of vmcs12. abort: a VMX abort
 * that there is already, or 0; flush: what the CPU caches for L1 goes, since no VPID tells it from L2's.
 */
void nested_resume_l1(struct percpu *cpu, const struct l2_leftover *l2, u32 abort, bool flush);

#endif
