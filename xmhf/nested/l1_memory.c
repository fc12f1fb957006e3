/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See l1_memory.h. Owner of the entries: the CPU, in its struct nested_cpu. */
#include "nested/l1_memory.h"

#include "mem/ept01.h"
#include "mem/pages.h"
#include "nested/state.h"

static void *look_up(u64 gpa1, u32 rights, u64 *tag)
{
	struct ept01_leaf leaf;

	if (!ept01_lookup(GPA1(gpa1), &leaf) || (leaf.rights & rights) != rights || leaf.owner ||
	    leaf.hpa.addr >= direct_map_end)
		return NULL;
	*tag = gpa1 | leaf.rights;
	return phys_to_virt(leaf.hpa);
}

void *l1_page(u64 gpa1, u32 rights)
{
	struct l1_pages *pages = &this_cpu()->nested->l1_pages;
	u64 tag;

	if (unlikely(pages->generation != ept01_generation))
		*pages = (struct l1_pages){ .generation = ept01_generation };
	typeof(pages->entry[0]) *e = &pages->entry[gpa1 >> PAGE_SHIFT & (L1_PAGES - 1)];

	if (likely(((e->gpa1 ^ gpa1) & PAGE_ADDR) == 0 && e->page && (e->gpa1 & rights) == rights))
		return e->page;
	void *page = look_up(gpa1, rights, &tag);

	if (page) {
		e->gpa1 = tag;
		e->page = page;
	}
	return page;
}
