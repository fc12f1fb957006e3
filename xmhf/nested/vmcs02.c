/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * VMCS02: what really runs L2. Most fields are vmcs12's as they are and are copied by group, only those groups that L1
 * wrote; the controls are (vmcs12 OR what L0 needs), computed here. The host state is L0's own and never changes.
 * Invariant: no address of L1's choosing is in VMCS02 that was not translated through EPT01.
 */
#include "cpu/x86.h"
#include "mem/ept01.h"
#include "mem/pages.h"
#include "nested/state.h"
#include "vmx/interrupts.h"
#include "vmx/vmx.h"

#define PROC_REQUIRED (PROC_MSR_BITMAPS | PROC_SECONDARY)
#define PROC_COMPUTED (PROC_UNCOND_IO_EXITING | PROC_IO_BITMAPS | PROC_NMI_WINDOW)
#define PROC2_REQUIRED (PROC2_EPT | PROC2_VPID)
/* What L0 does for L1 in software: the hardware's would work on root's tables. */
#define PROC2_SOFTWARE (PROC2_SHADOW_VMCS | PROC2_PML | PROC2_EPT_VE)
#define CONTROL_GROUPS (GROUP(EXEC) | GROUP(EXITS) | GROUP(ENTRY))

/*
 * VPIDs from here on are L1's, shifted; the few that do not fit share VPID_L2 with "no VPID", flushed at each entry.
 */
#define VPID_SHIFT 3
_Static_assert(VPID_L1 <= VPID_SHIFT && VPID_L2 <= VPID_SHIFT && VPID_PARTITION <= VPID_SHIFT, "L0's come first");

u16 vpid02_of(u16 vpid12, bool *own)
{
	*own = vpid12 && vpid12 <= 0xffff - VPID_SHIFT;
	return *own ? vpid12 + VPID_SHIFT : VPID_L2;
}

void vmcs02_init(struct percpu *cpu, struct active_vmcs *a)
{
	world_init(&a->l2, RUN_L2);
	world_load(cpu, &a->l2);
	vmx_set_host_state(cpu);
	vmwrite(VMCS_LINK_POINTER, ~0ull);
	vmwrite(VMCS_EXIT_MSR_STORE_COUNT, 0);
	vmwrite(VMCS_EXIT_MSR_LOAD_COUNT, 0);
	vmwrite(VMCS_ENTRY_MSR_LOAD_COUNT, 0);
	vmwrite(VMCS_MSR_BITMAP, virt_to_phys(cpu->nested->msrs.bitmap).addr);
	if (vmx_proc2_caps.may & PROC2_VMFUNC)
		vmwrite(VMCS_VM_FUNCTION_CONTROLS, 0);
}

/* I/O bitmaps win over unconditional exiting. Without either, ours are in force. */
static u32 io_controls(u32 proc12)
{
	return (proc12 & (PROC_IO_BITMAPS | PROC_UNCOND_IO_EXITING)) == PROC_UNCOND_IO_EXITING ? PROC_UNCOND_IO_EXITING
											       : PROC_IO_BITMAPS;
}

u32 nested_io_controls(const struct percpu *cpu)
{
	return io_controls(vmcs12_of(cpu)->proc_ctls);
}

static u32 proc02(const struct nested_cpu *n)
{
	u32 proc12 = n->current->vmcs12.proc_ctls;
	u32 proc = (proc12 & ~PROC_COMPUTED) | PROC_REQUIRED | io_controls(proc12);

	if ((proc12 & PROC_NMI_WINDOW) || n->nmi_window)
		proc |= PROC_NMI_WINDOW;
	return vmx_controls(&vmx_proc_caps, proc);
}

static u32 exit02(const struct vmcs12 *v)
{
	u32 exit = VMX_EXIT | (v->exit_ctls & EXITCTL_ACK_INTR);

	/* An exit that L0 handles must not restart the timer. */
	if (v->pin_ctls & PIN_PREEMPTION_TIMER)
		exit |= EXITCTL_SAVE_TIMER;
	return vmx_controls(&vmx_exit_caps, exit);
}

static void translate_pages(struct nested_cpu *n)
{
	struct active_vmcs *a = n->current;
	const struct vmcs12 *v = &a->vmcs12;
	struct l1_memory *m = &n->memory;

	a->pages_since = ept01_generation; /* first: a grant needs no stop, and may come in between */
	void *apic = v->proc_ctls & PROC_TPR_SHADOW ? l1_page(m, v->virtual_apic_addr, HYPAPI_RW) : NULL;

	a->virtual_apic = apic ? apic : n->scratch_page;
	a->msr_bitmap12 = v->proc_ctls & PROC_MSR_BITMAPS ? l1_page(m, v->msr_bitmap, HYPAPI_R) : NULL;
	a->io_bitmap12[0] = v->proc_ctls & PROC_IO_BITMAPS ? l1_page(m, v->io_bitmap_a, HYPAPI_R) : NULL;
	a->io_bitmap12[1] = v->proc_ctls & PROC_IO_BITMAPS ? l1_page(m, v->io_bitmap_b, HYPAPI_R) : NULL;
}

