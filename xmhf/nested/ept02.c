/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See ept02.h. Owner of all state: the CPU it belongs to. */
#include "nested/ept02.h"

#include "lib/string.h"
#include "mem/ept.h"
#include "mem/ept01.h"
#include "mem/pages.h"
#include "vmx/vmcs.h"

#define AGED BIT(11) /* with no rights: an inverted pointer to a table whose entries may be stale */

void ept02_init(struct ept02 *ept, void *pages, struct ept02_used *used, u32 page_count)
{
	u32 roots = ept02_root_count(page_count);

	*ept = (struct ept02){ .pages = pages, .used = used, .page_count = page_count, .root_count = roots,
			       .next = roots };
}

static u64 *table_at(u64 entry)
{
	return phys_to_virt(HPA(entry & EPT_ADDR));
}

/* Entries without rights are aged or empty: hardware reaches nothing by them. */
static bool is_leaf(u64 entry, unsigned int level)
{
	return (entry & EPT_RIGHTS) && (level == 1 || (entry & EPT_LARGE));
}

static struct ept02_used *used_of(const struct ept02 *ept, const u64 *table)
{
	return &ept->used[((u64)table - (u64)ept->pages) / PAGE_SIZE];
}

static void put(struct ept02_used *used, u64 *table, u32 index, u64 entry)
{
	used->word[index / 64] |= BIT(index % 64);
	table[index] = entry;
}

static void clear(struct ept02 *ept, u64 *table)
{
	struct ept02_used *used = used_of(ept, table);

	/* Leaves come many at a time. */
	for (u32 word = 0; word < ARRAY_SIZE(used->word); word++)
		if (used->word[word])
			memset(table + word * 64, 0, 64 * sizeof(*table));
	*used = (struct ept02_used){ 0 };
}

/* EPT12's table of small pages that the leaf is in, where the entries above it have all rights; else NULL. */
static const u64 *table_of_small(const struct ept12_leaf *l12)
{
	if (!l12 || l12->level > 1 || (~(l12->entry[0] & l12->entry[1] & l12->entry[2]) & EPT_RIGHTS))
		return NULL;
	return ept12_at(GPA1(ALIGN_DOWN(l12->at[EPT_LEVELS - 1].addr, PAGE_SIZE)));
}

/*
 * Takes a table of small pages that was aged into use again. EPT01 is the identity where it gives all rights to RAM, so
 * what stays has the address that EPT12 says. What L2 used and does not stay is noted, until the next miss fills it in.
 */
static void renew(struct ept02 *ept, u32 root, u64 *table, const struct ept12_leaf *l12)
{
	const u64 same = EPT_ADDR | EPT_RIGHTS | EPT_TYPE | EPT_IGNORE_PAT;
	struct ept02_used *used = used_of(ept, table);
	u64 flags12 = ept->key[root] & EPTP_AD ? EPT_ACCESSED | EPT_DIRTY : 0;
	u64 of_use = flags12 ? EPT_ACCESSED : EPT_RIGHTS;
	u64 needs = EPT_RIGHTS | EPT01_RAM | of_use, all_lost = 0;
	const u64 *table12 = table_of_small(l12);
	u32 count = 0;

	if (!table12 || used->since != ept->changes)
		table12 = table, needs = ~0ull; /* nothing has it all */
	for (u32 word = 0; word < ARRAY_SIZE(used->word); word++) {
		u64 stay = used->word[word], lost = 0;

		for (u64 bits = stay; bits; bits &= bits - 1) {
			u32 i = word * 64 + (u32)__builtin_ctzll(bits);
			u64 entry = table[i], entry12 = __atomic_load_n(&table12[i], __ATOMIC_RELAXED);

			if (((entry ^ entry12) & same) | (flags12 & ~entry12) | (needs & ~entry)) {
				stay &= ~(bits & -bits);
				lost |= entry & of_use ? bits & -bits : 0;
				table[i] = 0;
			} else {
				table[i] = entry & ~(EPT_ACCESSED | EPT_DIRTY);
				count++;
			}
		}
		used->word[word] = stay;
		used->lost[word] |= lost;
		all_lost |= lost;
	}
	used->again |= all_lost != 0;
	used->filled &= count != 0;
	used->mixed &= count != 0;
	used->misses = 0;
	used->since = ept->changes;
	ept->leaves[root] += count;
}

