/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * VMCS shadowing (Intel SDM vol. 3, "VMCS Shadowing Bitmap Addresses", "VMCS Types: Ordinary and Shadow"): L1's
 * VMREADs and VMWRITEs of the fields that every exit needs go to a VMCS of ours without an exit, one for each active
 * VMCS of L1's. All other bits of the bitmaps are 1: denied by default. vmcs12 stays the truth while L2 runs; the
 * shadow is published at an exit to L1 and collected before an entry, and what was collected is checked as if it had
 * come by VMWRITE exits. Optional: without it everything works, slower.
 *
 * How many fields a shadow has: the hot ones always, since each costs a VMREAD or VMWRITE at every crossing. L1 that
 * touches others changes many at a time (a hypervisor in L2 exits, and gets its host state), so after WIDE_AFTER exits
 * for such fields the shadow is wide, until the next entry. L1 that has a device's register where L2 finds an EPT
 * misconfiguration carries out the instruction, and reads two more for its walks. A VMCS of L1's that is a shadow VMCS
 * itself is never entered, only filled and emptied: it is wide from VMPTRLD to VMCLEAR, and L1 may write exit
 * information there, too.
 */
#include "core/cmdline.h"
#include "cpu/x86.h"
#include "mem/pages.h"
#include "nested/state.h"
#include "vmx/vmx.h"

/*
 * X(NAME, member): fields that L1 may read and write, and those that it may only read, whose exiting VMWRITEs publish
 * them. Expanded into straight code, since some are gone through at every exit and entry.
 */
#define HOT_STATE(X)                                                                                                 \
	X(GUEST_RIP, guest_rip) X(GUEST_RSP, guest_rsp) X(GUEST_RFLAGS, guest_rflags) X(GUEST_CR0, guest_cr0)        \
	X(GUEST_INTERRUPTIBILITY, guest_interruptibility) X(ENTRY_INTR_INFO, entry_intr_info)                        \
	X(PREEMPTION_TIMER, preemption_timer)
/* What no exit changes, so that these are published once; and of those what an entry without an event ignores. */
#define HOT_CONTROLS(X) X(PROC_CTLS, proc_ctls) X(TPR_THRESHOLD, tpr_threshold)
#define HOT_EVENT(X) X(ENTRY_INSN_LEN, entry_insn_len) X(ENTRY_ERROR_CODE, entry_error_code)
#define HOT_WRITABLE(X) HOT_STATE(X) HOT_CONTROLS(X) HOT_EVENT(X)
#define HOT_READABLE(X)                                                                                              \
	X(EXIT_REASON, exit_reason) X(EXIT_QUALIFICATION, exit_qualification) X(EXIT_INTR_INFO, exit_intr_info)      \
	X(EXIT_INTR_ERROR, exit_intr_error) X(IDT_INFO, idt_info) X(EXIT_INSN_LEN, exit_insn_len)                    \
	X(EXIT_INSN_INFO, exit_insn_info) X(GUEST_LINEAR_ADDR, guest_linear_addr) X(GUEST_PHYS_ADDR, guest_phys_addr)\
	X(GUEST_CS_AR, guest_cs_ar) X(GUEST_SS_AR, guest_ss_ar) X(PML_INDEX, pml_index)

