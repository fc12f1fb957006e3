/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Every row of nested/entry_checks.def: a valid VMCS12 passes, one mutation of it fails in exactly that row, and is
 * not even looked at while the groups that the row reads are clean.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

#include "cpu/x86.h"
#include "nested/entry_checks.h"

struct world {
	struct vmcs12 v;
	struct nested_caps c;
	struct entry_env e;
};

/* Capabilities of a CPU that has everything, cut to what L0 offers. */
static void full_caps(struct nested_caps *caps)
{
	struct nested_hw hw = { .efer_valid = 0xd01, .debugctl_valid = 3, .phys_bits = 40, .linear_bits = 48 };

	for (u32 i = 0; i < NESTED_MSR_COUNT; i++)
		hw.msr[i] = ~0ull << 32;
	hw.msr[MSR_IA32_VMX_BASIC - NESTED_MSR_FIRST] = VMX_BASIC_TRUE_CTLS | VMX_BASIC_INS_OUTS;
	hw.msr[MSR_IA32_VMX_MISC - NESTED_MSR_FIRST] = 4 << VMX_MISC_CR3_TARGETS_SHIFT | VMX_MISC_ACT_HLT;
	hw.msr[MSR_IA32_VMX_CR0_FIXED0 - NESTED_MSR_FIRST] = CR0_PE | CR0_PG | CR0_NE;
	hw.msr[MSR_IA32_VMX_CR0_FIXED1 - NESTED_MSR_FIRST] = 0xffffffff;
	hw.msr[MSR_IA32_VMX_CR4_FIXED0 - NESTED_MSR_FIRST] = CR4_VMXE;
	hw.msr[MSR_IA32_VMX_CR4_FIXED1 - NESTED_MSR_FIRST] = 0x3727ff;
	hw.msr[MSR_IA32_VMX_EPT_VPID_CAP - NESTED_MSR_FIRST] = ~(u64)EPTCAP_UC;
	nested_caps_compute(caps, &hw);
}

static void valid_host(struct vmcs12 *v)
{
	v->host_cr0 = CR0_PE | CR0_PG | CR0_NE;
	v->host_cr4 = CR4_VMXE | CR4_PAE;
	v->host_cs_sel = 0x08;
	v->host_ss_sel = v->host_ds_sel = 0x10;
	v->host_tr_sel = 0x18;
	v->host_rip = 0xffff800000001000;
}

static void valid_guest(struct vmcs12 *v)
{
	v->guest_cr0 = CR0_PE | CR0_PG | CR0_NE;
	v->guest_cr4 = CR4_VMXE | CR4_PAE;
	v->guest_cs_sel = 0x08;
	v->guest_cs_ar = 0xa09b;
	v->guest_cs_limit = 0xffffffff;
	v->guest_ss_sel = 0x10;
	v->guest_ss_ar = v->guest_ds_ar = v->guest_es_ar = 0xc093;
	v->guest_ss_limit = v->guest_ds_limit = v->guest_es_limit = 0xffffffff;
	v->guest_fs_ar = v->guest_gs_ar = v->guest_ldtr_ar = AR_UNUSABLE;
	v->guest_tr_sel = 0x18;
	v->guest_tr_ar = 0x8b;
	v->guest_tr_limit = 0x67;
	v->guest_rflags = RFLAGS_FIXED1 | RFLAGS_IF;
	v->guest_rip = 0x401000;
	v->link_pointer = ~0ull;
}

static void valid_world(struct world *w)
{
	struct vmcs12 *v = &w->v;

	memset(w, 0, sizeof(*w));
	full_caps(&w->c);
	w->e = (struct entry_env){ .caps = &w->c, .current = GPA1(0x5000), .l1_long_mode = true };
	v->pin_ctls = PIN_INTR_EXITING | PIN_NMI_EXITING;
	v->proc_ctls = PROC_SECONDARY;
	v->proc2_ctls = PROC2_EPT | PROC2_VPID;
	v->vpid = 1;
	v->eptp = 0x1000 | EPTP_WALK_4 | EPT_TYPE_WB;
	v->exit_ctls = EXITCTL_HOST_64;
	v->entry_ctls = ENTRYCTL_IA32E;
	valid_host(v);
	valid_guest(v);
}

