/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Evaluation of the VM-entry checks. The rows of entry_checks.def expand here three times: into one chain of tests,
 * into the texts, and into the masks of what they read. A test whose groups are clean costs a bit test at most, so
 * that an entry pays only for what L1 wrote. Pure functions. Callers: see entry_checks.h.
 */
#include "nested/entry_checks.h"
#include "cpu/paging.h"
#include "cpu/x86.h"
#include "nested/ept12.h"

#define RFLAGS_RESERVED (BITS(63, 22) | BIT(15) | BIT(5) | BIT(3))
#define SEL_RPL 3
#define SEL_TI 4
#define PDPTE_RESERVED (BITS(2, 1) | BITS(8, 5))

/* ---- What the rows say in one word ---- */

static bool ctl_ok(u32 value, u64 cap)
{
	return !(value & ~ctl_allowed(cap)) && (value & ctl_required(cap)) == ctl_required(cap);
}

static bool fixed_ok(u64 value, u64 fixed0, u64 fixed1)
{
	return (value & fixed0) == fixed0 && !(value & ~fixed1);
}

static bool unrestricted(const struct vmcs12 *v)
{
	return vmcs12_proc2(v) & PROC2_UNRESTRICTED;
}

static bool ia32e(const struct vmcs12 *v)
{
	return v->entry_ctls & ENTRYCTL_IA32E;
}

static bool v86(const struct vmcs12 *v)
{
	return v->guest_rflags & RFLAGS_VM;
}

static bool page_ok(const struct nested_caps *c, u64 addr)
{
	return !(addr & (BITS(11, 0) | c->phys_reserved));
}

static bool msr_area_ok(const struct nested_caps *c, u64 addr, u32 count)
{
	if (!count)
		return true;
	u64 last = addr + (u64)count * sizeof(struct msr_entry) - 1;
	return !(addr & 0xf) && !((addr | last) & c->phys_reserved);
}

static bool canonical(const struct nested_caps *c, u64 addr)
{
	return is_canonical(addr, c->linear_bits);
}

static bool sign_bits_equal(const struct nested_caps *c, u64 addr)
{
	u64 high = addr >> c->linear_bits;

	return !high || high == ~0ull >> c->linear_bits;
}

static bool injects(const struct vmcs12 *v)
{
	return v->entry_intr_info & INTR_VALID;
}

static u32 event_type(const struct vmcs12 *v)
{
	return v->entry_intr_info & INTR_TYPE;
}

static bool event_vector_ok(const struct vmcs12 *v)
{
	u32 vector = v->entry_intr_info & INTR_VECTOR;

	switch (event_type(v)) {
	case INTR_TYPE_NMI: return vector == VEC_NMI;
	case INTR_TYPE_HW_EXCEPTION: return vector < 32;
	case INTR_TYPE_OTHER: return vector == 0;
	default: return true;
	}
}

/* CR0.PE counts with "unrestricted guest" alone: without it the guest is in protected mode, whatever CR0 says here. */
static bool event_error_code_ok(const struct vmcs12 *v, const struct nested_caps *c)
{
	bool delivers = v->entry_intr_info & INTR_ERROR_CODE, real_mode = unrestricted(v) && !(v->guest_cr0 & CR0_PE);
	u32 vector = v->entry_intr_info & INTR_VECTOR;

	if (event_type(v) != INTR_TYPE_HW_EXCEPTION || real_mode)
		return !delivers;
	if (NESTED_CAP(c, BASIC) & VMX_BASIC_ANY_ERROR_CODE)
		return true;
	return delivers == (vector < 32 && (ERROR_CODE_VECTORS >> vector & 1));
}

static bool event_length_ok(const struct vmcs12 *v, const struct nested_caps *c)
{
	u32 type = event_type(v);

	if (type != INTR_TYPE_SW_INTR && type != INTR_TYPE_PRIV_SW_EXCEPTION && type != INTR_TYPE_SW_EXCEPTION)
		return true;
	if (!v->entry_insn_len)
		return NESTED_CAP(c, MISC) & VMX_MISC_ZERO_LEN_EVENT;
	return v->entry_insn_len <= 15;
}

static bool usable(u32 ar)
{
	return !(ar & AR_UNUSABLE);
}

static bool if_usable(u32 ar, u32 bits)
{
	return !usable(ar) || (ar & bits);
}

static bool reserved_ok(u32 ar)
{
	return !usable(ar) || !(ar & AR_RESERVED);
}

static bool low_base(u32 ar, u64 base)
{
	return !usable(ar) || !(base >> 32);
}

static bool data_type_ok(u32 ar)
{
	return !usable(ar) || ((ar & AR_ACCESSED) && (!(ar & AR_CODE) || (ar & AR_WRITABLE)));
}

static bool data_dpl_ok(u32 ar, u16 sel)
{
	return !usable(ar) || (ar & AR_TYPE) > 11 || AR_DPL(ar) >= (sel & SEL_RPL);
}

/* Type 3 is data (real mode), 9 and 11 non-conforming code, 13 and 15 conforming code. */
static bool cs_dpl_ok(u32 cs, u32 ss)
{
	switch (cs & AR_TYPE) {
	case 3: return AR_DPL(cs) == 0;
	case 9:
	case 11: return AR_DPL(cs) == AR_DPL(ss);
	default: return AR_DPL(cs) <= AR_DPL(ss);
	}
}

static bool granularity_ok(u32 ar, u32 limit)
{
	if ((limit & BITS(11, 0)) != BITS(11, 0) && (ar & AR_G))
		return false;
	return !(limit & BITS(31, 20)) || (ar & AR_G);
}

