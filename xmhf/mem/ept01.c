/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See ept01.h. L1's addresses are host-physical ones, so a leaf differs from the identity only for memory that L1 does
 * not own: a partition's page (a stand-in, read-only) and root memory (one scratch page for all of it, with nothing of
 * the core in it, so that a guest that pokes at the reserved range disturbs nobody).
 */
#include "mem/ept01.h"

#include "boot/boot_info.h"
#include "cpu/spinlock.h"
#include "iommu/iommu.h"
#include "lib/string.h"
#include "mem/ept.h"
#include "mem/mtrr.h"
#include "mem/page_copy.h"
#include "mem/pages.h"
#include "mem/phys_bits.h"
#include "report/log.h"
#include "vmx/vmx.h"

/* Another ignored bit, of a taken page: memory types changed while it was away. */
#define RETYPED BIT(11)
/* The same bit of a page that a hypapp has marked: devices have nothing of it, whatever L1 has. */
#define NO_DMA BIT(11)
#define INT3 0xcc
#define INT1 0xf1
#define MARK_BYTES 64

u64 ept01_generation = 1, ept01_pointer, ept01_stand_ins, ept01_losses[EPT01_LOSSES], ept01_large_loss;
u32 ept01_owners;

/* One table, under two names: what L1 itself needs may take the last table pages. */
static struct ept ept01 = { .alloc = page_alloc }, for_l1 = { .alloc = page_alloc_for_l1 };
static struct spinlock ept01_lock; /* whoever maps on demand, outside a stop */
static u64 scratch_page;
static u64 apic_page = ~0ull;
/* L1 may read and run them, and its stores are decoded. Constant after boot. */
static u64 guarded_pages[EPT01_MAX_GUARDED];
static u32 guarded_count;

/*
 * Books of what was mapped at boot, all RAM among it, by 2 MiB: a region. A device above has no books, and is taken for
 * changed and remembered.
 *
 *     ept01_regions   how its entries are found     by whoever looks one up; a split; zeros after a change of types
 *     ept01_changed   when it lost something last   by lose(), which is when ept01_generation grows
 *     remembered      a bit: an EPT02 or VMCS02 may hold some of it, made since its last loss
 *                                                   set by whoever looks a leaf up for one, cleared by lose()
 *     away            how many of its pages are claimed, taken or restricted, for which it has a level-1 table
 */
u64 *ept01_regions, ept01_region_count, *ept01_changed;
static u64 *remembered; /* by any CPU */
static u16 *away;       /* changed under a stop, or under ept01_lock */
static u64 mapped_top;  /* the end of the last region */

/*
 * Of `away`: the region waits for its level-1 table to be made one large leaf again. The next use of the same pages
 * would split it again, so the last ones in the queue go on waiting; what finds no place is split until its next use.
 */
#define WAITS BIT(15)
#define QUEUE_SIZE 1024
#define QUEUE_KEPT 32
static u32 *queue, queue_first, queue_end; /* as `away` */

static u64 address_end; /* the first address that L1 has not: no leaf is made, and none is found, from here on */

static u64 identity(u64 addr, int type)
{
	return addr | EPT_RIGHTS | (u64)type << EPT_TYPE_SHIFT;
}

static u64 *make_at_boot(u64 addr, unsigned int level)
{
	u64 *entry = ept_make(&ept01, addr, level);

	if (!entry)
		panic("no page for EPT01 at boot");
	return entry;
}

/* Maps the identity in [addr, addr + size of level), with the largest pages that have one memory type. */
static void map_identity(u64 addr, unsigned int level, unsigned int max_level)
{
	u64 size = LEVEL_SIZE(level);
	int type = mtrr_type(addr, size), ram = memory_map_is_ram(addr, addr + size);
	bool meets_root = meets_root_memory(addr, addr + size);

	if (meets_root && is_root_memory(addr) && is_root_memory(addr + size - 1))
		return;
	/* A page that is RAM in part only is none. */
	if (type >= 0 && (ram >= 0 || level == 1) && !meets_root && level <= max_level) {
		*make_at_boot(addr, level) = identity(addr, type) | (ram > 0 ? EPT01_RAM : 0) |
					     (level > 1 ? EPT_LARGE : 0);
		return;
	}
	for (u64 at = addr; at < addr + size; at += LEVEL_SIZE(level - 1))
		map_identity(at, level - 1, max_level);
}

