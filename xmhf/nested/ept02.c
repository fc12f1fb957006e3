/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See ept02.h. Owner of all state: the CPU it belongs to. */
#include "nested/ept02.h"

#include "mem/ept.h"
#include "mem/ept01.h"
#include "mem/pages.h"
#include "vmx/vmcs.h"

#define AGED BIT(11) /* with no rights: an inverted pointer to a table whose entries may be stale */

void ept02_init(struct ept02 *ept, void *pages)
{
	*ept = (struct ept02){ .pages = pages, .next = EPT02_ROOTS };
}

static u32 page_number(const struct ept02 *ept, const u64 *table)
{
	return (u32)((table - ept->pages[0]) / 512);
}

static u64 *table_at(u64 entry)
{
	return phys_to_virt(HPA(entry & EPT_ADDR));
}

/* The first entry, from `index` on, that may be other than 0; 512: none. */
static inline u32 next_used(const struct ept02_used *used, u32 index)
{
	for (u32 word = index / 64; word < ARRAY_SIZE(used->word); word++, index = word * 64) {
		u64 bits = used->word[word] >> index % 64;

		if (bits)
			return index + (u32)__builtin_ctzll(bits);
	}
	return 512;
}

static void put(struct ept02 *ept, u64 *table, u32 index, u64 entry)
{
	struct ept02_used *used = &ept->used[page_number(ept, table)];

	used->word[index / 64] |= BIT(index % 64);
	table[index] = entry;
}

/* Makes what the entries of a table lead to unreachable: leaves go, tables are kept for later. */
static void age(struct ept02 *ept, u64 *table, unsigned int level)
{
	struct ept02_used *used = &ept->used[page_number(ept, table)];

	for (u32 i = next_used(used, 0); i < 512; i = next_used(used, i + 1)) {
		u64 entry = table[i];

		/* Without rights: aged before, or a large leaf that was. */
		if (entry & EPT_RIGHTS)
			table[i] = level == 1 || (entry & EPT_LARGE) ? 0 : (~entry & EPT_ADDR) | AGED;
	}
	if (level == 1)
		*used = (struct ept02_used){ 0 };
}

static void drop_root(struct ept02 *ept, u32 root)
{
	age(ept, ept->pages[root], EPT_LEVELS);
	ept->leaves[root] = 0;
}

static void clear(struct ept02 *ept, u64 *table)
{
	struct ept02_used *used = &ept->used[page_number(ept, table)];

	for (u32 i = next_used(used, 0); i < 512; i = next_used(used, i + 1))
		table[i] = 0;
	*used = (struct ept02_used){ 0 };
}

u32 ept02_root(struct ept02 *ept, u64 eptp12, bool *flush)
{
	*flush = false;
	for (u32 root = 0; root < EPT02_ROOTS; root++)
		if (ept->key[root] == eptp12)
			return root;
	u32 root = ept->victim;

	ept->victim = (root + 1) % EPT02_ROOTS;
	drop_root(ept, root);
	ept->key[root] = eptp12;
	*flush = true;
	return root;
}

u64 ept02_pointer(const struct ept02 *ept, u32 root)
{
	return virt_to_phys(ept->pages[root]).addr | EPTP_WALK_4 | EPT_TYPE_WB | (ept->key[root] & EPTP_AD);
}

static u64 *new_table(struct ept02 *ept)
{
	if (ept->next == EPT02_PAGES)
		return NULL;
	u64 *table = ept->pages[ept->next++];

	clear(ept, table);
	return table;
}

/* The table that table[index], an entry of `level`, leads to, made if needed. */
static u64 *descend(struct ept02 *ept, u64 *table, u32 index, unsigned int level)
{
	u64 entry = table[index], *child;

	if ((entry & EPT_RIGHTS) && !(entry & EPT_LARGE))
		return table_at(entry);
	if (entry & AGED) {
		child = table_at(~entry);
		age(ept, child, level - 1);
	} else {
		child = new_table(ept); /* in place of nothing, or of a large leaf that L1 has split since */
		if (!child)
			return NULL;
	}
	put(ept, table, index, virt_to_phys(child).addr | EPT_RIGHTS);
	return child;
}

bool ept02_map(struct ept02 *ept, u32 root, u64 gpa2, unsigned int level, u64 entry)
{
	u64 *table = ept->pages[root];

	for (unsigned int l = EPT_LEVELS; l > level; l--) {
		table = descend(ept, table, ept_index(gpa2, l), l);
		if (!table)
			return false;
	}
	put(ept, table, ept_index(gpa2, level), entry | (level > 1 ? EPT_LARGE : 0));
	ept->leaves[root]++;
	return true;
}

bool ept02_invalidate(struct ept02 *ept, u64 eptp12, u32 *roots)
{
	bool found = false;

	*roots = 0;
	for (u32 r = 0; r < EPT02_ROOTS; r++) {
		if (!ept->key[r] || ((ept->key[r] ^ eptp12) & EPT_ADDR))
			continue;
		drop_root(ept, r);
		*roots |= 1u << r;
		found |= ept->key[r] == eptp12;
	}
	return found;
}

void ept02_invalidate_all(struct ept02 *ept)
{
	for (u32 root = 0; root < EPT02_ROOTS; root++)
		drop_root(ept, root);
}

struct revalidation {
	const u64 *changed;
	u64 since;
	ept02_keep *keep;
};

/* A leaf of RAM, no larger than 2 MiB, that leads to L1's memory at its identity. */
static inline bool is_unchanged(const struct revalidation *r, u64 leaf)
{
	return (leaf & EPT01_RAM) && r->changed[(leaf & EPT_ADDR) / SIZE_2M] <= r->since;
}

/* How many leaves stay. Entries without rights are aged or empty: hardware reaches nothing by them. */
static u32 revalidate(struct ept02 *ept, u64 *table, unsigned int level, const struct revalidation *r)
{
	const struct ept02_used *used = &ept->used[page_number(ept, table)];
	u32 kept = 0;

	for (u32 i = next_used(used, 0); i < 512; i = next_used(used, i + 1)) {
		u64 e = table[i];

		if (!(e & EPT_RIGHTS))
			continue;
		if (level > 1 && !(e & EPT_LARGE))
			kept += revalidate(ept, table_at(e), level - 1, r);
		else if ((level <= 2 && likely(is_unchanged(r, e))) || r->keep(level > 1 ? e & ~EPT_LARGE : e, level))
			kept++;
		else
			table[i] = 0;
	}
	return kept;
}

void ept02_revalidate(struct ept02 *ept, const u64 *changed, u64 since, ept02_keep *keep)
{
	const struct revalidation r = { changed, since, keep };
	u32 looks = 0;

	for (u32 root = 0; root < EPT02_ROOTS; root++)
		looks += ept->leaves[root];
	if (looks > EPT02_LOOKS) {
		ept02_invalidate_all(ept);
		return;
	}
	for (u32 root = 0; root < EPT02_ROOTS; root++)
		if (ept->leaves[root])
			ept->leaves[root] = revalidate(ept, ept->pages[root], EPT_LEVELS, &r);
}

void ept02_empty(struct ept02 *ept)
{
	for (u32 root = 0; root < EPT02_ROOTS; root++) {
		clear(ept, ept->pages[root]);
		ept->leaves[root] = 0;
	}
	ept->next = EPT02_ROOTS;
}
