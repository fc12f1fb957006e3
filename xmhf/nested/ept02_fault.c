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
#include "mem/pages.h"
#include "nested/state.h"
#include "report/log.h"
#include "vmx/vmx.h"

/* Bits of a violation's exit qualification that are hardware's to say; 5:3 come from our walk of EPT12. */
#define QUAL_HARDWARE (EPT_QUAL_ACCESS | EPT_QUAL_GLA_VALID | EPT_QUAL_GLA_FINAL | EPT_QUAL_NMI_UNBLOCK)

#define MARK_TRIES 8

struct fault {
	gpa2_t gpa2;
	u64 qualification; /* 0 for a misconfiguration */
	u32 access;        /* enum hypapi_rights */
};

u64 ept12_read(gpa1_t entry)
{
	const u64 *page = l1_page(&this_cpu()->nested->memory, entry.addr & PAGE_ADDR, HYPAPI_R);

	return page ? *(const volatile u64 *)((const u8 *)page + (entry.addr & (PAGE_SIZE - 1))) : ~0ull;
}

bool ept12_replace(gpa1_t entry, u64 old, u64 new)
{
	u8 *page = l1_page(&this_cpu()->nested->memory, entry.addr & PAGE_ADDR, HYPAPI_RW);

	return !page || __atomic_compare_exchange_n((u64 *)(page + (entry.addr & (PAGE_SIZE - 1))), &old, new, false,
						    __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}

void nested_select_ept02(struct percpu *cpu)
{
	struct nested_cpu *n = cpu->nested;
	bool flush;

	if (!vmcs12_uses_ept(&n->vmcs12)) {
		world_set_ept(&n->l2, ept01_pointer, QUIESCE_EPT01);
		return;
	}
	n->root = ept02_root(&n->ept02, n->vmcs12.eptp, &flush);
	world_set_ept(&n->l2, ept02_pointer(&n->ept02, n->root), nested_ept_key(cpu));
	if (flush) {
		flush_ept(INVEPT_SINGLE, ept02_pointer(&n->ept02, n->root));
		n->eptp12_made = n->vmcs12.eptp;
	}
}

bool nested_invept(struct percpu *cpu, enum invept_type type, u64 eptp12)
{
	struct ept02 *ept = &cpu->nested->ept02;
	u32 roots;

	cpu->invepts++;
	if (unlikely(type == INVEPT_ALL)) {
		ept02_invalidate_all(ept);
		flush_ept(INVEPT_ALL, 0);
		return true;
	}
	bool found = ept02_invalidate(ept, eptp12, &roots);

	for (; roots; roots &= roots - 1)
		flush_ept(INVEPT_SINGLE, ept02_pointer(ept, (u32)__builtin_ctz(roots)));
	return found;
}

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

	if (likely(ept02_map(&n->ept02, n->root, gpa2.addr, level, entry)))
		return;
	ept02_empty(&n->ept02);
	flush_ept(INVEPT_ALL, 0);
	n->emptied = true;
	this_cpu()->work = 1;
	if (!ept02_map(&n->ept02, n->root, gpa2.addr, level, entry))
		panic("an empty EPT02 pool has no page");
}

static void reflect_violation(struct percpu *cpu, const struct fault *f, u32 rights)
{
	struct exit_info exit = {
		.reason = EXIT_EPT_VIOLATION,
		.qualification = (f->qualification & QUAL_HARDWARE) | (u64)rights << EPT_QUAL_RIGHTS_SHIFT,
		.guest_physical = f->gpa2.addr,
		.guest_linear = vmread(VMCS_GUEST_LINEAR_ADDR),
		.idt_info = (u32)vmread(VMCS_IDT_INFO),
		.insn_len = (u32)vmread(VMCS_EXIT_INSN_LEN),
	};

	if (exit.idt_info & INTR_ERROR_CODE)
		exit.idt_error = (u32)vmread(VMCS_IDT_ERROR);
	cpu->nested->missed = f->gpa2;
	cpu->nested->missed_access = f->access;
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
	u32 access = n->missed_access;
	struct ept12_leaf l12;
	struct ept01_leaf l01;

	n->missed_access = 0;
	l1_memory_check(&n->memory);
	if (!vmcs12_uses_ept(&n->vmcs12) || ept12_walk(&nested_caps, n->vmcs12.eptp, n->missed, &l12) != EPT12_MAPPED ||
	    (l12.rights & access) != access || !l1_leaf(&n->memory, l12.gpa1, &l01) || (l01.rights & access) != access)
		return;
	if (!(n->vmcs12.eptp & EPTP_AD) || mark(&l12, access))
		fill(n, n->missed, &l12, &l01);
}

