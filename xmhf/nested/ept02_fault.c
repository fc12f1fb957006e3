/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * EPT violations of L2: EPT12 is walked first, and what it forbids or spells wrong is L1's exit. What it allows and
 * EPT01 allows too is filled into EPT02, with the larger of the two tables' page sizes cut to the smaller, and its
 * neighbours with it. The rest is an access to memory that L1 itself may not touch: the hypapps' business, as in L1.
 * Callers: nested/exit.c, entry.
 */
#include "apic/apic_guard.h"
#include "events/events.h"
#include "mem/ept.h"
#include "mem/ept01.h"
#include "nested/state.h"
#include "report/log.h"
#include "vmx/vmx.h"

/* Bits of a violation's exit qualification that are hardware's to say; 5:3 come from our walk of EPT12. */
#define QUAL_HARDWARE (EPT_QUAL_ACCESS | EPT_QUAL_GLA_VALID | EPT_QUAL_GLA_FINAL | EPT_QUAL_NMI_UNBLOCK)

struct fault {
	gpa2_t gpa2;
	u64 qualification; /* 0 for a misconfiguration */
	u32 access;        /* enum hypapi_rights */
};

/*
 * A leaf that allows writes must allow reads, and may be execute-only only where the CPU can (EPT misconfigurations).
 */
static u32 legal_rights(u32 rights)
{
	if (rights & HYPAPI_R)
		return rights;
	return vmx_ept_vpid_cap & EPTCAP_EXEC_ONLY ? rights & HYPAPI_X : 0;
}

/* The leaf of EPT02 at `level` that two leaves around gpa1 make, a whole entry. */
static always_inline u64 compose(const struct ept12_leaf *l12, const struct ept01_leaf *l01, unsigned int level)
{
	u64 rights = legal_rights(l12->rights & l01->rights);
	u64 type = ept02_type(l12->type, l01->ram, l01->type);

	u64 page = ALIGN_DOWN(l01->hpa.addr, LEVEL_SIZE(level)) | (level > 1 ? EPT_LARGE : 0);

	return page | type | rights | l01->ram;
}

/* The leaf of EPT02 at l12's level for an entry of EPT12 beside it: RAM, with some rights. 0: none. */
static __attribute__((noinline)) u64 neighbour(struct nested_cpu *n, const struct ept12_leaf *l12, u64 entry12)
{
	struct ept12_leaf near;
	struct ept01_leaf l01;

	if (!ept12_neighbour(&nested_caps, l12, entry12, n->current->vmcs12.eptp & EPTP_AD, &near) ||
	    !l1_leaf(&n->memory, near.gpa1, &l01) || !l01.ram || l01.level < near.level)
		return 0;
	u64 entry = compose(&near, &l01, near.level);

	return entry & EPT_RIGHTS ? entry : 0;
}

/* Most wanted entries are in one word, and many of EPT12's are empty: the loop is what such a miss costs. */
#define for_each_wanted(i, w)                                                                                        \
	for (u32 word = 0; word < 8; word++)                                                                         \
		for (u64 left = (w)->wanted[word], i; left && (i = word * 64 + (u64)__builtin_ctzll(left), true);    \
		     left &= left - 1)

/* Of a small page's entry of EPT12, what EPT02's leaf depends on; the flags only where they are in use. */
#define LEAF12 (EPT_ADDR | EPT_RIGHTS | EPT_TYPE | EPT_IGNORE_PAT)

/* Whether EPT01's entry of the page at gpa1 ^ other, which will be remembered, is this one but for the address. */
static inline bool alike_in_ept01(u64 entry01, gpa1_t gpa1, u64 other)
{
	ept01_remember(gpa1.addr ^ other);
	return (ept01_entry(GPA1(gpa1.addr ^ other)) ^ entry01) == other;
}

/*
 * Neighbours in the table of EPT12 that holds l12. Most small pages are like it but for the address, many in the same
 * 2 MiB of L1's memory. table01: the level-1 table of EPT01 there; NULL: a larger leaf. entry: of EPT02, for the missed
 * page.
 */
static void fill_small(struct nested_cpu *n, const struct ept12_leaf *l12, const u64 *table12, const u64 *table01,
		       u64 entry, const struct ept02_window *w)
{
	u64 flags = n->current->vmcs12.eptp & EPTP_AD ? EPT_ACCESSED | EPT_DIRTY : 0, counts = LEAF12 | flags;
	u64 missed = l12->entry[l12->depth - 1], entry01 = ept01_entry(l12->gpa1);
	u32 index01 = ept_index(entry, 1);

	for_each_wanted(i, w) {
		u64 entry12 = __atomic_load_n(&table12[i], __ATOMIC_RELAXED), other = (entry12 ^ missed) & counts;
		u64 found = 0;

		if (w->table[i] || !(entry12 & EPT_RIGHTS))
			continue;
		if (unlikely(other & ~EPT_ADDR))
			found = neighbour(n, l12, entry12);
		else if (other >= SIZE_2M ? alike_in_ept01(entry01, l12->gpa1, other) : !table01 ||
			 (table01[index01] ^ table01[index01 ^ other >> PAGE_SHIFT]) == other)
			found = entry ^ other;
		if (found)
			ept02_add(w, (u32)i, found);
	}
}

