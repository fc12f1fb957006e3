/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See audit.h. What is compared with: the owner of each page, as EPT01 tells it, and the lists of the partitions. */
#include "report/audit.h"

#include "mem/ept.h"
#include "mem/ept01.h"
#include "mem/pages.h"
#include "mem/partition.h"
#include "nested/state.h"
#include "report/log.h"

struct walk {
	const char *table;
	u32 owner; /* who may be reached: 0 for L1 and L2, else the partition */
};

/* A leaf over several pages is judged page by page only where a page of it has an owner; EPT01 is split there. */
static void check_guest_leaf(const struct walk *w, u64 gpa, u64 hpa, u64 entry, unsigned int level)
{
	struct ept01_leaf leaf;

	if (ept01_is_stand_in(hpa, entry & EPT_RIGHTS))
		return;
	if (meets_root_memory(hpa, hpa + LEVEL_SIZE(level)))
		panic("audit: %s maps %lx to root memory %lx", w->table, gpa, hpa);
	if (!ept01_lookup(GPA1(hpa), &leaf) || leaf.owner || leaf.level < level)
		panic("audit: %s maps %lx to %lx, which is not L1's alone", w->table, gpa, hpa);
}

static void check_partition_leaf(const struct walk *w, u64 gpa, u64 hpa, u64 entry)
{
	struct ept01_leaf leaf;

	if (is_root_memory(hpa) && ((entry & EPT_RIGHTS) == HYPAPI_R || partition_has_own(w->owner, gpa)))
		return; /* its page tables, or memory that it got from the core */
	if (!ept01_lookup(GPA1(hpa), &leaf) || leaf.owner != w->owner)
		panic("audit: %s %u maps %lx to %lx, which is not its own", w->table, w->owner, gpa, hpa);
}

static void walk(const struct walk *w, const u64 *table, unsigned int level, u64 base)
{
	for (unsigned int i = 0; i < 512; i++) {
		u64 entry = table[i], gpa = base + i * LEVEL_SIZE(level);

		if (!(entry & EPT_RIGHTS))
			continue;
		if (level > 1 && !(entry & EPT_LARGE))
			walk(w, phys_to_virt(HPA(entry & EPT_ADDR)), level - 1, gpa);
		else if (w->owner)
			check_partition_leaf(w, gpa, entry & EPT_ADDR, entry);
		else
			check_guest_leaf(w, gpa, entry & EPT_ADDR & ~(LEVEL_SIZE(level) - 1), entry, level);
	}
}

void audit_ept02(struct percpu *cpu)
{
	const struct walk l2 = { .table = "EPT02" };

	for (u32 i = 0; cpu->nested && i < cpu->nested->ept02.root_count; i++)
		if (cpu->nested->ept02.key[i])
			walk(&l2, cpu->nested->ept02.pages[i], EPT_LEVELS, 0);
}

void audit_all(struct percpu *cpu)
{
	const struct walk l1 = { .table = "EPT01" };

	walk(&l1, phys_to_virt(HPA(ept01_pointer & EPT_ADDR)), EPT_LEVELS, 0);
	for (u32 owner = 1; owner <= partition_limit; owner++) {
		const struct walk p = { .table = "the EPT of partition", .owner = owner };
		const u64 *root = partition_ept_root(owner);

		if (root)
			walk(&p, root, EPT_LEVELS, 0);
	}
	audit_ept02(cpu);
}
