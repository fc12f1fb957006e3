/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The checks of a VM entry of L1 (VMLAUNCH, VMRESUME), as a table of pure functions over VMCS12 in root memory.
 * Rows: nested/entry_checks.def. Nothing is changed here, and nothing of L1's memory is read: what the checks need of
 * it the caller copies into struct entry_env first. Callers: nested/entry.c, host tests.
 */
#ifndef XMHF_NESTED_ENTRY_CHECKS_H
#define XMHF_NESTED_ENTRY_CHECKS_H

#include "nested/vmcs12.h"

enum check_kind { CHECK_CONTROLS, CHECK_HOST, CHECK_GUEST, CHECK_PDPTE, CHECK_LINK };

enum entry_check {
#define CHECK(name, kind, reads, section, text, expression) ENTRY_CHECK_##name,
#include "nested/entry_checks.def"
#undef CHECK
	ENTRY_CHECK_COUNT,
	ENTRY_CHECKS_PASSED = ENTRY_CHECK_COUNT,
};

struct check_info {
	const char *name, *section, *text;
	u16 reads; /* mask of GROUP() */
	u8 kind;   /* enum check_kind */
};
extern const struct check_info entry_check_info[ENTRY_CHECK_COUNT];

/* What the checks need beside VMCS12: copied once, so that another CPU cannot change it under them. */
struct entry_env {
	const struct nested_caps *caps;
	gpa1_t current;    /* address of the current VMCS */
	bool l1_long_mode; /* IA32_EFER.LMA of L1 */
	bool wants_pdptes; /* entry_wants_pdptes() */
	u8 vtpr;           /* byte 0x80 of the virtual-APIC page, if TPR shadow is on */
	u32 link_revision; /* first word at the VMCS link pointer, if that is not all ones */
	u64 pdpte[4];      /* at the guest's CR3, if it uses PAE paging without EPT */
};

/*
 * The first check, in the SDM's order, that fails among those that read a group in `dirty`. Others may be run as well,
 * of fields that are known at each entry.
 */
enum entry_check entry_check_run(const struct vmcs12 *vmcs12, const struct entry_env *env, u32 dirty);

/* The groups that checks of `dirty` read: the caller has them up to date before entry_check_run(). */
u32 entry_check_reads(u32 dirty);

/* Whether a PDPTE may be loaded: no reserved bit set, or not present. */
bool entry_pdpte_ok(const struct nested_caps *caps, u64 pdpte);

bool entry_pae_paging(const struct vmcs12 *vmcs12);
/* Whether env->pdpte must be filled. */
static inline bool entry_wants_pdptes(const struct vmcs12 *vmcs12)
{
	return !vmcs12_uses_ept(vmcs12) && entry_pae_paging(vmcs12);
}

/* VM-instruction error of a failed check on controls or host state; 0 for guest state. */
u32 entry_check_error(enum entry_check check);
/* Exit qualification of a failed check on guest state. */
u64 entry_check_qualification(enum entry_check check);

/* One entry of an MSR area (SDM vol. 3, "VM-Exit Controls for MSRs"). */
struct msr_entry {
	u32 index;
	u32 reserved;
	u64 value;
};

/*
 * Whether an entry of an MSR-load area may be loaded at all (SDM vol. 3, "Loading MSRs"); whether WRMSR would accept
 * the value is for the caller to try. Failing means exit 34 at an entry and a VMX abort at an exit.
 */
bool msr_load_entry_ok(const struct msr_entry *entry);
/* The same for an MSR-store area (SDM vol. 3, "Saving MSRs"). */
bool msr_store_entry_ok(const struct msr_entry *entry);

#endif
