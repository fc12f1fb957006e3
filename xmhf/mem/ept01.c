/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See ept01.h. L1's addresses are host-physical ones, so a leaf differs from the identity only for memory that L1 does
 * not own: a partition's page (zero page, read-only, owner in ignored bits) and root memory (one scratch page for all of
 * it, with nothing of the core in it, so that a guest that pokes at the reserved range disturbs nobody).
 */
#include "mem/ept01.h"

#include "core/log.h"
#include "cpu/spinlock.h"
#include "lib/string.h"
#include "mem/ept.h"
#include "mem/mtrr.h"
#include "mem/pages.h"

/* Owner of a page in EPT entry bits that the CPU ignores: 56:52 and 59, 62 (SDM vol. 3, "Format of an EPT Page-Table Entry"). */
#define OWNER_LOW_SHIFT 52
#define OWNER_BITS (BITS(56, 52) | BIT(59) | BIT(62))

u64 ept01_generation = 1, ept01_pointer;

static struct ept ept01 = { .alloc = page_alloc };
static struct spinlock ept01_lock; /* whoever writes an entry outside a stop */
static u64 zero_page, scratch_page;
static u64 apic_page = ~0ull;
static u64 mapped_top; /* what was mapped at boot; retype stops there */

static u64 owner_encode(u8 owner)
{
	return (u64)(owner & 31) << OWNER_LOW_SHIFT | (owner & 32 ? BIT(59) : 0) | (owner & 64 ? BIT(62) : 0);
}

static u8 owner_decode(u64 entry)
{
	return (u8)((entry >> OWNER_LOW_SHIFT & 31) | (entry & BIT(59) ? 32 : 0) | (entry & BIT(62) ? 64 : 0));
}

static u64 identity(u64 addr, int type)
{
	return addr | EPT_RIGHTS | (u64)type << EPT_TYPE_SHIFT;
}

/* Maps or re-types the identity in [addr, addr + size of level), with the largest pages that have one memory type. */
static void map_identity(u64 addr, unsigned int level, unsigned int max_level)
{
	u64 size = EPT_LEVEL_SIZE(level);
	int type = mtrr_type(addr, size);
	bool meets_root = addr < root_end && root_start < addr + size;

	if (meets_root && addr >= root_start && addr + size <= root_end)
		return;
	if (type >= 0 && !meets_root && level <= max_level) {
		if (!ept_set(&ept01, addr, level, identity(addr, type)))
			panic("no page for EPT01 at boot");
		return;
	}
	for (u64 at = addr; at < addr + size; at += EPT_LEVEL_SIZE(level - 1))
		map_identity(at, level - 1, max_level);
}

static unsigned int largest_level(void)
{
	extern u64 vmx_ept_vpid_cap;

	return vmx_ept_vpid_cap & BIT(17) ? 3 : 2;
}

void ept01_init(void)
{
	ept01.root = pages_boot_alloc(1);
	zero_page = virt_to_phys(pages_boot_alloc(1)).addr;
	scratch_page = virt_to_phys(pages_boot_alloc(1)).addr;
	ept01_pointer = ept_pointer(&ept01);
}

void ept01_map_all(u64 top)
{
	mapped_top = MAX(ALIGN_UP(top, SIZE_1G), 4 * SIZE_1G);
	for (u64 at = 0; at < mapped_top; at += SIZE_1G)
		map_identity(at, 3, largest_level());
}

bool ept01_lookup(gpa1_t gpa1, struct ept01_leaf *leaf)
{
	unsigned int level;
	u64 entry = __atomic_load_n(ept_find(&ept01, gpa1.addr, &level), __ATOMIC_ACQUIRE);

	if (!(entry & EPT_RIGHTS)) {
		if (!ept01_touch(gpa1, 0))
			return leaf->rights = 0, false;
		entry = *ept_find(&ept01, gpa1.addr, &level);
	}
	u64 offset = EPT_LEVEL_SIZE(level) - 1;

	leaf->hpa = HPA((entry & EPT_ADDR & ~offset) | (gpa1.addr & offset));
	leaf->rights = entry & EPT_RIGHTS;
	leaf->type = (entry & EPT_TYPE) >> EPT_TYPE_SHIFT;
	leaf->level = (u8)level;
	leaf->owner = owner_decode(entry);
	return true;
}

