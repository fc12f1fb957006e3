/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * EPT01: L1-physical to host-physical, the same table on every CPU, an identity map less what L1 does not own.
 *
 * Invariants: no leaf leads to root memory, but for stand-ins, read-only. A page that a partition owns is mapped to one
 * of the owner's two, by which it is known whose it is: to INT3 if it is code, so that a copy traps, else to zeros.
 * L1 loses by one function of ept01.c, lose(), while this CPU has the others stopped: ept01_generation grows then, and
 * the flush is owed to that stop. It gains by another one, grant(), at any time under ept01's lock.
 */
#ifndef XMHF_EPT01_H
#define XMHF_EPT01_H

#include "mem/ept.h"

struct ept01_leaf {
	hpa_t hpa;          /* of the byte asked for */
	u32 rights;         /* enum hypapi_rights */
	u8 type;            /* memory type, SDM numbers */
	u8 level;           /* 1, 2, 3: size of the mapping around it, all of it alike */
	u16 owner;          /* 0: L1; else the partition that owns the page (hpa is the stand-in's then) */
	u64 ram;            /* EPT01_RAM, or 0 */
};

extern u64 ept01_generation; /* grows whenever something is lost; read by each CPU after a stop */
extern u64 ept01_pointer;    /* EPTP01 */

/* Host-physical, a row of pages: of owner 1 what code reads as, then what data reads as; of owner 2; ... Constant. */
extern u64 ept01_stand_ins;
extern u32 ept01_owners;

void ept01_init(u32 owners);       /* an empty table, for this many partitions, numbered from 1 */
void ept01_map_all(u64 top);       /* the identity up to `top` and at least 4 GiB; the MTRRs are published */

/*
 * Entry bits that the CPU ignores (SDM vol. 3, "Format of an EPT Page-Table Entry") say that a page is not L1's alone:
 * a partition has claimed or taken it; or a hypapp, whose number they hold, left it to L1 with the entry's rights.
 */
#define EPT01_TAKEN BIT(59)
#define EPT01_HYPAPP BIT(62)
#define EPT01_HYPAPP_SHIFT 52
#define EPT01_MARKS (EPT01_TAKEN | EPT01_HYPAPP | BITS(56, 52))

/*
 * Another ignored bit: L1's memory, and RAM by the memory map of the boot, which L1 cannot change as it can its MTRRs.
 * Root copies from and to no other address that a guest names: the loads and stores of a copy do to a device what no
 * guest could do to it, and a machine check in root ends the machine. EPT02's leaves take the bit over.
 */
#define EPT01_RAM BIT(10)

/* The partition that owns the page of an entry, 0: none. */
static inline u16 ept01_entry_owner(u64 entry)
{
	u64 number = ((entry & EPT_ADDR) - ept01_stand_ins) / PAGE_SIZE / 2;

	return number < ept01_owners ? (u16)(number + 1) : 0;
}

/* The hypapp that restricted the page of an entry, by its place in the chain, plus 1; 0: none. */
static inline u32 ept01_entry_hypapp(u64 entry)
{
	return entry & EPT01_HYPAPP ? (u32)(entry >> EPT01_HYPAPP_SHIFT & 31) : 0;
}

/*
 * For each 2 MiB of RAM, a region, how its entries are found: by the entry of a large leaf, cut to 2 MiB, with some
 * rights; or by the address of a level-1 table; 0: not known yet. Filled by any CPU, emptied under a stop.
 */
extern u64 *ept01_regions, ept01_region_count;
/* Of each region, ept01_generation when something of it was last lost. */
extern u64 *ept01_changed;

/* The level-1 table that is meant by what ept01_regions holds, or NULL. */
static inline u64 *ept01_table_of(u64 found)
{
	return found & EPT_RIGHTS ? NULL : (u64 *)found;
}

/* The level-1 table around gpa1, if it is known to have one. */
static inline u64 *ept01_level1(gpa1_t gpa1)
{
	u64 region = gpa1.addr / SIZE_2M, found = 0;

	if (likely(region < ept01_region_count))
		found = __atomic_load_n(&ept01_regions[region], __ATOMIC_ACQUIRE);

	return ept01_table_of(found);
}