static void make_v86(struct vmcs12 *v)
{
	v->entry_ctls = 0;
	v->guest_rflags |= RFLAGS_VM;
#define V86(seg)                                                                                                      \
	v->guest_##seg##_ar = 0xf3, v->guest_##seg##_limit = 0xffff, v->guest_##seg##_base = v->guest_##seg##_sel << 4
	V86(cs), V86(ss), V86(ds), V86(es), V86(fs), V86(gs);
#undef V86
}

static void make_real(struct vmcs12 *v)
{
	v->entry_ctls = 0;
	v->proc2_ctls |= PROC2_UNRESTRICTED;
	v->guest_cr0 = CR0_NE;
	v->guest_cs_ar = 0x93;
	v->guest_cs_limit = 0xffff;
}

static void make_pae(struct vmcs12 *v)
{
	v->entry_ctls = 0;
	v->guest_cs_ar = 0xc09b;
}

static void make_host32(struct world *w)
{
	w->v.exit_ctls = 0;
	w->v.entry_ctls = 0;
	w->v.guest_cs_ar = 0xc09b;
	w->v.host_rip = 0x1000;
	w->e.l1_long_mode = false;
}

static void offer_all(struct world *w, u32 proc2)
{
	NESTED_CAP(&w->c, PROCBASED_CTLS2) |= ~0ull << 32;
	NESTED_CAP(&w->c, TRUE_PINBASED_CTLS) |= ~0ull << 32;
	NESTED_CAP(&w->c, TRUE_ENTRY_CTLS) |= ~0ull << 32;
	w->v.proc2_ctls |= proc2;
}

static void offer_vmfunc(struct world *w)
{
	offer_all(w, PROC2_VMFUNC);
	NESTED_CAP(&w->c, VMFUNC) = VMFUNC_EPTP_SWITCHING;
	w->v.vm_function_controls = VMFUNC_EPTP_SWITCHING;
}

static void allow_cet(struct world *w)
{
	NESTED_CAP(&w->c, CR4_FIXED1) |= CR4_CET;
}

#define EVENT(type, vector) (v->entry_intr_info = INTR_VALID | INTR_TYPE_##type | (vector))