static unsigned int largest_level(void)
{
	return vmx_ept_vpid_cap & EPTCAP_1G ? 3 : 2;
}

static u64 stand_in(u32 owner, bool code)
{
	return ept01_stand_ins + (2 * (owner - 1ul) + !code) * PAGE_SIZE;
}

void ept01_init(u32 owners)
{
	ept01.root = for_l1.root = pages_boot_alloc(1);
	ept01_owners = owners;
	ept01_stand_ins = virt_to_phys(pages_boot_alloc(2ul * owners)).addr;
	for (u32 owner = 1; owner <= owners; owner++)
		memset(phys_to_virt(HPA(stand_in(owner, true))), INT3, PAGE_SIZE);
	scratch_page = virt_to_phys(pages_boot_alloc(1)).addr;
	ept01_pointer = ept_pointer(ept01.root);
	address_end = MIN(BIT(46), BIT(phys_bits()));
}

void ept01_map_all(u64 top)
{
	mapped_top = MIN(MAX(ALIGN_UP(top, SIZE_1G), 4 * SIZE_1G), address_end);
	ept01_regions = pages_boot_alloc(mapped_top / SIZE_2M * sizeof(*ept01_regions) / PAGE_SIZE);
	ept01_region_count = mapped_top / SIZE_2M;
	ept01_changed = pages_boot_alloc(ALIGN_UP(ept01_region_count * sizeof(*ept01_changed), PAGE_SIZE) / PAGE_SIZE);
	remembered = pages_boot_alloc(ALIGN_UP(ept01_region_count / 8, PAGE_SIZE) / PAGE_SIZE);
	away = pages_boot_alloc(ALIGN_UP(ept01_region_count * sizeof(*away), PAGE_SIZE) / PAGE_SIZE);
	queue = pages_boot_alloc(QUEUE_SIZE * sizeof(*queue) / PAGE_SIZE);
	for (u64 at = 0; at < mapped_top; at += SIZE_1G)
		map_identity(at, 3, largest_level());
}

static always_inline bool fill_leaf(struct ept01_leaf *leaf, u64 gpa1, u64 entry, u64 offset, u8 level)
{
	leaf->hpa = HPA((entry & EPT_ADDR & ~offset) | (gpa1 & offset));
	leaf->rights = entry & EPT_RIGHTS;
	leaf->type = (entry & EPT_TYPE) >> EPT_TYPE_SHIFT;
	leaf->level = level;
	leaf->owner = ept01_entry_owner(entry);
	leaf->ram = entry & EPT01_RAM;
	return true;
}

/*
 * The leaf for an address, judged and returned as one value: another CPU may split what ept_find() stopped at, and a
 * table's entry must never be taken for a large leaf. An address that does not exist has an empty one: the index of a
 * table knows 48 bits, and would find the leaf of another address.
 */
static u64 load_leaf(u64 addr, u64 **at, unsigned int *level)
{
	static u64 nothing;
	u64 entry;

	*at = &nothing;
	*level = EPT_LEVELS;
	if (unlikely(addr >= address_end))
		return 0;
	do {
		*at = ept_find(&ept01, addr, level);
		entry = __atomic_load_n(*at, __ATOMIC_ACQUIRE);
	} while (unlikely(*level > 1 && !ept_is_leaf(entry)));
	return entry;
}

static inline bool is_remembered(u64 addr)
{
	u64 region = addr / SIZE_2M;

	return __atomic_load_n(&remembered[region / 64], __ATOMIC_RELAXED) & BIT(region % 64);
}

static inline void count_change(u64 addr)
{
	__atomic_store_n(&ept01_changed[addr / SIZE_2M], ept01_generation, __ATOMIC_RELAXED);
}

/* A reader that finds a newer loss in the place of the one it looks for finds a newer generation afterwards. */
static inline void count_loss(u64 addr)
{
	ept01_generation++;
	__atomic_store_n(&ept01_losses[ept01_generation % EPT01_LOSSES], addr, __ATOMIC_RELEASE);
}

/* Counts a loss in a region. Whether any of it may be remembered: the flush that follows drops that, and no more. */
static inline bool region_lost(u64 addr)
{
	if (unlikely(addr >= mapped_top))
		return true;
	count_change(addr);
	bool was = is_remembered(addr);

	if (was)
		remembered[addr / SIZE_2M / 64] &= ~BIT(addr / SIZE_2M % 64);
	return was;
}

