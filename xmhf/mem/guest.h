/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Guest memory by linear address: a walk of the guest's page tables at the level that runs (L1 or L2), in every paging
 * mode. A copy to a page sets the accessed and dirty bits of its leaf first, and those of EPT12; a page that seems
 * clean would be thrown away when it is swapped or migrated. A copy from memory sets none. Reads memory only through
 * EPT01 or EPT02, so that no address of a guest's choosing reaches root memory or a partition.
 */
#ifndef XMHF_GUEST_H
#define XMHF_GUEST_H

#include "cpu/paging.h"
#include "cpu/percpu.h"
#include "mem/ept01.h"
#include "vmx/vmx_insn.h"

struct guest_page {
	hpa_t hpa;
	gpa1_t gpa1;
	gpa2_t gpa2;  /* in RUN_L2 only */
	u32 rights;   /* what page tables, EPT12 and EPT01 all allow at this privilege */
	void *memory; /* of hpa, as root sees it; NULL: not RAM, or not the guest's */
	bool fleeting; /* EPT12's accessed flags are in use and not all set: no cache has it */
	bool clean;   /* EPT12 may have a dirty flag for it that is not set */
	bool watched; /* EPT12 does not let L2 write it, whosever it is */
};

enum guest_access_result {
	GUEST_OK,
	GUEST_PAGE_FAULT,  /* error_code and gva say what to inject */
	/*
	 * The page tables allow it, but the memory is not the guest's (EPT12, EPT01, a partition); to a copy, no RAM.
	 */
	GUEST_NOT_OWNED,
};

struct guest_fault {
	gva_t gva;
	u32 error_code; /* of a #PF */
};

/* What the guest gets for an access that failed: that #PF, or #GP where the memory is not its own. */
void guest_raise(struct percpu *cpu, enum guest_access_result result, const struct guest_fault *fault);

/*
 * Accesses in a row: paging mode and privilege of the guest, and the tables of the last walk, if there was one. Good
 * for as long as no guest runs on this CPU and guest_walk_stamp() is the same.
 */
struct guest_walk {
	struct percpu *cpu;
	u64 cr4, efer;
	u64 nx;         /* the execute-disable bit, if it counts */
	u64 unusual;    /* of entries of 64 bits: what is reserved in all, and PTE_LARGE, by which more is */
	u32 cpl;
	bool fleeting;  /* a page was, since the beginning, or a table for which a CPU's walk would set a flag */
	u32 pkru;       /* 0: no protection key takes anything */
	u32 levels;     /* 0: paging off */
	u32 level;      /* of the last table, 0 if the last leaf was a page of 4 KiB */
	u64 gva;        /* the last address */
	u64 pdpte[4];   /* of PAE paging */
	struct {
		const void *table; /* in the core's memory; NULL at the top: no walk yet, or the guest cannot read */
		u64 gpa;           /* of the table: at the top, and in RUN_L2 */
		u64 refused;       /* collected on the way to it */
		u64 entry;         /* of it, on the way to `gva` */
	} at[5];        /* tables of the last walk, from the top down to `level` */
};

void guest_walk_begin(struct guest_walk *w, struct percpu *cpu, u32 cpl);

/* What some entry on the way of the last walk does not give: PTE_W, PTE_U; and PTE_NX. */
static inline u64 guest_walk_refused(const struct guest_walk *w)
{
	return w->at[w->level].refused | (w->at[w->level].entry ^ (PTE_W | PTE_U));
}

/*
 * Never 0. The same while walks stay good: no stop of this CPU's or another's came between, L1 lost nothing, and the
 * mode is the same. All these numbers but the mode only grow.
 */
static inline u32 guest_walk_stamp(const struct percpu *cpu)
{
	u64 changes = cpu->quiesce.count.served + cpu->quiesce.epoch +
		      __atomic_load_n(&ept01_generation, __ATOMIC_RELAXED);

	return (u32)(changes * RUN_MODE_COUNT + cpu->world->mode) | (u32)BIT(31);
}

/* One page, for an access at the guest's privilege. rights: what is wanted (enum hypapi_rights). fault: may be NULL. */
enum guest_access_result guest_walk_page(struct guest_walk *w, gva_t gva, u32 rights, struct guest_page *page,
					 struct guest_fault *fault);