static void walk_and_fill(struct percpu *cpu, const struct fault *f)
{
	struct nested_cpu *n = cpu->nested;
	struct ept12_leaf l12;
	struct ept01_leaf l01;

	l1_memory_check(&n->memory);
	enum ept12_result result = ept12_walk(&nested_caps, n->vmcs12.eptp, f->gpa2, &l12);

	if (result == EPT12_MISCONFIG) {
		nested_reflect_hardware(cpu, EXIT_EPT_MISCONFIG);
	} else if (result == EPT12_NOT_PRESENT || (l12.rights & f->access) != f->access) {
		reflect_violation(cpu, f, l12.rights);
	} else if (!l1_leaf(&n->memory, l12.gpa1, &l01) || (l01.rights & f->access) != f->access) {
		vmx_violation(cpu, l12.gpa1, f->gpa2, f->qualification);
	} else {
		if (!(n->vmcs12.eptp & EPTP_AD) || mark(&l12, f->access))
			fill(n, f->gpa2, &l12, &l01);
		vmx_requeue_access(f->qualification);
	}
}

/* A misconfiguration of EPT02 itself there is not; where one is seen all the same, the walk says whose it is. */
void nested_ept_fault(struct percpu *cpu)
{
	struct fault f = { .gpa2 = GPA2(vmread(VMCS_GUEST_PHYS_ADDR)) };

	if (likely(cpu->exit_reason == EXIT_EPT_VIOLATION)) {
		f.qualification = vmread(VMCS_EXIT_QUALIFICATION);
		f.access = f.qualification & EPT_QUAL_ACCESS;
	}
	if (vmcs12_uses_ept(&cpu->nested->vmcs12))
		walk_and_fill(cpu, &f);
	else
		vmx_violation(cpu, GPA1(f.gpa2.addr), f.gpa2, f.qualification);
}

/*
 * What hardware may have cached, we may use: a leaf of the EPT02 in force with all rights and RAM is memory that L1
 * owns, where EPT01 is the identity. 0: none.
 */
static inline u64 cached_hpa(const struct nested_cpu *n, gpa2_t gpa2)
{
	const struct ept ept02 = { .root = n->ept02.pages[n->root] };
	unsigned int level;
	u64 entry = *ept_find(&ept02, gpa2.addr, &level), offset;

	if ((entry & (EPT_RIGHTS | EPT01_RAM)) != (EPT_RIGHTS | EPT01_RAM) || gpa2.addr >> EPT_LEVEL_SHIFT(EPT_LEVELS + 1))
		return 0;
	offset = EPT_LEVEL_SIZE(level) - 1;
	return (entry & EPT_ADDR & ~offset) | (gpa2.addr & offset);
}

/* As cached_hpa(); under a stop that has taken rights away EPT02 is stale, until its release. */
static inline u64 quick_hpa(const struct percpu *cpu, gpa2_t gpa2)
{
	return likely(!cpu->quiesce.work) && vmcs12_uses_ept(&cpu->nested->vmcs12) ? cached_hpa(cpu->nested, gpa2) : 0;
}

/* EPT12's leaf for an address of L2's, which is L1's without EPT12. */
static bool leaf12(struct nested_cpu *n, gpa2_t gpa2, struct ept12_leaf *leaf)
{
	*leaf = (struct ept12_leaf){ .gpa1 = GPA1(gpa2.addr), .rights = HYPAPI_RWX };
	l1_memory_check(&n->memory);
	return !vmcs12_uses_ept(&n->vmcs12) || ept12_walk(&nested_caps, n->vmcs12.eptp, gpa2, leaf) == EPT12_MAPPED;
}

bool nested_gpa1(struct percpu *cpu, gpa2_t gpa2, u32 rights, gpa1_t *gpa1)
{
	struct ept12_leaf l12;

	if (!leaf12(cpu->nested, gpa2, &l12) || (l12.rights & rights) != rights)
		return false;
	*gpa1 = l12.gpa1;
	return true;
}

