/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * VMCS shadowing (Intel SDM vol. 3, "VMCS Shadowing Bitmap Addresses", "VMCS Types: Ordinary and Shadow"): L1's
 * VMREADs and VMWRITEs of the fields that every exit needs go to a VMCS of ours without an exit, one for each active
 * VMCS of L1's. All other bits of the bitmaps are 1: denied by default. vmcs12 stays the truth while L2 runs; the
 * shadow is published at an exit to L1 and collected before an entry, and what was collected is checked as if it had
 * come by VMWRITE exits. Optional: without it everything works, slower.
 */
#include "core/cmdline.h"
#include "cpu/x86.h"
#include "mem/pages.h"
#include "nested/state.h"
#include "report/log.h"
#include "vmx/vmx.h"

/*
 * X(NAME, member): fields that L1 may read and write, and those that it may only read, whose exiting VMWRITEs publish
 * them. Expanded into straight code, since both lists are gone through at every exit and entry.
 */
#define HOT_WRITABLE(X)                                                                                              \
	X(GUEST_RIP, guest_rip) X(GUEST_RSP, guest_rsp) X(GUEST_RFLAGS, guest_rflags) X(GUEST_CR0, guest_cr0)        \
	X(GUEST_INTERRUPTIBILITY, guest_interruptibility) X(ENTRY_INTR_INFO, entry_intr_info)                        \
	X(ENTRY_INSN_LEN, entry_insn_len) X(ENTRY_ERROR_CODE, entry_error_code) X(PROC_CTLS, proc_ctls)              \
	X(TPR_THRESHOLD, tpr_threshold) X(PREEMPTION_TIMER, preemption_timer)
#define HOT_READABLE(X)                                                                                              \
	X(EXIT_REASON, exit_reason) X(EXIT_QUALIFICATION, exit_qualification) X(EXIT_INTR_INFO, exit_intr_info)      \
	X(EXIT_INTR_ERROR, exit_intr_error) X(IDT_INFO, idt_info) X(EXIT_INSN_LEN, exit_insn_len)                    \
	X(EXIT_INSN_INFO, exit_insn_info) X(GUEST_LINEAR_ADDR, guest_linear_addr) X(GUEST_PHYS_ADDR, guest_phys_addr)\
	X(GUEST_CS_AR, guest_cs_ar) X(GUEST_SS_AR, guest_ss_ar) X(PML_INDEX, pml_index)

#define IN_GROUPS(NAME, groups) ((groups) >> VMCS12_GROUP_OF_##NAME & 1)
#define X(NAME, member) _Static_assert(!IN_GROUPS(NAME, GROUPS_LAZY), #NAME ": known only when somebody asks");
HOT_WRITABLE(X) HOT_READABLE(X)
#undef X
#define X(NAME, member) _Static_assert(!IN_GROUPS(NAME, GROUP(ENTRY)), #NAME ": looked at before the collection");
HOT_WRITABLE(X)
#undef X

struct shadow {
	struct world world; /* for world_load(): never entered */
	struct {            /* what its region holds, but for L1's newer VMWRITEs */
#define X(NAME, member) u64 member;
		HOT_WRITABLE(X) HOT_READABLE(X)
#undef X
	} last;
};
_Static_assert(ACTIVE_VMCSS * sizeof(struct shadow) <= PAGE_SIZE, "in one page");

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

/* There are CPUs with VMCS shadowing and without PML. L1's region may hold anything in the place of such a field. */
#define EXISTS(NAME) (VMCS_##NAME != VMCS_PML_INDEX || (nested_caps.needs & BIT(NEED_PML)))

/*
 * The publisher writes read-only fields, so the CPU must let software do that, too; and every other hot field must
 * exist.
 */
static bool wanted(void)
{
	const u32 needs = BIT(NEED_TPR_SHADOW) | BIT(NEED_TIMER);

	if ((nested_caps.needs & needs) != needs)
		return false;
	return (vmx_proc2_caps.may & PROC2_SHADOW_VMCS) && (rdmsr(MSR_IA32_VMX_MISC) & VMX_MISC_VMWRITE_ALL) &&
	       !cmdline_is("shadow-vmcs", "off");
}

