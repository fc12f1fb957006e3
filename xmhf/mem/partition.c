/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The memory of partitions; see partition.h, and vmx/partition_run.c for how they run. The partition's physical address of
 * a page is its host-physical one. Its page tables lie in root memory, mapped read-only in its EPT, with accessed and
 * dirty bits set beforehand, so the CPU never writes them.
 */
#include "mem/partition.h"

#include "core/log.h"
#include "lib/string.h"
#include "mem/ept.h"
#include "mem/ept01.h"
#include "mem/pages.h"
#include "mem/partition_state.h"

#define PTE_P BIT(0)
#define PTE_W BIT(1)
#define PTE_U BIT(2)
#define PTE_AD (BIT(5) | BIT(6))
#define PTE_NX BIT(63)
#define PT_LEVELS 4
#define MAX_TABLES 512

static struct partition partitions[EPT01_MAX_OWNER]; /* changed under a stop; `runner` by atomic exchange */
static u64 serial;

static u8 owner_number(const struct partition *p)
{
	return (u8)(p - partitions + 1);
}

struct partition *partition_get(u64 handle)
{
	u64 index = handle & 0xff;
	struct partition *p;

	if (!index || index > EPT01_MAX_OWNER)
		return NULL;
	p = &partitions[index - 1];
	return p->app && p->serial == handle >> 8 ? p : NULL;
}

u64 partition_handle_of(const struct partition *p)
{
	return p->serial << 8 | owner_number(p);
}

hypapi_partition_t partition_by_owner(u8 owner, const struct hypapp_descriptor **app)
{
	const struct partition *p = owner ? &partitions[owner - 1] : NULL;

	if (!p || !p->app)
		return (hypapi_partition_t){ HYPAPI_NONE };
	*app = p->app;
	return (hypapi_partition_t){ partition_handle_of(p) };
}

const u64 *partition_ept_root(u8 owner)
{
	return partitions[owner - 1].app ? partitions[owner - 1].ept.root : NULL;
}

/* A table page for the partition that is being built; remembered, to be freed with it. */
static struct partition *building;

static void *table_alloc(void)
{
	struct partition *p = building;
	void *page = p->table_count < MAX_TABLES ? page_alloc() : NULL;

	if (page)
		p->tables[p->table_count++] = page;
	return page;
}

static bool map_page_table(struct partition *p, const void *table)
{
	u64 hpa = virt_to_phys(table).addr;

	return ept_set(&p->ept, hpa, 1, hpa | HYPAPI_R | 6 << EPT_TYPE_SHIFT);
}

/* The leaf entry for gva in the partition's page tables; makes the tables on the way if asked to. NULL: none. */
static u64 *leaf_entry(struct partition *p, u64 gva, bool make)
{
	u64 *table = p->page_tables;

	for (unsigned int level = PT_LEVELS; level > 1; level--) {
		u64 *entry = &table[ept_index(gva, level)];

		if (!(*entry & PTE_P)) {
			u64 *next = make ? table_alloc() : NULL;

			if (!next || !map_page_table(p, next))
				return NULL;
			*entry = virt_to_phys(next).addr | PTE_P | PTE_W | PTE_U | BIT(5);
		}
		table = phys_to_virt(HPA(*entry & EPT_ADDR));
	}
	return &table[ept_index(gva, 1)];
}

static int map_page(struct partition *p, const struct partition_page *page)
{
	u32 rights = page->gva & EPT_RIGHTS;
	u64 *entry = leaf_entry(p, page->gva, true), *ept_entry = ept_make(&p->ept, page->gpa1, 1);

	if (!entry || !ept_entry || !ept01_prepare_take(GPA1(page->gpa1)))
		return HYPAPI_ENOMEM;
	if (*entry & PTE_P)
		return HYPAPI_EINVAL;
	*entry = page->gpa1 | PTE_P | PTE_U | PTE_AD | (rights & HYPAPI_W ? PTE_W : 0) | (rights & HYPAPI_X ? 0 : PTE_NX);
	*ept_entry = page->gpa1 | rights | 6 << EPT_TYPE_SHIFT;
	p->pages[p->page_count++] = *page;
	return HYPAPI_OK;
}

/* Everything that may fail. Nothing of L1 has changed after it. */
static int build(struct partition *p, const struct partition_page *pages, size_t count)
{
	building = p;
	p->ept.alloc = table_alloc;
	p->ept.root = table_alloc();
	p->page_tables = p->ept.root ? table_alloc() : NULL;
	if (!p->page_tables || !map_page_table(p, p->page_tables))
		return HYPAPI_ENOMEM;
	for (size_t i = 0; i < count; i++) {
		struct ept01_leaf leaf;

		if (!ept01_lookup(GPA1(pages[i].gpa1), &leaf) || leaf.owner || leaf.hpa.addr != pages[i].gpa1 ||
		    leaf.rights != HYPAPI_RWX || leaf.type != 6)
			return HYPAPI_EPERM;
		for (size_t j = 0; j < i; j++)
			if (pages[j].gpa1 == pages[i].gpa1)
				return HYPAPI_EPERM;
		int error = map_page(p, &pages[i]);

		if (error)
			return error;
	}
	return HYPAPI_OK;
}