/* VMCS02 is at hand. */
static void write_pages(struct nested_cpu *n)
{
	u32 proc12 = n->current->vmcs12.proc_ctls;
	const u8 *io = proc12 & PROC_IO_BITMAPS ? n->ports.bitmap : vmx_io_bitmaps_l2;

	if (proc12 & PROC_TPR_SHADOW)
		vmwrite(VMCS_VIRTUAL_APIC_ADDR, virt_to_phys(n->current->virtual_apic).addr);
	vmwrite(VMCS_IO_BITMAP_A, virt_to_phys(io).addr);
	vmwrite(VMCS_IO_BITMAP_B, virt_to_phys(io).addr + PAGE_SIZE);
}

void vmcs02_retranslate(struct percpu *cpu)
{
	translate_pages(cpu->nested);
	write_pages(cpu->nested);
}

static __attribute__((noinline)) void merge_controls(struct percpu *cpu)
{
	struct active_vmcs *a = cpu->nested->current;
	const struct vmcs12 *v = &a->vmcs12;
	u32 proc2 = (vmcs12_proc2(v) & ~PROC2_SOFTWARE) | PROC2_REQUIRED;

	a->proc2 = vmcs12_proc2(v);
	vmwrite(VMCS_PIN_CTLS, vmx_controls(&vmx_pin_caps, v->pin_ctls | VMX_PIN));
	vmwrite(VMCS_PROC2_CTLS, vmx_controls(&vmx_proc2_caps, proc2));
	vmwrite(VMCS_EXIT_CTLS, exit02(v));
	vmwrite(VMCS_ENTRY_CTLS, vmx_controls(&vmx_entry_caps, (v->entry_ctls & ENTRYCTL_IA32E) | VMX_ENTRY));
	vmwrite(VMCS_EXCEPTION_BITMAP, v->exception_bitmap | VMX_EXCEPTIONS);
	a->vpid02 = vpid02_of(vmcs12_proc2(v) & PROC2_VPID ? v->vpid : 0, &a->own_vpid);
	vmwrite(VMCS_VPID, a->vpid02);
	nested_select_ept02(cpu);
}

/*
 * The copies between vmcs12 and VMCS02 are the hottest loops of an entry and of a VMCLEAR, so the list of fields
 * expands into straight code here: a quarter of the instructions of a loop over descriptors. Rows of one group stand
 * together mostly, and the compiler tests a group once for each run of rows.
 */
#define EXISTS(need) (NEED_##need == NEED_ALWAYS || (nested_caps.needs >> NEED_##need & 1))
#define PICK(groups, group, need) (((groups) & GROUP(group)) && EXISTS(need))

/* Whether VMCS02 takes fields of a role as they are, and whether hardware changes them then. */
#define WRITES(role) ((role) == ROLE_COPY || (role) == ROLE_PASS)
#define READS(role) ((role) == ROLE_COPY)

static always_inline void write_groups(const struct vmcs12 *v, u32 groups)
{
#define FIELD(NAME, member, encoding, width, access, role, group, needs)                                             \
	VMCS12_IF_##role(if (WRITES(ROLE_##role) && PICK(groups, group, needs)) vmwrite(VMCS_##NAME, v->member);)
#include "vmx/vmcs_fields.def"
#undef FIELD
}

#define WRITTEN_OFTEN (GROUP(RIP) | GROUP(EVENT) | GROUP(FLAGS))

/* All rows, and the registers that these need. */
static __attribute__((noinline)) void write_any_groups(const struct vmcs12 *v, u32 groups)
{
	write_groups(v, groups);
}