/* M(row that must fail, what makes the valid world invalid) */
#define MUTATIONS                                                                                                     \
	M(pin_reserved, v->pin_ctls |= PIN_POSTED_INTR)                                                               \
	M(proc_reserved, v->proc_ctls |= PROC_TERTIARY)                                                               \
	M(proc2_reserved, v->proc2_ctls |= PROC2_MBEC)                                                                \
	M(cr3_targets, v->cr3_target_count = 5)                                                                       \
	M(io_bitmaps, v->proc_ctls |= PROC_IO_BITMAPS, v->io_bitmap_b = 0x1001)                                       \
	M(io_bitmaps, v->proc_ctls |= PROC_IO_BITMAPS, v->io_bitmap_a = BIT(40))                                      \
	M(msr_bitmap, v->proc_ctls |= PROC_MSR_BITMAPS, v->msr_bitmap = 0x800)                                        \
	M(virtual_apic, v->proc_ctls |= PROC_TPR_SHADOW, v->virtual_apic_addr = BIT(41))                              \
	M(tpr_threshold_reserved, v->proc_ctls |= PROC_TPR_SHADOW, v->tpr_threshold = 0x10)                           \
	M(tpr_threshold_vtpr, v->proc_ctls |= PROC_TPR_SHADOW, v->tpr_threshold = 3, w->e.vtpr = 0x2f)                \
	M(apic_without_tpr_shadow, offer_all(w, PROC2_X2APIC))                                                        \
	M(virtual_nmis, v->pin_ctls = PIN_VIRTUAL_NMIS)                                                               \
	M(nmi_window, v->proc_ctls |= PROC_NMI_WINDOW)                                                                \
	M(apic_access, offer_all(w, PROC2_APIC_ACCESS), v->apic_access_addr = 1)                                      \
	M(x2apic_or_apic_access, offer_all(w, PROC2_X2APIC | PROC2_APIC_ACCESS), v->proc_ctls |= PROC_TPR_SHADOW)     \
	M(intr_delivery, offer_all(w, PROC2_VIRT_INTR_DELIVERY), v->proc_ctls |= PROC_TPR_SHADOW, v->pin_ctls = 0)    \
	M(posted_intr, offer_all(w, 0), v->pin_ctls |= PIN_POSTED_INTR)                                               \
	M(vpid_zero, v->vpid = 0)                                                                                     \
	M(eptp_type, v->eptp &= ~7ull)                                                                                \
	M(eptp_type, v->eptp ^= 4 ^ 6)                                                                                \
	M(eptp_walk, v->eptp ^= 1 << 3)                                                                               \
	M(eptp_ad, v->eptp |= EPTP_AD, NESTED_CAP(&w->c, EPT_VPID_CAP) &= ~EPTCAP_AD)                                 \
	M(eptp_reserved, v->eptp |= BIT(11))                                                                          \
	M(eptp_reserved, v->eptp |= BIT(40))                                                                          \
	M(shadow_bitmaps, offer_all(w, PROC2_SHADOW_VMCS), v->vmread_bitmap = 0x1800)                                 \
	M(shadow_bitmaps, offer_all(w, PROC2_SHADOW_VMCS), v->vmwrite_bitmap = BIT(40))                               \
	M(ept_required, v->proc2_ctls = PROC2_UNRESTRICTED)                                                           \
	M(ept_required, offer_all(w, PROC2_PML), v->proc2_ctls &= ~PROC2_EPT)                                         \
	M(pml_address, offer_all(w, PROC2_PML), v->pml_addr = 0x1008)                                                 \
	M(pml_address, offer_all(w, PROC2_PML), v->pml_addr = BIT(40))                                                \
	M(ve_information, offer_all(w, PROC2_EPT_VE), v->ve_info_addr = 0x1800)                                       \
	M(ve_information, offer_all(w, PROC2_EPT_VE), v->ve_info_addr = BIT(40))                                      \
	M(vmfunc_reserved, offer_all(w, PROC2_VMFUNC), v->vm_function_controls = BIT(1))                              \
	M(vmfunc_eptp_list, offer_vmfunc(w), v->eptp_list_addr = 8)                                                   \
	M(vmfunc_eptp_list, offer_vmfunc(w), v->eptp_list_addr = BIT(40))                                             \
	M(exit_reserved, v->exit_ctls |= EXITCTL_LOAD_CET)                                                            \
	M(save_timer, v->exit_ctls |= EXITCTL_SAVE_TIMER)                                                             \
	M(exit_msr_store, v->exit_msr_store_count = 1, v->exit_msr_store_addr = 8)                                    \
	M(exit_msr_store, v->exit_msr_store_count = 2, v->exit_msr_store_addr = BIT(40) - 16)                         \
	M(exit_msr_load, v->exit_msr_load_count = 1, v->exit_msr_load_addr = BIT(40))                                 \
	M(entry_reserved, v->entry_ctls |= ENTRYCTL_LOAD_RTIT)                                                        \
	M(event_type, v->entry_intr_info = INTR_VALID | 1 << 8)                                                       \
	M(event_vector, EVENT(NMI, 3))                                                                                \
	M(event_vector, EVENT(HW_EXCEPTION, 32))                                                                      \
	M(event_vector, EVENT(OTHER, 1))                                                                              \
	M(event_error_code, EVENT(HW_EXCEPTION, VEC_GP))                                                              \
	M(event_error_code, EVENT(HW_EXCEPTION, VEC_UD | INTR_ERROR_CODE))                                            \
	M(event_error_code, EVENT(SW_INTR, VEC_GP | INTR_ERROR_CODE), v->entry_insn_len = 2)                          \
	M(event_error_code, make_real(v), EVENT(HW_EXCEPTION, VEC_GP | INTR_ERROR_CODE))                              \
	M(event_reserved, EVENT(EXTERNAL, 0x30), v->entry_intr_info |= BIT(12))                                       \
	M(event_error_reserved, EVENT(HW_EXCEPTION, VEC_PF | INTR_ERROR_CODE), v->entry_error_code = BIT(16))         \
	M(event_length, EVENT(SW_EXCEPTION, VEC_BP))                                                                  \
	M(event_length, EVENT(SW_INTR, 0x80), v->entry_insn_len = 16)                                                 \
	M(entry_msr_load, v->entry_msr_load_count = 1, v->entry_msr_load_addr = 1)                                    \
	M(entry_smm, offer_all(w, 0), v->entry_ctls |= ENTRYCTL_SMM)                                                  \
	M(host_cr0, v->host_cr0 &= ~CR0_NE)                                                                           \
	M(host_cr0, v->host_cr0 |= BIT(32))                                                                           \
	M(host_cr4, v->host_cr4 &= ~CR4_VMXE)                                                                         \
	M(host_cet, v->host_cr4 |= CR4_CET, v->host_cr0 &= ~CR0_WP, allow_cet(w))                                     \
	M(host_cr3, v->host_cr3 = BIT(40))                                                                            \
	M(host_sysenter, v->host_sysenter_eip = BIT(47))                                                              \
	M(host_pat, v->exit_ctls |= EXITCTL_LOAD_PAT, v->host_pat = 0x0007040600070403)                               \
	M(host_pat, v->exit_ctls |= EXITCTL_LOAD_PAT, v->host_pat = 0x0807040600070406)                               \
	M(host_efer_reserved, v->exit_ctls |= EXITCTL_LOAD_EFER, v->host_efer = 0xd01 | BIT(1))                       \
	M(host_efer_lma, v->exit_ctls |= EXITCTL_LOAD_EFER, v->host_efer = EFER_LME)                                  \
	M(host_selectors, v->host_fs_sel = 3)                                                                         \
	M(host_selectors, v->host_tr_sel |= 4)                                                                        \
	M(host_cs_null, v->host_cs_sel = 0)                                                                           \
	M(host_tr_null, v->host_tr_sel = 0)                                                                           \
	M(host_ss_null, make_host32(w), v->host_ss_sel = 0)                                                           \
	M(host_bases, v->host_idtr_base = 0x800000000000)                                                             \
	M(host_size, v->exit_ctls = 0)                                                                                \
	M(host_size, w->e.l1_long_mode = false)                                                                       \
	M(host_32_guest, make_host32(w), v->entry_ctls = ENTRYCTL_IA32E, v->guest_cs_ar = 0xa09b)                     \
	M(host_32_cr4, make_host32(w), v->host_cr4 |= CR4_PCIDE)                                                      \
	M(host_32_rip, make_host32(w), v->host_rip = BIT(32))                                                         \
	M(host_64_cr4, v->host_cr4 = CR4_VMXE)                                                                        \
	M(host_64_rip, v->host_rip = BIT(47))                                                                         \
	M(guest_cr0, v->guest_cr0 &= ~CR0_NE)                                                                         \
	M(guest_cr0, make_pae(v), v->guest_cr0 &= ~CR0_PG)                                                            \
	M(guest_pg_pe, make_real(v), v->guest_cr0 |= CR0_PG)                                                          \
	M(guest_cr4, v->guest_cr4 |= BIT(31))                                                                         \
	M(guest_cet, v->guest_cr4 |= CR4_CET, v->guest_cr0 &= ~CR0_WP, allow_cet(w))                                  \
	M(guest_debugctl, v->entry_ctls |= ENTRYCTL_LOAD_DEBUG, v->guest_debugctl = BIT(4))                           \
	M(guest_ia32e, v->guest_cr4 &= ~CR4_PAE)                                                                      \
	M(guest_ia32e, v->proc2_ctls |= PROC2_UNRESTRICTED, v->guest_cr0 &= ~CR0_PG)                                  \
	M(guest_pcide, make_pae(v), v->guest_cr4 |= CR4_PCIDE)                                                        \
	M(guest_cr3, v->guest_cr3 = BIT(51))                                                                          \
	M(guest_dr7, v->entry_ctls |= ENTRYCTL_LOAD_DEBUG, v->guest_dr7 = BIT(32))                                    \
	M(guest_sysenter, v->guest_sysenter_esp = BIT(63))                                                            \
	M(guest_pat, v->entry_ctls |= ENTRYCTL_LOAD_PAT, v->guest_pat = 2)                                            \
	M(guest_efer_reserved, v->entry_ctls |= ENTRYCTL_LOAD_EFER, v->guest_efer = BIT(14) | EFER_LMA | EFER_LME)    \
	M(guest_efer_lma, v->entry_ctls |= ENTRYCTL_LOAD_EFER, v->guest_efer = EFER_LME)                              \
	M(guest_efer_lme, v->entry_ctls |= ENTRYCTL_LOAD_EFER, v->guest_efer = EFER_LMA)                              \
	M(tr_ti, v->guest_tr_sel |= 4)                                                                                \
	M(ldtr_ti, v->guest_ldtr_ar = 0x82, v->guest_ldtr_sel = 0x24)                                                 \
	M(ss_rpl, v->guest_ss_sel |= 3)                                                                               \
	M(v86_base, make_v86(v), v->guest_gs_base = 16)                                                               \
	M(bases_canonical, v->guest_tr_base = BIT(47))                                                                \
	M(bases_canonical, v->guest_gs_base = BIT(63))                                                                \
	M(cs_base, v->guest_cs_base = BIT(32))                                                                        \
	M(data_base, v->guest_es_base = BIT(32))                                                                      \
	M(v86_limit, make_v86(v), v->guest_ds_limit = 0xfffff)                                                        \
	M(v86_rights, make_v86(v), v->guest_ss_ar = 0x93)                                                             \
	M(cs_type, v->guest_cs_ar &= ~AR_ACCESSED)                                                                    \
	M(cs_type, v->guest_cs_ar = 0xa093)                                                                           \
	M(ss_type, v->guest_ss_ar &= ~AR_WRITABLE)                                                                    \
	M(data_type, v->guest_fs_ar = 0xc092)                                                                         \
	M(data_type, v->guest_ds_ar = 0xc099)                                                                         \
	M(seg_s, v->guest_cs_ar &= ~AR_S)                                                                             \
	M(cs_dpl, v->guest_cs_ar |= 3 << AR_DPL_SHIFT)                                                                \
	M(cs_dpl, make_real(v), v->guest_cs_ar |= 1 << AR_DPL_SHIFT)                                                  \
	M(ss_dpl_rpl, v->guest_cs_ar |= 1 << AR_DPL_SHIFT, v->guest_ss_ar |= 1 << AR_DPL_SHIFT)                       \
	M(ss_dpl_zero, make_real(v), v->guest_ss_ar |= 1 << AR_DPL_SHIFT)                                             \
	M(data_dpl, v->guest_es_sel = 3)                                                                              \
	M(seg_p, v->guest_ds_ar &= ~AR_P)                                                                             \
	M(seg_reserved, v->guest_es_ar |= BIT(8))                                                                     \
	M(seg_reserved, v->guest_cs_ar |= BIT(17))                                                                    \
	M(cs_db, v->guest_cs_ar |= AR_DB)                                                                             \
	M(seg_granularity, v->guest_ss_limit = 0xfffffffe)                                                            \
	M(seg_granularity, v->guest_cs_ar &= ~AR_G)                                                                   \
	M(tr_type, v->guest_tr_ar = 0x89)                                                                             \
	M(tr_type, v->guest_tr_ar = 0x83)                                                                             \
	M(tr_rights, v->guest_tr_ar |= AR_UNUSABLE)                                                                   \
	M(tr_rights, v->guest_tr_ar &= ~AR_P)                                                                         \
	M(tr_granularity, v->guest_tr_ar |= AR_G)                                                                     \
	M(ldtr_rights, v->guest_ldtr_ar = 0x8b)                                                                       \
	M(ldtr_granularity, v->guest_ldtr_ar = 0x82, v->guest_ldtr_limit = 0x100000)                                  \
	M(table_bases, v->guest_gdtr_base = BIT(47))                                                                  \
	M(table_limits, v->guest_idtr_limit = 0x10000)                                                                \
	M(rip_32, make_pae(v), v->guest_rip = BIT(32))                                                                \
	M(rip_64, v->guest_rip = BIT(48))                                                                             \
	M(rflags_reserved, v->guest_rflags = RFLAGS_IF)                                                               \
	M(rflags_reserved, v->guest_rflags |= BIT(15))                                                                \
	M(rflags_vm, make_v86(v), v->entry_ctls = ENTRYCTL_IA32E)                                                     \
	M(rflags_if, EVENT(EXTERNAL, 0x20), v->guest_rflags = RFLAGS_FIXED1)                                          \
	M(activity_supported, v->guest_activity = ACTIVITY_SHUTDOWN)                                                  \
	M(activity_supported, v->guest_activity = 4)                                                                  \
	M(activity_hlt_dpl, v->guest_activity = ACTIVITY_HLT, v->guest_cs_sel = 0xb, v->guest_ss_sel = 0x13,          \
	  v->guest_cs_ar |= 3 << AR_DPL_SHIFT, v->guest_ss_ar |= 3 << AR_DPL_SHIFT)                                   \
	M(activity_blocking, v->guest_activity = ACTIVITY_HLT, v->guest_interruptibility = INTERRUPTIBILITY_STI)      \
	M(activity_event, v->guest_activity = ACTIVITY_HLT, EVENT(HW_EXCEPTION, VEC_UD))                              \
	M(activity_smm, offer_all(w, 0), v->guest_activity = ACTIVITY_WAIT_SIPI,                                      \
	  NESTED_CAP(&w->c, MISC) |= VMX_MISC_ACT_WAIT_SIPI, v->entry_ctls |= ENTRYCTL_SMM)                           \
	M(interruptibility_reserved, v->guest_interruptibility = BIT(5))                                              \
	M(interruptibility_both, v->guest_interruptibility = 3)                                                       \
	M(interruptibility_sti, v->guest_interruptibility = 1, v->guest_rflags = RFLAGS_FIXED1)                       \
	M(interruptibility_intr, v->guest_interruptibility = 2, EVENT(EXTERNAL, 0x20))                                \
	M(interruptibility_mov_ss, v->guest_interruptibility = 2, EVENT(NMI, 2))                                      \
	M(interruptibility_smi, v->guest_interruptibility = INTERRUPTIBILITY_SMI)                                     \
	M(interruptibility_nmi, v->pin_ctls |= PIN_VIRTUAL_NMIS,                                                      \
	  v->guest_interruptibility = INTERRUPTIBILITY_NMI, EVENT(NMI, 2))                                            \
	M(pending_debug_reserved, v->guest_pending_debug = BIT(4))                                                    \
	M(pending_debug_reserved, v->guest_pending_debug = PENDING_DEBUG_RTM)                                         \
	M(pending_debug_step, v->guest_interruptibility = 1, v->guest_pending_debug = PENDING_DEBUG_BS)               \
	M(pending_debug_step, v->guest_interruptibility = 2, v->guest_rflags |= RFLAGS_TF)                            \
	M(link_address, v->link_pointer = 0x1008)                                                                     \
	M(link_revision, v->link_pointer = 0x6000, w->e.link_revision = NESTED_REVISION | VMCS_REGION_SHADOW)         \
	M(link_revision, offer_all(w, PROC2_SHADOW_VMCS), v->link_pointer = 0x6000,                                   \
	  w->e.link_revision = NESTED_REVISION)                                                                       \
	M(link_current, v->link_pointer = 0x5000, w->e.link_revision = NESTED_REVISION)                               \
	M(pdptes, make_pae(v), v->guest_pdpte3 = 0x1003)                                                              \
	M(pdptes, make_pae(v), v->proc2_ctls = 0, w->e.pdpte[0] = BIT(40) | 1)

