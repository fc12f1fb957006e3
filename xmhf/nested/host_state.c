/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The second half of an exit to L1: its host state from vmcs12 becomes the guest state of VMCS01 (Intel SDM vol. 3,
 * "Loading Host State"). VMCS01 is current; vmcs12's host state passed the entry checks and cannot have changed since,
 * because L1 has not run. Callers: nested/exit.c, and entry.c for entries that fail.
 */
#include "cpu/x86.h"
#include "events/events.h"
#include "mem/ept01.h"
#include "nested/state.h"
#include "vmx/vmx.h"

/* Bits of CR0 that an exit leaves as they are: ET, 15:6, 17, 28:19, NW, CD and the upper half. */
#define CR0_KEPT (BITS(63, 32) | BIT(30) | BIT(29) | BITS(28, 19) | BIT(17) | BITS(15, 6) | CR0_ET)

/* What a null selector leaves of a segment is the base of FS or GS; other bases and limits are undefined then. */
static always_inline void load_data_segment(enum vmx_segment segment, u16 selector, u64 base)
{
	bool has_base = segment == SEGMENT_FS || segment == SEGMENT_GS;
	u32 at = 2 * (u32)segment;

	if (likely(selector)) {
		vmx_set_segment(segment, selector, base, 0xffffffff, AR_FLAT_DATA);
		return;
	}
	vmwrite_row(VMCS_GUEST_ES_SEL + at, 0);
	vmwrite_row(VMCS_GUEST_ES_AR + at, AR_UNUSABLE);
	if (has_base)
		vmwrite_row(VMCS_GUEST_ES_BASE + at, base);
}

static void load_segments(const struct vmcs12 *v)
{
	vmx_set_segment(SEGMENT_CS, v->host_cs_sel, 0, 0xffffffff,
			v->exit_ctls & EXITCTL_HOST_64 ? AR_FLAT_CODE_64 : AR_FLAT_CODE_32);
	load_data_segment(SEGMENT_SS, v->host_ss_sel, 0);
	load_data_segment(SEGMENT_DS, v->host_ds_sel, 0);
	load_data_segment(SEGMENT_ES, v->host_es_sel, 0);
	load_data_segment(SEGMENT_FS, v->host_fs_sel, v->host_fs_base);
	load_data_segment(SEGMENT_GS, v->host_gs_sel, v->host_gs_base);
	vmx_set_segment(SEGMENT_TR, v->host_tr_sel, v->host_tr_base, 0x67, AR_TSS_BUSY);
	vmwrite_row(VMCS_GUEST_LDTR_SEL, 0);
	vmwrite_row(VMCS_GUEST_LDTR_AR, AR_UNUSABLE);
	vmwrite_row(VMCS_GUEST_GDTR_BASE, v->host_gdtr_base);
	vmwrite_row(VMCS_GUEST_GDTR_LIMIT, 0xffff);
	vmwrite_row(VMCS_GUEST_IDTR_BASE, v->host_idtr_base);
	vmwrite_row(VMCS_GUEST_IDTR_LIMIT, 0xffff);
}

static void load_msrs(const struct vmcs12 *v, const struct l2_leftover *l2)
{
	u64 long_mode = v->exit_ctls & EXITCTL_HOST_64 ? EFER_LMA | EFER_LME : 0;
	bool load_efer = v->exit_ctls & EXITCTL_LOAD_EFER;

	vmwrite_row(VMCS_GUEST_EFER, load_efer ? v->host_efer : (l2->efer & ~(EFER_LMA | EFER_LME)) | long_mode);
	vmwrite_row(VMCS_GUEST_PAT, v->exit_ctls & EXITCTL_LOAD_PAT ? v->host_pat : l2->pat);
	vmwrite_row(VMCS_GUEST_SYSENTER_CS, v->host_sysenter_cs);
	vmwrite_row(VMCS_GUEST_SYSENTER_ESP, v->host_sysenter_esp);
	vmwrite_row(VMCS_GUEST_SYSENTER_EIP, v->host_sysenter_eip);
	vmwrite_row(VMCS_GUEST_DEBUGCTL, 0);
	vmwrite_row(VMCS_GUEST_DR7, 0x400);
}

/*
 * A 32-bit L1 with PAE paging: hardware takes VMCS01's PDPTEs, so they are read for it, and judged here (SDM vol. 3,
 * "Checking and Loading Host Page-Directory-Pointer-Table Entries"). Where L1 has no RAM they are all ones.
 */
static u32 load_pdptes(const struct vmcs12 *v)
{
	u64 pdpte[4];

	if ((v->exit_ctls & EXITCTL_HOST_64) || !(v->host_cr4 & CR4_PAE))
		return 0;
	if (!ept01_read(GPA1(v->host_cr3 & BITS(31, 5)), pdpte, sizeof(pdpte)))
		return VMX_ABORT_HOST_PDPTE;
	for (u32 i = 0; i < 4; i++) {
		if (!entry_pdpte_ok(&nested_caps, pdpte[i]))
			return VMX_ABORT_HOST_PDPTE;
		vmwrite(VMCS_GUEST_PDPTE0 + 2 * i, pdpte[i]);
	}
	return 0;
}

/* Activity and pending debug exceptions are already what an exit leaves: L1 was executing VMLAUNCH or VMRESUME. */
static always_inline u32 load_host_state(const struct vmcs12 *v, const struct l2_leftover *l2)
{
	u64 cr4 = v->host_cr4 | (v->exit_ctls & EXITCTL_HOST_64 ? CR4_PAE : 0);

	vmwrite(VMCS_GUEST_CR0, (v->host_cr0 & ~CR0_KEPT) | (l2->cr0 & CR0_KEPT));
	vmwrite_row(VMCS_GUEST_CR3, v->host_cr3);
	vmwrite_row(VMCS_GUEST_CR4, cr4);
	vmwrite_row(VMCS_GUEST_RSP, v->host_rsp);
	vmwrite_row(VMCS_GUEST_RIP, v->host_rip);
	vmwrite_row(VMCS_GUEST_RFLAGS, RFLAGS_FIXED1);
	vmwrite_row(VMCS_GUEST_INTERRUPTIBILITY, l2->nmi_blocked ? INTERRUPTIBILITY_NMI : 0);
	load_segments(v);
	load_msrs(v, l2);
	return load_pdptes(v);
}

void nested_resume_l1(struct percpu *cpu, const struct l2_leftover *l2, u32 abort, bool flush)
{
	const struct vmcs12 *v = vmcs12_of(cpu);
	u32 bad_host = load_host_state(v, l2);

	abort = abort ? abort : bad_host;
	if (flush)
		flush_vpid(INVVPID_SINGLE, VPID_L1);
	if (v->exit_msr_load_count && !abort && msr_area_load(cpu, v->exit_msr_load_addr, v->exit_msr_load_count))
		abort = VMX_ABORT_MSR_LOAD;
	if (unlikely(abort))
		nested_abort(cpu, abort);
	if (unlikely(cpu->crossing))
		nested_crossed(cpu, HYPAPI_EV_EXIT201);
}
