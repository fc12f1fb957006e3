/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * VMCS shadowing (Intel SDM vol. 3, "VMREAD Bitmap and VMWRITE Bitmap", "Shadow VMCS"): L1's VMREADs and VMWRITEs of the
 * fields that every exit needs go to a VMCS of ours without an exit. All other bits of the bitmaps are 1: denied by default.
 * vmcs12 stays the truth while L2 runs; the shadow is published at an exit to L1 and collected before an entry, and
 * what was collected is checked as if it had come by VMWRITE exits. Optional: without it everything works, slower.
 */
#include "core/cmdline.h"
#include "core/log.h"
#include "cpu/x86.h"
#include "mem/pages.h"
#include "nested/state.h"
#include "vmx/vmx.h"

struct shadow {
	hpa_t region;
	bool linked;    /* VMCS01 points to the region */
	u64 last[32];   /* what the region holds, by row of `hot` */
};

/* Fields that L1 may read; `writable`: write, too. None of them is in a lazy group; those that are not writable are exit
 * information, which an exiting VMWRITE publishes again. */
static const struct hot {
	u16 encoding;
	u8 number;      /* enum vmcs12_index */
	bool writable;
} hot[] = {
#define HOT(NAME, writable) { VMCS_##NAME, VMCS12_##NAME, writable }
	HOT(EXIT_REASON, false), HOT(EXIT_QUALIFICATION, false), HOT(EXIT_INTR_INFO, false), HOT(EXIT_INTR_ERROR, false),
	HOT(IDT_INFO, false), HOT(EXIT_INSN_LEN, false), HOT(EXIT_INSN_INFO, false), HOT(GUEST_LINEAR_ADDR, false),
	HOT(GUEST_PHYS_ADDR, false),
	HOT(GUEST_RIP, true), HOT(GUEST_RSP, true), HOT(GUEST_RFLAGS, true), HOT(GUEST_INTERRUPTIBILITY, true),
	HOT(ENTRY_INTR_INFO, true), HOT(ENTRY_INSN_LEN, true), HOT(ENTRY_ERROR_CODE, true), HOT(PROC_CTLS, true),
#undef HOT
};
_Static_assert(ARRAY_SIZE(hot) <= 32, "struct shadow has room for each");

static u8 *vmread_bitmap, *vmwrite_bitmap; /* shared by all CPUs, constant after boot */

static void make_bitmaps(void)
{
	vmread_bitmap = pages_boot_alloc(1);
	vmwrite_bitmap = pages_boot_alloc(1);
	__builtin_memset(vmread_bitmap, 0xff, PAGE_SIZE);
	__builtin_memset(vmwrite_bitmap, 0xff, PAGE_SIZE);
	for (size_t i = 0; i < ARRAY_SIZE(hot); i++) {
		vmread_bitmap[hot[i].encoding / 8] &= (u8)~BIT(hot[i].encoding % 8);
		if (hot[i].writable)
			vmwrite_bitmap[hot[i].encoding / 8] &= (u8)~BIT(hot[i].encoding % 8);
	}
}

/* The publisher writes read-only fields, so the CPU must let software do that, too. */
static bool wanted(void)
{
	return (vmx_proc2_caps.may & PROC2_SHADOW_VMCS) && (rdmsr(MSR_IA32_VMX_MISC) & VMX_MISC_VMWRITE_ALL) &&
	       !cmdline_is("shadow-vmcs", "off");
}

/* VMCS01 is current before and after; nothing may be read of it in between. */
static void load(hpa_t region)
{
	if (!vmptrld(region))
		panic("VMPTRLD of a shadow VMCS failed");
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

static void publish(struct nested_cpu *n, struct percpu *cpu, bool all)
{
	struct shadow *s = n->shadow;

	load(s->region);
	for (size_t i = 0; i < ARRAY_SIZE(hot); i++) {
		u64 value = vmcs12_get(&n->vmcs12, &vmcs12_fields[hot[i].number]);

		if (all || value != s->last[i]) {
			s->last[i] = value;
			vmwrite(hot[i].encoding, value);
		}
	}
	load(cpu->vmcs01.hpa);
}

void nested_shadow_publish(struct percpu *cpu)
{
	struct nested_cpu *n = cpu->nested;

	if (n->shadow && n->shadow->linked)
		publish(n, cpu, false);
}

void nested_shadow_collect(struct percpu *cpu)
{
	struct nested_cpu *n = cpu->nested;
	struct shadow *s = n->shadow;

	if (!s || !s->linked)
		return;
	load(s->region);
	for (size_t i = 0; i < ARRAY_SIZE(hot); i++) {
		if (!hot[i].writable)
			continue;
		u64 value = vmread(hot[i].encoding);

		if (value == s->last[i])
			continue;
		s->last[i] = value;
		if (vmcs12_set(&n->vmcs12, &vmcs12_fields[hot[i].number], value))
			n->dirty |= 1u << vmcs12_fields[hot[i].number].group;
		n->modified = true;
	}
	load(cpu->vmcs01.hpa);
}

void nested_shadow_switch(struct percpu *cpu)
{
	struct nested_cpu *n = cpu->nested;
	struct shadow *s = n->shadow;

	if (!s)
		return;
	if (n->current != NO_VMCS)
		publish(n, cpu, true);
	if (s->linked == (n->current != NO_VMCS))
		return;
	s->linked = n->current != NO_VMCS;
	u64 proc2 = vmread(VMCS_PROC2_CTLS) & ~PROC2_SHADOW_VMCS;

	vmwrite(VMCS_PROC2_CTLS, proc2 | (s->linked ? PROC2_SHADOW_VMCS : 0));
	vmwrite(VMCS_LINK_POINTER, s->linked ? s->region.addr : ~0ull);
}
