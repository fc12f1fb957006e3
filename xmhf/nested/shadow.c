/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * VMCS shadowing (Intel SDM vol. 3, "VMCS Shadowing Bitmap Addresses", "VMCS Types: Ordinary and Shadow"): L1's
 * VMREADs and VMWRITEs of the fields that every exit needs go to a VMCS of ours without an exit. All other bits of the
 * bitmaps are 1: denied by default. vmcs12 stays the truth while L2 runs; the shadow is published at an exit to L1 and
 * collected before an entry, and what was collected is checked as if it had come by VMWRITE exits. Optional: without
 * it everything works, slower.
 */
#include "core/cmdline.h"
#include "cpu/x86.h"
#include "mem/pages.h"
#include "nested/state.h"
#include "report/log.h"
#include "vmx/vmx.h"

/*
 * X(NAME, member): fields that L1 may read and write, and those that it may only read. The latter are exit information,
 * which an exiting VMWRITE publishes again. Expanded into straight code, since both lists are gone through at every
 * exit and entry.
 */
#define HOT_WRITABLE(X)                                                                                              \
	X(GUEST_RIP, guest_rip) X(GUEST_RSP, guest_rsp) X(GUEST_RFLAGS, guest_rflags)                                \
	X(GUEST_INTERRUPTIBILITY, guest_interruptibility) X(ENTRY_INTR_INFO, entry_intr_info)                        \
	X(ENTRY_INSN_LEN, entry_insn_len) X(ENTRY_ERROR_CODE, entry_error_code)                                      \
	X(PROC_CTLS, proc_ctls) X(TPR_THRESHOLD, tpr_threshold)                                                      \
	X(GUEST_CS_AR, guest_cs_ar) X(GUEST_SS_AR, guest_ss_ar) X(GUEST_CR0, guest_cr0)                              \
	X(PREEMPTION_TIMER, preemption_timer)
#define HOT_READABLE(X)                                                                                              \
	X(EXIT_REASON, exit_reason) X(EXIT_QUALIFICATION, exit_qualification) X(EXIT_INTR_INFO, exit_intr_info)      \
	X(EXIT_INTR_ERROR, exit_intr_error) X(IDT_INFO, idt_info) X(EXIT_INSN_LEN, exit_insn_len)                    \
	X(EXIT_INSN_INFO, exit_insn_info) X(GUEST_LINEAR_ADDR, guest_linear_addr) X(GUEST_PHYS_ADDR, guest_phys_addr)

#define IN_GROUPS(NAME, groups) ((groups) >> VMCS12_GROUP_OF_##NAME & 1)
#define X(NAME, member) _Static_assert(!IN_GROUPS(NAME, GROUPS_LAZY), #NAME ": known only when somebody asks");
HOT_WRITABLE(X) HOT_READABLE(X)
#undef X
#define X(NAME, member) _Static_assert(IN_GROUPS(NAME, GROUP(INFO)), #NAME ": no exit information");
HOT_READABLE(X)
#undef X

struct shadow {
	hpa_t region;
	bool linked;    /* VMCS01 points to the region */
	struct {        /* what the region holds */
#define X(NAME, member) u64 member;
		HOT_WRITABLE(X) HOT_READABLE(X)
#undef X
	} last;
};

static u8 *vmread_bitmap, *vmwrite_bitmap; /* shared by all CPUs, constant after boot */

static void make_bitmaps(void)
{
	vmread_bitmap = pages_boot_alloc(1);
	vmwrite_bitmap = pages_boot_alloc(1);
	__builtin_memset(vmread_bitmap, 0xff, PAGE_SIZE);
	__builtin_memset(vmwrite_bitmap, 0xff, PAGE_SIZE);
#define X(NAME, member) vmread_bitmap[VMCS_##NAME / 8] &= (u8)~BIT(VMCS_##NAME % 8);
	HOT_WRITABLE(X) HOT_READABLE(X)
#undef X
#define X(NAME, member) vmwrite_bitmap[VMCS_##NAME / 8] &= (u8)~BIT(VMCS_##NAME % 8);
	HOT_WRITABLE(X)
#undef X
}