/* Makes the shadow VMCS the one at hand. It stays open until VMCS01 is at hand again, or another one is opened. */
static void open_shadow(struct percpu *cpu, struct shadow *s)
{
	struct nested_cpu *n = cpu->nested;

	if (n->open_shadow && n->open_shadow != &s->world)
		nested_load_vmcs01(cpu);
	n->open_shadow = &s->world;
	world_load(cpu, &s->world);
}

static void init(struct percpu *cpu, struct shadow *s)
{
	world_init(&s->world, RUN_L1);
	*(u32 *)phys_to_virt(s->world.vmcs) |= (u32)VMCS_REGION_SHADOW; /* while it is clear */
	open_shadow(cpu, s);
#define X(NAME, member)                                                                                              \
	if (EXISTS(NAME))                                                                                            \
		vmwrite(VMCS_##NAME, s->last.member = 0);
	HOT_WRITABLE(X) HOT_READABLE(X)
#undef X
}

void nested_shadow_init(struct percpu *cpu)
{
	if (!wanted())
		return;
	if (!vmread_bitmap)
		make_bitmaps();
	struct shadow *shadows = pages_boot_alloc(1);

	for (u32 i = 0; i < ACTIVE_VMCSS; i++) {
		init(cpu, &shadows[i]);
		cpu->nested->active[i].shadow = &shadows[i];
	}
	nested_load_vmcs01(cpu);
	vmwrite(VMCS_VMREAD_BITMAP, virt_to_phys(vmread_bitmap).addr);
	vmwrite(VMCS_VMWRITE_BITMAP, virt_to_phys(vmwrite_bitmap).addr);
}

void nested_shadow_enable(struct percpu *cpu, bool enable)
{
	u64 proc2 = vmread(VMCS_PROC2_CTLS) & ~PROC2_SHADOW_VMCS;

	if (cpu->nested->active[0].shadow)
		vmwrite(VMCS_PROC2_CTLS, proc2 | (enable ? PROC2_SHADOW_VMCS : 0));
}

/* Without a link pointer L1's shadowed VMREAD and VMWRITE are VMfailInvalid, as they must be. */
void nested_shadow_link(struct percpu *cpu)
{
	const struct active_vmcs *a = cpu->nested->current;

	if (cpu->nested->active[0].shadow)
		vmwrite(VMCS_LINK_POINTER, a ? a->shadow->world.vmcs.addr : ~0ull);
}

bool nested_shadow_shows(const struct vmcs12_field *field)
{
	return vmread_bitmap && !(vmread_bitmap[field->encoding / 8] >> field->encoding % 8 & 1);
}

void nested_shadow_publish(struct percpu *cpu, struct active_vmcs *a)
{
	const struct vmcs12 *v = &a->vmcs12;
	struct shadow *s = a->shadow;

	if (!s)
		return;
	open_shadow(cpu, s);
#define X(NAME, member)                                                                                              \
	if (s->last.member != v->member && EXISTS(NAME)) {                                                           \
		s->last.member = v->member;                                                                          \
		vmwrite(VMCS_##NAME, v->member);                                                                     \
	}
	HOT_WRITABLE(X) HOT_READABLE(X)
#undef X
}

void nested_shadow_collect(struct percpu *cpu, struct active_vmcs *a)
{
	struct shadow *s = a->shadow;
	u32 written = 0;
	u64 value;

	if (!s)
		return;
	open_shadow(cpu, s);
#define X(NAME, member)                                                                                              \
	value = vmread(VMCS_##NAME);                                                                                 \
	if (value != s->last.member) {                                                                               \
		s->last.member = a->vmcs12.member = value;                                                           \
		written |= 1u << VMCS12_GROUP_OF_##NAME;                                                             \
	}
	HOT_WRITABLE(X)
#undef X
	a->unmerged |= written;
	a->unsaved |= written != 0;
}