u64 ept01_entry_slow(gpa1_t gpa1);

/*
 * The EPT entry of one 4 KiB page, or what it would be if larger leaves were split; no rights: not mapped. For use at
 * once. Any CPU, no lock.
 */
static inline u64 ept01_entry(gpa1_t gpa1)
{
	u64 region = gpa1.addr / SIZE_2M, found = 0;

	if (likely(region < ept01_region_count))
		found = __atomic_load_n(&ept01_regions[region], __ATOMIC_ACQUIRE);
	if (found & HYPAPI_RWX)
		return found + (gpa1.addr & (SIZE_2M - PAGE_SIZE));
	if (likely(found))
		found = __atomic_load_n(ept01_table_of(found) + ept_index(gpa1.addr, 1), __ATOMIC_ACQUIRE);
	return likely(found & HYPAPI_RWX) ? found : ept01_entry_slow(gpa1);
}

/*
 * The way from an address that a guest named to memory that root may touch: the byte of an entry of EPT01, or NULL.
 * A hypapp's restriction counts for L1, not for root; the caller looks at the rights.
 */
static inline void *ept01_memory(u64 entry, u64 gpa1)
{
	if (unlikely(!(entry & EPT01_RAM)))
		return NULL;
	return phys_to_virt(HPA((entry & EPT_ADDR) | (gpa1 & (PAGE_SIZE - 1))));
}

static inline u16 ept01_owner(gpa1_t gpa1)
{
	return ept01_entry_owner(ept01_entry(gpa1));
}

/*
 * Sets what L1 may do with pages, on behalf of the hypapp `app` (as ept01_entry_hypapp()); all rights give it back. In
 * two steps, with no safe point between them: the check changes nothing that L1 can see. HYPAPI_EPERM: not L1's page to
 * restrict; HYPAPI_ENOMEM: no table page. HYPAPI_ESTATE: rights would be lost, without a stop; nothing is done.
 * HYPAPI_EDMA: done for L1, not for devices.
 */
must_check int ept01_check_restrict(gpa1_t page, u32 app);
must_check int ept01_restrict(gpa1_t page, size_t count, u32 rights, u32 app);

/*
 * Takes pages of RAM from devices alone, or lets devices have what L1 has again. After ept01_check_restrict();
 * answers as ept01_restrict() does.
 */
must_check int ept01_restrict_dma(gpa1_t page, size_t count, bool allowed, u32 app);

/*
 * What L1's address leads to, for whoever remembers it until the next flush of EPT02. Any CPU, no lock. False: nothing
 * (rights are 0). Maps MMIO above RAM on demand; there is nothing from 2^46 on, nor where the CPU has no address bits.
 */
bool ept01_lookup(gpa1_t gpa1, struct ept01_leaf *leaf);

/*
 * For who has remembered memory of L1's and was told to flush EPT02: whether it is RAM that L1 still has with all
 * rights, where it was, by a page of EPT01 no smaller than `level`; it may be remembered on then. In doubt false, as
 * for a device, whose type may be another one. Any CPU, no lock.
 */
bool ept01_still_backs(gpa1_t gpa1, unsigned int level);

/*
 * Where something was lost: by the loss that made ept01_generation g, at [g % EPT01_LOSSES]. Of more than so many, and
 * of a large leaf, nobody can tell: ept01_few_losses() is false then. Grants may be counted, too, without a stop, so
 * who has read what he wants asks again.
 */
#define EPT01_LOSSES 64
extern u64 ept01_losses[EPT01_LOSSES], ept01_large_loss;

static inline bool ept01_few_losses(u64 since)
{
	u64 now = __atomic_load_n(&ept01_generation, __ATOMIC_RELAXED);

	return now - since <= EPT01_LOSSES && ept01_large_loss <= since;
}

/* Who kept what he had remembered of the page's region, beside the page, goes on remembering it. */
void ept01_remember(u64 page);