/* A row that only bites behind another one: entry_smm already refuses what activity_smm looks at. */
#define SHADOWED(check) ((check) == ENTRY_CHECK_activity_smm)

/* Applies mutation `number`; answers the row that it must trip, or ENTRY_CHECKS_PASSED past the last one. */
static enum entry_check mutate(u32 number, struct world *w)
{
	struct vmcs12 *v = &w->v;
	u32 n = 0;

#define M(check, ...)                                                                                                 \
	if (number == n++) {                                                                                          \
		__VA_ARGS__;                                                                                          \
		return ENTRY_CHECK_##check;                                                                           \
	}
	MUTATIONS
#undef M
	return ENTRY_CHECKS_PASSED;
}

static void expect(enum entry_check got, enum entry_check want, u32 number)
{
	if (got != want)
		fail_msg("mutation %u: %s instead of %s", number,
			 got < ENTRY_CHECK_COUNT ? entry_check_info[got].name : "passed",
			 want < ENTRY_CHECK_COUNT ? entry_check_info[want].name : "passed");
}

static void valid_passes(void **state)
{
	struct world w;

	(void)state;
	valid_world(&w);
	expect(entry_check_run(&w.v, &w.e, GROUPS_ALL), ENTRY_CHECKS_PASSED, 0);
}