static void fill_large(struct nested_cpu *n, const struct ept12_leaf *l12, const u64 *table12,
		       const struct ept02_window *w)
{
	for_each_wanted(i, w) {
		u64 entry12 = __atomic_load_n(&table12[i], __ATOMIC_RELAXED), found = 0;

		if (!w->table[i] && (entry12 & EPT_RIGHTS))
			found = neighbour(n, l12, entry12);
		if (found)
			ept02_add(w, (u32)i, found);
	}
}

/* Neighbours in one large leaf of EPT12, which this table of EPT01 splits: what EPT01 has as for the missed page. */
static void fill_split(const u64 *table01, u32 index, u64 entry, const struct ept02_window *w)
{
	u64 first01 = table01[index] - index * PAGE_SIZE, first = entry - index * PAGE_SIZE;

	for_each_wanted(i, w)
		if (!w->table[i] && table01[i] == first01 + i * PAGE_SIZE)
			ept02_add(w, (u32)i, first + i * PAGE_SIZE);
}

/* l12: the leaf of EPT12 that `entry` was made from. The answer: the table that the leaf is in. */
static always_inline u64 *fill(struct nested_cpu *n, gpa2_t gpa2, unsigned int level, u64 entry,
			       const struct ept12_leaf *l12)
{
	u64 *table = ept02_map(&n->ept02, n->current->root, gpa2.addr, level, entry, l12);

	if (likely(table))
		return table;
	ept02_empty(&n->ept02);
	flush_ept(INVEPT_ALL, 0);
	n->pool_emptied = true;
	this_cpu()->work = 1;
	table = ept02_map(&n->ept02, n->current->root, gpa2.addr, level, entry, NULL);
	if (!table)
		panic("an empty EPT02 pool has no page");
	return table;
}

static void forbidden(struct percpu *cpu, const struct fault *f, const struct ept12_leaf *l12)
{
	u64 qualification = (f->qualification & QUAL_HARDWARE) | (u64)l12->rights << EPT_QUAL_RIGHTS_SHIFT;

	nested_violation(cpu, l12, f->gpa2, GVA(vmread(VMCS_GUEST_LINEAR_ADDR)), qualification);
}

/*
 * Flags are in use, and `unset` of them are to be set. A page that is not dirty yet is filled read-only, so that the
 * first write comes here.
 */
static inline enum marked mark(struct nested_cpu *n, gpa2_t gpa2, struct ept12_leaf *l12, u64 unset, bool write)
{
	bool dirty = l12->entry[l12->depth - 1] & EPT_DIRTY;
	enum marked marked = unset ? nested_mark(n, gpa2, l12, write, &dirty) : MARKED;

	if (!dirty)
		l12->rights &= ~(u32)HYPAPI_W;
	return marked;
}

static inline bool uses_flags(const struct nested_cpu *n)
{
	return n->current->vmcs12.eptp & EPTP_AD;
}

static inline enum ept12_result walk_again(struct nested_cpu *n, gpa2_t gpa2, struct ept12_leaf **l12)
{
	return ept12_walk_again(&nested_caps, n->current->vmcs12.eptp, gpa2, ept01_generation, n->kept12, l12);
}

/* l01: EPT01's leaf, for `level` and above. */
static always_inline void refill(struct nested_cpu *n, gpa2_t missed, u32 access, struct ept12_leaf *l12,
				 const struct ept01_leaf *l01, unsigned int level)
{
	u64 unset = uses_flags(n) ? ept12_unset(l12, access & HYPAPI_W) : 0;

	if ((l01->rights & access) != access)
		return;
	/* Dirty is what L2 has written, not what it tried to before L1 had a say. */
	if ((unset & EPT_DIRTY) || (uses_flags(n) && mark(n, missed, l12, unset, access & HYPAPI_W) != MARKED))
		return;
	(void)fill(n, missed, level, compose(l12, l01, level), l12);
}

static __attribute__((noinline)) void refill_large(struct nested_cpu *n, gpa2_t missed, u32 access,
						   struct ept12_leaf *l12)
{
	struct ept01_leaf l01;