/* Clears the entry for addr in the table at `level`; the tables above it are whole. */
static void clear_entry(u64 *table, u64 addr, unsigned int level)
{
	for (unsigned int l = EPT_LEVELS; l > level; l--) {
		u64 entry = table[ept_index(addr, l)];

		if (!entry)
			return;
		table = phys_to_virt(HPA(entry & EPT_ADDR));
	}
	table[ept_index(addr, level)] = 0;
}

/* Table pages go back to the pool as clean as they came: every entry leads to a page or a table of the partition. */
static void clear_tables(struct partition *p)
{
	for (unsigned int level = 1; level <= EPT_LEVELS; level++) {
		for (u32 i = 0; i < p->page_count; i++) {
			clear_entry(p->ept.root, p->pages[i].gpa1, level);
			clear_entry(p->page_tables, p->pages[i].gva, level);
		}
		for (u32 i = 0; i < p->table_count; i++)
			clear_entry(p->ept.root, virt_to_phys(p->tables[i]).addr, level);
	}
}

/* `built`: whether the partition was complete; what a failed attempt left is wiped whole. */
static void unbuild(struct partition *p, bool built)
{
	if (built)
		clear_tables(p);
	for (u32 i = 0; !built && i < p->table_count; i++)
		memset(p->tables[i], 0, PAGE_SIZE);
	for (u32 i = 0; i < p->table_count; i++)
		page_free(p->tables[i]);
	memset(p->tables, 0, p->table_count * sizeof(*p->tables));
	memset(p->pages, 0, p->page_count * sizeof(*p->pages));
	page_free(p->tables);
	page_free(p->pages);
}

static struct partition *find_free(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(partitions); i++)
		if (!partitions[i].app)
			return &partitions[i];
	return NULL;
}

int partition_create(const struct hypapp_descriptor *owner, const struct partition_page *pages, size_t count, u64 *handle)
{
	struct partition *p = find_free();
	int error;

	if (!p)
		return HYPAPI_ENOMEM;
	*p = (struct partition){ .pages = page_alloc(), .tables = page_alloc() };
	if (!p->pages || !p->tables) {
		if (p->pages)
			page_free(p->pages);
		return HYPAPI_ENOMEM;
	}
	error = build(p, pages, count);
	if (error) {
		unbuild(p, false);
		return error;
	}
	for (size_t i = 0; i < count; i++)
		ept01_take(GPA1(pages[i].gpa1), owner_number(p));
	p->serial = ++serial;
	p->app = owner;
	*handle = partition_handle_of(p);
	return HYPAPI_OK;
}

int partition_destroy(struct percpu *cpu, u64 handle)
{
	struct partition *p = partition_get(handle);

	if (!p)
		return HYPAPI_ESTALE;
	if (atomic_load(&p->runner))
		return HYPAPI_EBUSY;
	(void)!quiesce_begin(&cpu->quiesce);
	p = partition_get(handle);
	int error = !p ? HYPAPI_ESTALE : atomic_load(&p->runner) ? HYPAPI_EBUSY : HYPAPI_OK;

	if (!error) {
		p->app = NULL;
		for (u32 i = 0; i < p->page_count; i++) {
			if (p->pages[i].gva & HYPAPI_W)
				memset(phys_to_virt(HPA(p->pages[i].gpa1)), 0, PAGE_SIZE);
			ept01_give(GPA1(p->pages[i].gpa1));
		}
		unbuild(p, true);
		quiesce_add_work(&cpu->quiesce, QUIESCE_FLUSH_EPT01 | QUIESCE_FLUSH_EPT02 | QUIESCE_FLUSH_PARTITION);
	}
	quiesce_end(&cpu->quiesce);
	return error;
}

int partition_copy(u64 handle, u64 gva, void *buf, size_t len, bool write)
{
	struct partition *p = partition_get(handle);

	if (!p)
		return HYPAPI_ESTALE;
	/* All of the range is checked before the first byte moves. */
	for (int copying = 0; copying < 2; copying++)
		for (size_t done = 0; done < len;) {
			u64 at = gva + done, *entry = at < BIT(47) ? leaf_entry(p, at, false) : NULL;
			size_t part = MIN(len - done, PAGE_SIZE - (at & (PAGE_SIZE - 1)));

			if (!entry || !(*entry & PTE_P))
				return HYPAPI_EFAULT;
			u8 *memory = (u8 *)phys_to_virt(HPA(*entry & EPT_ADDR)) + (at & (PAGE_SIZE - 1));

			if (copying && write)
				memcpy(memory, (u8 *)buf + done, part);
			else if (copying)
				memcpy((u8 *)buf + done, memory, part);
			done += part;
		}
	return HYPAPI_OK;
}

const struct hypapp_descriptor *partition_owner(const struct partition *p)
{
	return p->app;
}

int partition_claim(struct partition *p, struct percpu *cpu)
{
	u32 nobody = 0;

	return atomic_compare_exchange_strong(&p->runner, &nobody, cpu->index + 1) ? HYPAPI_OK : HYPAPI_EBUSY;
}

void partition_release(struct partition *p)
{
	atomic_store(&p->runner, 0);
}