/* Groups a mutation touched: only those rows are the entry's to check again. */
static void every_row_fails_alone(void **state)
{
	bool covered[ENTRY_CHECK_COUNT] = { false };
	struct world w;
	enum entry_check want;

	(void)state;
	for (u32 i = 0; valid_world(&w), (want = mutate(i, &w)) != ENTRY_CHECKS_PASSED; i++) {
		u32 reads = entry_check_info[want].reads;
		enum entry_check got = entry_check_run(&w.v, &w.e, GROUPS_ALL);

		covered[want] = true;
		if (SHADOWED(want))
			assert_true(got < want);
		else
			expect(got, want, i);
		got = entry_check_run(&w.v, &w.e, GROUPS_ALL & ~reads);
		assert_true(got != want);
	}
	for (u32 i = 0; i < ENTRY_CHECK_COUNT; i++)
		if (!covered[i])
			fail_msg("no test for row %s", entry_check_info[i].name);
}

static void valid_variants_pass(void **state)
{
	struct world world, *w = &world;
	struct vmcs12 *v = &w->v;

	(void)state;
#define PASSES(...)                                                                                                   \
	valid_world(w);                                                                                               \
	__VA_ARGS__;                                                                                                  \
	expect(entry_check_run(v, &w->e, GROUPS_ALL), ENTRY_CHECKS_PASSED, __LINE__)
	PASSES(make_v86(v));
	PASSES(make_real(v));
	PASSES(make_pae(v));
	PASSES(make_pae(v), v->guest_pdpte0 = 0x1001);
	PASSES(make_host32(w));
	PASSES(v->proc_ctls = 0, v->proc2_ctls = ~0u); /* secondary controls off: not looked at */
	PASSES(v->io_bitmap_a = ~0ull, v->msr_bitmap = ~0ull, v->virtual_apic_addr = ~0ull);
	PASSES(v->exit_msr_load_addr = ~0ull, v->entry_msr_load_addr = 1);
	PASSES(EVENT(HW_EXCEPTION, VEC_PF | INTR_ERROR_CODE), v->entry_error_code = 0x7fff);
	PASSES(v->entry_intr_info = 0x7fffffff);
	PASSES(EVENT(SW_INTR, 0x80), v->entry_insn_len = 2);
	PASSES(v->guest_activity = ACTIVITY_HLT, EVENT(EXTERNAL, 0x20));
	PASSES(v->guest_rip = 0x0000800000000000); /* non-canonical, but bits 63:48 agree */
	PASSES(v->guest_interruptibility = 1, v->guest_rflags |= RFLAGS_TF, v->guest_pending_debug = PENDING_DEBUG_BS);
	PASSES(v->link_pointer = 0x6000, w->e.link_revision = NESTED_REVISION);
	PASSES(offer_all(w, PROC2_SHADOW_VMCS), v->link_pointer = 0x6000,
	       w->e.link_revision = NESTED_REVISION | VMCS_REGION_SHADOW);
	PASSES(v->vmread_bitmap = ~0ull, v->vmwrite_bitmap = 1);
	PASSES(v->guest_ldtr_ar = 0x82, v->guest_ldtr_limit = 0xffff);
	PASSES(v->exit_ctls |= EXITCTL_LOAD_PAT, v->host_pat = 0x0007040605010406);
	PASSES(v->exit_msr_store_count = 1, v->exit_msr_store_addr = BIT(40) - 16);
#undef PASSES
}

