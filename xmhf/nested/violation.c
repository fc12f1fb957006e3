/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What an access of L2's comes to that EPT12 does not simply allow: L1's exit, #VE for L2, or an entry of L1's
 * page-modification log. All of L1's memory that is written here is L1's own by EPT01 as it is now; elsewhere the write
 * is lost, as on a bus. Callers: ept02_fault.c for L2's own accesses, mem/guest.c and events/calls.c for the core's.
 */
#include "cpu/x86.h"
#include "mem/page_copy.h"
#include "nested/state.h"
#include "vmx/vmx.h"

/* ---- The page-modification log (SDM vol. 3, "Page-Modification Logging") ---- */

bool nested_log_full(const struct percpu *cpu)
{
	const struct vmcs12 *v = vmcs12_of(cpu);

	return vmcs12_logs_writes(v) && v->pml_index >= PML_ENTRIES;
}

bool nested_awaits_log(const struct percpu *cpu, gpa2_t gpa2, bool write)
{
	struct ept12_leaf leaf;

	return unlikely(nested_log_full(cpu)) &&
	       ept12_walk(&nested_caps, vmcs12_of(cpu)->eptp, gpa2, &leaf) == EPT12_MAPPED &&
	       (leaf.rights & (write ? HYPAPI_W : HYPAPI_RX)) && ept12_unset(&leaf, write);
}

static void log_write(struct nested_cpu *n, gpa2_t gpa2)
{
	struct vmcs12 *v = &n->current->vmcs12;
	volatile u64 *log = l1_page(&n->memory, v->pml_addr, HYPAPI_RW);

	if (log)
		log[v->pml_index] = gpa2.addr & PAGE_ADDR;
	v->pml_index--;
}

enum marked nested_mark(struct nested_cpu *n, gpa2_t gpa2, struct ept12_leaf *l12, bool write, bool *dirty)
{
	const struct vmcs12 *v = &n->current->vmcs12;
	u64 unset = unlikely(vmcs12_logs_writes(v)) ? ept12_unset(l12, write) : 0;

	if (unset && v->pml_index >= PML_ENTRIES)
		return MARK_LOG_FULL;
	if (!ept12_mark(l12, write, dirty))
		return MARK_AGAIN;
	if (unset & EPT_DIRTY)
		log_write(n, gpa2);
	return MARKED;
}

void nested_reflect_log_full(struct percpu *cpu, u64 qualification)
{
	struct vmcs12 *v = nested_begin_exit(cpu, EXIT_PML_FULL);

	v->exit_qualification = qualification & EPT_QUAL_NMI_UNBLOCK;
	v->exit_insn_len = (u32)vmread(VMCS_EXIT_INSN_LEN);
	nested_read_idt_info(v);
	nested_reflect(cpu);
}

/* ---- Violations (SDM vol. 3, "Virtualization Exceptions") ---- */

struct ve_information {
	u32 reason;
	u32 busy; /* until the guest clears it */
	u64 qualification, guest_linear, guest_physical;
	u16 eptp_index;
};

/* Bit 63 counts of that entry of EPT12 alone that is not present, or maps the page. NULL: L1 gets an exit. */
static volatile struct ve_information *ve_area(struct percpu *cpu, const struct vmcs12 *v, const struct ept12_leaf *l12)
{
	if (likely(!(vmcs12_proc2(v) & PROC2_EPT_VE)) || !l12->depth ||
	    (l12->entry[l12->depth - 1] & EPT_SUPPRESS_VE) || (v->idt_info & INTR_VALID) ||
	    !(vmread(VMCS_GUEST_CR0) & CR0_PE))
		return NULL;
	volatile struct ve_information *area = l1_page(&cpu->nested->memory, v->ve_info_addr, HYPAPI_RW);

	return area && !area->busy ? area : NULL;
}

/*
 * #VE tells what the exit would have told. The instruction pointer is still that of the access, and NMIs that its IRET
 * has unblocked stay so.
 */
static __attribute__((noinline)) void raise_ve(struct percpu *cpu, const struct vmcs12 *v,
					       volatile struct ve_information *area)
{
	u64 nmi_unblock = v->exit_qualification & EPT_QUAL_NMI_UNBLOCK;

	area->reason = v->exit_reason;
	area->busy = ~0u;
	area->qualification = v->exit_qualification;
	area->guest_linear = v->guest_linear_addr;
	area->guest_physical = v->guest_phys_addr;
	area->eptp_index = v->eptp_index;
	if (!(v->exception_bitmap & BIT(VEC_VE))) {
		vmx_inject(VEC_VE, 0);
		return;
	}
	vmx_save_as_fault(VEC_VE);
	nested_begin_exit(cpu, EXIT_EXCEPTION_NMI)->exit_intr_info =
		INTR_VALID | INTR_TYPE_HW_EXCEPTION | VEC_VE | (nmi_unblock ? INTR_NMI_UNBLOCK : 0);
	nested_reflect(cpu);
}