/* Makes what the entries of a table above level 1 lead to unreachable: leaves go, tables are kept for later. */
static void age(struct ept02 *ept, u32 root, u64 *table)
{
	struct ept02_used *used = used_of(ept, table);
	u64 of_use = ept->key[root] & EPTP_AD ? EPT_ACCESSED : EPT_RIGHTS;

	used->misses = 0;
	for (u32 i = ept02_next(used->word, 0); i < 512; i = ept02_next(used->word, i + 1)) {
		u64 entry = table[i];

		if ((entry & EPT_LARGE) && !(entry & of_use))
			used->word[i / 64] &= ~BIT(i % 64);
		/* Without rights: aged before, or a large leaf that was. */
		if (entry & EPT_RIGHTS)
			table[i] = entry & EPT_LARGE ? 0 : (~entry & EPT_ADDR) | AGED;
	}
}

static void drop_root(struct ept02 *ept, u32 root)
{
	age(ept, root, ept->pages[root]);
	ept->leaves[root] = 0;
}

u32 ept02_root(struct ept02 *ept, u64 eptp12, bool *flush)
{
	*flush = false;
	for (u32 root = 0; root < ept->root_count; root++)
		if (ept->key[root] == eptp12)
			return root;
	u32 root = ept->victim;

	ept->victim = (root + 1) % ept->root_count;
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
	if (ept->next == ept->page_count)
		return NULL;
	u64 *table = ept->pages[ept->next++];

	clear(ept, table);
	used_of(ept, table)->since = ept->changes;
	return table;
}

/* The table that table[index], an entry of `level`, is to lead to. */
static u64 *make_table(struct ept02 *ept, u32 root, u64 *table, u32 index, unsigned int level,
		       const struct ept12_leaf *l12)
{
	u64 entry = table[index], *child;

	if (entry & AGED) {
		child = table_at(~entry);
		if (level == 2)
			renew(ept, root, child, l12);
		else
			age(ept, root, child);
	} else {
		child = new_table(ept); /* in place of nothing, or of a large leaf that L1 has split since */
		if (!child)
			return NULL;
	}
	put(used_of(ept, table), table, index, virt_to_phys(child).addr | EPT_RIGHTS);
	return child;
}

static void note_row(struct ept02_used *used, u32 index, u64 entry)
{
	u64 row = (entry & EPT_ADDR) - index * PAGE_SIZE;

	if (!used->filled)
		used->row = row;
	used->filled = true;
	used->mixed |= row != used->row || !(entry & EPT01_RAM);
}

/* The table at `level` on the way to gpa2; NULL: it is not there, or cannot be reached. */
static inline u64 *find_table(const struct ept02 *ept, u32 root, u64 gpa2, unsigned int level)
{
	u64 *table = ept->pages[root];

	for (unsigned int l = EPT_LEVELS; l > level; l--) {
		u64 entry = table[ept_index(gpa2, l)];

		if (unlikely(ept_is_leaf(entry)))
			return NULL;
		table = table_at(entry);
	}
	return table;
}

/* The same, made where it is not there. NULL: the pool is used up. */
static __attribute__((noinline)) u64 *make_way(struct ept02 *ept, u32 root, u64 gpa2, unsigned int level,
					       const struct ept12_leaf *l12)
{
	u64 *table = ept->pages[root];

	for (unsigned int l = EPT_LEVELS; table && l > level; l--) {
		u32 index = ept_index(gpa2, l);

		if (ept_is_leaf(table[index]))
			table = make_table(ept, root, table, index, l, l12);
		else
			table = table_at(table[index]);
	}
	return table;
}

u64 *ept02_map(struct ept02 *ept, u32 root, u64 gpa2, unsigned int level, u64 entry, const struct ept12_leaf *l12)
{
	u64 *table = find_table(ept, root, gpa2, level);

	if (unlikely(!table) && !(table = make_way(ept, root, gpa2, level, l12)))
		return NULL;
	u32 index = ept_index(gpa2, level);
	struct ept02_used *used = used_of(ept, table);

	if (level == 1)
		note_row(used, index, entry);
	if (!is_leaf(table[index], level))
		ept->leaves[root]++;
	put(used, table, index, entry);
	return table;
}