/* Those of a wide shadow in addition. What has to be known before the collection is not among them. */
#define WIDE_SEGMENT(X, SEG, seg)                                                                                    \
	X(GUEST_##SEG##_SEL, guest_##seg##_sel) X(GUEST_##SEG##_BASE, guest_##seg##_base)                            \
	X(GUEST_##SEG##_LIMIT, guest_##seg##_limit)
#define WIDE(X)                                                                                                      \
	WIDE_SEGMENT(X, ES, es) WIDE_SEGMENT(X, CS, cs) WIDE_SEGMENT(X, SS, ss) WIDE_SEGMENT(X, DS, ds)              \
	WIDE_SEGMENT(X, FS, fs) WIDE_SEGMENT(X, GS, gs) WIDE_SEGMENT(X, LDTR, ldtr) WIDE_SEGMENT(X, TR, tr)          \
	X(GUEST_ES_AR, guest_es_ar) X(GUEST_DS_AR, guest_ds_ar) X(GUEST_FS_AR, guest_fs_ar)                          \
	X(GUEST_GS_AR, guest_gs_ar) X(GUEST_LDTR_AR, guest_ldtr_ar) X(GUEST_TR_AR, guest_tr_ar)                      \
	X(GUEST_GDTR_BASE, guest_gdtr_base) X(GUEST_GDTR_LIMIT, guest_gdtr_limit)                                    \
	X(GUEST_IDTR_BASE, guest_idtr_base) X(GUEST_IDTR_LIMIT, guest_idtr_limit)                                    \
	X(GUEST_CR3, guest_cr3) X(GUEST_CR4, guest_cr4) X(GUEST_DR7, guest_dr7) X(GUEST_DEBUGCTL, guest_debugctl)    \
	X(GUEST_PAT, guest_pat) X(GUEST_EFER, guest_efer) X(GUEST_SYSENTER_CS, guest_sysenter_cs)                    \
	X(GUEST_SYSENTER_ESP, guest_sysenter_esp) X(GUEST_SYSENTER_EIP, guest_sysenter_eip)                          \
	X(GUEST_ACTIVITY, guest_activity) X(GUEST_PENDING_DEBUG, guest_pending_debug)                                \
	X(PIN_CTLS, pin_ctls) X(EXCEPTION_BITMAP, exception_bitmap) X(TSC_OFFSET, tsc_offset) X(EPTP, eptp)          \
	X(CR0_MASK, cr0_mask) X(CR4_MASK, cr4_mask) X(CR0_SHADOW, cr0_shadow) X(CR4_SHADOW, cr4_shadow)              \
	X(HOST_FS_SEL, host_fs_sel) X(HOST_GS_SEL, host_gs_sel) X(HOST_FS_BASE, host_fs_base)                        \
	X(HOST_GS_BASE, host_gs_base) X(HOST_RSP, host_rsp) X(IDT_ERROR, idt_error)
/* Of those, what L1 walks L2's page tables with. */
#define WALKS(X) X(GUEST_CR3, guest_cr3) X(GUEST_CR4, guest_cr4)
#define WIDE_LAZY (GROUP(SEGS) | GROUP(CRS)) /* to be read from VMCS02 before they are published */
#define WIDE_AFTER 3

/*
 * What a shadow has, in rising order. Whole: wide, and L1 may write exit information, which it does in a shadow VMCS of
 * its own only.
 */
enum width { SHADOW_NARROW, SHADOW_WALKS, SHADOW_WIDE, SHADOW_WHOLE, WIDTHS };

#define IN_GROUPS(NAME, groups) ((groups) >> VMCS12_GROUP_OF_##NAME & 1)
#define X(NAME, member) _Static_assert(!IN_GROUPS(NAME, GROUPS_LAZY), #NAME ": known only when somebody asks");
HOT_WRITABLE(X) HOT_READABLE(X)
#undef X
#define X(NAME, member) _Static_assert(!IN_GROUPS(NAME, GROUP(ENTRY)), #NAME ": looked at before the collection");
HOT_WRITABLE(X) WIDE(X)
#undef X
#define X(NAME, member)                                                                                              \
	_Static_assert(!IN_GROUPS(NAME, GROUP(EXITS) | (GROUPS_LAZY & ~WIDE_LAZY)), #NAME ": not read by widen()");
WIDE(X)
#undef X

struct shadow {
	struct world world; /* for world_load(): never entered */
	struct {            /* what its region holds, but for L1's newer VMWRITEs */
#define X(NAME, member) u64 member;
		HOT_WRITABLE(X) HOT_READABLE(X) WIDE(X)
#undef X
	} last;
	enum width width;
	u32 misses;         /* exits for what a wide one has, since the newest collection */
};
_Static_assert(ACTIVE_VMCSS * sizeof(struct shadow) <= PAGE_SIZE, "in one page");

/* VMREAD and VMWRITE bitmaps: for all CPUs, constant after boot. */
static struct bitmaps {
	u8 *read, *write;
} bitmaps[WIDTHS];

/* On every CPU that has VMCS shadowing, or it is not used. */
#define NEEDED (BIT(NEED_ALWAYS) | BIT(NEED_TPR_SHADOW) | BIT(NEED_TIMER) | BIT(NEED_EPT))
/* Of the other fields L1's region may hold anything in their place, and the CPU may not have them. */
#define EXISTS(NAME) ((NEEDED >> VMCS12_NEED_OF_##NAME & 1) || (nested_caps.needs >> VMCS12_NEED_OF_##NAME & 1))
#define WRITABLE(NAME, width) (EXISTS(NAME) && (!IN_GROUPS(NAME, GROUP(INFO)) || (width) == SHADOW_WHOLE))

/* Both halves of a 64-bit field: what is read by one encoding may have been written by the other one. */
static void open_field(u8 *bitmap, u32 encoding)
{
	bitmap[encoding / 8] &= (u8)~BIT(encoding % 8);
	if (VMCS_ENC_WIDTH(encoding) == VMCS_WIDTH_64)
		bitmap[encoding / 8] &= (u8)~BIT((encoding | VMCS_ENC_HIGH) % 8);
}

static void make_bitmaps(struct bitmaps *b, enum width width)
{
	b->read = pages_boot_alloc(1);
	b->write = pages_boot_alloc(1);
	__builtin_memset(b->read, 0xff, PAGE_SIZE);
	__builtin_memset(b->write, 0xff, PAGE_SIZE);
#define X(NAME, member)                                                                                              \
	if (EXISTS(NAME))                                                                                            \
		open_field(b->read, VMCS_##NAME);
	HOT_WRITABLE(X) HOT_READABLE(X)
	if (width >= SHADOW_WALKS) {
		WALKS(X)
	}
	if (width >= SHADOW_WIDE) {
		WIDE(X)
	}
#undef X
#define X(NAME, member)                                                                                              \
	if (WRITABLE(NAME, width))                                                                                   \
		open_field(b->write, VMCS_##NAME);
	HOT_WRITABLE(X)
	if (width >= SHADOW_WIDE) {
		HOT_READABLE(X) WIDE(X)
	}
#undef X
}

/* The publisher writes read-only fields, so the CPU must let software do that, too. */
static bool wanted(void)
{
	if ((nested_caps.needs & NEEDED) != NEEDED)
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
	HOT_WRITABLE(X) HOT_READABLE(X) WIDE(X)
#undef X
}

/* VMCS01 is at hand. */
static void use_bitmaps(struct percpu *cpu, enum width width)
{
	vmwrite(VMCS_VMREAD_BITMAP, virt_to_phys(bitmaps[width].read).addr);
	vmwrite(VMCS_VMWRITE_BITMAP, virt_to_phys(bitmaps[width].write).addr);
	cpu->nested->shadow_width = width;
}

void nested_shadow_init(struct percpu *cpu)
{
	if (!wanted())
		return;
	for (u32 width = 0; width < WIDTHS && !bitmaps[width].read; width++)
		make_bitmaps(&bitmaps[width], (enum width)width);
	struct shadow *shadows = pages_boot_alloc(1);

	for (u32 i = 0; i < ACTIVE_VMCSS; i++) {
		init(cpu, &shadows[i]);
		cpu->nested->active[i].shadow = &shadows[i];
	}
	nested_load_vmcs01(cpu);
	use_bitmaps(cpu, SHADOW_NARROW);
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

	if (!cpu->nested->active[0].shadow)
		return;
	vmwrite(VMCS_LINK_POINTER, a ? a->shadow->world.vmcs.addr : ~0ull);
	if (a && a->shadow->width != cpu->nested->shadow_width)
		use_bitmaps(cpu, a->shadow->width);
}

static bool shows(enum width width, const struct vmcs12_field *field)
{
	const u8 *bitmap = bitmaps[width].read;

	return bitmap && !(bitmap[field->encoding / 8] >> field->encoding % 8 & 1);
}

bool nested_shadow_shows(const struct nested_cpu *n, const struct vmcs12_field *field)
{
	return shows(n->shadow_width, field);
}

#define PUBLISH(NAME, member)                                                                                        \
	if (s->last.member != v->member && EXISTS(NAME)) {                                                           \
		s->last.member = v->member;                                                                          \
		vmwrite_row(VMCS_##NAME, v->member);                                                                 \
	}

static __attribute__((noinline)) void publish_wide(struct shadow *s, const struct vmcs12 *v)
{
	WALKS(PUBLISH)
	if (s->width >= SHADOW_WIDE) {
		WIDE(PUBLISH)
	}
}

void nested_shadow_publish(struct percpu *cpu, struct active_vmcs *a)
{
	const struct vmcs12 *v = &a->vmcs12;
	struct shadow *s = a->shadow;

	if (!s)
		return;
	open_shadow(cpu, s);
	HOT_STATE(PUBLISH) HOT_READABLE(PUBLISH)
	if (unlikely(s->width != SHADOW_NARROW))
		publish_wide(s, v);
}

void nested_shadow_activated(struct percpu *cpu, struct active_vmcs *a)
{
	const struct vmcs12 *v = &a->vmcs12;
	struct shadow *s = a->shadow;

	if (!s)
		return;
	s->width = vmcs12_is_shadow(v) ? SHADOW_WHOLE : SHADOW_NARROW;
	open_shadow(cpu, s);
	HOT_CONTROLS(PUBLISH) HOT_EVENT(PUBLISH)
	nested_shadow_publish(cpu, a);
}

void nested_shadow_foresee(struct active_vmcs *a)
{
	if (!a->shadow)
		return;
	a->shadow->width = SHADOW_WALKS;
#define X(NAME, member) a->vmcs12.member = vmread(VMCS_##NAME);
	WALKS(X)
#undef X
}

void nested_shadow_widen(struct percpu *cpu, const struct active_vmcs *a)
{
	if (a->shadow)
		use_bitmaps(cpu, a->shadow->width);
}

/* Behind the access, which made vmcs12 what is published here. */
void nested_shadow_missed(struct percpu *cpu, const struct vmcs12_field *field)
{
	struct active_vmcs *a = cpu->nested->current;
	struct shadow *s = a->shadow;

	if (!s || s->width >= SHADOW_WIDE || !shows(SHADOW_WIDE, field) || ++s->misses < WIDE_AFTER)
		return;
	s->width = SHADOW_WIDE;
	vmcs02_read(cpu, a, WIDE_LAZY);
	nested_shadow_publish(cpu, a);
	nested_load_vmcs01(cpu);
	use_bitmaps(cpu, SHADOW_WIDE);
}

#define COLLECT(NAME, member)                                                                                        \
	if (WRITABLE(NAME, s->width)) {                                                                              \
		u64 value = vmread_row(VMCS_##NAME);                                                                 \
                                                                                                                     \
		if (value != s->last.member) {                                                                       \
			s->last.member = value;                                                                      \
			v->member = (__typeof__(v->member))value;                                                    \
			written |= 1u << VMCS12_GROUP_OF_##NAME;                                                     \
		}                                                                                                    \
	}

static __attribute__((noinline)) u32 collect_wide(struct shadow *s, struct vmcs12 *v)
{
	u32 written = 0;

	if (s->width >= SHADOW_WIDE) {
		HOT_READABLE(COLLECT) WIDE(COLLECT)
	}
	s->width = SHADOW_NARROW;
	return written;
}

void nested_shadow_collect(struct percpu *cpu, struct active_vmcs *a, bool all)
{
	struct vmcs12 *v = &a->vmcs12;
	struct shadow *s = a->shadow;
	u32 written = 0;

	if (!s)
		return;
	if (unlikely(cpu->nested->shadow_width != SHADOW_NARROW) && cpu->nested->current == a) {
		nested_load_vmcs01(cpu);
		use_bitmaps(cpu, SHADOW_NARROW);
	}
	open_shadow(cpu, s);
	HOT_STATE(COLLECT) HOT_CONTROLS(COLLECT)
	if (unlikely(all || (v->entry_intr_info & INTR_VALID))) {
		HOT_EVENT(COLLECT)
	}
	if (unlikely(s->width != SHADOW_NARROW))
		written |= collect_wide(s, v);
	s->misses = 0;
	a->unmerged |= written & GROUPS_MERGED;
	a->unsaved |= written != 0;
}