/* What a walk in L2 did not get: the page, or a table on the way, which is read. */
struct guest_miss {
	gpa2_t gpa2;
	u32 rights;
	bool table;
	bool log; /* flags are to be set for it, and L1's page-modification log is full */
};

/* Where a walk for this access ends that came to GUEST_NOT_OWNED in L2. False: the page tables have changed. */
bool guest_walk_missed(struct guest_walk *w, gva_t gva, u32 rights, struct guest_miss *miss);

/* A page of the guest's physical memory, whatever maps it; false: there is none. `rights`: of EPT12 and EPT01. */
bool guest_physical_page(struct percpu *cpu, u64 gpa, struct guest_page *page);

/*
 * The way on which a walk found that an address leads to a page and may be read, to be asked again for less: it still
 * does where the same tables have the same entries. Where a table of L2 lies is EPT12's to say, so, as in the CPU's
 * caches, the way is known until L1 executes INVEPT, or L2 has a violation; and none is known for which a flag of EPT12
 * was to be set. Once L1 has lost a page, no entry is read: a table may be a partition's by now, and even whether a
 * word there equals an entry is not the guest's to know.
 */
struct guest_path {
	u64 gva;     /* of the page */
	u64 generation; /* ept01_generation as of the walk: no stop comes between its comparison and the entries */
	u64 ept;     /* as quiesce_use() */
	u64 ept12_changes; /* with `cpu`: of its percpu, unless `ept` is QUIESCE_EPT01 */
	u64 top;     /* physical address of the first table */
	u64 cr4, efer;
	u32 cpu, cpl, pkru;
	u32 levels;  /* as of the walk; GUEST_NO_PATH: none is known */
	const u64 *at[5];  /* where the way has no table, a word that stays 0 */
	u64 entry[5];
};
#define GUEST_NO_PATH 0xffu

/* The last walk of `w` was to path->gva, and it may be read. False: no path is known. */
bool guest_path_record(struct guest_path *path, const struct guest_walk *w);

/*
 * Whether the tables on the way are L1's still, and have the entries that they had, in all bits but these; that it
 * begins at the same one is for the caller.
 */
static always_inline bool guest_path_is_same(const struct guest_path *path, u64 ignored)
{
	u64 changed = 0;

	if (unlikely(path->generation != __atomic_load_n(&ept01_generation, __ATOMIC_RELAXED)))
		return false;
#pragma GCC unroll 5
	for (u32 at = 0; at < ARRAY_SIZE(path->at); at++)
		changed |= __atomic_load_n(path->at[at], __ATOMIC_RELAXED) ^ path->entry[at];
	return likely(!(changed & ~ignored));
}

/* Whether the guest of `w`, with its privilege, still comes to the page of a path, and may read it. */
static inline bool guest_path_holds(const struct guest_path *path, const struct guest_walk *w)
{
	u64 other;

	if (unlikely(path->levels != w->levels))
		return false;
	other = (path->top ^ w->at[w->levels - 1].gpa) | (path->cr4 ^ w->cr4) | (path->efer ^ w->efer) |
		(path->cpl ^ w->cpl) | (path->pkru ^ w->pkru) |
		(path->ept ^ atomic_load_explicit(&w->cpu->quiesce.using, memory_order_relaxed));
	if (path->ept != QUIESCE_EPT01)
		other |= (path->ept12_changes ^ w->cpu->ept12_changes) | (path->cpu ^ w->cpu->index);
	return likely(!other) && guest_path_is_same(path, PTE_A | PTE_D);
}

/*
 * Memory that the core reached for a guest, and that it reaches again without a walk: while the way still holds and L1
 * has lost no page since, the page is in the same memory. Nothing has to forget it. Owner: a CPU.
 */
struct guest_kept {
	struct guest_path path;
	u8 *memory; /* of the page; NULL: no way is known */
};

/* The last walk of `w` was to this page, and it may be read. memory: of it; NULL: only which page it was is kept. */
void guest_keep(struct guest_kept *kept, const struct guest_walk *w, u64 page, void *memory);