/* While this CPU starts no guest has run on any, and nobody has anything to flush. */
static inline void owe_flush(u32 work)
{
	struct quiesce_cpu *quiesce = &this_cpu()->quiesce;

	if (quiesce->online && unlikely(work & ~quiesce->work))
		quiesce_add_work(quiesce, work);
}

static u64 no_dma(u64 entry)
{
	return entry & EPT01_HYPAPP ? entry & NO_DMA : 0;
}

/*
 * Every change of a leaf that L1 can see is stored here. Of L1's RAM devices have the rights that L1 has, and none
 * where a hypapp has taken them from devices alone. Other memory stays theirs: the firmware's devices may use it. The
 * caller has called iommu_prepare() where that may fail, and ends with iommu_flush(), by which devices lose what they
 * have to.
 */
static void set_leaf(u64 addr, unsigned int level, u64 *at, u64 entry)
{
	u64 rights = entry & EPT01_RAM && !no_dma(entry) ? entry & HYPAPI_RW : 0;

	if (((*at | entry) & EPT01_RAM) && !iommu_set(addr, addr + LEVEL_SIZE(level), rights))
		panic("no page for the devices' tables of 0x%lx", addr);
	__atomic_store_n(at, entry, __ATOMIC_RELEASE);
}

/*
 * The door for losses: in a leaf at `level` L1 has another page than before, fewer rights or another memory type. At
 * boot, or under a stop of all, before the page has its new owner; the flush is owed to that stop.
 */
static inline void lose(u64 addr, unsigned int level, u64 *at, u64 entry)
{
	bool known = false;

	set_leaf(addr, level, at, entry);
	count_loss(addr);
	if (level > 1)
		ept01_large_loss = ept01_generation;
	for (u64 i = 0; i < (level > 2 ? LEVEL_SIZE(level) / SIZE_2M : 1); i++)
		known |= region_lost(addr + i * SIZE_2M);
	owe_flush(known ? QUIESCE_FLUSH_EPT | QUIESCE_FLUSH_EPT02 : QUIESCE_FLUSH_EPT);
}

/* The door for grants: more rights to the same page. With ept01_lock held; nobody has to forget anything. */
static void grant(u64 addr, unsigned int level, u64 *at, u64 entry)
{
	set_leaf(addr, level, at, entry);
}

/* The same where there was no leaf yet. False: no table page is free. */
static bool grant_new(u64 addr, unsigned int level, u64 entry)
{
	u64 *at = ept_make(&for_l1, addr, level);

	if (at)
		grant(addr, level, at, entry);
	return at;
}

/* The leaf at gpa1 goes to a caller that may remember it. */
static inline void will_be_remembered(u64 gpa1, unsigned int level)
{
	u64 region = gpa1 / SIZE_2M;

	if (region >= ept01_region_count)
		return; /* no RAM there to be taken */
	if (unlikely(level > 2))
		for (u64 i = ALIGN_DOWN(region, SIZE_1G / SIZE_2M) / 64, end = i + SIZE_1G / SIZE_2M / 64; i < end; i++)
			__atomic_store_n(&remembered[i], ~0ull, __ATOMIC_RELAXED);
	else if (!is_remembered(gpa1))
		__atomic_fetch_or(&remembered[region / 64], BIT(region % 64), __ATOMIC_RELAXED);
}

void ept01_remember(u64 page)
{
	will_be_remembered(page, 1);
}

bool ept01_lookup(gpa1_t gpa1, struct ept01_leaf *leaf)
{
	u64 *table = ept01_level1(gpa1);
	unsigned int level;
	u64 entry, *at;

	if (table) {
		entry = __atomic_load_n(&table[ept_index(gpa1.addr, 1)], __ATOMIC_ACQUIRE);
		if (likely(entry & EPT_RIGHTS)) {
			will_be_remembered(gpa1.addr, 1);
			return fill_leaf(leaf, gpa1.addr, entry, PAGE_SIZE - 1, 1);
		}
	}
	entry = load_leaf(gpa1.addr, &at, &level);
	if (unlikely(!(entry & EPT_RIGHTS))) {
		if (!ept01_touch(gpa1, 0))
			return leaf->rights = 0, leaf->owner = 0, false;
		entry = load_leaf(gpa1.addr, &at, &level);
	}
	will_be_remembered(gpa1.addr, level);
	if (likely(level == 2))
		return fill_leaf(leaf, gpa1.addr, entry, SIZE_2M - 1, 2);
	return fill_leaf(leaf, gpa1.addr, entry, LEVEL_SIZE(level) - 1, (u8)level);
}

