/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * EPT violations of L2: EPT12 is walked first, and what it forbids or spells wrong is L1's exit. What it allows and
 * EPT01 allows too is filled into EPT02, with the larger of the two tables' page sizes cut to the smaller. The rest is
 * an access to memory that L1 itself may not touch: the hypapps' business, as in L1. Callers: nested/exit.c, entry.
 */
#include "apic/apic_guard.h"
#include "events/events.h"
#include "mem/ept.h"
#include "mem/ept01.h"
#include "nested/state.h"
#include "report/log.h"
#include "vmx/vmx.h"

/* Bits of a violation's exit qualification that are hardware's to say; 5:3 come from our walk of EPT12. */
#define QUAL_HARDWARE (EPT_QUAL_ACCESS | EPT_QUAL_GLA_VALID | EPT_QUAL_GLA_FINAL | EPT_QUAL_NMI_UNBLOCK)

struct fault {
	gpa2_t gpa2;
	u64 qualification; /* 0 for a misconfiguration */
	u32 access;        /* enum hypapi_rights */
};

/*
 * A leaf that allows writes must allow reads, and may be execute-only only where the CPU can (EPT misconfigurations).
 */
static u32 legal_rights(u32 rights)
{
	if (rights & HYPAPI_R)
		return rights;
	return vmx_ept_vpid_cap & EPTCAP_EXEC_ONLY ? rights & HYPAPI_X : 0;
}

static always_inline void fill(struct nested_cpu *n, gpa2_t gpa2, const struct ept12_leaf *l12,
			       const struct ept01_leaf *l01)
{
	unsigned int level = MIN(l12->level, l01->level);
	u64 rights = legal_rights(l12->rights & l01->rights);
	u64 type = ept02_type(l12->type, l01->ram, l01->type);
	u64 entry = ALIGN_DOWN(l01->hpa.addr, EPT_LEVEL_SIZE(level)) | type | rights | l01->ram;

	if (likely(ept02_map(&n->ept02, n->current->root, gpa2.addr, level, entry)))
		return;
	ept02_empty(&n->ept02);
	flush_ept(INVEPT_ALL, 0);
	n->pool_emptied = true;
	this_cpu()->work = 1;
	if (!ept02_map(&n->ept02, n->current->root, gpa2.addr, level, entry))
		panic("an empty EPT02 pool has no page");
}

static void reflect_violation(struct percpu *cpu, const struct fault *f, u32 rights)
{
	struct exit_info exit = {
		.reason = EXIT_EPT_VIOLATION,
		.qualification = (f->qualification & QUAL_HARDWARE) | (u64)rights << EPT_QUAL_RIGHTS_SHIFT,
		.guest_physical = f->gpa2.addr,
		.guest_linear = vmread(VMCS_GUEST_LINEAR_ADDR),
		.insn_len = (u32)vmread(VMCS_EXIT_INSN_LEN),
	};

	nested_read_idt_info(&exit);
	cpu->nested->missed.gpa2 = f->gpa2;
	cpu->nested->missed.access = f->access;
	nested_reflect(cpu, &exit);
}

/* A page that is not dirty yet is filled read-only, so that the first write comes here. False: L2 tries again. */
static inline bool mark(struct ept12_leaf *l12, u32 access)
{
	bool dirty;

	if (!ept12_mark(l12, access & HYPAPI_W, &dirty))
		return false;
	if (!dirty)
		l12->rights &= ~(u32)HYPAPI_W;
	return true;
}

/* Hardware may cache a translation at any time, so the entry after L1 has mended EPT12 is as good as L2's next try. */
void nested_refill(struct percpu *cpu)
{
	struct nested_cpu *n = cpu->nested;
	const struct vmcs12 *v = &n->current->vmcs12;
	gpa2_t missed = n->missed.gpa2;
	u32 access = n->missed.access;
	struct ept12_leaf l12;
	struct ept01_leaf l01;

	n->missed.access = 0;
	if (!vmcs12_uses_ept(v) || ept12_walk(&nested_caps, v->eptp, missed, &l12) != EPT12_MAPPED ||
	    (l12.rights & access) != access || !l1_leaf(&n->memory, l12.gpa1, &l01) || (l01.rights & access) != access)
		return;
	if (!(v->eptp & EPTP_AD) || mark(&l12, access))
		fill(n, missed, &l12, &l01);
}

static void walk_and_fill(struct percpu *cpu, const struct fault *f)
{
	struct nested_cpu *n = cpu->nested;
	struct ept12_leaf l12;
	struct ept01_leaf l01;

	enum ept12_result result = ept12_walk(&nested_caps, n->current->vmcs12.eptp, f->gpa2, &l12);

	if (result == EPT12_MISCONFIG) {
		nested_reflect_hardware(cpu, EXIT_EPT_MISCONFIG);
	} else if (result == EPT12_NOT_PRESENT || (l12.rights & f->access) != f->access) {
		reflect_violation(cpu, f, l12.rights);
	} else if (!l1_leaf(&n->memory, l12.gpa1, &l01) || (l01.rights & f->access) != f->access) {
		vmx_violation(cpu, l12.gpa1, f->gpa2, f->qualification);
	} else {
		if (!(n->current->vmcs12.eptp & EPTP_AD) || mark(&l12, f->access))
			fill(n, f->gpa2, &l12, &l01);
		vmx_requeue_access(f->qualification);
	}
}

/* EPT02 is never misconfigured. If the CPU reports that all the same, the walk of EPT12 tells whose mistake it is. */
void nested_ept_fault(struct percpu *cpu)
{
	struct fault f = { .gpa2 = GPA2(vmread(VMCS_GUEST_PHYS_ADDR)) };

	if (likely(cpu->exit_reason == EXIT_EPT_VIOLATION)) {
		f.qualification = vmread(VMCS_EXIT_QUALIFICATION);
		f.access = f.qualification & EPT_QUAL_ACCESS;
	}
	if (vmcs12_uses_ept(vmcs12_of(cpu)))
		walk_and_fill(cpu, &f);
	else
		vmx_violation(cpu, GPA1(f.gpa2.addr), f.gpa2, f.qualification);
}