static void read_groups(struct vmcs12 *v, u32 groups)
{
#define FIELD(NAME, member, encoding, width, access, role, group, needs)                                             \
	VMCS12_IF_##role(if (READS(ROLE_##role) && PICK(groups, group, needs))                                       \
				 v->member = (VMCS12_U_##width)vmread(VMCS_##NAME);)
#include "vmx/vmcs_fields.def"
#undef FIELD
}

/*
 * EFER of a guest whose entry does not load it (SDM vol. 3, "Loading Guest Control Registers, Debug Registers, and
 * MSRs").
 */
static u64 efer_without_load(const struct vmcs12 *v, u64 efer)
{
	if (v->entry_ctls & ENTRYCTL_IA32E)
		return efer | EFER_LMA | EFER_LME;
	return v->guest_cr0 & CR0_PG ? efer & ~(EFER_LMA | EFER_LME) : efer & ~EFER_LMA;
}

/*
 * VMCS02 always loads and saves these. Where L1 asks for a load but not for a save, its own value is loaded afresh
 * each time; where it asks for no load, the guest goes on with L1's.
 */
static void write_loaded(const struct vmcs12 *v, const struct l1_registers *l1, u32 unmerged)
{
	bool changed = unmerged & (GROUP(CRS) | GROUP(ENTRY) | GROUP(EXITS));

	if (!(v->entry_ctls & ENTRYCTL_LOAD_EFER))
		vmwrite(VMCS_GUEST_EFER, efer_without_load(v, l1->efer));
	else if (changed || !(v->exit_ctls & EXITCTL_SAVE_EFER))
		vmwrite(VMCS_GUEST_EFER, v->guest_efer);
	if (!(v->entry_ctls & ENTRYCTL_LOAD_PAT))
		vmwrite(VMCS_GUEST_PAT, l1->pat);
	else if (changed || !(v->exit_ctls & EXITCTL_SAVE_PAT))
		vmwrite(VMCS_GUEST_PAT, v->guest_pat);
	if (!(v->entry_ctls & ENTRYCTL_LOAD_DEBUG)) {
		vmwrite(VMCS_GUEST_DEBUGCTL, l1->debugctl);
		vmwrite(VMCS_GUEST_DR7, l1->dr7);
	} else if (changed || !(v->exit_ctls & EXITCTL_SAVE_DEBUG)) {
		vmwrite(VMCS_GUEST_DEBUGCTL, v->guest_debugctl);
		vmwrite(VMCS_GUEST_DR7, v->guest_dr7);
	}
}

/* What L1's exit controls do not save keeps the value that L1 gave it. */
static void read_saved(struct vmcs12 *v)
{
	if (v->exit_ctls & EXITCTL_SAVE_EFER)
		v->guest_efer = vmread(VMCS_GUEST_EFER);
	if (v->exit_ctls & EXITCTL_SAVE_PAT)
		v->guest_pat = vmread(VMCS_GUEST_PAT);
	if (v->exit_ctls & EXITCTL_SAVE_DEBUG) {
		v->guest_debugctl = vmread(VMCS_GUEST_DEBUGCTL);
		v->guest_dr7 = vmread(VMCS_GUEST_DR7);
	}
}

/*
 * VMCS02 always has virtual NMIs, which refuse to inject an NMI while NMIs are blocked. L1 without them may do that,
 * and the injection blocks NMIs anyhow.
 */
static void allow_nmi(const struct vmcs12 *v)
{
	u32 event = v->entry_intr_info & (INTR_VALID | INTR_TYPE);

	if (event == (INTR_VALID | INTR_TYPE_NMI) && (v->guest_interruptibility & INTERRUPTIBILITY_NMI))
		vmwrite(VMCS_GUEST_INTERRUPTIBILITY, v->guest_interruptibility & ~(u32)INTERRUPTIBILITY_NMI);
}

void vmcs02_merge(struct percpu *cpu, const struct l1_registers *l1)
{
	struct nested_cpu *n = cpu->nested;
	struct active_vmcs *a = n->current;
	const struct vmcs12 *v = &a->vmcs12;
	u32 unmerged = a->unmerged;

	/* Exits from IA-32e mode leave PDPTEs undefined, which L1 ends by a change of the entry controls. */
	if (unmerged & GROUP(ENTRY))
		unmerged |= GROUP(PDPTE) & ~a->unread;
	world_load(cpu, &a->l2);
	/* A primary control turns all secondary ones off and on. */
	if ((unmerged & CONTROL_GROUPS) || unlikely(vmcs12_proc2(v) != a->proc2))
		merge_controls(cpu);
	if (unmerged & (CONTROL_GROUPS | GROUP(PROC))) {
		translate_pages(n);
		write_pages(n);
		vmwrite(VMCS_PROC_CTLS, proc02(n));
	}
	if (likely(!(unmerged & ~WRITTEN_OFTEN))) /* the same without the other rows */
		write_groups(v, unmerged & WRITTEN_OFTEN);
	else
		write_any_groups(v, unmerged);
	if (unmerged & GROUP(EVENT))
		allow_nmi(v);
	write_loaded(v, l1, unmerged);
	if (v->pin_ctls & PIN_PREEMPTION_TIMER)
		vmwrite(VMCS_PREEMPTION_TIMER, v->preemption_timer);
	if (n->msrs.count | n->ports.count)
		nested_recheck_open(n);
	if (!a->own_vpid)
		flush_vpid(INVVPID_SINGLE, a->vpid02);
	a->unmerged = 0;
}

void vmcs02_read(struct percpu *cpu, struct active_vmcs *a, u32 groups)
{
	groups &= a->unread;
	if (!groups)
		return;
	world_load(cpu, &a->l2);
	read_groups(&a->vmcs12, groups);
	if (groups & GROUP(CRS))
		read_saved(&a->vmcs12);
	a->unread &= ~groups;
}

void vmcs02_windows(struct percpu *cpu)
{
	vmwrite(VMCS_PROC_CTLS, proc02(cpu->nested) | window_controls(cpu));
}

void vmcs02_nmi_window(struct percpu *cpu, bool wanted)
{
	cpu->nested->nmi_window = wanted;
	vmcs02_windows(cpu);
}