/* What an address that has no leaf yet leads to: scratch for root memory, a device otherwise. */
static bool map_on_demand(u64 addr)
{
	if (is_root_memory(addr))
		return ept_set(&ept01, ALIGN_DOWN(addr, PAGE_SIZE), 1, scratch_page | HYPAPI_RW | 6 << EPT_TYPE_SHIFT);
	if (addr >= BIT(46))
		return false;
	addr = ALIGN_DOWN(addr, SIZE_2M);
	int type = mtrr_type(addr, SIZE_2M);

	return ept_set(&ept01, addr, 2, identity(addr, type < 0 ? 0 : type));
}

bool ept01_touch(gpa1_t gpa1, u32 access)
{
	unsigned int level;
	bool allowed;

	spin_lock(&ept01_lock);
	u64 entry = *ept_find(&ept01, gpa1.addr, &level);

	if (!(entry & EPT_RIGHTS) && map_on_demand(gpa1.addr))
		entry = *ept_find(&ept01, gpa1.addr, &level);
	allowed = (entry & EPT_RIGHTS) && (entry & access) == access;
	spin_unlock(&ept01_lock);
	return allowed;
}

bool ept01_is_stand_in(u64 hpa, u32 rights)
{
	return (hpa == zero_page && rights == HYPAPI_R) || (hpa == scratch_page && !(rights & HYPAPI_X));
}

bool ept01_prepare_take(gpa1_t page)
{
	spin_lock(&ept01_lock);
	bool ok = ept_make(&ept01, page.addr, 1);

	spin_unlock(&ept01_lock);
	return ok;
}

static void set_prepared(u64 addr, u64 entry)
{
	if (!ept_set(&ept01, addr, 1, entry))
		panic("EPT01 was not prepared for 0x%lx", addr);
}

void ept01_take(gpa1_t page, u8 owner)
{
	set_prepared(page.addr, zero_page | HYPAPI_R | 6 << EPT_TYPE_SHIFT | owner_encode(owner));
	ept01_generation++;
}

void ept01_give(gpa1_t page)
{
	int type = mtrr_type(page.addr, PAGE_SIZE);

	spin_lock(&ept01_lock);
	set_prepared(page.addr, identity(page.addr, type < 0 ? 0 : type));
	spin_unlock(&ept01_lock);
	ept01_generation++;
}

void ept01_set_apic_page(gpa1_t page)
{
	apic_page = page.addr;
	if (!ept_set(&ept01, page.addr, 1, page.addr | HYPAPI_R))
		panic("no page for EPT01 at boot");
}

static void retype_table(u64 *table, unsigned int level, u64 base)
{
	for (unsigned int i = 0; i < 512; i++) {
		u64 at = base + i * EPT_LEVEL_SIZE(level), entry = table[i];
		int type;

		if (!(entry & EPT_RIGHTS) || at == apic_page || owner_decode(entry))
			continue;
		if (level > 1 && !(entry & EPT_LARGE)) {
			retype_table(phys_to_virt(HPA(entry & EPT_ADDR)), level - 1, at);
			continue;
		}
		type = mtrr_type(at, EPT_LEVEL_SIZE(level));
		/* A split that finds no page leaves the range uncached: slow, and right. */
		if (type < 0 && level > 1 && ept_make(&ept01, at, level - 1)) {
			retype_table(phys_to_virt(HPA(table[i] & EPT_ADDR)), level - 1, at);
			continue;
		}
		table[i] = (entry & ~EPT_TYPE) | (u64)(type < 0 ? 0 : type) << EPT_TYPE_SHIFT;
	}
}

void ept01_retype(void)
{
	retype_table(ept01.root, EPT_LEVELS, 0);
	ept01_generation++;
}

static bool copy(gpa1_t gpa1, void *buf, size_t len, bool write)
{
	u32 needed = write ? HYPAPI_W : HYPAPI_R;

	for (size_t done = 0; done < len;) {
		gpa1_t at = GPA1(gpa1.addr + done);
		size_t part = MIN(len - done, PAGE_SIZE - (at.addr & (PAGE_SIZE - 1)));
		struct ept01_leaf leaf;

		if (!ept01_lookup(at, &leaf) || (leaf.rights & needed) != needed || leaf.owner ||
		    leaf.hpa.addr >= direct_map_end)
			return false;
		if (write)
			memcpy(phys_to_virt(leaf.hpa), (u8 *)buf + done, part);
		else
			memcpy((u8 *)buf + done, phys_to_virt(leaf.hpa), part);
		done += part;
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
