/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See domain.h. A unit may walk the tables at any time, so each step is one store of an entry that leads to finished
 * tables with the same meaning, or changes the rights of one leaf.
 */
#include "iommu/domain.h"

#include "cpu/x86.h"
#include "lib/string.h"
#include "mem/pages.h"

#define ENTRIES 512u
#define LARGE BIT(7)
#define ADDRESS BITS(51, 12)

void domain_write_back(const struct domain *domain, const void *at, size_t bytes)
{
	if (domain->coherent)
		return;
	for (u64 line = ALIGN_DOWN((u64)at, CACHE_LINE); line < (u64)at + bytes; line += CACHE_LINE)
		clflush((const void *)line);
	mfence();
}

static void store(struct domain *domain, u64 *entry, u64 value)
{
	__atomic_store_n(entry, value, __ATOMIC_RELEASE);
	domain_write_back(domain, entry, sizeof(*entry));
}

static u64 leaf(u64 at, u32 level, u64 rights)
{
	return rights ? at | rights | (level > 1 ? LARGE : 0) : 0;
}

static bool is_table(u64 entry, u32 level)
{
	return level > 1 && (entry & DOMAIN_RW) && !(entry & LARGE);
}

static u64 *table_of(u64 entry)
{
	return phys_to_virt(HPA(entry & ADDRESS));
}

static u64 *entry_of(u64 *table, u64 at, u32 level)
{
	return &table[at / LEVEL_SIZE(level) % ENTRIES];
}

static void set_leaf(struct domain *domain, u64 *entry, u64 at, u32 level, u64 rights)
{
	u64 before = *entry & DOMAIN_RW;

	/* A unit that remembers a page as read-only does not look again when a device writes it. */
	if (before != rights && (before || domain->grants_flush))
		domain->owes_flush = true;
	store(domain, entry, leaf(at, level, rights));
}

/* A leaf becomes a table of the same rights. */
static bool split(struct domain *domain, u64 *entry, u64 at, u32 level)
{
	u64 *table = domain->tables < domain->most_tables ? page_alloc() : NULL, rights = *entry & DOMAIN_RW;

	if (!table)
		return false;
	for (u32 i = 0; i < ENTRIES; i++)
		table[i] = leaf(at + i * LEVEL_SIZE(level - 1), level - 1, rights);
	domain_write_back(domain, table, PAGE_SIZE);
	store(domain, entry, virt_to_phys(table).addr | DOMAIN_RW);
	domain->tables++;
	return true;
}

/*
 * The other way, where all of the table has all rights: so the pool does not shrink for ever. What has less keeps its
 * table, or giving a page back could fail.
 */
static void merge(struct domain *domain, u64 *entry, u64 at, u32 level)
{
	u64 *table = table_of(*entry), rights = table[0] & DOMAIN_RW;

	if (domain->tables <= domain->merge_above || domain->retired_count == DOMAIN_RETIRED || rights != DOMAIN_RW ||
	    level > domain->largest)
		return;
	for (u32 i = 0; i < ENTRIES; i++)
		if (is_table(table[i], level - 1) || (table[i] & DOMAIN_RW) != rights)
			return;
	domain->retired[domain->retired_count++] = table;
	domain->tables--;
	store(domain, entry, leaf(at, level, rights));
}

static bool set_in(struct domain *domain, u64 *table, u32 level, u64 start, u64 end, u64 rights)
{
	u64 size = LEVEL_SIZE(level);

	for (u64 at = start, next; at < end; at = next) {
		u64 *entry = entry_of(table, at, level), base = ALIGN_DOWN(at, size);
		bool table_there = is_table(*entry, level);

		next = MIN(base + size, end);
		if (!table_there && (*entry & DOMAIN_RW) == rights)
			continue;
		if (!table_there && at == base && next == base + size && (!rights || level <= domain->largest)) {
			set_leaf(domain, entry, at, level, rights);
			continue;
		}
		if (!table_there && !split(domain, entry, base, level))
			return false;
		if (!set_in(domain, table_of(*entry), level - 1, at, next, rights))
			return false;
		merge(domain, entry, base, level);
	}
	return true;
}

bool domain_init(struct domain *domain)
{
	domain->root = page_alloc();
	if (!domain->root)
		return false;
	domain_write_back(domain, domain->root, PAGE_SIZE);
	return true;
}

bool domain_set(struct domain *domain, u64 start, u64 end, u64 rights)
{
	return set_in(domain, domain->root, domain->levels, start, MIN(end, LEVEL_SIZE(domain->levels + 1)), rights);
}

bool domain_prepare(struct domain *domain, u64 page)
{
	u64 *table = domain->root;

	if (page >= LEVEL_SIZE(domain->levels + 1))
		return true;
	for (u32 level = domain->levels; level > 1; level--) {
		u64 *entry = entry_of(table, page, level);

		if (!is_table(*entry, level) && !split(domain, entry, ALIGN_DOWN(page, LEVEL_SIZE(level)), level))
			return false;
		table = table_of(*entry);
	}
	return true;
}

static void free_table(u64 *table)
{
	memset(table, 0, PAGE_SIZE);
	page_free(table);
}

static void drop(u64 *table, u32 level)
{
	for (u32 i = 0; i < ENTRIES; i++)
		if (is_table(table[i], level))
			drop(table_of(table[i]), level - 1);
	free_table(table);
}

void domain_drop(struct domain *domain)
{
	domain_flushed(domain);
	drop(domain->root, domain->levels);
}

void domain_flushed(struct domain *domain)
{
	while (domain->retired_count)
		free_table(domain->retired[--domain->retired_count]);
	domain->owes_flush = false;
}
