/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See ept.h. Entries are written whole, so that a walker on another CPU, hardware or ours, sees the old or the new
 * one.
 */
#include "mem/ept.h"

#include "mem/pages.h"

/* Replaces the leaf or hole in *entry at `level` by a table that maps the same. */
static bool split(struct ept *ept, u64 *entry, unsigned int level)
{
	u64 *table = ept->alloc(), leaf = *entry;

	if (!table)
		return false;
	if (leaf & EPT_RIGHTS)
		for (unsigned int i = 0; i < 512; i++) {
			table[i] = leaf + i * LEVEL_SIZE(level - 1);
			if (level == 2)
				table[i] &= ~EPT_LARGE;
		}
	__atomic_store_n(entry, virt_to_phys(table).addr | EPT_RIGHTS, __ATOMIC_RELEASE);
	return true;
}

u64 *ept_make(struct ept *ept, u64 gpa, unsigned int level)
{
	u64 *entry = &ept->root[ept_index(gpa, EPT_LEVELS)];

	for (unsigned int at = EPT_LEVELS; at > level; at--) {
		if (ept_is_leaf(*entry) && !split(ept, entry, at))
			return NULL;
		entry = ept_below(*entry, gpa, at - 1);
	}
	return entry;
}