/* What a check reads must name every group that its mutation wrote, else a later entry would miss the change. */
static void reads_cover_each_write(void **state)
{
	struct world w, before;
	enum entry_check want;

	(void)state;
	for (u32 i = 0; valid_world(&w), before = w, (want = mutate(i, &w)) != ENTRY_CHECKS_PASSED; i++) {
		u32 written = 0;

		for (u32 f = 0; f < VMCS12_FIELD_COUNT; f++)
			if (vmcs12_read(&w.v, &vmcs12_fields[f], 0) != vmcs12_read(&before.v, &vmcs12_fields[f], 0))
				written |= 1u << vmcs12_fields[f].group;
		/* only from the last written group on is the check sure to fail; all of them together must trip it */
		if (written && !SHADOWED(want))
			assert_true(entry_check_run(&w.v, &w.e, written) != ENTRY_CHECKS_PASSED);
		assert_int_equal(entry_check_reads(written) & written & entry_check_info[want].reads,
				 written & entry_check_info[want].reads);
	}
}

/* A VMCS that gets the place of one with the same fields has no group to be looked at; but it is another one. */
static void each_entry_asks_which_is_current(void **state)
{
	struct world w;

	(void)state;
	valid_world(&w);
	w.v.link_pointer = w.e.current.addr;
	w.e.link_revision = NESTED_REVISION;
	assert_int_equal(entry_check_run(&w.v, &w.e, GROUP(MEMORY)), ENTRY_CHECK_link_current);
}

