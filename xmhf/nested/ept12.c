/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See ept12.h. Each entry is read once, and judged in the copy: L1's other CPUs may write to the table meanwhile. */
#include "nested/ept12.h"

#define TABLE_RESERVED BITS(7, 3) /* in an entry that leads to a table */

/* SDM vol. 3, "EPT Misconfigurations": combinations of rights that no entry may have. */
static always_inline bool rights_ok(const struct nested_caps *caps, u32 rights)
{
	if (rights & HYPAPI_R)
		return true;
	return rights == HYPAPI_X && (NESTED_CAP(caps, EPT_VPID_CAP) & EPTCAP_EXEC_ONLY);
}

static always_inline bool is_leaf(const struct nested_caps *caps, u64 entry, unsigned int level)
{
	u64 cap = NESTED_CAP(caps, EPT_VPID_CAP);

	if (level == 1)
		return true;
	return (entry & EPT_LARGE) && ((level == 2 && (cap & EPTCAP_2M)) || (level == 3 && (cap & EPTCAP_1G)));
}

static always_inline bool type_ok(u64 entry)
{
	u64 type = (entry & EPT_TYPE) >> EPT_TYPE_SHIFT;

	return type != 2 && type != 3 && type != 7;
}

static always_inline bool entry_ok(const struct nested_caps *caps, u64 entry, unsigned int level)
{
	if (!rights_ok(caps, entry & EPT_RIGHTS) || (entry & caps->phys_reserved & BITS(51, 12)))
		return false;
	if (!is_leaf(caps, entry, level))
		return !(entry & TABLE_RESERVED);
	return type_ok(entry) && !(entry & EPT_ADDR & (LEVEL_SIZE(level) - 1));
}

/* What an entry that is no plain table comes to. True: the walk ends there, as *result says. */
static always_inline bool ends(const struct nested_caps *caps, struct ept12_leaf *leaf, u64 entry, unsigned int level,
			       gpa2_t gpa2, enum ept12_result *result)
{
	u64 offset = LEVEL_SIZE(level) - 1;

	leaf->rights = leaf->all & EPT_RIGHTS;
	if (!(entry & EPT_RIGHTS)) {
		*result = EPT12_NOT_PRESENT;
		return true;
	}
	if (unlikely(!entry_ok(caps, entry, level))) {
		*result = EPT12_MISCONFIG;
		return true;
	}
	leaf->gpa1 = GPA1((entry & EPT_ADDR & ~offset) | (gpa2.addr & offset));
	leaf->type = entry & (EPT_TYPE | EPT_IGNORE_PAT);
	leaf->level = (u8)level;
	*result = EPT12_MAPPED;
	return is_leaf(caps, entry, level);
}

static always_inline u64 load(const u64 *entry)
{
	return likely(entry) ? __atomic_load_n(entry, __ATOMIC_RELAXED) : ~0ull;
}

enum ept12_result ept12_walk(const struct nested_caps *caps, u64 eptp12, gpa2_t gpa2, struct ept12_leaf *leaf)
{
	const u64 plain = HYPAPI_RWX | TABLE_RESERVED | (caps->phys_reserved & BITS(51, 12));
	u64 table = eptp12 & EPT_ADDR;
	enum ept12_result result;

	leaf->all = ~0ull;
	leaf->depth = 0;
	if (unlikely(gpa2.addr >> LEVEL_SHIFT(EPT_LEVELS + 1))) { /* more than four levels can translate */
		leaf->rights = 0;
		return EPT12_NOT_PRESENT;
	}
	for (unsigned int level = EPT_LEVELS;; level--) {
		gpa1_t at = GPA1(table + ept_index(gpa2.addr, level) * sizeof(u64));
		const u64 *memory = ept12_at(at);
		u64 entry = load(memory);

		leaf->at[leaf->depth] = at;
		leaf->memory[leaf->depth] = memory;
		leaf->entry[leaf->depth++] = entry;
		leaf->all &= entry;
		/* A table, all rights, no reserved bit: nothing else is to be looked at. */
		if (unlikely((entry & plain) != HYPAPI_RWX || level == 1) &&
		    ends(caps, leaf, entry, level, gpa2, &result))
			return result;
		table = entry & EPT_ADDR;
	}
}

/* ---- Walks that are kept ---- */

#define LAST (EPT_LEVELS - 1)

static always_inline bool same(const struct ept12_leaf *leaf, u32 i)
{
	return __atomic_load_n(leaf->memory[i], __ATOMIC_RELAXED) == leaf->entry[i];
}

_Static_assert(LAST == 3, "the entries of a walk");
static always_inline bool holds(const struct ept12_kept *k, u64 eptp12, u64 region, u64 generation)
{
	if (k->region != region || k->eptp12 != eptp12 || k->generation != generation)
		return false;
	return same(&k->leaf, 0) && same(&k->leaf, 1) && same(&k->leaf, 2);
}

/* Those that came to a last table in memory that L1 has. */
static enum ept12_result walk_and_keep(const struct nested_caps *caps, u64 eptp12, gpa2_t gpa2, u64 generation,
				       struct ept12_kept *k)
{
	enum ept12_result result = ept12_walk(caps, eptp12, gpa2, &k->leaf);

	k->region = gpa2.addr / SIZE_2M;
	k->eptp12 = k->leaf.depth == EPT_LEVELS && k->leaf.memory[LAST] ? eptp12 : 0;
	k->generation = generation;
	return result;
}

enum ept12_result ept12_walk_again(const struct nested_caps *caps, u64 eptp12, gpa2_t gpa2, u64 generation,
				   struct ept12_kept *kept, struct ept12_leaf **found)
{
	u64 region = gpa2.addr / SIZE_2M, index = ept_index(gpa2.addr, 1);
	struct ept12_kept *k = &kept[region % EPT12_KEPT];
	struct ept12_leaf *leaf = *found = &k->leaf;
	enum ept12_result result;

	if (unlikely(!holds(k, eptp12, region, generation)))
		return walk_and_keep(caps, eptp12, gpa2, generation, k);
	leaf->at[LAST] = GPA1(ALIGN_DOWN(leaf->at[LAST].addr, PAGE_SIZE) + index * sizeof(u64));
	leaf->memory[LAST] = (const u64 *)ALIGN_DOWN((u64)leaf->memory[LAST], PAGE_SIZE) + index;
	leaf->entry[LAST] = __atomic_load_n(leaf->memory[LAST], __ATOMIC_RELAXED);
	leaf->all = leaf->entry[0] & leaf->entry[1] & leaf->entry[2] & leaf->entry[LAST];
	(void)ends(caps, leaf, leaf->entry[LAST], 1, gpa2, &result);
	return result;
}

/* ---- Flags, neighbours ---- */

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
	leaf->all |= EPT_ACCESSED;
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