void nested_violation(struct percpu *cpu, const struct ept12_leaf *l12, gpa2_t gpa2, gva_t gva, u64 qualification)
{
	struct vmcs12 *v = nested_begin_exit(cpu, EXIT_EPT_VIOLATION);

	v->exit_qualification = qualification;
	v->guest_linear_addr = gva.addr;
	v->guest_phys_addr = gpa2.addr;
	v->exit_insn_len = (u32)vmread(VMCS_EXIT_INSN_LEN);
	nested_read_idt_info(v);
	cpu->ept12_changes++; /* a CPU forgets what its caches have of such an address: L1 needs no INVEPT */
	volatile struct ve_information *area = ve_area(cpu, v, l12);

	if (unlikely(area)) {
		raise_ve(cpu, v, area);
		return;
	}
	cpu->nested->missed.gpa2 = GPA2(v->guest_phys_addr);
	cpu->nested->missed.access = v->exit_qualification & EPT_QUAL_ACCESS;
	nested_reflect(cpu);
}

/* ---- Accesses that the core makes for L2 ---- */

bool nested_misses(struct guest_walk *w, gva_t gva, u32 rights, struct guest_miss *miss)
{
	struct percpu *cpu = w->cpu;
	gpa1_t gpa1;

	if (cpu->world->mode != RUN_L2 || !guest_walk_missed(w, gva, rights, miss))
		return false;
	return miss->log || !nested_gpa1(cpu, miss->gpa2, miss->rights, &gpa1);
}

/*
 * The access that a CPU would tell: of what is wanted what EPT12 lacks, and no fetch that writes. An L1 that is told
 * more may find the page executable, and think that nothing is missing. Who wants both comes again for the other.
 */
static u64 access_of(u32 wanted, u64 rights)
{
	u64 lacks = wanted & ~rights ? wanted & ~rights : wanted;

	return lacks & HYPAPI_W ? lacks & ~(u64)HYPAPI_X : lacks;
}

static void reflect_misconfig(struct percpu *cpu, gpa2_t gpa2)
{
	struct vmcs12 *v = nested_begin_exit(cpu, EXIT_EPT_MISCONFIG);

	v->guest_phys_addr = gpa2.addr;
	nested_read_idt_info(v);
	nested_reflect(cpu);
}

void nested_page_in(struct percpu *cpu, gva_t gva, const struct guest_miss *miss)
{
	struct ept12_leaf leaf = { 0 };
	enum ept12_result found = ept12_walk(&nested_caps, vmcs12_of(cpu)->eptp, miss->gpa2, &leaf);
	u64 rights = leaf.rights;

	if (found == EPT12_MISCONFIG) {
		reflect_misconfig(cpu, miss->gpa2);
		return;
	}
	if (found == EPT12_MAPPED && (rights & miss->rights) == miss->rights && miss->log) {
		nested_reflect_log_full(cpu, 0);
		return;
	}
	nested_violation(cpu, &leaf, miss->gpa2, gva,
			 access_of(miss->rights, rights) | rights << EPT_QUAL_RIGHTS_SHIFT | EPT_QUAL_GLA_VALID |
				 (miss->table ? 0 : EPT_QUAL_GLA_FINAL));
}

/* By an exit like that of L2's own access, which saves RF as 1. */
static void reflect_miss(struct percpu *cpu, gva_t gva, const struct guest_miss *miss)
{
	struct ept12_leaf leaf;

	vmx_save_as_fault(VEC_PF);
	if (ept12_walk(&nested_caps, vmcs12_of(cpu)->eptp, miss->gpa2, &leaf) == EPT12_MISCONFIG) {
		nested_begin_exit(cpu, EXIT_EPT_MISCONFIG)->guest_phys_addr = miss->gpa2.addr;
		nested_reflect(cpu);
	} else {
		nested_page_in(cpu, gva, miss);
	}
}

bool nested_missed(struct percpu *cpu, gva_t gva, size_t len, u32 rights)
{
	struct guest_walk walk;
	struct guest_miss miss;

	guest_walk_begin(&walk, cpu, guest_cpl());
	for_each_page_part(done, part, gva.addr, len)
		if (nested_misses(&walk, GVA(gva.addr + done), rights, &miss)) {
			reflect_miss(cpu, GVA(gva.addr + done), &miss);
			return true;
		}
	return false;
}
