/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * EPT02 but for faults (ept02_fault.c): which root VMCS02 runs on, what INVEPT of L1 and stops drop, and EPT02 as
 * software looks through it, for walks of L2's tables and for hypapps' copies. Callers: nested/, mem/guest.c, stops.
 */
#include "mem/ept.h"
#include "mem/ept01.h"
#include "mem/pages.h"
#include "nested/state.h"

#define MARK_TRIES 8

/* ---- L1's memory, where EPT12 lies ---- */

const u64 *ept12_at(gpa1_t entry)
{
	const u8 *page = l1_page(&this_cpu()->nested->memory, entry.addr & PAGE_ADDR, HYPAPI_R);

	return page ? (const u64 *)(page + (entry.addr & (PAGE_SIZE - 1))) : NULL;
}

bool ept12_replace(gpa1_t entry, u64 old, u64 new)
{
	u8 *page = l1_page(&this_cpu()->nested->memory, entry.addr & PAGE_ADDR, HYPAPI_RW);

	return !page || __atomic_compare_exchange_n((u64 *)(page + (entry.addr & (PAGE_SIZE - 1))), &old, new, false,
						    __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}

/* ---- The root ---- */

void nested_select_ept02(struct percpu *cpu)
{
	struct nested_cpu *n = cpu->nested;
	struct active_vmcs *a = n->current;
	bool flush;

	if (!vmcs12_uses_ept(&a->vmcs12)) {
		world_set_ept(&a->l2, ept01_pointer, QUIESCE_EPT01);
		return;
	}
	a->root = ept02_root(&n->ept02, a->vmcs12.eptp, &flush);
	world_set_ept(&a->l2, ept02_pointer(&n->ept02, a->root), nested_ept_key(cpu));
	if (flush) {
		flush_ept(INVEPT_SINGLE, ept02_pointer(&n->ept02, a->root));
		n->made_eptp12 = a->vmcs12.eptp;
	}
}

bool nested_invept(struct percpu *cpu, enum invept_type type, u64 eptp12)
{
	struct ept02 *ept = &cpu->nested->ept02;
	u32 roots;

	cpu->ept12_changes++;
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

/* ---- Drops by a stop ---- */

/*
 * Which leaves of EPT02 are L1's memory still: those of RAM in regions that did not change since the last look, and of
 * the others what EPT01 still backs. Stand-ins never stay: EPT01 gives L1 no root memory with all rights.
 */
static u64 still_l1s(const u64 *entries, u64 leaves, unsigned int level)
{
	u64 since = this_cpu()->nested->ept02_since, stay = leaves, region = ~0ull;
	const u64 *table01 = NULL;

	for (u64 bits = leaves; bits; bits &= bits - 1) {
		u64 leaf = entries[__builtin_ctzll(bits)], page = leaf & EPT_ADDR;

		if (page / SIZE_2M != region) {
			region = page / SIZE_2M;
			table01 = level > 2 ? NULL : ept01_look_again(GPA1(page), since);
		}
		if (likely(leaf & EPT01_RAM)) {
			if (table01 == EPT01_UNCHANGED)
				continue;
			if (likely(level == 1 && table01) && ept01_backs(table01[ept_index(page, 1)], page))
				continue;
			if (!table01 && ept01_still_backs(GPA1(page), level))
				continue;
		}
		stay &= ~(bits & -bits);
	}
	return stay;
}

/* False: what was looked for among the losses may have been overwritten meanwhile. */
static bool revalidated(struct nested_cpu *n, u64 generation)
{
	const struct ept02_change change = {
		.keep = still_l1s, .remember = ept01_remember, .since = n->ept02_since, .now = generation,
		.losses = ept01_few_losses(n->ept02_since) ? ept01_losses : NULL,
	};

	ept02_revalidate(&n->ept02, &change);
	return !change.losses || ept01_few_losses(n->ept02_since);
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

	n->ept02.changes++;
	/* Where L2 does not run now, nobody waits for its leaves. */
	if (cpu->world->mode != RUN_L2 || !revalidated(n, generation))
		ept02_invalidate_all(&n->ept02);
	n->ept02_since = generation;
	/* Of those that are not current the next entry looks after itself. */
	if (!n->current || n->current->pages_since == ept01_generation)
		return;
	struct world *at_hand = cpu->world;

	world_load(cpu, &n->current->l2);
	vmcs02_retranslate(cpu);
	world_load(cpu, at_hand);
}

/* ---- Which EPT12 ---- */

u64 nested_eptp12(const struct percpu *cpu)
{
	const struct nested_cpu *n = cpu->nested;

	return n && n->current && vmcs12_uses_ept(&n->current->vmcs12) ? n->current->vmcs12.eptp : 0;
}

u64 nested_ept_key(const struct percpu *cpu)
{
	u64 eptp12 = nested_eptp12(cpu);

	return eptp12 ? (eptp12 & EPT_ADDR) | QUIESCE_EPT12 : QUIESCE_EPT01;
}

/* ---- Translation by software ---- */

/*
 * What hardware may have cached, we may use: a leaf of the EPT02 in force with all rights and RAM is memory that L1
 * owns, where EPT01 is the identity. 0: none.
 */
static inline u64 cached_hpa(u64 eptp02, gpa2_t gpa2)
{
	const struct ept ept02 = { .root = phys_to_virt(HPA(eptp02 & EPT_ADDR)) };
	unsigned int level;
	u64 entry = *ept_find(&ept02, gpa2.addr, &level), offset;

	if ((entry & (EPT_RIGHTS | EPT01_RAM)) != (EPT_RIGHTS | EPT01_RAM) ||
	    gpa2.addr >> LEVEL_SHIFT(EPT_LEVELS + 1))
		return 0;
	offset = LEVEL_SIZE(level) - 1;
	return (entry & EPT_ADDR & ~offset) | (gpa2.addr & offset);
}

/* As cached_hpa(); under a stop that has taken rights away EPT02 is stale, until its release. */
static inline u64 quick_hpa(const struct percpu *cpu, gpa2_t gpa2)
{
	const struct world *l2 = cpu->world;

	return likely(!cpu->quiesce.work) && (l2->ept & QUIESCE_EPT12) ? cached_hpa(l2->eptp, gpa2) : 0;
}

/* EPT12's leaf for an address of L2's, which is L1's without EPT12. */
static bool leaf12(struct nested_cpu *n, gpa2_t gpa2, struct ept12_leaf *leaf)
{
	*leaf = (struct ept12_leaf){ .gpa1 = GPA1(gpa2.addr), .rights = HYPAPI_RWX };
	return !vmcs12_uses_ept(&n->current->vmcs12) ||
	       ept12_walk(&nested_caps, n->current->vmcs12.eptp, gpa2, leaf) == EPT12_MAPPED;
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
	page->fleeting = (nested_eptp12(cpu) & EPTP_AD) && ept12_unset(&l12, false);
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

static __attribute__((noinline)) const void *readable_slowly(struct percpu *cpu, gpa2_t gpa2, bool *fleeting)
{
	struct guest_page page;

	/* Where flags are in use a CPU's walk counts as a write, which nothing but all rights is ready for. */
	*fleeting |= (nested_eptp12(cpu) & EPTP_AD) != 0;
	return translate_slowly(cpu, gpa2, &page) && (page.rights & HYPAPI_R) ? page.memory : NULL;
}

const void *nested_readable(struct percpu *cpu, gpa2_t gpa2, bool *fleeting)
{
	u64 hpa = quick_hpa(cpu, gpa2);

	return likely(hpa) ? phys_to_virt(HPA(hpa)) : readable_slowly(cpu, gpa2, fleeting);
}

/* access: HYPAPI_R or _W. by_l2: only where EPT01 gives L1 the right, too. */
static bool mark_used(struct nested_cpu *n, gpa2_t gpa2, u32 access, bool by_l2, gpa1_t *gpa1)
{
	bool marks = vmcs12_uses_ept(&n->current->vmcs12) && (n->current->vmcs12.eptp & EPTP_AD), dirty;
	enum marked marked = MARK_AGAIN;
	struct ept12_leaf l12;
	struct ept01_leaf l01;

	/* L1 may change it all the time. */
	for (u32 tries = 0; tries < MARK_TRIES && marked == MARK_AGAIN; tries++) {
		if (!leaf12(n, gpa2, &l12) || !(l12.rights & access))
			return false;
		if (by_l2 && (!l1_leaf(&n->memory, l12.gpa1, &l01) || !(l01.rights & access)))
			return false;
		*gpa1 = l12.gpa1;
		marked = marks ? nested_mark(n, gpa2, &l12, access & HYPAPI_W, &dirty) : MARKED;
	}
	return marked == MARKED;
}

bool nested_mark_used(struct percpu *cpu, gpa2_t gpa2, u32 access)
{
	gpa1_t gpa1;

	return mark_used(cpu->nested, gpa2, access, true, &gpa1);
}

bool nested_gpa1_to_write(struct percpu *cpu, gpa2_t gpa2, gpa1_t *gpa1)
{
	return mark_used(cpu->nested, gpa2, HYPAPI_W, false, gpa1);
}