static bool usable_granularity_ok(u32 ar, u32 limit)
{
	return !usable(ar) || granularity_ok(ar, limit);
}

static bool activity_takes_event(const struct vmcs12 *v)
{
	u32 type = event_type(v), vector = v->entry_intr_info & INTR_VECTOR;

	switch (v->guest_activity) {
	case ACTIVITY_ACTIVE: return true;
	case ACTIVITY_HLT:
		return type == INTR_TYPE_EXTERNAL || type == INTR_TYPE_NMI ||
		       (type == INTR_TYPE_HW_EXCEPTION && (vector == VEC_DB || vector == VEC_MC)) ||
		       (type == INTR_TYPE_OTHER && vector == 0);
	case ACTIVITY_SHUTDOWN:
		return type == INTR_TYPE_NMI || (type == INTR_TYPE_HW_EXCEPTION && vector == VEC_MC);
	default: return false;
	}
}

static bool holds_debug_traps(const struct vmcs12 *v)
{
	return (v->guest_interruptibility & (INTERRUPTIBILITY_STI | INTERRUPTIBILITY_MOV_SS)) ||
	       v->guest_activity == ACTIVITY_HLT;
}

static bool single_steps(const struct vmcs12 *v)
{
	return (v->guest_rflags & RFLAGS_TF) && !(v->guest_debugctl & DEBUGCTL_BTF);
}

bool entry_pae_paging(const struct vmcs12 *v)
{
	return (v->guest_cr0 & CR0_PG) && (v->guest_cr4 & CR4_PAE) && !ia32e(v);
}

bool entry_pdpte_ok(const struct nested_caps *c, u64 pdpte)
{
	return !(pdpte & PTE_P) || !(pdpte & (PDPTE_RESERVED | c->phys_reserved));
}

/* ---- The table, expanded ---- */

#define R(group) GROUP(group)

const struct check_info entry_check_info[ENTRY_CHECK_COUNT] = {
#define CHECK(name, kind, reads, section, text, expression)                                                          \
	[ENTRY_CHECK_##name] = { #name, section, text, reads, CHECK_##kind },
#include "nested/entry_checks.def"
#undef CHECK
};

static always_inline enum entry_check run(const struct vmcs12 *v, const struct entry_env *e, u32 dirty)
{
	const struct nested_caps *c = e->caps;

#define CHECK(name, kind, reads, section, text, expression)                                                          \
	if ((dirty & (reads)) && unlikely(!(expression)))                                                            \
		return ENTRY_CHECK_##name;
#include "nested/entry_checks.def"
#undef CHECK
	return ENTRY_CHECKS_PASSED;
}

/* All rows, and the registers that these need. */
static __attribute__((noinline, flatten)) enum entry_check run_any(const struct vmcs12 *v, const struct entry_env *e,
								   u32 dirty)
{
	return run(v, e, dirty);
}

/* What L1 injects, the timer, and memory: all that they are checked with is known at each entry. */
#define OFTEN (GROUP(RIP) | GROUP(EVENT) | GROUP(MEMORY))

/*
 * The commonest entries have a copy each with the other rows gone: where L1 has only stepped over an instruction, and
 * where it sets no more than the timer or an event, or has a TPR shadow.
 */
__attribute__((flatten)) enum entry_check entry_check_run(const struct vmcs12 *v, const struct entry_env *e, u32 dirty)
{
	if (likely(dirty == GROUP(RIP)))
		return run(v, e, GROUP(RIP));
	return dirty & ~OFTEN ? run_any(v, e, dirty) : run(v, e, OFTEN);
}

u32 entry_check_reads(u32 dirty)
{
	u32 all = 0;

#define CHECK(name, kind, reads, section, text, expression)                                                          \
	if (dirty & (reads))                                                                                         \
		all |= (reads);
#include "nested/entry_checks.def"
#undef CHECK
	return all;
}

u32 entry_check_error(enum entry_check check)
{
	u32 kind = entry_check_info[check].kind;

	return kind == CHECK_CONTROLS ? VMXERR_BAD_CONTROLS : kind == CHECK_HOST ? VMXERR_BAD_HOST : VMXERR_NONE;
}

u64 entry_check_qualification(enum entry_check check)
{
	u32 kind = entry_check_info[check].kind;

	return kind == CHECK_PDPTE ? BAD_GUEST_PDPTE : kind == CHECK_LINK ? BAD_GUEST_LINK : BAD_GUEST_OTHER;
}

/* ---- MSR areas ---- */

#define MSR_SMM_MONITOR_CTL 0x9bu
#define MSR_SMBASE 0x9eu
#define MSR_X2APIC_LAST 0x8ffu
#define MSR_UCODE_WRITE 0x79u
#define MSR_UCODE_REV 0x8bu

static bool is_x2apic(u32 msr)
{
	return msr >= MSR_X2APIC_FIRST && msr <= MSR_X2APIC_LAST;
}

/* Microcode updates are refused although the SDM only may refuse them: L1 must not load one through L0. */
bool msr_load_entry_ok(const struct msr_entry *entry)
{
	switch (entry->index) {
	case MSR_FS_BASE:
	case MSR_GS_BASE:
	case MSR_SMM_MONITOR_CTL:
	case MSR_UCODE_WRITE:
	case MSR_UCODE_REV: return false;
	default: return !entry->reserved && !is_x2apic(entry->index);
	}
}

bool msr_store_entry_ok(const struct msr_entry *entry)
{
	return !entry->reserved && !is_x2apic(entry->index) && entry->index != MSR_SMBASE;
}