struct ept02_window ept02_window(struct ept02 *ept, u32 root, u64 *table, u32 index, unsigned int level)
{
	/* By the misses before, four at a time. Large leaves are few, and each is looked at after a stop. */
	static const u16 small[] = { 32, 128, 512 };
	struct ept02_used *used = used_of(ept, table);
	struct ept02_window w = { .table = table, .leaves = &ept->leaves[root], .used = used };
	u32 count = level == 1 ? small[MIN(used->misses / 4, ARRAY_SIZE(small) - 1)] : level == 2 ? 8 : 1;

	if (level == 1 && used->again) {
		memcpy(w.wanted, used->lost, sizeof(w.wanted));
		memset(used->lost, 0, sizeof(used->lost));
	} else if (level > 1) {
		w.wanted[index / 64] = used->word[index / 64];
	}
	used->again = false;
	for (u32 i = ALIGN_DOWN(index, count), end = i + count; i < end; i += 64)
		w.wanted[i / 64] |= count < 64 ? (BIT(count) - 1) << i % 64 : ~0ull;
	used->misses++;
	return w;
}

bool ept02_invalidate(struct ept02 *ept, u64 eptp12, u32 *roots)
{
	bool found = false;

	*roots = 0;
	for (u32 r = 0; r < ept->root_count; r++) {
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
	for (u32 root = 0; root < ept->root_count; root++)
		drop_root(ept, root);
}

/* Of 64 entries of a table, `bits` tells which may be other than 0: those that are leaves. */
static u64 leaves_among(const u64 *entries, u64 bits, unsigned int level)
{
	u64 leaves = 0;

	for (; bits; bits &= bits - 1) {
		if (is_leaf(entries[__builtin_ctzll(bits)], level))
			leaves |= bits & -bits;
	}
	return leaves;
}

/* How many of these leaves go. */
static u32 look(u64 *entries, u64 leaves, unsigned int level, const struct ept02_change *c)
{
	u64 lost = leaves ? leaves & ~c->keep(entries, leaves, level) : 0;
	u32 gone = 0;

	for (; lost; lost &= lost - 1, gone++)
		entries[__builtin_ctzll(lost)] = 0;
	return gone;
}

/* The same of small pages in a row: each loss is at most one of them. */
static u32 look_in_row(const struct ept02_used *used, u64 *table, const struct ept02_change *c)
{
	u32 gone = 0;

	for (u64 g = c->since + 1; g <= c->now; g++) {
		u64 page = __atomic_load_n(&c->losses[g % EPT01_LOSSES], __ATOMIC_ACQUIRE);
		u64 index = (page - used->row) / PAGE_SIZE;

		/* Its region, and the table's 2 MiB. */
		if (ALIGN_DOWN(page, SIZE_2M) - used->row + SIZE_2M > 2 * SIZE_2M)
			continue;
		c->remember(page);
		if (index < 512 && table[index])
			gone += look(table + ALIGN_DOWN(index, 64ul), BIT(index % 64), 1, c);
	}
	return gone;
}

/* How many leaves go. */
static u32 revalidate(struct ept02 *ept, u64 *table, unsigned int level, const struct ept02_change *c)
{
	const struct ept02_used *used = used_of(ept, table);
	u32 gone = 0;

	if (level == 1 && !used->mixed && c->losses)
		return look_in_row(used, table, c);
	for (u32 word = 0; word < ARRAY_SIZE(used->word); word++) {
		u64 *entries = table + word * 64, bits = used->word[word], leaves = leaves_among(entries, bits, level);

		gone += look(entries, leaves, level, c);
		for (u64 more = level > 1 ? bits & ~leaves : 0; more; more &= more - 1) {
			u64 entry = entries[__builtin_ctzll(more)];

			if (entry & EPT_RIGHTS)
				gone += revalidate(ept, table_at(entry), level - 1, c);
		}
	}
	return gone;
}

void ept02_revalidate(struct ept02 *ept, const struct ept02_change *change)
{
	u32 looks = 0;

	for (u32 root = 0; root < ept->root_count; root++)
		looks += ept->leaves[root];
	if (looks > EPT02_LOOKS) {
		ept02_invalidate_all(ept);
		return;
	}
	for (u32 root = 0; root < ept->root_count; root++)
		if (ept->leaves[root])
			ept->leaves[root] -= revalidate(ept, ept->pages[root], EPT_LEVELS, change);
}

void ept02_empty(struct ept02 *ept)
{
	for (u32 root = 0; root < ept->root_count; root++) {
		clear(ept, ept->pages[root]);
		ept->leaves[root] = 0;
	}
	ept->next = ept->root_count;
}