static void kinds_give_the_answer(void **state)
{
	(void)state;
	assert_int_equal(entry_check_error(ENTRY_CHECK_vpid_zero), 7);
	assert_int_equal(entry_check_error(ENTRY_CHECK_host_cr3), 8);
	assert_int_equal(entry_check_error(ENTRY_CHECK_rip_32), 0);
	assert_int_equal(entry_check_qualification(ENTRY_CHECK_rip_32), 0);
	assert_int_equal(entry_check_qualification(ENTRY_CHECK_pdptes), 2);
	assert_int_equal(entry_check_qualification(ENTRY_CHECK_interruptibility_mov_ss), 0);
	assert_int_equal(entry_check_qualification(ENTRY_CHECK_link_current), 4);
	for (u32 i = 1; i < ENTRY_CHECK_COUNT; i++) /* controls, then host, then guest */
		assert_true(MIN(entry_check_info[i - 1].kind, CHECK_GUEST) <=
			    MIN(entry_check_info[i].kind, CHECK_GUEST));
}

static void msr_areas(void **state)
{
	(void)state;
#define ENTRY(msr, high) (&(struct msr_entry){ msr, high, 0 })
	assert_true(msr_load_entry_ok(ENTRY(MSR_KERNEL_GS_BASE, 0)));
	assert_true(msr_load_entry_ok(ENTRY(MSR_EFER, 0)));
	assert_false(msr_load_entry_ok(ENTRY(MSR_FS_BASE, 0)));
	assert_false(msr_load_entry_ok(ENTRY(MSR_GS_BASE, 0)));
	assert_false(msr_load_entry_ok(ENTRY(0x830, 0)));
	assert_false(msr_load_entry_ok(ENTRY(0x79, 0)));
	assert_false(msr_load_entry_ok(ENTRY(MSR_EFER, 1)));
	assert_true(msr_store_entry_ok(ENTRY(MSR_FS_BASE, 0)));
	assert_false(msr_store_entry_ok(ENTRY(0x8ff, 0)));
	assert_false(msr_store_entry_ok(ENTRY(0x9e, 0)));
	assert_false(msr_store_entry_ok(ENTRY(MSR_EFER, 1)));
#undef ENTRY
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(valid_passes),
		cmocka_unit_test(valid_variants_pass),
		cmocka_unit_test(every_row_fails_alone),
		cmocka_unit_test(reads_cover_each_write),
		cmocka_unit_test(each_entry_asks_which_is_current),
		cmocka_unit_test(kinds_give_the_answer),
		cmocka_unit_test(msr_areas),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
