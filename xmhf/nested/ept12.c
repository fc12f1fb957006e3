/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See ept12.h. Each entry is read once, and judged in the copy: L1's other CPUs may write to the table meanwhile. */
#include "nested/ept12.h"

#define TABLE_RESERVED BITS(7, 3) /* in an entry that leads to a table */

/* SDM vol. 3, "EPT Misconfigurations": combinations of rights that no entry may have. */
static bool rights_ok(const struct nested_caps *caps, u32 rights)
{
	if (rights & HYPAPI_R)
		return true;
	return rights == HYPAPI_X && (NESTED_CAP(caps, EPT_VPID_CAP) & EPTCAP_EXEC_ONLY);
}

static bool is_leaf(const struct nested_caps *caps, u64 entry, unsigned int level)
{
	u64 cap = NESTED_CAP(caps, EPT_VPID_CAP);

	if (level == 1)
		return true;
	return (entry & EPT_LARGE) && ((level == 2 && (cap & EPTCAP_2M)) || (level == 3 && (cap & EPTCAP_1G)));
}

static bool type_ok(u64 entry)
{
	u64 type = (entry & EPT_TYPE) >> EPT_TYPE_SHIFT;

	return type != 2 && type != 3 && type != 7;
}

static bool entry_ok(const struct nested_caps *caps, u64 entry, unsigned int level)
{
	if (!rights_ok(caps, entry & EPT_RIGHTS) || (entry & caps->phys_reserved & BITS(51, 12)))
		return false;
	if (!is_leaf(caps, entry, level))
		return !(entry & TABLE_RESERVED);
	return type_ok(entry) && !(entry & EPT_ADDR & (EPT_LEVEL_SIZE(level) - 1));
}

enum ept12_result ept12_walk(const struct nested_caps *caps, u64 eptp12, gpa2_t gpa2, struct ept12_leaf *leaf)
{
	const u64 plain = HYPAPI_RWX | TABLE_RESERVED | (caps->phys_reserved & BITS(51, 12));
	u64 table = eptp12 & EPT_ADDR;

	leaf->rights = HYPAPI_RWX;
	leaf->depth = 0;
	if (unlikely(gpa2.addr >> EPT_LEVEL_SHIFT(EPT_LEVELS + 1))) { /* more than four levels can translate */
		leaf->rights = 0;
		return EPT12_NOT_PRESENT;
	}
	for (unsigned int level = EPT_LEVELS;; level--) {
		gpa1_t at = GPA1(table + ept_index(gpa2.addr, level) * sizeof(u64));
		u64 entry = ept12_read(at);

		leaf->at[leaf->depth] = at;
		leaf->entry[leaf->depth++] = entry;
		if (likely((entry & plain) == HYPAPI_RWX && level > 1)) { /* a table, all rights, no reserved bit */
			table = entry & EPT_ADDR;
			continue;
		}
		leaf->rights &= entry & EPT_RIGHTS;
		if (!(entry & EPT_RIGHTS))
			return EPT12_NOT_PRESENT;
		if (unlikely(!entry_ok(caps, entry, level)))
			return EPT12_MISCONFIG;
		if (is_leaf(caps, entry, level)) {
			u64 offset = EPT_LEVEL_SIZE(level) - 1;

			leaf->gpa1 = GPA1((entry & EPT_ADDR & ~offset) | (gpa2.addr & offset));
			leaf->type = entry & (EPT_TYPE | EPT_IGNORE_PAT);
			leaf->level = (u8)level;
			return EPT12_MAPPED;
		}
		table = entry & EPT_ADDR;
	}
}

u64 ept12_unset(const struct ept12_leaf *leaf, bool write)
{
	u64 all = EPT_ACCESSED;

	for (u32 i = 0; i < leaf->depth; i++)
		all &= leaf->entry[i];
	return (EPT_ACCESSED & ~all) | (write ? EPT_DIRTY & ~leaf->entry[leaf->depth - 1] : 0);
}

bool ept12_mark(struct ept12_leaf *leaf, bool write, bool *dirty)
{
	for (u32 i = 0; i < leaf->depth; i++) {
		u64 old = leaf->entry[i], new = old | EPT_ACCESSED;

		if (i == leaf->depth - 1u) {
			new |= write ? EPT_DIRTY : 0;
			*dirty = new & EPT_DIRTY;
		}
		if (new != old && !ept12_replace(leaf->at[i], old, new))
			return false;
		leaf->entry[i] = new;
	}
	return true;
}

bool ept12_neighbour(const struct nested_caps *caps, const struct ept12_leaf *leaf, u64 entry, bool flags,
		     struct ept12_leaf *near)
{
	u32 rights = entry & EPT_RIGHTS;

	if (!rights || (flags && !(entry & EPT_ACCESSED)) || !entry_ok(caps, entry, leaf->level) ||
	    !is_leaf(caps, entry, leaf->level))
		return false;
	for (u32 i = 0; i < leaf->depth - 1u; i++)
		rights &= leaf->entry[i];
	if (flags && !(entry & EPT_DIRTY))
		rights &= ~(u32)HYPAPI_W;
	near->gpa1 = GPA1(entry & EPT_ADDR);
	near->rights = rights;
	near->type = entry & (EPT_TYPE | EPT_IGNORE_PAT);
	near->level = leaf->level;
	return true;
}