u64 ept01_entry_slow(gpa1_t gpa1)
{
	unsigned int level;
	u64 *at, entry = load_leaf(gpa1.addr, &at, &level), found, empty = 0;

	if (!(entry & EPT_RIGHTS)) {
		if (!ept01_touch(gpa1, 0))
			return entry & (EPT01_MARKS | EPT01_RAM); /* what a hypapp allows nothing on, if any */
		entry = load_leaf(gpa1.addr, &at, &level);
	}
	if (level == 1)
		found = ALIGN_DOWN((u64)at, PAGE_SIZE);
	else
		found = (entry & ~EPT_LARGE) + (ALIGN_DOWN(gpa1.addr, SIZE_2M) & (LEVEL_SIZE(level) - 1));
	/* Never in place of a table that another CPU has just made by a split. */
	if (gpa1.addr / SIZE_2M < ept01_region_count)
		(void)!__atomic_compare_exchange_n(&ept01_regions[gpa1.addr / SIZE_2M], &empty, found, false,
						   __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
	return level == 1 ? entry : found + (gpa1.addr & (SIZE_2M - PAGE_SIZE));
}

bool ept01_still_backs(gpa1_t gpa1, unsigned int level)
{
	u64 region = gpa1.addr / SIZE_2M, entry;

	if (unlikely(region >= ept01_region_count || level > 2))
		return false;
	entry = ept01_entry(gpa1);
	if (!ept01_backs(entry, gpa1.addr))
		return false;
	if (level == 2 && !(__atomic_load_n(&ept01_regions[region], __ATOMIC_ACQUIRE) & EPT_RIGHTS))
		return false;
	will_be_remembered(gpa1.addr, level);
	return true;
}

const u64 *ept01_look_again(gpa1_t gpa1, u64 since)
{
	u64 region = gpa1.addr / SIZE_2M;

	if (unlikely(region >= ept01_region_count))
		return NULL;
	if (likely(__atomic_load_n(&ept01_changed[region], __ATOMIC_RELAXED) <= since))
		return EPT01_UNCHANGED;
	const u64 *table = ept01_level1(gpa1);

	if (table)
		will_be_remembered(gpa1.addr, 1);
	return table;
}

/*
 * What an address that has no leaf yet leads to: scratch for root memory, a device otherwise, by a leaf no larger than
 * the hole.
 */
static bool map_on_demand(u64 addr, unsigned int hole)
{
	unsigned int level = MAX(MIN(hole, largest_level()), 2u);

	if (is_root_memory(addr))
		return grant_new(ALIGN_DOWN(addr, PAGE_SIZE), 1, scratch_page | HYPAPI_RW | EPT_WB);
	if (level == 3 && mtrr_type(ALIGN_DOWN(addr, SIZE_1G), SIZE_1G) < 0)
		level = 2;
	addr = ALIGN_DOWN(addr, LEVEL_SIZE(level));
	int type = mtrr_type(addr, LEVEL_SIZE(level));

	return grant_new(addr, level, identity(addr, type < 0 ? 0 : type) | EPT_LARGE);
}

bool ept01_touch(gpa1_t gpa1, u32 access)
{
	unsigned int level;
	u64 *at, entry = load_leaf(gpa1.addr, &at, &level);

	if (unlikely(!(entry & EPT_RIGHTS)) && gpa1.addr < address_end) {
		spin_lock(&ept01_lock);
		entry = *ept_find(&ept01, gpa1.addr, &level);
		if (!(entry & (EPT_RIGHTS | EPT01_MARKS)) && map_on_demand(gpa1.addr, level))
			entry = *ept_find(&ept01, gpa1.addr, &level);
		spin_unlock(&ept01_lock);
	}
	return (entry & EPT_RIGHTS) && (entry & access) == access;
}

bool ept01_is_stand_in(u64 hpa, u32 rights)
{
	return (hpa - ept01_stand_ins < 2 * ept01_owners * PAGE_SIZE && rights == HYPAPI_R) ||
	       (hpa == scratch_page && !(rights & HYPAPI_X));
}

/* The level-1 table around a page of RAM, made and put in the index. */
static __attribute__((noinline)) u64 *split_for(u64 addr)
{
	u64 *table = ept_make(&ept01, ALIGN_DOWN(addr, SIZE_2M), 1);

	if (table)
		__atomic_store_n(&ept01_regions[addr / SIZE_2M], (u64)table, __ATOMIC_RELEASE);
	return table;
}

/* The level-1 entry of a page of RAM. NULL: no table page is free. */
static always_inline u64 *level1_entry(u64 addr)
{
	u64 *table = ept01_level1(GPA1(addr));

	if (unlikely(!table))
		table = split_for(addr);
	return likely(table) ? &table[ept_index(addr, 1)] : NULL;
}

int ept01_claim(gpa1_t page)
{
	/* RAM is all mapped at boot, so that it has a place in ept01_regions. */
	if (page.addr >= mapped_top || ept01_entry(page) != (identity(page.addr, MTRR_WB) | EPT01_RAM))
		return HYPAPI_EPERM;
	u64 *entry = level1_entry(page.addr);

	if (!entry || !iommu_prepare(page.addr))
		return HYPAPI_ENOMEM;
	__atomic_store_n(entry, *entry | EPT01_TAKEN, __ATOMIC_RELEASE);
	away[page.addr / SIZE_2M]++;
	return HYPAPI_OK;
}

/*
 * A page of the region is the identity again; with the last one its table waits to be merged, which happens when pages
 * come back from a partition.
 */
static void page_is_back(u64 addr)
{
	u32 region = (u32)(addr / SIZE_2M);

	if (--away[region] || queue_end - queue_first == QUEUE_SIZE)
		return;
	away[region] = WAITS;
	queue[queue_end++ % QUEUE_SIZE] = region;
}

/*
 * If a region's level-1 table maps one identity, makes it a large leaf and gives the table back. Under a stop: no walk
 * of ours is under way then, and before guests run again every CPU must forget where the table was.
 */
static void merge(u32 region)
{
	u64 addr = region * SIZE_2M, first;
	unsigned int level;
	u64 *table = ept_find(&ept01, addr, &level);

	if (level != 1)
		return;
	first = table[0];
	if ((first & (EPT_ADDR | EPT_RIGHTS | EPT01_MARKS | RETYPED)) != (addr | EPT_RIGHTS))
		return;
	for (u64 i = 1; i < 512; i++)
		if (table[i] != first + i * PAGE_SIZE)
			return;
	__atomic_store_n(ept_make(&ept01, addr, 2), first | EPT_LARGE, __ATOMIC_RELEASE);
	__atomic_store_n(&ept01_regions[region], first, __ATOMIC_RELEASE);
	memset(table, 0, PAGE_SIZE);
	page_free(table);
	owe_flush(QUIESCE_FLUSH_EPT);
}

static void merge_waiting(void)
{
	while (queue_end - queue_first > QUEUE_KEPT) {
		u32 region = queue[queue_first++ % QUEUE_SIZE];

		away[region] &= (u16)~WAITS;
		if (!away[region])
			merge(region);
	}
}

void ept01_unclaim(const u64 *pages, u32 count)
{
	for (u32 i = 0; i < count; i++) {
		u64 addr = pages[i] & EPT_ADDR, *entry = level1_entry(addr);

		set_leaf(addr, 1, entry, *entry & ~EPT01_TAKEN);
		page_is_back(addr);
	}
	merge_waiting();
}

void ept01_mark_traps(u32 owner, u64 number)
{
	u8 *mark = (u8 *)phys_to_virt(HPA(stand_in(owner, true))) + PAGE_SIZE - MARK_BYTES;

	/* Numbers grow, so above its highest bit there was INT3 always. */
	for (; number; number >>= 1)
		*mark++ = number & 1 ? INT1 : INT3;
}

int ept01_take(u32 owner, const u64 *pages, u32 count)
{
	for (u32 i = 0; i < count; i++) {
		u64 addr = pages[i] & EPT_ADDR, page = stand_in(owner, pages[i] & HYPAPI_X);

		lose(addr, 1, level1_entry(addr), page | HYPAPI_R | EPT_WB | EPT01_TAKEN);
	}
	if (iommu_flush())
		return HYPAPI_OK;
	ept01_give(pages, count);
	return HYPAPI_EDMA;
}

void ept01_give(const u64 *pages, u32 count)
{
	for (u32 i = 0; i < count; i++) {
		u64 addr = pages[i] & EPT_ADDR, *entry = level1_entry(addr);
		/* It was write-back memory when it was taken. */
		int type = *entry & RETYPED ? mtrr_type(addr, PAGE_SIZE) : MTRR_WB;

		/* A loss, too: of the stand-in, which a CPU may remember and would go on reading. */
		lose(addr, 1, entry, identity(addr, type) | EPT01_RAM);
		page_is_back(addr);
	}
	(void)!iommu_flush(); /* a device that is kept out longer takes nothing from anybody */
	merge_waiting();
}

bool ept01_is_guarded(u64 page)
{
	for (u32 i = 0; i < guarded_count; i++)
		if (page == guarded_pages[i])
			return true;
	return false;
}

int ept01_check_restrict(gpa1_t page, u32 app)
{
	u64 entry = ept01_entry(page);
	u32 by = ept01_entry_hypapp(entry);

	if (page.addr >= mapped_top || page.addr == apic_page || ept01_is_guarded(page.addr) ||
	    is_root_memory(page.addr) || (entry & EPT_ADDR) == scratch_page || (by && by != app) ||
	    (entry & EPT01_TAKEN))
		return HYPAPI_EPERM;
	spin_lock(&ept01_lock);
	bool ok = level1_entry(page.addr) && (!(entry & EPT01_RAM) || iommu_prepare(page.addr));

	spin_unlock(&ept01_lock);
	return ok ? HYPAPI_OK : HYPAPI_ENOMEM;
}

static void restrict_page(u64 addr, u64 *own, u64 rights, u64 no_dma, u32 app)
{
	u64 all = identity(addr, mtrr_type(addr, PAGE_SIZE)) | (*own & EPT01_RAM);
	u64 entry = (all & ~EPT_RIGHTS) | rights | no_dma | EPT01_HYPAPP | (u64)app << EPT01_HYPAPP_SHIFT;
	bool was = *own & EPT01_HYPAPP;

	if (rights == HYPAPI_RWX && !no_dma)
		entry = all;
	else if (!rights) /* no address of RAM in an entry that is not present: L1TF */
		entry &= ~EPT_ADDR;
	if (*own & EPT_RIGHTS & ~rights) {
		lose(addr, 1, own, entry);
	} else {
		grant(addr, 1, own, entry);
		/* What was out of reach, L1's virtual-APIC page say, is looked for again. */
		count_loss(addr);
		count_change(addr);
	}
	if (!was && (entry & EPT01_HYPAPP))
		away[addr / SIZE_2M]++;
	else if (was && !(entry & EPT01_HYPAPP))
		page_is_back(addr);
}

/* What an entry shall say of rights and NO_DMA: what `keep` has of them stays, and `set` is there beside it. */
static u64 restricted(u64 entry, u64 keep, u64 set)
{
	return (((entry & EPT_RIGHTS) | no_dma(entry)) & keep) | set;
}

/* With ept01_lock held. While this CPU starts no guest has run on any. */
static bool may_restrict(u64 addr, size_t count, u64 keep, u64 set)
{
	const struct quiesce_cpu *quiesce = &this_cpu()->quiesce;
	u64 taken = 0;

	for (size_t i = 0; i < count; i++) {
		u64 entry = *level1_entry(addr + i * PAGE_SIZE), now = restricted(entry, keep, set);

		taken |= (entry & EPT_RIGHTS & ~now) | (now & NO_DMA & ~no_dma(entry));
	}
	return !taken || !quiesce->online || quiesce_owned(quiesce);
}

static int restrict_pages(u64 addr, size_t count, u64 keep, u64 set, u32 app)
{
	int error = HYPAPI_ESTATE;

	spin_lock(&ept01_lock);
	if (may_restrict(addr, count, keep, set)) {
		for (size_t i = 0; i < count; i++) {
			u64 *own = level1_entry(addr + i * PAGE_SIZE), now = restricted(*own, keep, set);

			restrict_page(addr + i * PAGE_SIZE, own, now & EPT_RIGHTS, now & NO_DMA, app);
		}
		error = iommu_flush() ? HYPAPI_OK : HYPAPI_EDMA;
	}
	spin_unlock(&ept01_lock);
	return error;
}

int ept01_restrict(gpa1_t page, size_t count, u32 rights, u32 app)
{
	return restrict_pages(page.addr, count, NO_DMA, rights, app);
}

int ept01_restrict_dma(gpa1_t page, size_t count, bool allowed, u32 app)
{
	return restrict_pages(page.addr, count, EPT_RIGHTS, allowed ? 0 : NO_DMA, app);
}

/* At boot: of its entry a page keeps `keep`, and has `set` beside it. */
static void lose_at_boot(u64 page, u64 keep, u64 set)
{
	u64 *entry = make_at_boot(page, 1);

	lose(page, 1, entry, (*entry & keep) | set);
	if (page < mapped_top)
		ept01_regions[page / SIZE_2M] = 0;
}

void ept01_set_apic_page(gpa1_t page)
{
	apic_page = page.addr;
	lose_at_boot(page.addr, 0, page.addr | HYPAPI_R);
}

void ept01_hide_page(gpa1_t page)
{
	if (ept01_touch(page, 0)) /* else it lies beyond the addresses that L1 has */
		lose_at_boot(page.addr, 0, scratch_page | HYPAPI_RW | EPT_WB);
}

void ept01_guard_page(gpa1_t page)
{
	if (ept01_is_guarded(page.addr))
		return;
	if (guarded_count == EPT01_MAX_GUARDED)
		panic("more than %u pages are to be guarded", EPT01_MAX_GUARDED);
	guarded_pages[guarded_count++] = page.addr;
	lose_at_boot(page.addr, ~(u64)HYPAPI_W, 0);
}

/* Of the table that maps from `base` on, what lies in [start, end). */
static void retype_table(u64 *table, unsigned int level, u64 base, u64 start, u64 end)
{
	unsigned int shift = LEVEL_SHIFT(level);
	u64 first = start > base ? (start - base) >> shift : 0, last = MIN((end - 1 - base) >> shift, 511ul);

	for (u64 i = first; i <= last; i++) {
		u64 at = base + i * LEVEL_SIZE(level), entry = table[i];

		if (!(entry & EPT_RIGHTS) || at == apic_page)
			continue;
		if (entry & EPT01_TAKEN) {
			table[i] = entry | RETYPED;
			continue;
		}
		if (level > 1 && !(entry & EPT_LARGE)) {
			retype_table(phys_to_virt(HPA(entry & EPT_ADDR)), level - 1, at, start, end);
			/* Split for types that are one again. */
			if (level == 2 && at < mapped_top && !(away[at / SIZE_2M] & ~WAITS))
				merge((u32)(at / SIZE_2M));
			continue;
		}
		int type = mtrr_type(at, LEVEL_SIZE(level));

		/* A split that finds no page leaves the range uncached: slow, and right. */
		if (type < 0 && level > 1 && ept_make(&for_l1, at, level - 1)) {
			retype_table(phys_to_virt(HPA(table[i] & EPT_ADDR)), level - 1, at, start, end);
			continue;
		}
		u64 new = (entry & ~EPT_TYPE) | (u64)(type < 0 ? 0 : type) << EPT_TYPE_SHIFT;

		if (new != entry)
			lose(at, level, &table[i], new);
	}
}

void ept01_retype(u64 start, u64 end)
{
	/* What is found by a leaf of 1 GiB, which may have been split. */
	u64 first = MIN(start / SIZE_1G * (SIZE_1G / SIZE_2M), ept01_region_count);
	u64 last = MIN(((end - 1) / SIZE_1G + 1) * (SIZE_1G / SIZE_2M), ept01_region_count);

	retype_table(ept01.root, EPT_LEVELS, 0, start, end);
	memset(ept01_regions + first, 0, (last - first) * sizeof(*ept01_regions));
}

static bool copy(gpa1_t gpa1, void *buf, size_t len, bool write)
{
	u32 needed = write ? HYPAPI_W : HYPAPI_R;
	struct ept01_leaf leaf;

	for_each_page_part(done, part, gpa1.addr, len) {
		if (!ept01_lookup(GPA1(gpa1.addr + done), &leaf) || (leaf.rights & needed) != needed || !leaf.ram)
			return false;
		copy_part(phys_to_virt(leaf.hpa), (u8 *)buf + done, part, write);
	}
	return true;
}

bool ept01_read(gpa1_t src, void *dst, size_t len)
{
	return copy(src, dst, len, false);
}

bool ept01_write(gpa1_t dst, const void *src, size_t len)
{
	return copy(dst, (void *)src, len, true);
}