static __attribute__((noinline)) bool translate_slowly(struct percpu *cpu, gpa2_t gpa2, struct guest_page *page)
{
	struct ept12_leaf l12;
	struct ept01_leaf l01;

	if (!leaf12(cpu->nested, gpa2, &l12) || !l1_leaf(&cpu->nested->memory, l12.gpa1, &l01))
		return false;
	page->hpa = l01.owner ? HPA(l12.gpa1.addr) : l01.hpa;
	page->gpa1 = l12.gpa1;
	page->gpa2 = gpa2;
	page->rights = l01.owner ? 0 : l12.rights & l01.rights;
	page->memory = l01.ram ? phys_to_virt(l01.hpa) : NULL;
	page->clean = true;
	page->watched = !(l12.rights & HYPAPI_W);
	return true;
}

bool nested_translate(struct percpu *cpu, gpa2_t gpa2, struct guest_page *page)
{
	u64 hpa = quick_hpa(cpu, gpa2);

	if (unlikely(!hpa))
		return translate_slowly(cpu, gpa2, page);
	*page = (struct guest_page){ .hpa = HPA(hpa), .gpa1 = GPA1(hpa), .gpa2 = gpa2, .rights = HYPAPI_RWX,
				     .memory = phys_to_virt(HPA(hpa)) };
	return true;
}

static __attribute__((noinline)) const void *readable_slowly(struct percpu *cpu, gpa2_t gpa2)
{
	struct guest_page page;

	return translate_slowly(cpu, gpa2, &page) && (page.rights & HYPAPI_R) ? page.memory : NULL;
}

const void *nested_readable(struct percpu *cpu, gpa2_t gpa2)
{
	u64 hpa = quick_hpa(cpu, gpa2);

	return likely(hpa) ? phys_to_virt(HPA(hpa)) : readable_slowly(cpu, gpa2);
}

/* by_l2: only where EPT01 lets L1 write, too. */
static bool mark_written(struct nested_cpu *n, gpa2_t gpa2, bool by_l2, gpa1_t *gpa1)
{
	bool marks = vmcs12_uses_ept(&n->vmcs12) && (n->vmcs12.eptp & EPTP_AD), dirty;
	struct ept12_leaf l12;
	struct ept01_leaf l01;

	for (u32 tries = 0; tries < MARK_TRIES; tries++) {
		if (!leaf12(n, gpa2, &l12) || !(l12.rights & HYPAPI_W))
			return false;
		if (by_l2 && (!l1_leaf(&n->memory, l12.gpa1, &l01) || !(l01.rights & HYPAPI_W)))
			return false;
		*gpa1 = l12.gpa1;
		if (!marks || ept12_mark(&l12, true, &dirty))
			return true;
	}
	return false; /* L1 changes it all the time */
}

bool nested_mark_written(struct percpu *cpu, gpa2_t gpa2)
{
	gpa1_t gpa1;

	return mark_written(cpu->nested, gpa2, true, &gpa1);
}

bool nested_gpa1_to_write(struct percpu *cpu, gpa2_t gpa2, gpa1_t *gpa1)
{
	return mark_written(cpu->nested, gpa2, false, gpa1);
}

/* Stand-ins never stay: EPT01 gives L1 no root memory with all rights. */
static bool still_l1s(u64 entry, unsigned int level)
{
	return ept01_still_backs(GPA1(entry & EPT_ADDR), level);
}

/*
 * EPT01 lost rights: nothing made from what it lost may be reached, and no translated address of L1's may stay in
 * VMCS02. The caller executes INVEPT afterwards, for this and for EPT01.
 */
void nested_drop_ept02(struct percpu *cpu)
{
	struct nested_cpu *n = cpu->nested;

	if (!n)
		return;
	u64 generation = ept01_generation;

	/* Where L2 does not run now, nobody waits for its leaves. */
	if (cpu->world->mode == RUN_L2)
		ept02_revalidate(&n->ept02, ept01_changed, n->ept02_seen, still_l1s);
	else
		ept02_invalidate_all(&n->ept02);
	n->ept02_seen = generation;
	if (!n->in_vmx || n->ept01_seen == ept01_generation)
		return;
	struct world *at_hand = cpu->world;

	world_load(cpu, &n->l2);
	vmcs02_retranslate(cpu);
	world_load(cpu, at_hand);
}

u64 nested_eptp12(const struct percpu *cpu)
{
	const struct nested_cpu *n = cpu->nested;

	return n && vmcs12_uses_ept(&n->vmcs12) ? n->vmcs12.eptp : 0;
}

u64 nested_ept_key(const struct percpu *cpu)
{
	u64 eptp12 = nested_eptp12(cpu);

	return eptp12 ? (eptp12 & EPT_ADDR) | QUIESCE_EPT12 : QUIESCE_EPT01;
}