/* As ept01_lookup(), of one small page, whatever mapping is around it. Rights are 0 where there is nothing. */
static inline struct ept01_leaf ept01_small_leaf(gpa1_t gpa1)
{
	u64 entry = ept01_entry(gpa1);

	ept01_remember(gpa1.addr);
	return (struct ept01_leaf){
		.hpa = HPA((entry & EPT_ADDR) | (gpa1.addr & (PAGE_SIZE - 1))),
		.rights = entry & EPT_RIGHTS,
		.type = (entry & EPT_TYPE) >> EPT_TYPE_SHIFT,
		.level = 1,
		.owner = ept01_entry_owner(entry),
		.ram = entry & EPT01_RAM,
	};
}

/* The same question for many pages of one region: of an entry of its level-1 table, at level 1. */
static inline bool ept01_backs(u64 entry, u64 page)
{
	return (entry & (EPT_ADDR | EPT_RIGHTS | EPT01_MARKS | EPT01_RAM)) == (page | EPT_RIGHTS | EPT01_RAM);
}

/*
 * Where the entries for ept01_backs() are: the level-1 table of gpa1's region, which is remembered from here on.
 * EPT01_UNCHANGED: none of the region's RAM was lost after `since`, a value of ept01_generation. NULL: no region, or it
 * has no table; ept01_still_backs() knows. Any CPU, no lock; the table is good until the next safe point.
 */
#define EPT01_UNCHANGED ((const u64 *)1)
const u64 *ept01_look_again(gpa1_t gpa1, u64 since);

/* A violation may be spurious or a first touch of high MMIO: true if the access is allowed now. */
bool ept01_touch(gpa1_t gpa1, u32 access);

/*
 * Takes pages from L1 for partition `owner`, in two steps: a claim of one page may fail and changes nothing that L1 can
 * see; unclaim undoes it, take carries it out. Under a stop. HYPAPI_EPERM: not RAM that L1 owns with all rights, as
 * write-back memory, or claimed already; HYPAPI_ENOMEM: no table page. A take has ended for devices, too, when it
 * returns; HYPAPI_EDMA: it cannot, and the pages are L1's again.
 * pages: entries of the partition's EPT, of which the address counts, and HYPAPI_X: it is code, which reads as INT3.
 */
must_check int ept01_claim(gpa1_t page);
void ept01_unclaim(const u64 *pages, u32 count);
must_check int ept01_take(u32 owner, const u64 *pages, u32 count);

/*
 * Under a stop, before a partition's pages are taken: what code reads as, INT3, gets a mark of INT3 and INT1 at the end
 * of each page, a number that no other partition has or had. An L1 that merges equal pages (KSM) would else make the
 * code of two partitions one page, and whoever ends the one puts its code into the address space of the other.
 */
void ept01_mark_traps(u32 owner, u64 number);

/* Gives taken pages, `pages` as above, back to L1. Under a stop. */
void ept01_give(const u64 *pages, u32 count);

/*
 * Is this one of the stand-ins for a partition's pages, mapped read-only, or the scratch page? A guest may reach those
 * though they lie in root memory.
 */
bool ept01_is_stand_in(u64 hpa, u32 rights);

/* Memory types changed in [start, end), not empty: recomputes those of the leaves that meet it. Under a stop. */
#define EPT01_EVERYWHERE 0, ~0ull
void ept01_retype(u64 start, u64 end);

/* Access for L1's LAPIC page: read-only, since the core carries out INIT and SIPI. At boot. */
void ept01_set_apic_page(gpa1_t page);

/* L1 finds scratch memory in place of a page of device registers that root keeps for itself. At boot. */
void ept01_hide_page(gpa1_t page);

/* L1 keeps a page to read and to run: stores exit, to power/wake.h. At boot; once more does nothing. */
#define EPT01_MAX_GUARDED 16
void ept01_guard_page(gpa1_t page);
bool ept01_is_guarded(u64 page);

/* Copies from or to L1-physical memory; only RAM that L1 owns, with the rights it has. False: touched nothing. */
must_check bool ept01_read(gpa1_t src, void *dst, size_t len_bytes);
must_check bool ept01_write(gpa1_t dst, const void *src, size_t len_bytes);

#endif
