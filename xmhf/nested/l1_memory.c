/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See l1_memory.h. Owner of the entries: the CPU, in its struct nested_cpu. */
#include "nested/l1_memory.h"

#include "mem/ept.h"
#include "mem/pages.h"

void *l1_page_slow(struct l1_memory *memory, u64 gpa1, u32 rights)
{
	u32 i = (u32)(gpa1 >> PAGE_SHIFT ^ gpa1 >> (PAGE_SHIFT + 6)) & (L1_PAGES - 1);
	struct ept01_leaf leaf;

	if ((gpa1 & ~PAGE_ADDR) || !l1_leaf(memory, GPA1(gpa1), &leaf))
		return NULL;
	if ((leaf.rights & rights) != rights || !leaf.ram)
		return NULL;
	memory->page[i].tag = gpa1 | leaf.rights;
	memory->page[i].page = phys_to_virt(leaf.hpa);
	return memory->page[i].page;
}

bool l1_leaf(struct l1_memory *memory, gpa1_t gpa1, struct ept01_leaf *leaf)
{
	if (unlikely(memory->generation != ept01_generation))
		*memory = (struct l1_memory){ .generation = ept01_generation };
	if (likely((gpa1.addr & memory->leaf_mask) == memory->leaf_base && memory->leaf_mask)) {
		*leaf = memory->leaf;
		leaf->hpa.addr += gpa1.addr & ~memory->leaf_mask;
		return true;
	}
	if (!ept01_lookup(gpa1, leaf))
		return false;
	if (leaf->level > 1) {
		memory->leaf_mask = ~(LEVEL_SIZE(leaf->level) - 1);
		memory->leaf_base = gpa1.addr & memory->leaf_mask;
		memory->leaf = *leaf;
		memory->leaf.hpa.addr &= memory->leaf_mask;
	}
	return true;
}