/*
 * The same question where L1 runs with paging of 64 bits, and no walk has begun: with as few VMREADs as it takes.
 * Privilege and EFER are for the caller. VMCS01 is at hand.
 */
static always_inline bool guest_kept_holds_in_l1(const struct guest_kept *kept, u64 ignored)
{
	return kept->memory &&
	       !(((kept->path.top ^ vmread(VMCS_GUEST_CR3)) & PTE_ADDR) | (kept->path.cr4 ^ vmread(VMCS_GUEST_CR4))) &&
	       guest_path_is_same(&kept->path, ignored);
}

/* As guest_read() and guest_write(). */
enum guest_access_result guest_walk_read(struct guest_walk *w, void *dst, gva_t src, size_t len_bytes,
					 struct guest_fault *fault);
enum guest_access_result guest_walk_write(struct guest_walk *w, gva_t dst, const void *src, size_t len_bytes,
					  struct guest_fault *fault);

/*
 * Copies with the current privilege level of the guest. A write checks the whole range first. Length: any, ranges may
 * cross pages.
 */
enum guest_access_result guest_read(struct percpu *cpu, void *dst, gva_t src, size_t len_bytes,
				    struct guest_fault *fault);
enum guest_access_result guest_write(struct percpu *cpu, gva_t dst, const void *src, size_t len_bytes,
				     struct guest_fault *fault);

/*
 * What the CPU does before an access, HYPAPI_R or _W: the accessed flags of all pages are set, for a write the dirty
 * ones, and what that makes dirty is in L1's log. The copy succeeds then, if no other CPU takes the memory away: for
 * who has something to do before it that cannot be taken back, and for reads, which set no flags by themselves.
 */
enum guest_access_result guest_begin_access(struct percpu *cpu, gva_t at, size_t len_bytes, u32 rights,
					    struct guest_fault *fault);

/* A general register of the guest that runs, by the number of the instruction encoding. */
static inline u64 guest_reg(const struct percpu *cpu, u32 reg)
{
	return unlikely(reg == GPR_RSP) ? vmread(VMCS_GUEST_RSP) : cpu->gpr[reg];
}

static inline void guest_set_reg(struct percpu *cpu, u32 reg, u64 value)
{
	if (unlikely(reg == GPR_RSP))
		vmwrite(VMCS_GUEST_RSP, value);
	else
		cpu->gpr[reg] = value;
}

/* A step of a string instruction, with this mask of its address size: 16 bits leave the rest, 32 bits clear it. */
static inline void guest_step_reg(u64 *reg, u64 mask, u64 by)
{
	u64 sum = (*reg + by) & mask;

	*reg = mask == 0xffff ? (*reg & ~mask) | sum : sum;
}

/* The mask of the address size that an exit's instruction information tells. */
static inline u64 guest_address_mask(u64 insn_info)
{
	static const u64 masks[] = { 0xffff, 0xffffffff, ~0ull };

	return masks[MIN(insn_info >> 7 & 7, 2u)];
}

/* CPL of the guest that runs: DPL of SS (SDM vol. 3, "Guest Register State"). */
static inline unsigned int guest_cpl(void)
{
	return AR_DPL(vmread(VMCS_GUEST_SS_AR));
}

/* EFER.LMA and CS.L: 64-bit code. */
static inline bool guest_long_mode(void)
{
	_Static_assert(AR_L >> 4 == ENTRYCTL_IA32E, "one is shifted to the other");

	return (vmread(VMCS_GUEST_CS_AR) >> 4 & vmread(VMCS_ENTRY_CTLS)) & ENTRYCTL_IA32E;
}

/*
 * By one field of the VMCS. The DPL of non-conforming code is that of SS (SDM vol. 3, "Checks on Guest Segment
 * Registers"). Outside of IA-32e mode CS.L is reserved; a guest that sets it there all the same is taken at its word,
 * so this decides nothing that the core relies on.
 */
static inline struct guest_mode guest_mode(void)
{
	u64 cs = vmread(VMCS_GUEST_CS_AR);

	return (struct guest_mode){ .cpl = (u8)(likely(AR_IS_NONCONFORMING(cs)) ? AR_DPL(cs) : guest_cpl()),
				    .long_mode = cs & AR_L };
}

#endif