/* The publisher writes read-only fields, so the CPU must let software do that, too; and every hot field must exist. */
static bool wanted(void)
{
	const u32 needs = BIT(NEED_TPR_SHADOW) | BIT(NEED_TIMER);

	if ((nested_caps.needs & needs) != needs)
		return false;
	return (vmx_proc2_caps.may & PROC2_SHADOW_VMCS) && (rdmsr(MSR_IA32_VMX_MISC) & VMX_MISC_VMWRITE_ALL) &&
	       !cmdline_is("shadow-vmcs", "off");
}

/* VMCS01 is current before open_region() and after close_region(), the region between them. */
static void open_region(const struct shadow *s)
{
	if (!vmptrld(s->region))
		panic("VMPTRLD of a shadow VMCS failed");
}

/* The region goes back to memory, where L1's VMREADs look for it (SDM vol. 3, "VMCS Types: Ordinary and Shadow"). */
static void close_region(struct percpu *cpu, const struct shadow *s)
{
	if (!vmclear(s->region) || !vmptrld(cpu->l1.vmcs))
		panic("VMCLEAR of a shadow VMCS failed");
}

void nested_shadow_init(struct percpu *cpu)
{
	if (!wanted())
		return;
	if (!vmread_bitmap)
		make_bitmaps();
	struct shadow *s = pages_boot_alloc(1);
	u32 *region = pages_boot_alloc(1);

	region[0] = (u32)(vmx_basic & VMX_BASIC_REVISION) | (u32)VMCS_REGION_SHADOW;
	s->region = virt_to_phys(region);
	if (!vmclear(s->region))
		panic("VMCLEAR of a shadow VMCS failed");
	vmwrite(VMCS_VMREAD_BITMAP, virt_to_phys(vmread_bitmap).addr);
	vmwrite(VMCS_VMWRITE_BITMAP, virt_to_phys(vmwrite_bitmap).addr);
	cpu->nested->shadow = s;
}

void nested_shadow_publish(struct percpu *cpu)
{
	const struct vmcs12 *v = &cpu->nested->vmcs12;
	struct shadow *s = cpu->nested->shadow;

	if (!s || !s->linked)
		return;
	open_region(s);
#define X(NAME, member)                                                                                              \
	if (s->last.member != v->member) {                                                                           \
		s->last.member = v->member;                                                                          \
		vmwrite(VMCS_##NAME, v->member);                                                                     \
	}
	HOT_WRITABLE(X) HOT_READABLE(X)
#undef X
	close_region(cpu, s);
}

void nested_shadow_collect(struct percpu *cpu)
{
	struct nested_cpu *n = cpu->nested;
	struct shadow *s = n->shadow;
	u32 dirty = 0;
	u64 value;

	if (!s || !s->linked)
		return;
	open_region(s);
#define X(NAME, member)                                                                                              \
	value = vmread(VMCS_##NAME);                                                                                 \
	if (value != s->last.member) {                                                                               \
		s->last.member = n->vmcs12.member = value;                                                           \
		dirty |= 1u << VMCS12_GROUP_OF_##NAME;                                                                               \
	}
	HOT_WRITABLE(X)
#undef X
	close_region(cpu, s);
	n->dirty |= dirty;
	n->modified |= dirty != 0;
}

/* A VMCS that was not shadowed before: the region and `last` say the same afterwards. */
static void publish_all(struct percpu *cpu)
{
	const struct vmcs12 *v = &cpu->nested->vmcs12;
	struct shadow *s = cpu->nested->shadow;

	open_region(s);
#define X(NAME, member) vmwrite(VMCS_##NAME, s->last.member = v->member);
	HOT_WRITABLE(X) HOT_READABLE(X)
#undef X
	close_region(cpu, s);
}

void nested_shadow_switch(struct percpu *cpu)
{
	struct nested_cpu *n = cpu->nested;
	struct shadow *s = n->shadow;

	if (!s)
		return;
	if (n->current != NO_VMCS && s->linked)
		nested_shadow_publish(cpu);
	else if (n->current != NO_VMCS)
		publish_all(cpu);
	if (s->linked == (n->current != NO_VMCS))
		return;
	s->linked = n->current != NO_VMCS;
	u64 proc2 = vmread(VMCS_PROC2_CTLS) & ~PROC2_SHADOW_VMCS;

	vmwrite(VMCS_PROC2_CTLS, proc2 | (s->linked ? PROC2_SHADOW_VMCS : 0));
	vmwrite(VMCS_LINK_POINTER, s->linked ? s->region.addr : ~0ull);
}