	if (l1_leaf(&n->memory, l12->gpa1, &l01))
		refill(n, missed, access, l12, &l01, MIN(l12->level, l01.level));
}

/*
 * Hardware may cache a translation at any time, so the entry after L1 has mended EPT12 is as good as L2's next try.
 * Most of what is mended are small pages, and each lies in another 2 MiB of L1's memory.
 */
void nested_refill(struct percpu *cpu)
{
	struct nested_cpu *n = cpu->nested;
	gpa2_t missed = n->missed.gpa2;
	u32 access = n->missed.access;
	struct ept12_leaf *l12;

	n->missed.access = 0;
	if (!vmcs12_uses_ept(&n->current->vmcs12) || walk_again(n, missed, &l12) != EPT12_MAPPED ||
	    (l12->rights & access) != access)
		return;
	if (unlikely(l12->level > 1)) {
		refill_large(n, missed, access, l12);
		return;
	}
	const struct ept01_leaf l01 = ept01_small_leaf(l12->gpa1);

	refill(n, missed, access, l12, &l01, 1);
}

/*
 * A miss fills what EPT12 maps around it, too. Hardware may cache any translation for which no flag has to be set, at
 * any time, so L1 can expect nothing else. Each leaf is made from EPT12 and EPT01 as they are now, like the one that
 * was missed. L2 tries again afterwards, but for MARK_LOG_FULL.
 */
static enum marked fill_miss(struct nested_cpu *n, const struct fault *f, struct ept12_leaf *l12,
			     const struct ept01_leaf *l01)
{
	unsigned int level = MIN(l12->level, l01->level);
	bool write = f->access & HYPAPI_W;
	enum marked marked = uses_flags(n) ? mark(n, f->gpa2, l12, ept12_unset(l12, write), write) : MARKED;

	if (unlikely(marked != MARKED))
		return marked;
	this_cpu()->ept12_changes++; /* L1 may have changed EPT12 and left it to this violation: L2 sees that now */
	u64 entry = compose(l12, l01, level), *table = fill(n, f->gpa2, level, entry, l12);

	u32 index = ept_index(f->gpa2.addr, level);
	const u64 *table01 = l01->level == 1 ? ept01_level1(l12->gpa1) : NULL;

	if (!l01->ram || (l01->level == 1 && !table01))
		return MARKED;
	const struct ept02_window w = ept02_window(&n->ept02, n->current->root, table, index, level);
	const u64 *table12 = ept12_at(GPA1(l12->at[l12->depth - 1].addr & PAGE_ADDR));

	if (l12->level > level && table01)
		fill_split(table01, index, entry, &w);
	else if (l12->level == 1 && table12)
		fill_small(n, l12, table12, table01, entry, &w);
	else if (l12->level == level && table12)
		fill_large(n, l12, table12, &w);
	return MARKED;
}

/* EPT12 allows the access. */
static __attribute__((noinline)) void allowed(struct percpu *cpu, const struct fault *f, struct ept12_leaf *l12)
{
	struct nested_cpu *n = cpu->nested;
	struct ept01_leaf l01;

	if (!l1_leaf(&n->memory, l12->gpa1, &l01) || (l01.rights & f->access) != f->access)
		vmx_violation(cpu, l12->gpa1, f->gpa2, f->qualification);
	else if (unlikely(fill_miss(n, f, l12, &l01) == MARK_LOG_FULL))
		nested_reflect_log_full(cpu, f->qualification);
	else
		vmx_requeue_access(f->qualification);
}

static void walk(struct percpu *cpu, const struct fault *f)
{
	struct ept12_leaf *l12;
	enum ept12_result result = walk_again(cpu->nested, f->gpa2, &l12);

	if (result == EPT12_MISCONFIG)
		nested_reflect_hardware(cpu, EXIT_EPT_MISCONFIG);
	else if (result == EPT12_NOT_PRESENT || (l12->rights & f->access) != f->access)
		forbidden(cpu, f, l12);
	else
		allowed(cpu, f, l12);
}

/* EPT02 is never misconfigured. If the CPU reports that all the same, the walk of EPT12 tells whose mistake it is. */
void nested_ept_fault(struct percpu *cpu)
{
	struct fault f = { .gpa2 = GPA2(vmread(VMCS_GUEST_PHYS_ADDR)) };

	if (likely(cpu->exit_reason == EXIT_EPT_VIOLATION)) {
		f.qualification = vmread(VMCS_EXIT_QUALIFICATION);
		f.access = f.qualification & EPT_QUAL_ACCESS;
	}
	if (vmcs12_uses_ept(vmcs12_of(cpu)))
		walk(cpu, &f);
	else
		vmx_violation(cpu, GPA1(f.gpa2.addr), f.gpa2, f.qualification);
}
