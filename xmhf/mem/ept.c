/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See ept.h. Entries are written whole, so that a walker on another CPU, hardware or ours, sees the old or the new one. */
#include "mem/ept.h"

#include "mem/pages.h"

static bool is_leaf(u64 entry, unsigned int level)
{
	return level == 1 || (entry & EPT_LARGE) || !(entry & EPT_RIGHTS);
}

u64 *ept_find(const struct ept *ept, u64 gpa, unsigned int *level)
{
	u64 *entry = &ept->root[ept_index(gpa, EPT_LEVELS)];

	for (*level = EPT_LEVELS; !is_leaf(*entry, *level); --*level)
		entry = (u64 *)phys_to_virt(HPA(*entry & EPT_ADDR)) + ept_index(gpa, *level - 1);
	return entry;
}

/* Replaces the leaf or hole in *entry at `level` by a table that maps the same. */
static bool split(struct ept *ept, u64 *entry, unsigned int level)
{
	u64 *table = ept->alloc(), leaf = *entry;

	if (!table)
		return false;
	if (leaf & EPT_RIGHTS)
		for (unsigned int i = 0; i < 512; i++) {
			table[i] = leaf + i * EPT_LEVEL_SIZE(level - 1);
			if (level == 2)
				table[i] &= ~EPT_LARGE;
		}
	__atomic_store_n(entry, virt_to_phys(table).addr | EPT_RIGHTS, __ATOMIC_RELEASE);
	return true;
}

bool ept_prepare(struct ept *ept, u64 gpa, unsigned int level)
{
	unsigned int at;

	for (u64 *entry = ept_find(ept, gpa, &at); at > level; entry = ept_find(ept, gpa, &at))
		if (!split(ept, entry, at))
			return false;
	return true;
}

bool ept_set(struct ept *ept, u64 gpa, unsigned int level, u64 entry)
{
	u64 *table = ept->root;

	if (!ept_prepare(ept, gpa, level))
		return false;
	for (unsigned int l = EPT_LEVELS; l > level; l--)
		table = phys_to_virt(HPA(table[ept_index(gpa, l)] & EPT_ADDR));
	if (level > 1 && (entry & EPT_RIGHTS))
		entry |= EPT_LARGE;
	__atomic_store_n(&table[ept_index(gpa, level)], entry, __ATOMIC_RELEASE);
	return true;
}
